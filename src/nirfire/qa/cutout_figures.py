"""Figures of a source's calibrated cutouts, before and after nod subtraction, and of its rectified stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.products.naming import BKGSUB, CAL, ExposureName, Workspace
from nirfire.products.slitcal import SlitCal
from nirfire.products.spectrum import Spectrum
from nirfire.qa.canvas import COLOURS, new_figure, percentiles, save_png, show_image, wave_ticks
from nirfire.qa.traces import source_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MJY_TO_UJY = 1e12
COLUMN_TITLES = ("calibrated, sky still in", "median of the other nods subtracted")
COLUMN_EDGES = ((0.136, 0.482), (0.588, 0.934))  # of the figure's width
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


def read_nods(workspace: Workspace, source: int, grating: str) -> list[Nod]:
    """Read all cutouts of a source in one grating.

    Raises
    ------
    DataError
        A file is damaged.
    """
    found = []
    for name in workspace.find_slits(source, CAL):
        cal = SlitCal.read(workspace.slit(name, source, CAL))
        if str(cal.header.get("GRATING", "")).upper() == grating.upper():
            path = workspace.slit(name, source, BKGSUB)
            found.append((_label(name, cal), cal, SlitCal.read(path) if path.exists() else None))
    rows = source_rows([cal.path for _, cal, _ in found])
    return [Nod(*parts, row) for parts, row in zip(found, rows, strict=True)]


def _label(name: ExposureName, cal: SlitCal) -> str:
    nod = cal.header.get("PATT_NUM", "?")
    return f"{name.root}\n{name.nod:05d} {name.detector}\nnod {nod}"


def cutouts_figure(nods: list[Nod], png: Path, title: str) -> Path | None:
    """Draw the cutouts of all nods, sky still in (left) and nod-subtracted (right).

    Parameters
    ----------
    nods : list of Nod
    png : Path
        The figure to write.
    title : str

    Returns
    -------
    Path or None
        None when there is no cutout.

    Notes
    -----
    One stretch for all panels of a column; both span the same range of flux, the left one shifted to the sky.
    """
    if not nods:
        return None
    height = 0.95 + 0.87 * len(nods)
    figure = new_figure(12.6, height, constrained=False)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", y=1 - 0.06 / height, va="top")
    for j, (name, limits) in enumerate(zip(COLUMN_TITLES, stretch(nods), strict=True)):
        left, right = COLUMN_EDGES[j]
        top, bottom = 1 - 0.48 / height, 0.45 / height
        grid = figure.add_gridspec(len(nods), 1, left=left, right=right, top=top, bottom=bottom, hspace=0.42)
        panels = grid.subplots(squeeze=False)[:, 0]
        drawn = [_panel(axes, nod, j == 1, limits) for axes, nod in zip(panels, nods, strict=True)]
        panels[0].set_title(name, fontsize=9)
        panels[-1].set_xlabel("wavelength at the source's row [um, vacuum]", fontsize=8)
        shown = next((d for d in drawn if d is not None), None)
        if shown is not None:
            place = figure.add_axes((right + 0.012, bottom, 0.007, top - bottom))
            bar = figure.colorbar(shown, cax=place, extend="both")  # type: ignore[arg-type]
            bar.set_label("uJy per pixel", fontsize=8)
            bar.ax.tick_params(labelsize=7)
        if j == 0:
            for axes, nod in zip(panels, nods, strict=True):
                axes.set_ylabel(nod.label, fontsize=7, rotation=0, ha="right", va="center", labelpad=12)
    return save_png(figure, png)


def _panel(axes: Axes, nod: Nod, subtracted: bool, limits: tuple[float, float]) -> object | None:
    product = nod.sub if subtracted else nod.cal
    if product is None:
        axes.text(0.5, 0.5, "no nod-subtracted product", ha="center", transform=axes.transAxes, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        return None
    drawn = _cutout(axes, product, nod, limits)
    wave_ticks(axes, _wave_along(product, nod.rows))
    return drawn


def stretch(nods: list[Nod]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of the calibrated and of the subtracted cutouts [uJy], each common to all nods."""
    sky = np.concatenate([(np.where(n.cal.bad, np.nan, n.cal.sci) * MJY_TO_UJY).ravel() for n in nods])
    subs = [(np.where(n.sub.bad, np.nan, n.sub.sci) * MJY_TO_UJY).ravel() for n in nods if n.sub is not None]
    low, high = percentiles(np.concatenate(subs) if subs else sky, 1.0, 98.5)
    floor, ceiling = percentiles(sky, 1.0, 96.0)
    width = max(1.5 * max(high, -2 * low), ceiling - floor)
    return (floor, floor + width), (-width / 3, 2 * width / 3)


def _cutout(axes: Axes, product: SlitCal, nod: Nod, limits: tuple[float, float]) -> object:
    """Draw one cutout with detector coordinates on y and the source's row marked at both ends."""
    image = np.where(product.bad, np.nan, product.sci) * MJY_TO_UJY
    n_spat, n_wave = image.shape
    first = product.origin[1]
    drawn = show_image(axes, _narrow(image), limits)
    drawn.set_extent((-0.5, n_wave - 0.5, first - 0.5, first + n_spat - 0.5))  # type: ignore[attr-defined]
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="y", nbins=3)
    if nod.rows is not None and nod.rows.size == n_wave:
        colour = COLOURS["mark"] if nod.contains_source else COLOURS["box"]
        columns, rows = np.arange(n_wave), nod.rows + first
        inside = (nod.rows > -0.5) & (nod.rows < n_spat - 0.5)
        axes.plot(columns, np.where(inside, rows, np.nan), color=colour, lw=0.8, ls=(0, (1, 7)))
        for end, marker in ((0, ">"), (-1, "<")):
            axes.plot(columns[end], rows[end], marker, color=colour, ms=6, clip_on=False, zorder=5)
        axes.set_xlim(-0.5, n_wave - 0.5)
        axes.set_ylim(first - 0.5, first + n_spat - 0.5)
    if not nod.contains_source:
        axes.text(0.01, 0.86, "source outside the open shutters of this exposure", color=COLOURS["box"],
                  transform=axes.transAxes, fontsize=7, va="top")  # fmt: skip
    return drawn


def _narrow(image: np.ndarray) -> np.ndarray:
    """Average neighbouring columns so that a wide cutout has at most `WIDE`."""
    step = -(-image.shape[1] // WIDE)
    if step == 1:
        return image
    n = image.shape[1] // step
    blocks = image[:, : n * step].reshape(image.shape[0], n, step)
    finite = np.isfinite(blocks)
    count = finite.sum(axis=2)
    return np.where(count > 0, np.where(finite, blocks, 0.0).sum(axis=2) / np.maximum(count, 1), np.nan)


def _wave_along(product: SlitCal, rows: np.ndarray | None) -> np.ndarray:
    """Wavelength [um] of each column at the source's row (its mean over rows where that is unknown)."""
    wave = np.where(product.wave > 0, product.wave, np.nan)
    n_spat, n_wave = wave.shape
    count = np.isfinite(wave).sum(axis=0)
    middle = np.where(count > 0, np.nansum(wave, axis=0) / np.maximum(count, 1), np.nan)
    if rows is None or rows.size != n_wave:
        return middle
    nearest = np.clip(np.round(rows).astype(int), 0, n_spat - 1)
    return np.where(np.isfinite(wave[nearest, np.arange(n_wave)]), wave[nearest, np.arange(n_wave)], middle)


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
        drawn = show_image(axes, _narrow(values), limits)
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
