"""Rows of SHUTTER_INFO: which are open, which make up the slit of a source, and how a slit is changed.

Rows are a structured array with the columns of the table; functions that change some return new ones.
``shutter_row`` runs along the dispersion (1 to 365), ``shutter_column`` across it (1 to 171). The place of a source in
its shutter, ``estimated_source_in_shutter_x`` and ``_y``, is in pitches from 0 to 1: a source is at
``(shutter_row + x, shutter_column + y)`` of its quadrant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

LARGEST_GAP = 3  # shutters; groups further apart than this are separate slits
N_ROW, N_COLUMN = 365, 171  # shutters of a quadrant, along and across the dispersion
X, Y = "estimated_source_in_shutter_x", "estimated_source_in_shutter_y"
STELLARITY = {"point": 1.0, "extended": 0.0}  # the stock pipeline takes more than 0.75, and less than 0, for a point


@dataclass(frozen=True)
class SourceOptions:
    """How the slit of one source is to be calibrated.

    Attributes
    ----------
    closed : tuple of int
        Ordinals (1 = lowest ``shutter_column`` of the slit) of shutters that are stuck closed. Their rows are dropped.
    position : mapping of int to (float, float)
        Measured position in place of the planned one: dither point -> (x, y) in pitches from the origin of the
        *planned* shutter. With y below 0 or above 1 the source is in a neighbouring shutter; where that is closed, or
        x is outside 0 to 1, the source is in no open shutter at this dither point and has no primary row.
    source_type : str
        ``point``, ``extended``, or ``catalogue``: as the stellarity of SOURCE_INFO says.
    pad : int
        Lengthen the slit by this many shutters at each end, within the quadrant, so that the cutout has a wavelength
        beyond its edges (known issue NS-MOS06). Only the outermost is written as open. With ``pad = 1`` that is the
        neighbour of the last shutter, as in the workaround of the known issue, and the stock pathloss of a source in
        a last shutter is then that of an inner one. With 2 or more a closed shutter lies between, and the pathloss of
        a point source stays as it is. That of a uniform source changes for slits of two shutters.
    longest : int
        Cut slits longer than this to that many shutters around the source, at each dither point on its own (known
        issue NS-MOS03); 0 for no limit. From 3 on the pathloss is that of the whole slit. Nods of a slit that is cut
        share fewer shutters, so less of the sky can be had from the others.
    long_slit : bool
        Each shutter is a slit of its own: only that of the source is kept. As ``longest = 1``.
    """

    closed: tuple[int, ...] = ()
    position: Mapping[int, tuple[float, float]] = field(default_factory=dict, hash=False)
    source_type: Literal["point", "extended", "catalogue"] = "point"
    pad: int = 0
    longest: int = 0
    long_slit: bool = False

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.source_type not in ("point", "extended", "catalogue"):
            raise ValueError(f"source_type {self.source_type!r}: use point, extended or catalogue")
        if self.pad < 0 or self.longest < 0:
            raise ValueError("pad and longest are numbers of shutters, 0 or more")

    @property
    def length(self) -> int:
        """Shutters of the longest slit, 0 for no limit."""
        return 1 if self.long_slit else self.longest


def is_fixed_slit(rows: np.ndarray) -> np.ndarray:
    """Rows that stand for a fixed slit (S200A1, ...), shape (n,); older metafiles have no such column."""
    if "fixed_slit" not in (rows.dtype.names or ()):
        return np.zeros(len(rows), bool)
    return np.char.startswith(np.asarray(rows["fixed_slit"], dtype=str), "S")


def is_closed(rows: np.ndarray) -> np.ndarray:
    """Rows of a shutter that is marked CLOSED, shape (n,); stock jwst 3.0 takes it for open."""
    return np.char.upper(np.char.strip(np.asarray(rows["shutter_state"], dtype=str))) == "CLOSED"


def holds_source(rows: np.ndarray) -> np.ndarray:
    """Rows in which a source, of whatever number, is in its shutter, shape (n,)."""
    return np.isfinite(rows[X]) & np.isfinite(rows[Y])


def is_own(rows: np.ndarray, source: int) -> np.ndarray:
    """Rows in which one source is in its shutter, shape (n,)."""
    return np.asarray(rows["source_id"] == source) & holds_source(rows)


def slit_of(rows: np.ndarray, source: int) -> np.ndarray:
    """Rows of the slit in which a source lies.

    A slitlet may hold shutters that are no part of it: in another quadrant or row (jwst issue 8370), or parted by a gap
    larger than `LARGEST_GAP`. The planning tool makes two slitlets of one in which a shutter cannot be opened: where a
    source nods from one to the other they are one slit here, which has the lower number.

    Parameters
    ----------
    rows : structured ndarray, shape (n,)
        Open shutters of a configuration.
    source : int
        A source of it.
    """
    mine = is_own(rows, source)
    if not mine.any():
        mine = np.asarray(rows["source_id"] == source)
    line = np.asarray(rows["shutter_quadrant"], int) * (N_ROW + 1) + np.asarray(rows["shutter_row"], int)
    lines, counts = np.unique(line[mine], return_counts=True)
    best = lines[np.argmax(counts)]
    mine &= line == best
    inside = np.isin(rows["slitlet_id"], rows["slitlet_id"][mine]) & (line == best)
    columns = np.asarray(rows["shutter_column"], int)
    kept = [group for group in groups(columns[inside]) if np.isin(group, columns[mine]).any()]
    chosen = rows[inside & np.isin(columns, np.concatenate(kept))].copy()
    chosen["slitlet_id"] = chosen["slitlet_id"].min()
    return chosen


def groups(columns: np.ndarray) -> list[np.ndarray]:
    """Columns of shutters in increasing order, parted where a gap is larger than `LARGEST_GAP`."""
    columns = np.unique(columns)
    return np.split(columns, np.flatnonzero(np.diff(columns) > LARGEST_GAP) + 1)


def places(rows: np.ndarray, point: int) -> dict[int, tuple[float, float]]:
    """Places of all sources of a slit at one dither point.

    Parameters
    ----------
    rows : structured ndarray, shape (n,)
        The slit (`slit_of`).
    point : int
        Dither point.

    Returns
    -------
    dict of int to (float, float) [pitch]
        Source to x from the middle of its shutter, and y as ``shutter_column``, whole in the middle of a shutter. A
        source that is in no shutter at this point is put where it is, at the others, from those that are; it is left
        out where that is not known.
    """
    found: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
    for row in rows[holds_source(rows) & (rows["source_id"] != 0)]:
        place = np.array([row[X] - 0.5, row["shutter_column"] + row[Y] - 0.5], dtype=float)
        found[int(row["dither_point_index"])][int(row["source_id"])] = place
    here = dict(found.pop(point, {}))
    for source in {s for others in found.values() for s in others} - here.keys():
        seen = [(p[source] - p[s], s) for p in found.values() if source in p for s in p.keys() & here.keys()]
        if seen:
            here[source] = np.mean([here[s] + apart for apart, s in seen if s != source], axis=0)
    return {source: (float(place[0]), float(place[1])) for source, place in sorted(here.items())}


def with_one_source(rows: np.ndarray, source: int) -> np.ndarray:
    """One row per shutter and dither point; those that hold the source are primary, all others are background."""
    rows = rows.copy()
    mine = is_own(rows, source)
    order = np.argsort(~mine, kind="stable")
    keys = np.column_stack([rows["shutter_column"], rows["dither_point_index"]])[order]
    _, first = np.unique(keys, axis=0, return_index=True)
    rows = rows[np.sort(order[first])]
    mine = is_own(rows, source)
    for number in np.flatnonzero(~mine):
        _empty(rows, int(number))
    rows["primary_source"][mine] = "Y"
    rows["background"][mine] = "N"
    return rows


def _empty(rows: np.ndarray, number: int) -> None:
    """Make a row, in place, that of an open shutter without a source."""
    for name, value in (("source_id", 0), ("primary_source", "N"), ("background", "Y"), (X, np.nan), (Y, np.nan)):
        rows[name][number] = value


def moved(rows: np.ndarray, source: int, position: Mapping[int, tuple[float, float]]) -> np.ndarray:
    """Put a source where it was measured, at the dither points of `position`; see `SourceOptions`.

    Raises
    ------
    KeyError
        The source has no planned place at one of these dither points.
    """
    rows = rows.copy()
    points, columns = (np.asarray(rows[name], int) for name in ("dither_point_index", "shutter_column"))
    for point, (x, y) in position.items():
        planned = np.flatnonzero(is_own(rows, source) & (points == point))
        if planned.size == 0:
            raise KeyError(point)
        step = int(np.floor(y)) if y != 1 else 0
        _empty(rows, int(planned[0]))
        target = np.flatnonzero((points == point) & (columns == columns[planned[0]] + step))
        if target.size and 0 <= x <= 1:
            values = (("source_id", source), ("primary_source", "Y"), ("background", "N"), (X, x), (Y, y - step))
            for name, value in values:
                rows[name][int(target[0])] = value
    return rows


def without(rows: np.ndarray, ordinals: tuple[int, ...]) -> np.ndarray:
    """Drop the nth-lowest columns, n counting from 1."""
    columns = np.unique(rows["shutter_column"])
    dropped = [columns[k - 1] for k in ordinals if 1 <= k <= len(columns)]
    return rows[~np.isin(rows["shutter_column"], dropped)]


def shortened(rows: np.ndarray, source: int, length: int) -> np.ndarray:
    """Cut the slit to `length` shutters around the source, at each dither point on its own.

    Where the source is in no open shutter, the cut is around the middle one of its shutters at the other dither points:
    that is the sky which those can best use.
    """
    columns, points = (np.asarray(rows[name], int) for name in ("shutter_column", "dither_point_index"))
    mine = is_own(rows, source)
    usual = np.sort(columns[mine if mine.any() else slice(None)])
    kept = np.zeros(len(rows), bool)
    for point in np.unique(points):
        here = points == point
        own = columns[here & mine]
        centre = own[0] if own.size else usual[usual.size // 2]
        centre = columns[here][np.argmin(np.abs(columns[here] - centre))]
        lowest, highest = columns[here].min(), columns[here].max()
        start = max(min(centre - length // 2, highest - length + 1), lowest)
        kept |= here & (columns >= start) & (columns < start + length)
    return rows[kept]


def padded(rows: np.ndarray, pad: int) -> np.ndarray:
    """Lengthen the slit by `pad` shutters at each end, at each dither point; see `SourceOptions`."""
    columns, points = (np.asarray(rows[name], int) for name in ("shutter_column", "dither_point_index"))
    added = []
    for point in np.unique(points):
        here = np.flatnonzero(points == point)
        lowest, highest = columns[here].min(), columns[here].max()
        for end in {max(1, lowest - pad), min(N_COLUMN, highest + pad)} - {lowest, highest}:
            row = rows[here[:1]].copy()
            _empty(row, 0)
            row["shutter_column"] = end
            added.append(row)
    return np.concatenate([rows, *added])
