"""How far the noise of the sky exceeds what the readout variances claim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nirfire.core.background import BANDS, robust_width

LEAST_FACTOR = 1e-4
MOST_STEPS, SETTLED = 30, 1e-3
SAMPLE = 300_000
"""Pixels of which the scatter is taken: known to 0.2 % then."""
FAR = 5.0
"""Outliers beyond this many widths do not count, lest they shift the ranks: no Gaussian noise is lost there."""
LEAST = 1000
"""A detector output with fewer sky pixels gets the factor of the whole image."""


def read_noise_factor(
    residual: NDArray, read: NDArray, other: NDArray, *, n_effective: float = 0.0, n_pixels: int | None = None
) -> float:
    """Factor on the readout variance with which pulls of the sky get unit width.

    Parameters
    ----------
    residual : ndarray, shape (n,) [DN/s]
        Sky pixels, background subtracted, not clipped.
    read, other : ndarray, shape (n,) [(DN/s)^2]
        Readout variance, and all other variance (Poisson).
    n_effective : float
        Parameters that were fitted to `n_pixels` pixels: the fit has lowered the scatter by their share.
    n_pixels : int, optional
        By default n.

    Returns
    -------
    float
        The f for which residual / sqrt(f read + other) has the width of a unit Gaussian, by its median absolute
        deviation, which no clipping biases (the standard deviation after cuts at -3 and +2 sigma is 7 % low). At least
        `LEAST_FACTOR`: where the other variance alone exceeds the scatter, there is no solution.

    Raises
    ------
    ValueError
        No pixel with a positive readout variance.
    """
    good = read > 0
    if not good.any():
        raise ValueError("no sky pixel with a positive read-noise variance")
    step = max(1, int(good.sum()) // SAMPLE)
    r, v, o = (a[good][::step] for a in (residual, read, other))
    target = 1.0 - n_effective / (n_pixels or residual.size)
    factor = 1.0
    for _ in range(MOST_STEPS):
        total = factor * v + o
        excess = _width(r / np.sqrt(total)) ** 2 / target - 1.0
        share = factor * float(np.mean(v / total))  # of the readout noise in all variance
        before, factor = factor, float(np.clip(factor * (1.0 + excess / share), 0.1 * factor, 10 * factor))
        if factor < LEAST_FACTOR or abs(factor / before - 1.0) < SETTLED:
            break
    return max(factor, LEAST_FACTOR)


def _width(pull: NDArray) -> float:
    centre, width = robust_width(pull)
    return robust_width(pull[np.abs(pull - centre) < FAR * width])[1]


def output_factors(
    residual: NDArray, read: NDArray, other: NDArray, usable: NDArray, *, n_effective: float, each: bool
) -> tuple[float, NDArray]:
    """Factors on the readout variance, of the whole image and of each detector output.

    Parameters
    ----------
    residual, read, other : ndarray, shape (n_y, n_x)
        As in `read_noise_factor`.
    usable : ndarray of bool, shape (n_y, n_x)
        Sky pixels.
    n_effective : float
        Parameters fitted to them.
    each : bool
        One factor for each output; else all get that of the whole image.

    Returns
    -------
    whole : float
    factors : ndarray, shape (BANDS,)
    """
    n = int(usable.sum())
    whole = read_noise_factor(residual[usable], read[usable], other[usable], n_effective=n_effective)
    factors = np.full(BANDS, whole)
    if each:
        split = (np.array_split(a, BANDS) for a in (residual, read, other, usable))
        for k, (r, v, o, u) in enumerate(zip(*split, strict=True)):
            if (u & (v > 0)).sum() >= LEAST:
                factors[k] = read_noise_factor(r[u], v[u], o[u], n_effective=n_effective, n_pixels=n)
    return whole, factors
