"""Tasks, jobs, orders to workers, and how they end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nirfire.products.provenance import Provenance

DONE, SKIPPED, NO_WORK, DATA_ERROR, FAILED, BLOCKED = "done", "skipped", "no-work", "data-error", "failed", "blocked"
BAD = (DATA_ERROR, FAILED)


@dataclass(frozen=True)
class Task:
    """What a stage does.

    Attributes
    ----------
    stage : str
        Name of the stage.
    version : int
        Raised whenever the same inputs and settings would give another product.
    call : str
        The function, ``module:name``; the parent process never imports it.
    about : str
        One line for the user.
    per : str
        What one job is for.
    gather : str
        Argument that takes a list of inputs of which those that exist are used; empty when there is none.
    paired : str
        Argument that takes a list of outputs, one for each of the first gathered inputs.
    stock : bool
        The task runs the stock pipeline, so its version and the CRDS context belong to the fingerprint.
    shares : bool
        A worker shares work among successive jobs with the same first input.
    """

    stage: str
    version: int
    call: str
    about: str
    per: str
    gather: str = ""
    paired: str = ""
    stock: bool = False
    shares: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Job:
    """One call of one task.

    Attributes
    ----------
    task : Task
        What is done.
    key : str
        What it is about, for the user: an exposure, or a source in an exposure.
    arguments : dict
        Keyword arguments of the task, apart from its settings and what it gathers; picklable.
    facts : dict
        Those arguments that are no paths, for the fingerprint; fit for JSON.
    inputs : tuple of Path
        Files that must be there.
    gathered : tuple of Path
        Files of which those that are there are used.
    outputs : tuple of Path
        Files written; where the task pairs them, one for each of the first gathered inputs.
    source : int or None
        The source that it is about.
    exposure : str
        The exposure that it is about, if one.
    grating : str
        The disperser.
    asks : tuple of Path
        Products that say an argument: which shutters are closed for `source`, or how far a visit is off its plan. They
        are waited for, and what they say is an argument.
    dropped : tuple of Path
        Products of an earlier plan, removed when the job is done.
    """

    task: Task
    key: str
    arguments: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()
    gathered: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    source: int | None = None
    exposure: str = ""
    grating: str = ""
    asks: tuple[Path, ...] = ()
    dropped: tuple[Path, ...] = ()

    @property
    def stage(self) -> str:
        return self.task.stage

    @property
    def id(self) -> tuple[str, str]:
        """(stage, key)."""
        return self.task.stage, self.key


@dataclass(frozen=True)
class Order:
    """What a worker is told to do.

    Attributes
    ----------
    stage, key : str
        The job.
    call : str
        The function, ``module:name``.
    arguments : dict
        Its keyword arguments.
    log : Path
        Where the job's log goes.
    provenance : Provenance or None
        What is written into its products.
    retries : int
        How often an I/O or network error is tried again.
    """

    stage: str
    key: str
    call: str
    arguments: dict[str, Any]
    log: Path
    provenance: Provenance | None = None
    retries: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    task, key : str
        The job's stage and key.
    status : str
        ``done``, ``skipped``, ``no-work``, ``data-error``, ``failed`` or ``blocked``.
    reason : str
        Why, where it is not done.
    seconds : float
        Wall time.
    fingerprint : str
        Of what the job made or would have made.
    log : str
        Path of the job's log.
    memory : float
        Largest resident memory of the worker during the job [GB]; 0 where it is not known.
    worker : str
        ``host:pid`` of the worker.
    """

    task: str
    key: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    fingerprint: str = ""
    log: str = ""
    memory: float = 0.0
    worker: str = ""

    @property
    def id(self) -> tuple[str, str]:
        """(stage, key) of the job."""
        return self.task, self.key


def worst(outcomes: Iterable[Outcome]) -> int:
    """Exit code for a set of outcomes: 0 all well, 3 some jobs ended badly or could not be begun."""
    return 3 if any(o.status in (*BAD, BLOCKED) for o in outcomes) else 0
