"""Mend MSA metafiles. Each change is reported as a `Finding`; what would have to be guessed is left as it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from astropy.table import Table, vstack

from nirfire.products.msa import Metafile, catalogue_row
from nirfire.products.msa_check import (
    NOTE,
    REPEATED,
    Finding,
    Where,
    always_closed,
    shadowed_primaries,
    shown,
    slitlets,
)
from nirfire.products.msa_rows import X, Y, groups, holds_source, is_fixed_slit, is_own
from nirfire.products.msa_sky import place_of, sky_of

Log = list[Finding]


def repaired(metafile: Metafile) -> tuple[Metafile, list[Finding]]:
    """Mend what can be mended without guessing.

    Parameters
    ----------
    metafile : Metafile
        It stays as it is, in memory and on disk.

    Returns
    -------
    Metafile
        `Metafile.write` writes it with the other extensions of the original.
    list of Finding
        One for each change, of the kind of the defect that it mends.

    Notes
    -----
    - ``repeated-row``, ``closed``: rows are deleted.
    - ``several-quadrants``, ``several-rows``, ``detached``: the groups that are not first get numbers of their own.
    - ``primary-background``: marked background = N.
    - ``source-0``: where all other rows of the slitlet are of one source, which is nowhere else at this dither point,
      it is this source; elsewhere the row becomes background.
    - ``two-primaries`` of different sources: that which is primary most often in this slitlet stays; where two are
      equal, that with the lower number. The other stays in its shutter as a source that is not primary.
    - ``no-position``, ``missing-source``, ``no-coordinates``: from the other sources (`msa_sky`).
    - ``catalogued-twice``: the first row of SOURCE_INFO stays, which stock and `nirfire` use anyway.
    - ``dither-point``: the shutters are added as background.
    - ``primary-not-first``: put first.
    """
    log: Log = []
    every = metafile.shutters.as_array()
    fixed = is_fixed_slit(every)
    rows = every[~fixed]
    steps = (_without_repeated, _without_closed, _numbered_apart, _primary_no_background)
    for step in steps:
        rows = step(rows, log)
    rows = _completed(_named(rows, log), log)
    rows = _one_primary(rows, log)
    rows = _placed(rows, metafile, log)
    sources = _catalogue(rows, metafile, log)
    rows = np.concatenate([_ordered(rows, log), every[fixed]])
    return Metafile(metafile.path, Table(rows), sources), log


def _say(log: Log, kind: str, where: Where, message: str) -> None:
    log.append(Finding(kind, NOTE, where, message))


def _each(rows: np.ndarray) -> Iterator[tuple[Where, np.ndarray]]:
    """Place and row numbers of each slitlet of each configuration."""
    numbers = np.arange(len(rows))
    for metadata_id in np.unique(rows["msa_metadata_id"]):
        inside = np.asarray(rows["msa_metadata_id"] == metadata_id)
        slitlet = np.asarray(rows["slitlet_id"])
        for number in np.unique(slitlet[inside]):
            yield Where(int(metadata_id), int(number)), numbers[inside & (slitlet == number)]


def _without_repeated(rows: np.ndarray, log: Log) -> np.ndarray:
    keys = np.column_stack([rows[k] for k in REPEATED])
    order = np.lexsort([~holds_source(rows), rows["primary_source"] != "Y"])  # of equal rows the fullest stays
    _, first = np.unique(keys[order], axis=0, return_index=True)
    kept = np.zeros(len(rows), bool)
    kept[order[first]] = True
    for where, here in _each(rows):
        if not kept[here].all():
            _say(log, "repeated-row", where, f"deleted {int((~kept[here]).sum())} rows that stood twice")
    return rows[kept]


def _without_closed(rows: np.ndarray, log: Log) -> np.ndarray:
    kept = np.ones(len(rows), bool)
    for where, here in _each(rows):
        closed = always_closed(rows[here])
        kept[here[closed]] = False
        if closed.any():
            columns = shown(np.unique(rows["shutter_column"][here[closed]]))
            _say(log, "closed", where, f"deleted the rows of shutter {columns}, marked CLOSED")
    return rows[kept]


def _numbered_apart(rows: np.ndarray, log: Log) -> np.ndarray:
    free = int(rows["slitlet_id"].max()) + 1 if len(rows) else 1
    for where, here in list(_each(rows)):
        for kind, text, part in _further_parts(rows[here]):
            _say(log, kind, where, f"{text} is now slitlet {free}")
            rows["slitlet_id"][here[part]] = free
            free += 1
    return rows


def _further_parts(rows: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Groups of shutters that are no part of the first one: kind of defect, name, and which rows."""
    quadrant, row, column = (np.asarray(rows[f"shutter_{k}"], int) for k in ("quadrant", "row", "column"))
    first: tuple[int, int] | None = None
    for q, r in np.unique(np.column_stack([quadrant, row]), axis=0).tolist():
        line = (quadrant == q) & (row == r)
        for group in groups(column[line]):
            if first is None:
                first = (q, r)
                continue
            kind = "detached" if first == (q, r) else "several-rows" if first[0] == q else "several-quadrants"
            yield kind, f"quadrant {q} row {r} columns {group[0]}-{group[-1]}", line & np.isin(column, group)


def _primary_no_background(rows: np.ndarray, log: Log) -> np.ndarray:
    wrong = (rows["primary_source"] == "Y") & (rows["background"] == "Y")
    for where, here in _each(rows):
        if wrong[here].any():
            _say(log, "primary-background", where, "marked the primary background = N")
    rows["background"][wrong] = "N"
    return rows


