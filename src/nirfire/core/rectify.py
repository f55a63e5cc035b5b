"""A 2D picture of un-resampled pixels: wavelength along one axis, place along the slitlet on the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Picture(NamedTuple):
    """A rectified 2D spectrum.

    Attributes
    ----------
    flux : ndarray, shape (n_place, n_wave)
        Flux density per row of the picture, in the unit of the pixels; 0 where there is no information.
    ivar : ndarray, shape (n_place, n_wave)
        Inverse variance of `flux`, whose neighbours are correlated; 0 is no information.
    weight : ndarray, shape (n_place, n_wave)
        Inverse variance of all pixels, shared out by overlap: what means over many places have.
    """

    flux: Array
    ivar: Array
    weight: Array


def rectify(
    flux: Array,
    ivar: Array,
    wave_lo: Array,
    wave_hi: Array,
    place_lo: Array,
    place_hi: Array,
    wave_edges: Array,
    place_edges: Array,
) -> Picture:
    """Bring pixels of any number of exposures to a common picture.

    Parameters
    ----------
    flux, ivar : ndarray, any shape
        Flux density per pixel, and its inverse variance (0 = no information).
    wave_lo, wave_hi : ndarray, shape of `flux` [um]
        Wavelengths of the ends of each pixel, in any order.
    place_lo, place_hi : ndarray, shape of `flux`
        The ends of each pixel along the slitlet, in any order and unit. Where ``ivar`` is 0 these four may be anything
        finite.
    wave_edges : ndarray, shape (n_wave + 1,) [um]
        Edges of the columns, rising.
    place_edges : ndarray, shape (n_place + 1,)
        Edges of the rows, rising; unit of `place_lo`.

    Returns
    -------
    Picture

    Notes
    -----
    Pixels are rectangles. A pixel of height h says that a row of height H has the flux density f H / h, with the
    inverse variance v = ivar (h / H)^2. A place in the picture that has the share a of the pixel's area takes the mean
    of all with the weights a v; its variance is sum(a^2 v) / sum(a v)^2. So an even brightness stays what it is,
    and ``weight`` = sum(a v) adds up to the information in the pixels. It is a picture to look at: where the noise
    follows the light, as in lines, the mean leans towards the fainter of the pixels that share a place.
    """
    given = [np.ascontiguousarray(a, dtype=np.float64).ravel() for a in (flux, ivar)]
    waves = [np.ascontiguousarray(a, dtype=np.float64).ravel() for a in (wave_lo, wave_hi)]
    places = [np.ascontiguousarray(a, dtype=np.float64).ravel() for a in (place_lo, place_hi)]
    edges = [np.ascontiguousarray(a, dtype=np.float64) for a in (wave_edges, place_edges)]
    weight, total, square = _shared_out(*given, *waves, *places, *edges)
    seen = weight > 0
    safe = np.where(seen, weight, 1.0)
    variance = np.where(seen, square, 1.0) / safe**2
    return Picture(np.where(seen, total / safe, 0.0), np.where(seen, 1.0 / variance, 0.0), weight)


@njit(cache=True)
def _shared_out(
    flux: Array,
    ivar: Array,
    wave_a: Array,
    wave_b: Array,
    place_a: Array,
    place_b: Array,
    wave_edges: Array,
    place_edges: Array,
) -> tuple[Array, Array, Array]:
    """Sums of a v, a v f H / h and a^2 v at each place of the picture, shape (n_place, n_wave)."""
    n_place, n_wave = place_edges.size - 1, wave_edges.size - 1
    weight = np.zeros((n_place, n_wave))
    total = np.zeros((n_place, n_wave))
    square = np.zeros((n_place, n_wave))
    for j in range(flux.size):
        if ivar[j] <= 0.0:
            continue
        left, right = min(wave_a[j], wave_b[j]), max(wave_a[j], wave_b[j])
        low, high = min(place_a[j], place_b[j]), max(place_a[j], place_b[j])
        if right <= left or high <= low:
            continue
        first = max(np.searchsorted(wave_edges, left, side="right") - 1, 0)
        bottom = max(np.searchsorted(place_edges, low, side="right") - 1, 0)
        for y in range(bottom, n_place):
            if place_edges[y] >= high:
                break
            across = (min(high, place_edges[y + 1]) - max(low, place_edges[y])) / (high - low)
            if across <= 0.0:
                continue
            taller = (place_edges[y + 1] - place_edges[y]) / (high - low)
            value, v = flux[j] * taller, ivar[j] / taller**2
            for x in range(first, n_wave):
                if wave_edges[x] >= right:
                    break
                along = (min(right, wave_edges[x + 1]) - max(left, wave_edges[x])) / (right - left)
                if along > 0.0:
                    share = along * across
                    weight[y, x] += share * v
                    total[y, x] += share * v * value
                    square[y, x] += share**2 * v
    return weight, total, square
