"""Figure of a source's rectified stack, and what figures of its cutouts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.products.slitcal import SlitCal
from nirfire.products.spectrum import Spectrum
from nirfire.qa.canvas import COLOURS, new_figure, percentiles, save_png, show_image, wave_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MJY_TO_UJY = 1e12
WIDE = 700  # columns; wider cutouts (gratings) are binned for display


@dataclass(frozen=True)
class Nod:
    """One exposure of a source: calibrated, and nod-subtracted where that was done.

    Attributes
    ----------
    label : str
    cal : SlitCal
    sub : SlitCal or None
    rows : ndarray, shape (n_wave,) or None
        Row of the source's planned position.
    """

    label: str
    cal: SlitCal
    sub: SlitCal | None
    rows: np.ndarray | None

    @property
    def contains_source(self) -> bool:
        return bool(self.cal.header.get("SRCFLUX", True))


def stretch(nods: list[Nod]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of the calibrated and of the subtracted cutouts [uJy], each common to all nods."""
    sky = np.concatenate([(np.where(n.cal.bad, np.nan, n.cal.sci) * MJY_TO_UJY).ravel() for n in nods])
    subs = [(np.where(n.sub.bad, np.nan, n.sub.sci) * MJY_TO_UJY).ravel() for n in nods if n.sub is not None]
    low, high = percentiles(np.concatenate(subs) if subs else sky, 1.0, 98.5)
    floor, ceiling = percentiles(sky, 1.0, 96.0)
    width = max(1.5 * max(high, -2 * low), ceiling - floor)
    return (floor, floor + width), (-width / 3, 2 * width / 3)


def narrow(image: np.ndarray) -> np.ndarray:
    """Average neighbouring columns so that a wide cutout has at most `WIDE`."""
    step = -(-image.shape[1] // WIDE)
    if step == 1:
        return image
    n = image.shape[1] // step
    blocks = image[:, : n * step].reshape(image.shape[0], n, step)
    finite = np.isfinite(blocks)
    count = finite.sum(axis=2)
    return np.where(count > 0, np.where(finite, blocks, 0.0).sum(axis=2) / np.maximum(count, 1), np.nan)


def stack_figure(spectrum: Spectrum, png: Path, title: str) -> Path | None:
    """Draw the rectified stack in flux and in signal-to-noise, and its profile with the apertures.

    Parameters
    ----------
    spectrum : Spectrum
        With its 2D images and profiles.
    png : Path
        The figure to write.
    title : str

    Returns
    -------
    Path or None
        None when the spectrum brings no stack.
    """
    if spectrum.sci is None:
        return None
    figure = new_figure(12.6, 3.9)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    grid = figure.subplots(2, 2, width_ratios=(5.0, 1.0), sharey=True)
    image = np.array(spectrum.sci, dtype=float)
    err = np.full(image.shape, np.nan) if spectrum.err2d is None else np.array(spectrum.err2d, dtype=float)
    ratio = np.where(err > 0, image / np.where(err > 0, err, 1.0), np.nan)
    low, high = percentiles(image, 2, 98.5)
    top = max(high, -2 * low)
    panels = ((image, (-0.5 * top, top), "uJy per pixel"), (ratio, (-4.0, 12.0), "flux / error"))
    for axes, (values, limits, label) in zip(grid[:, 0], panels, strict=True):
        drawn = show_image(axes, narrow(values), limits)
        n_spat, n_wave = values.shape
        drawn.set_extent((-0.5, n_wave - 0.5, -0.5, n_spat - 0.5))  # type: ignore[attr-defined]
        wave_ticks(axes, spectrum.wave, at_most=14)
        axes.set_ylabel("row [pixel]", fontsize=8)
        axes.tick_params(labelsize=7)
        bar = figure.colorbar(drawn, ax=axes, fraction=0.03, pad=0.005, extend="both")  # type: ignore[arg-type]
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
        row = spectrum.meta.get("SRCROW", (None, ""))[0]
        if row is not None:
            for column, marker in ((0, ">"), (n_wave - 1, "<")):
                axes.plot(column, float(row), marker, color=COLOURS["mark"], ms=7, clip_on=False, zorder=5)
            axes.set_xlim(-0.5, n_wave - 0.5)
            axes.set_ylim(-0.5, n_spat - 0.5)
    grid[1, 0].set_xlabel("wavelength [um, vacuum]", fontsize=8)
    _collapsed(grid[0, 1], image, err, spectrum)
    _apertures(grid[1, 1], spectrum)
    return save_png(figure, png)


def _collapsed(axes: Axes, image: np.ndarray, err: np.ndarray, spectrum: Spectrum) -> None:
    """Median over wavelength of the stack, scaled to the extraction weight."""
    good = np.isfinite(image) & (err > 0)
    used = good.sum(axis=1) > 10
    level = np.full(len(image), np.nan)
    for k in np.flatnonzero(used):
        level[k] = np.median(image[k, good[k]])
    rows = np.arange(len(image))
    peak = np.nanmax(np.abs(level)) if np.isfinite(level).any() else 1.0
    axes.plot(level / peak, rows, color=COLOURS["data"], lw=1, drawstyle="steps-mid", label="median of the stack")
    weight = spectrum.profiles.get("opt")
    if weight is not None and np.nanmax(weight, initial=0) > 0:
        axes.plot(weight / np.nanmax(weight), rows, color=COLOURS["model"], lw=1, label="extraction profile")
    axes.axvline(0, color=COLOURS["error"], lw=0.6)
    axes.legend(fontsize=6, loc="upper right", frameon=False)
    axes.set_xlabel("scaled to its peak", fontsize=8)
    axes.tick_params(labelsize=7, labelleft=False)


def _apertures(axes: Axes, spectrum: Spectrum) -> None:
    """Weight of each row in the boxcars."""
    shades = ("#08519c", "#3182bd", "#9ecae1", "#c6dbef")
    names = [n for n in spectrum.profiles if n.endswith("px")]
    rows = np.arange(len(next(iter(spectrum.profiles.values())))) if spectrum.profiles else np.arange(0)
    for name, colour in zip(names, shades, strict=False):
        axes.plot(spectrum.profiles[name], rows, color=colour, lw=1, drawstyle="steps-mid", label=f"boxcar {name}")
    if names:
        axes.legend(fontsize=6, loc="upper right", frameon=False)
    axes.set_xlabel("weight of the row", fontsize=8)
    axes.tick_params(labelsize=7, labelleft=False)
