"""Defects of MSA metafiles that are known from flight files and public threads; what mends them is in `msa_repair`.

A finding is an error when a source cannot be calibrated, or not as what it is, or the stock pipeline stops; a warning
when something is amiss that leaves the sources usable, one by one; and a note when it only needs to be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nirfire.products.msa import Metafile
from nirfire.products.msa_rows import (
    N_COLUMN,
    N_ROW,
    X,
    Y,
    groups,
    holds_source,
    is_closed,
    is_fixed_slit,
    is_own,
)
from nirfire.products.msa_sky import sky_of

ERROR, WARNING, NOTE = "error", "warning", "note"
REPEATED = (
    "msa_metadata_id",
    "slitlet_id",
    "shutter_quadrant",
    "shutter_row",
    "shutter_column",
    "dither_point_index",
    "source_id",
)
BY_HAND = "correct the rows in SHUTTER_INFO by hand"


class Where(NamedTuple):
    """The part of a metafile that a finding is about; None where it is about more than one."""

    metadata_id: int | None = None
    slitlet: int | None = None
    source: int | None = None


@dataclass(frozen=True)
class Finding:
    """Something about a metafile that is wrong, or that one should know.

    Attributes
    ----------
    kind : str
        A short name, such as ``two-primaries``.
    severity : str
        ``error``, ``warning`` or ``note``.
    where : Where
        Configuration, slitlet and source.
    message : str
        What is the matter.
    remedy : str
        What to do about it; empty when nothing needs to be done.
    repairable : bool
        `msa_repair.repaired` mends it.
    """

    kind: str
    severity: str
    where: Where
    message: str
    remedy: str = ""
    repairable: bool = False


def check_metafile(metafile: Metafile) -> list[Finding]:
    """Look for known defects.

    Parameters
    ----------
    metafile : Metafile

    Returns
    -------
    list of Finding
        Errors first.
    """
    found = list(_catalogue(metafile))
    for metadata_id in metafile.metadata_ids:
        rows = metafile.rows(metadata_id)
        found += _fixed_slits(rows, metadata_id)
        rows = rows[~is_fixed_slit(rows)]
        found += _missing_sources(metafile, rows, metadata_id)
        found += _several_slitlets(rows, metadata_id)
        points = np.unique(rows["dither_point_index"])
        for slitlet, part in slitlets(rows):
            where = Where(metadata_id, slitlet)
            for check in (_closed, _numbers, _shape, _repeated, _primaries, _background, _positions):
                found += check(part, where)
            found += _dither_points(part, where, points)
    order = (ERROR, WARNING, NOTE)
    return sorted(found, key=lambda f: order.index(f.severity))


def slitlets(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Number and rows of each slitlet."""
    numbers = np.asarray(rows["slitlet_id"])
    for number in np.unique(numbers):
        yield int(number), rows[numbers == number]


def shown(values: Iterable[object], most: int = 8) -> str:
    """Some of the values, in words."""
    listed = list(dict.fromkeys(values))
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(str, listed[:most])) + more


def _catalogue(metafile: Metafile) -> Iterator[Finding]:
    ids, counts = np.unique(metafile.sources["source_id"], return_counts=True)
    used = {int(k) for k in np.unique(metafile.shutters["source_id"])}
    for source in ids[counts > 1]:
        message = f"{counts[ids == source][0]} rows in SOURCE_INFO; the first is used"
        yield Finding("catalogued-twice", WARNING, Where(source=int(source)), message, "delete the others", True)
    for high, low in metafile.duplicates.items():
        message = f"less than 0.1 arcsec from source {low}, in the same slitlet: taken for the same, and left out"
        yield Finding("duplicate", NOTE, Where(source=high), message)
    for source in sorted(used & {int(k) for k in ids} - metafile.sky.keys()):
        message = "SOURCE_INFO has no RA, Dec for it"
        yield Finding("no-coordinates", WARNING, Where(source=source), message, "fill them in", True)


def _fixed_slits(rows: np.ndarray, metadata_id: int) -> Iterator[Finding]:
    names = sorted(set(rows["fixed_slit"][is_fixed_slit(rows)])) if is_fixed_slit(rows).any() else []
    for name in names:
        yield Finding("fixed-slit", NOTE, Where(metadata_id), f"{name.strip()} is listed too; it is left out")


