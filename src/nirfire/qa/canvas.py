"""What all figures share: canvas, colours, robust stretches, wavelength axes, PNG writing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.products.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image

DPI = 110
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
MARKED_WAVES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.25, 2.5, 2.75,
                3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0, 5.25)  # fmt: skip


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """Return an empty figure [inch] that belongs to no global state.

    Without `constrained` the caller places the axes, which saves half of the drawing time of many panels.
    """
    from matplotlib.figure import Figure

    if not constrained:
        return Figure(figsize=(width, height), dpi=DPI)
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def save_png(figure: Figure, path: Path, cmap: str = "viridis") -> Path:
    """Render with Agg and write a PNG with a palette for this colour map atomically; returns `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with atomic_path(path) as part, part.open("wb") as stream:
        small = image.quantize(palette=_palette(cmap), dither=Image.Dither.NONE)
        small.save(stream, format="PNG", compress_level=7)
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
