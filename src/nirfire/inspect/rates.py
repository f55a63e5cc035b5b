"""A whole exposure as an image for the page: the counts, or the smoothed sky in which glows show."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nirfire.core.artefacts import average, smoothed_significance
from nirfire.errors import DataError
from nirfire.inspect.stamp import Stamp, stamp
from nirfire.products.fitsfile import open_fits
from nirfire.qa.canvas import robust_sigma
from nirfire.qa.glow_figure import BIN, LEAST, LIMIT, WIDTH, SkyImage

COUNTS, SMOOTHED = "counts", "sky"
LEVELS = 254  # grey levels 1 to 255; 0 is a pixel without a value
SOFT = 2.0  # sigma: below it the scale is linear, above logarithmic
DEPTH, HEIGHT = 5.0, 20.0  # sigma: the darkest, and the least of the brightest
THIN = 7  # every so many pixels are looked at for the scale
KEPT = 3
Picture = tuple[dict[str, Any], np.ndarray]


def rate_picture(path: Path, view: str) -> Picture:
    """Scale an exposure to a byte per pixel.

    Parameters
    ----------
    path : Path
        A ``_rate.fits`` or ``_rateraw.fits``.
    view : {"counts", "sky"}
        The counts of every pixel; or the sky off the traces, smoothed, in units of the noise that is expected then.

    Returns
    -------
    meta : dict
        ``bin``, pixels of the detector along a side of a pixel here; ``unit``; and ``scale``: a pixel u from 1 to 255
        has the value zero + soft sinh(low + (high - low)(u - 1)/254), or low + (high - low)(u - 1)/254 if linear.
    image : ndarray of uint8, shape (n_y, n_x)
        0 where there is no value.

    Raises
    ------
    DataError
        The file is damaged, or has no fitted background for a smoothed sky.
    """
    return _picture(path, stamp(path.stat()), view)


@lru_cache(maxsize=KEPT)
def _picture(path: Path, _version: Stamp, view: str) -> Picture:
    return _smoothed(path) if view == SMOOTHED else _counts(path)


def _counts(path: Path) -> Picture:
    with open_fits(path) as hdus:
        if "SCI" not in hdus or hdus["SCI"].data is None or hdus["SCI"].data.ndim != 2:
            raise DataError("no image of counts", file=path, key="SCI", remedy="redo clean")
        values = np.asarray(hdus["SCI"].data, dtype=np.float32)
    sample = values.ravel()[::THIN]
    sample = sample[np.isfinite(sample)]
    zero = float(np.median(sample)) if sample.size else 0.0
    sigma = float(1.4826 * np.median(np.abs(sample - zero))) if sample.size else 1.0
    soft = SOFT * (sigma or 1.0)
    top = max(float(np.percentile(sample, 99.9)) - zero if sample.size else 0.0, HEIGHT * soft / SOFT)
    low, high = float(np.arcsinh(-DEPTH / SOFT)), float(np.arcsinh(top / soft))
    image = _bytes(np.arcsinh((values - zero) / soft), low, high)
    scale = {"kind": "asinh", "zero": zero, "soft": soft, "low": low, "high": high}
    return {"view": COUNTS, "bin": 1, "unit": "DN/s", "scale": scale}, image


def _smoothed(path: Path) -> Picture:
    sky = SkyImage.read(path)
    if sky is None:
        raise DataError("no fitted background in it", file=path, key="BKGMASK", remedy="look at the counts instead")
    blocks = average(sky.sci, sky.err, sky.sky, BIN, LEAST)
    values = smoothed_significance(blocks.mean, blocks.ivar, WIDTH / BIN)
    sigma = robust_sigma(values[blocks.ivar > 0][::THIN])
    limit = float(max(LIMIT, 3 * sigma)) if np.isfinite(sigma) else LIMIT  # more where the noise is correlated
    image = _bytes(np.where(values == 0, np.nan, values), -limit, limit)
    scale = {"kind": "linear", "low": -limit, "high": limit}
    return {"view": SMOOTHED, "bin": BIN, "unit": "sigma", "scale": scale}, image


def _bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    level = np.clip((values - low) * (LEVELS / (high - low)), 0, LEVELS)
    return np.where(np.isfinite(level), np.nan_to_num(level) + 1.5, 0).astype(np.uint8)