def _missing_sources(metafile: Metafile, rows: np.ndarray, metadata_id: int) -> Iterator[Finding]:
    known = set(metafile.sources["source_id"].tolist())
    for source in sorted({int(k) for k in np.unique(rows["source_id"])} - known - {0}):
        own = rows[rows["source_id"] == source]
        where = Where(metadata_id, int(own["slitlet_id"][0]), source)
        if source < 0:
            message = "not in SOURCE_INFO; it is virtual, so nothing is lost"
            yield Finding("missing-source", NOTE, where, message)
            continue
        message = "not in SOURCE_INFO: the stock pipeline would set RA = Dec = 0"
        if sky_of(metafile.open_rows(metadata_id), source, metafile.sky):
            message += "; its sky position follows from those of the others"
            yield Finding("missing-source", WARNING, where, message, "add a row for it", True)
        else:
            yield Finding("missing-source", ERROR, where, message, "add a row for it to SOURCE_INFO")


def _several_slitlets(rows: np.ndarray, metadata_id: int) -> Iterator[Finding]:
    inside = rows[holds_source(rows) & (rows["source_id"] > 0)]
    for source in np.unique(inside["source_id"]):
        own = inside[inside["source_id"] == source]
        numbers = np.unique(own["slitlet_id"])
        where = Where(metadata_id, None, int(source))
        if len(numbers) > 1:
            one_line = len(np.unique(np.column_stack([own["shutter_quadrant"], own["shutter_row"]]), axis=0)) == 1
            if one_line and len(groups(np.asarray(own["shutter_column"]))) == 1:
                message = f"in slitlets {shown(numbers)}, which are one slit with a closed shutter between"
                yield Finding("several-slitlets", NOTE, where, message)
            else:
                message = f"in slitlets {shown(numbers)}, which are far apart; at best one is used"
                yield Finding("several-slitlets", WARNING, where, message, "check the plan of this source")
        points, counts = np.unique(_places(own)[:, 0], return_counts=True)
        if (counts > 1).any():
            message = f"in {counts.max()} shutters at dither point {shown(points[counts > 1])}"
            yield Finding("two-places", ERROR, where, message, BY_HAND)


def _places(rows: np.ndarray) -> np.ndarray:
    keys = ("dither_point_index", "shutter_quadrant", "shutter_row", "shutter_column")
    return np.unique(np.column_stack([rows[k] for k in keys]).astype(int).reshape(-1, 4), axis=0)


def _closed(rows: np.ndarray, where: Where) -> Iterator[Finding]:
    closed, always = is_closed(rows), always_closed(rows)
    if always.any():
        message = (
            f"shutter {shown(np.unique(rows['shutter_column'][always]))} is marked CLOSED; stock jwst 3.0 takes it"
        )
        yield Finding("closed", WARNING, where, message + " for open", "delete these rows", True)
    if (closed & ~always).any():
        message = (
            f"shutter {shown(np.unique(rows['shutter_column'][closed & ~always]))} is marked CLOSED in some rows only"
        )
        yield Finding("closed-at-times", WARNING, where, message + "; these are left out", BY_HAND)


def always_closed(rows: np.ndarray) -> np.ndarray:
    """Rows of a slitlet whose shutter is marked CLOSED in all of its rows, shape (n,)."""
    keys = ("shutter_quadrant", "shutter_row", "shutter_column")
    shutters = np.column_stack([rows[k] for k in keys])
    _, which = np.unique(shutters, axis=0, return_inverse=True)
    is_open = np.bincount(which.ravel(), weights=~is_closed(rows))
    return np.asarray(is_open[which.ravel()] == 0)


def _numbers(rows: np.ndarray, where: Where) -> Iterator[Finding]:
    for name, top in (("shutter_quadrant", 4), ("shutter_row", N_ROW), ("shutter_column", N_COLUMN)):
        wrong = rows[name][(rows[name] < 1) | (rows[name] > top)]
        if len(wrong):
            message = f"{name} is {shown(np.unique(wrong))}, not 1 to {top}"
            yield Finding("no-such-shutter", ERROR, where, message, BY_HAND)


def _shape(rows: np.ndarray, where: Where) -> Iterator[Finding]:
    lines = np.unique(np.column_stack([rows["shutter_quadrant"], rows["shutter_row"]]), axis=0)
    if len(lines) > 1:
        what = "quadrants" if len(np.unique(lines[:, 0])) > 1 else "rows"
        text = shown(f"quadrant {q} row {r}" for q, r in lines.tolist())
        message = f"shutters of several {what} are one slitlet ({text}); see jwst issue 8370"
        yield Finding(f"several-{what}", ERROR, where, message, "number them apart", True)
        return
    parts = groups(np.asarray(rows["shutter_column"]))
    if len(parts) > 1:
        message = f"shutters {shown(_span(p) for p in parts)} are far apart, but one slitlet"
        yield Finding("detached", WARNING, where, message, "number them apart", True)
    for part in parts:
        absent = sorted(set(range(int(part[0]), int(part[-1]))) - {int(c) for c in part})
        if absent:
            yield Finding("gap", NOTE, where, f"shutter {shown(absent)} is closed within {_span(part)}")


