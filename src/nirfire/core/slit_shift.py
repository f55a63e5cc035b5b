"""Where a point source lies across its shutter, from how its flux changes between dithers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLUX_ERROR = 0.01
"""Relative error of a flux that repeats: flat field, sampling of the trace."""
LEAST_SPREAD = 0.08
"""[pitch] Smallest range of planned places that tells anything."""
N_BIN = 8
_LEAST_SNR = 10.0


@dataclass(frozen=True)
class Shift:
    """A measured shift [pitch] and its standard error."""

    value: float
    err: float


def bin_flux(wave: Array, flux: Array, err: Array, edges: Array) -> tuple[Array, Array]:
    """Sum flux between wavelengths.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um]
    flux, err : ndarray, shape (n_wave,)
        An infinite error marks what is not known.
    edges : ndarray, shape (n_bin + 1,) [um]

    Returns
    -------
    flux, err : ndarray, shape (n_bin,)
        Mean of each bin; infinite error where less than half of its columns are known.
    """
    index = np.digitize(wave, edges) - 1
    mean, error = np.zeros(len(edges) - 1), np.full(len(edges) - 1, np.inf)
    for k in range(len(mean)):
        inside = index == k
        known = inside & np.isfinite(err)
        if known.sum() and 2 * known.sum() >= inside.sum():
            mean[k], error[k] = flux[known].mean(), np.sqrt(np.sum(err[known] ** 2)) / known.sum()
    return mean, error


def shift_from_flux(
    planned: Array, flux: Array, err: Array, trial: Array, passed: Array, groups: Sequence[int] | None = None
) -> Shift | None:
    """Shift across the shutter with which the exposures agree on a source's flux.

    Parameters
    ----------
    planned : ndarray, shape (n_exp,) [pitch]
        Planned place of the source across its shutter.
    flux, err : ndarray, shape (n_exp, n_bin)
        Flux that passed the shutters, in bins of wavelength; infinite errors mark what is not known.
    trial : ndarray, shape (n_trial,) [pitch]
        Shifts to try, in order, evenly spaced.
    passed : ndarray, shape (n_exp, n_trial, n_bin)
        Share of the light that passes when the source is off its planned place by each of them; NaN where unknown.
    groups : sequence of int, optional
        Exposures with the same number are compared, others are not (detectors); by default all are.

    Returns
    -------
    Shift or None
        None where the planned places differ by less than `LEAST_SPREAD`, nothing is bright enough, or the best shift is
        at an end of the range.

    Notes
    -----
    A shutter lets through less of a source near its side, so a shift makes a source that was planned left of the centre
    fainter and one planned right of it brighter. With the mean of ln(flux / passed) over wavelength, ``q_e``, of each
    exposure, chi2 is the sum of ``(q_e - <q>)^2 / (err^2 + FLUX_ERROR^2)``. The spectrum of the source cancels, as the
    weights of the bins are the same in all exposures of a group.
    """
    planned, trial = np.asarray(planned, dtype=float), np.asarray(trial, dtype=float)
    numbers = np.zeros(len(planned), dtype=int) if groups is None else np.asarray(groups, dtype=int)
    chi2, freedom = np.zeros(len(trial)), -1
    for group in np.unique(numbers):
        mine = numbers == group
        if np.ptp(planned[mine]) < LEAST_SPREAD:
            continue
        q, variance = _mean_log(flux[mine], err[mine], passed[mine])
        if q is None:
            continue
        weight = 1.0 / (variance + FLUX_ERROR**2)
        mean = (weight[:, None] * q).sum(axis=0) / weight.sum()
        chi2 += (weight[:, None] * (q - mean) ** 2).sum(axis=0)
        freedom += int(mine.sum()) - 1
    if freedom < 0:
        return None
    return _minimum(trial, chi2, freedom)


def _mean_log(flux: Array, err: Array, passed: Array) -> tuple[Array | None, Array]:
    """Weighted mean over bins of ln(flux / passed), (n_exp, n_trial), and its variance, (n_exp,)."""
    bright = (flux > _LEAST_SNR * err) & np.isfinite(err) & (flux > 0)
    bins = bright.all(axis=0) & np.any(np.isfinite(passed), axis=(0, 1))
    if not bins.any():
        return None, np.zeros(len(flux))
    relative = err[:, bins] / flux[:, bins]
    weight = 1.0 / (np.mean(relative**2, axis=0) + FLUX_ERROR**2)
    weight /= weight.sum()
    share = passed[:, :, bins]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(flux[:, None, bins]) - np.log(np.where(share > 0, share, np.nan))
    return (logs * weight).sum(axis=-1), (relative**2 * weight**2).sum(axis=-1)


def _minimum(trial: Array, chi2: Array, freedom: int) -> Shift | None:
    """Vertex of the parabola at the smallest chi2, and its standard error."""
    known = np.isfinite(chi2)
    if known.sum() < 3:
        return None
    best = int(np.nanargmin(chi2))
    if best in (0, len(trial) - 1) or not (known[best - 1] and known[best + 1]):
        return None
    low, mid, high = chi2[best - 1], chi2[best], chi2[best + 1]
    step = trial[1] - trial[0]
    curvature = (low + high - 2 * mid) / step**2
    if curvature <= 0:
        return None
    value = trial[best] + 0.5 * (low - high) / (curvature * step)
    scale = max(1.0, mid / freedom) if freedom > 0 else 1.0
    return Shift(float(value), float(np.sqrt(2 * scale / curvature)))
