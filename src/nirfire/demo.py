"""The demo: an observation is simulated, reduced by the whole chain, and held against its truth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirfire import __version__
from nirfire.errors import DataError
from nirfire.pipeline.config import load
from nirfire.pipeline.environment import embedded_environment, thread_environment
from nirfire.pipeline.events import Events
from nirfire.pipeline.executors import LocalPool
from nirfire.pipeline.jobs import Job, Task
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.lock import locked
from nirfire.pipeline.plan import Plan
from nirfire.pipeline.report import Recorder, RunReport, peak_memory
from nirfire.pipeline.run import Progress, RunOptions, default_jobs, run_observation
from nirfire.pipeline.schedule import Policy, Scheduler
from nirfire.pipeline.shelf import Shelf
from nirfire.pipeline.target import Observation as Reduction
from nirfire.products.atomic import write_text
from nirfire.products.naming import TRUTH, UNCAL, Workspace
from nirfire.simulate.cache_place import instrument_key

if TYPE_CHECKING:  # the simulator takes a second to import, and a demo that is finished needs none
    from nirfire.simulate.observation import Exposure, Observation

RAW, PLAN = "raw", "plan.json"
TABLES = Task("simulate", 1, "nirfire.demo:write_tables", "MSA metafiles and truth tables", "visit")
EXPOSURES = Task("simulate", 1, "nirfire.demo:write_exposure", "raw ramps", "exposure, detector")


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


def truth_folder(workspace: Workspace) -> Path | None:
    """The truth tables of a demo's workspace; None where it is no demo."""
    folder = workspace.folder / RAW / TRUTH
    return folder if folder.is_dir() else None


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
        Its first stage is ``simulate``, unless the exposures are there already.

    Raises
    ------
    DataError
        The workspace holds another simulation, or the mode or pattern does not exist.
    """
    raw = workspace.folder / RAW
    facts = {**asdict(demo), "instrument": instrument_key(), "nirfire": __version__}
    simulated = RunReport(())
    if not (raw / PLAN).exists():
        _planned(demo)  # what cannot be simulated leaves nothing behind
    with locked(workspace):
        if not _is_made(raw, facts):
            simulated = _simulate(demo, facts, workspace, options, progress)
    report = run_observation(Reduction(workspace, raw, resolved=load()), options, progress)
    return RunReport(
        (*simulated.stages, *report.stages),
        simulated.seconds + report.seconds,
        max(simulated.peak_memory, report.peak_memory),
        report.stale,
    )


def _is_made(raw: Path, facts: dict[str, Any]) -> bool:
    """True when the whole simulation is there; refuses to mix it with another one's.

    Raises
    ------
    DataError
        The folder holds another simulation.
    """
    path = raw / PLAN
    if not path.exists():
        return False
    before = json.loads(path.read_text())
    changed = sorted(name for name in facts if before.get(name) != facts[name])
    if changed:
        raise DataError(
            "the workspace holds another simulation",
            file=path,
            key=", ".join(changed),
            remedy="give another workspace (-w), or remove this one",
        )
    return all((raw / name).exists() for name in before["files"])


def write_tables(plan: Observation, folder: Path) -> None:
    """Write the MSA metafiles and the truth tables (a job)."""
    plan.write_tables(folder)


def write_exposure(plan: Observation, exposure: Exposure, detector: str, folder: Path) -> None:
    """Simulate one exposure on one detector (a job)."""
    plan.write_exposure(exposure, detector, folder)


def _planned(demo: DemoOptions) -> Observation:
    """The observation to simulate."""
    from nirfire.simulate.observation import Observation, Options, default_filter
    from nirfire.simulate.scene import demo_scene

    filter_ = default_filter(demo.grating)  # first, since it says so when there is no such grating
    options = Options(n_nods=demo.nods, n_dithers=demo.dithers, n_visits=demo.visits, n_groups=demo.groups)
    scene = demo_scene(demo.size, demo.grating)
    return Observation(scene=scene, grating=demo.grating, filter=filter_, seed=demo.seed, options=options)


def _jobs(plan: Observation, raw: Path) -> list[Job]:
    from nirfire.simulate import truth

    last_table = raw / TRUTH / truth.SPECTRA
    jobs = [Job(TABLES, "tables", {"plan": plan, "folder": raw}, outputs=(last_table,))]
    for exposure in plan.exposures:
        for detector in plan.detectors:
            name = exposure.name(detector)
            arguments = {"plan": plan, "exposure": exposure, "detector": detector, "folder": raw}
            jobs.append(Job(EXPOSURES, str(name), arguments, outputs=(raw / f"{name}{UNCAL}",)))
    return jobs


def _simulate(
    demo: DemoOptions, facts: dict[str, Any], workspace: Workspace, options: RunOptions, progress: Progress
) -> RunReport:
    raw = workspace.folder / RAW
    raw.mkdir(parents=True, exist_ok=True)
    jobs = _jobs(_planned(demo), raw)
    files = [str(path.relative_to(raw)) for job in jobs for path in job.outputs]
    write_text(raw / PLAN, json.dumps({**facts, "files": files}, indent=1) + "\n")
    environment = embedded_environment(progress.say) | thread_environment()
    workers = options.jobs or default_jobs()
    ledger, recorder = Ledger.open(workspace, "simulate"), Recorder()
    plan = Plan(jobs, load().configuration, Shelf(workspace, ledger), ledger, "")
    progress.begin({"simulate": len(jobs)}, {}, workers)

    def ended(outcome: Any) -> None:
        recorder.ended(outcome)
        progress.tick(outcome)

    with Events(workspace.events / "simulate.jsonl") as events, peak_memory() as peak:
        Scheduler(
            plan,
            range(len(jobs)),
            Policy(),
            workspace,
            lambda: LocalPool(workers, environment),
            events,
            started=recorder.started,
            ended=ended,
        ).run()
    ledger.close()
    stages = recorder.stages()
    return RunReport(stages, sum(s.seconds for s in stages), peak[0])
