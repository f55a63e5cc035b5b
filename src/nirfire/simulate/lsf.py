"""The line spread function of the simulated instrument, and flux-conserving blurring by it.

The tabulated resolving power of NIRSpec (pre-launch dispersion tables of the JWST user documentation,
``jwst_nirspec_<grating>_disp.fits``) is that of a uniformly lit slit, 2.2 pixels wide. In flight a point source is
narrower than the slit and its lines are sharper, by 1.1 to 1.5 (Shajib et al. 2025; de Graaff et al. 2024). Here a
point source has 1.4 times the tabulated R before the pixels sample it, a source that fills the slit 1.0 times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from nirfire.errors import DataError

Array = NDArray[np.float64]

# ln(FWHM [nm]) as a polynomial in ln(wave [um]), highest power first; our fits to wave / R of the dispersion tables,
# good to 1 % (PRISM: 0.58-5.35 um) and 0.6 % (gratings, over their ranges).
_LN_FWHM = {
    "PRISM": (-0.25261, 0.83723, -0.28747, -1.88353, 1.61623, 3.44875),
    "G140M": (-0.00908, -0.00396, 0.33912),
    "G235M": (-0.01218, 0.01071, 0.85382),
    "G395M": (-0.01229, 0.02363, 1.36445),
    "G140H": (-0.08597, -0.03254, -0.63818),
    "G235H": (-0.12202, 0.11974, -0.15293),
    "G395H": (-0.13106, 0.27153, 0.25436),
}
POINT_GAIN = 1.4
FILLING_SIZE = 0.06  # arcsec: half the slit's width, where a Gaussian source begins to fill it
_STEP = 0.05  # of a sigma


def uniform_fwhm(wave: ArrayLike, grating: str) -> Array:
    """FWHM [um] of a line from a uniformly lit slit.

    Raises
    ------
    DataError
        For an unknown grating.
    """
    if grating not in _LN_FWHM:
        raise DataError(f"unknown grating {grating!r}", key="GRATING", remedy=f"use one of {', '.join(_LN_FWHM)}")
    lam = np.asarray(wave, dtype=float)
    return 1e-3 * np.exp(np.polyval(_LN_FWHM[grating], np.log(lam)))


def sigma(wave: ArrayLike, grating: str, size: float = 0.0) -> Array:
    """Standard deviation [um] of the line spread function of a Gaussian source, before sampling by pixels.

    Parameters
    ----------
    wave : array_like [um]
    grating : str
    size : float [arcsec]
        Standard deviation of the source; zero is a point.
    """
    uniform = uniform_fwhm(wave, grating) / 2.354820045
    filled = 1.0 - np.exp(-((size / FILLING_SIZE) ** 2))
    return uniform * np.sqrt(POINT_GAIN**-2 * (1.0 - filled) + filled)


@dataclass(frozen=True)
class Blurred:
    """Running integral of a blurred spectrum, from which pixel means are differences.

    Attributes
    ----------
    wave : ndarray, shape (n,) [um]
    integral : ndarray, shape (n,) [uJy um]
    """

    wave: Array
    integral: Array

    def mean(self, lo: ArrayLike, hi: ArrayLike) -> Array:
        """Mean f_nu [uJy] between wavelengths `lo` and `hi` [um] (``hi != lo``)."""
        lo, hi = np.asarray(lo, dtype=float), np.asarray(hi, dtype=float)
        step = np.interp(hi, self.wave, self.integral) - np.interp(lo, self.wave, self.integral)
        return step / (hi - lo)


def natural_grid(grating: str, wave_range: tuple[float, float], size: float = 0.0) -> Array:
    """Wavelengths [um] spaced by a twentieth of the local sigma of the line spread function."""
    lo, hi = wave_range
    coarse = np.geomspace(lo, hi, 4000)
    rate = 1.0 / sigma(coarse, grating, size)
    u = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(coarse))])
    return np.interp(np.arange(0.0, u[-1], _STEP), u, coarse)


def blur(grid: Array, integral: Array) -> Blurred:
    """Convolve a spectrum with the line spread function, conserving its integral over wavelength.

    Parameters
    ----------
    grid : ndarray, shape (n,) [um]
        From :func:`natural_grid`; on it the line spread function is the same Gaussian everywhere.
    integral : ndarray, shape (n,) [uJy um]
        Running integral of the intrinsic f_nu up to each grid wavelength.

    Returns
    -------
    Blurred

    Notes
    -----
    The integral per cell is convolved in the coordinate u, du = dwave / sigma(wave). At the two ends the outermost
    cell repeats.
    """
    cells = gaussian_filter1d(np.diff(integral), 1.0 / _STEP, mode="nearest", truncate=5.0)
    return Blurred(grid, np.concatenate([[0.0], np.cumsum(cells)]))
