"""Running a plan: what is ready is started, what has ended is recorded, and what hangs on it is looked at anew."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from nirfire.errors import DataError
from nirfire.pipeline.events import Events
from nirfire.pipeline.executors import Executor, Lost
from nirfire.pipeline.jobs import BAD, BLOCKED, DONE, FAILED, NO_WORK, SKIPPED, Job, Order, Outcome
from nirfire.pipeline.plan import INCOMPLETE, Made, Plan
from nirfire.pipeline.ready import Ready
from nirfire.products.naming import Workspace, job_log
from nirfire.products.provenance import Provenance

MISSING, STALE = "missing", "stale"
UNFINISHED = (*BAD, BLOCKED)
DEATHS = 10  # of workers, one after the other, with which a run gives up


@dataclass(frozen=True)
class Policy:
    """Which jobs are run, of those that are chosen.

    Attributes
    ----------
    rerun : str
        ``missing``: those without product. ``stale``: also those whose product is stale.
    overwrite : bool
        All.
    retries : int
        How often I/O and network errors are tried again; a job whose worker died is tried again once.
    """

    rerun: str = MISSING
    overwrite: bool = False
    retries: int = 2


@dataclass
class Scheduler:
    """Runs the chosen jobs of a plan.

    Attributes
    ----------
    plan : Plan
        The jobs.
    chosen : iterable of int
        Numbers of the jobs that may run.
    policy : Policy
        Which of them must.
    workspace : Workspace
        Where the logs go.
    executor : callable
        Makes the executor, when the first job must run.
    events : Events
        Told of everything.
    started, ended : callable
        Called when a job starts (its number) and ends (its outcome).
    """

    plan: Plan
    chosen: Iterable[int]
    policy: Policy
    workspace: Workspace
    executor: Callable[[], Executor]
    events: Events
    started: Callable[[Job], None] = lambda job: None
    ended: Callable[[Outcome], None] = lambda outcome: None
    _status: dict[int, str] = field(default_factory=dict)
    _lost: set[int] = field(default_factory=set)
    _deaths: int = 0
    _waiting: dict[int, int] = field(default_factory=dict)
    _heirs: dict[int, list[int]] = field(default_factory=dict)
    _ready: Ready = field(init=False)

    def run(self) -> list[Outcome]:
        """Run to the end; jobs earlier in the recipe go first.

        Returns
        -------
        list of Outcome
            In the order in which they ended.
        """
        self._link()
        last = ""
        outcomes: list[Outcome] = []
        executor: Executor | None = None
        running: dict[tuple[str, str], int] = {}
        finished = False
        try:
            while self._ready or running:
                while self._ready and (executor is None or len(running) < self._room(executor)):
                    k = self._ready.pop(last, [self._group(r) for r in running.values()])
                    decision = self._decide(k)
                    if isinstance(decision, Outcome):
                        outcomes.append(self._end(k, decision))
                        continue
                    executor = executor or self.executor()
                    self.events.write("start", task=decision.stage, key=decision.key)
                    self.started(self.plan.jobs[k])
                    executor.start(decision)
                    running[decision.stage, decision.key] = k
                    last = ""
                if running:
                    assert executor is not None
                    found = executor.next()
                    k = running.pop(found.id)
                    last = self._group(k)
                    ended = self._take(found, k)
                    outcomes += [ended] if ended else []
            finished = True
        finally:
            if executor is not None:
                executor.close(kill=not finished)
            self.plan.ledger.commit()
        return outcomes

    def _link(self) -> None:
        chosen = sorted(set(self.chosen))
        for k in chosen:
            before = [p for p in self.plan.producers_of(k) if p in self._waiting]
            self._waiting[k] = len(before)
            for p in before:
                self._heirs.setdefault(p, []).append(k)
        self._ready = Ready(self._group)
        for k in chosen:
            if self._waiting[k] == 0:
                self._ready.push(k)

    def _room(self, executor: Executor) -> int:
        """How many orders to hold. With one for each worker, who ends a job gets the next, of the same group."""
        return executor.workers if self._ready.shares else executor.slots

    def _group(self, k: int) -> str:
        """What a job shares with others; empty if nothing."""
        job = self.plan.jobs[k]
        return str(job.inputs[0]) if job.task.shares else ""

    def _take(self, ended: Outcome | Lost, k: int) -> Outcome | None:
        """Deal with an order that has ended; None when the job is tried again."""
        if isinstance(ended, Lost):
            order = ended.order
            self.events.write("lost", task=order.stage, key=order.key, reason=ended.reason)
            self._deaths += 1
            if self._deaths >= DEATHS:
                raise DataError(
                    f"{DEATHS} workers died one after the other, and no job ended: {ended.reason}",
                    key=f"{order.stage} {order.key}",
                    remedy="use fewer workers (-j), or see that jwst can be imported here; then run again",
                )
            if k not in self._lost:
                self._lost.add(k)
                self._ready.push(k)
                return None
            fingerprint = order.provenance.fingerprint if order.provenance else ""
            reason = f"{ended.reason} (twice)"
            ended = Outcome(order.stage, order.key, FAILED, reason, fingerprint=fingerprint, log=str(order.log))
        else:
            self._deaths = 0
        return self._end(k, ended)

    def _decide(self, k: int) -> Order | Outcome:
        """Make the order for a job, or say how it ends without being run."""
        job = self.plan.jobs[k]
        made = self.plan.actual(job)
        ended = self._without_inputs(job, made)
        if ended and ended.status != NO_WORK:
            return ended
        if not self.policy.overwrite:
            reason = self._known_no_work(job, made) or ("" if ended else self._finished(job, made))
            if reason:
                return Outcome(job.stage, job.key, SKIPPED, reason, fingerprint=made.fingerprint)
        if ended:
            return ended
        log = job_log(job.stage, job.key)
        arguments = {**job.arguments, **self.plan.asked(job)}
        settings = getattr(self.plan.config, job.stage, None)
        if settings is not None:
            arguments["settings"] = settings
        if job.task.gather:
            present = self.plan.present(job)
            arguments[job.task.gather] = [job.gathered[i] for i in present]
            if job.task.paired:
                arguments[job.task.paired] = self.plan.products(job)
        provenance = Provenance(made.facts, made.fingerprint, str(log))
        place = self.workspace.folder / log
        return Order(job.stage, job.key, job.task.call, arguments, place, provenance, self.policy.retries)

    def _without_inputs(self, job: Job, made: Made) -> Outcome | None:
        """How a job ends whose inputs are not there; None when it can go on."""
        for path in (*job.inputs, *job.gathered):
            k = self.plan.producer(path)
            failed = k is not None and self._status.get(k) in UNFINISHED
            if failed and (path in job.inputs or self.plan.shelf.there(path)):
                kept = "; what was made earlier is kept" if self.plan.shelf.there(path) else ""
                return Outcome(job.stage, job.key, BLOCKED, f"{self._name(k)} did not succeed{kept}")
        wanted = [path for path in job.inputs if not self.plan.shelf.there(path)]
        if not wanted and job.gathered and not self.plan.present(job):
            wanted = list(job.gathered)
        if not wanted:
            return None
        for path in wanted:
            k = self.plan.producer(path)
            if k is None:
                return Outcome(job.stage, job.key, BLOCKED, f"{path.name} is not there")
            if not self.plan.no_work(k):
                why = "did not succeed" if k in self._status else "has not been run"
                return Outcome(job.stage, job.key, BLOCKED, f"{self._name(k)} {why}")
        k = self.plan.producer(wanted[0])
        reason = self.plan.ledger.latest[self.plan.jobs[k or 0].id].reason
        return Outcome(job.stage, job.key, NO_WORK, reason, fingerprint=made.fingerprint)

    def _name(self, k: int | None) -> str:
        return " ".join(self.plan.jobs[k].id) if k is not None else ""

    def _finished(self, job: Job, made: Made) -> str:
        """Why a job need not run; empty when it must."""
        stored = self.plan.stored(job)
        if stored == made.fingerprint:
            return "its product is up to date"
        if stored is not None and not stored.endswith(INCOMPLETE) and self.policy.rerun != STALE:
            return "its product exists"
        return ""

    def _known_no_work(self, job: Job, made: Made) -> str:
        """Why there was no work in the same inputs; empty when that is not known."""
        last = self.plan.ledger.latest.get(job.id)
        known = last and last.status == NO_WORK and last.fingerprint == made.fingerprint
        return last.reason if last and known and self.plan.stored(job) is None else ""

    def _end(self, k: int, outcome: Outcome) -> Outcome:
        """Record an outcome, and free the jobs that waited for it."""
        job = self.plan.jobs[k]
        if outcome.status == DONE:
            outcome = self._check_products(job, outcome)
        if outcome.status in (DONE, NO_WORK):
            self._remove(job, kept=self.plan.products(job) if outcome.status == DONE else ())
        if outcome.status != SKIPPED:
            if outcome.log:
                log = Path(outcome.log).relative_to(self.workspace.folder)
                outcome = replace(outcome, log=str(log))
            self.plan.ledger.add(outcome)
            self.events.ended(outcome)
        self._status[k] = outcome.status
        for heir in self._heirs.pop(k, ()):
            self._waiting[heir] -= 1
            if self._waiting[heir] == 0:
                self._ready.push(heir)
        self.ended(outcome)
        return outcome

    def _check_products(self, job: Job, outcome: Outcome) -> Outcome:
        """See that a job that is done left what it promised, and remember what it looks like."""
        for path in self.plan.products(job):
            look = self.plan.shelf.look_again(path)
            if look is None:
                return replace(outcome, status=FAILED, reason=f"it left no {path.name}")
            self.plan.ledger.remember(str(path), *look, outcome.fingerprint)
        return outcome

    def _remove(self, job: Job, kept: Collection[Path]) -> None:
        """Remove earlier products of a job that it does not make any more."""
        for path in (*job.outputs, *job.dropped):
            if path not in kept and self.plan.shelf.there(path):
                path.unlink(missing_ok=True)
                self.plan.shelf.look_again(path)
                self.events.write("removed", task=job.stage, key=job.key, file=path.name)
