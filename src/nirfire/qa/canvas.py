"""What all figures share: canvas, colours, robust stretches, wavelength axes, PNG writing."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.products.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from PIL import Image

DPI = 110
COMPRESSION = 4  # more takes twice as long for some per cent
SHADES = 128  # of a colour bar
ROUND = [1, 2, 2.5, 5, 10]  # steps between ticks, times powers of ten
NARROW, MOST_TICKS, FEW_TICKS = 3.0, 8, 4  # inches; intervals between ticks of wide and of other axes
TITLE_CHARACTERS, TITLE_LINE = 11.0, 0.17  # per inch of width; inches
COLOURS = {
    "data": "#1a1a1a",
    "error": "#b9b9b9",
    "box": "#2a7fba",
    "model": "#d1331f",
    "truth": "#1b9e5a",
    "line": "#8a5fbf",
    "mark": "#f28e1c",
}
BAD_COLOUR = "#c9c4bb"
MASK_TINT = (0.95, 0.55, 0.1, 0.28)
VEIL = (0.5, 0.5, 0.5, 0.4)
DIVERGING = "RdBu_r"
MAD_TO_SIGMA = 1.4826
Place = tuple[float, float, float, float]
_KEPT: dict[tuple[float, ...], Figure] = {}
N_KEPT = 12
"""Figures that were written last, by size [inch]: see `new_figure`."""
MARKED_WAVES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.25, 2.5, 2.75,
                3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0, 5.25)  # fmt: skip


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """Return an empty figure [inch] that belongs to no global state.

    Without `constrained` the caller places the axes with `panel`, which takes a third of the time to draw; and where a
    figure of this size was written before, it is that one, emptied, whose panels are taken as they are asked for again:
    half of the rest of the time is that of making axes and ticks.
    """
    from matplotlib.figure import Figure

    if constrained:
        return Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    kept = _KEPT.pop((width, height), None)
    if kept is None:
        return Figure(figsize=(width, height), dpi=DPI)
    for text in [*kept.texts, *kept.legends]:
        text.remove()
    for axes in kept.axes:
        axes.set_visible(False)
        _empty(axes)
    return kept


def panel(figure: Figure, place: Place, *, sharex: Axes | None = None, sharey: Axes | None = None) -> Axes:
    """Add axes at left, bottom, width and height [inch] from the lower left corner, with few ticks: each is slow."""
    label = f"{place} {sharex and sharex.get_label()} {sharey and sharey.get_label()}"
    axes = next((one for one in figure.axes if one.get_label() == label and not one.get_visible()), None)
    if axes is None:
        width, height = figure.get_size_inches()
        left, bottom, across, up = place
        where = (left / width, bottom / height, across / width, up / height)
        axes = figure.add_axes(where, sharex=sharex, sharey=sharey, label=label)
    else:
        _begin_again(axes, sharex, sharey)
    for axis, shared, inches in ((axes.xaxis, sharex, place[2]), (axes.yaxis, sharey, place[3])):
        if shared is None:
            _plain(axis, MOST_TICKS if inches > NARROW else FEW_TICKS)
    return axes


def _plain(axis: Axis, n_ticks: int) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    axis.set_major_locator(MaxNLocator(n_ticks, steps=ROUND))
    axis.set_major_formatter(ScalarFormatter())


def _empty(axes: Axes) -> None:
    """Take everything out of axes that were drawn before, so that they say nothing of limits; their ticks stay."""
    for artist in [*axes.lines, *axes.patches, *axes.collections, *axes.images, *axes.texts]:
        artist.remove()
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    axes.containers.clear()
    axes.relim()


def _begin_again(axes: Axes, sharex: Axes | None, sharey: Axes | None) -> None:
    """Give emptied axes what new ones have."""
    axes.set_visible(True)
    axes.set_axis_on()
    axes.set_aspect("auto")
    axes.set(xlabel="", ylabel="")
    for side in ("left", "center", "right"):
        axes.set_title("", loc=side)
    if sharex is None:
        if axes.get_xscale() != "linear":
            axes.set_xscale("linear")
        axes.set_xlim(0.0, 1.0)
    if sharey is None:
        if axes.get_yscale() != "linear":
            axes.set_yscale("linear")
        axes.set_ylim(0.0, 1.0)
    # setting the limits of axes turns this off for all that share them
    axes.set_autoscalex_on(sharex is None or sharex.get_autoscalex_on())
    axes.set_autoscaley_on(sharey is None or sharey.get_autoscaley_on())


def titled(width: float, height: float, title: str) -> Figure:
    """Return an empty figure [inch] for `panel`, with its title at the top.

    For a title too long for one line the figure becomes higher: places below stay as they are.
    """
    lines = textwrap.wrap(title, int(TITLE_CHARACTERS * width)) or [""]
    whole = height + TITLE_LINE * (len(lines) - 1)
    figure = new_figure(width, whole, constrained=False)
    for k, line in enumerate(lines):
        figure.text(0.1 / width, 1 - (0.16 + TITLE_LINE * k) / whole, line, fontsize=10, va="center")
    return figure


def rows_from_top(top: float, heights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Lower edges of panels below each other [inch], the first so far below `top` as it is high; a gap after each."""
    return [top - sum(heights[: k + 1]) - sum(gaps[:k]) for k in range(len(heights))]


