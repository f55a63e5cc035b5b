"""The stacked spectrum of blank slitlets after nod subtraction: its mean, its trend with wavelength; and CPU time."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from _nods_observe import BLANK, SOURCES, Sight, planned_rows
from _nods_pulls import robust, subtract
from _rows import entry
from nirfire.products.naming import BKGSUB, CAL
from nirfire.products.slitcal import SlitCal
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.settings import NodsubSettings

BOX = 5.0  # px
BIAS, TREND = 0.1, 3.0
SECONDS = 0.15


def aperture(slit: SlitCal, rows: np.ndarray, box: float = BOX) -> tuple[np.ndarray, np.ndarray]:
    """Sum of weights, and of weights times flux, of the pixels in a box around the source, each of shape (n_wave,)."""
    near = np.abs(np.arange(slit.shape[0])[:, None] - rows) < box / 2
    good = near & ~slit.bad & (slit.err > 0)
    weight = np.where(good, 1.0 / np.where(good, slit.err, 1.0).astype(float) ** 2, 0.0)
    return weight.sum(axis=0), (weight * np.where(good, slit.sci, 0.0)).sum(axis=0)


def stacked(slits: list[SlitCal], rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Inverse-variance mean over the box and the nods: its pull and its wavelength [um], shape (n_wave,).

    The nods are aligned by column: they see the source in the same shutter column, and blank sky at all wavelengths.
    """
    first = min(s.origin[0] for s in slits)
    n = max(s.origin[0] + s.shape[1] for s in slits) - first
    weight, flux, wave = np.zeros(n), np.zeros(n), np.full(n, np.nan)
    for slit, row in zip(slits, rows, strict=True):
        here = slice(slit.origin[0] - first, slit.origin[0] - first + slit.shape[1])
        mine = aperture(slit, row)
        weight[here] += mine[0]
        flux[here] += mine[1]
        at = slit.wave[np.clip(np.rint(row).astype(int), 0, slit.shape[0] - 1), np.arange(slit.shape[1])]
        wave[here] = np.where(np.isfinite(at) & (at > 0), at, wave[here])
    pull = np.where(weight > 0, flux / np.sqrt(np.where(weight > 0, weight, 1.0)), np.nan)
    return pull, wave


def bias(sight: Sight) -> list[dict]:
    """Mean and trend of the pulls of all blank slitlets' stacked spectra, for 2, 3 and 5 nods."""
    rows = []
    for n in (2, 3, 5):
        pulls, waves = [], []
        for source in BLANK:
            cals = sight.cals(source, n)
            pull, wave = stacked(subtract(cals), [planned_rows(cal) for cal in cals])
            good = np.isfinite(pull) & np.isfinite(wave)
            pulls.append(pull[good])
            waves.append(wave[good])
        rows += _judged(np.concatenate(pulls), np.concatenate(waves), f"bias, {n} nods:")
    return rows


def _judged(pull: np.ndarray, wave: np.ndarray, head: str) -> list[dict]:
    along = (np.log(wave) - np.log(wave).mean()) / np.ptp(np.log(wave))
    design = np.column_stack([np.ones(pull.size), along])
    (mean, slope), *_ = np.linalg.lstsq(design, pull, rcond=None)
    width = float(np.std(pull))
    errors = width * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    trend = abs(float(slope / errors[1]))
    aim = {"goal": f"< {BIAS} (either sign)", "ok": abs(float(mean)) < BIAS}
    return [
        entry(f"{head} stacked spectrum of blank slitlets over its sigma, mean", float(mean), "sigma", **aim),
        entry(f"{head} error of that mean", float(errors[0]), "sigma"),
        entry(f"{head} change over the range of wavelengths", float(slope), "sigma"),
        entry(f"{head} that over its error", trend, "", f"< {TREND:g}", trend < TREND),
        entry(f"{head} width of its pulls (1.4826 MAD)", robust(pull)),
    ]


def cost(sight: Sight) -> list[dict]:
    """CPU time of the task with its files, in a process that has done it before."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="nirfire-nods-") as name:
        for n in (2, 3, 5):
            spent = []
            for source in (*BLANK, *SOURCES):
                cals = sight.cals(source, n)
                outputs = [Path(name) / path.name.replace(CAL, BKGSUB) for path in cals]
                started = time.process_time()
                nodsub(cals, outputs, NodsubSettings())
                spent.append((time.process_time() - started) / n)
            each = statistics.median(spent)
            rows.append(
                entry(f"cost, {n} nods: CPU per source and nod", each, "s", f"< {SECONDS}", each < SECONDS),
            )
    return rows
