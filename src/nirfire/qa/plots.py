"""Spectra and redshift fits on axes of the reader's own, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirfire.core.posterior import cell_widths
from nirfire.products.spectrum import Spectrum, fnu_to_flam
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.canvas import COLOURS
from nirfire.qa.marks import mark_lines
from nirfire.qa.spectrum_figures import flux_limits, wave_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FNU, FLAM = "fnu", "flam"
FLAM_UNIT = 1e-20  # erg / (s cm2 Angstrom)
LABELS = {FNU: r"$f_\nu$ [$\mu$Jy]", FLAM: r"$f_\lambda$ [$10^{-20}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$]"}
ROOM = 0.08  # of the axis, above the highest chi-squared


def new_axes(width: float = 9.0, height: float = 3.4) -> Axes:
    """Axes of a new figure [inch], which a notebook shows."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def plot_spectrum(
    axes: Axes,
    spectrum: Spectrum,
    fit: RedshiftFit | None = None,
    *,
    unit: str = FNU,
    z: float | None = None,
    between: tuple[float, float] | None = None,
) -> Axes:
    """Draw a spectrum with its error, the model of its fit, and the lines at a redshift.

    Parameters
    ----------
    axes : Axes
    spectrum : Spectrum
    fit : RedshiftFit, optional
        Its model is drawn; its measured lines are marked.
    unit : str
        ``fnu`` [uJy] or ``flam`` [1e-20 erg / (s cm2 Angstrom)].
    z : float, optional
        Mark the main lines at this redshift instead of that of the fit, whose model is then left out.
    between : (float, float), optional [um]
        Wavelengths to show; all by default.

    Returns
    -------
    Axes
    """
    if unit not in LABELS:
        raise ValueError(f"unit is {FNU} or {FLAM}, not {unit}")
    good = ~spectrum.mask & np.isfinite(spectrum.flux) & np.isfinite(spectrum.err)
    flux, err = (_in_unit(spectrum.wave, np.where(good, one, np.nan), unit) for one in (spectrum.flux, spectrum.err))
    band = {"step": "mid", "color": COLOURS["error"], "alpha": 0.6, "lw": 0}
    axes.fill_between(spectrum.wave, flux - err, flux + err, **band)  # type: ignore[arg-type]
    axes.step(spectrum.wave, flux, where="mid", color=COLOURS["data"], lw=0.9)
    axes.axhline(0, color=COLOURS["data"], lw=0.6)
    axes.set_xlim(*(between or wave_limits(spectrum.wave, good)))
    inside = (spectrum.wave >= between[0]) & (spectrum.wave <= between[1]) if between else good
    axes.set_ylim(*flux_limits(flux[inside], err[inside]))
    if z is not None:
        mark_lines(axes, z)
    elif fit is not None:
        model = _in_unit(fit.wave, fit.model, unit)
        axes.plot(fit.wave, model, color=COLOURS["model"], lw=0.9, alpha=0.85, label=f"fit, z = {fit.z:.4f}")
        axes.legend(fontsize="small", loc="upper right", framealpha=0.9)
        mark_lines(axes, fit.z, lines=fit.lines)
    _keep_names_inside(axes)
    axes.set_xlabel(r"wavelength [$\mu$m, vacuum]")
    axes.set_ylabel(LABELS[unit])
    return axes


def _keep_names_inside(axes: Axes) -> None:
    """Hide names of lines that are left or right of the axes when these are moved."""
    from matplotlib.transforms import Bbox, TransformedBbox

    box = TransformedBbox(Bbox([[0.0, 0.0], [1.0, 2.0]]), axes.transAxes)
    for text in axes.texts:
        text.set_clip_box(box)
        text.set_clip_on(True)
        text.set_in_layout(False)


def _in_unit(wave: np.ndarray, fnu: np.ndarray, unit: str) -> np.ndarray:
    return fnu if unit == FNU else fnu_to_flam(wave, fnu) / FLAM_UNIT


def plot_chi2(axes: Axes, fit: RedshiftFit) -> Axes:
    """Draw chi-squared above its minimum against redshift, with the distinct minima."""
    lowest = float(np.nanmin(fit.chi2))
    axes.plot(fit.z_grid, fit.chi2 - lowest, color=COLOURS["data"], lw=0.8)
    above = np.asarray(fit.peaks["chi2"], dtype=float) - lowest
    axes.plot(np.asarray(fit.peaks["z"])[1:], above[1:], "v", ms=5, color=COLOURS["mark"], label="next minima")
    axes.axvline(fit.z, color=COLOURS["model"], lw=1.0, label=f"best, z = {fit.z:.4f}")
    axes.set_ylim(-0.02 * float(np.nanmax(fit.chi2) - lowest), (1 + ROOM) * float(np.nanmax(fit.chi2) - lowest))
    axes.set_xlabel("redshift")
    axes.set_ylabel(r"$\chi^2 - \chi^2_{\min}$")
    axes.legend(fontsize="small", loc="lower right", framealpha=0.9)
    return axes


def plot_density(axes: Axes, fit: RedshiftFit) -> Axes:
    """Draw p(z), with errors raised to chi2 / dof = 1, where 99.8 % of it is."""
    scale = max(1.0, fit.chi2_min / fit.dof) if fit.dof > 0 else 1.0
    delta = np.where(np.isfinite(fit.chi2), fit.chi2 - np.nanmin(fit.chi2), np.inf)
    share = np.exp(-0.5 * delta / scale) * cell_widths(fit.z_grid)
    share /= share.sum()
    density = share / cell_widths(fit.z_grid)
    low, high = np.interp([0.001, 0.999], np.cumsum(share), fit.z_grid)
    pad = max(0.2 * (high - low), 0.002 * (1 + fit.z))
    axes.fill_between(fit.z_grid, density, color=COLOURS["box"], alpha=0.35, lw=0)
    axes.plot(fit.z_grid, density, ".-", ms=3, color=COLOURS["box"], lw=0.9)
    axes.axvline(fit.z, color=COLOURS["model"], lw=1.0)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(0, None)
    axes.set_xlabel("redshift")
    axes.set_ylabel("p(z)")
    axes.locator_params(axis="x", nbins=4)
    return axes
