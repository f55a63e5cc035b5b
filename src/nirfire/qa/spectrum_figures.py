"""Figure of a 1D spectrum with all that is held against it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.canvas import COLOURS, panel, percentiles, rows_from_top, save_png, titled
from nirfire.qa.measure import RatioBins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LEFT, RIGHT, GAP = 13.6, 0.75, 0.12, 0.12  # inches: figure, room beside panels, and between them
HEIGHTS = {"flux": 2.85, "residual": 0.9, "ratio": 0.95}
EDGE = 5  # pixels at both ends that do not set the scale
NEIGHBOUR = 3.0


def spectrum_figure(
    spectrum: Spectrum,
    png: Path,
    *,
    title: str,
    truth: np.ndarray | None = None,
    bins: RatioBins | None = None,
) -> Path:
    """Draw a 1D spectrum that has no redshift fit.

    Parameters
    ----------
    spectrum : Spectrum
    png : Path
        The figure to write.
    title : str
    truth : ndarray, shape (n_wave,), optional [uJy]
        True f_nu on the spectrum's own grid.
    bins : RatioBins, optional
        Flux over truth, for a panel of its own.
    """
    heights = [HEIGHTS["flux"]] + [HEIGHTS["ratio"]] * (bins is not None)
    height = 1.0 + sum(heights)
    figure = titled(WIDTH, height, title)
    main, *below = stacked(figure, height - 0.4, heights)
    good = known_pixels(spectrum)
    main.set_xlim(*wave_limits(spectrum.wave, good))
    flux_panel(main, spectrum, None, truth)
    for axes in below:
        assert bins is not None
        ratio_panel(axes, bins)
    (below or [main])[-1].set_xlabel("wavelength [um, vacuum]", fontsize=9)
    return save_png(figure, png)


def stacked(figure: Figure, top: float, heights: list[float]) -> list[Axes]:
    """Panels below each other, from so far above the lower edge [inch], with one wavelength axis below the last."""
    bases = rows_from_top(top, heights, [GAP] * len(heights))
    places = [(LEFT, base, WIDTH - LEFT - RIGHT, up) for base, up in zip(bases, heights, strict=True)]
    first = panel(figure, places[0])
    panels = [first, *(panel(figure, place, sharex=first) for place in places[1:])]
    for axes in panels:
        axes.tick_params(labelsize=8, labelbottom=axes is panels[-1])
    return panels


def known_pixels(spectrum: Spectrum) -> np.ndarray:
    """True where there is a flux with an error, shape (n_wave,)."""
    return ~spectrum.mask & np.isfinite(spectrum.flux) & np.isfinite(spectrum.err)


def wave_limits(wave: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """Limits of a wavelength axis that show the valid pixels."""
    shown = wave[good] if good.sum() > 1 else wave
    pad = 0.01 * (shown[-1] - shown[0])
    return float(shown[0] - pad), float(shown[-1] + pad)


def flux_panel(axes: Axes, spectrum: Spectrum, fit: RedshiftFit | None, truth: np.ndarray | None) -> None:
    """Draw the flux with all that is held against it."""
    good = known_pixels(spectrum)
    wave, flux = spectrum.wave, np.where(good, spectrum.flux, np.nan)
    err = np.where(good, spectrum.err, np.nan)
    axes.fill_between(wave, flux - err, flux + err, step="mid", color=COLOURS["error"], alpha=0.6, lw=0,
                      label="1 sigma error")  # fmt: skip
    axes.step(wave, flux, where="mid", color=COLOURS["data"], lw=0.9, label="optimal extraction")
    if spectrum.scale is not None:
        text = "the same, scaled to photometry"
        axes.step(wave, flux * spectrum.scale, where="mid", color=COLOURS["mark"], lw=0.7, alpha=0.8, label=text)
    if truth is not None:
        axes.plot(wave, truth, color=COLOURS["truth"], lw=1.2, alpha=0.9, label="truth at this resolution")
    if fit is not None:
        ratio = f", chi2/dof {fit.chi2_min / fit.dof:.2f}" if fit.dof > 0 else ""
        label = f"best model{ratio}"
        axes.plot(fit.wave, fit.model, color=COLOURS["model"], lw=0.9, alpha=0.85, label=label)
    axes.axhline(0, color=COLOURS["data"], lw=0.6)
    axes.set_ylim(*flux_limits(flux, err, truth))
    axes.set_ylabel(r"$f_\nu$ [uJy]", fontsize=9)
    axes.tick_params(labelsize=8)
    if not good.any():
        axes.text(
            0.5, 0.5, "no valid pixel", transform=axes.transAxes, ha="center", fontsize=14, color=COLOURS["model"]
        )
    axes.legend(fontsize=8, loc="upper left", ncols=5, framealpha=0.85)


def flux_limits(flux: np.ndarray, err: np.ndarray, truth: np.ndarray | None = None) -> tuple[float, float]:
    """Limits of a flux axis that show the lines in full and are not set by single wild pixels.

    Parameters
    ----------
    flux, err : ndarray, shape (n_wave,) [uJy]
        NaN where masked.
    truth : ndarray, shape (n_wave,), optional [uJy]

    Returns
    -------
    low, high : float

    Notes
    -----
    Percentiles 1 and 99 of the pixels with errors below 4 times the median error, raised to the highest pixel above
    3 sigma. A pixel counts as at most 3 times as far above the median as its higher neighbour, which no line does.
    """
    good = np.isfinite(flux) & np.isfinite(err)
    index = np.flatnonzero(good)
    inner = index[EDGE : index.size - EDGE] if index.size > 4 * EDGE else index
    if inner.size == 0:
        return -1.0, 1.0
    value, sigma = flux[inner], err[inner]
    level = float(np.median(value))
    padded = np.pad(value, 1, mode="edge")
    beside = np.maximum(padded[:-2], padded[2:]) - level
    capped = np.minimum(value, level + NEIGHBOUR * np.maximum(beside, 0.0))
    floor, top = percentiles(value[sigma < 4 * np.median(sigma)], 1.0, 99.0)
    top = max(top, float(np.max(capped[value > 3 * sigma], initial=top)))
    if truth is not None and np.isfinite(truth[inner]).any():
        top = max(top, float(np.nanpercentile(truth[inner], 99.9)))
    low = min(0.0, floor)
    return low - 0.08 * (top - low), top + 0.22 * (top - low)


def residual_panel(axes: Axes, spectrum: Spectrum, fit: RedshiftFit, good: np.ndarray) -> None:
    """Draw data minus model over the error."""
    model = np.interp(spectrum.wave, fit.wave, fit.model) if fit.model.size != spectrum.wave.size else fit.model
    pull = np.where(good, (spectrum.flux - model) / np.where(good, spectrum.err, 1.0), np.nan)
    axes.axhspan(-1, 1, color=COLOURS["error"], alpha=0.4, lw=0)
    axes.axhline(0, color=COLOURS["model"], lw=0.8)
    axes.step(spectrum.wave, pull, where="mid", color=COLOURS["data"], lw=0.7)
    low, high = percentiles(pull, 0.5, 99.5)
    reach = float(np.clip(1.2 * max(abs(low), abs(high)), 4.0, 40.0))
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("(data - fit)\n/ sigma", fontsize=8)
    axes.tick_params(labelsize=8)


def ratio_panel(axes: Axes, bins: RatioBins) -> None:
    """Draw flux over truth."""
    axes.axhspan(0.9, 1.1, color=COLOURS["truth"], alpha=0.15, lw=0)
    axes.axhline(1, color=COLOURS["truth"], lw=0.8)
    used = bins.used
    for chosen, colour, face, name in (
        (used, COLOURS["data"], COLOURS["data"], "counted"),
        (~used, COLOURS["error"], "white", "too faint to count"),
    ):
        if chosen.any():
            axes.errorbar(bins.wave[chosen], bins.ratio[chosen], bins.error[chosen], fmt="o", ms=3.5, color=colour,
                          mfc=face, elinewidth=0.8, label=name)  # fmt: skip
    median = np.median(np.abs(bins.ratio[used] - 1)) if used.any() else np.nan
    low, high = percentiles(bins.ratio[used], 5, 95)
    axes.set_ylim(min(0.6, low - 0.15), max(1.4, high + 0.15))
    axes.set_ylabel(f"flux / truth\nbins of {bins.n_pixels} px", fontsize=8)
    title = f"median |ratio - 1| = {median:.3f}"
    axes.legend(fontsize=7, loc="lower left" if low > 0.75 else "upper left", ncols=2, title=title, title_fontsize=7)
    axes.tick_params(labelsize=8)
