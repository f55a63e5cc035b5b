"""Figure of a cleaned exposure: before, each component, after, the mask, profiles, spectrum of the residuals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nirfire.core.background import Sky, block_means
from nirfire.core.residuals import band_spectrum
from nirfire.products.fitsfile import open_fits
from nirfire.products.rate import BKG, BKGMASK, BKGPARTS
from nirfire.qa.canvas import COLOURS, new_figure, percentiles, robust_sigma, save_png, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 20
BIN = 4  # detector pixels per image pixel: 2048 becomes 512
N_POWER = 128
REASONS = {
    Sky.TRACE: ("traces", "mark"),
    Sky.ORDER: ("other orders", "box"),
    Sky.FAILED_OPEN: ("failed open", "model"),
    Sky.FIXED_SLIT: ("fixed slits", "error"),
    Sky.HALO: ("large events", "truth"),
    Sky.BAD: ("bad pixels", "data"),
    Sky.MANUAL: ("by hand", "line"),
}
NAMES = {
    "picture_frame": "picture frame + pedestals",
    "surface": "smooth surface",
    "columns": "columns",
    "rows": "rows",
}


@dataclass(frozen=True)
class CleanedExposure:
    """What the clean task left in a ``_rate.fits``.

    Attributes
    ----------
    cleaned, background, err : ndarray, shape (n_y, n_x) [DN/s]
    sky : ndarray of int, shape (n_y, n_x)
        Bits of `nirfire.core.background.Sky`.
    parts : dict of ndarray [DN/s]
        Components of the background, binned.
    title : str
    """

    cleaned: np.ndarray
    background: np.ndarray
    err: np.ndarray
    sky: np.ndarray
    parts: dict[str, np.ndarray]
    title: str

    @property
    def raw(self) -> np.ndarray:
        return self.cleaned + self.background

    @property
    def fitted(self) -> np.ndarray:
        """Pixels to which the background was fitted."""
        return self.sky & Sky.FITTED > 0

    @classmethod
    def read(cls, rate: Path) -> CleanedExposure | None:
        """Read a ``_rate.fits``; None when it carries no fitted background (cleaned elsewhere)."""
        with open_fits(rate) as hdus:
            if any(name not in hdus for name in ("SCI", "ERR", BKG, BKGMASK)):
                return None
            parts = {}
            if BKGPARTS in hdus:
                images = np.array(hdus[BKGPARTS].data, dtype=float)
                parts = {str(hdus[BKGPARTS].header[f"PART{k + 1}"]): image for k, image in enumerate(images)}
            return cls(
                cleaned=np.array(hdus["SCI"].data, dtype=float),
                background=np.array(hdus[BKG].data, dtype=float),
                err=np.array(hdus["ERR"].data, dtype=float),
                sky=np.array(hdus[BKGMASK].data, dtype=np.int64),
                parts=parts,
                title=_title(hdus[0].header),
            )


def _title(head: Any) -> str:
    facts = [" ".join(str(head.get(k, "")) for k in ("DETECTOR", "FILTER", "GRATING"))]
    if "NFBKGMOD" in head:
        facts.append(f"{head['NFBKGMOD']} fit, {head.get('NFBKGITR', '?')} passes")
    if "NFVSCALE" in head:
        facts.append(f"read variance x {head['NFVSCALE']:.3g}")
    if "NFSKYPIX" in head:
        facts.append(f"fitted to {head['NFSKYPIX']:.0%} of the pixels")
    return "  ·  ".join(facts)


def exposure_figure(rate: Path, png: Path) -> Path | None:
    """Draw one cleaned exposure.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits`` with its BKG, BKGMASK and BKGPARTS extensions.
    png : Path
        The figure to write.

    Returns
    -------
    Path or None
        None when the file holds no fitted background.
    """
    exposure = CleanedExposure.read(rate)
    if exposure is None:
        return None
    figure = new_figure(15.0, 9.4)
    figure.suptitle(f"{rate.name}   {exposure.title}", fontsize=10, x=0.01, ha="left")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(3.5, 3.4, 2.5))  # type: ignore[misc]
    _images(top, exposure)
    _parts(middle, exposure)
    _profiles(bottom, exposure)
    return save_png(figure, png)


def _images(figure: Figure, exposure: CleanedExposure) -> None:
    """Raw, background, cleaned, mask."""
    background = block_means(exposure.background, (BIN, BIN))
    level = float(np.nanmedian(background)) if np.isfinite(background).any() else 0.0
    sigma = robust_sigma(np.where(exposure.fitted, exposure.cleaned, np.nan)[::3, ::3]) / BIN
    width = max(abs(level), 8 * sigma) if np.isfinite(sigma) and sigma > 0 else 1.0
    limits = (min(level, 0.0) - width, max(level, 0.0) + 2 * width)
    panels = figure.subplots(1, 4)
    _panel(panels[0], "before", binned(exposure.raw), limits, "gray")
    _panel(panels[1], "background (own stretch)", background, percentiles(background, 1, 99), "viridis")
    _panel(panels[2], "after", binned(exposure.cleaned), limits, "gray")
    _mask(panels[3], exposure.sky)
    panels[0].set_ylabel("row [pixel]", fontsize=8)


def _panel(axes: Axes, title: str, image: np.ndarray, stretch: tuple[float, float], cmap: str) -> None:
    drawn = show_image(axes, image, stretch, cmap)
    drawn.set_extent(_extent(image))  # type: ignore[attr-defined]
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("column [pixel]", fontsize=8)
    axes.tick_params(labelsize=7)
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01, aspect=30, extend="both")  # type: ignore[arg-type]
    bar.ax.tick_params(labelsize=7)
    bar.set_label("DN/s", fontsize=8)


def _extent(image: np.ndarray) -> tuple[int, int, int, int]:
    return (0, image.shape[1] * BIN, 0, image.shape[0] * BIN)


def _mask(axes: Axes, sky: np.ndarray) -> None:
    """Why pixels are not in the fit; the first reason that holds for a quarter of a drawn pixel."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    drawn = np.ones((*block_means(sky, (BIN, BIN)).shape, 3))
    patches = []
    for bit, (name, colour) in reversed(REASONS.items()):
        where = sky & bit > 0
        if where.any():
            drawn[block_means(where, (BIN, BIN)) > 0.24] = to_rgb(COLOURS[colour])
            patches.append(Patch(color=COLOURS[colour], label=f"{name} {where.mean():.1%}"))
    axes.imshow(drawn, origin="lower", extent=_extent(drawn), interpolation="nearest")
    axes.set_title("not in the background fit", fontsize=9)
    axes.set_xlabel("column [pixel]", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(handles=patches[::-1], fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _parts(figure: Figure, exposure: CleanedExposure) -> None:
    """Each component, all with the same width of stretch, about its own median."""
    panels = np.atleast_1d(figure.subplots(1, max(4, len(exposure.parts))))
    spans = [np.subtract(*percentiles(part, 99, 1)) for part in exposure.parts.values()]
    half = 0.5 * max((abs(float(span)) for span in spans), default=1.0)
    for axes, (name, part) in zip(panels, exposure.parts.items(), strict=False):
        low, high = percentiles(part, 1, 99)
        middle = 0.5 * (low + high)
        _panel(axes, NAMES.get(name, name), part, (middle - half, middle + half), "viridis")
    for axes in panels[len(exposure.parts) :]:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "component not fitted", ha="center", fontsize=8, transform=axes.transAxes)


def _profiles(figure: Figure, exposure: CleanedExposure) -> None:
    columns, rows, power, pulls = figure.subplots(1, 4)
    before = np.where(exposure.fitted, exposure.raw, np.nan)
    after = np.where(exposure.fitted, exposure.cleaned, np.nan)
    for axes, along, name in ((columns, 0, "column"), (rows, 1, "row")):
        medians = [line_medians(image, along) for image in (before, after)]
        for values, colour, label in zip(medians, (COLOURS["error"], COLOURS["box"]), ("before", "after"), strict=True):
            axes.plot(values, color=colour, lw=0.5, label=label)
        axes.axhline(0, color=COLOURS["data"], lw=0.6)
        axes.set_xlabel(f"{name} [pixel]", fontsize=8)
        axes.set_ylabel(f"median of the {name} [DN/s]", fontsize=8)
        low, high = percentiles(np.concatenate(medians), 0.5, 99.5)
        axes.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7, loc="upper right", ncols=2)
    _power(power, exposure)
    _pulls(pulls, after / np.where(exposure.err > 0, exposure.err, np.nan))


