"""SourceCal and NodSubtracted: one source's 2D cutout in one exposure.

The files are the stock pipeline's ``_cal.fits`` (one slit of a MultiSlitModel), so that any tool that knows
jwst products can open them, and so that the stock stage 3 can be run on them. Here they are read and rewritten
as plain FITS: the arrays change, the WCS that the stock pipeline stored in the ASDF extension stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from nirfire.core.wavecal import OVERLAP_FLAG
from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits

DO_NOT_USE, JUMP_DET, OUTLIER = 1, 4, 16
SLIT_Y, SLIT_WAVE = "SLIT_Y", "SLIT_WAVE"
BKG, VAR_BKG, BKG_NODS, BKG_EXPOSURES = "BKG", "VAR_BKG", "BKG_NODS", "BKG_EXPOSURES"
"""What nod subtraction adds: the background [MJy], its variance, the exposures it is from as bits, and their names."""
PLANNED = "PLANNED"
"""Sources planned in the slitlet, this one too: number, x from the middle of a shutter, y as SLIT_Y [pitch]."""
ARRAYS = {
    "sci": "SCI",
    "err": "ERR",
    "dq": "DQ",
    "var_poisson": "VAR_POISSON",
    "var_rnoise": "VAR_RNOISE",
    "var_flat": "VAR_FLAT",
    "wave": "WAVELENGTH",
    "pathloss_point": "PATHLOSS_PS",
    "pathloss_uniform": "PATHLOSS_UN",
    "barshadow": "BARSHADOW",
    "slit_y": SLIT_Y,
    "slit_wave": SLIT_WAVE,
    "bkg": BKG,
    "var_bkg": VAR_BKG,
    "bkg_nods": BKG_NODS,
}
OPTIONAL = ("pathloss_point", "pathloss_uniform", "barshadow", "slit_y", "slit_wave", "bkg", "var_bkg", "bkg_nods")
N_ALONG = 365  # shutters of a quadrant along the dispersion
UNIT, BRIGHTNESS = "MJy", "MJy/sr"
POWERS = {"SCI": 1, "ERR": 1, "VAR_POISSON": 2, "VAR_RNOISE": 2, "VAR_FLAT": 2}
CONVERSIONS = ("PHOTMJSR", "PHOTUJA2")
FLAGS = ("SRCFLUX", "STKSHTRS")
Window = tuple[slice, slice]


@dataclass(frozen=True)
class SlitCal:
    """A calibrated 2D cutout.

    Attributes
    ----------
    path : Path
        File it was read from.
    sci, err : ndarray, shape (n_spat, n_wave) [MJy]
        Flux density per pixel and its standard error; NaN where there is none.
    dq : ndarray of uint32, shape (n_spat, n_wave)
        JWST data quality bits.
    var_poisson, var_rnoise, var_flat : ndarray, shape (n_spat, n_wave) [MJy2]
        Variance components.
    wave : ndarray, shape (n_spat, n_wave) [um]
        Wavelength of the pixel centres.
    pathloss_point, pathloss_uniform : ndarray or None
        The pathloss corrections (divisors) for a point source and a uniform one.
    barshadow : ndarray or None
        The bar-shadow correction (divisor), which the stock pipeline applies to slits without a point source.
    slit_y : ndarray, shape (n_spat, n_wave), or None
        Where the pixel centres lie along the slitlet, as ``shutter_column`` of the MSA (whole at shutter centres).
    slit_wave : ndarray, shape (n_spat, n_wave) [um], or None
        Wavelength of light that fills the shutter; that of a point source is shifted from it.
    header, slit_header : fits.Header
        Primary header and header of the SCI extension.
    slit_place : tuple of 2 floats [arcsec], or None
        V2, V3 of the centre of the shutter that the slit's coordinates begin in.
    bkg, var_bkg : ndarray, shape (n_spat, n_wave) [MJy, MJy2], or None
        The sky that nodsub took away, and its variance.
    bkg_nods : ndarray of int, shape (n_spat, n_wave), or None
        The exposures whose median that sky is, as bits; 0 when it is from elsewhere.
    bkg_exposures : tuple of str
        What exposure each bit stands for.
    planned : mapping of int to (float, float) [pitch]
        Sources that were planned in the slitlet: x from the middle of the shutter, and y as in `slit_y`.
    """

    path: Path
    sci: np.ndarray
    err: np.ndarray
    dq: np.ndarray
    var_poisson: np.ndarray
    var_rnoise: np.ndarray
    var_flat: np.ndarray
    wave: np.ndarray
    pathloss_point: np.ndarray | None
    pathloss_uniform: np.ndarray | None
    barshadow: np.ndarray | None
    slit_y: np.ndarray | None
    slit_wave: np.ndarray | None
    header: fits.Header
    slit_header: fits.Header
    slit_place: tuple[float, float] | None = None
    bkg: np.ndarray | None = None
    var_bkg: np.ndarray | None = None
    bkg_nods: np.ndarray | None = None
    bkg_exposures: tuple[str, ...] = ()
    planned: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> SlitCal:
        """Read a ``_cal.fits`` or ``_cal_bkgsub.fits``.

        Raises
        ------
        DataError
            The file is damaged, lacks an extension or is not in MJy.
        """
        with open_fits(path) as hdus:
            units = {
                hdu.name: hdu for hdu in reversed(list(hdus))
            }  # astropy walks through all for each that is asked for
            arrays: dict[str, Any] = {}
            for field, name in ARRAYS.items():
                if name in units:
                    arrays[field] = np.array(units[name].data)
                elif field in OPTIONAL:
                    arrays[field] = None
                else:
                    raise DataError(f"extension {name} is missing", file=path, key=name, remedy="redo calibrate")
            header, slit_header = hdus[0].header.copy(), units["SCI"].header.copy()
            extra = units[SLIT_Y].header if SLIT_Y in units else fits.Header()
            where = (float(extra["SLITV2"]), float(extra["SLITV3"])) if "SLITV3" in extra else None
            exposures = tuple(units[BKG_EXPOSURES].data["exposure"]) if BKG_EXPOSURES in units else ()
            rows = units[PLANNED].data if PLANNED in units else ()
            planned = {int(row["source"]): (float(row["x"]), float(row["y"])) for row in rows}
        unit = slit_header.get("BUNIT")
        if unit != UNIT:
            raise DataError(f"unit is {unit!r}, expected {UNIT!r}", file=path, key="BUNIT", remedy="redo calibrate")
        return cls(
            path=path,
            header=header,
            slit_header=slit_header,
            slit_place=where,
            bkg_exposures=tuple(map(str, exposures)),
            planned=planned,
            **arrays,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_spat, n_wave)."""
        return self.sci.shape

    @property
    def origin(self) -> tuple[int, int]:
        """0-indexed detector (column, row) of the cutout's first pixel."""
        return int(self.slit_header["SLTSTRT1"]) - 1, int(self.slit_header["SLTSTRT2"]) - 1

    @property
    def bad(self) -> np.ndarray:
        """True where the pixel carries no information, shape (n_spat, n_wave)."""
        return (self.dq & DO_NOT_USE > 0) | ~np.isfinite(self.sci) | ~np.isfinite(self.variance)

    @property
    def variance(self) -> np.ndarray:
        """Sum of the variance components, shape (n_spat, n_wave) [MJy2]."""
        return self.var_poisson + self.var_rnoise + np.nan_to_num(self.var_flat)

    @property
    def correction(self) -> np.ndarray:
        """The divisor that this file's flux carries, shape (n_spat, n_wave): pathloss and bar shadow, 1 if neither."""
        kind = self.slit_header.get("PTHLOSS")
        pathloss = {"POINT": self.pathloss_point, "UNIFORM": self.pathloss_uniform}.get(str(kind))
        total = np.ones(self.shape)
        for divisor in (pathloss, self.barshadow if self.slit_header.get("BARSHDW") else None):
            if divisor is not None:
                total = total * np.where(np.isfinite(divisor) & (divisor > 0), divisor, np.nan)
        return total

    def with_arrays(self, **arrays: Any) -> SlitCal:
        """A copy with some arrays replaced."""
        return replace(self, **arrays)

    def write(
        self, path: Path, cards: dict[str, tuple[Any, str]] | None = None, extensions: Sequence[Any] = ()
    ) -> None:
        """Write to `path` all that the source file holds, with this object's arrays, extra primary cards and HDUs."""
        with open_fits(self.path) as hdus:
            for field, name in ARRAYS.items():
                value = getattr(self, field)
                if value is not None and name in hdus:
                    hdus[name].data = value.astype(np.uint32 if field == "dq" else hdus[name].data.dtype)
            hdus["SCI"].header.update(self.slit_header)
            for key in FLAGS:
                if key in self.header:
                    hdus[0].header[key] = self.header[key]
            for key, card in (cards or {}).items():
                hdus[0].header[key] = card
            hdus[0].header["FILENAME"] = (path.name, "")
            for hdu in extensions:
                if hdu.name in hdus:
                    del hdus[hdu.name]
                hdus.append(hdu)
            write_fits(path, hdus)


