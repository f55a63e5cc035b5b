"""Several extractions of a source over a published one: spectra, ratios, signal-to-noise, profile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nirfire.errors import DataError
from nirfire.products.spectrum import Spectrum
from nirfire.qa.canvas import COLOURS, new_figure, save_png
from nirfire.qa.compare import binned_ratio, clean
from nirfire.qa.measure import BIN_PIXELS
from nirfire.qa.spectrum_figures import flux_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = ("data", "box", "line", "truth")
SMOOTH = 15  # pixels of the running median of signal-to-noise
Lines = tuple[str, Spectrum, str]
"""Name, spectrum and colour."""


def compare_spectra(
    spectra: Mapping[str, Spectrum], published: Spectrum, png: Path, *, title: str = "", said: str = ""
) -> Path:
    """Draw extractions of one source over a published one.

    Parameters
    ----------
    spectra : mapping of str to Spectrum
        Ours by name, four at most; the 2D profile is that of the first.
    published : Spectrum
    png : Path
        The figure to write.
    title, said : str
        Above the figure: what it is, and what differs and why.

    Returns
    -------
    Path
        `png`.

    Raises
    ------
    DataError
        One of ours does not overlap with the published one in wavelength.
    """
    ours = [(name, mine, COLOURS[style]) for (name, mine), style in zip(spectra.items(), STYLES, strict=False)]
    ratios = {name: binned_ratio(mine, published) for name, mine, _ in ours}
    for name, (centre, _, _) in ratios.items():
        if not centre.size:
            raise DataError(f"{name} has no wavelength in common with the published spectrum", key="SPEC1D.wave")
    figure = new_figure(13.0, 8.2)
    figure.suptitle(f"{title}\n{said}" if said else title, fontsize=9.5, x=0.01, ha="left")
    grid = figure.add_gridspec(3, 2, width_ratios=(3.2, 1.0), height_ratios=(2.6, 1.4, 1.2))
    main = figure.add_subplot(grid[0, 0])
    below, noise = (figure.add_subplot(grid[row, 0], sharex=main) for row in (1, 2))
    _spectra(main, ours, published)
    _ratios(below, ours, ratios)
    _signal_to_noise(noise, ours, published)
    for axes in (main, below):
        axes.tick_params(labelbottom=False)
    beside = figure.add_subplot(grid[0, 1])
    residual = figure.add_subplot(grid[1:, 1], sharex=beside)
    _profile(beside, residual, *ours[0][:2])
    return save_png(figure, png)


def collapsed(spectrum: Spectrum) -> tuple[NDArray[np.float64], ...]:
    """Mean profile of the 2D spectrum along the wavelength, weighted by inverse variance.

    Returns
    -------
    place, data, model, error : ndarray, shape (n_spat,)
        Rows from the source [pixel], and flux per row relative to the highest of the model (of the data, without one).
    """
    assert spectrum.sci is not None
    assert spectrum.err2d is not None
    known = np.isfinite(spectrum.sci) & (np.nan_to_num(spectrum.err2d) > 0)
    weight = np.where(known, 1.0 / np.where(known, spectrum.err2d, 1.0) ** 2, 0.0)
    total = weight.sum(axis=1)
    safe = np.where(total > 0, total, 1.0)
    model2d = spectrum.sci if spectrum.model2d is None else spectrum.model2d
    data, model = (
        np.where(total > 0, np.sum(weight * np.nan_to_num(a), axis=1) / safe, np.nan) for a in (spectrum.sci, model2d)
    )
    top = np.nanmax(model)
    place = spectrum.profiles.get("ypos", np.arange(len(data)) - len(data) // 2)
    return np.asarray(place, dtype=float), data / top, model / top, 1.0 / np.sqrt(safe) / top


def _spectra(axes: Axes, ours: list[Lines], published: Spectrum) -> None:
    flux, err = clean(ours[0][1])
    axes.fill_between(
        ours[0][1].wave, flux - err, flux + err, step="mid", color=COLOURS["error"], alpha=0.6, lw=0, label="1 sigma"
    )
    axes.step(published.wave, clean(published)[0], where="mid", color=COLOURS["mark"], lw=1.0, label="published")
    for name, mine, colour in ours:
        axes.step(mine.wave, clean(mine)[0], where="mid", color=colour, lw=0.9, label=name)
    lows, highs = zip(*(flux_limits(*clean(s)) for s in (published, *(mine for _, mine, _ in ours))), strict=True)
    axes.set_ylim(min(lows), max(highs))
    waves = np.concatenate([mine.wave[~mine.mask] for _, mine, _ in ours])
    axes.set_xlim(float(waves.min()) - 0.05, float(waves.max()) + 0.05)
    axes.axhline(0, color=COLOURS["data"], lw=0.6)
    axes.set_ylabel(r"$f_\nu$ [uJy]", fontsize=9)
    axes.legend(fontsize=8, ncols=3, framealpha=0.85)
    axes.tick_params(labelsize=8)


def _ratios(axes: Axes, ours: list[Lines], ratios: Mapping[str, tuple[NDArray[np.float64], ...]]) -> None:
    every = np.concatenate([ratio for _, ratio, _ in ratios.values()])
    for name, _, colour in ours:
        wave, ratio, error = ratios[name]
        axes.errorbar(wave, ratio, error, fmt="o-", ms=3.5, lw=0.7, color=colour, elinewidth=0.8)
    axes.axhline(1, color=COLOURS["data"], lw=0.6)
    low, high = np.percentile(every, (3, 97))
    axes.set_ylim(min(low, 1) - 0.15 * (high - low) - 0.03, max(high, 1) + 0.15 * (high - low) + 0.03)
    axes.set_ylabel(f"ours / published\nbins of {BIN_PIXELS} px", fontsize=9)
    axes.tick_params(labelsize=8)


def _signal_to_noise(axes: Axes, ours: list[Lines], published: Spectrum) -> None:
    from scipy.ndimage import median_filter

    for _, mine, colour in [*ours, ("", published, COLOURS["mark"])]:
        good = ~mine.mask
        axes.plot(mine.wave[good], median_filter(mine.flux[good] / mine.err[good], SMOOTH), color=colour, lw=1.0)
    axes.axhline(0, color=COLOURS["data"], lw=0.6)
    axes.set_ylabel(f"S/N per pixel\nmedian of {SMOOTH}", fontsize=9)
    axes.set_xlabel("wavelength [um, vacuum]", fontsize=9)
    axes.tick_params(labelsize=8)


def _profile(axes: Axes, below: Axes, name: str, spectrum: Spectrum) -> None:
    if spectrum.sci is None or spectrum.err2d is None:
        return
    place, data, model, error = collapsed(spectrum)
    axes.errorbar(place, data, error, fmt="o", ms=3.5, color=COLOURS["data"], elinewidth=0.8, label="data")
    if spectrum.model2d is not None:
        axes.plot(place, model, color=COLOURS["model"], lw=1.2, label="model")
        below.errorbar(place, 100 * (data - model), 100 * error, fmt="o", ms=3.5, color=COLOURS["data"], lw=0.8)
    for axis in (axes, below):
        axis.axhline(0, color=COLOURS["data"], lw=0.6)
        axis.tick_params(labelsize=8)
    axes.set_title(f"all wavelengths: {name}", fontsize=9)
    axes.legend(fontsize=8)
    below.set_ylabel("difference [% of peak]", fontsize=9)
    below.set_xlabel("row from the source [pixel]", fontsize=9)
