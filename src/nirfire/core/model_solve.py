"""The flux of sources on a wavelength grid from un-resampled pixels, with the covariance of neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nirfire.core.model_frames import Frames

Array = NDArray[np.float64]

N_BAND = 3
"""Neighbours whose covariance is kept."""


class Sums(NamedTuple):
    """Normal equations on a wavelength grid; those of several exposures add.

    Attributes
    ----------
    data : ndarray, shape (n_bin, n_source)
    normal : ndarray, shape (n_bin, n_source, n_source)
    bands : ndarray, shape (N_BAND + 1, n_bin, n_source, n_source)
        Covariance of ``data[k]`` and ``data[k + band]``.
    """

    data: Array
    normal: Array
    bands: Array

    def __add__(self, other: object) -> Sums:
        assert isinstance(other, Sums)
        return Sums(self.data + other.data, self.normal + other.normal, self.bands + other.bands)


class Solution(NamedTuple):
    """Fluxes on a wavelength grid.

    Attributes
    ----------
    flux : ndarray, shape (n_source, n_bin)
        0 where there is no information.
    variance : ndarray, shape (n_source, n_bin)
        Infinite where there is no information.
    correlation : ndarray, shape (N_BAND, n_bin)
        Of the first source: ``[b - 1, k]`` is that of bins k and k + b.
    """

    flux: Array
    variance: Array
    correlation: Array


def effective_light(frames: Frames, light: Array) -> Array:
    """Light of sources in the nods, less what of it the subtraction of other nods took, shape of `light`."""
    if frames.shared or frames.backgrounds is None:
        return light
    return light - np.einsum("ijyx,sjyx->siyx", frames.backgrounds, light)


def pixel_sums(frames: Frames, light: Array, ivar: Array) -> tuple[Array, Array]:
    """Normal equations of each pixel.

    Parameters
    ----------
    frames : Frames
    light : ndarray, shape (n_source, n_exp, n_spat, n_wave)
        From `effective_light`.
    ivar : ndarray, shape (n_exp, n_spat, n_wave)
        Inverse variance of ``frames.flux``, 0 where a pixel has no say.

    Returns
    -------
    data : ndarray, shape (n_source, n_spat, n_wave)
        m^T C^-1 d.
    normal : ndarray, shape (n_source, n_source, n_spat, n_wave)
        m^T C^-1 m.

    Notes
    -----
    Where the nods share an unknown sky, C^-1 = W - W 1 1^T W / (1^T W 1), with W = diag(ivar): the inverse of the
    covariance in the limit of a sky of infinite variance (Sherman & Morrison 1950, Ann. Math. Stat. 21, 124).
    Subtracting from each nod the mean of the others gives the same; so this undoes a subtraction, with all its
    correlations, and weighs the nods as they deserve.
    """
    weighted = light * ivar
    data = np.einsum("siyx,iyx->syx", weighted, frames.flux)
    normal = np.einsum("siyx,tiyx->styx", weighted, light)
    if frames.shared:
        total = ivar.sum(axis=0)
        safe = np.where(total > 0, total, 1.0)
        mine, all_flux = weighted.sum(axis=1), np.sum(ivar * frames.flux, axis=0)
        data = data - mine * all_flux / safe
        normal = normal - mine[:, np.newaxis] * mine[np.newaxis] / safe
    return data, normal


def sky_of_pixels(frames: Frames, model: Array, ivar: Array) -> Array:
    """The sky of each pixel that fits best beside a model of the sources (n_exp, n_spat, n_wave); 0 if not shared."""
    total = ivar.sum(axis=0)
    if not frames.shared:
        return np.zeros(total.shape)
    return np.where(total > 0, np.sum(ivar * (frames.flux - model), axis=0) / np.where(total > 0, total, 1.0), 0.0)


def on_grid(edges: Array, wave: Array, data: Array, normal: Array, even: Array | None = None) -> Sums:
    """Sum normal equations of pixels over the bins of a wavelength grid, by their overlap.

    Parameters
    ----------
    edges : ndarray, shape (n_bin + 1,) [um]
    wave : ndarray, shape (n_spat, n_wave + 1) [um]
        Edges of the pixels, ascending.
    data : ndarray, shape (n_source, n_spat, n_wave)
    normal : ndarray, shape (n_source, n_source, n_spat, n_wave)
    even : ndarray, shape (n_rows of wave, n_wave), optional
        Factor on the weight of each pixel, by default 1.

    Returns
    -------
    Sums

    Notes
    -----
    A pixel whose share o_k lies in bin k gives o_k of its information to it: all of it is used once. Two bins that
    share a pixel are correlated, by the sum of o_k o_l m^T C^-1 m. With a factor e on weights the variance of a pixel's
    part is e^2 m^T C^-1 m.
    """
    n_bin, n_source = len(edges) - 1, len(data)
    sums = np.zeros((n_bin, n_source)), np.zeros((n_bin, n_source, n_source))
    bands = np.zeros((N_BAND + 1, n_bin, n_source, n_source))
    pixels = np.ascontiguousarray(np.moveaxis(data, 0, -1)), np.ascontiguousarray(np.moveaxis(normal, (0, 1), (-2, -1)))
    factor = np.ones(pixels[0].shape[:2]) if even is None else np.ascontiguousarray(even, dtype=float)
    _add(edges, wave, *pixels, factor, *sums, bands)
    return Sums(*sums, bands)


def solve(sums: Sums) -> Solution:
    """Solve the normal equations of every bin."""
    n_bin, n_source = sums.data.shape
    if n_source == 1:
        normal = sums.normal[:, 0, 0]
        inverse = np.where(normal > 0, 1.0 / np.where(normal > 0, normal, 1.0), 0.0)[:, np.newaxis, np.newaxis]
    else:
        inverse = np.linalg.pinv(sums.normal, rcond=1e-6, hermitian=True)
    flux = np.einsum("kst,kt->sk", inverse, sums.data)
    cov = np.zeros((N_BAND + 1, n_bin, n_source))
    for band in range(min(N_BAND + 1, n_bin)):
        left, right, middle = inverse[: n_bin - band], inverse[band:], sums.bands[band, : n_bin - band]
        cov[band, : n_bin - band] = np.einsum("kst,ktu,ksu->ks", left, middle, right)
    there = cov[0] > 0
    sigma = np.sqrt(np.where(there, cov[0], 1.0))
    correlation = np.zeros((N_BAND, n_bin))
    for band in range(1, min(N_BAND + 1, n_bin)):
        end = n_bin - band
        both = there[:end, 0] & there[band:, 0]
        correlation[band - 1, :end] = np.where(both, cov[band, :end, 0] / (sigma[:end, 0] * sigma[band:, 0]), 0.0)
    return Solution(flux, np.where(there, cov[0], np.inf).T, correlation)


def at_pixels(edges: Array, wave: Array, values: Array) -> Array:
    """Values on the grid (n_bin,), averaged over each pixel, shape (n_spat, n_wave); 0 beyond the grid."""
    return _average(edges, wave, np.ascontiguousarray(values, dtype=float))


_NOTHING = 1e-6  # share of a pixel that is rounding


@njit(cache=True)
def _add(
    edges: Array,
    wave: Array,
    data: Array,
    normal: Array,
    even: Array,
    sum_data: Array,
    sum_normal: Array,
    bands: Array,
) -> None:
    """Add the normal equations of pixels to the bins that they overlap."""
    n_spat, n_wave, n_source = data.shape
    for row in range(n_spat):
        for col in range(n_wave):
            low, high = wave[row, col], wave[row, col + 1]
            if not (high > low) or high <= edges[0] or low >= edges[-1]:
                continue
            empty = True
            for s in range(n_source):
                empty = empty and normal[row, col, s, s] <= 0
            if empty:
                continue
            first = max(np.searchsorted(edges, low, side="right") - 1, 0)
            k = first
            while k < len(edges) - 1 and edges[k] < high:
                part = (min(high, edges[k + 1]) - max(low, edges[k])) / (high - low)
                share = even[row, col] * part if part > _NOTHING else 0.0
                for s in range(n_source):
                    sum_data[k, s] += share * data[row, col, s]
                    for t in range(n_source):
                        sum_normal[k, s, t] += share * normal[row, col, s, t]
                for b in range(min(k - first, N_BAND) + 1):
                    other = k - b
                    before = even[row, col] * (min(high, edges[other + 1]) - max(low, edges[other])) / (high - low)
                    for s in range(n_source):
                        for t in range(n_source):
                            bands[b, other, s, t] += share * before * normal[row, col, s, t]
                k += 1


@njit(cache=True)
def _average(edges: Array, wave: Array, values: Array) -> Array:
    n_spat, n_wave = wave.shape[0], wave.shape[1] - 1
    out = np.zeros((n_spat, n_wave))
    for row in range(n_spat):
        for col in range(n_wave):
            low, high = wave[row, col], wave[row, col + 1]
            if not (high > low) or high <= edges[0] or low >= edges[-1]:
                continue
            k = max(np.searchsorted(edges, low, side="right") - 1, 0)
            inside = 0.0
            while k < len(edges) - 1 and edges[k] < high:
                part = min(high, edges[k + 1]) - max(low, edges[k])
                out[row, col] += part * values[k]
                inside += part
                k += 1
            out[row, col] /= inside
    return out
