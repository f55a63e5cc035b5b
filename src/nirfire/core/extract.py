"""1D extraction from a rectified 2D spectrum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Profile(NamedTuple):
    """A cross-dispersion profile.

    Attributes
    ----------
    weight : ndarray, shape (n_spat,)
        Non-negative, sum 1.
    measured : bool
        False when the data gave no usable profile and a boxcar stands in.
    """

    weight: np.ndarray
    measured: bool


def box_weights(n_spat: int, row: float, width: float) -> np.ndarray:
    """Share of each row inside an aperture.

    Parameters
    ----------
    n_spat : int
        Number of rows; row k spans k - 0.5 to k + 0.5.
    row : float
        Centre of the aperture.
    width : float
        Full width in pixels.

    Returns
    -------
    ndarray, shape (n_spat,)
        Between 0 and 1, fractional at the edges.
    """
    k = np.arange(n_spat)
    low = np.maximum(k - 0.5, row - width / 2)
    high = np.minimum(k + 0.5, row + width / 2)
    return np.clip(high - low, 0.0, 1.0)


def median_profile(
    flux: np.ndarray, ivar: np.ndarray, *, row: float, half_width: float = 3.0, fallback_width: float = 3.0
) -> Profile:
    """Collapse a 2D spectrum to its profile around the source.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_spat, n_wave)
        Rectified flux and inverse variance (0 = no information).
    row : float
        Row of the source.
    half_width : float
        Rows further than this from `row` get no weight [pixel].
    fallback_width : float
        Width of the boxcar that replaces an unusable profile [pixel].

    Returns
    -------
    Profile

    Notes
    -----
    As the CAMPFIRE description has it: the median over wavelength, negatives set to zero, unit sum. Unusable means
    fewer than three positive rows, or less than half of the absolute sum positive.
    """
    n_spat = len(flux)
    window = box_weights(n_spat, row, 2 * half_width)
    valid = ivar > 0
    collapsed = np.zeros(n_spat)
    for k in np.flatnonzero((window > 0) & valid.any(axis=1)):
        collapsed[k] = np.median(flux[k, valid[k]])
    collapsed *= window
    positive = np.clip(collapsed, 0.0, None)
    if np.count_nonzero(positive) < 3 or positive.sum() < 0.5 * np.abs(collapsed).sum():
        box = box_weights(n_spat, row, fallback_width)
        return Profile(box / max(box.sum(), 1e-300), False)
    return Profile(positive / positive.sum(), True)


def optimal(flux: np.ndarray, ivar: np.ndarray, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optimal extraction with a fixed profile.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_spat, n_wave)
        Rectified flux and inverse variance (0 = no information).
    profile : ndarray, shape (n_spat,)
        Cross-dispersion profile, sum 1.

    Returns
    -------
    flux, ivar : ndarray, shape (n_wave,)
        f = sum(P D / V) / sum(P^2 / V) and 1 / var = sum(P^2 / V) (Horne 1986, PASP 98, 609, eqs. 8 and 9); ivar is
        0 where no pixel with positive profile is valid.
    """
    weight = profile[:, np.newaxis]
    norm = np.sum(weight**2 * ivar, axis=0)
    good = norm > 0
    total = np.sum(weight * flux * ivar, axis=0)
    return np.where(good, total / np.where(good, norm, 1.0), 0.0), norm


def boxcar(
    flux: np.ndarray, ivar: np.ndarray, weights: np.ndarray, profile: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum in an aperture, missing pixels made up for by the profile.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_spat, n_wave)
        Rectified flux and inverse variance (0 = no information).
    weights : ndarray, shape (n_spat,)
        Share of each row in the aperture (`box_weights`).
    profile : ndarray, shape (n_spat,)
        Cross-dispersion profile, sum 1.

    Returns
    -------
    flux, ivar : ndarray, shape (n_wave,)
        Sum of w D and 1 / sum of w^2 V over valid pixels, divided by the share of the aperture's profile that is
        valid (squared, for the variance); ivar is 0 where less than half of it is.
    """
    valid = ivar > 0
    share = np.sum((weights * profile)[:, np.newaxis] * valid, axis=0) / max(np.sum(weights * profile), 1e-300)
    good = share > 0.5
    safe = np.where(good, share, 1.0)
    variance = np.where(valid, 1.0 / np.where(valid, ivar, 1.0), 0.0)
    total = np.sum(weights[:, np.newaxis] * np.where(valid, flux, 0.0), axis=0) / safe
    total_variance = np.sum(weights[:, np.newaxis] ** 2 * variance, axis=0) / safe**2
    good &= total_variance > 0
    return np.where(good, total, 0.0), np.where(good, 1.0 / np.where(good, total_variance, 1.0), 0.0)