def planned_hdu(places: Mapping[int, tuple[float, float]]) -> fits.BinTableHDU:
    """The table of sources that were planned in a slitlet."""
    rows = [(source, *place) for source, place in places.items()]
    return fits.BinTableHDU(np.array(rows, dtype=[("source", "i4"), ("x", "f8"), ("y", "f8")]), name=PLANNED)


def shut(slit: SlitCal, closed: Sequence[int]) -> SlitCal:
    """Take the pixels of stuck-closed shutters out of a cutout that was calibrated with them open.

    Parameters
    ----------
    slit : SlitCal
    closed : sequence of int
        Ordinals of the shutters, 1 is the lowest ``shutter_column``; those that were commanded closed do not count.

    Returns
    -------
    SlitCal
        With the pixels flagged; when the source is in one of these shutters, SRCFLUX is false.

    Raises
    ------
    DataError
        The cutout does not say where its shutters are.
    """
    if not closed:
        return slit
    header = slit.slit_header
    number = header.get("SHUTTRID")
    opened = open_shutters(slit)
    if slit.slit_y is None or not opened:
        raise DataError("it does not say which pixels are in which shutter", file=slit.path, key="SHUTSTA")
    gone = [opened[k - 1] for k in closed if k <= len(opened)]
    top = slit.header.copy()
    top["STKSHTRS"] = ",".join(map(str, closed))
    if shutter_column(int(number)) in gone:
        top["SRCFLUX"] = False
    shutter = np.rint(np.nan_to_num(slit.slit_y))
    return slit.with_arrays(dq=np.where(np.isin(shutter, gone), slit.dq | DO_NOT_USE, slit.dq), header=top)


