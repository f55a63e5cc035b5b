"""The page of one extraction: 2D spectrum, model, residual, profile with apertures, and all 1D spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nirfire.products.naming import ExposureName
from nirfire.products.spectrum import Spectrum
from nirfire.qa.canvas import (
    COLOURS,
    DIVERGING,
    color_bar,
    panel,
    percentiles,
    rows_from_top,
    save_png,
    show_image,
    titled,
    wave_ticks,
)
from nirfire.qa.cutout_figures import narrow
from nirfire.qa.spectrum_figures import flux_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOX_COLOURS = {3: "#2a7fba", 4: "#8a5fbf", 5: "#f28e1c"}
LEAST = 10  # valid pixels of a row that has a point in the profile
PULLS = 5.0  # sigma shown of the 2D residual
LEAST_DIFFERENCE = 0.3  # of the error of a boxcar: the smallest error of its difference from the optimal extraction
HIGHEST = 6.0  # top of the flux axis, at most so many times the 95th percentile
FITTED = {"NFSIZE": "NFSIZERR", "NFOFFSET": "NFOFFERR"}
LEGEND_ROOM = 0.35
WIDTH, LEFT, ACROSS, BESIDE, RIGHT = 13.6, 0.8, 9.75, 1.85, 0.15  # inches: figure, room, panels, those beside, room
TOP, IMAGE, CURVES, GAP, AXIS = 0.5, 1.1, (0.9, 2.8, 1.15), 0.1, 0.42  # room above; heights; gaps, with numbers
MANY = 700  # columns from which 1D spectra are drawn with thinner lines


class Picture(NamedTuple):
    """A 2D panel."""

    values: np.ndarray  # (n_spat, n_wave)
    limits: tuple[float, float]
    label: str
    cmap: str = "gray"


def extraction_figure(spectrum: Spectrum, png: Path, title: str) -> Path | None:
    """Draw an extraction on one page.

    Parameters
    ----------
    spectrum : Spectrum
        With its 2D spectrum; the model is drawn when there is one.
    png : Path
        The figure to write.
    title : str

    Returns
    -------
    Path or None
        None when the spectrum brings no 2D spectrum.

    Notes
    -----
    All panels at the left share their columns. The profile is the inverse-variance mean over wavelength of each row, of
    data and model with the same weights. The error of boxcar minus optimal is that of the boxcar less that of the
    optimal, in quadrature: an extraction of least variance is not correlated with what others differ from it by.
    """
    if spectrum.sci is None:
        return None
    pictures = _pictures(spectrum)
    heights = [IMAGE] * len(pictures) + list(CURVES)
    gaps = [GAP] * (len(pictures) - 1) + [AXIS, GAP, GAP, AXIS]
    height = TOP + sum(heights) + sum(gaps)
    figure = titled(WIDTH, height, title)
    bases = rows_from_top(height - TOP, heights, gaps)
    first = panel(figure, (LEFT, bases[0], ACROSS, heights[0]))
    places = [(LEFT, base, ACROSS, up) for base, up in zip(bases[1:], heights[1:], strict=True)]
    panels = [first, *(panel(figure, place, sharex=first) for place in places)]
    for axes, picture, base in zip(panels, pictures, bases, strict=False):
        _image(axes, picture, spectrum)
        color_bar(figure, (LEFT + ACROSS + 0.06, base, 0.08, IMAGE), picture.limits, picture.cmap, picture.label)
    signal, spectra, differences = panels[-3:]
    _signal(signal, spectrum)
    _spectra(spectra, spectrum)
    _differences(differences, spectrum)
    first.set_xlim(-0.5, spectrum.wave.size - 0.5)
    wave_ticks(first, spectrum.wave, at_most=16)
    for axes in panels:
        axes.tick_params(labelsize=7.5, labelbottom=axes in (panels[len(pictures) - 1], differences))
    differences.set_xlabel("wavelength [um, vacuum]", fontsize=9)
    right = WIDTH - RIGHT - BESIDE
    low = bases[len(pictures) - 1]
    _profile(panel(figure, (right, low, BESIDE, height - TOP - low), sharey=first), spectrum)
    _facts(panel(figure, (right, bases[-3], BESIDE, heights[-3])), spectrum)
    _shares(panel(figure, (right, bases[-2], BESIDE, heights[-2] - 0.15)), spectrum)
    return save_png(figure, png, cmap=DIVERGING)


def _pictures(spectrum: Spectrum) -> list[Picture]:
    sci = np.array(spectrum.sci, dtype=float)
    low, high = percentiles(sci, 2, 98.5)
    top = max(high, -2 * low)
    limits = (-0.4 * top, top)
    found = [Picture(sci, limits, "data [uJy]")]
    pulls = _over_error(sci, spectrum)
    if spectrum.model2d is not None:
        model = np.array(spectrum.model2d, dtype=float)
        found.append(Picture(model, limits, "model [uJy]"))
        found.append(
            Picture(pulls - _over_error(model, spectrum), (-PULLS, PULLS), "(data - model) / error", DIVERGING)
        )
    elif spectrum.err2d is not None:
        found.append(Picture(pulls, (-4.0, 12.0), "data / error"))
    return found


def _over_error(image: np.ndarray, spectrum: Spectrum) -> np.ndarray:
    if spectrum.err2d is None:
        return np.full(image.shape, np.nan)
    err = np.array(spectrum.err2d, dtype=float)
    return np.where(err > 0, image / np.where(err > 0, err, 1.0), np.nan)


def _image(axes: Axes, picture: Picture, spectrum: Spectrum) -> None:
    n_spat, n_wave = picture.values.shape
    drawn: Any = show_image(axes, narrow(picture.values), picture.limits, picture.cmap)
    drawn.set_extent((-0.5, n_wave - 0.5, -0.5, n_spat - 0.5))
    axes.set_ylim(-0.5, n_spat - 0.5)
    axes.set_ylabel("row", fontsize=8)
    row = _row(spectrum)
    if row is not None:
        for width in spectrum.boxes:
            for edge in (row - width / 2, row + width / 2):
                axes.axhline(edge, color=_colour(width), lw=0.7, ls=(0, (5, 4)), alpha=0.9)
        for column, marker in ((0, ">"), (n_wave - 1, "<")):
            axes.plot(column, row, marker, color=COLOURS["mark"], ms=7, clip_on=False, zorder=5)


def _row(spectrum: Spectrum) -> float | None:
    """Row of the source in the 2D spectrum."""
    if "SRCROW" in spectrum.meta:
        return float(spectrum.meta["SRCROW"][0])
    place = spectrum.profiles.get("ypos")
    return None if place is None else float(np.interp(0.0, place, np.arange(len(place))))


def mean_profile(spectrum: Spectrum, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse-variance mean of each row of a 2D spectrum over wavelength.

    Parameters
    ----------
    spectrum : Spectrum
        Its `sci` and `err2d` give the weights.
    image : ndarray, shape (n_spat, n_wave) [uJy]

    Returns
    -------
    mean, err : ndarray, shape (n_spat,) [uJy]
        NaN in rows with fewer than 10 valid pixels.
    """
    sci, err = np.array(spectrum.sci, dtype=float), np.array(spectrum.err2d, dtype=float)
    good = np.isfinite(sci) & (err > 0) & np.isfinite(image)
    ivar = np.where(good, 1.0 / np.where(good, err, 1.0) ** 2, 0.0)
    total = np.where(good.sum(axis=1) >= LEAST, ivar.sum(axis=1), np.nan)
    return np.sum(ivar * np.where(good, image, 0.0), axis=1) / total, 1.0 / np.sqrt(total)


