"""Files of one source in one exposure, read quickly, and where the shutters of its slitlet lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nirfire.errors import DataError
from nirfire.inspect.stamp import Stamp, stamp
from nirfire.products.fitsbytes import Unit, read_units
from nirfire.products.slitcal import BKG, DO_NOT_USE, PLANNED, SLIT_Y, shutter_column

MICROJANSKY = 1e12  # of a MJy
KEPT = 48  # files in memory, of 0.2 MB (PRISM) to 2 MB each
TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
PLANNED_ROW = np.dtype([("source", ">i4"), ("x", ">f8"), ("y", ">f8")])
REMEDY = "look at the log of the task that wrote it, or redo it"


@dataclass(frozen=True)
class Cutout:
    """What the page needs of a ``_cal.fits`` or ``_cal_bkgsub.fits``.

    Attributes
    ----------
    sci : ndarray of float32, shape (n_spat, n_wave) [uJy]
        NaN where a pixel cannot be used.
    sky : ndarray of float32, shape (n_spat, n_wave) [uJy], or None
        What was subtracted.
    wave : ndarray of float32, shape (n_wave,) [um]
        Wavelength of the middle of each column; NaN where there is none.
    slit_y : ndarray, shape (n_spat, n_wave), or None
        Where the pixel centres lie along the slitlet, as ``shutter_column``.
    cards : mapping of str to object
        Cards of the primary and SCI headers that are asked for in `CARDS`.
    planned : mapping of int to float
        ``shutter_column`` of the sources that are planned in the slitlet, with fractions.
    """

    sci: np.ndarray
    sky: np.ndarray | None
    wave: np.ndarray
    slit_y: np.ndarray | None
    cards: Mapping[str, Any]
    planned: Mapping[int, float]

    @cached_property
    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Row at ``shutter_column`` 0, and rows per shutter, of each column; NaN where too little is known."""
        n_spat, n_wave = self.sci.shape
        if self.slit_y is None:
            return np.full(n_wave, np.nan), np.full(n_wave, np.nan)
        known = np.isfinite(self.slit_y)
        first, last = known.argmax(axis=0), n_spat - 1 - known[::-1].argmax(axis=0)
        columns = np.arange(n_wave)
        low, high = self.slit_y[first, columns], self.slit_y[last, columns]
        usable = known.any(axis=0) & (last > first)
        slope = np.divide(last - first, high - low, out=np.full(n_wave, np.nan), where=usable & (high != low))
        return first - slope * low, slope

    def rows_of(self, places: np.ndarray) -> np.ndarray:
        """Rows, from 0, at which places of the slitlet lie, in each column.

        Parameters
        ----------
        places : ndarray, shape (n,)
            As ``shutter_column``, with fractions; also outside of the cutout.

        Returns
        -------
        ndarray of float32, shape (n, n_wave) [px]
        """
        start, slope = self._lines
        return (start + np.multiply.outer(places, slope)).astype(np.float32)


CARDS = {
    0: ("GRATING", "FILTER", "MSAMETFL", "MSAMETID", "PATTTYPE", "SUBPXPTS", "PATT_NUM", "SRCFLUX", "NFSKY", "NFTASK"),
    1: ("SHUTSTA", "SHUTTRID", "SRCYPOS"),
}


OWN_CARDS = ("NFSKY",)
"""Of a file of which only the pixels are read."""


def read_cutout(path: Path, *, pixels_only: bool = False) -> Cutout | None:
    """Read a cutout, from memory if it has not changed; None when there is none.

    Parameters
    ----------
    path : Path
        The file.
    pixels_only : bool
        Leave out where its pixels lie, which another file of the same exposure says.

    Raises
    ------
    DataError
        It is damaged, or lacks what every such file has.
    """
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _read(path, stamp(stat), pixels_only)


@lru_cache(maxsize=KEPT)
def _read(path: Path, _version: Stamp, pixels_only: bool) -> Cutout:
    with read_units(path) as units:
        named = {unit.name or "PRIMARY": unit for unit in units}
        for name in ("SCI", "DQ", "WAVELENGTH"):
            if name not in named:
                raise DataError(f"extension {name} is missing", file=path, key=name, remedy=REMEDY)
        bad = _image(named["DQ"], path).astype(np.uint32) & DO_NOT_USE > 0
        sci = _microjansky(named["SCI"], bad, path)
        headers = (named["PRIMARY"], named["SCI"])
        if pixels_only:
            cards = {key: named["PRIMARY"].value(key) for key in OWN_CARDS}
            return Cutout(sci, None, np.full(sci.shape[1], np.nan, np.float32), None, cards, {})
        cards = {key: headers[k].value(key) for k, keys in CARDS.items() for key in keys}
        return Cutout(
            sci=sci,
            sky=_microjansky(named[BKG], bad, path) if BKG in named else None,
            wave=_middle(_image(named["WAVELENGTH"], path)),
            slit_y=_image(named[SLIT_Y], path) if SLIT_Y in named else None,
            cards=cards,
            planned=_planned(named.get(PLANNED), cards, path),
        )


def _image(unit: Unit, path: Path) -> np.ndarray:
    """Pixels of an image extension, in the byte order of the machine."""
    bits, shape = unit.value("BITPIX"), (unit.value("NAXIS2"), unit.value("NAXIS1"))
    if bits not in TYPES or not all(isinstance(n, int) and n > 0 for n in shape) or unit.value("NAXIS") != 2:
        raise DataError("not an image", file=path, key=unit.name, remedy=REMEDY)
    stored = np.dtype(TYPES[int(str(bits))])
    n_y, n_x = (int(str(n)) for n in shape)
    values = unit.data[: n_y * n_x * stored.itemsize].view(stored).reshape(n_y, n_x)
    zero = unit.value("BZERO")
    if zero:
        return values.astype(np.int64) + int(float(str(zero)))
    return values.astype(stored.newbyteorder("="))


def _microjansky(unit: Unit, bad: np.ndarray, path: Path) -> np.ndarray:
    values = _image(unit, path)
    if values.shape != bad.shape:
        raise DataError("its extensions differ in shape", file=path, key=unit.name, remedy=REMEDY)
    return np.where(bad | ~np.isfinite(values), np.nan, values * MICROJANSKY).astype(np.float32)


def _middle(wave: np.ndarray) -> np.ndarray:
    """Median of the wavelengths of each column, shape (n_wave,)."""
    known = np.isfinite(wave) & (wave > 0)
    ordered = np.sort(np.where(known, wave, np.inf), axis=0)
    found = np.take_along_axis(ordered, (np.maximum(known.sum(axis=0), 1) - 1)[None] // 2, axis=0)[0]
    return np.where(np.isfinite(found), found, np.nan).astype(np.float32)


def _planned(unit: Unit | None, cards: Mapping[str, Any], path: Path) -> dict[int, float]:
    """``shutter_column`` of the sources of a slitlet; of the one in the header where the file has no table of them."""
    if unit is not None:
        if unit.value("NAXIS1") != PLANNED_ROW.itemsize:
            raise DataError("not a table of sources", file=path, key=PLANNED, remedy=REMEDY)
        rows = np.frombuffer(unit.data, dtype=PLANNED_ROW, count=int(str(unit.value("NAXIS2"))))
        return {int(row["source"]): float(row["y"]) for row in rows}
    number, place = cards["SHUTTRID"], cards["SRCYPOS"]
    return {} if number is None or place is None else {0: shutter_column(int(number)) + float(place)}
