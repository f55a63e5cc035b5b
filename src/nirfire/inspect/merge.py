"""Merging the votes of several machines: the union by uuid. In any order, and any number of times, it is the same.

But a row of a table that several machines took in has in each the time when that one did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nirfire.errors import DataError
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote
from nirfire.products.naming import INSPECTION


@dataclass(frozen=True)
class Taken:
    """What came from one store.

    Attributes
    ----------
    path : Path
        Its file.
    n_votes, n_new : int
        Votes in it, and those that were not known before.
    """

    path: Path
    n_votes: int
    n_new: int


def store_at(target: Path) -> Path:
    """The store that a path stands for: itself, or that of a workspace.

    Raises
    ------
    DataError
        There is none.
    """
    path = target / INSPECTION if target.is_dir() else target
    if not path.is_file():
        remedy = f"give a workspace that was inspected, or its {INSPECTION}"
        raise DataError("there are no votes", file=path, remedy=remedy)
    return path


def merge(store: Store, others: Iterable[Path], *, force: bool = False, damaged: bool = False) -> list[Taken]:
    """Take the votes of other stores in; these are only read.

    Parameters
    ----------
    store : Store
        Where they go.
    others : iterable of Path
        Stores, or workspaces.
    force : bool
        Also those of another observation.
    damaged : bool
        Take from damaged stores what can still be read; whose votes they are is then not checked.

    Returns
    -------
    list of Taken
        One for each of `others`.

    Raises
    ------
    DataError
        A store is absent, damaged or of another observation, or two different votes have one uuid. What was taken in
        from the stores before it stays.
    """
    found = []
    for other in others:
        path = store_at(other)
        votes = Store.salvage(path) if damaged else _votes_of(path, "" if force else store.observation)
        found.append(Taken(path, len(votes), store.add_many(votes)))
    return found


def _votes_of(path: Path, observation: str) -> list[Vote]:
    """All votes of a store, unless it says that they are of another observation."""
    with Store.open(path, read_only=True) as source:
        named = source.observation
        if named and observation and named != observation:
            raise DataError(
                f"these are votes on {named}, the others are on {observation}",
                file=path,
                remedy="give the store of the same observation, or --force if only its name differs",
            )
        return source.votes()
