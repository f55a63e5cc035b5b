"""SourceCal and NodSubtracted: one source's 2D cutout in one exposure.

The files are the stock pipeline's ``_cal.fits`` (one slit of a MultiSlitModel), so that any tool that knows
jwst products can open them, and so that the stock stage 3 can be run on them. Here they are read and rewritten
as plain FITS: the arrays change, the WCS that the stock pipeline stored in the ASDF extension stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from nirfire.core.wavecal import OVERLAP_FLAG
from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits

DO_NOT_USE = 1
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
}
OPTIONAL = ("pathloss_point", "pathloss_uniform", "barshadow")
UNIT, BRIGHTNESS = "MJy", "MJy/sr"
POWERS = {"SCI": 1, "ERR": 1, "VAR_POISSON": 2, "VAR_RNOISE": 2, "VAR_FLAT": 2}
CONVERSIONS = ("PHOTMJSR", "PHOTUJA2")


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
    header, slit_header : fits.Header
        Primary header and header of the SCI extension.
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
    header: fits.Header
    slit_header: fits.Header

    @classmethod
    def read(cls, path: Path) -> SlitCal:
        """Read a ``_cal.fits`` or ``_cal_bkgsub.fits``.

        Raises
        ------
        DataError
            The file is damaged, lacks an extension or is not in MJy.
        """
        with open_fits(path) as hdus:
            arrays: dict[str, Any] = {}
            for field, name in ARRAYS.items():
                if name in hdus:
                    arrays[field] = np.array(hdus[name].data)
                elif field in OPTIONAL:
                    arrays[field] = None
                else:
                    raise DataError(f"extension {name} is missing", file=path, key=name, remedy="redo calibrate")
            header, slit_header = hdus[0].header.copy(), hdus["SCI"].header.copy()
        unit = slit_header.get("BUNIT")
        if unit != UNIT:
            raise DataError(f"unit is {unit!r}, expected {UNIT!r}", file=path, key="BUNIT", remedy="redo calibrate")
        return cls(path=path, header=header, slit_header=slit_header, **arrays)

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

    def write(self, path: Path, cards: dict[str, tuple[Any, str]] | None = None) -> None:
        """Write to `path` all that the source file holds, with this object's arrays and extra primary cards."""
        with open_fits(self.path) as hdus:
            for field, name in ARRAYS.items():
                value = getattr(self, field)
                if value is not None and name in hdus:
                    hdus[name].data = value.astype(np.uint32 if field == "dq" else hdus[name].data.dtype)
            hdus["SCI"].header.update(self.slit_header)
            for key, card in (cards or {}).items():
                hdus[0].header[key] = card
            hdus[0].header["FILENAME"] = path.name
            write_fits(path, hdus)


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


def to_common_box(slits: list[SlitCal]) -> tuple[dict[str, np.ndarray], list[tuple[slice, slice]]]:
    """Put cutouts of one detector on one detector box.

    Parameters
    ----------
    slits : list of SlitCal
        Cutouts of one slitlet, possibly of different extent.

    Returns
    -------
    planes : dict of ndarray, shape (n_exp, n_spat, n_wave)
        ``sci``, ``variance``, ``correction`` and ``bad``; outside a cutout the pixel is bad, never zero.
    windows : list of (slice, slice)
        Where each cutout lies in the box.
    """
    corners = np.array([s.origin for s in slits])
    ends = np.array([(s.origin[0] + s.shape[1], s.origin[1] + s.shape[0]) for s in slits])
    (x0, y0), (x1, y1) = corners.min(axis=0), ends.max(axis=0)
    shape = (len(slits), int(y1 - y0), int(x1 - x0))
    planes = {name: np.full(shape, np.nan) for name in ("sci", "variance", "correction")}
    planes["bad"] = np.ones(shape, dtype=bool)
    windows = []
    for k, slit in enumerate(slits):
        (x, y), (n_spat, n_wave) = slit.origin, slit.shape
        window = (slice(int(y - y0), int(y - y0) + n_spat), slice(int(x - x0), int(x - x0) + n_wave))
        windows.append(window)
        for name in planes:
            planes[name][k][window] = getattr(slit, name)
    return planes, windows
