"""The redshift fit: exactness, line positions, speed and memory, success and ZPROB on mock and on real spectra.

    python benchmarks/redshift.py [--only exact lines speed mocks real noise] [--quick] [--json FILE]

Times are CPU seconds of one core; numba code is compiled before. The real spectra report only: no setting of the fit
was chosen by looking at them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: one core is measured

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy.optimize import nnls as scipy_nnls

import _redshift_mocks
import _redshift_real
from _rows import entry, parser, save
from nirfire.core import lines, lsf, zcolumns, zgram, zscan, zsearch, zshelf
from nirfire.core.grids import wave_grid
from nirfire.core.templates import on_grid
from nirfire.products.any_spectrum import read_any
from nirfire.products.template_store import load_templates
from nirfire.simulate import mocks
from nirfire.tasks.redshift import fit_of
from nirfire.tasks.settings import RedshiftSettings

BATCH = 64
SPEED_GOALS = {"PRISM": 25.0, "G395M": 100.0, "G395H": 400.0}  # ms a spectrum, in batches
SINGLE_GOALS = {"PRISM": 0.25, "G395M": 1.5}  # s, on a grid of its own
MEMORY_GOAL = 2000.0  # MB
FILTERS = {"PRISM": "CLEAR", "G395M": "F290LP", "G395H": "F290LP"}
PARTS = ("exact", "lines", "speed", "mocks", "real", "noise")


def clock(call: Callable[[], object]) -> tuple[float, object]:
    """CPU time of a call [s], and what it gives."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


# --- exactness --------------------------------------------------------------------------------------------------------


def exact(_: object) -> list[dict]:
    """chi2 against scipy.optimize.nnls on the dense problem, at random spectra and redshifts."""
    rows = []
    for grating in ("PRISM", "G395M"):
        drawn = mocks.draw(grating, 16, 5)
        grid = on_grid(load_templates(), grating, zscan.SCANS[grating].coarse, 12.0, 0.6)
        basis, sampling = zcolumns.basis_of(grid), zcolumns.sampling_of(drawn.wave, grating, grid)
        flux, poly = np.where(drawn.ivar > 0, drawn.flux, 0.0), np.zeros((16, 0, drawn.wave.size))
        weight = np.minimum(drawn.ivar, 1.0 / np.maximum(0.03 * np.abs(flux), 1e-9) ** 2)
        spectra = zgram.gather(weight, flux, poly, 0.1)
        shelf, rng, worst = zshelf.Shelf(basis, sampling), np.random.default_rng(0), 0.0
        for _ in range(100):
            i, shift = rng.integers(16), rng.integers(np.log1p(12.0) / grid.step)
            found = zsearch.coarse_scan(spectra, shelf, np.array([shift]))[i, 0]
            dense = zcolumns.dense_columns(basis, sampling.bins, float(shift)) * np.sqrt(weight[i])[:, None]
            norm = np.linalg.norm(dense, axis=0)
            truth = scipy_nnls(dense[:, norm > 0] / norm[norm > 0], flux[i] * np.sqrt(weight[i]), maxiter=5000)[1] ** 2
            worst = max(worst, abs(found / truth - 1.0))
        rows.append(entry(f"{grating}: chi2 over scipy nnls - 1, worst of 100", worst, "", 1e-9, worst < 1e-9))
    return rows


