"""The command ``nirfire``."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from astropy.table import Table
from rich.console import Console
from rich.table import Table as Grid

from nirfire import __version__
from nirfire.errors import NirfireError
from nirfire.pipeline.run import RunOptions, run_folder
from nirfire.products.naming import Workspace
from nirfire.progress import TerminalProgress

SHOWN = {
    "source_id": "source",
    "grating": "grating",
    "redshift_auto": "z",
    "redshift_error": "z error",
    "redshift_confidence": "confidence",
    "signal_to_noise": "S/N per pixel",
}

SHOWN_DEMO = {
    "source_id": "source",
    "kind": "kind",
    "z_true": "true z",
    "z_fit": "fit z",
    "z_deviation": "dz/(1+z)",
    "confidence": "confidence",
    "line_sn": "line S/N",
    "flux_error": "flux error",
}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

CORES = os.cpu_count() or 1
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="Worker processes.")]


@app.command()
def run(
    folder: Annotated[Path, typer.Argument(help="Folder with the exposures: uncal, rate, cal or cutouts.")],
    workspace: Annotated[Path | None, typer.Option("-w", "--workspace", help="Where the products go.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the observation; by default the folder's.")] = None,
    jobs: Jobs = CORES,
    first: Annotated[str, typer.Option("--from", help="First stage.")] = "adopt",
    last: Annotated[str, typer.Option("--to", help="Last stage.")] = "redshift",
    source: Annotated[list[int] | None, typer.Option("--source", help="Only this source; may be repeated.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo what is finished.")] = False,
    compare: Annotated[Path | None, typer.Option(help="A published .spec.fits to draw beside ours.")] = None,
) -> None:
    """Process the exposures of a folder, from whatever stage they are at to redshifts."""
    from nirfire.qa.report import write_report

    observation = name or folder.resolve().name
    place = Workspace((workspace or Path(f"{observation}-nirfire")).resolve(), observation)
    wanted = frozenset(source) if source else None
    options = RunOptions(jobs=jobs, first=first, last=last, sources=wanted, overwrite=overwrite)
    with TerminalProgress() as progress:
        report = run_folder(folder.resolve(), place, options, progress.hooks)
    page = write_report(place, report.stages, published=compare, processes=jobs)
    _print_table(_renamed(report.catalogue, SHOWN))
    _say(f"products: {place.folder}\nreport: {page}")
    raise typer.Exit(report.exit_code)


@app.command()
def demo(
    workspace: Annotated[Path, typer.Option("-w", "--workspace", help="Where everything goes.")] = Path("nirfire-demo"),
    grating: Annotated[str, typer.Option(help="Disperser, for example PRISM or G395M.")] = "PRISM",
    size: Annotated[str, typer.Option(help="Size of the scene: small, standard or large.")] = "standard",
    nods: Annotated[int, typer.Option(help="Nods: 2, 3 or 5.")] = 3,
    dithers: Annotated[int, typer.Option(help="Dithers of the nod pattern.")] = 1,
    visits: Annotated[int, typer.Option(help="Visits.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same exposures.")] = 1,
    jobs: Jobs = CORES,
) -> None:
    """Simulate an observation, reduce it from raw ramps to redshifts, and hold it against its truth."""
    from nirfire.demo import RAW, DemoOptions, run_demo
    from nirfire.qa.metrics import demo_metrics, demo_table
    from nirfire.qa.report import write_report
    from nirfire.simulate import truth

    place = Workspace(workspace.resolve(), "demo")
    chosen = DemoOptions(grating=grating.upper(), size=size, nods=nods, dithers=dithers, visits=visits, seed=seed)
    with TerminalProgress() as progress:
        report = run_demo(place, chosen, RunOptions(jobs=jobs), progress.hooks)
    tables = place.folder / RAW / truth.FOLDER
    metrics = demo_metrics(place, tables, report.stages)
    page = write_report(place, report.stages, truth=tables, metrics=metrics, processes=jobs)
    _print_table(_renamed(demo_table(metrics), SHOWN_DEMO))
    _say(f"products: {place.folder}\nreport: {page}")
    raise typer.Exit(report.exit_code)


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"{__version__}\n")


def _say(text: str) -> None:
    Console(stderr=True).print(text, soft_wrap=True, markup=False)


def _renamed(catalogue: Table, headings: dict[str, str]) -> Table:
    chosen = {old: new for old, new in headings.items() if old in catalogue.colnames}
    table = Table(catalogue[list(chosen)])
    table.rename_columns(list(chosen), list(chosen.values()))
    return table


def _print_table(table: Table) -> None:
    grid = Grid(*table.colnames)
    for row in table:
        grid.add_row(*map(_cell, row))
    Console().print(grid)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.4f}"
    return str(value)


def main() -> None:
    """Entry point: errors that are the user's to mend are shown without a traceback, exit code 2."""
    try:
        app()
    except NirfireError as error:
        _say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        _say("interrupted; run the same command again to go on")
        sys.exit(130)
