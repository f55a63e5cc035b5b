"""The table of positions: where sources lie in their shutters, for use instead of the planned places."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_text
from nirfire.products.columns import Column, describe
from nirfire.products.msa import Metafile
from nirfire.products.msa_rows import holds_source

Positions = dict[str, dict[int, tuple[float, float]]]

NEEDED = ("exposure", "source", "x", "y")
EXPOSURE = re.compile(r"jw\d{11}_\d{5}_\d{5}(?=(_nrs[12])?$)")
X_RANGE, Y_RANGE = (-0.5, 1.5), (-1.5, 2.5)
"""Places that are taken: half a shutter beyond the sides, up to one and a half shutters along the slitlet."""
COLUMNS = {
    "exposure": Column("", "meta.id;obs.exposure", "exposure, without detector"),
    "source": Column("", "meta.id;src", "source number"),
    "x": Column("", "pos.cartesian.x;instr", "place in the planned shutter across its width, as in the MSA metafile"),
    "y": Column("", "pos.cartesian.y;instr", "the same along the slitlet; below 0 or above 1 it is in a neighbour"),
    "x_err": Column("", "stat.error;pos.cartesian.x", "standard error of x"),
    "y_err": Column("", "stat.error;pos.cartesian.y", "standard error of y"),
    "x_before": Column("", "pos.cartesian.x;instr", "x with which the source had been calibrated"),
    "y_before": Column("", "pos.cartesian.y;instr", "y with which the source had been calibrated"),
    "quadrant": Column("", "meta.id;instr", "MSA quadrant"),
    "shutter_row": Column("", "meta.id;instr", "shutter along the dispersion, 1 to 365"),
    "shutter_column": Column("", "meta.id;instr", "planned shutter across the dispersion, 1 to 171"),
}
REMEDY = "docs/positions.md shows the table; nirfire pointing --apply writes it"


@dataclass(frozen=True)
class Position:
    """One row; x and y as in MSA metafiles, 0 to 1 from edge to edge of the planned shutter."""

    exposure: str
    source: int
    x: float
    y: float
    x_err: float = float("nan")
    y_err: float = float("nan")
    x_before: float = float("nan")
    y_before: float = float("nan")
    quadrant: int = 0
    shutter_row: int = 0
    shutter_column: int = 0


def planned_positions(metafile: Metafile, metadata_id: int, point: int, exposure: str) -> list[Position]:
    """Places of the sources in one exposure as its metafile plans them.

    Parameters
    ----------
    metafile : Metafile
    metadata_id, point : int
        MSAMETID and PATT_NUM of the exposure.
    exposure : str
        Its name, without detector.

    Returns
    -------
    list of Position
        Sources in a shutter of their own; where the table names one more than once, the first.

    Raises
    ------
    DataError
        The metafile does not hold the configuration.
    """
    rows, found = metafile.configuration(metadata_id), {}
    for row in rows[(rows["dither_point_index"] == point) & (rows["source_id"] > 0) & holds_source(rows)]:
        x, y = (float(row[f"estimated_source_in_shutter_{axis}"]) for axis in "xy")
        source = int(row["source_id"])
        if source not in found:
            shutter = (int(row[f"shutter_{name}"]) for name in ("quadrant", "row", "column"))
            found[source] = Position(exposure, source, x, y, np.nan, np.nan, x, y, *shutter)
    return list(found.values())


def positions_text(rows: Iterable[Position], meta: Mapping[str, Any] | None = None) -> str:
    """The table as ECSV; `meta` goes to its head."""
    content = [asdict(row) for row in sorted(rows, key=lambda r: (r.source, r.exposure))]
    names = [f.name for f in fields(Position)]
    table = Table({name: [row[name] for row in content] for name in names})
    for name in names:
        if table[name].dtype.kind == "f":
            table[name] = np.round(table[name], 5)
    describe(table, COLUMNS)
    table.meta.update(meta or {})
    out = io.StringIO()
    table.write(out, format="ascii.ecsv")
    return out.getvalue()


def write_positions(path: Path, rows: Iterable[Position], meta: Mapping[str, Any] | None = None) -> None:
    """Write a table of positions.

    Parameters
    ----------
    path : Path
    rows : iterable of Position
    meta : mapping, optional
        Facts for the head of the file: numbers, text, lists and mappings of them.
    """
    write_text(path, positions_text(rows, meta))


def read_positions(path: Path) -> Positions:
    """Read a table of positions.

    Parameters
    ----------
    path : Path
        ECSV, or CSV with a line of names, with at least the columns `NEEDED`.

    Returns
    -------
    dict
        Exposure without detector (``jwPPPPPOOOVVV_GGSAA_EEEEE``) to a dict of source number to (x, y), as the MSA
        metafile has them. Rows whose x or y is empty or NaN are left out: the planned place holds.

    Raises
    ------
    DataError
        The file cannot be read, lacks a column, or has a row that cannot be: no such name of an exposure, a source
        twice, a place too far from its shutter.
    """
    table = _read(path)
    missing = [name for name in NEEDED if name not in table.colnames]
    if missing:
        raise DataError(f"columns missing: {', '.join(missing)}", file=path, key=missing[0], remedy=REMEDY)
    found: Positions = {}
    for number, row in enumerate(table, start=1):
        exposure, source, x, y = _checked(row, number, path)
        if np.isnan(x) or np.isnan(y):
            continue
        places = found.setdefault(exposure, {})
        if source in places:
            raise _problem(path, number, f"source {source} is there twice in {exposure}", "source")
        places[source] = (x, y)
    return found


def _read(path: Path) -> Table:
    if not path.is_file():
        raise DataError("no such table of positions", file=path, remedy=REMEDY)
    try:
        text = path.read_text()
        return Table.read(text.splitlines(), format="ascii.ecsv" if text.startswith("# %ECSV") else "ascii.csv")
    except (ValueError, TypeError, OSError) as error:  # UnicodeDecodeError and astropy's errors are ValueErrors
        first = str(error).partition("\n")[0]
        raise DataError(f"not a table in ECSV or CSV: {first}", file=path, remedy=REMEDY) from error


def _checked(row: Any, number: int, path: Path) -> tuple[str, int, float, float]:
    name = EXPOSURE.match(str(row["exposure"]).strip())
    if name is None:
        text = f"{str(row['exposure'])!r} is no exposure (jwPPPPPOOOVVV_GGSAA_EEEEE)"
        raise _problem(path, number, text, "exposure")
    try:
        source = int(row["source"])
        x, y = (float("nan") if np.ma.is_masked(row[k]) else float(row[k]) for k in ("x", "y"))
    except (ValueError, TypeError) as error:
        raise _problem(path, number, f"not a number: {error}", "source, x, y") from error
    for key, value, (low, high) in (("x", x, X_RANGE), ("y", y, Y_RANGE)):
        if not (np.isnan(value) or low <= value <= high):
            text = f"{key} = {value:g} of source {source} is not within {low} to {high}: give 0 to 1 from edge to edge"
            raise _problem(path, number, text, key)
    return name.group(), source, x, y


def _problem(path: Path, number: int, text: str, key: str) -> DataError:
    return DataError(f"row {number}: {text}", file=path, key=key, remedy="correct or remove that row")