def positions(_: object) -> list[dict]:
    """Bright lines injected at random redshifts: bias and scatter of velocity, and minima of the fine curve."""
    rows = []
    for grating in ("PRISM", "G395M"):
        wave, fine = wave_grid(grating, FILTERS[grating]).wave, zscan.SCANS[grating].fine
        rng = np.random.default_rng(3)
        z = rng.uniform(4.6, 5.4, 64)
        flux = np.array([_lines(wave, grating, one) for one in z])
        err = 0.02 * np.median(flux) + 0.005 * (flux.max(axis=1, keepdims=True) - np.median(flux))
        flux, ivar = flux + rng.normal(size=flux.shape) * err, np.broadcast_to(err**-2.0, flux.shape)
        options = zscan.ScanOptions(z_min=4.0, z_max=6.0, lines=False)
        found = zscan.fit_redshifts(wave, flux, ivar, grating=grating, templates=load_templates(), options=options)
        velocity = np.array([(r.z_best - t) / (1 + t) * lsf.C_KMS for r, t in zip(found, z, strict=True)])
        bias, scatter = np.mean(velocity), 1.4826 * np.median(np.abs(velocity - np.median(velocity)))
        near = [np.abs(r.z - r.z_best) < 4 * zscan.SCANS[grating].coarse / lsf.C_KMS * 6 for r in found]
        turns = [
            np.count_nonzero(np.diff(np.sign(np.diff(r.chi2[n][r.chi2[n] < r.chi2_min + 50]))) > 0)
            for r, n in zip(found, near, strict=True)
        ]
        rows += [
            entry(f"{grating}: bright lines, mean velocity error", bias, "km/s", f"< {fine:g}", abs(bias) < fine),
            entry(f"{grating}: bright lines, scatter (MAD)", scatter, "km/s", f"< {fine:g}", scatter < fine),
            entry(f"{grating}: minima within dchi2 < 50, median", np.median(turns), "", 1, np.median(turns) == 1),
        ]
    return rows


def _lines(wave: np.ndarray, grating: str, z: float) -> np.ndarray:
    """Lines of a star-forming galaxy on a faint continuum, oversampled 40 times; not by the code of the fit [uJy]."""
    low, high = lsf.pixel_edges(wave)
    fine = low[:, None] + (high - low)[:, None] * (np.arange(40) + 0.5) / 40
    width = fine * lsf.FWHM_TO_SIGMA / lsf.resolving_power(grating, wave)[:, None]
    flux = np.full(fine.shape, 0.1)
    ratio = {"Ha": 2.86, "Hb": 1.0, "Hg": 0.468, "OIII5008": 5.0, "OIII4960": 1.678, "OII3727": 0.4, "OII3730": 0.5}
    for name, strength in ratio.items():
        center = lines.WAVE[name] * (1 + z)
        sigma = np.hypot(width, center * 150.0 / lsf.C_KMS)
        profile = np.exp(-0.5 * ((fine - center) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        flux = flux + 0.02 * strength * profile * (center / 3.0) ** 2
    return flux.mean(axis=1)


# --- speed ------------------------------------------------------------------------------------------------------------


def speed(args: object) -> list[dict]:
    """Time of spectra on a common grid, part by part, of a single one, and of the dense scan they replace."""
    rows = []
    for grating, goal in SPEED_GOALS.items():
        if not (args.quick and grating == "G395H"):
            rows += _batch(grating, goal)
    for grating, goal in SINGLE_GOALS.items():
        drawn = mocks.draw(grating, 2, 3)
        odd = drawn.wave * 1.001
        rows.append(_single(grating, odd, drawn, goal))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*rows, entry("peak memory", memory, "MB", MEMORY_GOAL, memory < MEMORY_GOAL)]


def _single(grating: str, wave: np.ndarray, drawn: mocks.Mocks, goal: float) -> dict:
    def fit(i: int) -> object:
        return zscan.fit_redshift(
            wave, drawn.flux[i], drawn.ivar[i], grating=grating, templates=load_templates(), options=None
        )

    fit(0)
    taken = float(np.median([clock(lambda: fit(1))[0] for _ in range(3)]))
    return entry(f"{grating}: one spectrum on a grid of its own", taken, "s", goal, taken <= goal)


def _batch(grating: str, goal: float) -> list[dict]:
    drawn, templates = mocks.draw(grating, BATCH, 2), load_templates()

    def fit(spectra: list, *, lines_too: bool = True) -> list:
        flux, ivar = np.array([one.flux for one in spectra]), np.array([one.ivar for one in spectra])
        options = zscan.ScanOptions(lines=lines_too)
        return zscan.fit_redshifts(spectra[0].wave, flux, ivar, grating=grating, templates=templates, options=options)

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"mock_{grating.lower()}_{i}.fits" for i in range(BATCH)]
        for file, flux, ivar in zip(files, drawn.flux, drawn.ivar, strict=True):
            err = np.where(ivar > 0, np.where(ivar > 0, ivar, 1.0) ** -0.5, np.nan)
            table = Table({"wave": drawn.wave, "flux": flux, "err": err}, units=["um", "uJy", "uJy"])
            table.meta["EXTNAME"] = "SPEC1D"
            table.write(file)
        fit([read_any(file, grating) for file in files[:8]])  # compiles, loads
        reading, spectra = clock(lambda: [read_any(file, grating) for file in files])
        fitting, found = clock(lambda: fit(spectra))
        without, _ = clock(lambda: fit(spectra, lines_too=False))
        settings = RedshiftSettings()
        writing, _ = clock(
            lambda: [
                fit_of(r, s, settings).write(f.with_suffix(".zfit.fits"))
                for r, s, f in zip(found, spectra, files, strict=True)
            ]
        )
    preparing, coarse, dense = _parts(grating, drawn)
    total = (reading + fitting + writing) / BATCH * 1e3
    parts = {
        "reading": reading, "preparing errors": preparing, "coarse scan": coarse,
        "refining": without - preparing - coarse, "lines": fitting - without, "writing": writing,
    }  # fmt: skip
    rows = [entry(f"{grating}: all, batches of {BATCH}", total, "ms", goal, total <= goal)]
    rows += [entry(f"{grating}:   {name}", taken / BATCH * 1e3, "ms") for name, taken in parts.items()]
    return [*rows, entry(f"{grating}: yardstick, coarse grid with dense scipy nnls", dense, "ms")]


