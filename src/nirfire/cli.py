"""The command ``nirfire``: options only; what a command does is imported when it runs."""

from __future__ import annotations

import errno
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from nirfire import __version__
from nirfire.cli_files import File, Items, extract, one_of, redshift, templates_build
from nirfire.cli_inspect import export, inspect, report, votes
from nirfire.errors import NirfireError

if TYPE_CHECKING:
    from nirfire.commands.aim import Aim

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
config = typer.Typer(no_args_is_help=True, help="The configuration: its values and where they come from.")
app.add_typer(config, name="config")
templates = typer.Typer(no_args_is_help=True, help="The templates of the redshift fit.")
app.add_typer(templates, name="templates")
templates.command("build")(templates_build)
mask = typer.Typer(no_args_is_help=True, help="Pixels that are left out by hand: DS9 regions, one file per exposure.")
app.add_typer(mask, name="mask")
app.add_typer(votes, name="votes")

Target = Annotated[
    Path, typer.Argument(help="Folder of exposures, observations.toml (or its folder), or a workspace that was run.")
]
Place = Annotated[Path | None, typer.Option("-w", "--workspace", help="Where the products go.")]
Names = Annotated[list[str] | None, typer.Option("--obs", help="Only this observation; may be repeated.")]
First = Annotated[str, typer.Option("--from", help="First stage.")]
Last = Annotated[str, typer.Option("--to", help="Last stage.")]
Sources = Annotated[list[int] | None, typer.Option("--source", help="Only this source; may be repeated.")]
Gratings = Annotated[list[str] | None, typer.Option("--grating", help="Only this disperser; may be repeated.")]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="Worker processes; by default one per core.")]
FIRST, LAST = "detector", "agree"
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
FREE = "check free space and permissions, then run the same command again: what is finished is kept"


def _aim(
    target: Path,
    place: Path | None,
    names: list[str] | None,
    layers: tuple[Path | None, list[str] | None],
    stages: tuple[str, str] = (FIRST, LAST),
    sources: list[int] | None = None,
    gratings: list[str] | None = None,
    shard: str | None = None,
) -> Aim:
    from nirfire.commands.aim import Aim
    from nirfire.pipeline.select import Selection, Shard
    from nirfire.pipeline.target import Layers

    selection = Selection(
        *stages,
        sources=frozenset(sources) if sources else None,
        gratings=frozenset(g.upper() for g in gratings) if gratings else None,
        shard=Shard.parse(shard) if shard else None,
    )
    return Aim(target, place, names or (), Layers(layers[0], tuple(layers[1] or ())), selection)


@app.command()
def run(
    target: Target,
    workspace: Place = None,
    obs: Names = None,
    file: File = None,
    items: Items = None,
    first: First = FIRST,
    last: Last = LAST,
    source: Sources = None,
    grating: Gratings = None,
    jobs: Jobs = None,
    rerun: Annotated[
        str, typer.Option(help="missing: what has no product; stale: also what is out of date.")
    ] = "missing",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo what is finished.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only list what would be run.")] = False,
    executor: Annotated[str | None, typer.Option(help="local or parsl; by default as configured.")] = None,
    shard: Annotated[str | None, typer.Option(help="Only part i of n, for job arrays: i/n.")] = None,
    compare: Annotated[Path | None, typer.Option(help="A published .spec.fits to draw beside ours.")] = None,
    report: Annotated[bool, typer.Option(help="Draw the report.")] = True,
) -> None:
    """Process exposures, from whatever stage they are at to redshifts; what is finished is skipped."""
    from nirfire.commands.look import dry_run
    from nirfire.commands.run import run as run_all
    from nirfire.pipeline.run import RunOptions

    aim = _aim(target, workspace, obs, (file, items), (first, last), source, grating, shard)
    options = RunOptions(
        jobs=jobs,
        selection=aim.selection,
        rerun=one_of(rerun, "--rerun", "missing", "stale"),
        overwrite=overwrite,
        executor=one_of(executor, "--executor", "local", "parsl") if executor else None,
    )
    if dry:
        dry_run(aim, options)
    else:
        raise typer.Exit(run_all(aim, options, compare=compare, with_report=report))


