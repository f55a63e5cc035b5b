"""Outliers, cost, and a whole observation from its ramps."""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _extraction_methods import (
    HORNE,
    MODEL,
    WORKERS,
    Job,
    Shot,
    by_method,
    grid,
    odd,
    on_grid,
    realise,
)
from _extraction_noise import BLOCK, Draw, draw, level_for, truth
from _extraction_observe import CASES, DETECTOR, Case, Cutout, Layout, load, true_places
from _extraction_rows import blocks, ratios
from _rows import entry
from nirfire.products.naming import BKGSUB, CAL, RATE, RATERAW, UNCAL
from nirfire.simulate.detector import generators, make_exposure
from nirfire.simulate.observation import Exposure, Observation, Options
from nirfire.simulate.paint import paint
from nirfire.stsci.exposure_files import write_uncal
from nirfire.tasks.calibrate import calibrate
from nirfire.tasks.clean import clean
from nirfire.tasks.detector import detector
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.settings import CalibrateSettings, CleanSettings, DetectorSettings, NodsubSettings

Array = NDArray[np.float64]

HIT = (CASES[0], CASES[4])
HEIGHT = 20.0  # sigma
AT_ONCE = 4  # in one exposure, far from each other and from those of the others
SHIFT = 1.0  # sigma of the flux
SECONDS = 1.0
TRACE = 0.3  # of the brightest pixel of its column, from which on a pixel belongs to the trace
N_GROUPS, RAMP_LEVEL = 10, 20.0  # groups of the ramps, 100 s; S/N per bin that would be had in 1000 s


# --- outliers --------------------------------------------------------------------------------------------


def outlier_rows(layouts: list[Layout], n_places: int) -> list[dict]:
    """One pixel of 20 sigma on the trace of each exposure, that nothing tells of; by `model`."""
    made = []
    for layout in layouts:
        for target in (2.0, 15.0):
            found = np.concatenate([_moved(layout, case, target, n_places) for case in HIT], axis=1)
            head = f"{layout.name}, {MODEL}: pixel of {HEIGHT:g} sigma in each exposure, S/N {target:g}:"
            moved, left = (float(value) for value in found.max(axis=1))
            told = f"< {SHIFT:g}"
            made.append(entry(f"{head} largest change of a flux", moved, "sigma", told, moved < SHIFT))
            made.append(entry(f"{head} places with more", 100 * float(np.mean(found[0] > SHIFT)), "%"))
            made.append(entry(f"{head} largest difference to pixels that DQ tells of", left, "sigma"))
    return made


def _moved(layout: Layout, case: Case, target: float, n_places: int) -> Array:
    """Largest change of a flux near each outlier, over its error, shape (2, n_places x exposures).

    Against the same data without outliers, and against those in which DQ tells of the pixels.
    """
    wave = grid(layout)
    level = level_for(layout, case, target, wave)
    cutouts = [load(path) for path in layout.cals(case)]
    rng = np.random.default_rng(77)
    draws = [draw(c, level, rng) for c in cutouts]
    calm = _flux(layout, cutouts, draws, case, None)
    found = []
    for _ in range(0, n_places, AT_ONCE):
        made = [_spikes(c, k, len(cutouts), wave, rng) for k, c in enumerate(cutouts)]
        heights, at = [height for height, _ in made], [place for _, places in made for place in places]
        known = [replace(c, good=c.good & (height == 0)) for c, height in zip(cutouts, heights, strict=True)]
        hit = _flux(layout, cutouts, draws, case, heights)
        told = _flux(layout, known, draws, case, None)
        changes = [np.abs(hit[0] - other[0]) / calm[1] for other in (calm, told)]
        for place in at:
            near = np.abs(np.arange(len(wave)) - np.searchsorted(wave, place)) <= 4
            found.append([float(np.nanmax(change[near])) for change in changes])
    return np.array(found).T


def _spikes(cutout: Cutout, k: int, n: int, wave: Array, rng: np.random.Generator) -> tuple[Array, list[float]]:
    """Heights [sigma] in exposure k of n, one pixel each in every n-th of even parts of the trace; the wavelengths."""
    height = np.zeros(cutout.sky.shape)
    peak = cutout.source.max(axis=0, keepdims=True)
    lam = np.asarray(cutout.slit.wave, float)
    trace = cutout.good & (cutout.source > TRACE * peak) & (lam > wave[5]) & (lam < wave[-5])
    limits = np.quantile(lam[trace], np.linspace(0, 1, AT_ONCE * n + 1))
    places = []
    for low, high in list(pairwise(limits))[k::n]:
        choice = np.argwhere(trace & (lam >= low) & (lam <= high))
        y, x = choice[rng.integers(len(choice))]
        height[y, x] = HEIGHT
        places.append(float(lam[y, x]))
    return height, places


def _flux(
    layout: Layout, cutouts: list[Cutout], draws: list[Draw], case: Case, spikes: list[Array] | None
) -> tuple[Array, Array]:
    with tempfile.TemporaryDirectory(prefix="nirfire-extraction-") as name:
        nods, _ = realise(cutouts, draws, 1.0, Path(name), spikes)
        flux, err, *_ = on_grid(by_method(MODEL, nods, case.number)[0], grid(layout))
    return flux, err


# --- cost ------------------------------------------------------------------------------------------------


