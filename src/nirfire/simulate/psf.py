"""The telescope's point spread function in the MSA plane, and what a micro-shutter lets through.

The PSF is a mixture of three circular Gaussians, so that every quantity here is a sum of error functions.
The widths are ours: the core follows the diffraction limit of a 6.5 m aperture (FWHM = 0.0325 arcsec per um,
to which a floor of jitter and wavefront error is added in quadrature), the ring and the halo stand for the
Airy rings and the wide wings of the segmented aperture. They were adjusted so that a centred source in three
shutters has a transmission of 0.79 at 1 um and 0.59 at 5.3 um, as the flight pathloss reference says
(``jwst_nirspec_pathloss_0002``, 1/UNI of MOS1x3), and an encircled energy within 0.1 arcsec of 0.74 at 1.1 um
and 0.48 at 4.4 um.

Lengths along the slit and across it are in units of the shutter *pitch*, measured from the centre of the
source's own shutter, y along the slitlet (towards larger ``shutter_column``), x along the dispersion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

Array = NDArray[np.float64]

PITCH = (0.2680, 0.5290)
"""Mean pitch of the shutters on the sky, (x, y) [arcsec]."""
OPEN = (0.7430, 0.8746)
"""Open share of the pitch, (x, y)."""

_WEIGHTS = np.array([0.59, 0.17, 0.24])
_FLOOR = np.array([0.017, 0.030, 0.340])  # arcsec
_SLOPE = np.array([0.0138, 0.0335, 0.020])  # arcsec per um


def components(wave: ArrayLike, size: float = 0.0) -> tuple[Array, Array]:
    """Gaussian components of the image of a source in the MSA plane.

    Parameters
    ----------
    wave : array_like, shape (...) [um]
    size : float [arcsec]
        Standard deviation of a round Gaussian source, added in quadrature. Zero is a point.

    Returns
    -------
    weights : ndarray, shape (3,)
        They sum to one.
    sigma : ndarray, shape (3, ...) [arcsec]
    """
    lam = np.asarray(wave, dtype=float)
    shape = (-1,) + (1,) * lam.ndim
    floor, slope = _FLOOR.reshape(shape), _SLOPE.reshape(shape)
    return _WEIGHTS.copy(), np.sqrt(floor**2 + (slope * lam) ** 2 + size**2)


def _share(lo: ArrayLike, hi: ArrayLike, centre: ArrayLike, sigma: Array) -> Array:
    """Share of a 1D Gaussian between two limits (all in the same unit)."""
    scale = 1.0 / (np.sqrt(2.0) * sigma)
    return 0.5 * (erf((np.asarray(hi) - centre) * scale) - erf((np.asarray(lo) - centre) * scale))


def _across(wave: ArrayLike, dx: ArrayLike, size: float) -> tuple[Array, Array, Array]:
    """Weights times x-transmission, (3, ...), and the two sigmas in pitch units."""
    weights, sigma = components(wave, size)
    sx, sy = sigma / PITCH[0], sigma / PITCH[1]
    half = 0.5 * OPEN[0]
    passed = weights.reshape((-1,) + (1,) * (sigma.ndim - 1)) * _share(-half, half, dx, sx)
    return passed, sx, sy


def transmission(wave: ArrayLike, dx: ArrayLike, dy: ArrayLike, shutters: Sequence[int], size: float = 0.0) -> Array:
    """Share of a source's light that passes the open shutters.

    Parameters
    ----------
    wave : array_like [um]
    dx, dy : array_like [pitch]
        Source position from the centre of its shutter; broadcast against `wave`.
    shutters : sequence of int
        Open shutters along y, relative to the source's own, for example ``(-1, 0, 1)``.
    size : float [arcsec]

    Returns
    -------
    ndarray, broadcast shape of `wave`, `dx`, `dy`
    """
    lam, dx, dy = np.broadcast_arrays(np.asarray(wave, float), dx, dy)
    passed, _, sy = _across(lam, dx, size)
    half = 0.5 * OPEN[1]
    along = np.zeros(sy.shape)
    for k in shutters:
        along += _share(k - half, k + half, dy, sy)
    return (passed * along).sum(axis=0)


def centroid_x(wave: ArrayLike, dx: ArrayLike, size: float = 0.0) -> Array:
    """Mean x of the light that passes the open width of the shutter.

    This, not the source's own position, sets the wavelength shift of an off-centre source.

    Parameters
    ----------
    wave : array_like [um]
    dx : array_like [pitch]
    size : float [arcsec]

    Returns
    -------
    ndarray [pitch]

    Notes
    -----
    For a Gaussian cut at ``a, b`` the mean is ``mu + sigma (phi(a) - phi(b)) / (Phi(b) - Phi(a))``.
    """
    lam, dx = np.broadcast_arrays(np.asarray(wave, float), np.asarray(dx, float))
    passed, sx, _ = _across(lam, dx, size)
    half = 0.5 * OPEN[0]
    weights = _WEIGHTS.reshape((-1,) + (1,) * lam.ndim)
    lo, hi = (-half - dx) / sx, (half - dx) / sx
    density = (np.exp(-0.5 * lo**2) - np.exp(-0.5 * hi**2)) / np.sqrt(2.0 * np.pi)
    moment = passed * dx + weights * sx * density
    return moment.sum(axis=0) / passed.sum(axis=0)


def row_fractions(
    wave: ArrayLike,
    y_lo: ArrayLike,
    y_hi: ArrayLike,
    dx: ArrayLike,
    dy: ArrayLike,
    shutters: Sequence[int],
    size: float = 0.0,
) -> Array:
    """Share of a source's light that falls between two slit coordinates, behind the shutters.

    Parameters
    ----------
    wave : array_like [um]
    y_lo, y_hi : array_like [pitch]
        Limits along the slitlet, from the centre of the source's shutter; ``y_lo <= y_hi``.
    dx, dy : array_like [pitch]
        Source position in its shutter.
    shutters : sequence of int
        Open shutters, relative to the source's own.
    size : float [arcsec]

    Returns
    -------
    ndarray
        Broadcast shape of the arguments. Summed over limits that tile the slitlet it is `transmission`.
    """
    lam, lo, hi, dx, dy = np.broadcast_arrays(np.asarray(wave, float), y_lo, y_hi, dx, dy)
    passed, _, sy = _across(lam, dx, size)
    half = 0.5 * OPEN[1]
    total = np.zeros(lam.shape)
    for k in shutters:
        a, b = np.clip(lo, k - half, k + half), np.clip(hi, k - half, k + half)
        if np.any(b > a):
            total += (passed * _share(a, b, dy, sy)).sum(axis=0)
    return total


def open_share(y_lo: ArrayLike, y_hi: ArrayLike, shutters: Sequence[int]) -> Array:
    """Open length between two slit coordinates, for light that fills the slitlet evenly.

    Parameters
    ----------
    y_lo, y_hi : array_like [pitch]
    shutters : sequence of int

    Returns
    -------
    ndarray [pitch]
    """
    lo, hi = np.broadcast_arrays(np.asarray(y_lo, float), y_hi)
    half = 0.5 * OPEN[1]
    total = np.zeros(lo.shape)
    for k in shutters:
        total += np.clip(hi, k - half, k + half) - np.clip(lo, k - half, k + half)
    return total
