"""FITS files as headers and raw bytes: cards are set and checksums made without touching the data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.errors import DataError

CARD, BLOCK = 80, 2880
BLANK, END = " " * CARD, "END".ljust(CARD)
CHECKSUM, DATASUM = "CHECKSUM", "DATASUM"
EXCLUDED = frozenset(range(0x3A, 0x41)) | frozenset(range(0x5B, 0x61))  # punctuation between 9 and A, Z and a
REMEDY = "look at the log of the task that wrote it"


@dataclass
class Unit:
    """One header and data unit.

    Attributes
    ----------
    cards : list of str
        Cards of the header, 80 characters each, without END and what follows.
    data : ndarray of uint8
        The data as they stand in the file, with or without the padding to whole blocks.
    """

    cards: list[str]
    data: np.ndarray

    @property
    def name(self) -> str:
        """EXTNAME; empty where there is none."""
        return str(self.value("EXTNAME") or "").strip().upper()

    def value(self, key: str) -> object:
        """Value of a card; None where there is none."""
        found = self._find(key)
        return None if found is None else fits.Card.fromstring(self.cards[found]).value

    def set(self, image: str) -> None:
        """Replace the card of the same keyword, or add it at the end."""
        found = self._find(image[:8].rstrip())
        if found is None:
            self.cards.append(image)
        else:
            self.cards[found] = image

    def header(self) -> bytes:
        """The header in whole blocks."""
        text = "".join(self.cards) + END
        return text.encode("ascii").ljust(_whole(len(text)))

    def tobytes(self) -> bytes:
        """Header and data in whole blocks."""
        return self.header() + self.data.tobytes().ljust(_whole(len(self.data)), b"\0")

    def announce_long_strings(self) -> None:
        """Say that strings go on over several cards, which older readers want to be told."""
        if any(text.startswith("CONTINUE") for text in self.cards):
            self.set(card("LONGSTRN", "OGIP 1.0", "long strings are continued"))

    def sum_up(self) -> None:
        """Set DATASUM and CHECKSUM."""
        data = ones_complement_sum(self.data)
        self.set(card(DATASUM, str(data), "checksum of the data"))
        self.set(card(CHECKSUM, "0" * 16, "checksum of this HDU"))
        total = ones_complement_sum(np.frombuffer(self.header(), dtype=np.uint8), data)
        self.set(card(CHECKSUM, encode_checksum(total), "checksum of this HDU"))

    def _find(self, key: str) -> int | None:
        start = key.ljust(8) + "="
        return next((k for k, text in enumerate(self.cards) if text.startswith(start)), None)


@lru_cache(maxsize=256)
def card(key: str, value: object, comment: str = "") -> str:
    """One card of 80 characters; a comment that does not fit is left out.

    Parameters
    ----------
    key : str
        Keyword.
    value : str, int, float or bool
        Value; a string of at most 68 characters.
    comment : str
        Comment.
    """
    image = fits.Card(key, value).image
    if not comment:
        return image
    longer = f"{image.rstrip():30} / {comment}"
    return longer.ljust(CARD) if len(longer) <= CARD else image


@contextmanager
def read_units(path: Path) -> Iterator[list[Unit]]:
    """The units of a FITS file; their data are mapped, not read.

    Raises
    ------
    DataError
        The file is absent, no FITS file, or shorter than its headers say.
    """
    if not path.is_file() or path.stat().st_size < BLOCK:
        raise DataError("absent or too short to be FITS", file=path, remedy=REMEDY)
    content = np.memmap(path, dtype=np.uint8, mode="r")
    if bytes(content[:10]) != b"SIMPLE  = ":
        raise DataError("not a FITS file", file=path, remedy=REMEDY)
    units, at = [], 0
    while at + BLOCK <= len(content):
        cards, at = _read_header(content, at, path)
        size = _data_size(cards)
        if at + size > len(content):
            raise DataError("shorter than its headers promise", file=path, remedy=REMEDY)
        units.append(Unit(cards, content[at : at + size]))
        at += _whole(size)
    yield units


def write_units(path: Path, units: list[Unit]) -> None:
    """Write units with checksums over `path`, which they may have been read from.

    On failure `path` is as it was.
    """
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=".stamped", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            for unit in units:
                unit.announce_long_strings()
                unit.sum_up()
                stream.write(unit.header())
                stream.write(unit.data.tobytes())
                stream.write(b"\0" * (_whole(len(unit.data)) - len(unit.data)))
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def ones_complement_sum(data: np.ndarray, start: int = 0) -> int:
    """Sum of big-endian 32-bit words with the carry added back (FITS standard 4.0, appendix J).

    Parameters
    ----------
    data : ndarray of uint8
        Bytes; taken as padded with zeros to whole words.
    start : int
        Sum so far.
    """
    words = len(data) // 4
    rest = bytes(data[4 * words :]).ljust(4, b"\0")
    total = start + int(data[: 4 * words].view(">u4").sum(dtype=np.uint64)) + int.from_bytes(rest, "big")
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encode_checksum(total: int) -> str:
    """The 16 letters and digits that bring an HDU's sum to zero (FITS standard 4.0, appendix J)."""
    complement = 0xFFFFFFFF - total
    letters = [0] * 16
    for k in range(4):
        quotient, remainder = divmod((complement >> (24 - 8 * k)) & 0xFF, 4)
        quarter = [quotient + ord("0") + remainder, *[quotient + ord("0")] * 3]
        while any(letter in EXCLUDED for letter in quarter):
            for j in (0, 2):
                if quarter[j] in EXCLUDED or quarter[j + 1] in EXCLUDED:
                    quarter[j] += 1
                    quarter[j + 1] -= 1
        letters[k::4] = quarter
    return bytes(letters[-1:] + letters[:-1]).decode("ascii")


def _read_header(content: np.ndarray, at: int, path: Path) -> tuple[list[str], int]:
    """Cards of the header that starts at byte `at`, and the byte after its last block."""
    cards: list[str] = []
    for start in range(at, len(content) - BLOCK + 1, BLOCK):
        text = bytes(content[start : start + BLOCK]).decode("ascii", "replace")
        for k in range(0, BLOCK, CARD):
            if text.startswith("END     ", k):
                while cards and cards[-1] == BLANK:
                    cards.pop()
                return cards, start + BLOCK
            cards.append(text[k : k + CARD])
    raise DataError("a header without an END card", file=path, remedy=REMEDY)


def _data_size(cards: list[str]) -> int:
    """Bytes of data that a header promises, without padding."""
    numbers = {text[:8].rstrip(): text[10:30] for text in cards[:16] if text[8:10] == "= "}
    axes = [int(numbers[f"NAXIS{k}"]) for k in range(1, int(numbers["NAXIS"]) + 1)]
    if not axes:
        return 0
    elements = int(np.prod(axes, dtype=np.int64)) + int(numbers.get("PCOUNT", 0))
    return abs(int(numbers["BITPIX"])) // 8 * int(numbers.get("GCOUNT", 1)) * elements


def _whole(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