@app.command()
def plan(
    target: Target,
    workspace: Place = None,
    obs: Names = None,
    file: File = None,
    items: Items = None,
    first: First = FIRST,
    last: Last = LAST,
    source: Sources = None,
    grating: Gratings = None,
    everything: Annotated[bool, typer.Option("--list", help="List every job.")] = False,
) -> None:
    """Show the recipe and the jobs that it needs for these exposures."""
    from nirfire.commands.look import plan as show

    show(_aim(target, workspace, obs, (file, items), (first, last), source, grating), everything=everything)


@app.command()
def status(
    target: Target = Path(),
    workspace: Place = None,
    obs: Names = None,
    file: File = None,
    items: Items = None,
    source: Sources = None,
    grating: Gratings = None,
) -> None:
    """Show what is done, without work, failed or stale, and why."""
    from nirfire.commands.look import status as show

    aim = _aim(target, workspace, obs, (file, items), sources=source, gratings=grating)
    raise typer.Exit(show(aim))


@app.command("show")
def show_source(
    source: Annotated[int, typer.Argument(help="Source number.")],
    target: Target = Path(),
    workspace: Place = None,
    obs: Names = None,
    file: File = None,
    items: Items = None,
) -> None:
    """Show the history of a source."""
    from nirfire.commands.look import history

    history(_aim(target, workspace, obs, (file, items)), source)


@config.command("show")
def config_show(
    target: Annotated[Path | None, typer.Argument(help="As for run; by default no observation.")] = None,
    obs: Names = None,
    file: File = None,
    items: Items = None,
) -> None:
    """Print each setting with its value, where it comes from, and what it is."""
    from nirfire.commands.config import show_config, show_layers

    aim = _aim(target or Path(), None, obs, (file, items))
    if target:
        show_config(aim)
    else:
        show_layers(aim.layers)


@config.command("doc")
def config_doc() -> None:
    """Print the reference of the configuration, in Markdown."""
    from nirfire.pipeline.config_doc import reference_page

    sys.stdout.write(reference_page())


Which = Annotated[str, typer.Argument(help="Exposure and detector, such as jw01345062001_03101_00001_nrs1.")]
Maybe = Annotated[str | None, typer.Argument(help="Exposure and detector; by default all.")]


@mask.command("validate")
def mask_validate(files: Annotated[list[Path], typer.Argument(help="DS9 region files.")]) -> None:
    """Check region files: typing errors, sky coordinates, regions outside the detector."""
    from nirfire.commands.mask import validate

    raise typer.Exit(validate(files))


@mask.command("apply")
def mask_apply(
    target: Target,
    exposure: Which,
    regions: Annotated[Path, typer.Argument(help="DS9 region file in image coordinates.")],
    workspace: Place = None,
    obs: Names = None,
) -> None:
    """Make the regions of a file the mask of an exposure; says what becomes stale."""
    from nirfire.commands.mask import apply

    apply(_aim(target, workspace, obs, (None, None)), exposure, regions)


@mask.command("list")
def mask_list(target: Target = Path(), workspace: Place = None, obs: Names = None) -> None:
    """List masks: exposure, regions, pixels, and the file they are in."""
    from nirfire.commands.mask import show_list

    raise typer.Exit(show_list(_aim(target, workspace, obs, (None, None))))


@mask.command("clear")
def mask_clear(
    target: Target,
    exposure: Maybe = None,
    workspace: Place = None,
    obs: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="The masks of all exposures.")] = False,
) -> None:
    """Remove the mask of an exposure, or all masks; says what becomes stale."""
    from nirfire.commands.mask import clear

    clear(_aim(target, workspace, obs, (None, None)), exposure, everything=everything)


@mask.command("suggest")
def mask_suggest(target: Target, exposure: Maybe = None, workspace: Place = None, obs: Names = None) -> None:
    """Look for shorts, snowballs and glows outside traces; lists them and writes regions, which are not applied."""
    from nirfire.commands.mask import suggest

    suggest(_aim(target, workspace, obs, (None, None)), exposure)


