"""Running planned jobs on a pool of persistent worker processes, with progress."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from nirfire.pipeline import worker
from nirfire.pipeline.jobs import SKIPPED, Job, Ledger, Outcome

SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class StageReport:
    """What one stage cost.

    Attributes
    ----------
    stage : str
        Name of the stage.
    outcomes : tuple of Outcome
        How its jobs ended.
    seconds : float
        Wall time.
    peak_memory : float
        Largest sum of the resident memory of this process and its workers [GB].
    """

    stage: str
    outcomes: tuple[Outcome, ...]
    seconds: float
    peak_memory: float


class Pool:
    """Worker processes that live as long as the run, since importing the stock pipeline takes seconds.

    Parameters
    ----------
    n : int
        Number of workers.
    environment : dict
        Environment variables of the workers.
    """

    def __init__(self, n: int, environment: dict[str, str]) -> None:
        self._environment = environment
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(n, context, initializer=worker.prepare)

    def run(self, jobs: list[Job], logs: Path, done: Callable[[Outcome], None]) -> list[Outcome]:
        """Run jobs; `done` is called with each outcome as it comes."""
        with _environ(self._environment):  # workers start on submission and inherit it
            futures = [self._executor.submit(worker.run, job, logs / log_name(job)) for job in jobs]
        outcomes = []
        for future in as_completed(futures):
            outcome = future.result()
            done(outcome)
            outcomes.append(outcome)
        return outcomes

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._executor.shutdown(wait=kind is None, cancel_futures=True)


@contextmanager
def _environ(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def log_name(job: Job) -> str:
    """File name of a job's log."""
    return f"{job.task}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', job.key)}.log"


def run_stage(
    stage: str,
    jobs: list[Job],
    pool: Pool,
    ledger: Ledger,
    logs: Path,
    *,
    overwrite: bool = False,
    tick: Callable[[Outcome], None] = lambda outcome: None,
) -> StageReport:
    """Run the jobs of one stage that need running, and write every outcome to the ledger.

    Parameters
    ----------
    stage : str
        Name of the stage.
    jobs : list of Job
        What is planned.
    pool : Pool
        Workers.
    ledger : Ledger
        Memory of the workspace.
    logs : Path
        Folder of the jobs' logs.
    overwrite : bool
        Run also what is finished.
    tick : callable
        Called with each outcome.

    Returns
    -------
    StageReport
    """
    start = time.perf_counter()
    outcomes: list[Outcome] = []
    waiting = []
    for job in jobs:
        reason = None if overwrite else ledger.skip_reason(job)
        if job.ended:
            outcomes.append(Outcome(job.task, job.key, *job.ended))
            ledger.add(outcomes[-1])
        elif reason:
            outcomes.append(Outcome(job.task, job.key, SKIPPED, reason))
        else:
            waiting.append(job)
            continue
        tick(outcomes[-1])

    def finished(outcome: Outcome) -> None:
        ledger.add(outcome)
        tick(outcome)

    with peak_memory() as peak:
        outcomes += pool.run(waiting, logs, finished)
    return StageReport(stage, tuple(outcomes), time.perf_counter() - start, peak[0])


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Sample the resident memory of this process and its children; gives a list of one number [GB]."""
    peak, stop = [0.0], threading.Event()
    me = psutil.Process()

    def sample() -> None:
        while True:
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], total / 1e9)
            if stop.wait(SAMPLE_SECONDS):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