def _span(columns: np.ndarray) -> str:
    return str(columns[0]) if len(columns) == 1 else f"{columns[0]}-{columns[-1]}"


def _repeated(rows: np.ndarray, where: Where) -> Iterator[Finding]:
    extra = len(rows) - len(np.unique(np.column_stack([rows[k] for k in REPEATED]), axis=0))
    if extra:
        yield Finding("repeated-row", WARNING, where, f"{extra} rows stand twice", "delete them", True)


def _primaries(rows: np.ndarray, where: Where) -> Iterator[Finding]:
    primary = rows[rows["primary_source"] == "Y"]
    points, counts = np.unique(primary["dither_point_index"], return_counts=True)
    if (counts > 1).any():
        ids = np.unique(primary["source_id"][np.isin(primary["dither_point_index"], points[counts > 1])])
        message = f"{counts.max()} primaries at dither point {shown(points[counts > 1])} (source {shown(ids)}): "
        message += "the stock pipeline stops; see jwst issue 3522"
        yield Finding("two-primaries", ERROR, where, message, "leave one primary", len(ids) > 1)
    nameless = np.unique(primary["dither_point_index"][primary["source_id"] == 0])
    if len(nameless):
        message = f"the primary at dither point {shown(nameless)} has source_id 0"
        yield Finding("source-0", ERROR, where, message, "give it its number, or make it background", True)


def _background(rows: np.ndarray, where: Where) -> Iterator[Finding]:
    primary = rows["primary_source"] == "Y"
    wrong = np.unique(rows["dither_point_index"][primary & (rows["background"] == "Y")])
    if len(wrong):
        message = f"the primary at dither point {shown(wrong)} is marked background: the stock pipeline stops"
        yield Finding("primary-background", ERROR, where, message, "mark it background = N", True)
    shadowed = shadowed_primaries(rows)
    if shadowed:
        message = (
            f"stock takes another source's shutter and position for the primary's at dither point {shown(shadowed)}"
        )
        remedy = "list the primary first (jwst issue 2143); nirfire is not affected"
        yield Finding("primary-not-first", WARNING, where, message, remedy, True)


def shadowed_primaries(rows: np.ndarray) -> list[int]:
    """Dither points of a slitlet at which the primary is not the first of the rows that are no background."""
    found = []
    for point in np.unique(rows["dither_point_index"][rows["primary_source"] == "Y"]):
        here = rows[(rows["dither_point_index"] == point) & (rows["background"] == "N")]
        if len(here) and here["primary_source"][0] != "Y" and (here["primary_source"] == "Y").any():
            found.append(int(point))
    return found


def _positions(rows: np.ndarray, where: Where) -> Iterator[Finding]:
    occupied = (rows["source_id"] != 0) & ((rows["primary_source"] == "Y") | (rows["background"] == "N"))
    for source in np.unique(rows["source_id"][occupied]):
        own = rows[occupied & (rows["source_id"] == source)]
        place = where._replace(source=int(source))
        lost = np.unique(own["dither_point_index"][~holds_source(own)])
        if len(lost):
            message = f"no position in its shutter at dither point {shown(lost)}; stock takes the centre"
            yield Finding("no-position", ERROR, place, message, "fill it in", True)
        outside = is_own(own, int(source)) & ((np.abs(own[X] - 0.5) > 0.5) | (np.abs(own[Y] - 0.5) > 0.5))
        if outside.any():
            points = shown(np.unique(own["dither_point_index"][outside]))
            message = f"outside its shutter (position not 0 to 1) at dither point {points}: stock corrects no pathloss"
            yield Finding("outside", WARNING, place, message, "check the plan, or give a measured position")


def _dither_points(rows: np.ndarray, where: Where, points: np.ndarray) -> Iterator[Finding]:
    columns, here = (np.asarray(rows[k], int) for k in ("shutter_column", "dither_point_index"))
    lost = sorted({int(p) for c in np.unique(columns) for p in set(points.tolist()) - set(here[columns == c].tolist())})
    if lost:
        message = f"shutters are not listed at dither point {shown(lost)}, though a configuration stays as it is"
        yield Finding("dither-point", WARNING, where, message + " (jwst issue 4296)", "add background rows", True)
