"""The nods of a source on the pixels of a detector, and the light that a model puts there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nirfire.core.slit_psf import OPEN, REACH, STEP, SlitPsf, below_of_widths

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIDDLE = 1e-3
"""[pitch] Sources closer than this to the middle of their shutter have the wavelengths of even light."""


@dataclass(frozen=True)
class Frames:
    """The nods of one slitlet on one detector, on a common box of pixels; pathloss inverted.

    Attributes
    ----------
    flux : ndarray, shape (n_exp, n_spat, n_wave) [uJy]
        With the sky in it where `shared`, without it else; 0 where not `good`.
    photon, read : ndarray, shape (n_exp, n_spat, n_wave) [uJy2]
        Variance of the photons, and of all else.
    sky : ndarray, shape (n_exp, n_spat, n_wave) [uJy]
        The sky that stage 2b found.
    good : ndarray of bool, shape (n_exp, n_spat, n_wave)
    shared : bool
        Every pixel has a sky of its own, unknown and the same in all nods.
    backgrounds : ndarray, shape (n_exp, n_exp, n_spat, n_wave), or None
        ``[i, j]``: weight of nod j in the sky that stage 2b took from nod i. None where that came from elsewhere.
    sky_variance : ndarray, shape (n_exp, n_spat, n_wave) [uJy2]
        Variance of `sky`.
    wave : ndarray, shape (n_spat, n_wave + 1) [um]
        Wavelength of the left and right edges of the pixels, ascending.
    place : ndarray, shape (n_spat + 1, n_wave) [pitch]
        Slit coordinate (``shutter_column``) of the lower and upper edges of the pixels, ascending or descending.
    passed : ndarray, shape (n_exp, n_spat, n_wave)
        Pathloss correction of a point at the planned place, as the stock pipeline has it; NaN where it is not known.
    sources : ndarray, shape (n_source, n_exp, 2) [pitch]
        Planned places (x from the centre of the shutter, y as slit coordinate) of the source and of others in the
        slitlet; NaN where a source is not in the open shutters.
    shutters : tuple of int
        Slit coordinates of the open shutters.
    shift : float [pitch]
        How far all sources of the visit are from their planned places, along the slitlets.
    even : ndarray, shape (n_spat, n_wave + 1) [um], or None
        As `wave`, for light that fills the shutter; None where that is not known.
    """

    flux: Array
    photon: Array
    read: Array
    sky: Array
    good: Mask
    shared: bool
    backgrounds: Array | None
    sky_variance: Array
    wave: Array
    place: Array
    passed: Array
    sources: Array
    shutters: tuple[int, ...]
    shift: float = 0.0
    even: Array | None = None

    @property
    def centre(self) -> Array:
        """Wavelength of the pixel centres, shape (n_spat, n_wave) [um]."""
        return 0.5 * (self.wave[:, 1:] + self.wave[:, :-1])


def recentred(frames: Frames, psf: SlitPsf, size: float) -> Frames:
    """Frames with the wavelengths of a source of this size, where they have those of a point.

    Notes
    -----
    A point off the middle of its shutter has its wavelengths shifted by the centroid of the light that passes. That of
    an extended source is closer to the middle: the shift is scaled by the ratio of the two.
    """
    places = frames.sources[0, :, 0]
    known = np.isfinite(places)
    x = float(np.mean(places[known])) if known.any() else 0.0
    if frames.even is None or abs(x) < MIDDLE:
        return frames
    ratio = np.interp(frames.wave, psf.wave, psf.centroid(x, size) / psf.centroid(x, 0.0))
    return replace(frames, wave=frames.even + ratio * (frames.wave - frames.even))


class Painter:
    """Puts the light of sources into the pixels of some nods.

    Parameters
    ----------
    frames : Frames
    psf : SlitPsf
    """

    def __init__(self, frames: Frames, psf: SlitPsf) -> None:
        self.frames, self.psf = frames, psf
        self._known = np.isfinite(frames.centre)
        self._nodes = _nodes(psf.wave, frames.centre)
        scales = [on_calibration_scale(frames, psf, k) for k in range(len(frames.flux))]
        self._scale = np.where(self._known, scales, 0.0)
        first, last = np.floor(np.nanmin(frames.place)) - 1.0, np.ceil(np.nanmax(frames.place)) + 1.0
        self._places = first + np.arange(round((last - first) / STEP) + 1) * STEP

    def light(self, source: int, offset: float, size: float) -> Array:
        """Light of a source of unit flux in each pixel.

        Parameters
        ----------
        source : int
            Row of ``frames.sources``.
        offset : float [pitch]
            Place along the slitlet, from the planned one and the shift of the visit; the same in all nods.
        size : float [arcsec]
            Standard deviation of a round Gaussian.

        Returns
        -------
        ndarray, shape (n_exp, n_spat, n_wave)

        Notes
        -----
        The share of the light in a pixel behind the bars, on the scale of the flux calibration: the light of a point at
        the planned place sums to the stock pathloss correction there, without the error of its interpolation.
        """
        light = np.zeros(self.frames.flux.shape)
        share = below_of_widths(size)
        for k, (x, y) in enumerate(self.frames.sources[source]):
            if np.isfinite(x) and np.isfinite(y):
                at = y + self.frames.shift + offset
                table = _behind_bars(self.psf.below(x, size, share), at, self._places, self.frames.shutters)
                light[k] = _in_pixels(table, self._places[0], *self._nodes, self.frames.place) * self._scale[k]
        return light


def calibration_shutters(shutters: Sequence[int], own: int) -> tuple[int, ...]:
    """Open shutters, relative to the source's own, that the stock pathloss correction assumes: one, or three."""
    below, above = own - 1 in shutters, own + 1 in shutters
    if below and above:
        return -1, 0, 1
    return (-2, -1, 0) if below else (0, 1, 2) if above else (0,)