def _named(rows: np.ndarray, log: Log) -> np.ndarray:
    """Give primaries without number the one that they must have, or make them background."""
    points = np.asarray(rows["dither_point_index"])
    for where, here in _each(rows):
        part = rows[here]
        others = np.unique(part["source_id"][(part["source_id"] != 0) & holds_source(part)])
        for number in here[(part["source_id"] == 0) & (part["primary_source"] == "Y")]:
            now = (points == points[number]) & (rows["msa_metadata_id"] == where.metadata_id)
            text = f"the primary at dither point {points[number]}, source_id 0,"
            alone = len(others) == 1 and holds_source(rows[number : number + 1])[0]
            if alone and not is_own(rows[now], int(others[0])).any():
                rows["source_id"][number] = others[0]
                _say(log, "source-0", where._replace(source=int(others[0])), f"{text} is source {others[0]}")
            else:
                rows["primary_source"][number], rows["background"][number] = "N", "Y"
                rows[X][number] = rows[Y][number] = np.nan
                _say(log, "source-0", where, f"{text} is background now")
    return rows


def _one_primary(rows: np.ndarray, log: Log) -> np.ndarray:
    points = np.asarray(rows["dither_point_index"])
    for where, here in _each(rows):
        primary = here[np.asarray(rows["primary_source"][here] == "Y")]
        ids, counts = np.unique(rows["source_id"][primary], return_counts=True)
        rank = {int(k): (-int(n), int(k)) for k, n in zip(ids, counts, strict=True)}
        for point in np.unique(points[primary]):
            now = primary[points[primary] == point]
            if len(np.unique(rows["source_id"][now])) < 2:
                continue
            stays = min((int(k) for k in rows["source_id"][now]), key=lambda k: rank[k])
            for number in now[np.asarray(rows["source_id"][now] != stays)]:
                rows["primary_source"][number] = "N"
                message = f"no longer primary at dither point {point}: source {stays} is"
                _say(log, "two-primaries", where._replace(source=int(rows["source_id"][number])), message)
    return rows


def _placed(rows: np.ndarray, metafile: Metafile, log: Log) -> np.ndarray:
    lost = (rows["source_id"] != 0) & ~holds_source(rows)
    lost &= (rows["primary_source"] == "Y") | (rows["background"] == "N")
    for number in np.flatnonzero(lost):
        row = rows[number]
        found = place_of(rows[rows["msa_metadata_id"] == row["msa_metadata_id"]], row, metafile.sky)
        if found:
            where = Where(int(row["msa_metadata_id"]), int(row["slitlet_id"]), int(row["source_id"]))
            rows[X][number], rows[Y][number] = found
            text = f"set its position at dither point {row['dither_point_index']} to {found[0]:.3f}, {found[1]:.3f}"
            _say(log, "no-position", where, f"{text}, by the places of the others")
    return rows


def _completed(rows: np.ndarray, log: Log) -> np.ndarray:
    """Add the shutters that are listed at some dither points of a configuration only."""
    added = []
    for metadata_id in np.unique(rows["msa_metadata_id"]):
        inside = rows[rows["msa_metadata_id"] == metadata_id]
        points = np.unique(inside["dither_point_index"])
        for slitlet, part in slitlets(inside):
            lost = []
            for shutter in np.unique(part["shutter_column"]):
                listed = part[part["shutter_column"] == shutter]
                for point in np.setdiff1d(points, listed["dither_point_index"]):
                    row = listed[:1].copy()
                    row["dither_point_index"], row["source_id"] = point, 0
                    row["background"], row["primary_source"] = "Y", "N"
                    row[X] = row[Y] = np.nan
                    added.append(row)
                    lost.append(int(point))
            if lost:
                message = f"added {len(lost)} background rows at dither point {shown(sorted(lost))}"
                _say(log, "dither-point", Where(int(metadata_id), slitlet), message)
    return np.concatenate([rows, *added])


def _catalogue(rows: np.ndarray, metafile: Metafile, log: Log) -> Table:
    sources = metafile.sources
    _, first, counts = np.unique(sources["source_id"], return_index=True, return_counts=True)
    for number in first[counts > 1]:
        source = int(sources["source_id"][number])
        _say(log, "catalogued-twice", Where(source=source), "kept its first row of SOURCE_INFO")
    sources = sources[np.sort(first)].copy()
    known = set(sources["source_id"].tolist())
    for source in (int(k) for k in np.unique(rows["source_id"]) if k != 0 and int(k) not in metafile.sky):
        found = None
        for metadata_id in np.unique(rows["msa_metadata_id"][rows["source_id"] == source]):
            found = found or sky_of(rows[rows["msa_metadata_id"] == metadata_id], source, metafile.sky)
        if found is None or (source < 0 and source not in known):
            continue
        text = f"RA = {found[0]:.6f}, Dec = {found[1]:.6f} by the places of the others"
        if source in known:
            sources["ra"][sources["source_id"] == source], sources["dec"][sources["source_id"] == source] = found
            _say(log, "no-coordinates", Where(source=source), f"set {text}")
        else:
            row = catalogue_row(sources, source, found)
            sources = vstack([sources, row], metadata_conflicts="silent")
            _say(log, "missing-source", Where(source=source), f"added to SOURCE_INFO, with {text}")
    return sources


def _ordered(rows: np.ndarray, log: Log) -> np.ndarray:
    """By configuration, slitlet, shutter and dither point; but shutters with a primary before those without."""
    for where, here in _each(rows):
        shadowed = shadowed_primaries(rows[here])
        if shadowed:
            _say(log, "primary-not-first", where, f"put the primary first at dither point {shown(shadowed)}")
    order = np.lexsort([rows["primary_source"] != "Y", rows["slitlet_id"], rows["msa_metadata_id"]])
    return rows[order]