def _profile(axes: Axes, spectrum: Spectrum) -> None:
    """Profile across the dispersion, its model, and the apertures."""
    row = _row(spectrum)
    if row is not None:
        for width in sorted(spectrum.boxes, reverse=True):
            for edge in (row - width / 2, row + width / 2):
                axes.axhline(edge, color=_colour(width), lw=0.8, ls=(0, (5, 4)))
        axes.axhline(row, color=COLOURS["mark"], lw=0.8)
    axes.axvline(0, color=COLOURS["error"], lw=0.7)
    peak = 1.0
    if spectrum.err2d is not None:
        mean, err = mean_profile(spectrum, np.array(spectrum.sci, dtype=float))
        finite = np.isfinite(mean)
        peak = float(np.max(mean[finite], initial=0.0)) or 1.0
        rows = np.arange(len(mean))
        axes.errorbar(mean / peak, rows, xerr=err / peak, fmt="o", ms=2.8, lw=0.8, color=COLOURS["data"], label="data")
    if spectrum.model2d is not None and spectrum.err2d is not None:
        model, _ = mean_profile(spectrum, np.array(spectrum.model2d, dtype=float))
        axes.plot(model / peak, np.arange(len(model)), color=COLOURS["model"], lw=1.2, label="model")
    elif np.nanmax(spectrum.profiles.get("opt", np.zeros(1)), initial=0) > 0:
        opt = spectrum.profiles["opt"]
        axes.plot(opt / np.nanmax(opt), np.arange(len(opt)), color=COLOURS["model"], lw=1.2, label="extraction profile")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="upper right", frameon=False)
    axes.set_title("profile over its peak", fontsize=8, y=1.0)
    axes.tick_params(labelsize=7, labelleft=False)


