"""Reading FITS products in a millisecond: tables and images of plain numbers, as the page needs them.

Only what our own products have: columns of numbers, flags and text of fixed width, unscaled images.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nirfire.errors import DataError
from nirfire.products.fitsfile import REMEDY_DAMAGED

CARD, BLOCK = 80, 2880
CODES = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
PIXELS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
TEXT = re.compile(r"'((?:[^']|'')*)'")
WHOLE = re.compile(r"[-+]?[0-9]+")
SCALED = ("TZERO", "TSCAL", "BZERO", "BSCALE")


class Unit(NamedTuple):
    """One header with its data in bytes."""

    header: dict[str, Any]
    data: memoryview


class QuickFits:
    """A FITS file that was read whole.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    DataError
        The file is absent, unreadable, no FITS file, or shorter than its headers say.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            raw = path.read_bytes()
        except OSError as error:
            remedy = "make it again: `nirfire run --rerun stale`"
            raise DataError(f"cannot be read: {error.strerror}", file=path, remedy=remedy) from error
        if raw[:10] != b"SIMPLE  = " or len(raw) < BLOCK:
            raise DataError("not a FITS file", file=path, remedy=REMEDY_DAMAGED)
        with self.readable():
            self._units = dict(_units(raw))

    def __contains__(self, name: str) -> bool:
        return name in self._units

    @property
    def primary(self) -> dict[str, Any]:
        """Cards of the first header."""
        return self._units[""].header

    def table(self, name: str) -> dict[str, np.ndarray]:
        """Columns of a binary table in the machine's own byte order; flags are bool, text is str.

        Raises
        ------
        DataError
            There is no such table, or a column is of a kind that no product has.
        """
        with self.readable(name):
            return self._table(name, self._unit(name))

    def _table(self, name: str, unit: Unit) -> dict[str, np.ndarray]:
        fields = [self._field(name, unit.header, k) for k in range(1, int(unit.header.get("TFIELDS", 0)) + 1)]
        if not fields:
            raise DataError(f"{name} is no table", file=self.path, key=name, remedy=REMEDY_DAMAGED)
        kind = np.dtype([(column, code) for column, code, _ in fields])
        if kind.itemsize != unit.header["NAXIS1"]:
            raise DataError(f"the columns of {name} do not fill its rows", file=self.path, key=name)
        rows = np.frombuffer(unit.data, dtype=kind, count=int(unit.header["NAXIS2"]))
        return {column: _native(rows[column], code) for column, _, code in fields}

    def image(self, name: str) -> np.ndarray:
        """An image of plain numbers in the machine's own byte order.

        Raises
        ------
        DataError
            There is no such image, or it is scaled.
        """
        with self.readable(name):
            return self._image(name, *self._unit(name))

    def _image(self, name: str, header: dict[str, Any], data: memoryview) -> np.ndarray:
        shape = [int(header[f"NAXIS{k}"]) for k in range(int(header["NAXIS"]), 0, -1)]
        if not shape or any(key in header for key in SCALED):
            raise DataError(f"{name} is no plain image", file=self.path, key=name)
        values = np.frombuffer(data, dtype=PIXELS[header["BITPIX"]], count=math.prod(shape)).reshape(shape)
        return values.astype(values.dtype.newbyteorder("="))

    @contextmanager
    def readable(self, name: str | None = None) -> Iterator[None]:
        """What turns out to be damaged within becomes a `DataError` that names the file."""
        try:
            yield
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            text = f"cannot be read as FITS ({error})"
            raise DataError(text, file=self.path, key=name, remedy=REMEDY_DAMAGED) from error

    def _unit(self, name: str) -> Unit:
        if name not in self._units:
            raise DataError(f"no {name} in it", file=self.path, key=name, remedy="make it again, by this version")
        return self._units[name]

    def _field(self, name: str, header: dict[str, Any], k: int) -> tuple[str, Any, str]:
        column, form = str(header[f"TTYPE{k}"]), str(header[f"TFORM{k}"]).strip()
        match = re.fullmatch(r"(\d*)([A-Z])", form)
        scaled = any(f"{key}{k}" in header for key in SCALED[:2])
        if match is None or scaled or match[2] not in (*CODES, "A"):
            raise DataError(f"column {column} of {name} is of an unknown kind {form}", file=self.path, key=column)
        number = int(match[1] or 1)
        if match[2] == "A":
            return column, f"S{number}", "A"
        return column, (CODES[match[2]], (number,)) if number > 1 else CODES[match[2]], match[2]


def _units(raw: bytes) -> list[tuple[str, Unit]]:
    """Name and content of each header-data unit; the first of several of one name is kept last."""
    found: list[tuple[str, Unit]] = []
    view, at = memoryview(raw), 0
    while at + BLOCK <= len(raw):
        header, at = _header(raw, at)
        size = _size(header)
        if at + size > len(raw):
            raise ValueError("shorter than its headers promise")
        name = str(header.get("EXTNAME", "")).upper() if found else ""
        found.append((name, Unit(header, view[at : at + size])))
        at += -(-size // BLOCK) * BLOCK
    return found[::-1]


def _size(header: dict[str, Any]) -> int:
    axes = [int(header[f"NAXIS{k}"]) for k in range(1, int(header["NAXIS"]) + 1)]
    if not axes:
        return 0
    elements = math.prod(axes) + int(header.get("PCOUNT", 0))
    return abs(int(header["BITPIX"])) // 8 * int(header.get("GCOUNT", 1)) * elements


def _header(raw: bytes, at: int) -> tuple[dict[str, Any], int]:
    """Cards of the header at byte `at`, and where its data begin."""
    cards: dict[str, Any] = {}
    last = ""
    for start in range(at, len(raw) - CARD + 1, CARD):
        card = raw[start : start + CARD].decode("ascii", "replace")
        key = card[:8].rstrip()
        if key == "END":
            return cards, at + -(-(start + CARD - at) // BLOCK) * BLOCK
        if card[8:10] == "= ":
            last = key
            cards.setdefault(key, _value(card[10:]))
        elif key == "CONTINUE" and isinstance(cards.get(last), str):
            more = _value(card[10:])
            cards[last] = cards[last].removesuffix("&") + (more if isinstance(more, str) else "")
    raise ValueError("a header without an END card")


def _value(text: str) -> Any:
    """What a card says: text, whole number, number, true or false; None where it says nothing."""
    text = text.strip()
    if text.startswith("'"):
        match = TEXT.match(text)
        return match[1].replace("''", "'").rstrip() if match else None
    word = text.partition("/")[0].strip()
    if word in ("T", "F"):
        return word == "T"
    try:
        return int(word) if WHOLE.fullmatch(word) else float(word.replace("D", "E"))
    except ValueError:
        return None


def _native(values: np.ndarray, code: str) -> np.ndarray:
    if code == "L":
        return values == b"T"
    if code == "A":
        return np.char.rstrip(np.char.decode(values, "ascii", "replace"))
    return values.astype(values.dtype.newbyteorder("="))
