"""The demo: an observation is simulated, reduced by the whole chain, and held against its truth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from astropy.table import Table

from nirfire import __version__
from nirfire.errors import DataError
from nirfire.pipeline.environment import references_environment, thread_environment
from nirfire.pipeline.execute import Pool, StageReport, run_stage
from nirfire.pipeline.jobs import Job, Ledger
from nirfire.pipeline.run import Progress, RunOptions, RunReport, run_folder
from nirfire.products.atomic import write_text
from nirfire.products.naming import UNCAL, Workspace
from nirfire.simulate import truth
from nirfire.simulate.crds_cache import instrument_key
from nirfire.simulate.observation import Exposure, Observation, Options, default_filter
from nirfire.simulate.scene import demo_scene
from nirfire.tasks.stuck import StuckList, write_stuck

RAW, PLAN = "raw", "plan.json"


@dataclass(frozen=True)
class DemoOptions:
    """What is simulated.

    Attributes
    ----------
    grating : str
        Disperser.
    size : str
        Size of the scene, see `nirfire.simulate.scene.demo_scene`.
    nods, dithers, visits : int
        Pattern.
    seed : int
        The same seed gives the same files.
    groups : int
        Reads of a ramp; more need more memory in the stock jump step (1.7 GB a worker for 5).
    """

    grating: str = "PRISM"
    size: str = "standard"
    nods: int = 3
    dithers: int = 1
    visits: int = 1
    seed: int = 1
    groups: int = 5


def run_demo(workspace: Workspace, demo: DemoOptions, options: RunOptions, progress: Progress) -> RunReport:
    """Simulate and reduce.

    Parameters
    ----------
    workspace : Workspace
        Raw exposures and truth go to its ``raw`` folder, products beside it.
    demo : DemoOptions
        What is simulated.
    options : RunOptions
        How it is reduced.
    progress : Progress
        Where progress goes.

    Returns
    -------
    RunReport
        Its first stage is ``simulate``.

    Raises
    ------
    DataError
        The workspace holds another simulation, or the mode or pattern does not exist.
    """
    raw = workspace.folder / RAW
    filter_ = default_filter(demo.grating)  # first, since it says so when there is no such grating
    plan = Observation(
        scene=demo_scene(demo.size, demo.grating),
        grating=demo.grating,
        filter=filter_,
        seed=demo.seed,
        options=Options(n_nods=demo.nods, n_dithers=demo.dithers, n_visits=demo.visits, n_groups=demo.groups),
    )
    _check_same_plan(raw / PLAN, demo)
    environment = references_environment(simulated=True, needed=True, progress=progress.say)
    with Pool(options.jobs, environment | thread_environment()) as pool:
        simulated = _simulate(plan, raw, workspace, pool, progress)
    if not workspace.stuck_list.exists():
        write_stuck(workspace.stuck_list, stuck_as_inspected(raw / truth.FOLDER, plan))
    report = run_folder(raw, workspace, options, progress)
    return RunReport((simulated, *report.stages), report.catalogue)


def _check_same_plan(path: Path, demo: DemoOptions) -> None:
    """Refuse to mix exposures of one simulation with the truth of another."""
    plan = {**asdict(demo), "instrument": instrument_key(), "nirfire": __version__}
    if not path.exists():
        write_text(path, json.dumps(plan, indent=1) + "\n")
        return
    before = json.loads(path.read_text())
    changed = sorted(name for name in plan if before.get(name) != plan[name])
    if changed:
        raise DataError(
            "the workspace holds another simulation",
            file=path,
            key=", ".join(changed),
            remedy="give another workspace (-w), or remove this one",
        )


def write_tables(plan: Observation, folder: Path) -> None:
    """Write the MSA metafiles and the truth tables (a job of the pool)."""
    plan.write_tables(folder)


def write_exposure(plan: Observation, exposure: Exposure, detector: str, folder: Path) -> None:
    """Simulate one exposure on one detector (a job of the pool)."""
    plan.write_exposure(exposure, detector, folder)


def _simulate(plan: Observation, raw: Path, workspace: Workspace, pool: Pool, progress: Progress) -> StageReport:
    raw.mkdir(parents=True, exist_ok=True)
    last_table = raw / truth.FOLDER / truth.SPECTRA
    jobs = [Job("simulate", "tables", write_tables, {"plan": plan, "folder": raw}, (), (last_table,))]
    for exposure in plan.exposures:
        for detector in plan.detectors:
            name = exposure.name(detector)
            arguments = {"plan": plan, "exposure": exposure, "detector": detector, "folder": raw}
            jobs.append(Job("simulate", str(name), write_exposure, arguments, (), (raw / f"{name}{UNCAL}",)))
    progress.start("simulate", len(jobs))
    return run_stage("simulate", jobs, pool, Ledger.open(workspace.ledger), workspace.logs, tick=progress.tick)


def stuck_as_inspected(folder: Path, plan: Observation) -> StuckList:
    """The stuck-closed shutters as a person would list them after looking at the calibrated nods."""
    table = Table.read(folder / truth.STUCK)
    roots = sorted({e.name("NRS1").root for e in plan.exposures})
    return {root: _ordinals(table) for root in roots} if len(table) else {}


def _ordinals(table: Table) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for row in table:
        source = int(row["source_id"])
        found[source] = (*found.get(source, ()), int(row["ordinal"]))
    return found