def _signal(axes: Axes, spectrum: Spectrum) -> None:
    good = ~spectrum.mask
    ratio = np.where(good, spectrum.flux / np.where(good, spectrum.err, 1.0), np.nan)
    axes.axhline(0, color=COLOURS["error"], lw=0.7)
    axes.axhline(3, color=COLOURS["error"], lw=0.7, ls=":")
    axes.step(_columns(spectrum), ratio, where="mid", color=COLOURS["data"], lw=_width(spectrum))
    low, high = percentiles(ratio, 0.5, 99.7)
    axes.set_ylim(min(-1.0, low), max(4.0, 1.2 * high))
    axes.set_ylabel("S/N\nper pixel", fontsize=8)
    if good.any():
        axes.text(0.005, 0.93, f"median {np.nanmedian(ratio):.2f}", transform=axes.transAxes, fontsize=7.5, va="top")


def _spectra(axes: Axes, spectrum: Spectrum) -> None:
    """Optimal extraction with its error, boxcars with theirs as one bar each."""
    x, thin = _columns(spectrum), _width(spectrum)
    flux, err = (np.where(spectrum.mask, np.nan, values) for values in (spectrum.flux, spectrum.err))
    axes.fill_between(x, flux - err, flux + err, step="mid", color=COLOURS["error"], alpha=0.7, lw=0,
                      label="1 sigma of optimal")  # fmt: skip
    for width, (box, box_err) in spectrum.boxes.items():
        typical = np.nanmedian(box_err) if np.isfinite(box_err).any() else np.nan
        label = f"boxcar {width} px (median error {typical:.3g})"
        axes.step(x, np.where(spectrum.mask, np.nan, box), where="mid", lw=0.8 * thin, alpha=0.75,
                  color=_colour(width), label=label)  # fmt: skip
    typical = np.nanmedian(err) if np.isfinite(err).any() else np.nan
    axes.step(x, flux, where="mid", color=COLOURS["data"], lw=1.1 * thin, label=f"optimal (median error {typical:.3g})")
    axes.axhline(0, color=COLOURS["data"], lw=0.5)
    low, high = flux_limits(flux, err)
    cut = HIGHEST * max(percentiles(flux, 0, 95)[1], typical if np.isfinite(typical) else 0.0)
    axes.set_ylim((low, high) if high < cut else (max(low, -0.15 * cut), cut))
    axes.set_ylabel(r"$f_\nu$ [uJy]" + ("" if high < cut else "\n(lines cut off)"), fontsize=9)
    axes.legend(fontsize=7.5, loc="upper left", ncols=3, framealpha=0.85)
    if spectrum.mask.all():
        place = axes.transAxes
        axes.text(0.5, 0.5, "no valid pixel", transform=place, ha="center", fontsize=14, color=COLOURS["model"])


