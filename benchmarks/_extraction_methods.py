"""Realisations of a source, subtracted and extracted by every method, beside the truth."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _extraction_noise import BLOCK, Draw, draw, information, information_in, level_for, nominal_range, truth, write
from _extraction_observe import Case, Cutout, Layout, load
from nirfire.core.grids import wave_grid
from nirfire.products.naming import BKGSUB, CAL, S2D
from nirfire.products.spectrum import Spectrum
from nirfire.tasks.extract import extract
from nirfire.tasks.horne import horne
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.settings import ExtractSettings, NodsubSettings, StackSettings
from nirfire.tasks.stack import stack

Array = NDArray[np.float64]

WORKERS = int(os.environ.get("NIRFIRE_BENCH_WORKERS", "2"))
MODEL, HORNE, STOCK = "model", "horne", "stock extract_1d"


@dataclass(frozen=True)
class Job:
    """Realisations of one source at one brightness.

    Attributes
    ----------
    layout : Layout
    case : Case
    target : float
        Best possible S/N per bin, in the median.
    pairs : int
        Realisations come in pairs with opposite Gaussian noise, whose mean has the bias and little of the noise.
    methods : tuple of str
    """

    layout: Layout
    case: Case
    target: float
    pairs: int
    methods: tuple[str, ...] = (MODEL,)


@dataclass(frozen=True)
class Shot:
    """One spectrum of one realisation.

    Attributes
    ----------
    job : Job
    method : str
    pair : int
    sign : float
    wave : ndarray, shape (n_wave,) [um]
    truth, flux, err : ndarray, shape (n_wave,) [uJy]
        NaN where the product has none.
    boxes : dict of int to (flux, err)
    correlation : ndarray, shape (n_band, n_wave)
    common : ndarray, shape (n_wave,)
        Relative error that all bins have in common, by place and size; zero where the product has none.
    bound : ndarray, shape (n_wave // BLOCK,)
        Cramer-Rao bound of the relative error of the mean of each block of bins.
    odd : int
        Bins of the product where not all three agree: finite flux, finite positive error, not masked.
    seconds : dict of str to float
        CPU time of the tasks.
    """

    job: Job
    method: str
    pair: int
    sign: float
    wave: Array
    truth: Array
    flux: Array
    err: Array
    boxes: dict[int, tuple[Array, Array]]
    correlation: Array
    common: Array
    bound: Array
    odd: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def grid(layout: Layout) -> Array:
    """The bins that are judged: those of the common grid within the nominal range [um]."""
    wave = wave_grid(layout.grating, layout.filter).wave
    low, high = nominal_range(layout)
    return wave[(wave > low) & (wave < high)]


def measure(jobs: Sequence[Job], workers: int = WORKERS) -> list[Shot]:
    """Make all realisations."""
    if workers == 1:
        return [shot for job in jobs for shot in _run(job)]
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return [shot for found in pool.map(_run, jobs) for shot in found]


def _run(job: Job) -> list[Shot]:
    logging.disable(logging.WARNING)
    wave = grid(job.layout)
    level = level_for(job.layout, job.case, job.target, wave)
    cals = job.layout.cals(job.case)
    cutouts = [load(path) for path in cals]
    shots = []
    for pair in range(job.pairs):
        rng = np.random.default_rng([job.case.number, job.layout.n_nods, round(10 * job.target), pair])
        draws = [draw(c, level, rng) for c in cutouts]
        limits = block_limits(wave)
        bound = 1.0 / (level * np.sqrt(np.maximum(information_in(limits, information(cutouts, draws)), 1e-30)))
        true = level * truth(job.case, job.layout, wave)
        for sign in (1.0, -1.0):
            with tempfile.TemporaryDirectory(prefix="nirfire-extraction-") as name:
                nods, spent = realise(cutouts, draws, sign, Path(name))
                for method in job.methods:
                    spectrum, seconds = by_method(method, nods, job.case.number)
                    values = on_grid(spectrum, wave)
                    shots.append(
                        Shot(job, method, pair, sign, wave, true, *values, bound, odd(spectrum), spent | seconds)
                    )
    return shots


def block_limits(wave: Array) -> Array:
    """Edges of the blocks of bins, shape (n_wave // BLOCK + 1,) [um]."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    edges = np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
    return edges[::BLOCK][: len(wave) // BLOCK + 1]


def realise(
    cutouts: list[Cutout], draws: list[Draw], sign: float, folder: Path, spikes: Sequence[Array] | None = None
) -> tuple[list[Path], dict[str, float]]:
    """Write the exposures with their noise and subtract the nods; give the products and the CPU time."""
    paths = []
    for k, (cutout, made) in enumerate(zip(cutouts, draws, strict=True)):
        paths.append(folder / cutout.slit.path.name)
        write(cutout, made, sign, paths[-1], None if spikes is None else spikes[k])
    outputs = [path.with_name(path.name.replace(CAL, BKGSUB)) for path in paths]
    started = time.process_time()
    nodsub(paths, outputs, NodsubSettings())
    return outputs, {"nodsub": time.process_time() - started}


def by_method(method: str, nods: list[Path], source: int) -> tuple[Spectrum | _Stock, dict[str, float]]:
    """Extract by one of the methods; the product and the CPU time."""
    folder = nods[0].parent
    spec = folder / f"{method.split()[0]}_spec.fits"
    settings = ExtractSettings()
    started = time.process_time()
    if method == MODEL:
        extract(nods, spec, source, settings)
        return Spectrum.read(spec), {"extract": time.process_time() - started}
    s2d = folder / f"jw09999-o001_s{source:09d}_nirspec{S2D}"
    if not s2d.exists():
        stack(nods, s2d, StackSettings())
    stacked = time.process_time()
    if method == STOCK:
        return _stock(s2d), {"stack": stacked - started, "stock": time.process_time() - stacked}
    horne(nods, [s2d], spec, source, settings)
    return Spectrum.read(spec), {"stack": stacked - started, "extract": time.process_time() - stacked}


def odd(spectrum: Spectrum | _Stock) -> int:
    """Bins where finite flux, finite positive error and not being masked do not go together."""
    flux, err = np.asarray(spectrum.flux, float), np.asarray(spectrum.err, float)
    good = np.isfinite(err) & (np.nan_to_num(err) > 0)
    return int(((np.isfinite(flux) != good) | (good == np.asarray(spectrum.mask, bool))).sum())


@dataclass(frozen=True)
class _Stock:
    """What the stock extraction gives, with the names of our product."""

    wave: Array
    flux: Array
    err: Array
    mask: NDArray[np.bool_]
    boxes: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    correlation: Array | None = None
    shape_err: Array | None = None


def _stock(s2d: Path) -> _Stock:
    from jwst.extract_1d import Extract1dStep

    table = Extract1dStep.call(str(s2d), save_results=False).spec[0].spec_table
    flux, err = (1e6 * np.asarray(table[name], float) for name in ("FLUX", "FLUX_ERROR"))
    bad = ~(np.isfinite(flux) & (err > 0))
    return _Stock(np.asarray(table["WAVELENGTH"], float), flux, err, bad)


def on_grid(
    spectrum: Spectrum | _Stock, wave: Array
) -> tuple[Array, Array, dict[int, tuple[Array, Array]], Array, Array]:
    """Flux, error, boxcars, correlation and common error at the bins `wave`.

    Another grid is interpolated, as users do.
    """
    good = ~np.asarray(spectrum.mask, bool)
    own = np.asarray(spectrum.wave, float)
    at = np.searchsorted(own, wave - 1e-7)
    inside = at < len(own)
    same = bool(inside.all()) and bool(np.allclose(own[np.minimum(at, len(own) - 1)], wave, atol=2e-6, rtol=0))

    def take(value: Array) -> Array:
        if same:
            return np.asarray(value, float)[..., at]
        return np.interp(wave, own[good], np.asarray(value, float)[good], left=np.nan, right=np.nan)

    blank = np.where(good, 0.0, np.nan)
    flux, err = take(spectrum.flux + blank), take(spectrum.err + blank)
    boxes = {width: (take(f + blank), take(e + blank)) for width, (f, e) in spectrum.boxes.items()}
    found = spectrum.correlation
    near = np.zeros((0, len(wave))) if found is None or not same else np.asarray(found, float)[:, at]
    shape = spectrum.shape_err
    common = np.zeros(len(wave)) if shape is None else np.nan_to_num(take(shape))
    return flux, err, boxes, near, common
