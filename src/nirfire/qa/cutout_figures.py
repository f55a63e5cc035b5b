"""What figures of cutouts share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nirfire.products.extraction import MJY_TO_UJY
from nirfire.products.slitcal import SlitCal
from nirfire.qa.canvas import percentiles

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
