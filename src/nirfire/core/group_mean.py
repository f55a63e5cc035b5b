"""The mean of spectra of one source on one grid, taken with the source at different places of its shutter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 3
"""Fewer spectra cannot say which of them is wrong."""
_MAD_TO_SIGMA = 1.4826


class GroupMean(NamedTuple):
    """The mean of some spectra.

    Attributes
    ----------
    flux, ivar : ndarray, shape (n_wave,)
        ivar is 0 where there is no information.
    weights : ndarray, shape (n_group, n_wave)
        What each flux was multiplied by; they sum to 1, or are all 0.
    """

    flux: Array
    ivar: Array
    weights: Array


def outlying(flux: Array, ivar: Array, clip: float) -> Mask:
    """Fluxes that do not agree with those of the other spectra.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_group, n_wave)
        Fluxes and inverse variances (0 = no information).
    clip : float
        Standard errors from which a flux is taken for wrong; 0: never.

    Returns
    -------
    ndarray of bool, shape (n_group, n_wave)

    Notes
    -----
    Each flux is compared with the inverse-variance mean of the others, in units of the error of the difference. (The
    distance of one of n values from the mean of all, in units of their scatter, is (n - 1) / sqrt(n) at most: 1.15 for
    three. Such a clip at 3 sigma needs eleven values to fire.) Where spectra differ everywhere by more than their
    errors, as bright sources do that lose different amounts of light, the unit grows with them: by the median over
    wavelength, if that is larger. The worst is taken out, then the next, as long as three are left before.
    """
    wrong = np.zeros(flux.shape, dtype=bool)
    if clip <= 0:
        return wrong
    unit = np.ones((len(flux), 1))
    for k, distance in enumerate(_distances(flux, ivar)):
        if (distance > 0).any():
            unit[k] = max(1.0, _MAD_TO_SIGMA * float(np.median(distance[distance > 0])))
    for _ in range(max(0, len(flux) - LEAST + 1)):
        left = np.where(wrong, 0.0, ivar)
        distance = _distances(flux, left) / unit
        distance[:, (left > 0).sum(axis=0) < LEAST] = 0.0
        worst = np.argmax(distance, axis=0)
        columns = np.flatnonzero(distance.max(axis=0) > clip)
        if columns.size == 0:
            break
        wrong[worst[columns], columns] = True
    return wrong


def mean_of_groups(flux: Array, ivar: Array, time: Array) -> GroupMean:
    """Mean weighted by exposure time.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_group, n_wave)
        Fluxes and inverse variances (0 = no information, or taken out).
    time : ndarray, shape (n_group,) [s]
        Exposure times, positive.

    Returns
    -------
    GroupMean
        f = sum(t f) / sum(t) over those with information, variance sum(t^2 v) / sum(t)^2.
    """
    known = ivar > 0
    total = np.sum(known * time[:, np.newaxis], axis=0)
    weights = np.where(known, time[:, np.newaxis] / np.where(total > 0, total, 1.0), 0.0)
    variance = np.sum(weights**2 / np.where(known, ivar, 1.0), axis=0)
    good = variance > 0
    return GroupMean(np.sum(weights * flux, axis=0), np.where(good, 1.0 / np.where(good, variance, 1.0), 0.0), weights)


def bands_of_mean(weights: Array, bands: Array) -> Array:
    """Banded covariance of a mean.

    Parameters
    ----------
    weights : ndarray, shape (n_group, n_wave)
        Of `GroupMean`.
    bands : ndarray, shape (n_group, n_band + 1, n_wave)
        Covariance of each spectrum, of bins i and i + k in ``[k, i]``; the spectra are independent.

    Returns
    -------
    ndarray, shape (n_band + 1, n_wave)
    """
    _, n_rows, n_wave = bands.shape
    out = np.zeros((n_rows, n_wave))
    for k in range(min(n_rows, n_wave)):
        n = n_wave - k
        out[k, :n] = np.sum(weights[:, :n] * weights[:, k:] * bands[:, k, :n], axis=0)
    return out


def _distances(flux: Array, ivar: Array) -> Array:
    """Difference of each flux from the mean of the others over its error; 0 where either is not known."""
    known = ivar > 0
    others = ivar.sum(axis=0) - ivar
    both = known & (others > 0)
    safe = np.where(both, others, 1.0)
    mean = ((ivar * flux).sum(axis=0) - ivar * flux) / safe
    variance = np.where(both, 1.0 / np.where(known, ivar, 1.0) + 1.0 / safe, 1.0)
    return np.where(both, np.abs(flux - mean) / np.sqrt(variance), 0.0)
