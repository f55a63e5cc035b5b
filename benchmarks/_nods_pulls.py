"""Blank sky after nod subtraction, where the truth is zero: pulls of pixels and of means, and the bias of the stack."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from _nods_observe import BLANK, Sight, observe
from _rows import entry
from nirfire.products.naming import BKGSUB, CAL
from nirfire.products.slitcal import BKG_NODS, SlitCal
from nirfire.simulate.detector import Noise
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.settings import NodsubSettings

GROUPS = (2, 3, 4, 5)
MEAN = 20  # px
PIXELS, MEANS = (0.97, 1.03), (0.95, 1.05)
PARTS = {
    "photons and read noise": replace(Noise.none(), photons=True, read=1.0),
    "no particles": Noise(cosmic_rays=0.0, snowballs=0.0),
}
"""Noise of the simulator of which the pulls are shown as well."""
Made = tuple[SlitCal, np.ndarray]


def subtract_with_nods(cals: list[Path], settings: NodsubSettings | None = None) -> list[Made]:
    """Nod-subtracted cutouts, in memory, and as bits the nods in the background of each pixel."""
    with tempfile.TemporaryDirectory(prefix="nirfire-nods-") as name:
        outputs = [Path(name) / path.name.replace(CAL, BKGSUB) for path in cals]
        nodsub(cals, outputs, settings or NodsubSettings())
        return [(SlitCal.read(path), fits.getdata(path, BKG_NODS).astype(int)) for path in outputs]


def subtract(cals: list[Path], settings: NodsubSettings | None = None) -> list[SlitCal]:
    """Nod-subtracted cutouts, in memory."""
    return [slit for slit, _ in subtract_with_nods(cals, settings)]


def pixel_pulls(slit: SlitCal) -> np.ndarray:
    """Flux over error, shape (n_spat, n_wave); NaN where the pixel carries no information."""
    good = ~slit.bad & (slit.err > 0)
    return np.where(good, slit.sci / np.where(good, slit.err, 1.0), np.nan)


def mean_pulls(slit: SlitCal, n: int = MEAN) -> np.ndarray:
    """Means of n pixels of a row, weighted by inverse variance, over their errors; of runs with at most n / 4 gaps."""
    good = ~slit.bad & (slit.err > 0)
    weight = np.where(good, 1.0 / np.where(good, slit.err, 1.0).astype(float) ** 2, 0.0)
    flux = np.where(good, slit.sci, 0.0).astype(float)
    n_blocks = slit.shape[1] // n
    rows = slit.shape[0]

    def blocks(values: np.ndarray) -> np.ndarray:
        return values[:, : n_blocks * n].reshape(rows, n_blocks, n).sum(axis=2)

    enough = blocks(good.astype(float)) >= 0.75 * n
    total = blocks(weight)[enough]
    return blocks(weight * flux)[enough] / np.sqrt(total)


def robust(values: np.ndarray) -> float:
    """Scaled median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def collected(slits: Iterable[SlitCal]) -> tuple[np.ndarray, np.ndarray]:
    """Pulls of all pixels, and of all means."""
    pixels, means = [], []
    for slit in slits:
        pull = pixel_pulls(slit)
        pixels.append(pull[np.isfinite(pull)])
        means.append(mean_pulls(slit))
    return np.concatenate(pixels), np.concatenate(means)


def _blank(sight: Sight, n_nods: int) -> list[SlitCal]:
    return [slit for source in BLANK for slit in subtract(sight.cals(source, n_nods))]


def _within(value: float, limits: tuple[float, float]) -> dict:
    return {"goal": f"{limits[0]} to {limits[1]}", "ok": limits[0] <= value <= limits[1]}


def pull_rows(sight: Sight, head: str = "pulls", groups: tuple[int, ...] = GROUPS, *, goals: bool = True) -> list[dict]:
    """Standard deviations and scaled median absolute deviations of the pulls of all pixels that are not flagged."""
    rows = []
    for n in groups:
        pixels, means = collected(_blank(sight, n))
        found = (("pixels", pixels, PIXELS), (f"means of {MEAN} px", means, MEANS))
        for name, pull, limits in found:
            width, narrow = float(np.std(pull)), robust(pull)
            first = f"{head}, {n} nods, {name}:"
            rows.append(entry(f"{first} standard deviation", width, "", **(_within(width, limits) if goals else {})))
            rows.append(entry(f"{first} 1.4826 MAD", narrow, "", **(_within(narrow, limits) if goals else {})))
            rows.append(entry(f"{first} mean", float(np.mean(pull))))
        rows.append(entry(f"{head}, {n} nods, pixels: beyond 5 sigma, of a million", 1e6 * np.mean(np.abs(pixels) > 5)))
    return rows


def pulls(sight: Sight) -> list[dict]:
    """Pulls with all noise, for each size of group."""
    return pull_rows(sight)


def causes(folder: Path) -> list[dict]:
    """Pulls of pairs of nods with parts of the noise only."""
    rows = []
    for k, (name, noise) in enumerate(PARTS.items()):
        sight = observe(Sight(folder / f"part{k}", noise, n_exposures=2), BLANK)
        rows += pull_rows(sight, f"pulls, {name}", (2,), goals=False)
    return rows
