"""The point spread function in the plane of the micro-shutters, from what the shutters let through.

The flight reference of the pathloss step tabulates how much of a point's light passes one and three shutters, over the
place of the point. That table is the integral of the PSF over the open area, so the PSF follows from it: here as a sum
of round Gaussians of fixed widths, whose weights at each wavelength are the non-negative ones that fit best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import ndtr

Array = NDArray[np.float64]

PITCH = (0.2680, 0.5290)
"""[arcsec] Mean pitch of the shutters on the sky, along the dispersion and across it (MSA metrology of eMPT)."""
OPEN = (0.7430, 0.8746)
"""Open share of the pitch (scales of the stock WCS)."""
WIDTHS = np.geomspace(0.012, 0.9, 24)
"""[arcsec] Standard deviations of the Gaussians."""
REACH, STEP = 6.0, 0.01
"""[pitch] Table of the light below a place: its half width and step."""
TABLE = (0.05, 3 / 62)
"""[pitch] Steps of the tables of the pathloss reference, along the dispersion and across it; a source in the middle of
the aperture is on a node (``jwst_nirspec_pathloss_0002``)."""
_RIDGE = 1e-9
_FAR = 7.0  # sigma, from where on a Gaussian counts as nothing; less would be slow, denormal numbers


@dataclass(frozen=True)
class SlitPsf:
    """A PSF as a sum of round Gaussians.

    Attributes
    ----------
    wave : ndarray, shape (n_node,) [um]
    weights : ndarray, shape (n_node, n_width)
        Share of the light in each Gaussian of `WIDTHS`; between nodes they are interpolated.
    """

    wave: Array
    weights: Array

    def across(self, x: float, size: float) -> Array:
        """Weights times the share that the open width passes, shape (n_node, n_width).

        Parameters
        ----------
        x : float [pitch]
            Place of the source along the dispersion, from the centre of its shutter.
        size : float [arcsec]
            Standard deviation of a round Gaussian source; 0 is a point.
        """
        return self.weights * _open_share(-x, 0, np.hypot(WIDTHS, size))

    def centroid(self, x: float, size: float) -> Array:
        """Mean place along the dispersion of the light that the open width passes [pitch], at the nodes.

        Notes
        -----
        A Gaussian cut at a and b has the mean x + sigma (phi(a) - phi(b)) / (Phi(b) - Phi(a)), with limits in sigma.
        """
        sigma, half = np.hypot(WIDTHS, size) / PITCH[0], OPEN[0] / 2
        low, high = (-half - x) / sigma, (half - x) / sigma
        density = (np.exp(-0.5 * low**2) - np.exp(-0.5 * high**2)) / np.sqrt(2.0 * np.pi)
        passed = self.across(x, size)
        moment = passed * x + self.weights * sigma * density
        return moment.sum(axis=1) / np.maximum(passed.sum(axis=1), 1e-300)

    def below(self, x: float, size: float, share: Array | None = None) -> Array:
        """Light below each place of `places`, behind the open width, shape (n_node, n_place).

        `share` is what `below_of_widths` gives for this size, if it is at hand.
        """
        return self.across(x, size) @ (below_of_widths(size) if share is None else share)

    def passed(self, x: float, y: float, size: float, shutters: Sequence[int]) -> Array:
        """Share of the light that passes open shutters, at the nodes.

        Parameters
        ----------
        x, y : float [pitch]
            Place of the source, from the centre of shutter 0.
        size : float [arcsec]
        shutters : sequence of int
            Those that are open, along y.

        Returns
        -------
        ndarray, shape (n_node,)
        """
        return self.across(x, size) @ sum(_open_share(k - y, 1, np.hypot(WIDTHS, size)) for k in shutters)

    def tabulated(self, x: float, y: float, shutters: Sequence[int]) -> Array:
        """As `passed`, of a point, by bilinear interpolation in a table, as the stock pathloss step does it.

        Parameters
        ----------
        x, y : float [pitch]
            Place of the source, from the centre of shutter 0.
        shutters : sequence of int
            One, or three of which the table is about the middle one.

        Returns
        -------
        ndarray, shape (n_node,)

        Notes
        -----
        What passes is a concave function of the place near the middle of a shutter: between nodes a table says 0.1 to
        0.5 % too little.
        """
        middle = shutters[len(shutters) // 2]
        apart = [s - middle for s in shutters]
        (i, s), (j, t) = ((int(np.floor(at)), at % 1.0) for at in (x / TABLE[0], (y - middle) / TABLE[1]))
        corners = ((i, j, (1 - s) * (1 - t)), (i + 1, j, s * (1 - t)), (i, j + 1, (1 - s) * t), (i + 1, j + 1, s * t))
        return np.sum([w * self.passed(k * TABLE[0], n * TABLE[1], 0.0, apart) for k, n, w in corners], axis=0)


def below_of_widths(size: float) -> Array:
    """Light of each Gaussian below each place of `places`, shape (n_width, n_place)."""
    sigma = np.hypot(WIDTHS, size) / PITCH[1]
    return np.asarray(ndtr(np.clip(places() / sigma[:, np.newaxis], -_FAR, _FAR)), dtype=np.float64)


def places() -> Array:
    """Places along the slitlet of the table that `SlitPsf.below` makes [pitch], from the source, shape (n_place,)."""
    n = round(REACH / STEP)
    return STEP * np.arange(-n, n + 1, dtype=np.float64)


def decompose(wave: Array, x: Array, y: Array, tables: dict[tuple[int, ...], Array]) -> SlitPsf:
    """Find the PSF from what shutters let through.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um]
    x, y : ndarray, shape (n_x,), (n_y,) [pitch]
        Places of a point, from the centre of shutter 0.
    tables : dict of tuple of int to ndarray, shape (n_wave, n_y, n_x)
        Share of the light that passes, by open shutters. One common scale; which one does not matter.

    Returns
    -------
    SlitPsf

    Notes
    -----
    Minimises the sum of squared differences over all places, with weights that are not negative (Lawson & Hanson 1974,
    chapter 23), by way of the Cholesky factor of the normal matrix. A scale other than that of the true transmission
    scales the weights; so does light that the spectrograph loses after the shutters.
    """
    columns = []
    for shutters in tables:
        across = _open_share(-x[:, np.newaxis], 0, WIDTHS)
        along = np.sum([_open_share(k - y[:, np.newaxis], 1, WIDTHS) for k in shutters], axis=0)
        columns.append((along[:, np.newaxis] * across[np.newaxis]).reshape(-1, len(WIDTHS)))
    design = np.concatenate(columns)
    normal = design.T @ design
    factor = np.linalg.cholesky(normal + _RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal)))
    weights = []
    for k in range(len(wave)):
        data = np.concatenate([table[k].ravel() for table in tables.values()])
        weights.append(nnls(factor.T, np.linalg.solve(factor, design.T @ data))[0])
    return SlitPsf(np.asarray(wave, dtype=float), np.array(weights))


def _open_share(away: Array | float, axis: int, width: Array) -> Array:
    """Share of Gaussians of some widths [arcsec] in the opening of a shutter that is so far from them [pitch]."""
    sigma, half = width / PITCH[axis], OPEN[axis] / 2
    return np.asarray(ndtr((away + half) / sigma) - ndtr((away - half) / sigma), dtype=np.float64)