def open_shutters(slit: SlitCal) -> tuple[int, ...]:
    """``shutter_column`` of each open shutter, ascending; none when the file does not say."""
    state, number = str(slit.slit_header.get("SHUTSTA", "")), slit.slit_header.get("SHUTTRID")
    if number is None or "x" not in state:
        return ()
    first = shutter_column(int(number)) - state.index("x")
    return tuple(first + k for k, mark in enumerate(state) if mark != "0")


def shows_source(header: fits.Header) -> bool:
    """True when the source is in the open shutters of a nod, and a pixel of it can be used, by its primary header."""
    return bool(header.get("SRCFLUX", True)) and int(header.get("NFUSABLE", 1)) > 0


def source_rows(slit: SlitCal) -> np.ndarray | None:
    """Row of the source, as planned, in each column of a cutout, from 0; NaN where it lies outside.

    Returns
    -------
    ndarray, shape (n_wave,) [px], or None
        None when the file does not say where its pixels or the source lie in the slitlet.
    """
    number, place = slit.slit_header.get("SHUTTRID"), slit.slit_header.get("SRCYPOS")
    if slit.slit_y is None or number is None or place is None:
        return None
    wanted = shutter_column(int(number)) + float(place)
    rows, found = np.arange(slit.shape[0]), np.full(slit.shape[1], np.nan)
    for column in np.flatnonzero(np.isfinite(slit.slit_y).sum(axis=0) > 1):
        y = slit.slit_y[:, column]
        there = np.isfinite(y)
        order = np.argsort(y[there])
        found[column] = np.interp(wanted, y[there][order], rows[there][order], left=np.nan, right=np.nan)
    return found


