"""Figures of whole-detector exposures: raw rate, fitted background, cleaned rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.products.fitsfile import open_fits
from nirfire.qa.canvas import COLOURS, MASK_TINT, new_figure, percentiles, robust_sigma, save_png, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 20
BIN = 4  # detector pixels per image pixel: 2048 becomes 512


@dataclass(frozen=True)
class CleanedExposure:
    """What the clean task left in a ``_rate.fits``.

    Attributes
    ----------
    cleaned, background, err : ndarray, shape (n_y, n_x) [DN/s]
    fitted : ndarray of bool, shape (n_y, n_x)
        Pixels to which the background was fitted.
    title : str
    """

    cleaned: np.ndarray
    background: np.ndarray
    err: np.ndarray
    fitted: np.ndarray
    title: str

    @property
    def raw(self) -> np.ndarray:
        return self.cleaned + self.background

    @classmethod
    def read(cls, rate: Path) -> CleanedExposure | None:
        """Read a ``_rate.fits``; None when it carries no fitted background (cleaned elsewhere)."""
        with open_fits(rate) as hdus:
            if any(name not in hdus for name in ("SCI", "ERR", "BKG", "BKGMASK")):
                return None
            head = hdus[0].header
            facts = [str(head.get(k, "")) for k in ("DETECTOR", "FILTER", "GRATING")]
            scale, share = head.get("NFVSCALE"), head.get("NFSKYPIX")
            notes = [f"read variance x {scale:.3g}"] if scale is not None else []
            notes += [f"background fitted to {share:.0%} of the pixels"] if share is not None else []
            return cls(
                cleaned=np.array(hdus["SCI"].data, dtype=float),
                background=np.array(hdus["BKG"].data, dtype=float),
                err=np.array(hdus["ERR"].data, dtype=float),
                fitted=np.array(hdus["BKGMASK"].data) > 0,
                title="  ·  ".join([" ".join(facts), *notes]),
            )


def exposure_figure(rate: Path, png: Path) -> Path | None:
    """Draw one cleaned exposure.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits`` with its BKG and BKGMASK extensions.
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
    figure = new_figure(12.6, 6.9)
    figure.suptitle(f"{rate.name}   {exposure.title}", fontsize=10, x=0.01, ha="left")
    top, bottom = figure.subfigures(2, 1, height_ratios=(4.1, 2.4))  # type: ignore[misc]
    _images(top, exposure)
    _profiles(bottom, exposure)
    return save_png(figure, png)


def _images(figure: Figure, exposure: CleanedExposure) -> None:
    raw, cleaned = binned(exposure.raw), binned(exposure.cleaned)
    background = binned(exposure.background)
    level = float(np.nanmedian(background)) if np.isfinite(background).any() else 0.0
    sigma = robust_sigma(np.where(exposure.fitted, exposure.cleaned, np.nan)[::3, ::3]) / BIN
    width = max(abs(level), 8 * sigma) if np.isfinite(sigma) and sigma > 0 else 1.0
    limits = (min(level, 0.0) - width, max(level, 0.0) + 2 * width)
    panels = (
        ("raw rate", raw, limits, "gray"),
        ("fitted background (own stretch)", background, percentiles(background, 1, 99), "viridis"),
        ("cleaned rate; orange: not in the background fit", cleaned, limits, "gray"),
    )
    for axes, (title, image, stretch, cmap) in zip(np.atleast_1d(figure.subplots(1, 3)), panels, strict=True):
        drawn = show_image(axes, image, stretch, cmap)
        n_y, n_x = image.shape
        drawn.set_extent((0, n_x * BIN, 0, n_y * BIN))  # type: ignore[attr-defined]
        axes.set_aspect("equal")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("column [pixel]", fontsize=8)
        axes.tick_params(labelsize=7)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01, aspect=30, extend="both")  # type: ignore[arg-type]
        bar.ax.tick_params(labelsize=7)
        bar.set_label("DN/s", fontsize=8)
    first, _, last = figure.axes[:3]
    first.set_ylabel("row [pixel]", fontsize=8)
    shade = np.zeros((*cleaned.shape, 4))
    shade[binned((~exposure.fitted).astype(float)) > 0.5] = MASK_TINT
    extent = (0, cleaned.shape[1] * BIN, 0, cleaned.shape[0] * BIN)
    last.imshow(shade, origin="lower", extent=extent, interpolation="nearest")


def _profiles(figure: Figure, exposure: CleanedExposure) -> None:
    columns, rows, pulls = figure.subplots(1, 3)
    before = np.where(exposure.fitted, exposure.raw, np.nan)
    after = np.where(exposure.fitted, exposure.cleaned, np.nan)
    for axes, along, name in ((columns, 0, "column"), (rows, 1, "row")):
        medians = [line_medians(image, along) for image in (before, after)]
        for values, colour, label in zip(medians, (COLOURS["error"], COLOURS["box"]), ("raw", "cleaned"), strict=True):
            axes.plot(values, color=colour, lw=0.5, label=label)
        axes.axhline(0, color=COLOURS["data"], lw=0.6)
        axes.set_xlabel(f"{name} [pixel]", fontsize=8)
        axes.set_ylabel(f"median of the {name} [DN/s]", fontsize=8)
        low, high = percentiles(np.concatenate(medians), 0.5, 99.5)
        axes.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7, loc="upper right", ncols=2)
    _pulls(pulls, after / np.where(exposure.err > 0, exposure.err, np.nan))


def _pulls(axes: Axes, ratio: np.ndarray) -> None:
    values = ratio[np.isfinite(ratio)]
    middle = float(np.median(values)) if values.size else float("nan")
    edges = np.linspace(-6, 6, 121)
    centres = 0.5 * (edges[1:] + edges[:-1])
    if values.size:
        counts = np.histogram(values, edges)[0] / (values.size * np.diff(edges))
        label = f"median {middle:+.3f}, robust sigma {robust_sigma(values):.3f}"
        axes.stairs(counts, edges, color=COLOURS["box"], label=label)
    axes.plot(
        centres, np.exp(-0.5 * centres**2) / np.sqrt(2 * np.pi), color=COLOURS["model"], lw=0.9, label="unit Gaussian"
    )
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 10)
    axes.set_xlabel("background pixels: cleaned rate / error", fontsize=8)
    axes.set_ylabel("density", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, loc="upper right")


def binned(image: np.ndarray, size: int = BIN) -> np.ndarray:
    """Mean of the finite pixels in `size` x `size` blocks, NaN where there is none; odd edges are cut."""
    n_y, n_x = (n // size for n in image.shape)
    blocks = image[: n_y * size, : n_x * size].reshape(n_y, size, n_x, size)
    finite = np.isfinite(blocks)
    count = finite.sum(axis=(1, 3))
    total = np.where(finite, blocks, 0.0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def line_medians(image: np.ndarray, axis: int) -> np.ndarray:
    """Median of the finite pixels along an axis, NaN where these are fewer than `LEAST`."""
    lines = np.sort(np.moveaxis(image, axis, -1).astype(np.float32), axis=1)  # NaN goes to the end
    count = np.isfinite(lines).sum(axis=1)
    row, last = np.arange(len(lines)), np.maximum(count - 1, 0)
    middle = 0.5 * (lines[row, last // 2] + lines[row, (last + 1) // 2])
    return np.where(count >= LEAST, middle, np.nan)
