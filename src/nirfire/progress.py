"""Progress on the terminal: a bar per stage, and every bad outcome said as it happens."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from nirfire.pipeline.jobs import BAD, NO_WORK, SKIPPED, Outcome
from nirfire.pipeline.run import Progress


class TerminalProgress:
    """Progress bars on standard error.

    Use as a context manager; `hooks` is what `run_folder` wants.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Bars(*columns, console=self.console)
        self._task: TaskID | None = None
        self._counts: dict[str, int] = {}

    @property
    def hooks(self) -> Progress:
        return Progress(start=self.start, tick=self.tick, say=self.say)

    def start(self, stage: str, total: int) -> None:
        """Begin a stage of `total` jobs."""
        self._task = self._bars.add_task(stage, total=total, note="") if total else None
        self._counts = {}

    def tick(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if outcome.status in BAD:
            log = f"\n  log: {outcome.log}" if outcome.log else ""
            said = escape(f"{outcome.task} {outcome.key}\n  {outcome.reason}{log}")
            self.console.print(f"[red]{outcome.status}[/red] {said}", soft_wrap=True)
        self._counts[outcome.status] = self._counts.get(outcome.status, 0) + 1
        if self._task is not None:
            shown = [f"{n} {s}" for s, n in self._counts.items() if s in (*BAD, NO_WORK, SKIPPED)]
            self._bars.update(self._task, advance=1, note=", ".join(shown))

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text)

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()
