"""Photon noise of the sky in a few nodded exposures, without the noise that its estimate in each pixel has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from nirfire.core.running import running_median

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW = 9
"""[pixel] Length, along the dispersion, of the mean."""
LIT = 1.3
"""Ratio to the smallest of the exposures' means, or to the surroundings, from where on a pixel has light of its own,"""
SURE = 4.0
"""if it is larger than that by so many standard errors."""


def sky_photon_variance(variance: Array, good: Mask) -> Array:
    """Photon-noise variance with that of the sky taken from the surroundings and all exposures.

    Parameters
    ----------
    variance : ndarray, shape (n_exp, n_spat, n_wave)
        Photon-noise variance of each exposure, aligned on the detector grid and on one scale (VAR_POISSON).
    good : ndarray of bool, shape (n_exp, n_spat, n_wave)
        Pixels to take it from and to replace it in. Leave out those with a jump in their ramp: they are noisier.

    Returns
    -------
    ndarray, shape (n_exp, n_spat, n_wave)
        As given where a source adds light in one exposure, and in pixels that stand out of their row (hot ones, lines).
        Else the mean over the exposures without such light and over `WINDOW` pixels along the dispersion, but for the
        value itself.

    Notes
    -----
    The stock pipeline estimates photon noise from the signal that it measured in the same pixel. A pixel that is low
    by chance then gets a small error, and means weighted by inverse variance come out too low: by a tenth of their
    standard error for 20 pixels of simulated PRISM exposures of three nods, and by more for more pixels. An estimate
    from other pixels does not know which way this one is off, and one that treats all nods alike has nothing to do with
    the difference of two of them. What decides that a pixel is lit is a mean too, since a choice by the pixel's own
    value would bring the bias back.
    """
    usable = good & ~_standing_out(variance, good)
    smooth, scatter, total, count = _running_mean(variance, usable)
    first = np.argmin(smooth, axis=0)[np.newaxis]
    lowest, noise = (np.take_along_axis(a, first, axis=0) for a in (smooth, scatter))
    unlit = smooth <= np.maximum(LIT * lowest, lowest + SURE * noise)
    dark = usable & unlit
    others = np.sum(count, axis=0, where=unlit) - 1.0
    rest = np.sum(total, axis=0, where=unlit) - variance
    return np.where(dark & (others > 0.5), rest / np.maximum(others, 1.0), variance)


def _standing_out(variance: Array, good: Mask) -> Mask:
    """Pixels whose mean over the exposures is far above their surroundings in the row, shape (n_spat, n_wave)."""
    n = good.sum(axis=0)
    mean = np.sum(variance, axis=0, where=good) / np.maximum(n, 1)
    middle, known = running_median(mean, n > 0)
    spread = 1.4826 * running_median(np.abs(mean - middle), known)[0]
    return known & (mean > np.maximum(LIT * middle, middle + SURE * spread))


def _running_mean(values: Array, good: Mask) -> tuple[Array, Array, Array, Array]:
    """Mean over `WINDOW` pixels along the dispersion of those that are good, its error, their sum and their number.

    The mean is infinite where there are none.
    """
    share, first, second = (
        uniform_filter1d(np.where(good, power, 0.0), WINDOW, axis=-1, mode="constant")
        for power in (np.ones(values.shape), values, values**2)
    )
    there = share > 0.5 / WINDOW
    some = np.where(there, share, 1.0)
    mean = first / some
    spread = np.sqrt(np.clip(second / some - mean**2, 0.0, None) / (some * WINDOW))
    count = np.where(there, np.rint(share * WINDOW), 0.0)
    return np.where(there, mean, np.inf), np.where(there, spread, 0.0), np.where(there, first * WINDOW, 0.0), count
