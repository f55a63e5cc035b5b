"""The wavelength correction of sources off centre: the reference, what was measured, and both together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nirfire.core.wavecal import Surface, bilinear
from nirfire.qa.canvas import BAD_COLOUR, COLOURS, DIVERGING, new_figure, save_png
from nirfire.stsci.wave_references import MeasuredShifts, WavecorrTable, read_measured, read_wavecorr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_WAVES = (1.5, 2.5, 3.5, 4.5)  # um; the measurements within the reach of each are shown with its curves
REACH = 0.25  # um
STEP = 0.05  # px; contours of what is added
SHADES = ("#2166ac", "#1b9e5a", "#e08214", "#b2182b")
X_LABEL, WAVE_LABEL = "source position across the shutter, x [pitch]", "wavelength [µm]"
SHIFT_LABEL = "shift added to the wavelength [pixel]"


@dataclass(frozen=True)
class Merging:
    """What a figure shows.

    Attributes
    ----------
    reference, merged : WavecorrTable
        The CRDS table, and that which the stock pipeline uses instead.
    measured : MeasuredShifts
    surface : Surface
        Smooth surface through the measurements; `merged` less `reference` is to be it.
    """

    reference: WavecorrTable
    merged: WavecorrTable
    measured: MeasuredShifts
    surface: Surface

    @classmethod
    def read(cls, reference: Path, empirical: Path, merged: Path) -> Merging:
        """Read the three files.

        Raises
        ------
        DataError
            See `read_wavecorr` and `read_measured`.
        """
        measured = read_measured(empirical)
        return cls(read_wavecorr(reference), read_wavecorr(merged), measured, measured.surface())


def wavecal_figure(reference: Path, empirical: Path, merged: Path, png: Path) -> Path:
    """Draw the wavelength correction of CRDS, the measured one, both together, and their difference.

    Parameters
    ----------
    reference : Path
        The wavecorr reference of CRDS.
    empirical : Path
        The measured correction.
    merged : Path
        The override reference made of both by `nirfire.stsci.wave_references.merged_wavecorr`.
    png : Path
        The figure to write.

    Returns
    -------
    Path
        `png`.

    Raises
    ------
    DataError
        A file cannot be read, or is none of these.
    """
    what = Merging.read(reference, empirical, merged)
    figure = new_figure(15.5, 8.8)
    title = f"{reference.name}   +   {empirical.name}   →   {merged.name}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    panels = figure.subplots(2, 3)
    _image(figure, panels[0, 0], what.reference, "CRDS reference")
    _measurements(figure, panels[0, 1], what)
    _image(figure, panels[0, 2], what.merged, "merged: the override reference")
    _curves(panels[1, 0], what)
    _difference(figure, panels[1, 1], what)
    _residuals(panels[1, 2], what)
    return save_png(figure, png, DIVERGING)


def _decorate(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    axes.tick_params(labelsize=7)


def _image(figure: Figure, axes: Axes, table: WavecorrTable, title: str, step: float = 0.25) -> None:
    """Draw a table with contours every `step` pixels."""
    limit = float(np.abs(table.shift).max())
    levels = step * np.arange(np.floor(-limit / step), np.ceil(limit / step) + 1)
    drawn = axes.pcolormesh(
        table.x, table.wave, table.shift, shading="gouraud", cmap=DIVERGING, vmin=-limit, vmax=limit, rasterized=True
    )
    lines = axes.contour(table.x, table.wave, table.shift, levels=levels, colors="0.25", linewidths=0.6)
    axes.clabel(lines, fontsize=6, fmt="%+.2f")
    bar = figure.colorbar(drawn, ax=axes)
    bar.set_label(SHIFT_LABEL, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _decorate(axes, title, X_LABEL, WAVE_LABEL)


def _measurements(figure: Figure, axes: Axes, what: Merging) -> None:
    """Cells of the measured table, over the smooth surface in contours; grey where nothing was measured."""
    m, limit = what.measured, float(np.percentile(np.abs(what.measured.shift), 98))
    axes.set_facecolor(BAD_COLOUR)
    drawn = axes.scatter(m.x, m.wave, c=m.shift, cmap=DIVERGING, vmin=-limit, vmax=limit, s=90, marker="s")
    x, wave = np.linspace(-0.5, 0.5, 101), np.linspace(what.merged.wave[0], what.merged.wave[-1], 101)
    levels = STEP * np.arange(-40, 41)
    lines = axes.contour(x, wave, what.surface(x, wave[:, None]), levels=levels, colors="k", linewidths=0.8)
    axes.clabel(lines, fontsize=6, fmt="%+.2f")
    (low, high), (blue, red) = what.surface.x_range, what.surface.wave_range
    frame = [low, high, high, low, low], [blue, blue, red, red, blue]
    axes.plot(*frame, color=COLOURS["mark"], lw=1.2, label="measured range; constant outside")
    axes.legend(fontsize=7, loc="lower center")
    axes.set_xlim(-0.5, 0.5)
    bar = figure.colorbar(drawn, ax=axes, extend="both")
    bar.set_label("measured shift [pixel]", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _decorate(axes, "measured, and its smooth surface (contours)", X_LABEL, WAVE_LABEL)


def _curves(axes: Axes, what: Merging) -> None:
    """Draw both tables over x at some wavelengths."""
    x = np.linspace(-0.5, 0.5, 201)
    for wave, shade in zip(SHOWN_WAVES, SHADES, strict=True):
        axes.plot(x, _at(what.reference, x, wave), color=shade, lw=1.0, ls="--")
        axes.plot(x, _at(what.merged, x, wave), color=shade, lw=1.4, label=f"{wave:g} µm")
    axes.axhline(0, color="0.7", lw=0.6, zorder=0)
    axes.axvline(0, color="0.7", lw=0.6, zorder=0)
    axes.legend(fontsize=7, title="dashed: CRDS, solid: merged", title_fontsize=7)
    _decorate(axes, "CRDS and merged", X_LABEL, SHIFT_LABEL)


def _difference(figure: Figure, axes: Axes, what: Merging) -> None:
    """Draw merged less reference on the merged table's own nodes."""
    table = what.merged
    before = bilinear(what.reference.x, what.reference.wave, what.reference.shift, table.x, table.wave)
    _image(figure, axes, WavecorrTable(table.x, table.wave, table.shift - before), "merged - CRDS", STEP)


def _residuals(axes: Axes, what: Merging) -> None:
    """Draw what was measured over x, with the surface and what merging really added."""
    x, m = np.linspace(-0.5, 0.5, 201), what.measured
    for wave, shade in zip(SHOWN_WAVES, SHADES, strict=True):
        near = np.abs(m.wave - wave) <= REACH
        axes.plot(m.x[near], m.shift[near], ".", color=shade, ms=5)
        axes.plot(x, what.surface(x, wave), color=shade, lw=1.3, label=f"{wave:g} µm")
        added = _at(what.merged, x[::20], wave) - _at(what.reference, x[::20], wave)
        axes.plot(x[::20], added, "+", color=shade, ms=6)
    heading = f"dots: measured within {REACH:g} µm\nlines: surface;  +: merged - CRDS"
    axes.legend(fontsize=7, title=heading, title_fontsize=7)
    _decorate(axes, f"what is added; scatter about it {what.surface.scatter:.3f} pixel", X_LABEL, "shift [pixel]")


def _at(table: WavecorrTable, x: NDArray, wave: float) -> NDArray:
    return bilinear(table.x, table.wave, table.shift, x, np.array([wave]))[0]
