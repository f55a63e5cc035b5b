"""Jobs, their outcomes, and the ledger that remembers them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DONE, SKIPPED, NO_WORK, DATA_ERROR, FAILED = "done", "skipped", "no-work", "data-error", "failed"
BAD = (DATA_ERROR, FAILED)


@dataclass(frozen=True)
class Job:
    """One call of one task.

    Attributes
    ----------
    task : str
        Name of the task, for the user.
    key : str
        What it is about, for the user: an exposure, or a source in an exposure.
    function : callable
        The task: a function at the top level of a module.
    arguments : dict
        Its keyword arguments; picklable.
    inputs, outputs : tuple of Path
        Files read and written.
    ended : (str, str) or None
        Status and reason, where planning already knows how the job ends; it is then not run.
    """

    task: str
    key: str
    function: Callable[..., object]
    arguments: dict[str, Any]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    ended: tuple[str, str] | None = None

    @property
    def complete(self) -> bool:
        """True when every output exists; a file that exists is complete."""
        return bool(self.outputs) and all(path.exists() for path in self.outputs)

    def fingerprint(self) -> str:
        """Hash of what the inputs look like (size and modification time) and of the arguments."""
        facts = [repr(sorted(self.arguments.items()))]
        for path in self.inputs:
            stat = path.stat() if path.exists() else None
            facts.append(f"{path.name} {stat.st_size} {stat.st_mtime_ns}" if stat else f"{path.name} absent")
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    task, key : str
        The job.
    status : str
        ``done``, ``skipped``, ``no-work``, ``data-error`` or ``failed``.
    reason : str
        Why, where it is not done.
    seconds : float
        Wall time.
    fingerprint : str
        The job's fingerprint when it ran.
    log : str
        Path of the job's log.
    """

    task: str
    key: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    fingerprint: str = ""
    log: str = ""


@dataclass
class Ledger:
    """The outcomes of a workspace, one JSON object per line, appended."""

    path: Path
    latest: dict[tuple[str, str], Outcome] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Read what is there; a last line cut off by an interruption is left out."""
        ledger = cls(path)
        if path.is_file():
            for line in path.read_text().splitlines():
                try:
                    outcome = Outcome(**json.loads(line))
                except (json.JSONDecodeError, TypeError):
                    continue
                ledger.latest[outcome.task, outcome.key] = outcome
        return ledger

    def add(self, outcome: Outcome) -> None:
        """Append one outcome."""
        self.latest[outcome.task, outcome.key] = outcome
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as f:
            f.write(json.dumps(asdict(outcome)) + "\n")

    def skip_reason(self, job: Job) -> str | None:
        """Why a job need not run: its outputs exist, or it found no work in the same inputs. None when it must."""
        if job.complete:
            return "its output exists"
        before = self.latest.get((job.task, job.key))
        if before and before.status == NO_WORK and before.fingerprint == job.fingerprint():
            return before.reason
        return None


def worst(outcomes: Iterable[Outcome]) -> int:
    """Exit code for a set of outcomes: 0 all well, 3 some jobs ended badly."""
    return 3 if any(o.status in BAD for o in outcomes) else 0
