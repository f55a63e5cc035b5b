"""How much of a source's own light the subtraction of nods removes, because its wings lie where they take their sky."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import ndtr

Array = NDArray[np.float64]

WIDTHS = np.geomspace(0.4, 7.5, 14)
"""[px] Standard deviations of the Gaussians that a profile is made of."""
SHIFTS = np.linspace(-0.6, 0.6, 7)
"""[px] How far a source is looked for from its planned row."""
DRAWS = 32


class Collapsed(NamedTuple):
    """Light along the slitlet, mean over the dispersion.

    Attributes
    ----------
    flux, ivar : ndarray, shape (n_exp, n_row)
        Over rows that follow the trace; ``ivar = 0`` where nothing is known.
    rows : ndarray, shape (n_exp,) [px]
        Where the source is in each exposure.
    """

    flux: Array
    ivar: Array
    rows: Array


def collapse(flux: Array, ivar: Array, source_rows: Array) -> Collapsed:
    """Average aligned exposures over the dispersion, along the trace.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_exp, n_spat, n_wave)
        On the common detector box, and inverse variance (0 = no information).
    source_rows : ndarray, shape (n_exp, n_wave) [px]
        Row of the source, planned, in each exposure and column.

    Returns
    -------
    Collapsed

    Notes
    -----
    Columns are moved by whole rows, the same in all exposures, so that noise stays independent and the same detector
    pixels stay together. A column counts with one weight for all rows and exposures, its median inverse variance, and
    a row of it only where all exposures have it: else the sky, and its bars, would differ from one to the next.
    """
    n_exp, n_spat, n_wave = flux.shape
    trace = np.mean(source_rows, axis=0)
    start = np.median(trace)
    step = np.rint(trace - start).astype(int)
    at = np.arange(n_spat)[:, None] + step[None, :]
    inside = (at >= 0) & (at < n_spat)
    column = np.broadcast_to(np.arange(n_wave), at.shape)
    moved, weight = (a[:, np.clip(at, 0, n_spat - 1), column] for a in (flux, ivar))
    everywhere = inside & (weight > 0).all(axis=0)
    some = np.where(everywhere, weight, np.nan).reshape(n_exp * n_spat, n_wave)
    used = np.isfinite(some).any(axis=0)
    typical = np.zeros(n_wave)
    typical[used] = np.nanmedian(some[:, used], axis=0)
    total = np.sum(everywhere * typical, axis=1)
    mean = np.sum(np.where(everywhere, moved, 0.0) * typical, axis=2) / np.where(total > 0, total, 1.0)
    variance = np.sum(np.where(everywhere, 1.0 / np.where(everywhere, weight, 1.0), 0.0) * typical**2, axis=2)
    out = np.where((total > 0) & (variance > 0), total**2 / np.where(variance > 0, variance, 1.0), 0.0)
    light = typical * used
    rows = np.sum((source_rows - step) * light, axis=1) / max(float(light.sum()), 1e-300)
    return Collapsed(np.where(out > 0, mean, 0.0), out, rows)


def nod_overlap(
    profiles: Collapsed,
    *,
    half_aperture: float = 2.5,
    use: NDArray[np.bool_] | None = None,
    sky_known: bool = False,
    bars: Array | None = None,
) -> tuple[float, float]:
    """Share of a source's light that subtracting the median of the other nods removes.

    Parameters
    ----------
    profiles : Collapsed
    half_aperture : float [px]
        The light is counted so far from the source.
    use : ndarray of bool, shape (n_exp, n_exp), optional
        ``use[i, j]``: exposure j serves as background of exposure i; by default all others.
    sky_known : bool
        The sky is already subtracted. Else it is free in every row, the same in all exposures.
    bars : ndarray, shape (n_row,), optional
        Share of the light that the bars between shutters let through; by default all.

    Returns
    -------
    fraction, error : float
        Mean over the exposures, and its standard error; (0, inf) where there is no light.

    Notes
    -----
    The profile of the source is a sum of Gaussians around one place with weights that are not negative: it is
    symmetric, falls from its centre, and goes to zero. Without the last two a sky free in each row could not be told
    from light that repeats from shutter to shutter, and the overlap not be found from nods alone. The weights are those
    of least squares after the mean over exposures was taken from each row, of data and Gaussians alike. How wide the
    widest may be is left open: the result is the mean over all limits, weighted by likelihood. The error is the scatter
    of `DRAWS` fits to data with noise added, from a fixed seed, and that among the limits.
    """
    n_exp, n_row = profiles.flux.shape
    through = np.ones(n_row) if bars is None else bars
    weight = profiles.ivar if sky_known else profiles.ivar * (np.sum(profiles.ivar > 0, axis=0) > 1)
    if not (weight > 0).any():
        return 0.0, np.inf
    allowed = (np.ones((n_exp, n_exp), dtype=bool) if use is None else use) & ~np.eye(n_exp, dtype=bool)
    shapes = [_gaussians(profiles.rows + shift, n_row) * through[:, None] for shift in SHIFTS]
    designs = [_without_sky(shape, weight, sky_known) for shape in shapes]
    data = _without_sky(profiles.flux[..., None], weight, sky_known)[:, 0]
    fits = [nnls(design, data) for design in designs]
    best = int(np.argmin([left for _, left in fits]))

    def removed(weights: Array) -> float:
        light = np.einsum("erj,j->er", shapes[best], weights)
        return _removed(light, profiles.rows + SHIFTS[best], allowed, half_aperture)

    rng = np.random.default_rng(0)
    sigma = np.where(weight > 0, 1.0 / np.sqrt(np.where(weight > 0, weight, 1.0)), 0.0)
    noise = _without_sky((sigma[..., None] * rng.standard_normal((*sigma.shape, DRAWS))), weight, sky_known)
    draws = np.array([removed(nnls(designs[best], data + noise[:, k])[0]) for k in range(DRAWS)])
    narrower = [nnls(designs[best][:, :n], data) for n in range(1, len(WIDTHS) + 1)]
    shares = np.array([removed(np.pad(found, (0, len(WIDTHS) - len(found)))) for found, _ in narrower])
    if not (np.isfinite(draws).all() and np.isfinite(shares).all()):
        return 0.0, np.inf
    chi2 = np.array([left**2 for _, left in narrower])
    likely = np.exp(-0.5 * (chi2 - chi2.min()))
    likely /= likely.sum()
    fraction = float(likely @ shares)
    return fraction, float(np.sqrt(np.var(draws) + likely @ (shares - fraction) ** 2))


def _gaussians(rows: Array, n_row: int) -> Array:
    """Gaussians of unit light around the source's row, in each pixel, shape (n_exp, n_row, n_width)."""
    edges = np.arange(n_row + 1) - 0.5
    at = ndtr((edges[None, :, None] - rows[:, None, None]) / WIDTHS)
    return np.diff(at, axis=1)


def _without_sky(values: Array, weight: Array, sky_known: bool) -> Array:
    """Weighted values less the mean over exposures of each row, shape (n_exp * n_row, n)."""
    root = np.sqrt(weight)[..., None]
    if sky_known:
        return (values * root).reshape(-1, values.shape[-1])
    total = np.sum(weight, axis=0)[:, None]
    mean = np.sum(values * weight[..., None], axis=0) / np.where(total > 0, total, 1.0)
    return ((values - mean) * root).reshape(-1, values.shape[-1])


def _removed(light: Array, rows: Array, allowed: NDArray[np.bool_], half: float) -> float:
    """Share of the light in the aperture that the median of the others removes, mean over exposures."""
    row = np.arange(light.shape[1])
    shares = []
    for k, others in enumerate(allowed):
        aperture = np.abs(row - rows[k]) <= half
        own = float(light[k, aperture].sum())
        if others.any() and own > 0:
            shares.append(float(np.median(light[others][:, aperture], axis=0).sum()) / own)
    return float(np.mean(shares)) if shares else np.nan
