"""MSA metafiles made of a few rows, with a sky that follows the shutters as in flight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

NAMES = (
    *("slitlet_id", "msa_metadata_id", "shutter_quadrant", "shutter_row", "shutter_column", "source_id"),
    *("background", "shutter_state", "estimated_source_in_shutter_x", "estimated_source_in_shutter_y"),
    *("dither_point_index", "primary_source"),
)
KINDS = ("i2", "i2", "i2", "i2", "i2", "i4", "U1", "U6", "f4", "f4", "i2", "U1")
NODS = (0, -1, 1)
ROW = 100


def row(slitlet: int, column: int, source: int = 0, dither: int = 1, **other: object) -> tuple:
    """A row of SHUTTER_INFO. With x or `primary` the source is in this shutter."""
    given = {"primary": False, "x": None, "y": None, "quadrant": 3, "line": ROW, "metadata_id": 1, "state": "OPEN"}
    g = {**given, **other}
    inside = g["primary"] or g["x"] is not None
    x, y = (0.4 if g[k] is None and inside else np.nan if g[k] is None else g[k] for k in "xy")
    background = g.get("background", "N" if inside else "Y")
    flags = (background, g["state"], x, y, dither, "Y" if g["primary"] else "N")
    return (slitlet, g["metadata_id"], g["quadrant"], g["line"], column, source, *flags)


def nodded(slitlet: int, source: int, columns: Sequence[int] = (49, 50, 51), **other: object) -> list[tuple]:
    """A slitlet whose source moves by a shutter from nod to nod, from the middle one."""
    middle = columns[len(columns) // 2]
    return [
        row(slitlet, c, source if c == middle + step else 0, n, primary=c == middle + step, **other)
        for n, step in enumerate(NODS, start=1)
        for c in columns
    ]


def sky(quadrant: int, line: float, column: float) -> tuple[float, float]:
    """RA, Dec [deg] of a place in the shutters: turned, and slightly distorted."""
    u, v = (line - 183) * 0.268, (column - 86) * 0.529
    u, v = u + 1e-5 * u * v + 2 * quadrant, v - 2e-5 * u * u
    return (0.001 + (0.7 * u + 0.71 * v) / 3600) % 360, 2.0 + (-0.71 * u + 0.7 * v) / 3600


def catalogue(rows: Iterable[tuple], leave_out: Sequence[int] = ()) -> Table:
    """SOURCE_INFO of the sources of rows, where they are at the first dither point."""
    where = {}
    for r in rows:
        if r[5] != 0 and np.isfinite(r[8]) and np.isfinite(r[9]) and r[5] not in leave_out:
            where.setdefault(r[5], sky(r[2], r[3] + r[8], r[4] + r[9] - NODS[r[10] - 1]))
    found = [(9999, s, f"9999_{s}", str(s), *where[s], "None", 0.2) for s in sorted(where)]
    names = ("program", "source_id", "source_name", "alias", "ra", "dec", "preimage_id", "stellarity")
    kinds = ("i4", "i4", "U20", "U31", "f8", "f8", "U30", "f8")
    return Table(rows=found, names=names, dtype=kinds) if found else Table(names=names, dtype=kinds)


def write(path: Path, rows: Sequence[tuple], sources: Table | None = None, fixed: Sequence[str] = ()) -> Path:
    """Write a metafile; `fixed` fills the column fixed_slit, from the last row upwards."""
    shutters = Table(rows=list(rows), names=NAMES, dtype=KINDS)
    if fixed:
        shutters["fixed_slit"] = ["NONE"] * (len(rows) - len(fixed)) + list(fixed)
    tables = {"SHUTTER_INFO": shutters, "SOURCE_INFO": catalogue(rows) if sources is None else sources}
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3)), name="SHUTTER_IMAGE")]
    hdus += [fits.BinTableHDU(table, name=name) for name, table in tables.items()]
    fits.HDUList(hdus).writeto(path)
    return path


def field(n: int = 12, quadrant: int = 3, first: int = 900) -> list[tuple]:
    """Slitlets of other sources, spread over a quadrant."""
    rows = []
    for k in range(n):
        line, column = 20 + 53 * (k % 6) + k, 10 + 31 * (2 * k % 5) + 3 * k
        rows += nodded(first + k, first + k, range(column, column + 3), quadrant=quadrant, line=line, x=None)
    return rows
