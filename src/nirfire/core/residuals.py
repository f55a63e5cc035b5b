"""How much correlated noise an image of sky still holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.core.background import BANDS, robust_width, spread_sample

CLIP = 4.0
LEAST = 20
"""A line with fewer pixels is not judged."""
LONGEST = 8
"""Half waves in 512 pixels, up to which noise counts as slow: periods of 128 pixels and more."""


class Correlation(NamedTuple):
    """Correlated noise of sky pixels; 1 is white noise.

    Attributes
    ----------
    columns, rows : float
        Root mean square of the medians of columns and rows, over what white noise of the pixels' own scatter gives.
    slow_y, slow_x : float
        Power at periods of 128 pixels and more along y (within each detector output) and x, over that of white noise.
    level : float
        Mean of the pixels over their scatter.
    """

    columns: float
    rows: float
    slow_y: float
    slow_x: float
    level: float


def correlation(residual: NDArray, variance: NDArray, keep: NDArray) -> Correlation:
    """Measure the correlated noise of an image.

    Parameters
    ----------
    residual : ndarray, shape (n_y, n_x)
        Image, background subtracted.
    variance : ndarray, shape (n_y, n_x)
        Its variance; only ratios between pixels matter.
    keep : ndarray of bool, shape (n_y, n_x)
        Sky pixels to judge by. Pixels that a background was fitted to look better than white noise where the fit
        followed their noise: judge by pixels that were kept out of the fit.

    Returns
    -------
    Correlation

    Notes
    -----
    The scatter is that of the pulls residual / sqrt(variance), by the median absolute deviation; pixels beyond 4 times
    that are left out. The median of n Gaussian values has the variance pi / (2 n).
    """
    pull, good = _clipped_pulls(residual, variance, keep)
    longest = LONGEST * pull.shape[1] // (len(pull) // BANDS)
    return Correlation(
        columns=_medians(pull.T, good.T),
        rows=_medians(pull, good),
        slow_y=float(np.mean(_band_power(pull, good, LONGEST))),
        slow_x=float(np.mean(_power(pull, good, longest))),
        level=float(pull[good].mean()),
    )


def band_spectrum(residual: NDArray, variance: NDArray, keep: NDArray, n_mode: int) -> tuple[NDArray, NDArray]:
    """Power spectrum of sky along y, within the detector outputs, over that of white noise.

    Parameters
    ----------
    residual, variance, keep : ndarray, shape (n_y, n_x)
        As in `correlation`.
    n_mode : int
        Number of frequencies.

    Returns
    -------
    frequency : ndarray, shape (n_mode,) [1/pixel]
    power : ndarray, shape (n_mode,)
        Mean over columns and outputs, in units of the scatter of the pixels.
    """
    pull, good = _clipped_pulls(residual, variance, keep)
    power = _band_power(pull, good, n_mode)
    return np.arange(1, n_mode + 1) / (2.0 * (len(pull) // BANDS)), power


def _clipped_pulls(residual: NDArray, variance: NDArray, keep: NDArray) -> tuple[NDArray, NDArray]:
    """Pulls in units of their scatter, and which of them are no outliers."""
    good = keep & (variance > 0)
    pull = np.where(good, residual, 0.0) / np.sqrt(np.where(good, variance, 1.0))
    if not good.any():
        return pull, good
    centre, sigma = robust_width(spread_sample(pull, good))
    return pull / sigma, good & (np.abs(pull - centre) < CLIP * sigma)


def _band_power(pull: NDArray, good: NDArray, n_mode: int) -> NDArray:
    n = len(pull) // BANDS
    parts = [slice(k * n, (k + 1) * n) for k in range(BANDS)]
    return np.nanmean([_power(pull[part].T, good[part].T, n_mode) for part in parts], axis=0)


def _medians(lines: NDArray, good: NDArray) -> float:
    count = good.sum(axis=1)
    enough = count >= LEAST
    medians = np.array([np.median(line[g]) for line, g in zip(lines[enough], good[enough], strict=True)])
    return float(np.sqrt(np.mean(medians**2 * count[enough] * 2.0 / np.pi)))


def _power(lines: NDArray, good: NDArray, n_mode: int) -> NDArray:
    """Power of lines in cosines of 1 ... n_mode half waves, over that of white noise; NaN without enough pixels."""
    enough = good.sum(axis=1) >= LEAST
    n = lines.shape[1]
    phase = np.pi * (np.arange(n) + 0.5) / n
    modes = np.cos(phase[:, None] * np.arange(1, n_mode + 1))
    if not enough.any():
        return np.full(n_mode, np.nan)
    amplitude = np.where(good, lines, 0.0)[enough] @ modes
    norm = good[enough].astype(float) @ modes**2
    return np.asarray(amplitude**2 / np.maximum(norm, 1e-9)).mean(axis=0)
