"""The probability that a redshift is right: a logistic of a few measures of doubt, calibrated on simulated spectra.

Right means within 0.01 (1 + z) of the truth. Every measure moves the probability one way only, whatever else is known.
The numbers stand in :mod:`nirfire.core.zprob_values`, which ``scripts/calibrate_zprob.py`` writes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .zprob_values import CALIBRATIONS

WINDOW = 0.01
"""Half width of what counts as the same redshift, over 1 + z."""
_ELEMENT = 5  # pixels: a line and its wings, or two spikes side by side
_ENOUGH = 20.0
_NOISE = 3.0  # S/N that the best of many lines that are not there may have
_NORMAL_MEDIAN = 0.6745  # of the absolute value of a normal deviate


class Features(NamedTuple):
    """What the probability is made of; s^2 = max(1, chi2 / dof) stands for errors that are too small.

    Attributes
    ----------
    least : float
        ln(1 + dchi2 / s^2), of the smaller of two: to the best fit at any other redshift; and to a smooth curve without
        the pixels that say most, which is what is left if one line, or one spike, is none.
    beyond : float
        ln(1 + dchi2 / s^2) to a smooth curve without the two runs of pixels that say most; from 20 on it is enough.
    star : float
        asinh(dchi2 / s^2) to the best star: negative where a star fits better.
    lines : float
        `least`, but no more than ln(1 + S^2 - 9) of the S/N S of the second best line: 0 where there are no two lines.
    negative : float
        asinh of the S/N of the lowest line, at most 0: emission lines are not negative.
    rough : float
        ln of the squared scatter of the residuals, from their median: 0 where the errors are right. Unlike chi2 it does
        not mind bright lines whose profiles do not fit.
    misfit : float
        ln s^2.
    """

    least: float
    beyond: float
    star: float
    lines: float
    negative: float
    rough: float
    misfit: float


class Calibration(NamedTuple):
    """A logistic and a monotone correction of it.

    Attributes
    ----------
    bias : float
    weights : tuple of float
        One for each of `Features`.
    score, logit : tuple of float
        Knots of a rising line from the sum of weighted measures to the logit of the probability; the ends hold beyond.
    """

    bias: float
    weights: tuple[float, ...]
    score: tuple[float, ...]
    logit: tuple[float, ...]


class Evidence(NamedTuple):
    """What is known of a best fit.

    Attributes
    ----------
    z : float
        Best redshift.
    chi2 : float
        Its chi2.
    dof : int
    chi2_null : float
        Of the best smooth curve.
    chi2_star : float
        Of the best star; NaN where none was tried.
    n_lines : int
        Lines above a S/N of 5.
    gain : ndarray, shape (n_used,)
        chi2 of the smooth curve minus chi2 of the best model, pixel by pixel in order of wavelength.
    residual : ndarray, shape (n_used,)
        Of the best model, in errors.
    line_snr : ndarray, shape (n_lines,)
        S/N of the lines measured at the best redshift; with none, there is no second one.
    """

    z: float
    chi2: float
    dof: int
    chi2_null: float
    chi2_star: float
    n_lines: int
    gain: np.ndarray
    residual: np.ndarray = np.zeros(0)
    line_snr: np.ndarray = np.zeros(0)


def beyond(gain: np.ndarray, elements: int = 1, size: int = _ELEMENT) -> float:
    """Total gain without the best runs of `size` pixels.

    Parameters
    ----------
    gain : ndarray, shape (n_used,)
        chi2 by which the model is better than a smooth curve in each pixel.
    elements : int
        How many runs are left out.
    size : int

    Returns
    -------
    float
    """
    left = np.array(gain, dtype=float)
    if left.size <= size * elements:
        return 0.0
    for _ in range(elements):
        running = np.concatenate([[0.0], np.cumsum(left)])
        start = int(np.argmax(running[size:] - running[:-size]))
        left[start : start + size] = 0.0
    return float(left.sum())


def roughness(residual: np.ndarray) -> float:
    """ln of the squared scatter of residuals over their errors, at least 0; 0 without any."""
    if residual.size == 0:
        return 0.0
    return 2.0 * float(np.log(max(np.median(np.abs(residual)) / _NORMAL_MEDIAN, 1.0)))


def features(z: np.ndarray, chi2: np.ndarray, best: Evidence) -> Features:
    """Measures of doubt of one scan.

    Parameters
    ----------
    z, chi2 : ndarray, shape (n_z,)
        The scan, fine about its best minima; any spacing.
    best : Evidence

    Returns
    -------
    Features
    """
    s2 = max(1.0, best.chi2 / max(best.dof, 1))
    near = np.abs(z - best.z) <= WINDOW * (1.0 + best.z)
    gap = max(float(chi2[~near].min() - chi2[near].min()), 0.0) if near.any() and not near.all() else 0.0
    star = (best.chi2_star - best.chi2) / s2
    snr = np.sort(best.line_snr[np.isfinite(best.line_snr)])[::-1]
    second = max(snr[1], _NOISE) if snr.size > 1 else _NOISE
    least = max(min(gap, beyond(best.gain)), 0.0) / s2
    return Features(
        float(np.log1p(least)),
        float(np.log1p(np.clip(beyond(best.gain, 2) / s2, 0.0, _ENOUGH))),
        float(np.arcsinh(star)) if np.isfinite(star) else 0.0,
        float(np.log1p(min(least, second**2 - _NOISE**2))),
        float(np.arcsinh(min(snr[-1], 0.0))) if snr.size else 0.0,
        roughness(best.residual),
        float(np.log(s2)),
    )


def score(values: Features, calibration: Calibration) -> float:
    """Weighted sum of the measures."""
    return calibration.bias + float(np.dot(calibration.weights, values))


def calibrated(values: Features, calibration: Calibration) -> float:
    """Probability (0 to 1) that the best redshift is right, by a calibration."""
    logit = float(np.interp(score(values, calibration), calibration.score, calibration.logit))
    return 1.0 / (1.0 + float(np.exp(-logit)))


def probability(values: Features, grating: str) -> float:
    """Probability (0 to 1) that the best redshift is right, by the calibration of the grating's family."""
    return calibrated(values, Calibration(*CALIBRATIONS[family(grating)]))


def family(grating: str) -> str:
    """Which calibration a grating has: "PRISM", "M" or "H"."""
    name = grating.upper()
    return name if name == "PRISM" else name[-1]
