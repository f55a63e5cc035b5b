"""Our spectrum beside a published extraction of the same source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import zfit_of
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.canvas import COLOURS, new_figure, save_png
from nirfire.qa.marks import mark_lines
from nirfire.qa.measure import BIN_PIXELS
from nirfire.qa.spectrum_figures import flux_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Z_KEYS = ("ZBEST", "Z_BEST", "REDSHIFT", "Z")


def compare_with_published(spec: Path, published: Path, png: Path, *, z_published: float | None = None) -> Path:
    """Draw our 1D spectrum over a published one, with their ratio.

    Parameters
    ----------
    spec : Path
        Our ``_spec.fits``; the redshift comes from the ``_zfit.fits`` beside it where there is one.
    published : Path
        A file with a SPEC1D table of ``wave, flux, err`` in um and uJy.
    png : Path
        The figure to write.
    z_published : float, optional
        Published redshift; by default that of the file's headers, where they have one.

    Returns
    -------
    Path
        `png`.

    Raises
    ------
    DataError
        A file has no such table, or the two do not overlap in wavelength.
    """
    ours, theirs = Spectrum.read(spec), Spectrum.read(published)
    zfit = zfit_of(spec)
    fit = RedshiftFit.read(zfit) if zfit.exists() else None
    z_other = z_published if z_published is not None else published_redshift(published)
    centre, ratio, error = binned_ratio(ours, theirs)
    if centre.size == 0:
        raise DataError("no wavelength in common with our spectrum", file=published, key="SPEC1D.wave")
    figure = new_figure(12.6, 5.8)
    found = f"our z = {fit.z:.4f} +- {fit.z_err:.4f}" if fit else "no redshift fit of ours"
    known = f"its z = {z_other:.4f}" if z_other is not None else "no redshift in the file"
    title = f"{spec.name}   {found}\npublished: {published.name}   {known}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    main, below = figure.subplots(2, 1, height_ratios=(3.2, 1.2), sharex=True)
    _spectra(main, ours, theirs, fit)
    z_marked = fit.z if fit else z_other
    if z_marked is not None:
        mark_lines(main, z_marked)
        mark_lines(below, z_marked, label=False)
    _ratio(below, centre, ratio, error)
    return save_png(figure, png)


def published_redshift(path: Path) -> float | None:
    """Redshift in any header of a file; None where there is none."""
    with open_fits(path) as hdus:
        for hdu in hdus:
            for key in Z_KEYS:
                value = hdu.header.get(key)
                if isinstance(value, float | int) and not isinstance(value, bool) and value > 0:
                    return float(value)
    return None


def binned_ratio(ours: Spectrum, theirs: Spectrum) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratio of two spectra over bins of our pixels.

    Returns
    -------
    wave, ratio, error : ndarray, shape (n_bin,)
        Bins of `BIN_PIXELS` of our valid pixels where the published mean is above 3 of its errors. The published
        spectrum is interpolated onto our pixels; the error holds our noise only, since the two share their data.
    """
    known = ~theirs.mask
    if known.sum() < 2:
        return np.empty(0), np.empty(0), np.empty(0)
    other = np.interp(ours.wave, theirs.wave[known], theirs.flux[known], left=np.nan, right=np.nan)
    other_err = np.interp(ours.wave, theirs.wave[known], theirs.err[known], left=np.nan, right=np.nan)
    index = np.flatnonzero(~ours.mask & np.isfinite(other))
    n_bin = index.size // BIN_PIXELS
    chosen = index[: n_bin * BIN_PIXELS].reshape(n_bin, BIN_PIXELS)
    mean = other[chosen].mean(axis=1)
    noise = np.sqrt((other_err[chosen] ** 2).sum(axis=1)) / BIN_PIXELS
    bright = mean > 3 * noise
    ratio = ours.flux[chosen].mean(axis=1)[bright] / mean[bright]
    error = np.sqrt((ours.err[chosen] ** 2).sum(axis=1))[bright] / BIN_PIXELS / mean[bright]
    return ours.wave[chosen].mean(axis=1)[bright], ratio, error


def clean(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error, NaN where they are masked."""
    flux, err = (np.where(spectrum.mask, np.nan, values) for values in (spectrum.flux, spectrum.err))
    return flux, err


def _spectra(axes: Axes, ours: Spectrum, theirs: Spectrum, fit: RedshiftFit | None) -> None:
    (flux, err), (other, other_err) = clean(ours), clean(theirs)
    axes.fill_between(ours.wave, flux - err, flux + err, step="mid", color=COLOURS["error"], alpha=0.6, lw=0,
                      label="our 1 sigma error")  # fmt: skip
    axes.step(theirs.wave, other, where="mid", color=COLOURS["box"], lw=1.0, label="published")
    axes.plot(theirs.wave, other_err, color=COLOURS["box"], lw=0.7, ls=":", label="published error")
    axes.step(ours.wave, flux, where="mid", color=COLOURS["data"], lw=0.9, label="nirfire")
    if fit is not None:
        axes.plot(fit.wave, fit.model, color=COLOURS["model"], lw=0.9, alpha=0.85, label="our fit")
    lows, highs = zip(flux_limits(flux, err), flux_limits(other, other_err), strict=True)
    axes.set_ylim(min(lows), max(highs))
    good = ~ours.mask
    axes.set_xlim(float(ours.wave[good].min()) - 0.05, float(ours.wave[good].max()) + 0.05)
    axes.axhline(0, color=COLOURS["data"], lw=0.6)
    axes.set_ylabel(r"$f_\nu$ [uJy]", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="upper left", ncols=5, framealpha=0.85)


def _ratio(axes: Axes, wave: np.ndarray, ratio: np.ndarray, error: np.ndarray) -> None:
    median = float(np.median(ratio))
    axes.axhline(1, color=COLOURS["data"], lw=0.6)
    axes.axhline(median, color=COLOURS["box"], lw=0.8, ls="--", label=f"median {median:.3f}")
    axes.errorbar(wave, ratio, error, fmt="o", ms=3.5, color=COLOURS["data"], elinewidth=0.8)
    reach = float(np.clip(1.3 * np.percentile(np.abs(ratio - 1), 90), 0.3, 3.0))
    axes.set_ylim(1 - reach, 1 + reach)
    axes.set_xlabel("wavelength [um, vacuum]", fontsize=9)
    axes.set_ylabel(f"nirfire / published\nbins of {BIN_PIXELS} px", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="upper right")
