"""Continuum templates: analytic shapes, resampling in ln(wavelength), and their fast passage to pixels."""

from __future__ import annotations

import numba
import numpy as np

from .igm import LYMAN_ALPHA_UM
from .lsf import Response

_HC_OVER_K_UM = 14387.769  # um K


def blackbody(wave: np.ndarray, temperature: float) -> np.ndarray:
    """Planck f_nu, peak 1, zero below Lyman-alpha (published settings).

    Parameters
    ----------
    wave : ndarray [um]
    temperature : float [K]
    """
    x = np.minimum(_HC_OVER_K_UM / (wave * temperature), 600.0)
    value = wave**-3.0 / np.expm1(x)
    return np.where(wave < LYMAN_ALPHA_UM, 0.0, value / value.max())


def balmer_break_body(wave: np.ndarray, temperature: float = 3973.0, beta: float = 0.6656) -> np.ndarray:
    """Modified blackbody (wave / 0.55 um)^-beta B_nu with a smeared Balmer break, as of little red dots.

    Zero below 0.3648 um; the approach to the limit is stepped by 0.85 below 0.3648 i^2 / (i^2 - 4), i = 6..19
    (the published CAMPFIRE template).
    """
    value = blackbody(wave, temperature) * (wave / 0.55) ** -beta
    for i in range(6, 20):
        value = np.where(wave < 0.3648 * i**2 / (i**2 - 4.0), 0.85 * value, value)
    value = np.where(wave < 0.3648, 0.0, value)
    return value / value.max()


def power_law(wave: np.ndarray, slope: float) -> np.ndarray:
    """f_nu = (wave / 0.3 um)^slope, zero below the Lyman limit."""
    return np.where(wave < 0.0912, 0.0, (wave / 0.3) ** slope)


def resample_log(values: np.ndarray, old_step: float, new_step: float) -> np.ndarray:
    """Rebin rows from log cells of one size to another; both grids have cell 0 centred on the same wavelength.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_old)
    old_step, new_step : float
        Cell sizes in ln(wavelength).

    Returns
    -------
    ndarray, shape (n_rows, n_new)
        Cell means where the new cells are larger, else linear interpolation between cell centres.
    """
    n_old = values.shape[1]
    if np.isclose(old_step, new_step, rtol=1e-9):
        return values.astype(float)
    n_new = int((n_old - 1) * old_step / new_step) + 1
    position = np.arange(n_new) * new_step / old_step
    if new_step < old_step:
        return np.array([np.interp(position, np.arange(n_old), row) for row in values])
    edges = (np.arange(n_new + 1) - 0.5) * new_step / old_step
    total = np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
    ends = np.array([np.interp(edges + 0.5, np.arange(n_old + 1), row) for row in total])
    covered = np.diff(np.clip(edges + 0.5, 0, n_old))
    return np.diff(ends, axis=1) / np.maximum(covered, 1e-12)


@numba.njit(cache=True, fastmath=True)
def fill_continua(
    values: np.ndarray,
    rest: tuple[np.ndarray, np.ndarray],
    use: np.ndarray,
    share: float,
    lowest: int,
    passed: tuple[np.ndarray, np.ndarray],
    response: Response,
    weight: float,
) -> None:
    """Add weight times the continua at one redshift of the grid to columns 0, 1, ...

    Parameters
    ----------
    values : ndarray, shape (n_pix, >= n_use)
        f_nu.
    rest : two ndarrays, shape (n_rest, n_templates)
        Rest-frame templates on log cells, of two bins of redshift.
    use : ndarray of int, shape (n_use,)
        The templates wanted.
    share : float
        Of the second of them.
    lowest : int
        Rest-frame cell that falls on observed cell 0 of the response.
    passed : two ndarrays, shapes (n_wings, n_uv) and (n_templates,)
        Transmissions of the intergalactic medium for rest-frame cells 0..n_uv-1, 1 beyond; and which of them each
        template has.
    response : lsf.Response
    weight : float
    """
    one, other = rest
    uv, wing = passed
    n_rest, n_templates = one.shape[0], use.size
    cells = np.zeros((response.n_cells + 3, n_templates))
    for k in range(max(0, -lowest), min(response.n_cells, n_rest - lowest)):
        r = lowest + k
        for t in range(n_templates):
            cells[k, t] = weight * one[r, use[t]]
        if share > 0.0:
            for t in range(n_templates):
                cells[k, t] += weight * share * (other[r, use[t]] - one[r, use[t]])
        if r < uv.shape[1]:
            for t in range(n_templates):
                cells[k, t] *= uv[wing[use[t]], r]
    acc = np.empty(n_templates)
    for p in range(response.first.size):
        for t in range(n_templates):
            acc[t] = 0.0
        for j in range(0, response.length[p], 4):
            w0, w1 = response.weights[p, j], response.weights[p, j + 1]
            w2, w3 = response.weights[p, j + 2], response.weights[p, j + 3]
            k = response.first[p] + j
            c0, c1, c2, c3 = cells[k], cells[k + 1], cells[k + 2], cells[k + 3]
            for t in range(n_templates):
                acc[t] += w0 * c0[t] + w1 * c1[t] + w2 * c2[t] + w3 * c3[t]
        for t in range(n_templates):
            values[p, t] += acc[t]
