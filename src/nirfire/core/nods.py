"""Background from the other nods: its value, its noise, and the covariance that it leaves between the nods."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MEDIAN_VARIANCE = (
    *(np.nan, 1.0, 0.5, 0.44867, 0.2982, 0.28683, 0.21475, 0.21045),
    *(0.16819, 0.1661, 0.13834, 0.13716, 0.11754, 0.1168),
)
"""Variance of the median of n unit normals, n = 1 to 13, from the joint density of the middle order statistics
(David & Nagaraja 2003, Order Statistics, section 2.2); index 0 is not used."""


class Background(NamedTuple):
    """The background of every exposure, from the others.

    Attributes
    ----------
    value : ndarray, shape (n_exp, n_spat, n_wave)
        Median of the exposures that were used; 0 where there is none.
    used : ndarray of bool, shape (n_exp, n_exp, n_spat, n_wave)
        ``used[i, j]``: pixels of exposure j in the background of exposure i.
    """

    value: Array
    used: Mask

    @property
    def there(self) -> Mask:
        """Pixels that have a background, shape (n_exp, n_spat, n_wave)."""
        return np.any(self.used, axis=1)


def median_variance(n: np.ndarray) -> np.ndarray:
    """Variance of the median of `n` independent unit normals.

    Parameters
    ----------
    n : ndarray of int
        Sample sizes, at least 1.

    Returns
    -------
    ndarray of float
        Tabulated to n = 13; beyond, pi / (2 m + pi - 2) with m = n, or n + 1 for even n: within 1.6 %.
    """
    table = np.array(MEDIAN_VARIANCE)
    odd = n + (n + 1) % 2
    return np.where(n < len(table), table[np.minimum(n, len(table) - 1)], np.pi / (2 * odd + np.pi - 2))


def median_of_others(flux: Array, good: Mask, allowed: Mask | None = None) -> Background:
    """For every exposure, the median of the others.

    Parameters
    ----------
    flux : ndarray, shape (n_exp, n_spat, n_wave)
        Exposures aligned on the detector grid.
    good : ndarray of bool, shape (n_exp, n_spat, n_wave)
        Pixels that may serve as background.
    allowed : ndarray of bool, shape (n_exp, n_exp), optional
        ``allowed[i, j]``: exposure j may serve as background of exposure i. By default all others; an exposure never
        serves as its own background.

    Returns
    -------
    Background

    Raises
    ------
    ValueError
        Fewer than two exposures.
    """
    n_exp = len(flux)
    if n_exp < 2:
        raise ValueError("nod subtraction needs at least two exposures")
    others = ~np.eye(n_exp, dtype=bool)
    allowed = others if allowed is None else allowed & others
    used = allowed[:, :, np.newaxis, np.newaxis] & good
    value = np.stack([_median(flux[allowed[i]], used[i][allowed[i]]) for i in range(n_exp)])
    return Background(value, used)


def subtract_median_of_others(flux: Array, ivar: Array, *, use: Mask | None = None) -> tuple[Array, Array]:
    """Subtract from every exposure the median of the others.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_exp, n_spat, n_wave)
        Exposures aligned on the detector grid, and their inverse variances (0 = no information).
    use : ndarray of bool, shape (n_exp, n_exp), optional
        See `median_of_others`.

    Returns
    -------
    flux, ivar : ndarray, shape (n_exp, n_spat, n_wave)
        Background-subtracted exposures; the inverse variance includes the noise of the background. A pixel with no
        background at all has ivar 0.

    Raises
    ------
    ValueError
        Fewer than two exposures.
    """
    valid = ivar > 0
    variance = np.where(valid, 1.0 / np.where(valid, ivar, 1.0), 0.0)
    background = median_of_others(flux, valid, use)
    good = valid & background.there
    total = variance + background_variance(variance, background.used)
    return np.where(good, flux - background.value, 0.0), np.where(good, 1.0 / np.where(good, total, 1.0), 0.0)


def background_variance(variance: Array, used: Mask) -> Array:
    """Variance of the medians of the other exposures.

    Parameters
    ----------
    variance : ndarray, shape (n_exp, n_spat, n_wave)
        Of each exposure: in all, or one component of it. Not looked at where a pixel is not used.
    used : ndarray of bool, shape (n_exp, n_exp, n_spat, n_wave)
        See `Background`.

    Returns
    -------
    ndarray, shape (n_exp, n_spat, n_wave)
        0 where there is no background.

    Notes
    -----
    A median of n backgrounds of mean variance v has v times `median_variance` (n): for equal errors the standard error
    of the difference is larger by 1.41, 1.22, 1.14 for groups of 2, 3, 5.
    """
    n = used.sum(axis=1)
    total = np.stack([np.sum(np.broadcast_to(variance, mine.shape), axis=0, where=mine) for mine in used])
    return np.where(n > 0, total / np.maximum(n, 1) * median_variance(np.maximum(n, 1)), 0.0)


def nod_covariance(variance: Array, used: Mask) -> Array:
    """Covariance that nod subtraction leaves between the exposures, in each detector pixel.

    Parameters
    ----------
    variance : ndarray, shape (n_exp, n_spat, n_wave)
        Of each exposure before the subtraction; 0 where it has no information.
    used : ndarray of bool, shape (n_exp, n_exp, n_spat, n_wave)
        See `Background`.

    Returns
    -------
    ndarray, shape (n_exp, n_exp, n_spat, n_wave)

    Notes
    -----
    With weights w of 1/n for each of n backgrounds it is (1 - w) diag(variance) (1 - w)^T: exact for n <= 2, and for
    the covariance of a pixel with a median of any n, as their sum over the sample is the variance of one pixel. A
    median of more is noisier than a mean; the excess is shared between two medians by the cube of the share of
    exposures that they have in common (within 0.01 variance of a simulation, for 3 to 6 exposures).
    """
    n = used.sum(axis=1)
    some = np.maximum(n, 1)
    left = np.eye(len(variance))[:, :, np.newaxis, np.newaxis] - used / some[:, np.newaxis]
    linear = np.einsum("ik...,jk...->ij...", left * variance, left)
    mean = np.where(n > 0, np.einsum("ik...,k...->i...", used, variance) / some, 0.0)
    excess = mean * (median_variance(some) - 1.0 / some)
    common = np.einsum("ik...,jk...->ij...", used.astype(float), used.astype(float))
    share = common / np.sqrt(some[:, np.newaxis] * some[np.newaxis])
    return linear + share**3 * np.sqrt(excess[:, np.newaxis] * excess[np.newaxis])


def _median(values: Array, have: Mask) -> Array:
    """Median along axis 0 of the values that are there; 0 where none is."""
    if len(values) == 0:
        return np.zeros(values.shape[1:])
    ordered = np.sort(np.where(have, values, np.inf), axis=0)
    n = have.sum(axis=0)
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, len(values) - 1)
    pair = [np.take_along_axis(ordered, k[np.newaxis], axis=0)[0] for k in (low, high)]
    return np.where(n > 0, 0.5 * (np.where(n > 0, pair[0], 0.0) + np.where(n > 0, pair[1], 0.0)), 0.0)