def cost_rows(layout: Layout, *, spec3: bool) -> list[dict]:
    """CPU time of one source with six exposures, in a process that has done it before."""
    (case,) = layout.cases
    cutouts = [load(path) for path in layout.cals(case)]
    rng = np.random.default_rng(3)
    draws = [draw(c, 0.3, rng) for c in cutouts]
    rows = []
    with tempfile.TemporaryDirectory(prefix="nirfire-extraction-") as name:
        nods, _ = realise(cutouts, draws, 1.0, Path(name))
        spent = [by_method(MODEL, nods, case.number)[1]["extract"] for _ in range(4)][1:]
        each = statistics.median(spent)
        head = f"{MODEL}: CPU of one source with {len(nods)} exposures"
        rows.append(entry(head, each, "s", f"< {SECONDS:g}", each < SECONDS))
        if spec3:
            _, found = by_method(HORNE, nods, case.number)
            total = found["stack"] + found["extract"]
            rows.append(entry(f"{HORNE}: CPU of one source with {len(nods)} exposures", total, "s"))
            rows.append(entry(f"{HORNE}: share of stock Spec3 in it", 100 * found["stack"] / total, "%"))
    return rows


# --- from ramps ------------------------------------------------------------------------------------------


def ramp_shots(folder: Path, prepared: Layout, methods: tuple[str, ...]) -> list[Shot]:
    """Spectra of an observation that is simulated with all noise, and reduced from its ramps.

    Parameters
    ----------
    folder : Path
    prepared : Layout
        The same sources without noise, for the brightness.
    methods : tuple of str
    """
    folder.mkdir(parents=True, exist_ok=True)
    wave = grid(prepared)
    levels = {case.number: level_for(prepared, case, RAMP_LEVEL, wave) for case in prepared.cases}
    options = Options(n_nods=prepared.n_nods, n_groups=N_GROUPS, detectors=(DETECTOR,))
    plan = Observation(prepared.scene(levels), prepared.grating, prepared.filter, 3, options)
    if not list(folder.glob("*_msa.fits")):
        plan.write_tables(folder)
    jobs = [(plan, exposure, folder, prepared.cases) for exposure in plan.exposures]
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(min(WORKERS, len(jobs)), mp_context=context) as pool:
        list(pool.map(_reduce, *zip(*jobs, strict=True)))
    shots = []
    unknown = np.full(len(wave) // BLOCK, np.nan)
    for case in CASES:
        paths = [folder / path.name for path in prepared.cals(case)]
        true = levels[case.number] * truth(case, prepared, wave)
        job = Job(prepared, case, RAMP_LEVEL, 1, methods)
        with tempfile.TemporaryDirectory(prefix="nirfire-extraction-") as name:
            outputs = [Path(name) / path.name.replace(CAL, BKGSUB) for path in paths]
            nodsub(paths, outputs, NodsubSettings())
            for method in methods:
                spectrum, spent = by_method(method, outputs, case.number)
                values = on_grid(spectrum, wave)
                shots.append(Shot(job, method, 0, 1.0, wave, true, *values, unknown, odd(spectrum), spent))
    return shots


def _reduce(plan: Observation, exposure: Exposure, folder: Path, cases: tuple[Case, ...]) -> None:
    """One exposure: ramps, count rates, cutouts."""
    logging.disable(logging.WARNING)
    stem = str(exposure.name(DETECTOR))
    uncal, raw, rate = (folder / f"{stem}{suffix}" for suffix in (UNCAL, RATERAW, RATE))
    if not rate.exists():
        setup = plan.setup(exposure, DETECTOR)
        image = paint(plan.scene, plan.optics, setup, true_places(plan, exposure, cases))
        rng = generators(plan.seed, exposure.visit, exposure.number, DETECTOR)
        data, _ = make_exposure(image, DETECTOR, plan.readout, rng, plan.options.noise)
        write_uncal(uncal, data, plan._header(exposure, setup))
        detector(uncal, raw, DetectorSettings())
        clean(raw, rate, CleanSettings())
        uncal.unlink()
        raw.unlink()
    for case in cases:
        cal = folder / f"{stem}_{case.number}{CAL}"
        if not cal.exists():
            calibrate(rate, cal, case.number, CalibrateSettings())


def ramp_rows(shots: list[Shot]) -> list[dict]:
    """Pulls of the spectra from ramps, and their flux over the true one, by source."""
    made = []
    for shot in shots:
        pull = (shot.flux - shot.truth) / np.hypot(shot.err, shot.common * shot.truth)
        value, sigma = ratios([shot], shot.flux[np.newaxis], shot.err[np.newaxis], [slice(None)])
        means, errors = ratios([shot], shot.flux[np.newaxis], shot.err[np.newaxis], blocks(shot))
        head = f"from ramps, {shot.method}, {shot.job.case.name}:"
        made.append(entry(f"{head} pulls of bins", float(np.nanstd(pull))))
        made.append(entry(f"{head} pulls of means of {BLOCK}", float(np.nanstd((means - 1.0) / errors))))
        made.append(entry(f"{head} bias of the mean", 100 * (float(value[0, 0]) - 1.0), "%"))
        made.append(entry(f"{head} its error by the product", 100 * float(sigma[0, 0]), "%"))
    return made
