"""Running the recipe on an observation, from any entry point to the summary."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from nirfire import __version__
from nirfire.errors import DataError
from nirfire.pipeline.config import ExecutionSettings
from nirfire.pipeline.environment import context_name, reference_environment, thread_environment
from nirfire.pipeline.events import Events
from nirfire.pipeline.executors import Executor, LocalPool
from nirfire.pipeline.jobs import DATA_ERROR, DONE, NO_WORK, SKIPPED, Job, Outcome
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.lock import locked
from nirfire.pipeline.observation import Inputs, link_in
from nirfire.pipeline.plan import STALE, TODO, Plan
from nirfire.pipeline.recipe import make_jobs
from nirfire.pipeline.report import Recorder, RunReport, peak_memory
from nirfire.pipeline.schedule import Policy, Scheduler
from nirfire.pipeline.select import Selection
from nirfire.pipeline.shelf import Shelf
from nirfire.pipeline.target import Observation, read_origin, unused, write_origin
from nirfire.products.naming import PART, SPEC, Workspace, zfit_of
from nirfire.products.provenance import Provenance, read_facts, read_fingerprint, recording
from nirfire.stsci.prefetch import prefetch_apart

WORKER_GB = 2.0  # of the hungriest stage, the stock jump step
REFERENCE_STAGES = {"detector", "clean", "shutters", "calibrate"}
IN_CATALOGUE = ("extract", "redshift", "agree")
INPUT = "input"  # stands for a stage in the record of a file that cannot be used
SCRATCH = "nirfire-run-"
SUMMARY = "summary 3"  # what writes the catalogue, and its version: another one has other columns


@dataclass(frozen=True)
class RunOptions:
    """How to run.

    Attributes
    ----------
    jobs : int or None
        Worker processes; by default those of the configuration, else one per core as far as the memory allows.
    selection : Selection
        Which jobs.
    rerun : str
        ``missing`` or ``stale``.
    overwrite : bool
        Redo all chosen jobs.
    executor : str or None
        ``local`` or ``parsl``; by default that of the configuration.
    """

    jobs: int | None = None
    selection: Selection = field(default_factory=Selection)
    rerun: str = "missing"
    overwrite: bool = False
    executor: str | None = None


@dataclass(frozen=True)
class Progress:
    """Where progress goes.

    Attributes
    ----------
    begin : callable
        Called with the number of jobs and the usual seconds of a job by stage, and the number of workers.
    tick : callable
        Called with each outcome.
    say : callable
        Called with lines of text.
    """

    begin: Callable[[Mapping[str, int], Mapping[str, float], int], None] = lambda totals, seconds, workers: None
    tick: Callable[[Outcome], None] = lambda outcome: None
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Prospect:
    """An observation looked at: its inputs, its plan, the jobs that are chosen, and what the user should know."""

    inputs: Inputs
    plan: Plan
    chosen: list[int]
    notes: list[str] = field(default_factory=list)


def look_at(observation: Observation, ledger: Ledger, selection: Selection, *, online: bool = False) -> Prospect:
    """Plan an observation without changing anything.

    Parameters
    ----------
    observation : Observation
        What is planned.
    ledger : Ledger
        Its past.
    selection : Selection
        Which jobs are chosen.
    online : bool
        The CRDS server may be asked which context holds.

    Raises
    ------
    DataError
        There is nothing to plan.
    """
    inputs = observation.inputs()
    place = observation.workspace
    special = observation.special()
    execution = observation.resolved.configuration.execution
    last = read_origin(place).get("crds", "")
    online = online and bool(REFERENCE_STAGES & set(selection.stages))
    crds = context_name(embedded=inputs.embedded, pinned=execution.crds_context, last=last, online=online)
    with _no_garbage_collection():
        jobs = make_jobs(inputs, place, special)
        plan = Plan(jobs, observation.resolved.configuration, Shelf(place, ledger), ledger, crds)
        plan.states  # noqa: B018  computed here, once
    return Prospect(inputs, plan, selection.choose(jobs), unused(special, inputs))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A plan is many objects that all stay; looking for garbage among them takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_observation(observation: Observation, options: RunOptions, progress: Progress) -> RunReport:
    """Process an observation.

    Parameters
    ----------
    observation : Observation
        What is processed.
    options : RunOptions
        How.
    progress : Progress
        Where progress goes.

    Returns
    -------
    RunReport

    Raises
    ------
    DataError
        Nothing can be run at all, or another run works in the workspace.
    """
    place, shard = observation.workspace, options.selection.shard
    name = shard.name if shard else ""
    run = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ") + (f"-{name}" if name else "")
    if not place.folder.exists():  # what cannot be run leaves nothing behind
        look_at(observation, Ledger.open(place, read_only=True), options.selection, online=True)
    with locked(place, name), Events(place.events / f"{run}.jsonl") as events:
        ledger = Ledger.open(place, run, shard=name)
        try:
            prospect = look_at(observation, ledger, options.selection, online=True)
            if not shard:
                _clear(place, prospect.plan.shelf.leftovers)
            link_in(prospect.inputs, place)
            runner = _Runner(observation, options, progress, prospect, events)
            return runner.run()
        finally:
            ledger.close()


@dataclass
class _Runner:
    observation: Observation
    options: RunOptions
    progress: Progress
    prospect: Prospect
    events: Events
    recorder: Recorder = field(default_factory=Recorder)

    @property
    def workers(self) -> int:
        execution = self.observation.resolved.configuration.execution
        return self.options.jobs or execution.jobs or default_jobs()

    def run(self) -> RunReport:
        """Run what is chosen, and write the summary."""
        plan, chosen = self.prospect.plan, self.prospect.chosen
        write_origin(self.observation, plan.crds)
        problems = self._problems()
        self._begin(plan, chosen, problems)
        for note in self.prospect.notes:
            self.progress.say(f"note: {note}")
        start = time.monotonic()
        for outcome in problems:
            self._ended(outcome)
        for outcome in [*problems, *self._mended(problems)]:
            plan.ledger.add(outcome)
            self.events.ended(outcome)
        policy = Policy(self.options.rerun, self.options.overwrite, self._execution.retries)
        with peak_memory() as peak, _scratch() as scratch:
            Scheduler(
                plan,
                chosen,
                policy,
                self.observation.workspace,
                lambda: self._executor(scratch),
                self.events,
                started=self._started,
                ended=self._ended,
            ).run()
        self._summarise()
        again = plan
        if any(o.status != SKIPPED for found in self.recorder.outcomes.values() for o in found):
            again = Plan(plan.jobs, plan.config, plan.shelf, plan.ledger, plan.crds)
        stale = sum(again.states[k].status == STALE for k in chosen)
        report = RunReport(self.recorder.stages(), time.monotonic() - start, peak[0], stale)
        self.events.write("finish", **Counter(o.status for o in report.outcomes), stale=stale)
        return report

    def _summarise(self) -> None:
        """Write the catalogue when there is anything new; a shard leaves that to the whole run that follows."""
        place, plan = self.observation.workspace, self.prospect.plan
        if self.options.selection.shard:
            return
        written = plan.shelf.look_again(place.summary("ecsv"))
        spectra = (path for job in plan.jobs if job.stage in IN_CATALOGUE for path in job.outputs)
        looks = [look for path in spectra if (look := plan.shelf.look(path))]
        gone = any(o.status == NO_WORK for found in self.recorder.outcomes.values() for o in found)
        new = written is None or gone or any(changed > written[1] for _, changed in looks)
        if new or _is_earlier(place.summary("fits")):
            write_summary(place)

    @property
    def _execution(self) -> ExecutionSettings:
        return self.observation.resolved.configuration.execution

    def _begin(self, plan: Plan, chosen: list[int], problems: list[Outcome]) -> None:
        totals = Counter(plan.jobs[k].stage for k in chosen)
        if problems:
            totals = Counter({INPUT: len(problems)}) + totals
        facts = {"version": __version__, "host": socket.gethostname(), "pid": os.getpid(), "workers": self.workers}
        self.events.write("begin", **facts, crds=plan.crds, jobs=dict(totals))
        self.progress.begin(totals, usual_seconds(plan.ledger), self.workers)

    def _started(self, job: Job) -> None:
        self.recorder.started(job)

    def _ended(self, outcome: Outcome) -> None:
        self.recorder.ended(outcome)
        self.progress.tick(outcome)

    def _problems(self) -> list[Outcome]:
        found = self.prospect.inputs.problems
        return [Outcome(INPUT, Path(str(p.file)).name, DATA_ERROR, str(p)) for p in found]

    def _mended(self, problems: list[Outcome]) -> list[Outcome]:
        """What an earlier run could not use, and is no problem now."""
        now = {o.key for o in problems}
        said = [o for o in self.prospect.plan.ledger.latest.values() if o.task == INPUT and o.status == DATA_ERROR]
        return [replace(o, status=DONE, reason="") for o in said if o.key not in now]

    def _executor(self, scratch: Path) -> Executor:
        """Make ready what the workers need, and the workers; only called when there is a job to run."""
        inputs, plan, say = self.prospect.inputs, self.prospect.plan, self.progress.say
        place = self.observation.workspace
        environment = reference_environment(plan.crds, embedded=inputs.embedded, say=say) | thread_environment()
        if not inputs.embedded:
            self._prefetch(environment)
        configuration = self.observation.resolved.configuration
        if (self.options.executor or self._execution.executor) == "parsl":
            from nirfire.pipeline.cluster import ParslExecutor

            memory = self._execution.worker_memory
            return ParslExecutor(configuration.cluster, environment, place.folder, memory=memory)
        environment["TMPDIR"] = str(scratch)
        return LocalPool(self.workers, environment, memory=self._execution.worker_memory)

    def _prefetch(self, environment: dict[str, str]) -> None:
        """Have all references downloaded once; what is said here, the jobs concerned will say again."""
        plan = self.prospect.plan
        stages = REFERENCE_STAGES & {plan.jobs[k].stage for k in self.prospect.chosen}
        names = {plan.jobs[k].exposure for k in self.prospect.chosen if plan.states[k].status in (TODO, STALE)}
        if self.options.overwrite:
            names = {plan.jobs[k].exposure for k in self.prospect.chosen}
        paths = [e.path for e in self.prospect.inputs.exposures if str(e.name) in names]
        if not (stages and paths):
            return
        steps = {"detector": plan.config.detector.all_steps(), "calibrate": plan.config.calibrate.all_steps()}
        report = prefetch_apart(paths, stages, self.progress.say, environment=environment, steps=steps)
        for problem in report.problems:
            self.progress.say(f"reference: {problem}")


def _is_earlier(summary: Path) -> bool:
    """True for a summary that another version wrote, or that is damaged."""
    try:
        return summary.is_file() and (read_facts(summary) or {}).get("task") != SUMMARY
    except DataError:
        return True


def write_summary(place: Workspace) -> None:
    """Write the catalogue of all spectra of a workspace."""
    from nirfire.tasks.summary import summary

    pairs: list[tuple[Path, Path | None]] = []
    for source in place.find_sources():
        for spec in place.find_combined(source, SPEC):
            zfit = zfit_of(spec)
            pairs.append((spec, zfit if zfit.exists() else None))
    joints = [path for source in place.find_sources() if (path := place.joint_zfit(source)).exists()]
    inputs = {path.name: read_fingerprint(path) for path in (*(p for pair in pairs for p in pair if p), *joints)}
    facts = json.dumps({"task": SUMMARY, "inputs": inputs}, sort_keys=True)
    made = Provenance(facts, hashlib.sha256(facts.encode()).hexdigest()[:16], "")
    with recording(made):
        summary(pairs, [place.summary("fits"), place.summary("ecsv")], joints)  # the last says that all is written


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what workers write for a moment; what runs that were killed left there is removed."""
    mine = Path(tempfile.gettempdir()) / f"{SCRATCH}{socket.gethostname()}-{os.getpid()}"
    for other in mine.parent.glob(f"{SCRATCH}{socket.gethostname()}-*"):
        pid = other.name.rpartition("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(other, ignore_errors=True)  # leaves alone what other people's runs left
    mine.mkdir(mode=0o700, exist_ok=True)
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _clear(place: Workspace, leftovers: list[Path]) -> None:
    """Remove the unfinished files of runs that were killed."""
    others = [path for folder in (place.folder, place.catalogue) for path in folder.glob(f"{PART}*")]
    for path in [*leftovers, *others, *place.report.rglob(f"{PART}*")]:
        path.unlink(missing_ok=True)


def default_jobs() -> int:
    """One worker per core, as far as the free memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(psutil.virtual_memory().available / 1e9 / WORKER_GB)))


def usual_seconds(ledger: Ledger) -> dict[str, float]:
    """Mean wall time of a job by stage, of those that were done."""
    total: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for outcome in ledger.latest.values():
        if outcome.status == DONE:
            total[outcome.task] += outcome.seconds  # type: ignore[assignment]
            number[outcome.task] += 1
    return {stage: total[stage] / number[stage] for stage in number}
