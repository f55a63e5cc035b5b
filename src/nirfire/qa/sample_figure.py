"""Figure of all spectra of an observation: redshifts, their probabilities, and how far two extractions agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nirfire.qa.canvas import COLOURS, new_figure, save_png
from nirfire.qa.checks import CHECKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_BINS = 30
LEAST_SNR = 0.01  # fainter spectra are drawn there


class SpectrumValues(NamedTuple):
    """What the figure shows of one spectrum; NaN where it is not known."""

    z: float
    probability: float
    snr: float
    boxcar_ratio: float

    @classmethod
    def of(cls, values: Mapping[str, float | str], measured: Mapping[str, float]) -> SpectrumValues:
        """Pick them from what the report knows of a spectrum."""
        known = {**measured, **values}
        return cls(*(float(known.get(name, math.nan)) for name in cls._fields))


def sample_figure(rows: Sequence[SpectrumValues], png: Path) -> Path:
    """Draw all spectra.

    Parameters
    ----------
    rows : sequence of SpectrumValues
    png : Path
        The figure to write.

    Returns
    -------
    Path
    """
    z, probability, snr, ratio = np.array(rows, dtype=float).T
    figure = new_figure(13.6, 3.6)
    left, middle, right = figure.subplots(1, 3)
    sure = probability >= CHECKS["probability"].low
    _redshifts(left, z, sure)
    _probabilities(middle, snr, probability)
    _ratios(right, snr, ratio)
    for axes in (left, middle, right):
        axes.tick_params(labelsize=8)
    return save_png(figure, png)


def _redshifts(axes: Axes, z: np.ndarray, sure: np.ndarray) -> None:
    known = np.isfinite(z)
    top = float(np.max(z[known], initial=1.0))
    edges = np.linspace(0.0, 1.02 * top, N_BINS + 1)
    limit = CHECKS["probability"].low
    groups, names = (z[known & sure], z[known & ~sure]), (f"probability ≥ {limit:g}", "less")
    labels = [f"{name}: {group.size}" for name, group in zip(names, groups, strict=True)]
    axes.hist(groups, edges.tolist(), stacked=True, color=(COLOURS["box"], COLOURS["error"]), label=labels)
    axes.set_xlabel("redshift", fontsize=9)
    axes.set_ylabel("spectra", fontsize=9)
    axes.locator_params(axis="y", integer=True)
    axes.legend(fontsize=8)


def _probabilities(axes: Axes, snr: np.ndarray, probability: np.ndarray) -> None:
    axes.axhline(CHECKS["probability"].low, color=COLOURS["model"], lw=0.8, ls="--")
    axes.plot(np.maximum(snr, LEAST_SNR), probability, "o", ms=4, color=COLOURS["box"], alpha=_alpha(snr))
    _log_axis(axes, snr)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("probability of the redshift", fontsize=9)


def _ratios(axes: Axes, snr: np.ndarray, ratio: np.ndarray) -> None:
    check = CHECKS["boxcar_ratio"]
    axes.axhspan(check.low, check.high, color=COLOURS["truth"], alpha=0.15, lw=0)
    axes.axhline(1.0, color=COLOURS["truth"], lw=0.8)
    shown = np.clip(ratio, 0.5, 1.5)
    axes.plot(np.maximum(snr, LEAST_SNR), shown, "o", ms=4, color=COLOURS["box"], alpha=_alpha(snr))
    _log_axis(axes, snr)
    axes.set_ylim(0.47, 1.53)
    axes.set_ylabel("boxcar / optimal flux", fontsize=9)


def _log_axis(axes: Axes, snr: np.ndarray) -> None:
    """Round numbers on a logarithmic axis of S/N."""
    known = np.maximum(snr[np.isfinite(snr)], LEAST_SNR)
    low, high = (float(known.min()) / 1.3, float(known.max()) * 1.3) if known.size else (0.1, 10.0)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10.0**k for k in range(-2, 6) for step in steps if low <= step * 10.0**k <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("median S/N of a pixel", fontsize=9)


def _alpha(values: np.ndarray) -> float:
    """Points get fainter where there are many."""
    return float(np.clip(30.0 / math.sqrt(max(values.size, 1)), 0.25, 1.0))
