"""Checks of exposures and visits: ramps, background, noise, shutters, pointing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from nirfire.core.residuals import LEAST, correlation
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import ExposureName
from nirfire.products.offsets import Offsets
from nirfire.products.rate import BKG, BKGMASK
from nirfire.products.shutters import ShutterTable
from nirfire.qa.canvas import robust_sigma
from nirfire.qa.checks import Measured
from nirfire.qa.exposure_figures import CleanedExposure

RAMP_STEPS = ("S_DQINIT", "S_SATURA", "S_SUPERB", "S_REFPIX", "S_LINEAR", "S_DARK", "S_JUMP", "S_RAMP")
DONE = "COMPLETE"
DO_NOT_USE, REFERENCE_PIXEL = 1, 2**31


def check_exposure(rate: Path) -> list[Measured]:
    """Measure a cleaned exposure.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits``.

    Returns
    -------
    list of Measured
        NaN where the file does not tell.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    subject = str(ExposureName.from_path(rate) or rate.stem)
    with open_fits(rate) as hdus:
        header = hdus[0].header
        values = {"ramp_steps": not_done(header, RAMP_STEPS), "bad_pixels": _bad_pixels(hdus)}
        change = float(header.get("NFBKGCHG", math.nan))
        cleaned = all(name in hdus for name in ("SCI", "ERR", BKG, BKGMASK))
    sky = CleanedExposure.read(rate) if cleaned else None
    values |= _sky(sky, change) if sky is not None else {}
    return [Measured(name, value, subject=subject) for name, value in values.items()]


def not_done(header: Mapping[str, Any], steps: Iterable[str]) -> float:
    """Number of steps of the stock pipeline that a header does not call complete; NaN where it names none."""
    said = [str(header[step]).strip().upper() for step in steps if step in header]
    return float(sum(one != DONE for one in said)) if said else math.nan


def _bad_pixels(hdus: fits.HDUList) -> float:
    """Share of DO_NOT_USE among the pixels that see light."""
    if "DQ" not in hdus:
        return math.nan
    quality = np.asarray(hdus["DQ"].data).astype(np.uint32)
    light = quality & np.uint32(REFERENCE_PIXEL) == 0
    bad = quality[light] & np.uint32(DO_NOT_USE) > 0
    return float(bad.mean()) if bad.size else math.nan


def _sky(exposure: CleanedExposure, change: float) -> dict[str, float]:
    """What is left of the background, in units of the error of a pixel.

    Notes
    -----
    The root mean square c of the medians of columns (or rows) over that of white noise, for n pixels in a line, means
    offsets of sqrt((c^2 - 1) pi / (2 n)) of the noise of a pixel. The larger of the two directions counts.
    """
    good = exposure.fitted & np.isfinite(exposure.cleaned) & (exposure.err > 0)
    if not good.any():
        return dict.fromkeys(("background_change", "sky_level", "stripes", "noise_width"), math.nan)
    err = np.where(good, exposure.err, 1.0)
    pull = np.where(good, exposure.cleaned / err, np.nan)
    found = correlation(np.where(good, exposure.cleaned, 0.0), err**2, good)
    stripes = [_offset(found.columns, good.sum(axis=0)), _offset(found.rows, good.sum(axis=1))]
    return {
        "background_change": change / float(np.median(exposure.err[good])),
        "sky_level": float(np.median(pull[good])),
        "stripes": max(stripes),
        "noise_width": robust_sigma(pull),
    }


def _offset(excess: float, pixels: np.ndarray) -> float:
    enough = pixels[pixels >= LEAST]
    return math.sqrt(max(excess**2 - 1.0, 0.0) * math.pi / (2.0 * float(np.mean(enough)))) if enough.size else math.nan


def check_shutters(path: Path) -> list[Measured]:
    """Closed shutters of each source, from a ``_shutters.fits``."""
    table = ShutterTable.read(path)
    source = np.asarray(table.verdicts["source"])
    closed = np.asarray(table.verdicts["closed"], dtype=bool)
    return [Measured("closed_shutters", float(closed[source == one].sum()), subject=str(one)) for one in table.sources]


def check_offsets(path: Path) -> list[Measured]:
    """Mean offset of a visit, from an ``_offsets.fits``; its error is the scatter over the root of the sources used."""
    offsets = Offsets.read(path)
    used = int(np.count_nonzero(offsets.table["used"]))
    error = offsets.scatter / math.sqrt(used) if used else math.nan
    return [Measured("visit_offset", offsets.offset, error, offsets.root)]
