"""What is stale in the workspace that is inspected: the plan, looked at again when something has changed."""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request

from nirfire.errors import DataError
from nirfire.inspect.stamp import Stamp, stamp
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.observation import Inputs
from nirfire.pipeline.plan import STALE, Plan
from nirfire.pipeline.run import Prospect, look_at
from nirfire.pipeline.select import Selection
from nirfire.pipeline.stale import roots, why
from nirfire.pipeline.target import Observation, observations
from nirfire.products.naming import REGIONS

REST = 4.0  # a plan that took t is made anew after (REST t) at the earliest, lest a run in progress keeps us busy
EXPLAINED = 8
Sign = tuple[str, Stamp] | None
T = TypeVar("T")


@dataclass(frozen=True)
class Stale:
    """What `nirfire run --rerun stale` would redo.

    Attributes
    ----------
    command : str
        The command.
    jobs : int
        Number of stale products, and of jobs that had no work and may have now.
    sources : list of int
        Sources of these, in increasing order.
    stages : dict of str to int
        Their number by stage, in the order of the recipe.
    why : list of (str, str)
        The first of them, and what has changed; the others are made from these.
    problem : str or None
        Why the workspace cannot be planned.
    """

    command: str
    jobs: int = 0
    sources: list[int] = field(default_factory=list)
    stages: dict[str, int] = field(default_factory=dict)
    why: list[tuple[str, str]] = field(default_factory=list)
    problem: str | None = None

    @classmethod
    def of(cls, plan: Plan, chosen: list[int], command: str) -> Stale:
        """Count what is stale in a plan."""
        late = [k for k in chosen if plan.states[k].status == STALE]
        first = roots(plan, late)
        return cls(
            command,
            len(late),
            sorted({s for k in late if (s := plan.jobs[k].source) is not None}),
            dict(Counter(plan.jobs[k].stage for k in late)),
            [(" ".join(plan.jobs[k].id), why(plan, k)) for k in first[:EXPLAINED]],
        )

    def as_json(self) -> dict[str, Any]:
        """As it is sent to the page."""
        return asdict(self)


class Watch:
    """Looks at the plan of an observation when files have changed since; one thread at a time.

    Parameters
    ----------
    observation : Observation
        What is inspected. Its configuration is read anew each time, as a run would.
    """

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self.command = f"nirfire run {shlex.quote(str(observation.workspace.folder))} --rerun stale"
        self._lock = threading.Lock()
        self._seen: tuple[Any, ...] | None = None
        self._stale = Stale(self.command)
        self._next = 0.0
        self._kept = _Kept()

    def stale(self, *, at_once: bool = False) -> Stale:
        """What is stale now.

        Parameters
        ----------
        at_once : bool
            Look again also if that was done a moment ago, as after an edit.
        """
        with self._lock:
            self._look(at_once=at_once)
            return self._stale

    def inputs(self) -> Inputs:
        """The exposures, looked at again when they have changed; also where the plan cannot be made.

        Raises
        ------
        DataError
            There are none.
        """
        with self._lock:
            return self._inputs(self._fresh())

    def _look(self, *, at_once: bool) -> None:
        if not at_once and time.monotonic() < self._next:
            return
        seen = tuple(self._signs())  # before the look: what changes meanwhile is seen the next time
        if seen == self._seen:
            return
        start = time.monotonic()
        try:
            prospect = self._plan()
            self._stale = Stale.of(prospect.plan, prospect.chosen, self.command)
        except DataError as error:
            self._stale = Stale(self.command, problem=str(error))
        self._seen, self._next = seen, time.monotonic() + REST * (time.monotonic() - start)

    def _plan(self) -> Prospect:
        fresh, place = self._fresh(), self.observation.workspace
        ledger = self._kept.get("ledger", self._ledger_signs(), lambda: Ledger.open(place, read_only=True))
        looked = _Looked(fresh.workspace, fresh.folder, fresh.spec, fresh.resolved, self._inputs(fresh))
        return look_at(looked, ledger, Selection())

    def _fresh(self) -> Observation:
        """The observation with its configuration as it is now."""
        place = self.observation.workspace
        return observations(place.folder)[0] if place.origin.is_file() else self.observation

    def _inputs(self, fresh: Observation) -> Inputs:
        return self._kept.get("inputs", _input_signs(fresh), fresh.inputs)

    def _signs(self) -> Iterator[Any]:
        """What differs when something was edited, made or removed: times of files and of the folders of products."""
        place = self.observation.workspace
        said = [place.stuck_list, place.nod_list, place.positions, place.origin, *place.masks.glob(f"*{REGIONS}")]
        yield from map(_sign, [*sorted(said), place.exposures])
        yield from self._ledger_signs()
        yield from _input_signs(self.observation)
        yield _folder_signs(place.sources)

    def _ledger_signs(self) -> list[Sign]:
        place = self.observation.workspace
        shards = sorted(place.folder.glob(place.shard_ledger("*").name))
        return [_sign(path) for path in (place.ledger, place.ledger.with_name(f"{place.ledger.name}-wal"), *shards)]


@dataclass(frozen=True)
class _Looked(Observation):
    """An observation whose exposures were looked at already."""

    known: Inputs = field(default_factory=Inputs)

    def inputs(self) -> Inputs:
        return self.known


class _Kept:
    """Things that take time to make, and the signs of the files that they were made from."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, Any]] = {}

    def get(self, name: str, signs: Any, make: Callable[[], T]) -> T:
        """What was made when the signs were the same; else it is made now."""
        if name not in self._kept or self._kept[name][0] != signs:
            self._kept[name] = signs, make()
        found: T = self._kept[name][1]
        return found


def _input_signs(observation: Observation) -> list[Any]:
    """Signs of the exposures, or of the files that choose them."""
    spec = observation.spec
    return [_sign(spec.source) if spec else None, _folder_signs(observation.folder)]


def _folder_signs(folder: Path) -> frozenset[Sign]:
    """Name, size and time of all that lies in a folder."""
    try:
        return frozenset(map(_sign, (entry.path for entry in os.scandir(folder))))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _sign(path: Path | str) -> Sign:
    try:
        return str(path), stamp(Path(path).stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


_MAKING = threading.Lock()


def watch(request: Request) -> Watch:
    """The watch of the application that a request has come to; for `fastapi.Depends`."""
    state = request.app.state
    with _MAKING:
        found = getattr(state, "watch", None)
        if found is None:
            found = state.watch = Watch(state.context.observation)
    return found
