"""nods.toml: which nods of an observation may be background of which, and which take no part; people write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nirfire.errors import DataError
from nirfire.products.by_root import read_by_root
from nirfire.products.naming import ExposureName

ALL, LEFT_OUT = "all", "left_out"
OTHER = re.compile(r"\d{5}_\d{5}")
REMEDY = 'write for example 101 = { 1 = [2, 3], 2 = [], left_out = [4] }; nods of other activities as "05101_00001"'


@dataclass(frozen=True)
class NodList:
    """What is said of one source in one activity; nods are ``GGSAA_EEEEE``.

    Attributes
    ----------
    backgrounds : dict of str to tuple of str
        The nods that may be background of a nod; without any, the nod is no science exposure.
    left_out : frozenset of str
        Nods that are neither.
    """

    backgrounds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    def over(self, other: NodList) -> NodList:
        """Both, of each nod what this one says."""
        return NodList({**other.backgrounds, **self.backgrounds}, self.left_out | other.left_out)


NodLists = dict[str, dict[str, NodList]]
"""root -> source, or ``all`` -> list."""


def nod_name(name: ExposureName) -> str:
    """Activity and exposure, ``GGSAA_EEEEE``."""
    return name.both.partition("_")[2]


def list_of(lists: NodLists, root: str, source: int) -> NodList:
    """What is said of a source in an activity: of the source itself before what is said of all."""
    mine = lists.get(root, {})
    return mine.get(str(source), NodList()).over(mine.get(ALL, NodList()))


def read_nod_lists(path: Path) -> NodLists:
    """Read the file; an absent one is empty.

    Parameters
    ----------
    path : Path
        The TOML file.

    Returns
    -------
    dict

    Raises
    ------
    DataError
        The file is not TOML, or an entry is not of the form asked for.
    """
    return {
        root: {source: _read_list(path, root, source, entry) for source, entry in sources.items()}
        for root, sources in read_by_root(path).items()
    }


def _read_list(path: Path, root: str, source: str, entry: Any) -> NodList:
    if not (re.fullmatch(rf"-?\d+|{ALL}", source) and isinstance(entry, dict)):
        raise DataError("not a source (or all) with a table of nods", file=path, key=f"{root}.{source}", remedy=REMEDY)
    activity = root.partition("_")[2]
    backgrounds: dict[str, tuple[str, ...]] = {}
    left_out: frozenset[str] = frozenset()
    for nod, others in entry.items():
        key = f"{root}.{source}.{nod}"
        listed = _nods(path, key, activity, others)
        if nod == LEFT_OUT:
            left_out = frozenset(listed)
            continue
        (own,) = _nods(path, key, activity, [int(nod) if nod.isdigit() else nod])
        if own in listed:
            raise DataError("a nod cannot be its own background", file=path, key=key, remedy=f"take {nod} out")
        backgrounds[own] = listed
    return NodList(backgrounds, left_out)


def _nods(path: Path, key: str, activity: str, given: Any) -> tuple[str, ...]:
    """Names of nods given as exposure numbers of this activity, or as ``GGSAA_EEEEE``."""
    found = []
    for nod in given if isinstance(given, list) else [None]:
        if isinstance(nod, int) and not isinstance(nod, bool) and 1 <= nod <= 99999:
            found.append(f"{activity}_{nod:05d}")
        elif isinstance(nod, str) and OTHER.fullmatch(nod):
            found.append(nod)
        else:
            raise DataError(f"{given!r} is not a list of nods", file=path, key=key, remedy=REMEDY)
    return tuple(found)
