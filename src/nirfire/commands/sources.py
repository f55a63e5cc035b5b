"""`sources`: what an MSA metafile holds, whether it can be used, and a mended copy of it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.table import Table as Grid

from nirfire.commands.aim import BAD_JOBS
from nirfire.commands.output import show_grid
from nirfire.errors import DataError
from nirfire.products.msa import Metafile
from nirfire.products.msa_check import ERROR, Finding, check_metafile
from nirfire.products.msa_repair import repaired
from nirfire.products.msa_rows import X, Y, holds_source, is_fixed_slit, is_own, slit_of
from nirfire.products.msa_sky import sky_of
from nirfire.products.msa_split import split_slitlets

SHOWN = 8  # findings of a kind that are printed
HEADINGS = (
    "id",
    "name",
    "slitlet",
    "Q",
    "row",
    "columns",
    "primary",
    "open",
    "dither points",
    "x",
    "y",
    "stellarity",
    "RA",
    "Dec",
    "remarks",
)


@dataclass(frozen=True)
class Listed:
    """A source, real or virtual, in one configuration.

    Attributes
    ----------
    source : int
    name : str
    slitlets : list of int
        More than one where the slit has two numbers.
    quadrant, row : int
    columns : list of int
        Open shutters of its slit.
    primary : bool
    places : list of (int, int, float, float)
        Dither point, column, x, y [pitch] of each shutter in which it lies.
    stellarity, ra, dec : float or None
        RA, Dec in deg.
    remarks : list of str
    """

    source: int
    name: str
    slitlets: list[int]
    quadrant: int
    row: int
    columns: list[int]
    primary: bool
    places: list[tuple[int, int, float, float]]
    stellarity: float | None
    ra: float | None
    dec: float | None
    remarks: list[str]


@dataclass(frozen=True)
class Configuration:
    """One configuration (MSAMETID), or several that are the same.

    Attributes
    ----------
    metadata_ids : list of int
    dither_points : list of int
    slitlets : int
    background : list of int
        Slitlets in which there is no source, real or virtual.
    sources : list of Listed
    """

    metadata_ids: list[int]
    dither_points: list[int]
    slitlets: int
    background: list[int]
    sources: list[Listed]


def show_sources(
    file: Path, metadata_id: int | None, repair: Path | None, split: int | None = None, *, as_json: bool = False
) -> int:
    """Print the configurations of a metafile, what was found, and its sources; write a mended copy if asked to.

    Parameters
    ----------
    file : Path
        The metafile.
    metadata_id : int or None
        Only this configuration.
    repair : Path or None
        Where to write the mended copy. All that is printed is about it then.
    split : int or None
        In the copy, each shutter of slitlets with more shutters than this is a slitlet with a source of its own.
    as_json : bool
        Print JSON.

    Returns
    -------
    int
        3 when errors remain, else 0.

    Raises
    ------
    DataError
        It is no metafile, has no such configuration, or would be overwritten; or what is split has nowhere to go.
    """
    metafile = Metafile.read(file)
    repairs: list[Finding] = []
    if repair:
        if repair.resolve() == file.resolve():
            raise DataError(
                "the metafile would be overwritten", file=repair, key="--repair", remedy="give another name"
            )
        metafile, repairs = repaired(metafile)
        if split is not None:
            metafile, parted = split_slitlets(metafile, split)
            repairs += parted
        metafile.write(repair)
    elif split is not None:
        raise DataError("nowhere to write to", file=file, key="--split", remedy="give --repair and a file to write")
    chosen = metafile.metadata_ids if metadata_id is None else [metadata_id]
    configurations = list_configurations(metafile, chosen)
    findings = [f for f in check_metafile(metafile) if f.where.metadata_id in (None, *chosen)]
    if as_json:
        _print_json(file, configurations, findings, repairs)
    else:
        for configuration in configurations:
            _show_configuration(configuration)
        _show_findings("found", findings)
        if repair:
            _show_findings("mended", repairs)
            sys.stdout.write(f"{len(repairs)} repairs: {repair}\n")
    return BAD_JOBS if any(f.severity == ERROR for f in findings) else 0


def list_configurations(metafile: Metafile, metadata_ids: Iterable[int]) -> list[Configuration]:
    """Configurations with their sources; those that are the same are listed once.

    Raises
    ------
    DataError
        There is no such configuration.
    """
    same: dict[bytes, list[int]] = {}
    for metadata_id in metadata_ids:
        rows = metafile.rows(metadata_id).copy()
        rows["msa_metadata_id"] = 0
        same.setdefault(rows.tobytes(), []).append(metadata_id)
    return [_configuration(metafile, ids) for ids in same.values()]


def _configuration(metafile: Metafile, metadata_ids: list[int]) -> Configuration:
    rows = metafile.rows(metadata_ids[0])
    rows = rows[~is_fixed_slit(rows)]
    occupied = set(rows["slitlet_id"][rows["source_id"] != 0].tolist())
    every, ids = set(rows["slitlet_id"].tolist()), set(rows["source_id"].tolist()) - {0}
    return Configuration(
        metadata_ids,
        [int(k) for k in np.unique(rows["dither_point_index"])],
        len(every),
        sorted(every - occupied),
        [_listed(metafile, metadata_ids[0], k, rows) for k in sorted(ids, key=lambda k: (k < 0, abs(k)))],
    )


def _listed(metafile: Metafile, metadata_id: int, source: int, rows: np.ndarray) -> Listed:
    """One source; `rows` has also those marked CLOSED."""
    remarks = ["virtual"] if source < 0 else []
    usable = metafile.open_rows(metadata_id)
    if not (usable["source_id"] == source).any():
        remarks.append("all its shutters are marked CLOSED")
        usable = rows
    slit = slit_of(usable, source)
    own = np.sort(slit[is_own(slit, source)], order=["dither_point_index", "shutter_column"])
    keys = ("dither_point_index", "shutter_column", X, Y)
    numbers = np.unique(usable["slitlet_id"][usable["source_id"] == source]).tolist()
    match = metafile.sources[metafile.sources["source_id"] == source]
    where = metafile.sky.get(source)
    if where is None and (where := sky_of(usable, source, metafile.sky)):
        remarks.append("RA, Dec from the other sources")
    columns = np.unique(slit["shutter_column"]).tolist()
    remarks += _remarks(metafile, source, rows, numbers, columns)
    return Listed(
        source,
        metafile.name(source),
        numbers,
        int(slit["shutter_quadrant"][0]),
        int(slit["shutter_row"][0]),
        columns,
        bool((rows["primary_source"][rows["source_id"] == source] == "Y").any()),
        [(int(r[keys[0]]), int(r[keys[1]]), round(float(r[X]), 4), round(float(r[Y]), 4)) for r in own],
        round(float(match["stellarity"][0]), 3) if len(match) else None,
        where[0] if where else None,
        where[1] if where else None,
        remarks,
    )


def _remarks(metafile: Metafile, source: int, rows: np.ndarray, slitlets: list[int], columns: list[int]) -> list[str]:
    found = []
    if source in metafile.duplicates:
        found.append(f"duplicate of {metafile.duplicates[source]}, left out")
    inside = rows[np.isin(rows["slitlet_id"], slitlets)]
    apart = sorted(set(inside["shutter_column"].tolist()) - set(columns))
    if apart:
        found.append(f"not part of its slit: {_ranges(apart)}")
    if not is_own(rows, source).any():
        found.append("in no shutter")
    others = np.unique(inside["source_id"][holds_source(inside) & (inside["source_id"] != source)])
    if len(others):
        found.append(f"beside {', '.join(str(k) for k in others)}")
    return found


def _ranges(numbers: Sequence[int]) -> str:
    """Whole numbers in increasing order, such as 3-5, 9."""
    parts = np.split(np.array(numbers), np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts if len(p))


def _between(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low}-{high}"


def _show_configuration(configuration: Configuration) -> None:
    real = [s for s in configuration.sources if s.source > 0]
    counts = (
        f"slitlets: {configuration.slitlets}",
        f"sources: {len(real)}, {sum(s.primary for s in real)} of them primary",
        f"virtual: {len(configuration.sources) - len(real)}",
        f"dither points: {_ranges(configuration.dither_points)}",
    )
    grid = Grid(*HEADINGS, title=f"MSAMETID {_joined(configuration.metadata_ids)}; {'; '.join(counts)}")
    grid.title_justify = "left"
    for s in configuration.sources:
        cells = (s.source, s.name, "+".join(map(str, s.slitlets)), s.quadrant, s.row, _ranges(s.columns))
        points = _ranges(sorted({p[0] for p in s.places}))
        offsets = (_between([p[2] for p in s.places]), _between([p[3] for p in s.places]))
        known = ("" if s.stellarity is None else f"{s.stellarity:g}", _degrees(s.ra), _degrees(s.dec))
        rest = ("yes" if s.primary else "no", len(s.columns), points, *offsets, *known, "; ".join(s.remarks))
        grid.add_row(*map(str, (*cells, *rest)))
    show_grid(grid)
    if configuration.background:
        sys.stdout.write(f"background slitlets: {_ranges(configuration.background)}\n")


def _joined(numbers: Iterable[int | None]) -> str:
    return ", ".join(str(k) for k in numbers if k is not None)


def _degrees(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _show_findings(verb: str, findings: Sequence[Finding]) -> None:
    """Print findings, those that differ in configuration only in one line."""
    same: dict[tuple[str, str, int | None, int | None, str, str], list[int | None]] = {}
    for f in findings:
        key = (f.severity, f.kind, f.where.slitlet, f.where.source, f.message, f.remedy)
        same.setdefault(key, []).append(f.where.metadata_id)
    if not same:
        sys.stdout.write(f"nothing {'amiss' if verb == 'found' else 'to mend'}\n")
        return
    grid, printed = Grid(verb, "kind", "MSAMETID", "slitlet", "source", "what", "remedy"), Counter[str]()
    for (severity, kind, *rest), ids in same.items():
        printed[kind] += 1
        if printed[kind] <= SHOWN:
            cells = (severity, kind, _joined(ids), *rest)
            grid.add_row(*("" if c is None else str(c) for c in cells))
    show_grid(grid)
    for kind, number in printed.items():
        if number > SHOWN:
            sys.stdout.write(f"and {number - SHOWN} more of {kind}: --json lists all\n")


def _print_json(
    file: Path, configurations: Sequence[Configuration], findings: Sequence[Finding], repairs: Sequence[Finding]
) -> None:
    content = {
        "file": file.name,
        "configurations": [asdict(c) for c in configurations],
        "findings": [asdict(f) | {"where": f.where._asdict()} for f in findings],
        "repairs": [asdict(f) | {"where": f.where._asdict()} for f in repairs],
    }
    sys.stdout.write(json.dumps(content, indent=1) + "\n")
