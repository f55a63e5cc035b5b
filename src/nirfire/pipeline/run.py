"""Running the recipe on an observation, from any entry point to the summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from astropy.table import Table

from nirfire.errors import DataError
from nirfire.pipeline.environment import references_environment, thread_environment
from nirfire.pipeline.execute import Pool, StageReport, run_stage
from nirfire.pipeline.jobs import DATA_ERROR, Ledger, Outcome, worst
from nirfire.pipeline.observation import bring_in, discover
from nirfire.pipeline.recipe import STAGES, Context
from nirfire.products.naming import SPEC, Workspace, zfit_of
from nirfire.tasks.settings import Config
from nirfire.tasks.summary import summary


@dataclass(frozen=True)
class RunOptions:
    """How to run.

    Attributes
    ----------
    jobs : int
        Worker processes.
    first, last : str
        First and last stage.
    sources : frozenset of int or None
        Only these sources; None for all.
    overwrite : bool
        Redo what is finished.
    config : Config
        Settings of the tasks.
    """

    jobs: int = 2
    first: str = "adopt"
    last: str = "redshift"
    sources: frozenset[int] | None = None
    overwrite: bool = False
    config: Config = field(default_factory=Config)


@dataclass(frozen=True)
class Progress:
    """Where progress goes: called at the start of a stage, with each outcome, and with lines of text."""

    start: Callable[[str, int], None] = lambda stage, total: None
    tick: Callable[[Outcome], None] = lambda outcome: None
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes
    ----------
    stages : tuple of StageReport
        Per stage.
    catalogue : Table
        The summary.
    """

    stages: tuple[StageReport, ...]
    catalogue: Table

    @property
    def outcomes(self) -> list[Outcome]:
        return [o for stage in self.stages for o in stage.outcomes]

    @property
    def exit_code(self) -> int:
        return worst(self.outcomes)


def run_folder(folder: Path, workspace: Workspace, options: RunOptions, progress: Progress) -> RunReport:
    """Process the exposures of a folder.

    Parameters
    ----------
    folder : Path
        Exposures: uncal, rate, per-source cal, or single-slit cutouts.
    workspace : Workspace
        Where the products go.
    options : RunOptions
        How to run.
    progress : Progress
        Where progress goes.

    Returns
    -------
    RunReport

    Raises
    ------
    DataError
        Nothing can be run at all.
    """
    inputs = discover(folder)
    selected = _selected(options)
    needed = inputs.needs_references and bool({"detector", "clean", "calibrate"} & set(selected))
    environment = references_environment(simulated=inputs.simulated, needed=needed, progress=progress.say)
    ledger = Ledger.open(workspace.ledger)
    problems = [*inputs.problems, *bring_in(inputs, workspace)]
    reports = [_input_report(problems, ledger, progress)] if problems else []
    context = Context(workspace, inputs, options.config, options.sources)
    with Pool(options.jobs, environment | thread_environment()) as pool:
        for stage in selected:
            reports.append(_run_one(stage, context, pool, ledger, options, progress))
    return RunReport(tuple(reports), write_summary(workspace))


def _run_one(
    stage: str, context: Context, pool: Pool, ledger: Ledger, options: RunOptions, progress: Progress
) -> StageReport:
    jobs = STAGES[stage](context)
    progress.start(stage, len(jobs))
    logs = context.workspace.logs
    return run_stage(stage, jobs, pool, ledger, logs, overwrite=options.overwrite, tick=progress.tick)


def write_summary(workspace: Workspace) -> Table:
    """Write the catalogue of all spectra in a workspace."""
    pairs: list[tuple[Path, Path | None]] = []
    for source in workspace.find_sources():
        for spec in workspace.find_combined(source, SPEC):
            zfit = zfit_of(spec)
            pairs.append((spec, zfit if zfit.exists() else None))
    return summary(pairs, [workspace.summary("ecsv"), workspace.summary("fits")])


def _selected(options: RunOptions) -> list[str]:
    names = list(STAGES)
    for name in (options.first, options.last):
        if name not in names:
            raise DataError(f"no such stage: {name}", key="--from/--to", remedy=f"use one of {', '.join(names)}")
    return names[names.index(options.first) : names.index(options.last) + 1]


def _input_report(problems: list[DataError], ledger: Ledger, progress: Progress) -> StageReport:
    outcomes = tuple(Outcome("input", Path(str(p.file)).name, DATA_ERROR, str(p)) for p in problems)
    progress.start("input", len(outcomes))
    for outcome in outcomes:
        ledger.add(outcome)
        progress.tick(outcome)
    return StageReport("input", outcomes, 0.0, 0.0)
