"""Spectra to other bins of wavelength: means that keep the flux, and the correlation that they leave."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

Array = NDArray[np.float64]


GAP = 1.5
"""Times a pixel's width from which the distance to its neighbour is a gap."""


class Regridded(NamedTuple):
    """A spectrum on other bins.

    Attributes
    ----------
    flux : ndarray, shape (n_wave,)
        0 where there is no information.
    ivar : ndarray, shape (n_wave,)
        0 is no information.
    correlation : ndarray, shape (n_band, n_wave)
        Of bins i and i + k in ``[k - 1, i]``; 0 beyond the end and where there is no information.
    """

    flux: Array
    ivar: Array
    correlation: Array


def pixel_ends(wave: Array) -> tuple[Array, Array]:
    """Ends of pixels whose centres are known, also where there are gaps between them.

    Parameters
    ----------
    wave : ndarray, shape (n_pix,) [um]
        Centres, rising or falling; at least two.

    Returns
    -------
    lo, hi : ndarray, shape (n_pix,) [um]
        Half way to the neighbours. A pixel ends where one as wide as its narrower side would, if the other neighbour is
        more than `GAP` times as far, and at both ends of the spectrum.
    """
    step = np.abs(np.diff(wave))
    before, after = np.concatenate([step[:1], step]), np.concatenate([step, step[-1:]])
    narrow = np.minimum(before, after)
    before, after = (np.where(a > GAP * narrow, narrow, a) for a in (before, after))
    if wave[-1] < wave[0]:
        before, after = after, before
    return wave - 0.5 * before, wave + 0.5 * after


def overlap_matrix(lo: Array, hi: Array, edges: Array) -> csr_array:
    """Length that pixels and bins have in common.

    Parameters
    ----------
    lo, hi : ndarray, shape (n_pix,) [um]
        Ends of the pixels, ``lo`` below ``hi``; there may be gaps, overlaps and any order.
    edges : ndarray, shape (n_wave + 1,) [um]
        Edges of the bins, rising.

    Returns
    -------
    csr_array, shape (n_wave, n_pix) [um]
    """
    n_wave = edges.size - 1
    first = np.clip(np.searchsorted(edges, lo, side="right") - 1, 0, n_wave)
    last = np.clip(np.searchsorted(edges, hi, side="left"), 0, n_wave)  # first bin that is not reached
    count = np.maximum(last - first, 0)
    pixel = np.repeat(np.arange(lo.size), count)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    bin_ = np.arange(count.sum()) - start[pixel] + first[pixel]
    length = np.minimum(hi[pixel], edges[bin_ + 1]) - np.maximum(lo[pixel], edges[bin_])
    return csr_array((np.maximum(length, 0.0), (bin_, pixel)), shape=(n_wave, lo.size))


def regrid(
    flux: Array, ivar: Array, lo: Array, hi: Array, edges: Array, *, n_band: int = 3, least: float = 0.5
) -> Regridded:
    """Mean flux density in bins of wavelength.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_pix,)
        Flux density of the pixels and its inverse variance (0 = no information); their errors are independent.
    lo, hi : ndarray, shape (n_pix,) [um]
        Ends of the pixels.
    edges : ndarray, shape (n_wave + 1,) [um]
        Edges of the bins, rising.
    n_band : int
        Neighbours whose correlation is given.
    least : float
        Share of a bin that must be covered by pixels with information; else it has none.

    Returns
    -------
    Regridded

    Notes
    -----
    With the overlap o of bin i and pixel j the mean is sum_j o_ij f_j / sum_j o_ij, over pixels with information. It
    keeps the integral of the flux density over wavelength. The covariance is W V W^T, W the weights and V the
    variances.
    """
    known = ivar > 0
    length = overlap_matrix(lo, hi, edges) @ diags_array(known.astype(float))
    covered = np.asarray(length.sum(axis=1)).ravel()
    good = covered >= least * np.diff(edges)
    weights = diags_array(np.where(good, 1.0 / np.where(good, covered, 1.0), 0.0)) @ length
    variance = np.where(known, 1.0 / np.where(known, ivar, 1.0), 0.0)
    bands = banded((weights @ diags_array(variance) @ weights.T).tocsr(), n_band)
    inverse = np.where(good, 1.0 / np.where(good, bands[0], 1.0), 0.0)
    return Regridded(np.asarray(weights @ np.where(known, flux, 0.0)), inverse, to_correlation(bands))


def regrid_rows(flux: Array, ivar: Array, lo: Array, hi: Array, edges: Array, *, least: float = 0.5) -> Regridded:
    """The same of every row of a 2D spectrum, without correlation.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_spat, n_pix)
    lo, hi, edges, least
        As of `regrid`.

    Returns
    -------
    Regridded
        Of shape (n_spat, n_wave); `correlation` is empty.
    """
    known = ivar > 0
    length = overlap_matrix(lo, hi, edges)
    covered = (length @ known.T.astype(float)).T
    good = covered >= least * np.diff(edges)
    safe = np.where(good, covered, 1.0)
    variance = np.where(known, 1.0 / np.where(known, ivar, 1.0), 0.0)
    mean = (length @ np.where(known, flux, 0.0).T).T / safe
    spread = (length.power(2) @ variance.T).T / safe**2
    return Regridded(
        np.where(good, mean, 0.0), np.where(good, 1.0 / np.where(good, spread, 1.0), 0.0), np.zeros((0, good.shape[1]))
    )


def banded(covariance: csr_array, n_band: int) -> Array:
    """Diagonals of a symmetric matrix, shape (n_band + 1, n_wave): ``[k, i]`` is element (i, i + k), else 0."""
    n_wave = covariance.shape[0]
    bands = np.zeros((n_band + 1, n_wave))
    for k in range(min(n_band + 1, n_wave)):
        bands[k, : n_wave - k] = covariance.diagonal(k)
    return bands


def to_correlation(bands: Array) -> Array:
    """Correlation from a banded covariance: shape (n_band, n_wave) from (n_band + 1, n_wave), 0 where a variance is."""
    n_band, n_wave = bands.shape[0] - 1, bands.shape[1]
    correlation = np.zeros((n_band, n_wave))
    for k in range(1, min(n_band + 1, n_wave)):
        product = bands[0, k:] * bands[0, :-k]
        correlation[k - 1, :-k] = np.where(
            product > 0, bands[k, :-k] / np.sqrt(np.where(product > 0, product, 1.0)), 0.0
        )
    return correlation


def to_covariance(variance: Array, correlation: Array) -> Array:
    """Banded covariance, shape (n_band + 1, n_wave), from variance (n_wave,) and correlation (n_band, n_wave)."""
    bands = np.zeros((len(correlation) + 1, variance.size))
    bands[0] = variance
    for k in range(1, min(len(bands), variance.size)):
        bands[k, :-k] = correlation[k - 1, :-k] * np.sqrt(variance[k:] * variance[:-k])
    return bands


def variance_of_sum(bands: Array, weights: Array) -> float:
    """Variance of sum_i w_i f_i, from a banded covariance (n_band + 1, n_wave) and the weights (n_wave,)."""
    total = float(np.sum(weights**2 * bands[0]))
    for k in range(1, min(len(bands), weights.size)):
        total += 2.0 * float(np.sum(weights[:-k] * weights[k:] * bands[k, :-k]))
    return total