def _parts(grating: str, drawn: mocks.Mocks) -> tuple[float, float, float]:
    """CPU time of preparation and of the coarse scan of a batch [s], and of a dense scan of one spectrum [ms]."""
    settings, scan = zscan.ScanOptions(), zscan.SCANS[grating]
    pairs = list(zip(drawn.flux, drawn.ivar, strict=True))
    preparing, made = clock(lambda: [zscan.prepare(drawn.wave, f, i, grating, settings) for f, i in pairs])
    shared = zscan.field_of(drawn.wave, grating, load_templates(), settings)
    weight, flux, poly = (np.array(one) for one in zip(*((p.ivar, p.flux, p.poly) for p in made), strict=True))
    spectra = zgram.gather(weight, flux, poly, settings.polynomial_prior)
    binned = spectra.binned(scan.width, scan.block)

    def scanned() -> object:
        with zscan.threads().limit(limits=1, user_api="blas"):
            return zsearch.coarse_scan(binned, shared.shelf, shared.shifts, hold=scan.hold)

    coarse, _ = clock(scanned)
    some = np.linspace(shared.shifts[10], shared.shifts[-10], 30).astype(int)
    root = np.sqrt(weight[0])[:, None]

    def dense(shift: int) -> None:
        columns = zcolumns.dense_columns(shared.basis, shared.exact.bins, float(shift)) * root
        norm = np.linalg.norm(columns, axis=0)
        scipy_nnls(columns[:, norm > 0] / norm[norm > 0], flux[0] * root[:, 0], maxiter=5000)

    slow, _ = clock(lambda: [dense(int(shift)) for shift in some])
    return preparing, coarse, slow / some.size * shared.shifts.size * 1e3


# --- success ----------------------------------------------------------------------------------------------------------


def on_mocks(args: object) -> list[dict]:
    """Held-out mock spectra: other seeds and another population than those that ZPROB was calibrated on."""
    rows = []
    for grating, n in (("PRISM", 4000), ("G395M", 2500)):
        trials = _redshift_mocks.trial(grating, n // 8 if args.quick else n, 900)
        rows += _redshift_mocks.success(f"{grating} mocks", trials)
        rows += _redshift_mocks.confidence(f"{grating} mocks", trials)
    return rows


def main() -> None:
    """Measure, print, write."""
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options.add_argument("--quick", action="store_true", help="fewer mocks, no high resolution")
    args = options.parse_args()
    calls = {"exact": exact, "lines": positions, "speed": speed, "mocks": on_mocks, "real": _redshift_real.real,
             "noise": _redshift_real.noise}  # fmt: skip
    rows = [row for part in PARTS if part in args.only for row in calls[part](args)]
    save(rows, args.json)


if __name__ == "__main__":
    main()