def color_bar(figure: Figure, place: Place, limits: tuple[float, float], cmap: str, label: str) -> Axes:
    """Draw what the colours of an image mean, upright; place as for `panel`."""
    axes = panel(figure, place)
    shades = np.linspace(0, 1, SHADES)[:, None]
    axes.imshow(shades, origin="lower", aspect="auto", cmap=cmap, extent=(0, 1, *limits), interpolation="nearest")
    axes.set(xticks=[], xlim=(0, 1), ylim=limits)
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.tick_params(labelsize=7)
    axes.set_ylabel(label, fontsize=7.5)
    return axes


def save_png(figure: Figure, path: Path, cmap: str = "viridis") -> Path:
    """Render with Agg and write a PNG with a palette for this colour map atomically; returns `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with atomic_path(path) as part, part.open("wb") as stream:
        small = image.quantize(palette=_palette(cmap), dither=Image.Dither.NONE)
        small.save(stream, format="PNG", compress_level=COMPRESSION)
    if figure.get_layout_engine() is None:
        _KEPT[tuple(figure.get_size_inches().tolist())] = figure
        while len(_KEPT) > N_KEPT:
            del _KEPT[next(iter(_KEPT))]
    return path


@functools.cache
def _palette(cmap: str) -> Image.Image:
    """256 colours: greys, a colour map, it or greys under what masks them, line colours faded to white and to grey."""
    import matplotlib
    from matplotlib.colors import to_rgb
    from PIL import Image

    white, grey = np.ones(3), np.linspace(0, 1, 104)[:, None] * np.ones(3)
    colours = matplotlib.colormaps[cmap](np.linspace(0, 1, 56))[:, :3]
    *tint, alpha = VEIL if cmap == DIVERGING else MASK_TINT
    beneath = colours[::2] if cmap == DIVERGING else grey[:: len(grey) // 26]
    tinted = (1 - alpha) * beneath + alpha * np.array(tint)
    lines = np.array([to_rgb(c) for c in (*COLOURS.values(), BAD_COLOUR)])
    faded = [f * lines + (1 - f) * white for f in (1.0, 0.8, 0.6, 0.4, 0.2)] + [0.6 * lines + 0.2, 0.5 * lines]
    table = np.concatenate([grey, colours, tinted, *faded])[:256]
    image = Image.new("P", (1, 1))
    image.putpalette(np.round(255 * table).astype(np.uint8).tobytes())
    return image


def robust_sigma(values: np.ndarray) -> float:
    """Scaled median absolute deviation of the finite values; NaN when there is none."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return float("nan")
    return float(MAD_TO_SIGMA * np.median(np.abs(finite - np.median(finite))))


def percentiles(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Two percentiles of the finite values as axis limits; (0, 1) when nothing is finite, never of zero width."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    lo, hi = (float(v) for v in np.percentile(finite, (low, high)))
    if hi > lo:
        return lo, hi
    pad = max(abs(lo) * 0.05, 1e-6)
    return lo - pad, hi + pad


def show_image(axes: Axes, image: np.ndarray, limits: tuple[float, float], cmap: str = "gray") -> object:
    """Draw an image with the first row at the bottom; pixels without a value are beige."""
    import matplotlib

    colours = matplotlib.colormaps[cmap].with_extremes(bad=BAD_COLOUR)
    return axes.imshow(
        np.ma.masked_invalid(image),
        origin="lower",
        aspect="auto",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="antialiased",
        interpolation_stage="data",
    )


def wave_ticks(axes: Axes, wave: np.ndarray, *, labels: bool = True, at_most: int = 9) -> None:
    """Put ticks at round wavelengths on an axis of pixel columns.

    Parameters
    ----------
    axes : Axes
        Its x axis counts columns from 0.
    wave : ndarray, shape (n_wave,) [um]
        Wavelength of each column; NaN allowed.
    labels : bool
        False leaves the ticks unlabelled.
    at_most : int
        Ticks closer than the width divided by this are left out.
    """
    good = np.flatnonzero(np.isfinite(wave))
    if good.size < 2:
        return
    order = good[np.argsort(wave[good])]
    low, high = wave[order[0]], wave[order[-1]]
    columns: list[float] = []
    names: list[str] = []
    preferred = sorted((w for w in MARKED_WAVES if low <= w <= high), key=lambda w: (w % 1 != 0, w * 2 % 1 != 0, w))
    for value in preferred:
        column = float(np.interp(value, wave[order], order))
        if all(abs(column - c) > wave.size / at_most for c in columns):
            columns.append(column)
            names.append(f"{value:g}")
    axes.set_xticks(columns, names if labels else [""] * len(names))


def step_edges(wave: np.ndarray) -> np.ndarray:
    """Pixel edges half-way between centres, shape (n_wave + 1,)."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
