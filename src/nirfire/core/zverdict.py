"""What a redshift is worth: its kind, its probability, and warnings."""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

import numpy as np

from . import zprob
from .lsf import C_KMS
from .templates import GridTemplates


class Warn(IntFlag):
    """Bits of ZWARN."""

    FEW_PIXELS = 1
    EDGE = 2
    SMALL_DCHI2 = 4
    STAR = 8
    NO_FEATURE = 16
    BAD_FIT = 32
    SINGLE_LINE = 64
    NO_ERROR = 128


SAID = {
    Warn.FEW_PIXELS: "few pixels",
    Warn.EDGE: "at the edge of the redshift range",
    Warn.SMALL_DCHI2: "another redshift fits nearly as well",
    Warn.STAR: "a star fits as well",
    Warn.NO_FEATURE: "no feature: a smooth curve fits as well",
    Warn.BAD_FIT: "bad fit",
    Warn.SINGLE_LINE: "rests on a single line",
    Warn.NO_ERROR: "no error of z",
}
"""What each bit means."""

_FEW = 60
_SMALL_DCHI2 = 9.0
_NO_FEATURE = 20.0
_SINGLE = 9.0
_BAD = 3.0
_CLEAR_BROAD = 25.0
_EDGE_KMS = 3000.0
_SHARES = {"quasar": 1 / 2, "little red dot": 1 / 3}


class Fitted(NamedTuple):
    """The best model of a spectrum, on the pixels used, with what else there is to judge it by."""

    z: float
    z_err: float
    evidence: zprob.Evidence
    dchi2: float
    z_range: tuple[float, float]
    n_pix: int


def warnings_of(fit: Fitted) -> Warn:
    """Bits that apply; chi2 differences count in units of s^2 = max(1, chi2 / dof)."""
    best = fit.evidence
    s2 = max(1.0, best.chi2 / max(best.dof, 1))
    low, high = (abs(np.log1p(fit.z) - np.log1p(end)) * C_KMS for end in fit.z_range)
    feature = (best.chi2_null - best.chi2) / s2
    bits = Warn(0)
    for bit, holds in (
        (Warn.FEW_PIXELS, fit.n_pix < _FEW),
        (Warn.EDGE, min(low, high) < _EDGE_KMS),
        (Warn.SMALL_DCHI2, not fit.dchi2 >= _SMALL_DCHI2 * s2),
        (Warn.STAR, best.chi2_star <= best.chi2),
        (Warn.NO_FEATURE, feature < _NO_FEATURE),
        (Warn.BAD_FIT, best.chi2 > _BAD * best.dof),
        (Warn.SINGLE_LINE, feature >= _NO_FEATURE and zprob.beyond(best.gain) < _SINGLE * s2),
        (Warn.NO_ERROR, not np.isfinite(fit.z_err)),
    ):
        if holds:
            bits |= bit
    return bits


def class_of(grid: GridTemplates, design: np.ndarray, x: np.ndarray, ivar: np.ndarray) -> str:
    """Kind of source by the templates that fit it.

    Parameters
    ----------
    grid : GridTemplates
    design : ndarray, shape (n_pix, n_columns) [uJy]
    x : ndarray, shape (n_columns,)
    ivar : ndarray, shape (n_pix,)
        0 where not used.

    Returns
    -------
    str
        "quasar" or "little red dot" where such continua give at least half or a third of the light of all continua, the
        latter with broad lines; "broad-line" where the broad lines are significant and the larger part of all line
        light; else "galaxy".
    """
    n, classes = grid.n_continua, np.array(grid.classes)
    light = np.where(ivar > 0, 1.0, 0.0) @ design * x
    total = float(light[:n].sum())
    shares = {kind: float(light[:n][classes[:n] == kind].sum()) / total if total > 0 else 0.0 for kind in _SHARES}
    broad = classes == "broad-line"
    wide = design[:, broad] @ x[broad]
    clear = float(np.sum(ivar * wide**2)) > _CLEAR_BROAD
    if shares["quasar"] > _SHARES["quasar"]:
        return "quasar"
    if clear and shares["little red dot"] > _SHARES["little red dot"]:
        return "little red dot"
    return "broad-line" if clear and light[broad].sum() > 0.5 * light[n:].sum() else "galaxy"
