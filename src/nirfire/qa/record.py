"""What a report remembers of its figures, so that only those that are out of date are drawn again."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nirfire.products.atomic import write_text
from nirfire.products.naming import Workspace
from nirfire.qa.drawing import DIED, FIGURES, Drawn, Task
from nirfire.qa.html import Picture

RECORD = "record.json"


@dataclass
class Record:
    """What came of each task, and the state of its inputs when it was drawn.

    Attributes
    ----------
    path : Path
        The file, ``report/figures/record.json``; it may be deleted, and everything is drawn anew.
    known : dict of str to (str, Drawn)
        By the task's key.
    written : float
        When it was last written, or read, by the clock `time.monotonic`.
    """

    path: Path
    known: dict[str, tuple[str, Drawn]] = field(default_factory=dict)
    written: float = field(default_factory=time.monotonic)

    @classmethod
    def open(cls, workspace: Workspace) -> Record:
        """Read the record of a report; one that is absent or damaged is empty."""
        path = workspace.report / FIGURES / RECORD
        try:
            content = json.loads(path.read_text())
            known = {key: (str(row["state"]), _drawn(row)) for key, row in content.items()}
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            known = {}  # all is drawn anew
        return cls(path, known)

    def get(self, task: Task) -> Drawn | None:
        """What came of a task, whether it is up to date or not."""
        found = self.known.get(task.key)
        return found[1] if found else None

    def is_current(self, task: Task, state: str) -> bool:
        """True when a task was drawn from inputs as they are, and its figures are there."""
        found = self.known.get(task.key)
        if found is None or found[0] != state:
            return False
        report = task.workspace.report
        if any(picture.problem == DIED for picture in found[1].pictures):
            return False
        return all(picture.problem or (report / picture.address).is_file() for picture in found[1].pictures)

    def keep(self, task: Task, state: str, drawn: Drawn) -> None:
        """Remember what came of a task."""
        self.known[task.key] = state, drawn

    def forget_others(self, tasks: list[Task]) -> None:
        """Drop tasks that are not there any more."""
        keys = {task.key for task in tasks}
        self.known = {key: value for key, value in self.known.items() if key in keys}

    def write(self, every: float = 0.0) -> None:
        """Write the record, unless it was written less than `every` seconds ago."""
        if time.monotonic() - self.written < every:
            return
        rows = {key: {"state": state} | _plain(drawn) for key, (state, drawn) in self.known.items()}
        write_text(self.path, json.dumps(rows) + "\n")
        self.written = time.monotonic()


def _plain(drawn: Drawn) -> dict[str, Any]:
    return {
        "pictures": [[p.address, p.caption, p.problem] for p in drawn.pictures],
        "facts": [list(fact) for fact in drawn.facts],
        "values": [[name, _none(value)] for name, value in drawn.values],
        "measured": [[check, _none(value), _none(error), subject] for check, value, error, subject in drawn.measured],
    }


def _drawn(row: dict[str, Any]) -> Drawn:
    return Drawn(
        tuple(Picture(*picture) for picture in row["pictures"]),
        tuple((str(name), str(value)) for name, value in row["facts"]),
        tuple((str(name), _nan(value)) for name, value in row["values"]),
        tuple((str(check), _nan(value), _nan(error), str(subject)) for check, value, error, subject in row["measured"]),
    )


def _none(value: float | str) -> float | str | None:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nan(value: Any) -> Any:
    return math.nan if value is None else value
