"""The sky of a cleaned exposure, smoothed: where shorts, snowballs and other glows show that no single pixel shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nirfire.core.artefacts import Artefact, average, find_artefacts, smoothed_significance
from nirfire.core.background import Sky
from nirfire.products.fitsfile import open_fits
from nirfire.products.rate import BKGMASK
from nirfire.qa.canvas import BAD_COLOUR, DIVERGING, VEIL, new_figure, robust_sigma, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 16  # pixels: standard deviation of the Gaussian
BIN = 4  # detector pixels per image pixel
LEAST = 4  # good pixels of a block that counts, of 16
LIMIT = 5.0  # sigma at the ends of the colour bar, or more where the noise is correlated
LISTED = 24
BRIGHT, DARK, DRAWN = "#1a1a1a", "#1b9e5a", "#8a5fbf"


@dataclass(frozen=True)
class SkyImage:
    """A cleaned exposure as a search for artefacts sees it.

    Attributes
    ----------
    sci, err : ndarray, shape (n_y, n_x) [DN/s]
    sky : ndarray of bool, shape (n_y, n_x)
        Off traces, bad pixels and manual masks; cosmic-ray halos count as sky.
    drawn : ndarray of bool, shape (n_y, n_x)
        The manual mask with which it was cleaned.
    title : str
    """

    sci: NDArray[np.floating]
    err: NDArray[np.floating]
    sky: NDArray[np.bool_]
    drawn: NDArray[np.bool_]
    title: str

    @classmethod
    def read(cls, rate: Path) -> SkyImage | None:
        """Read a ``_rate.fits``; None when it carries no fitted background (cleaned elsewhere)."""
        with open_fits(rate) as hdus:
            if any(name not in hdus for name in ("SCI", "ERR", BKGMASK)):
                return None
            sci, err, bits = (np.array(hdus[name].data) for name in ("SCI", "ERR", BKGMASK))
            title = " ".join(str(hdus[0].header.get(k, "")) for k in ("DETECTOR", "FILTER", "GRATING"))
        sky = (bits & Sky.FITTED > 0) | (bits == Sky.HALO)
        return cls(sci, err, sky, bits & Sky.MANUAL > 0, title)

    def artefacts(self) -> list[Artefact]:
        """Suspicious blobs, the most significant first."""
        return find_artefacts(self.sci, self.err, self.sky)


def glow_figure(rate: Path, png: Path) -> Path | None:
    """Draw the smoothed sky of one exposure, with what looks like an artefact and what is masked by hand.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits``.
    png : Path
        The figure to write.

    Returns
    -------
    Path or None
        None when the file holds no fitted background.
    """
    image = SkyImage.read(rate)
    if image is None:
        return None
    found = image.artefacts()
    figure = new_figure(12.6, 8.6, constrained=False)
    title = f"{rate.name}   {image.title}  ·  sky smoothed with a Gaussian of {WIDTH} pixels"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", y=0.985)
    axes = figure.add_axes((0.055, 0.06, 0.61, 0.89))
    bar = figure.add_axes((0.675, 0.06, 0.012, 0.89))
    drawn = _smoothed(axes, image)
    figure.colorbar(drawn, cax=bar, extend="both").set_label("sigma of the smoothed noise", fontsize=8)  # type: ignore[arg-type]
    bar.tick_params(labelsize=7)
    for number, artefact in enumerate(found, 1):
        colour = BRIGHT if artefact.significance > 0 else DARK
        corners = np.vstack([artefact.outline, artefact.outline[:1]]) + 1
        axes.plot(corners[:, 0], corners[:, 1], color="white", lw=2.4)
        axes.plot(corners[:, 0], corners[:, 1], color=colour, lw=1.0)
        axes.annotate(str(number), corners.max(axis=0), color=colour, fontsize=8, annotation_clip=True)
    if image.drawn.any():
        _outline_masks(axes, image.drawn)
    figure.text(0.735, 0.945, _listing(found, image.drawn), fontsize=7.5, family="monospace", va="top")
    return save_png(figure, png, DIVERGING)


def _smoothed(axes: Axes, image: SkyImage) -> object:
    """Draw the smoothed sky, bridged under the veil that lies over traces; beige where nothing is known."""
    import matplotlib

    blocks = average(image.sci, image.err, image.sky, BIN, LEAST)
    values = smoothed_significance(blocks.mean, blocks.ivar, WIDTH / BIN)
    values = np.where(values == 0, np.nan, values)
    known = values[blocks.ivar > 0]
    sigma = robust_sigma(known[::7])
    limit = max(LIMIT, 3 * sigma) if np.isfinite(sigma) else LIMIT
    n_y, n_x = (n // BIN * BIN for n in image.sci.shape)
    extent = (0.5, n_x + 0.5, 0.5, n_y + 0.5)
    colours = matplotlib.colormaps[DIVERGING].with_extremes(bad=BAD_COLOUR)
    drawn = axes.imshow(
        np.ma.masked_invalid(values), cmap=colours, vmin=-limit, vmax=limit, origin="lower", extent=extent
    )
    veil = np.zeros((*values.shape, 4))
    veil[blocks.ivar == 0] = VEIL
    axes.imshow(veil, origin="lower", extent=extent, interpolation="nearest")
    axes.set_xlabel("column [pixel, from 1 as in DS9]", fontsize=8)
    axes.set_ylabel("row [pixel]", fontsize=8)
    axes.tick_params(labelsize=7)
    return drawn


def _outline_masks(axes: Axes, drawn: NDArray[np.bool_]) -> None:
    """Outline the manual mask, and letter its parts."""
    from scipy import ndimage

    n_y, n_x = (n // BIN for n in drawn.shape)
    share = drawn[: n_y * BIN, : n_x * BIN].reshape(n_y, BIN, n_x, BIN).mean(axis=(1, 3))
    coarse = share > 0.25  # without holes where bad pixels were
    y, x = ((np.arange(n) + 0.5) * BIN + 0.5 for n in coarse.shape)
    axes.contour(x, y, coarse.astype(float), levels=[0.5], colors=[DRAWN], linewidths=1.2)
    parts = ndimage.find_objects(ndimage.label(coarse)[0])
    for k, box in enumerate(parts[:26]):
        place = (box[1].stop * BIN + 1, box[0].start * BIN + 1)
        axes.annotate(chr(ord("A") + k), place, color=DRAWN, fontsize=8, annotation_clip=True)


def _listing(found: list[Artefact], drawn: NDArray[np.bool_]) -> str:
    lines = [f"{'':>2} {'column':>6} {'row':>5} {'size':>9} {'sigma':>7} {'DN/s':>8}"]
    for number, a in enumerate(found[:LISTED], 1):
        size = f"{a.width}x{a.height}"
        lines.append(
            f"{number:>2} {a.column + 1:6.0f} {a.row + 1:5.0f} {size:>9} {a.significance:+7.1f} {a.flux:+8.3g}"
        )
    if len(found) > LISTED:
        lines.append(f"and {len(found) - LISTED} more")
    if not found:
        lines = ["nothing suspicious"]
    notes = ["", "grey veil: no sky, bridged", "black, green: suggested masks,", "  bright and dark"]
    if drawn.any():
        notes.append(f"violet: manual mask, {int(drawn.sum())} pixels")
    return "\n".join([*lines, *notes])
