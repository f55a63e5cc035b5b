"""Running median along the dispersion."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

REACH = 10
"""[pixel] How far the surroundings of a pixel go to either side."""
LEAST = 5
"""Pixels that they must have."""


def running_median(values: Array, good: Mask) -> tuple[Array, Mask]:
    """Median of the surroundings of each pixel along the last axis.

    Parameters
    ----------
    values : ndarray, shape (..., n_wave)
    good : ndarray of bool, shape (..., n_wave)
        Pixels to take it from.

    Returns
    -------
    median : ndarray, shape (..., n_wave)
        0 where there are fewer than `LEAST` good pixels.
    known : ndarray of bool, shape (..., n_wave)
        Good pixels with a median.
    """
    pad = [(0, 0)] * (values.ndim - 1) + [(REACH, REACH)]
    padded = np.pad(np.where(good, values, np.inf), pad, constant_values=np.inf)
    ordered = np.sort(sliding_window_view(padded, 2 * REACH + 1, axis=-1), axis=-1)
    n = np.isfinite(ordered).sum(axis=-1)
    enough = n >= LEAST
    ranks = (np.maximum(n - 1, 0) // 2, n // 2)
    low, high = (np.take_along_axis(ordered, k[..., np.newaxis], axis=-1)[..., 0] for k in ranks)
    middle = 0.5 * (np.where(enough, low, 0.0) + np.where(enough, high, 0.0))
    return middle, enough & good