def difference_in_sigma(spectrum: Spectrum, width: int) -> np.ndarray:
    """Boxcar minus optimal extraction over the error of this difference, shape (n_wave,); NaN where masked."""
    box, box_err = spectrum.boxes[width]
    variance = np.maximum(box_err**2 - spectrum.err**2, (LEAST_DIFFERENCE * box_err) ** 2)
    good = ~spectrum.mask & np.isfinite(box) & (variance > 0)
    return np.where(good, (box - spectrum.flux) / np.sqrt(np.where(good, variance, 1.0)), np.nan)


def _differences(axes: Axes, spectrum: Spectrum) -> None:
    axes.axhspan(-1, 1, color=COLOURS["error"], alpha=0.4, lw=0)
    axes.axhline(0, color=COLOURS["data"], lw=0.6)
    reach = 4.0
    for width in spectrum.boxes:
        pull = difference_in_sigma(spectrum, width)
        low, high = percentiles(pull, 0.5, 99.5)
        reach = max(reach, min(1.2 * max(abs(low), abs(high)), 20.0))
        told = f"{width} px: mean {np.nanmean(pull):+.2f}" if np.isfinite(pull).any() else f"{width} px"
        axes.step(_columns(spectrum), pull, where="mid", lw=0.7 * _width(spectrum), alpha=0.85,
                  color=_colour(width), label=told)  # fmt: skip
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("(boxcar -\noptimal) / sigma", fontsize=8)
    if spectrum.boxes:
        axes.legend(fontsize=7, loc="upper left", ncols=3, framealpha=0.85)


def _shares(axes: Axes, spectrum: Spectrum) -> None:
    """Share of the light in each aperture, and what passes the shutters, against wavelength."""
    if not spectrum.apertures and spectrum.slitloss is None:
        axes.set_axis_off()
        return
    for width, share in spectrum.apertures.items():
        colour = _colour(width)
        axes.plot(spectrum.wave, share, color=colour, lw=1.2, label=f"in {width} px")
    if spectrum.slitloss is not None:
        passed, err = spectrum.slitloss, spectrum.slitloss_err
        if err is not None:
            axes.fill_between(spectrum.wave, passed - err, passed + err, color=COLOURS["error"], alpha=0.6, lw=0)
        axes.plot(spectrum.wave, passed, color=COLOURS["data"], lw=1.2, label="through the shutters")
    low, high = axes.get_ylim()
    axes.set_ylim(low - LEGEND_ROOM * (high - low), high)
    axes.set_title("share of the light (divided out)", fontsize=8, y=1.0)
    axes.set_xlabel("wavelength [um]", fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="lower left")
    axes.tick_params(labelsize=7)


def _facts(axes: Axes, spectrum: Spectrum) -> None:
    """What was extracted, and how well, in words."""
    axes.set_axis_off()
    cards = {key: card[0] for key, card in spectrum.meta.items()}
    files = [] if spectrum.exposures is None else [str(name) for name in spectrum.exposures["filename"]]
    n_exposures = len({name.both if (name := ExposureName.from_path(file)) else file for file in files})
    lines = [f"method {cards['NFMETHOD']}" if "NFMETHOD" in cards else ""]
    lines.append(f"profile {cards['NFPROFIL']}" if "NFPROFIL" in cards else "")
    time = f", {cards['EXPTIME']:.0f} s" if "EXPTIME" in cards else ""
    lines.append(f"{n_exposures} exposures{time}" if n_exposures else "")
    lines.append(f"{(~spectrum.mask).sum()} of {spectrum.mask.size} pixels valid")
    for text, key in (("size", "NFSIZE"), ("offset", "NFOFFSET")):
        value, error = (cards.get(name) for name in (key, FITTED[key]))
        if value is not None:
            lines.append(f"{text} {value:+.4f}" + ("" if error is None else f" ± {error:.4f}") + " arcsec")
    axes.text(0, 0.95, "\n".join(line for line in lines if line), fontsize=7.5, va="top", linespacing=1.25)


def _colour(width: int) -> str:
    return BOX_COLOURS.get(width, COLOURS["box"])


def _columns(spectrum: Spectrum) -> np.ndarray:
    return np.arange(spectrum.wave.size)


def _width(spectrum: Spectrum) -> float:
    return 0.9 if spectrum.wave.size <= MANY else 0.5
