"""Reliability diagram: how often a probability comes true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.qa.canvas import COLOURS, new_figure, save_png
from nirfire.simulate.mock_trials import Bins, Trials, reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WITHIN = 0.05


def reliability_figure(trials: dict[str, Trials], png: Path) -> Path:
    """Draw the share of right redshifts against ZPROB, and how many there are of each, one panel for each family.

    Parameters
    ----------
    trials : dict of str to Trials
        Title of the panel, and spectra that the calibration has not seen.
    png : Path
        The figure to write.

    Returns
    -------
    Path
        The figure.
    """
    figure = new_figure(4.2 * len(trials), 5.4)
    panels = figure.subplots(2, len(trials), height_ratios=(3.2, 1.0), sharex=True, squeeze=False)
    for (name, one), above, below in zip(trials.items(), panels[0], panels[1], strict=True):
        fitted = one.fitted
        probability, right = one.probability[fitted], one.right[fitted]
        _diagram(above, reliability(probability, right))
        above.set_title(f"{name}: {int(fitted.sum())} spectra", fontsize=9)
        edges = np.linspace(0, 1, 21)
        below.hist(probability[right], edges, color=COLOURS["truth"], label="right")
        below.hist(probability[~right], edges, histtype="step", color=COLOURS["model"], lw=1.4, label="wrong or none")
        below.set_yscale("log")
        below.set_xlabel("ZPROB", fontsize=9)
        below.legend(fontsize=7, frameon=False, loc="upper center")
        for axes in (above, below):
            axes.tick_params(labelsize=8)
            axes.set_xlim(-0.02, 1.02)
    panels[0, 0].set_ylabel("share that is right", fontsize=9)
    panels[1, 0].set_ylabel("spectra", fontsize=9)
    return save_png(figure, png)


def _diagram(axes: Axes, bins: Bins) -> None:
    line = np.array([0.0, 1.0])
    axes.fill_between(line, line - WITHIN, line + WITHIN, color=COLOURS["error"], alpha=0.3, lw=0)
    axes.plot(line, line, color=COLOURS["error"], lw=0.8)
    err = np.sqrt(np.maximum(bins.mean * (1 - bins.mean), 1e-4) / bins.number)
    axes.errorbar(bins.mean, bins.share, err, fmt="o", ms=5, color=COLOURS["box"], lw=1.2)
    for x, y, n in zip(bins.mean, bins.share, bins.number, strict=True):
        right_half = x > 0.5
        axes.annotate(
            str(n), (x, y), (-8 if right_half else 8, 0), textcoords="offset points", fontsize=7,
            ha="right" if right_half else "left", va="center",
        )  # fmt: skip
    axes.set_ylim(-0.02, 1.02)
