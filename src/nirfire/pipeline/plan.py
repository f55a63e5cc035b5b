"""The plan: every job, what hangs on what, and what state each is in.

A job's fingerprint is a hash of its facts: the task and its version, the settings, the arguments, the fingerprints of
its inputs, and for tasks that run the stock pipeline its version and the CRDS context. It is *expected* when every
input has its own expected fingerprint, and *actual* when it is computed from what the inputs on disk carry. A product
whose stored fingerprint is not the expected one is stale, and so is all that was made from it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nirfire.errors import DataError
from nirfire.pipeline.jobs import BAD, BLOCKED, DONE, NO_WORK, Job
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.shelf import Look, Shelf
from nirfire.products.naming import OFFSETS, SHUTTERS
from nirfire.products.offsets import read_offset
from nirfire.products.shutters import read_closed
from nirfire.tasks.settings import Config

TODO, STALE = "to do", "stale"
MISSING = '"missing"'
INCOMPLETE = "~"  # ends the fingerprint of a product that was made without some of its inputs, or from such a product


@dataclass(frozen=True)
class State:
    """What is known of a job before it runs.

    Attributes
    ----------
    status : str
        ``done``, ``no-work``, ``stale`` or ``to do``.
    reason : str
        Why, where it is not done.
    """

    status: str
    reason: str = ""


@dataclass(frozen=True)
class Made:
    """What a job's products say of how they are made.

    Attributes
    ----------
    facts : str
        JSON: task, settings, versions, arguments, and inputs with their fingerprints.
    fingerprint : str
        Hash of the facts, marked when inputs are missing or incomplete themselves.
    """

    facts: str
    fingerprint: str


class Plan:
    """All jobs of an observation, in the order of the recipe.

    Parameters
    ----------
    jobs : list of Job
        Every job comes after those that make its inputs.
    config : Config
        Settings of the tasks.
    shelf : Shelf
        The files.
    ledger : Ledger
        The outcomes.
    crds : str
        The CRDS context, or the name of the embedded instrument's references.
    """

    def __init__(self, jobs: list[Job], config: Config, shelf: Shelf, ledger: Ledger, crds: str) -> None:
        self.jobs, self.config, self.shelf, self.ledger, self.crds = jobs, config, shelf, ledger, crds
        self._answers: dict[tuple[str, Look | None], Mapping[Any, Any]] = {}
        self.producers = {str(path): k for k, job in enumerate(jobs) for path in job.outputs}
        heads: dict[str, str] = {}
        for task in {job.stage: job.task for job in jobs}.values():
            settings = getattr(config, task.stage, None)
            facts = {"task": f"{task.stage} {task.version}"}
            if settings is not None:
                facts["settings"] = settings.model_dump(mode="json")
            if task.stock:
                facts |= {"jwst": version("jwst"), "crds": crds}
            heads[task.stage] = json.dumps(facts, sort_keys=True)[:-1]
        self._heads = heads

    def producer(self, path: Path) -> int | None:
        """Number of the job that makes this file; None for a file that was given."""
        return self.producers.get(str(path))

    def producers_of(self, k: int) -> set[int]:
        """Numbers of the jobs that this one hangs on."""
        job = self.jobs[k]
        return {p for path in (*job.inputs, *job.gathered, *job.asks) if (p := self.producer(path)) is not None}

    def asked(self, job: Job) -> dict[str, Any]:
        """Arguments of a job that another product says."""
        if not job.asks:
            return {}
        said = [self._answer(path) for path in job.asks]
        if job.asks[0].name.endswith(OFFSETS):
            return {"offsets": {root: place for answer in said for root, place in answer.items()}}
        return {"closed": said[0].get(job.source or 0, ())}

    def _answer(self, path: Path) -> Mapping[Any, Any]:
        """What a product that is asked says; nothing where there is none."""
        look = self.shelf.look(path)
        key = (str(path), look)
        if key not in self._answers:
            read = read_closed if path.name.endswith(SHUTTERS) else read_offset
            try:
                self._answers[key] = read(path) if look else {}
            except DataError as error:
                raise DataError(error.message, file=path, key=error.key, remedy="delete it and run again") from error
        return self._answers[key]

    def ancestors(self, chosen: Iterable[int]) -> set[int]:
        """Numbers of these jobs and of all that they hang on."""
        found: set[int] = set()
        waiting = list(chosen)
        while waiting:
            k = waiting.pop()
            if k not in found:
                found.add(k)
                waiting += self.producers_of(k)
        return found

    def make(self, job: Job, inputs: Iterable[tuple[str, str]], missing: Iterable[str] = ()) -> Made:
        """Facts and fingerprint of a job with these (name, fingerprint) inputs."""
        listed = ", ".join(f'"{name}": "{fingerprint}"' for name, fingerprint in inputs)
        lost = "".join(f', "{name}"' for name in missing)[2:]
        known = job.facts | self.asked(job)
        arguments = f', "arguments": {json.dumps(known, sort_keys=True)}' if known else ""
        facts = (
            f'{self._heads[job.stage]}{arguments}, "inputs": {{{listed}}}{f", {MISSING}: [{lost}]" if lost else ""}}}'
        )
        mark = INCOMPLETE if lost or f'{INCOMPLETE}"' in listed else ""
        return Made(facts, hashlib.sha256(facts.encode()).hexdigest()[:16] + mark)

    @cached_property
    def expected(self) -> list[str]:
        """Fingerprint of every job when all that it hangs on is up to date."""
        given = {str(p): p for job in self.jobs for p in (*job.inputs, *job.gathered) if str(p) not in self.producers}
        self.shelf.digest_all(given.values())
        digests = {name: self.shelf.digest(path) for name, path in given.items()}
        found: list[str] = []
        for job in self.jobs:
            inputs = []
            for path in (*job.inputs, *job.gathered):
                name = str(path)
                k = self.producers.get(name)
                inputs.append((name.rpartition("/")[2], digests[name] if k is None else found[k]))
            found.append(self.make(job, inputs).fingerprint)
        return found

    def present(self, job: Job) -> list[int]:
        """Which of the gathered inputs are there."""
        return [k for k, path in enumerate(job.gathered) if self.shelf.there(path)]

    def products(self, job: Job) -> list[Path]:
        """The outputs that a complete job leaves: where they are paired with inputs, those of inputs that are there."""
        if not job.task.paired:
            return list(job.outputs)
        return [job.outputs[k] for k in self.present(job) if k < len(job.outputs)]

    def stored(self, job: Job) -> str | None:
        """Fingerprint in the products of a complete job; '' when they carry none.

        None when a product is missing, or when they differ: then a run was killed while it replaced them.
        """
        products = self.products(job)
        if not products or not all(self.shelf.there(path) for path in products):
            return None
        found = {self.shelf.stored(path) or "" for path in products}
        return found.pop() if len(found) == 1 else None

    def actual(self, job: Job) -> Made:
        """Facts and fingerprint of a job with its inputs as they are on disk."""
        inputs, missing = [], []
        for path in (*job.inputs, *job.gathered):
            k = self.producer(path)
            if k is None and (path in job.inputs or self.shelf.there(path)):
                inputs.append((path.name, self.shelf.digest(path)))
            elif self.shelf.there(path):
                inputs.append((path.name, self.shelf.stored(path) or "none"))
            elif k is not None and (nothing := self._rightly_absent(path, k)):
                inputs.append((path.name, nothing))
            else:
                missing.append(path.name)
        for path in job.asks:
            k = self.producer(path)
            if k is not None and not self.shelf.there(path) and not self.no_work(k):
                missing.append(path.name)
        return self.make(job, inputs, missing)

    def _rightly_absent(self, path: Path, k: int) -> str | None:
        """Fingerprint of the job that should make a file, where it found no work, or none for this output."""
        job = self.jobs[k]
        if job.task.paired:
            given = self.producer(job.gathered[job.outputs.index(path)])
            if given is not None and self.no_work(given):
                return self.no_work(k) or self.stored(job)
        return self.no_work(k)

    def no_work(self, k: int) -> str | None:
        """Fingerprint with which a job found no work, if it did when it last ran."""
        last = self.ledger.latest.get(self.jobs[k].id)
        return last.fingerprint if last and last.status == NO_WORK else None

    @cached_property
    def states(self) -> list[State]:
        """State of every job."""
        return [self._state(k) for k in range(len(self.jobs))]

    def _state(self, k: int) -> State:
        job, expected = self.jobs[k], self.expected[k]
        stored = self.stored(job)
        last = self.ledger.latest.get(job.id)
        if stored == expected:
            return State(DONE)
        if stored is not None and stored.endswith(INCOMPLETE):
            if stored == self.actual(job).fingerprint:
                n, m = len(self.present(job)), len(job.gathered)
                return State(DONE, f"made from {n} of {m} inputs" if n < m else "made from what was made in part")
            return State(TODO, "made when some of its inputs were missing")
        if stored is not None:
            return State(STALE)
        if last and last.status == NO_WORK and last.fingerprint == expected:
            return State(NO_WORK, last.reason)
        if last and last.status == NO_WORK and last.fingerprint == self.actual(job).fingerprint:
            if last.fingerprint.endswith(INCOMPLETE):
                return State(NO_WORK, last.reason)
            return State(STALE, f"it had no work: {last.reason}")
        if last and last.status in (*BAD, BLOCKED):
            return State(TODO, f"{last.status}: {last.reason}")
        return State(TODO)

    def counts(self, chosen: Iterable[int]) -> dict[str, Counter[str]]:
        """Number of jobs by stage and status."""
        found: dict[str, Counter[str]] = {}
        for k in chosen:
            found.setdefault(self.jobs[k].stage, Counter())[self.states[k].status] += 1
        return found