def shutter_place(number: int) -> tuple[int, int]:
    """Row (along the dispersion, 1 to 365) and column (across, 1 to 171) of the shutter with this number (SHUTTRID)."""
    across, along = divmod(number - 1, N_ALONG)
    return along + 1, across + 1


def shutter_column(number: int) -> int:
    """Column, 1 to 171, of the shutter with this number (SHUTTRID) in its quadrant."""
    return shutter_place(number)[1]


def in_megajansky(hdus: fits.HDUList, *, file: Path) -> None:
    """Bring a stock ``_cal.fits`` of one slit to flux density per pixel; one that is there already stays as it is.

    Parameters
    ----------
    hdus : HDUList
        Changed in place.
    file : Path
        For messages.

    Raises
    ------
    DataError
        The unit is another one, or the solid angle of a pixel is not known.

    Notes
    -----
    The stock pipeline gives slits whose source it takes for extended, and those without a source, in MJy/sr: their
    conversion factor is that of point sources divided by the solid angle PIXAR_SR. Multiplied by it again, both kinds
    are on one scale, whatever the factor.
    """
    header = hdus["SCI"].header
    unit = header.get("BUNIT")
    if unit == UNIT:
        return
    if unit != BRIGHTNESS:
        raise DataError(f"unit is {unit!r}, expected MJy or MJy/sr", file=file, key="BUNIT")
    area = header.get("PIXAR_SR")
    if area is None:
        raise DataError("the solid angle of a pixel is not known", file=file, key="PIXAR_SR")
    for name, power in POWERS.items():
        if name not in hdus:  # VAR_FLAT without a flat field
            continue
        hdus[name].data = (hdus[name].data.astype(float) * area**power).astype(np.float32)
        hdus[name].header["BUNIT"] = UNIT if power == 1 else f"{UNIT}2"
    for key in CONVERSIONS:
        if key in header:
            header[key] *= area


def mark_overlap(hdus: fits.HDUList, overlap: np.ndarray) -> None:
    """Set the data-quality bit of pixels that second-order light reaches, shape (n_spat, n_wave); in place."""
    hdus["DQ"].data = hdus["DQ"].data | np.where(overlap, OVERLAP_FLAG, 0).astype(np.uint32)


def to_common_box(slits: list[SlitCal], names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], list[Window]]:
    """Put cutouts of one detector on one detector box.

    Parameters
    ----------
    slits : list of SlitCal
        Cutouts of one slitlet, possibly of different extent.
    names : tuple of str
        Attributes to put there; flags and truth values are 0 outside a cutout, other numbers NaN.

    Returns
    -------
    planes : dict of ndarray, shape (n_exp, n_spat, n_wave)
        The attributes, and ``bad``: outside a cutout the pixel is bad, never zero.
    windows : list of (slice, slice)
        Where each cutout lies in the box.
    """
    corners = np.array([s.origin for s in slits])
    ends = np.array([(s.origin[0] + s.shape[1], s.origin[1] + s.shape[0]) for s in slits])
    (x0, y0), (x1, y1) = corners.min(axis=0), ends.max(axis=0)
    shape = (len(slits), int(y1 - y0), int(x1 - x0))
    planes = {"bad": np.ones(shape, dtype=bool)}
    for name in names:
        whole = np.issubdtype(getattr(slits[0], name).dtype, np.integer)
        planes[name] = np.zeros(shape, dtype=np.uint32) if whole else np.full(shape, np.nan)
    windows = []
    for k, slit in enumerate(slits):
        (x, y), (n_spat, n_wave) = slit.origin, slit.shape
        window = (slice(int(y - y0), int(y - y0) + n_spat), slice(int(x - x0), int(x - x0) + n_wave))
        windows.append(window)
        for name, plane in planes.items():
            plane[k][window] = getattr(slit, name)
    return planes, windows