def on_calibration_scale(frames: Frames, psf: SlitPsf, k: int) -> Array:
    """From shares of the light to shares on the scale of the flux calibration, shape (n_spat, n_wave).

    The stock pathloss correction over what it would be, had its table been made of this PSF.
    """
    nominal = 1.0 / np.interp(frames.centre, psf.wave, psf.passed(0.0, 0.0, 0.0, (-1, 0, 1)))
    x, y = frames.sources[0, k]
    if not (np.isfinite(x) and np.isfinite(y)) or int(np.rint(y)) not in frames.shutters:
        return nominal
    own = int(np.rint(y))
    model = psf.tabulated(x, y - own, calibration_shutters(frames.shutters, own))
    known = np.isfinite(frames.passed[k]) & (frames.passed[k] > 0)
    ratio = frames.passed[k] / np.interp(frames.centre, psf.wave, np.maximum(model, 1e-6))
    return np.where(known, ratio, nominal)


def _behind_bars(below: Array, y: float, at: Array, shutters: Sequence[int]) -> Array:
    """Light below each slit coordinate `at` that the open shutters let through, shape (n_node, n_at)."""
    total = np.zeros((len(below), len(at)))
    for shutter in shutters:
        low, high = shutter - OPEN[1] / 2, shutter + OPEN[1] / 2
        total += _read(below, np.clip(at, low, high) - y) - _read(below, np.array([low - y]))
    return total


def _read(below: Array, at: Array) -> Array:
    """Values of a table on `places`, linear between them."""
    where = np.clip((at + REACH) / STEP, 0.0, below.shape[1] - 1.000001)
    low = where.astype(np.int64)
    share = where - low
    return below[:, low] * (1.0 - share) + below[:, low + 1] * share


def _nodes(nodes: Array, wave: Array) -> tuple[NDArray[np.int64], Array]:
    """Node below each wavelength, and the share of the next one."""
    known = np.where(np.isfinite(wave), wave, nodes[0])
    low = np.clip(np.searchsorted(nodes, known) - 1, 0, len(nodes) - 2)
    return low, np.clip((known - nodes[low]) / (nodes[low + 1] - nodes[low]), 0.0, 1.0)


@njit(cache=True)
def _in_pixels(table: Array, first: float, node: NDArray[np.int64], share: Array, place: Array) -> Array:
    """Light between the lower and upper edges of pixels; 0 where an edge is not known."""
    n_spat, n_wave = node.shape
    top = table.shape[1] - 1.000001
    light = np.zeros((n_spat, n_wave))
    for col in range(n_wave):
        for row in range(n_spat):
            a, b = place[row, col], place[row + 1, col]
            if not (np.isfinite(a) and np.isfinite(b)):
                continue
            n, t = node[row, col], share[row, col]
            total = 0.0
            for sign, edge in ((1.0, max(a, b)), (-1.0, min(a, b))):
                where = min(max((edge - first) / STEP, 0.0), top)
                k = int(where)
                f = where - k
                low = table[n, k] * (1.0 - f) + table[n, k + 1] * f
                high = table[n + 1, k] * (1.0 - f) + table[n + 1, k + 1] * f
                total += sign * (low * (1.0 - t) + high * t)
            light[row, col] = total
    return light
