"""Redshift fits of mock spectra, and what share of them is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.core.zprob import Features
from nirfire.core.zscan import RedshiftResult
from nirfire.simulate.mock_sources import FIRST, Population
from nirfire.simulate.mocks import draw

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
FitMany = Callable[[Array, Array, Array], Sequence[RedshiftResult | ValueError]]
"""wave (n_wave,), flux (n, n_wave), ivar (n, n_wave) to a result for each."""

WINDOW = 0.01
SURE = 0.9
BATCH = 64


class Trials(NamedTuple):
    """Mock sources and what a fit made of them, one entry of every array for each spectrum.

    Attributes
    ----------
    kind : ndarray of str
    z, snr : ndarray
        As of :class:`nirfire.simulate.mocks.Mocks`.
    n_lines : ndarray of int
        True lines above a S/N of 5.
    z_fit, z_err, probability, chi2_dof : ndarray
        NaN where a fit failed.
    warning : ndarray of int
    features : ndarray, shape (n, n_features)
    """

    kind: NDArray[np.str_]
    z: Array
    snr: Array
    n_lines: NDArray[np.int64]
    z_fit: Array
    z_err: Array
    probability: Array
    chi2_dof: Array
    warning: NDArray[np.int64]
    features: Array

    @property
    def right(self) -> Bools:
        """Within `WINDOW` (1 + z) of the truth; never where there is none, and where the source is a star."""
        good = np.isfinite(self.z) & (self.kind != "dwarf") & np.isfinite(self.z_fit)
        return good & (np.abs(self.z_fit - np.where(good, self.z, 0.0)) < WINDOW * (1.0 + np.where(good, self.z, 0.0)))

    @property
    def fitted(self) -> Bools:
        """Where the fit did not fail."""
        return np.isfinite(self.z_fit)

    @property
    def with_lines(self) -> Bools:
        """Two or more lines above a S/N of 5."""
        return (self.n_lines >= 2) & (self.kind != "dwarf") & np.isfinite(self.z)

    @property
    def sure(self) -> Bools:
        """Probability above `SURE`."""
        return np.nan_to_num(self.probability) > SURE


def run(fit: FitMany, grating: str, n: int, seed: int, population: Population = FIRST) -> Trials:
    """Draw and fit.

    Parameters
    ----------
    fit : callable
    grating : str
    n, seed : int
    population : Population
        As of :func:`nirfire.simulate.mocks.draw`.

    Returns
    -------
    Trials
    """
    mocks = draw(grating, n, seed, population)
    ivar, rows = mocks.ivar, []
    flux = np.where(ivar > 0, mocks.flux, 0.0)
    for start in range(0, n, BATCH):
        some = slice(start, start + BATCH)
        rows += [_row(one) for one in fit(mocks.wave, flux[some], ivar[some])]
    table = np.array(rows)
    return Trials(
        mocks.kind,
        mocks.z,
        mocks.snr,
        mocks.n_lines,
        table[:, 0],
        table[:, 1],
        table[:, 2],
        table[:, 3],
        table[:, 4].astype(np.int64),
        table[:, 5:],
    )


def _row(one: RedshiftResult | ValueError) -> list[float]:
    if isinstance(one, ValueError):
        return [np.nan, np.nan, np.nan, np.nan, 0.0, *[0.0] * len(Features._fields)]
    chi2_dof = one.chi2_min / max(one.dof, 1)
    return [one.z_best, one.z_err, one.probability, chi2_dof, float(one.warning), *one.features]


def completeness(trials: Trials) -> tuple[float, float]:
    """Of sources with two lines: share that is right and sure, and share of the sure ones that is right."""
    chosen = trials.with_lines
    sure = chosen & trials.sure
    right = trials.right
    return float((right & sure).sum() / max(chosen.sum(), 1)), float(right[sure].mean()) if sure.any() else 1.0


def false_sure(trials: Trials, kind: str = "blank") -> float:
    """Share of a kind without a redshift that is sure of one."""
    chosen = trials.kind == kind
    return float(trials.sure[chosen].mean()) if chosen.any() else 0.0


class Bins(NamedTuple):
    """Reliability: in bins of probability, its mean, the share that is right, and how many there are."""

    mean: Array
    share: Array
    number: NDArray[np.int64]


def reliability(
    probability: Array, right: Bools, edges: Sequence[float] = (0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
) -> Bins:
    """Mean probability and share of right ones in bins.

    Parameters
    ----------
    probability : ndarray, shape (n,)
    right : ndarray of bool, shape (n,)
    edges : sequence of float
        Of the bins; empty ones are left out.
    """
    index = np.clip(np.searchsorted(np.asarray(edges), probability, side="right") - 1, 0, len(edges) - 2)
    filled = [k for k in range(len(edges) - 1) if np.any(index == k)]
    mean = np.array([probability[index == k].mean() for k in filled])
    share = np.array([right[index == k].mean() for k in filled])
    return Bins(mean, share, np.array([int(np.sum(index == k)) for k in filled]))
