"""Progress on the terminal: a bar per stage, the time left, and every bad outcome said as it happens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from nirfire.pipeline.jobs import BAD, BLOCKED, DONE, NO_WORK, SKIPPED, Outcome
from nirfire.pipeline.run import Progress

SHOWN = (*BAD, BLOCKED, NO_WORK, SKIPPED)
LINE_SECONDS = 30.0  # between lines where there is no terminal
DRAW_SECONDS = 0.1
ALL = "all"


@dataclass
class Estimate:
    """Time left, from the mean time of the jobs of each stage, in this run or before it.

    Attributes
    ----------
    left : Counter
        Jobs to come, by stage.
    usual : dict
        Seconds of a job in earlier runs, by stage.
    workers : int
        How many jobs run at once.
    """

    left: Counter[str] = field(default_factory=Counter)
    usual: dict[str, float] = field(default_factory=dict)
    workers: int = 1
    _seconds: Counter[str] = field(default_factory=Counter)
    _number: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> None:
        """Take in an outcome."""
        self.left[outcome.task] -= 1
        if outcome.status == DONE:
            self._seconds[outcome.task] += outcome.seconds  # type: ignore[assignment]
            self._number[outcome.task] += 1

    def seconds(self) -> float | None:
        """Seconds to come; None while a stage is left of which no job was ever done."""
        total = 0.0
        for stage, left in self.left.items():
            if left <= 0:
                continue
            if self._number[stage]:
                total += left * self._seconds[stage] / self._number[stage]
            elif stage in self.usual:
                total += left * self.usual[stage]
            else:
                return None
        return total / self.workers

    def words(self) -> str:
        """For example ``about 12 min left``."""
        seconds = self.seconds()
        if seconds is None or not +self.left:
            return ""
        return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


class TerminalProgress:
    """Progress on standard error: bars on a terminal, else a line now and then.

    Use as a context manager; `hooks` is what `run_observation` wants.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Bars(*columns, console=self.console, auto_refresh=self.console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._totals: dict[str, int] = {}
        self._estimate = Estimate()
        self._drawn = 0.0

    @property
    def hooks(self) -> Progress:
        return Progress(begin=self.begin, tick=self.tick, say=self.say)

    def begin(self, totals: Mapping[str, int], usual: Mapping[str, float], workers: int) -> None:
        """Begin stages of so many jobs."""
        self._estimate = Estimate(Counter(totals), dict(usual), workers)
        self._totals, self._counts = dict(totals), {stage: Counter() for stage in totals}
        for stage, total in totals.items():
            self._tasks[stage] = self._bars.add_task(stage, total=total, note="", start=False)
        if len(totals) > 1:
            self._tasks[ALL] = self._bars.add_task(ALL, total=sum(totals.values()), note="")
        self._drawn = time.monotonic()

    def tick(self, outcome: Outcome) -> None:
        """Count one outcome."""
        stage = outcome.task
        if outcome.status in BAD:
            log = f"\n  log: {outcome.log}" if outcome.log else ""
            said = escape(f"{stage} {outcome.key}\n  {outcome.reason}{log}")
            self.console.print(f"[red]{outcome.status}[/red] {said}", soft_wrap=True)
        counts = self._counts.setdefault(stage, Counter())
        if not counts:
            self._bars.start_task(self._tasks[stage])
        counts[outcome.status] += 1
        self._estimate.count(outcome)
        pause = DRAW_SECONDS if self.console.is_terminal else LINE_SECONDS
        if counts.total() == self._totals.get(stage):
            self._draw(stage)
        elif time.monotonic() - self._drawn > pause:
            self._drawn = time.monotonic()
            self._draw(stage)

    def _draw(self, stage: str) -> None:
        counts, total = self._counts[stage], self._totals.get(stage, 0)
        note = ", ".join(f"{counts[s]} {s}" for s in SHOWN if counts[s])
        left = self._estimate.words()
        if self.console.is_terminal:
            self._bars.update(self._tasks[stage], completed=counts.total(), note=note)
            if ALL in self._tasks:
                done = sum(c.total() for c in self._counts.values())
                self._bars.update(self._tasks[ALL], completed=done, note=left)
        elif counts.total() != counts[SKIPPED]:
            said = ", ".join(filter(None, (f"{stage} {counts.total()}/{total}", note, left)))
            self.console.print(said, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> TerminalProgress:
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._bars.stop()
