"""Files of small FITS tables, written as bytes: the same as through astropy, at a tenth of its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.products.atomic import atomic_path
from nirfire.products.columns import Cards, Column
from nirfire.products.fitsbytes import CARD, Unit, write_units

CODES = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I", "u1": "B", "b1": "L"}


def table_unit(table: Table, name: str, columns: Mapping[str, Column], cards: Cards | None = None) -> Unit:
    """A binary table that describes its columns, as `columns.table_hdu` makes it, in bytes.

    Parameters
    ----------
    table : Table
        Columns of numbers, flags or text, of any shape in each row.
    name : str
        EXTNAME.
    columns : mapping of str to Column
        What is said of each column; columns without an entry are written as they are.
    cards : dict of str to (value, comment), optional
        Further cards, at the end.

    Returns
    -------
    Unit

    Raises
    ------
    KeyError
        A column of a type that is not known here.
    """
    values = {key: _plain(np.asarray(table[key])) for key in table.colnames}
    rows = np.empty(len(table), dtype=[(key, v.dtype, v.shape[1:]) for key, v in values.items()])
    for key, value in values.items():
        rows[key] = value
    head: list[tuple[str, object, str]] = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        *(
            ("BITPIX", 8, ""),
            ("NAXIS", 2, ""),
            ("NAXIS1", rows.itemsize, "bytes in a row"),
            ("NAXIS2", len(rows), "rows"),
        ),
        *(("PCOUNT", 0, ""), ("GCOUNT", 1, ""), ("TFIELDS", len(values), "columns"), ("EXTNAME", name, "")),
    ]
    for k, (key, value) in enumerate(values.items(), 1):
        unit, ucd, text = columns.get(key) or ("", "", "")
        own = str(getattr(table[key], "unit", None) or "")
        head += [(f"TTYPE{k}", key, ""), (f"TFORM{k}", _format(table[key].dtype, value), "")]
        head += [(f"TUNIT{k}", said, "") for said in (unit or ("" if key in columns else own),) if said]
        if value.ndim > 1:
            head.append((f"TDIM{k}", "({})".format(",".join(map(str, value.shape[:0:-1]))), ""))
        head += [(f"TUCD{k}", ucd, ""), (f"TCOMM{k}", text, "")] if key in columns else []
    head += [(key, value, comment) for key, (value, comment) in (cards or {}).items()]
    return Unit([piece for one in head for piece in _pieces(*one)], np.frombuffer(rows.tobytes(), dtype=np.uint8))


def write_tables(path: Path, primary: fits.PrimaryHDU, tables: Sequence[Unit]) -> None:
    """Write a primary header and tables, atomically and with checksums; the current provenance is stamped."""
    text = primary.header.tostring(endcard=False, padding=False)
    head = [text[k : k + CARD] for k in range(0, len(text), CARD)]
    with atomic_path(path) as part:
        write_units(part, [Unit(head, np.zeros(0, dtype=np.uint8)), *tables])


def _plain(values: np.ndarray) -> np.ndarray:
    """Values as FITS has them: big-endian numbers, the letters T and F, ASCII."""
    if values.dtype.kind == "b":
        return np.where(values, b"T", b"F").astype("S1")
    if values.dtype.kind == "U":
        return np.char.encode(values, "ascii", "replace").astype(f"S{max(values.dtype.itemsize // 4, 1)}")
    return values.astype(values.dtype.newbyteorder(">"), copy=False)


def _format(kind: np.dtype, value: np.ndarray) -> str:
    """TFORM of a column."""
    number = int(np.prod(value.shape[1:], dtype=int))
    if kind.kind in "US":
        return f"{number * max(value.dtype.itemsize, 1)}A"
    code = CODES[kind.str.lstrip("<>|=")]
    return code if number == 1 and value.ndim == 1 else f"{number}{code}"


@lru_cache(maxsize=512)
def _pieces(key: str, value: object, comment: str) -> tuple[str, ...]:
    """One card, in as many pieces of 80 characters as it needs."""
    text = fits.Card(key, value, comment or None).image
    return tuple(text[k : k + CARD] for k in range(0, len(text), CARD))
