"""Events of a run, one JSON object per line, for people and programs that watch it."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from nirfire.errors import DataError
from nirfire.pipeline.jobs import Outcome

END = "end"


class Events:
    """The event file of one run; each line is on disk before the next thing happens.

    Parameters
    ----------
    path : Path
        ``events/<run>.jsonl``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: FileIO | None = None

    def write(self, event: str, **facts: Any) -> None:
        """Append one event.

        Raises
        ------
        DataError
            The disk is full or the folder cannot be written.
        """
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts}, default=str)
        try:
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self.path.open("ab", buffering=0)
                line = "\n" + line if self._stream.tell() else line  # a killed run may have cut its last line off
            data = f"{line}\n".encode()
            if self._stream.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise DataError(
                f"the event file cannot be written: {error.strerror}",
                file=self.path,
                remedy="check free space and permissions of the workspace, then run the same command again",
            ) from error

    def ended(self, outcome: Outcome) -> None:
        """Append how a job ended."""
        self.write(END, **asdict(outcome))

    def __enter__(self) -> Events:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._stream is not None:
            self._stream.close()


def outcomes_of(folder: Path) -> Iterator[tuple[str, float, Outcome]]:
    """(run, time, outcome) of every job that the event files of a folder tell of, oldest run first.

    A line that an interruption cut off is left out.
    """
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                facts = json.loads(line)
                if facts.pop("event") != END:
                    continue
                yield path.stem, facts.pop("time"), Outcome(**facts)
            except (json.JSONDecodeError, KeyError, TypeError):
                continue
