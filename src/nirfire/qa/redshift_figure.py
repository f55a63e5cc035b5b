"""Figure of a redshift fit: spectrum, model, residual, the best lines, chi2(z) and p(z)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table
from scipy.interpolate import Akima1DInterpolator

from nirfire.core.lsf import C_KMS, GRATINGS, resolving_power
from nirfire.products.line_table import detected
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.canvas import COLOURS, panel, save_png, titled
from nirfire.qa.marks import label_of, mark_lines
from nirfire.qa.measure import RatioBins
from nirfire.qa.spectrum_figures import (
    GAP,
    HEIGHTS,
    LEFT,
    RIGHT,
    WIDTH,
    flux_panel,
    known_pixels,
    ratio_panel,
    residual_panel,
    stacked,
    wave_limits,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_LINES = 6
HALF_FWHM, HALF_KMS = 3.5, 2500.0  # half width of the panel of a line: the larger of the two
EXPECTED = ("Ha", "OIII5008", "Hb", "Lya", "OII3730", "SIII9533", "HeI10833", "Paa", "Pab", "CIII]")
TOP, NAMES, AXIS, TITLE = 0.3, 0.68, 0.45, 0.25  # inches: title, names of lines, numbers below a panel, its title
ZOOM, BETWEEN, CURVES = 1.25, 0.42, 1.75  # heights of the lower panels, and between lines
ACROSS = ((LEFT, 6.4), (7.85, 2.55), (10.95, 2.4))  # left edge and width of the panels of chi-squared and p(z)
ZOOM_SIGMAS, ZOOM_LEAST = 12.0, 0.004  # half width of the zoom: errors of z, and at least this times 1 + z
LINEAR_CHI2 = 10.0  # up to which the axis of chi-squared is linear
N_OTHERS = 4  # alternatives that are named


@dataclass(frozen=True)
class Known:
    """What a simulated source truly is.

    Attributes
    ----------
    z : float or None
    flux : ndarray, shape (n_wave,), or None [uJy]
        True f_nu on the spectrum's own grid.
    bins : RatioBins or None
        Flux over truth.
    """

    z: float | None = None
    flux: np.ndarray | None = None
    bins: RatioBins | None = None


def redshift_figure(
    fit: RedshiftFit, png: Path, *, title: str, spectrum: Spectrum | None = None, true: Known | None = None
) -> Path:
    """Draw a spectrum and its fit with the evidence for it.

    Parameters
    ----------
    fit : RedshiftFit
    png : Path
        The figure to write.
    title : str
        What the spectrum is of.
    spectrum : Spectrum, optional
        Without it there are only chi2(z) and p(z).
    true : Known, optional

    Returns
    -------
    Path
        The figure.
    """
    true = true or Known()
    shown = spectrum is not None and bool(known_pixels(spectrum).any())
    zooms = _best_lines(fit.lines) if shown else []
    names = ["flux", "residual"] + ["ratio"] * (true.bins is not None)
    heights = [HEIGHTS[name] for name in names] if shown else []
    above = sum(heights) + GAP * len(heights) + (NAMES + AXIS) * shown
    height = TOP + above + (ZOOM + TITLE + AXIS) * bool(zooms) + CURVES + TITLE + AXIS
    figure = titled(WIDTH, height, f"{title}     {headline(fit)}")
    if spectrum is not None and shown:
        _spectra(stacked(figure, height - TOP - NAMES, heights), spectrum, fit, true)
        base = height - TOP - above - TITLE - ZOOM
        for k, line in enumerate(zooms):
            across = (WIDTH - LEFT - RIGHT + BETWEEN) / N_LINES
            _line(panel(figure, (LEFT + k * across, base, across - BETWEEN, ZOOM)), spectrum, fit, line)
    _redshifts(figure, fit, true.z)
    return save_png(figure, png)


def _spectra(panels: list[Axes], spectrum: Spectrum, fit: RedshiftFit, true: Known) -> None:
    """Flux, residual, and flux over truth where that is known."""
    main, residual, *ratio = panels
    good = known_pixels(spectrum)
    main.set_xlim(*wave_limits(spectrum.wave, good))
    flux_panel(main, spectrum, fit, true.flux)
    residual_panel(residual, spectrum, fit, good)
    for axes, label in ((main, True), (residual, False)):
        mark_lines(axes, fit.z, label=label, lines=fit.lines)
    for axes in ratio:
        assert true.bins is not None
        ratio_panel(axes, true.bins)
    panels[-1].set_xlabel("wavelength [um, vacuum]", fontsize=8)


def _redshifts(figure: Figure, fit: RedshiftFit, z_true: float | None) -> None:
    """chi2(z), the same about the best, and p(z)."""
    whole, near, share = (panel(figure, (left, AXIS, width, CURVES)) for left, width in ACROSS)
    delta = fit.chi2 - np.nanmin(fit.chi2)
    _whole(whole, fit, delta)
    _near(near, fit, delta)
    _density(share, fit, delta)
    for axes in (whole, near, share):
        if z_true is not None and np.isfinite(z_true):
            axes.axvline(z_true, color=COLOURS["truth"], lw=1.2, ls="--", label=f"true, z = {z_true:.4f}")
        axes.tick_params(labelsize=8)
        axes.set_xlabel("redshift", fontsize=8)
    whole.legend(fontsize=8, loc="lower right", framealpha=0.9)


def headline(fit: RedshiftFit) -> str:
    """Redshift, error, probability, class and warnings in words."""
    error = f" ± {fit.z_err:.5f}" if np.isfinite(fit.z_err) else ", error unknown"
    sure = f"probability {fit.probability:.3f}" if np.isfinite(fit.probability) else "probability unknown"
    kind = f"   {fit.template_class}" if fit.template_class else ""
    warned = f"   Warning: {'; '.join(fit.warnings)}" if fit.warnings else ""
    return f"z = {fit.z:.5f}{error}   {sure}{kind}{warned}"


def _best_lines(lines: Table | None) -> list[Table.Row]:
    """The detected lines of highest S/N, by wavelength; where there are few, main lines and others as well."""
    if lines is None or len(lines) == 0:
        return []
    order = [int(k) for k in np.argsort(-np.asarray(lines["snr"]))]
    names = [str(name) for name in lines["line"]]
    main = [names.index(name) for name in EXPECTED if name in names]
    best = list(dict.fromkeys([*order[: len(detected(lines))], *main, *order]))[:N_LINES]
    return [lines[k] for k in sorted(best)]


def _line(axes: Axes, spectrum: Spectrum, fit: RedshiftFit, line: Table.Row) -> None:
    """One line: data, errors, model, and what was measured."""
    center = float(line["wave_obs"])
    grating = spectrum.grating.upper()
    power = float(resolving_power(grating, np.array(center))) if grating in GRATINGS else 1000.0
    half = center * max(HALF_FWHM / power, HALF_KMS / C_KMS)
    good = known_pixels(spectrum)
    near = good & (np.abs(spectrum.wave - center) < 1.3 * half)
    colour = COLOURS["line"] if line["snr"] > 5 else COLOURS["error"]
    axes.axvline(center, color=colour, lw=1.0, ls=(0, (4, 3)))
    axes.axhline(0, color=COLOURS["data"], lw=0.5)
    if near.any():
        wave, flux, err = (np.where(good, one, np.nan)[_slice(near)] for one in _columns(spectrum))
        axes.fill_between(wave, flux - err, flux + err, step="mid", color=COLOURS["error"], alpha=0.6, lw=0)
        axes.step(wave, flux, where="mid", color=COLOURS["data"], lw=0.9)
        drawn = np.abs(fit.wave - center) < 1.3 * half
        axes.plot(fit.wave[drawn], fit.model[drawn], color=COLOURS["model"], lw=0.9)
        low = float(np.nanmin(np.concatenate([flux - err, fit.model[drawn]])))
        high = float(np.nanmax(np.concatenate([flux + err, fit.model[drawn]])))
        axes.set_ylim(low - 0.06 * (high - low), high + 0.1 * (high - low))
    axes.set_xlim(center - half, center + half)
    width = f"   EW {line['ew_rest']:.0f} Å" if np.isfinite(line["ew_rest"]) else ""
    text = f"{label_of(str(line['name']))}   S/N {line['snr']:.1f}{width}"
    axes.set_title(text, fontsize=7.5, y=1.0, color=COLOURS["data"] if line["snr"] > 5 else "#808080")
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=4)


def _columns(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return spectrum.wave, spectrum.flux, spectrum.err


def _slice(chosen: np.ndarray) -> slice:
    index = np.flatnonzero(chosen)
    return slice(int(index[0]), int(index[-1]) + 1)


def _whole(axes: Axes, fit: RedshiftFit, delta: np.ndarray) -> None:
    axes.axvline(fit.z, color=COLOURS["model"], lw=1.2, label=f"best, z = {fit.z:.4f}")
    axes.plot(fit.z_grid, delta, color=COLOURS["data"], lw=0.7)
    axes.set_xlim(float(fit.z_grid[0]), float(fit.z_grid[-1]))
    top = max(float(np.nanmax(delta)), LINEAR_CHI2)
    axes.set_yscale("symlog", linthresh=LINEAR_CHI2, linscale=0.6)
    axes.set_ylim(-0.1 * LINEAR_CHI2, 1.6 * top)
    axes.set_ylabel(r"$\chi^2 - \chi^2_{\min}$", fontsize=9)
    z, above = (np.asarray(fit.peaks[name], dtype=float) for name in ("z", "chi2"))
    others = [(a, b - float(np.nanmin(fit.chi2))) for a, b in zip(z, above, strict=True)][1:]
    for k, (one, chi2) in enumerate(others):
        said = f"z = {one:.4f}, {chi2:+.1f}" if k < N_OTHERS else None
        axes.plot(one, chi2, "v", ms=5, color=COLOURS["mark"], label=said)


def _near(axes: Axes, fit: RedshiftFit, delta: np.ndarray) -> None:
    error = fit.z_err if np.isfinite(fit.z_err) and fit.z_err > 0 else 0.0
    half = min(max(ZOOM_SIGMAS * error, ZOOM_LEAST * (1 + fit.z)), 0.3 * (1 + fit.z))
    near = np.abs(fit.z_grid - fit.z) <= half
    axes.axvspan(fit.z - error, fit.z + error, color=COLOURS["error"], alpha=0.4, lw=0)
    axes.axvline(fit.z, color=COLOURS["model"], lw=1.2)
    axes.plot(fit.z_grid, delta, ".-", color=COLOURS["data"], lw=0.8, ms=2.5)
    top = max(float(np.nanmax(delta[near], initial=0.0)), 12.0)
    axes.set_xlim(fit.z - half, fit.z + half)
    axes.set_ylim(-0.06 * top, 1.08 * top)
    axes.set_title(r"$\chi^2$ about the best; grey: error of z", fontsize=8, y=1.0)
    axes.locator_params(axis="x", nbins=4)


def _density(axes: Axes, fit: RedshiftFit, delta: np.ndarray) -> None:
    """p(z) with errors raised to chi2/dof = 1, over all redshifts that have a share of it."""
    scale = max(1.0, fit.chi2_min / fit.dof) if fit.dof > 0 else 1.0
    z = fit.z_grid
    p = np.exp(-0.5 * np.where(np.isfinite(delta), delta, np.inf) / scale)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (p[1:] + p[:-1]) * np.diff(z))])
    low, high = np.interp([0.001, 0.999], total / total[-1], z)
    pad = 0.15 * max(high - low, ZOOM_LEAST * (1 + fit.z))
    fine = np.union1d(z, np.linspace(low - pad, high + pad, 2000))
    fine = fine[(fine >= z[0]) & (fine <= z[-1])]
    known = np.where(np.isfinite(delta), delta, np.nanmax(delta))
    density = np.exp(-0.5 * Akima1DInterpolator(z, known)(fine) / scale)
    density /= np.sum(0.5 * (density[1:] + density[:-1]) * np.diff(fine))
    axes.fill_between(fine, density, color=COLOURS["box"], alpha=0.35, lw=0)
    axes.plot(fine, density, color=COLOURS["box"], lw=0.9)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(0, None)
    text = "p(z), formal errors" if scale == 1.0 else f"p(z), errors times {np.sqrt(scale):.2f}"
    axes.set_title(f"{text}; 99.8 % of it", fontsize=8, y=1.0)
    axes.locator_params(axis="x", nbins=4)