@app.command()
def sources(
    metafile: Annotated[Path, typer.Argument(help="MSA metafile: jw..._msa.fits, also compressed.")],
    metadata_id: Annotated[int | None, typer.Option("--id", help="Only this configuration (MSAMETID).")] = None,
    repair: Annotated[Path | None, typer.Option(help="Write a copy in which known defects are mended.")] = None,
    split: Annotated[
        int | None,
        typer.Option(
            min=0, help="With --repair: slitlets of more shutters than this become one per shutter (long slits)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the sources of an MSA metafile, and what is amiss with it; exit code 3 when it cannot be used as it is."""
    from nirfire.commands.sources import show_sources

    raise typer.Exit(show_sources(metafile, metadata_id, repair, split, as_json=as_json))


@app.command()
def stuck(
    target: Target = Path(),
    workspace: Place = None,
    obs: Names = None,
    source: Annotated[int | None, typer.Option(help="All shutters of this source, open ones too.")] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for figures of the evidence: of the source, or of all with a stuck shutter."),
    ] = None,
) -> None:
    """List the shutters that are stuck closed: those that were found, and those that you list."""
    from nirfire.commands.stuck import stuck as show

    raise typer.Exit(show(_aim(target, workspace, obs, (None, None)), source=source, figures=figures))


@app.command()
def pointing(
    target: Target = Path(),
    workspace: Place = None,
    obs: Names = None,
    source: Sources = None,
    table: Annotated[Path | None, typer.Option(help="Positions that you have measured, instead of a fit.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Calibrate with these positions from now on.")] = False,
    least: Annotated[float, typer.Option("--min-snr", min=5.0, help="S/N of the sources that are measured.")] = 30.0,
    jobs: Jobs = None,
) -> None:
    """Measure where the telescope pointed in each visit, from its bright sources; --apply corrects all positions."""
    from nirfire.commands.pointing import PointingOptions
    from nirfire.commands.pointing import pointing as measure

    measure(_aim(target, workspace, obs, (None, None), sources=source), PointingOptions(table, apply, least, jobs))


@app.command()
def download(
    program: Annotated[int, typer.Option(help="Program number, such as 1345.")],
    obs: Annotated[list[int] | None, typer.Option("--obs", help="Only this observation; may be repeated.")] = None,
    grating: Gratings = None,
    folder: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; by default jwPPPPP.")] = None,
    level: Annotated[str, typer.Option(help="What to fetch of each exposure: uncal, rate or cal.")] = "uncal",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Files under way at once.")] = 4,
) -> None:
    """Download a program's multi-object exposures and their MSA metafiles from the archive."""
    from nirfire.archive.options import DownloadOptions
    from nirfire.commands.download import fetch

    gratings = tuple(g.upper() for g in grating or ())
    options = DownloadOptions(program, tuple(obs or ()), gratings, folder, level, dry, jobs)
    raise typer.Exit(fetch(options))


@app.command()
def demo(
    workspace: Annotated[Path, typer.Option("-w", "--workspace", help="Where everything goes.")] = Path("nirfire-demo"),
    grating: Annotated[str, typer.Option(help="Disperser, for example PRISM or G395M.")] = "PRISM",
    size: Annotated[str, typer.Option(help="Size of the scene: small, standard or large.")] = "standard",
    nods: Annotated[int, typer.Option(help="Nods: 2, 3 or 5.")] = 3,
    dithers: Annotated[int, typer.Option(help="Dithers of the nod pattern.")] = 1,
    visits: Annotated[int, typer.Option(help="Visits.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same exposures.")] = 1,
    jobs: Jobs = None,
) -> None:
    """Simulate an observation, reduce it from raw ramps to redshifts, and hold it against its truth."""
    from nirfire.commands.run import demo as run_demo
    from nirfire.demo import DemoOptions

    chosen = DemoOptions(grating=grating.upper(), size=size, nods=nods, dithers=dithers, visits=visits, seed=seed)
    raise typer.Exit(run_demo(workspace, chosen, jobs))


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"{__version__}\n")


for command in (redshift, extract, inspect, report, export):
    app.command()(command)


class Interrupted(BaseException):
    """Ctrl-C, or the end that a batch system sets; typer has its own ways with KeyboardInterrupt."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def main() -> None:
    """Entry point: errors that are the user's to mend are shown without a traceback, exit code 2."""
    signal.signal(signal.SIGTERM, _stop)  # batch systems send it before they kill
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except NirfireError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        where = f"\n  file: {error.filename}" if error.filename else ""
        sys.stderr.write(f"error: {error.strerror}{where}\n  remedy: {FREE}\n")
        sys.exit(2)
    except Interrupted:
        sys.stderr.write("interrupted; run the same command again to go on\n")
        sys.exit(130)
