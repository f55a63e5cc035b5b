"""The shutters of a source's slitlet: which they are, what was found of them, and what people say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nirfire.errors import DataError
from nirfire.inspect.slits import Cutout
from nirfire.inspect.stamp import Stamp, stamp
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa import Metafile
from nirfire.products.msa_rows import slit_of
from nirfire.products.naming import SHUTTERS, Workspace
from nirfire.products.shutters import VERDICTS
from nirfire.products.slitcal import shutter_column

OPEN, CLOSED, STUCK, UNKNOWN = "open", "closed", "stuck", "unknown"


@dataclass(frozen=True)
class Found:
    """What detection says of a shutter.

    Attributes
    ----------
    state : str
        ``open``, ``closed``, ``vignetted`` or ``unknown``.
    level, error : float [sky through an open shutter]
    chance : float
        That an open shutter looks as dark as this.
    closed : bool
        Calibration takes it for closed, unless people say otherwise.
    """

    state: str
    level: float
    error: float
    chance: float
    closed: bool


@dataclass(frozen=True)
class Shutter:
    """A shutter of a slitlet.

    Attributes
    ----------
    ordinal : int
        1 is the lowest ``shutter_column``; 0 for one that was commanded closed, between those that were opened.
    column : int
        ``shutter_column``, 1 to 171.
    found : Found or None
        None where nothing was looked at.
    """

    ordinal: int
    column: int
    found: Found | None = None

    def state(self, by_hand: Sequence[int] | None) -> str:
        """``open``, ``closed`` (as commanded), ``stuck`` or ``unknown``, where people say this or nothing."""
        if not self.ordinal:
            return CLOSED
        if by_hand is not None:
            return STUCK if self.ordinal in by_hand else OPEN
        if self.found is None:
            return OPEN
        return STUCK if self.found.closed else UNKNOWN if self.found.state == UNKNOWN else OPEN


def shutters_of(place: Workspace, root: str, source: int, cutouts: Sequence[Cutout]) -> list[Shutter]:
    """The shutters of a source's slitlet, by ordinal; empty where it is not known which were opened.

    Parameters
    ----------
    place : Workspace
        What was found of the shutters counts before the MSA metafile, and that before the headers.
    root : str
        Visit and activity.
    source : int
        Number of the source.
    cutouts : sequence of Cutout
        Those of the source in this root.

    Raises
    ------
    DataError
        A file is damaged.
    """
    found: dict[int, tuple[int, Found | None]] = {}
    for path in sorted(place.exposures.glob(f"{root}*{SHUTTERS}")):
        if not found:
            found = dict(_verdicts(path, stamp(path.stat())).get(source, {}))
    if not found:
        columns = _columns_of_metafile(place, source, cutouts) or _columns_of_headers(cutouts)
        found = {k: (column, None) for k, column in enumerate(columns, 1)}
    shutters = [Shutter(k, column, what) for k, (column, what) in sorted(found.items())]
    known = [s.column for s in shutters]
    between = set(range(min(known), max(known))) - set(known) if known else set()
    return [*shutters, *(Shutter(0, column) for column in sorted(between))]


@lru_cache(maxsize=16)
def _verdicts(path: Path, _version: Stamp) -> dict[int, dict[int, tuple[int, Found | None]]]:
    """source -> ordinal -> shutter_column and what was found."""
    with open_fits(path) as hdus:
        if VERDICTS not in hdus:
            raise DataError(f"table {VERDICTS} is missing", file=path, key=VERDICTS, remedy="redo shutters")
        rows = hdus[VERDICTS].data
        names = ("source", "ordinal", "shutter_column", "state", "level", "error", "chance", "closed")
        columns = [rows[name].tolist() for name in names]
    table: dict[int, dict[int, tuple[int, Found | None]]] = {}
    for source, ordinal, column, *what in zip(*columns, strict=True):
        if source != 0:
            table.setdefault(source, {})[ordinal] = column, Found(*what)
    return table


def _columns_of_metafile(place: Workspace, source: int, cutouts: Sequence[Cutout]) -> list[int]:
    for cutout in cutouts:
        name, number = cutout.cards["MSAMETFL"], cutout.cards["MSAMETID"]
        path = place.exposures / Path(str(name)).name
        if name and isinstance(number, int) and path.is_file():
            rows = Metafile.read(path).open_rows(number)
            if (rows["source_id"] == source).any():
                return [int(c) for c in np.unique(slit_of(rows, source)["shutter_column"])]
    return []


def _columns_of_headers(cutouts: Sequence[Cutout]) -> list[int]:
    """Open shutters as the headers say; none of cutouts that were calibrated with closed ones left out."""
    for cutout in cutouts:
        state, number = str(cutout.cards["SHUTSTA"] or ""), cutout.cards["SHUTTRID"]
        if "x" in state and number is not None and not str(cutout.cards["NFTASK"] or "").startswith("calibrate"):
            first = shutter_column(int(number)) - state.index("x")
            return [first + k for k, mark in enumerate(state) if mark != "0"]
    return []
