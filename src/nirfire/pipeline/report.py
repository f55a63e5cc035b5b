"""What a run did and what it cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from nirfire.pipeline.jobs import Job, Outcome, worst

SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class StageReport:
    """What one stage did.

    Attributes
    ----------
    stage : str
        Name of the stage.
    outcomes : tuple of Outcome
        How its jobs ended.
    seconds : float
        From the start of its first job to the end of its last.
    """

    stage: str
    outcomes: tuple[Outcome, ...]
    seconds: float = 0.0

    @property
    def peak_memory(self) -> float:
        """Largest memory of one worker in this stage [GB]."""
        return max((o.memory for o in self.outcomes), default=0.0)


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes
    ----------
    stages : tuple of StageReport
        Per stage, in the order of the recipe.
    seconds : float
        Wall time of the jobs.
    peak_memory : float
        Largest sum of the resident memory of this process and its workers [GB].
    stale : int
        Products that are stale, and were not made anew.
    """

    stages: tuple[StageReport, ...]
    seconds: float = 0.0
    peak_memory: float = 0.0
    stale: int = 0

    @property
    def outcomes(self) -> list[Outcome]:
        return [o for stage in self.stages for o in stage.outcomes]

    @property
    def exit_code(self) -> int:
        return worst(self.outcomes)


@dataclass
class Recorder:
    """Sorts outcomes by stage as they come, and takes the time."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def started(self, job: Job) -> None:
        """Note the start of a job."""
        self.first.setdefault(job.stage, time.monotonic())

    def ended(self, outcome: Outcome) -> None:
        """Note the end of a job."""
        self.outcomes.setdefault(outcome.task, []).append(outcome)
        self.last[outcome.task] = time.monotonic()

    def stages(self) -> tuple[StageReport, ...]:
        """The reports of all stages that had jobs, in the order in which the first of each ended."""
        return tuple(
            StageReport(stage, tuple(found), self.last[stage] - self.first.get(stage, self.last[stage]))
            for stage, found in self.outcomes.items()
        )


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