def _power(axes: Axes, exposure: CleanedExposure) -> None:
    """Noise along y, where 1/f noise runs, against white noise."""
    n_mode = min(N_POWER, len(exposure.sky) // 8)
    for image, colour, label in ((exposure.raw, "error", "before"), (exposure.cleaned, "box", "after")):
        frequency, power = band_spectrum(np.nan_to_num(image), exposure.err**2, exposure.fitted, n_mode)
        axes.plot(frequency, power, color=COLOURS[colour], lw=0.9, label=label)
    axes.axhline(1, color=COLOURS["model"], lw=0.7, label="white noise")
    axes.set_xscale("log")
    axes.set_xlabel("frequency along y [1/pixel]", fontsize=8)
    axes.set_ylabel("power of the sky / white noise", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, loc="upper right")


def _pulls(axes: Axes, ratio: np.ndarray) -> None:
    values = ratio[np.isfinite(ratio)]
    middle = float(np.median(values)) if values.size else float("nan")
    edges = np.linspace(-6, 6, 121)
    centres = 0.5 * (edges[1:] + edges[:-1])
    if values.size:
        counts = np.histogram(values, edges)[0] / (values.size * np.diff(edges))
        label = f"median {middle:+.3f}, width {robust_sigma(values):.3f}"
        axes.stairs(counts, edges, color=COLOURS["box"], label=label)
    axes.plot(
        centres, np.exp(-0.5 * centres**2) / np.sqrt(2 * np.pi), color=COLOURS["model"], lw=0.9, label="unit Gaussian"
    )
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 10)
    axes.set_xlabel("sky pixels: cleaned rate / error", fontsize=8)
    axes.set_ylabel("density", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, loc="upper right")


def binned(image: np.ndarray, size: int = BIN) -> np.ndarray:
    """Mean of the finite pixels in `size` x `size` blocks, NaN where there is none."""
    finite = np.isfinite(image)
    share = block_means(finite, (size, size))
    return np.where(
        share > 0, block_means(np.where(finite, image, 0.0), (size, size)) / np.maximum(share, 1e-9), np.nan
    )


def line_medians(image: np.ndarray, axis: int) -> np.ndarray:
    """Median of the finite pixels along an axis, NaN where these are fewer than `LEAST`."""
    lines = np.sort(np.moveaxis(image, axis, -1).astype(np.float32), axis=1)  # NaN goes to the end
    count = np.isfinite(lines).sum(axis=1)
    row, last = np.arange(len(lines)), np.maximum(count - 1, 0)
    middle = 0.5 * (lines[row, last // 2] + lines[row, (last + 1) // 2])
    return np.where(count >= LEAST, middle, np.nan)
