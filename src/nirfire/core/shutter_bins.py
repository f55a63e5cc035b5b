"""Pixels of a slitlet in bins: one spectrum for the inner part of each shutter, and a small image of the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

INNER = 0.33  # [pitch] from the middle of a shutter; beyond, a pixel reaches over the end of the opening
COVERED = 0.12  # [pitch] pixels must lie at least so far out on both sides of the middle
CLIP = 4.5  # sigma
STEP = 0.1  # [pitch] height of the rows of the small image
BORDER = 0.9  # [pitch] shown beyond the middle of the outer shutters
MAD = 1.4826


def wave_edges(wave: Array, n_wave: int) -> Array:
    """Edges of wavelength bins that hold about equal numbers of pixels.

    Parameters
    ----------
    wave : ndarray, shape (n,) [um]
        Of many pixels.
    n_wave : int

    Returns
    -------
    ndarray, shape (n_wave + 1,) [um]
        In increasing order.
    """
    return np.quantile(wave, np.linspace(0.0, 1.0, n_wave + 1))


def bin_numbers(wave: Array, edges: Array) -> NDArray[np.int_]:
    """Bin of each wavelength, shape (n,); -1 outside."""
    found = np.searchsorted(edges, wave, side="right") - 1
    found[wave == edges[-1]] = edges.size - 2
    return np.where((found >= 0) & (found < edges.size - 1), found, -1)


def shutter_spectra(
    y: Array, bins: NDArray[np.int_], value: Array, variance: Array, places: Array, n_wave: int
) -> tuple[Array, Array]:
    """Mean over the inner part of each shutter, by wavelength.

    Parameters
    ----------
    y : ndarray, shape (n,) [pitch]
        Where the centres of the good pixels lie along the slitlet.
    bins : ndarray of int, shape (n,)
        Their wavelength bin, -1 for none.
    value, variance : ndarray, shape (n,) [any unit, its square]
    places : ndarray, shape (n_shutter,) [pitch]
        Middle of each shutter.
    n_wave : int
        Number of bins.

    Returns
    -------
    value, ivar : ndarray, shape (n_shutter, n_wave)
        Bins in which the pixels do not reach to both sides of the middle of the shutter have ``ivar = 0``: there the
        shutter is cut off.

    Notes
    -----
    Pixels are not weighted, as their Poisson variance goes with their noise. Those that are off the median of their
    bin by more than `CLIP` times their error, or the scatter in the bin if larger, are left out: cosmic rays.
    """
    nearest = np.argmin(np.abs(y[:, None] - places), axis=1) if y.size else np.zeros(0, int)
    phase = y - places[nearest]
    used = (np.abs(phase) < INNER) & (bins >= 0) & (variance > 0)
    cell, phase = (nearest * n_wave + bins)[used], phase[used]
    value, variance = value[used], variance[used]
    size = places.size * n_wave
    middle = _medians(cell, value, size)
    off = np.abs(value - middle[cell])
    scatter = MAD * _medians(cell, off, size)
    good = off <= CLIP * np.maximum(np.sqrt(variance), scatter[cell])
    cell, phase, value, variance = cell[good], phase[good], value[good], variance[good]
    count = np.bincount(cell, minlength=size)
    below = np.bincount(cell, phase < -COVERED, minlength=size) > 0
    above = np.bincount(cell, phase > COVERED, minlength=size) > 0
    total, spread = (np.bincount(cell, v, minlength=size) for v in (value, variance))
    whole = below & above & (spread > 0)
    mean = np.where(whole, total / np.maximum(count, 1), 0.0)
    ivar = np.where(whole, count**2 / np.where(whole, spread, 1.0), 0.0)
    return mean.reshape(-1, n_wave), ivar.reshape(-1, n_wave)


def _medians(cell: NDArray[np.int_], value: Array, size: int) -> Array:
    """Median of the values in each cell, shape (size,); 0 in empty ones."""
    order = np.lexsort((value, cell))
    count = np.bincount(cell, minlength=size)
    start = np.cumsum(count) - count
    filled = count > 0
    found = np.zeros(size)
    ranked = value[order]
    low, high = (start + (count - 1) // 2)[filled], (start + count // 2)[filled]
    found[filled] = 0.5 * (ranked[low] + ranked[high])
    return found


def slit_image(
    y: Array, bins: NDArray[np.int_], value: Array, n_pitch: int, n_wave: int
) -> tuple[Array, NDArray[np.int_]]:
    """Mean of the pixels in small boxes along and across the slitlet.

    Parameters
    ----------
    y : ndarray, shape (n,) [pitch]
        From the middle of the first shutter.
    bins : ndarray of int, shape (n,)
        Wavelength bin.
    value : ndarray, shape (n,)
    n_pitch : int
        Length of the slitlet.
    n_wave : int

    Returns
    -------
    image : ndarray, shape (n_y, n_wave)
        Rows of `STEP`, from `BORDER` below the middle of the first shutter; 0 where there is no pixel.
    count : ndarray of int, shape (n_y, n_wave)
        Number of pixels.

    Notes
    -----
    A pixel is about two rows high, and counts in the two that are nearest.
    """
    n_y = image_rows(n_pitch)
    size = n_y * n_wave
    count, total = np.zeros(size, int), np.zeros(size)
    for side in (-0.5, 0.5):
        row = np.floor((y + BORDER) / STEP + side + 1e-9).astype(int)
        used = (row >= 0) & (row < n_y) & (bins >= 0)
        cell = row[used] * n_wave + bins[used]
        count += np.bincount(cell, minlength=size)
        total += np.bincount(cell, value[used], minlength=size)
    image = total / np.maximum(count, 1)
    return image.reshape(n_y, n_wave), count.reshape(n_y, n_wave)


def image_rows(n_pitch: int) -> int:
    """Rows of the image of a slitlet of this length [pitch]."""
    return round((n_pitch - 1 + 2 * BORDER) / STEP)
