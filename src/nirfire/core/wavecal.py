"""Wavelengths: a measured zero-point correction made smooth, added to a reference table; where orders overlap.

Shifts are in detector pixels and are *added*, times the dispersion, to the wavelength that the geometry gives for the
centre of the shutter: what the stock step wavecorr does with its reference. `x` is the position of the source across
its shutter in units of the pitch, from -0.5 to 0.5, with the sign of the stock ``source_xpos``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LARGEST_DEGREE = 3
FEWEST_PER_TERM = 3
"""Measurements per coefficient below which a form of the surface is not tried."""
_NODES = 33

CUT_ON = {"F070LP": 0.70, "F100LP": 0.97, "F170LP": 1.66, "F290LP": 2.87}
"""Wavelength [um] from which each long-pass filter lets light through."""
OVERLAP_FLAG = 1 << 30
"""Data-quality bit of pixels where orders overlap: OTHER_BAD_PIXEL. No stock step of Spec2 or Spec3 acts on it."""


@dataclass(frozen=True)
class Surface:
    """A smooth shift over (x, wavelength), constant beyond the measured range.

    Attributes
    ----------
    x_range : tuple of 2 floats [pitch]
    wave_range : tuple of 2 floats [um]
        Range of the measurements. Outside it the value at its nearest edge holds, so the surface is continuous.
    coefficients : ndarray, shape (n_x, n_wave) [px]
        Of products of Legendre polynomials on the two ranges.
    scatter : float [px]
        Of the measurements about the surface, for as many degrees of freedom as remain.
    predicted : float [px]
        rms by which each measurement misses the surface that is fitted to all others.
    """

    x_range: tuple[float, float]
    wave_range: tuple[float, float]
    coefficients: Array
    scatter: float
    predicted: float

    def __call__(self, x: ArrayLike, wave: ArrayLike) -> Array:
        """Evaluate the shift.

        Parameters
        ----------
        x : array_like [pitch]
        wave : array_like [um]

        Returns
        -------
        ndarray [px], broadcast shape
        """
        u, v = np.broadcast_arrays(_unit(x, self.x_range), _unit(wave, self.wave_range))
        return legendre.legval2d(u, v, self.coefficients)


def fit_surface(x: ArrayLike, wave: ArrayLike, shift: ArrayLike, ivar: ArrayLike | None = None) -> Surface:
    """Fit a smooth surface to measured shifts.

    Parameters
    ----------
    x : array_like, shape (n,) [pitch]
    wave : array_like, shape (n,) [um]
    shift : array_like, shape (n,) [px]
    ivar : array_like, shape (n,), optional [px^-2]
        Zero: no measurement. Default: all alike.

    Returns
    -------
    Surface

    Raises
    ------
    ValueError
        Fewer than `FEWEST_PER_TERM` measurements.

    Notes
    -----
    Products of Legendre polynomials, ``sum c_ij P_i(x) P_j(wave)`` with ``i <= p``, ``j <= q``, ``i + j <= max(p, q)``,
    by weighted least squares. Of all degrees up to `LARGEST_DEGREE` those are taken that predict each measurement best
    from all others (leave-one-out cross-validation, in closed form: residual / (1 - leverage)): no degree is chosen by
    hand, and noise from cell to cell, which an interpolation follows, is averaged. A degree is tried only where there
    are more distinct values along its axis.
    """
    x, wave, shift = (np.asarray(a, dtype=float).ravel() for a in (x, wave, shift))
    weight = np.ones(shift.size) if ivar is None else np.asarray(ivar, dtype=float).ravel()
    good = weight > 0
    if good.sum() < FEWEST_PER_TERM:
        raise ValueError(f"{good.sum()} measurements are too few for a surface")
    x, wave, shift, weight = x[good], wave[good], shift[good], weight[good] / weight[good].mean()
    x_range, wave_range = (float(x.min()), float(x.max())), (float(wave.min()), float(wave.max()))
    u, v = _unit(x, x_range), _unit(wave, wave_range)
    highest = [min(LARGEST_DEGREE, np.unique(a).size - 1) for a in (x, wave)]
    fits = []
    for p, q in product(range(highest[0] + 1), range(highest[1] + 1)):
        terms = [(i, j) for i, j in product(range(p + 1), range(q + 1)) if i + j <= max(p, q)]
        if shift.size >= FEWEST_PER_TERM * len(terms):
            fits.append(_fit(u, v, shift, weight, terms))
    predicted, scatter, coefficients = min(fits, key=lambda fit: fit[0])
    return Surface(x_range, wave_range, coefficients, scatter, predicted)


def _fit(u: Array, v: Array, shift: Array, weight: Array, terms: list[tuple[int, int]]) -> tuple[float, float, Array]:
    """Weighted least squares: rms when predicted from the others, scatter, coefficients."""
    square = legendre.legvander2d(u, v, [LARGEST_DEGREE, LARGEST_DEGREE])
    square = square.reshape(len(u), LARGEST_DEGREE + 1, LARGEST_DEGREE + 1)
    design = np.stack([square[:, i, j] for i, j in terms], axis=-1)
    root = np.sqrt(weight)
    basis, triangle = np.linalg.qr(design * root[:, None])
    found = np.linalg.lstsq(triangle, basis.T @ (shift * root), rcond=None)[0]
    residual = (shift - design @ found) * root
    leverage = np.clip((basis**2).sum(axis=1), 0.0, 1.0 - 1e-9)
    coefficients = np.zeros((LARGEST_DEGREE + 1, LARGEST_DEGREE + 1))
    coefficients[tuple(np.transpose(terms))] = found
    free = max(len(shift) - len(terms), 1)
    predicted = float(np.sqrt(np.mean((residual / (1.0 - leverage)) ** 2)))
    return predicted, float(np.sqrt(residual @ residual / free)), coefficients


def _unit(value: ArrayLike, limits: tuple[float, float]) -> Array:
    """Position in a range, -1 to 1, clamped."""
    low, high = limits
    if high == low:
        return np.zeros(np.shape(value))
    return np.clip(2.0 * (np.asarray(value, dtype=float) - low) / (high - low) - 1.0, -1.0, 1.0)


def refine(nodes: ArrayLike, limits: tuple[float, float]) -> Array:
    """Nodes of an axis of a table, so that a clamped surface that is added to it stays what it is.

    Parameters
    ----------
    nodes : array_like, shape (n,)
        Increasing. All are kept, so a bilinear table loses nothing.
    limits : tuple of 2 floats
        Where the surface is clamped.

    Returns
    -------
    ndarray, shape (m,)
        With the limits, and nodes evenly between them, where these lie within `nodes`. Their first and last stay.
    """
    own = np.asarray(nodes, dtype=float)
    added = np.linspace(*limits, _NODES)
    step = 1e-6 * (own[-1] - own[0])  # two nodes closer than this are one
    added = added[(added > own[0]) & (added < own[-1]) & (np.abs(added[:, None] - own).min(axis=1) > step)]
    return np.sort(np.concatenate([own, added]))


def bilinear(x_nodes: ArrayLike, wave_nodes: ArrayLike, table: ArrayLike, x: ArrayLike, wave: ArrayLike) -> Array:
    """Interpolate a table as the stock step does, on a grid of new nodes within the old.

    Parameters
    ----------
    x_nodes : array_like, shape (n_x,)
    wave_nodes : array_like, shape (n_wave,)
    table : array_like, shape (n_wave, n_x)
    x : array_like, shape (m_x,)
    wave : array_like, shape (m_wave,)

    Returns
    -------
    ndarray, shape (m_wave, m_x)
    """
    own = np.asarray(x_nodes, dtype=float), np.asarray(wave_nodes, dtype=float)
    new = np.asarray(x, dtype=float), np.asarray(wave, dtype=float)
    rows = np.array([np.interp(new[0], own[0], row) for row in np.asarray(table, dtype=float)])
    return np.array([np.interp(new[1], own[1], column) for column in rows.T]).T


def runs_along_x(x: ArrayLike, table: ArrayLike) -> bool:
    """Say whether a table of shifts grows with x at every wavelength, as light does that enters off centre.

    Parameters
    ----------
    x : array_like, shape (n_x,) [pitch]
    table : array_like, shape (n_wave, n_x) [px]

    Returns
    -------
    bool
        Whether all shifts at a quarter of the pitch lie above all shifts at minus that.

    Notes
    -----
    A larger x moves the light to smaller columns on both detectors, so in a given column a source at positive x is seen
    redder than one at the centre: its shift is positive. With its axes exchanged, or its sign, a table fails.
    """
    nodes, rows = np.asarray(x, dtype=float), np.asarray(table, dtype=float)
    left, right = (np.array([np.interp(at, nodes, row) for row in rows]) for at in (-0.25, 0.25))
    return bool(right.min() > left.max())


def second_order_from(filter: str, grating: str) -> float:
    """First-order wavelength [um] from which second-order light falls on the same pixels; infinite if never."""
    if grating == "PRISM" or filter not in CUT_ON:
        return float("inf")
    return 2.0 * CUT_ON[filter]


def overlap_mask(wave: ArrayLike, filter: str, grating: str) -> NDArray[np.bool_]:
    """Pixels that second-order light of the same source reaches.

    Parameters
    ----------
    wave : array_like [um]
        First-order wavelength; NaN outside the slit.
    filter, grating : str

    Returns
    -------
    ndarray of bool, shape of `wave`
        False where there is no wavelength.

    Notes
    -----
    A grating knows only the product of order and wavelength: where first order has w, second order has w/2, and third
    w/3, which begins later. The filter lets w/2 through if that is above its cut-on, `CUT_ON`. The prism has no orders.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(wave, dtype=float) >= second_order_from(filter, grating)
