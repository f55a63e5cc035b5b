"""`download`."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from nirfire.archive.download import download
from nirfire.archive.options import DownloadOptions
from nirfire.archive.report import DownloadReport, human_size
from nirfire.commands.output import say


class _Transfers:
    """A bar for all files together; on a terminal only."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bars = Bars(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self._here: dict[str, int] = {}
        self._task: TaskID | None = None

    def announce(self, plan: DownloadReport) -> None:
        """Begin, once it is known how much is to come."""
        say(f"{len(plan.files)} files, {human_size(plan.moved)} to download to {plan.folder}")
        self._here = {f.file: f.size - f.moved for f in plan.files}
        self._task = self._bars.add_task("download", total=plan.size, completed=sum(self._here.values()))

    def progress(self, file: str, here: int, size: int) -> None:
        """Note how much of a file is here."""
        if self._task is not None:
            self._bars.advance(self._task, here - self._here.get(file, 0))
            self._here[file] = here

    def __enter__(self) -> _Transfers:
        self._bars.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()


def fetch(options: DownloadOptions) -> int:
    """Download, or list what would be; returns the exit code."""
    with _Transfers() as bars:
        report = download(options, bars.progress, bars.announce)
    if options.dry_run:
        sys.stdout.write(report.table() + "\n")
    else:
        say(report.summary())
    return report.exit_code
