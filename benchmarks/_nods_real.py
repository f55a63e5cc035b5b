"""Nod subtraction of real cutouts: what is left in blank rows, and two of three nods against all three."""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np

from _nods_pulls import MEAN, mean_pulls, robust, subtract
from _rows import entry
from nirfire.products.naming import CAL, ExposureName
from nirfire.products.slitcal import SlitCal
from nirfire.qa.nod_figure import blank_pixels, nods_rows
from nirfire.tasks.adopt import adopt

BOX = 2.0  # px to each side of the source's row


def adopted(folder: Path, into: Path) -> list[Path]:
    """The cutouts of one object as ``_cal.fits``."""
    source = folder.name.split("_")[-1]
    made = []
    for path in sorted(folder.glob("*phot*.fits")):
        cal = into / f"{ExposureName.from_path(path)}_{source}{CAL}"
        adopt(path, cal)
        made.append(cal)
    return made


def residuals(slits: list[SlitCal], cals: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Pulls of blank pixels and of means of 20 of them."""
    pixels, means = [], []
    for slit, rows in zip(slits, nods_rows(cals), strict=True):
        blank = blank_pixels(slit, rows)
        pixels.append(slit.sci[blank] / slit.err[blank])
        means.append(mean_pulls(slit.with_arrays(sci=np.where(blank, slit.sci, np.nan))))
    return np.concatenate(pixels), np.concatenate(means)


def spectrum(slit: SlitCal, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum over the rows near the source and its variance, shape (n_wave,); NaN where a pixel is missing."""
    near = np.abs(np.arange(slit.shape[0])[:, None] - rows) < BOX
    whole = ~(near & slit.bad).any(axis=0)
    flux = np.where(near, np.nan_to_num(slit.sci), 0.0).sum(axis=0)
    variance = np.where(near, np.nan_to_num(slit.err).astype(float) ** 2, 0.0).sum(axis=0)
    return np.where(whole, flux, np.nan), np.where(whole, variance, np.nan)


def differences(cals: list[Path]) -> np.ndarray:
    """Spectra of each nod from pairs minus from all three, over the error of the difference.

    The result from all nods has the smaller variance, and that of the difference is what the other has more.
    """
    whole = dict(zip(cals, subtract(cals), strict=True))
    rows = {cal: row.own for cal, row in zip(cals, nods_rows(cals), strict=True)}
    pulls = []
    for pair in combinations(cals, 2):
        for cal, slit in zip(pair, subtract(list(pair)), strict=True):
            own = rows[cal]
            assert own is not None
            (few, v_few), (all_, v_all) = spectrum(slit, own), spectrum(whole[cal], own)
            more = np.where(v_few > v_all, v_few - v_all, np.nan)
            pull = (few - all_) / np.sqrt(more)
            pulls.append(pull[np.isfinite(pull)])
    return np.concatenate(pulls)


def real(data: Path) -> list[dict]:
    """Both objects; nothing where the data are absent."""
    folders = sorted(p for p in (data / "nods").glob("*") if p.is_dir())
    if not folders:
        print(f"no cutouts in {data / 'nods'}: the part 'real' is left out")
    rows = []
    for folder in folders:
        with tempfile.TemporaryDirectory(prefix="nirfire-nods-") as name:
            rows += _object(adopted(folder, Path(name)), f"real, {folder.name}:")
    return rows


def _object(cals: list[Path], head: str) -> list[dict]:
    rows = []
    for n in (3, 2):
        pixels, means = residuals(subtract(cals[:n]), cals[:n])
        first = f"{head} {n} nods, blank rows,"
        rows += [
            entry(f"{first} pixels", pixels.size),
            entry(f"{first} mean pull", float(np.mean(pixels))),
            entry(f"{first} width of pulls (1.4826 MAD)", robust(pixels)),
            entry(f"{first} beyond 5 sigma", int(np.sum(np.abs(pixels) > 5))),
            entry(f"{first} means of {MEAN} px, width (1.4826 MAD)", robust(means) if means.size else np.nan),
        ]
    pull = differences(cals)
    rows.append(entry(f"{head} 2 of 3 nods - 3 nods, spectra over their error: median", float(np.median(pull))))
    rows.append(entry(f"{head} the same: width (1.4826 MAD)", robust(pull)))
    far = 100 * float(np.mean(np.abs(pull) > 5))
    rows.append(entry(f"{head} the same: beyond 5 sigma", far, "%"))
    return rows
