"""Fitting the calibration of redshift probabilities: a logistic with weights of known sign, then a rising line."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from .zprob import Calibration, Features

LOWEST = Features(0.0, 0.0, 0.0, 0.0, 0.0, -np.inf, -np.inf)
HIGHEST = Features(np.inf, np.inf, np.inf, np.inf, np.inf, -1.0, -1.0)
"""Bounds of the weights: each measure moves the probability one way. What misfit costs at least is set by hand, as
simulations have few models that are wrong everywhere: a chi2 of 10 per degree of freedom is no success by itself."""
_RIDGE = 0.5
_KNOTS = np.array([-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0])
_STIFFNESS = 5.0
_SURE = 6.0  # largest logit


def fit_logistic(values: np.ndarray, right: np.ndarray) -> tuple[float, np.ndarray]:
    """Most likely logistic with weights between `LOWEST` and `HIGHEST`, and a weak prior towards zero.

    Parameters
    ----------
    values : ndarray, shape (n, n_features)
    right : ndarray of bool, shape (n,)

    Returns
    -------
    bias : float
    weights : ndarray, shape (n_features,)
    """
    spread = np.maximum(values.std(axis=0), 1e-3)
    middle = values.mean(axis=0)
    scaled = (values - middle) / spread
    sign = np.where(right, 1.0, -1.0)

    def cost(free: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (free[0] + scaled @ free[1:])
        slope = -sign / (1.0 + np.exp(margin))
        value = np.logaddexp(0.0, -margin).sum() + 0.5 * _RIDGE * np.sum(free[1:] ** 2)
        return float(value), np.concatenate([[slope.sum()], slope @ scaled + _RIDGE * free[1:]])

    low, high = np.array(LOWEST) * spread, np.array(HIGHEST) * spread
    start = np.concatenate([[0.0], np.clip(0.0, low, high)])
    bounds = [(None, None), *zip(low, high, strict=True)]
    found = minimize(cost, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    weights = found[1:] / spread
    return float(found[0] - weights @ middle), weights


def fit_line(score: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Most likely logits at the knots, rising, with a weak prior towards the score itself.

    Parameters
    ----------
    score : ndarray, shape (n,)
    right : ndarray of bool, shape (n,)

    Returns
    -------
    ndarray, shape of `_KNOTS`
        Between minus and plus 6: nothing is ever certain.
    """
    place = np.clip(score, _KNOTS[0], _KNOTS[-1])
    left = np.clip(np.searchsorted(_KNOTS, place, side="right") - 1, 0, _KNOTS.size - 2)
    share = (place - _KNOTS[left]) / np.diff(_KNOTS)[left]
    sign, steps = np.where(right, 1.0, -1.0), np.diff(_KNOTS)

    def cost(free: np.ndarray) -> tuple[float, np.ndarray]:
        logit = np.cumsum(free)
        margin = sign * ((1.0 - share) * logit[left] + share * logit[left + 1])
        slope = -sign / (1.0 + np.exp(margin))
        by_knot = np.bincount(left, slope * (1.0 - share), _KNOTS.size) + np.bincount(
            left + 1, slope * share, _KNOTS.size
        )
        off = np.concatenate([[free[0] - _KNOTS[0]], free[1:] - steps])
        value = np.logaddexp(0.0, -margin).sum() + 0.5 * _STIFFNESS * np.sum(off**2)
        return float(value), np.cumsum(by_knot[::-1])[::-1] + _STIFFNESS * off

    bounds = [(None, None)] + [(0.0, None)] * steps.size
    found = minimize(cost, np.concatenate([[_KNOTS[0]], steps]), jac=True, bounds=bounds, method="L-BFGS-B").x
    return np.clip(np.cumsum(found), -_SURE, _SURE)


def calibrate(values: np.ndarray, right: np.ndarray) -> Calibration:
    """A calibration from simulated scans.

    Parameters
    ----------
    values : ndarray, shape (n, n_features)
        Rows of `Features`.
    right : ndarray of bool, shape (n,)
        Whether the best redshift was right.

    Returns
    -------
    Calibration
    """
    bias, weights = fit_logistic(values, right)
    logit = fit_line(bias + values @ weights, right)
    return Calibration(bias, tuple(weights.tolist()), tuple(_KNOTS.tolist()), tuple(logit.tolist()))
