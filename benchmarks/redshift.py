"""Speed, memory and accuracy of the redshift fit.

    python benchmarks/redshift.py [--json FILE] [--data FOLDER] [--noise]

Speed is CPU seconds of one thread for one spectrum on its own grid, compiled code and templates warm. Accuracy needs
the real spectra (FOLDER, default $NIRFIRE_TEST_DATA or ../shared/data beside the checkout) and is skipped without them;
--noise adds the runs with multiplied noise.
"""

from __future__ import annotations

import csv
import resource
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.optimize import nnls as scipy_nnls

from _rows import entry, parser, save
from nirfire.core import lsf, zkernel, zscan
from nirfire.core.templates import on_grid
from nirfire.products.template_store import load_templates

SPEED_GOALS = {"PRISM": 1.0, "G395M": 6.0}
ACCURACY_GOALS = {("PRISM", 1): 0.98, ("G395M", 1): 0.82, ("PRISM", 8): 0.76, ("G395M", 4): 0.76}


def mock(grating: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise on a sloped continuum with two lines: the cost does not depend on what is in a spectrum."""
    if grating == "PRISM":
        wave = [0.6]
        while wave[-1] < 5.3:
            wave.append(wave[-1] * (1 + 0.5 / lsf.resolving_power("PRISM", np.array([wave[-1]]), 1.0)[0]))
        wave = np.array(wave)
    else:
        wave = np.arange(2.87, 5.27, 0.0018)
    flux = 0.2 + 0.02 * wave + np.random.default_rng(0).normal(0, 0.05, wave.size)
    for center in (3.4, 4.457):
        flux += 2.0 * np.exp(-0.5 * ((wave - center) / 0.004) ** 2)
    return wave, flux, np.full(wave.size, 400.0)


def speed(grating: str) -> list[dict]:
    """CPU time of a warm fit, and of the plain dense scan it replaces."""
    wave, flux, ivar = mock(grating)
    templates = load_templates()
    zscan.fit_redshift(wave, flux, ivar, grating=grating, templates=templates)
    times = []
    for _ in range(3):
        start = time.process_time()
        result = zscan.fit_redshift(wave, flux, ivar, grating=grating, templates=templates)
        times.append(time.process_time() - start)
    goal, typical = SPEED_GOALS[grating], float(np.median(times))
    out = [entry(f"{grating} fit, {wave.size} px, {result.z.size} z", typical, "s CPU", goal, typical <= goal)]
    return [*out, entry(f"{grating} coarse grid alone with dense scipy nnls", dense_scan(grating), "s CPU", None, True)]


def dense_scan(grating: str) -> float:
    """Yardstick: one scipy.optimize.nnls on the dense matrix per redshift (40 of them, scaled to the coarse grid)."""
    wave, flux, ivar = mock(grating)
    settings, scan = zscan.ScanOptions(), zscan.SCANS[grating]
    prepared, _ = zscan._prepare(wave, flux, ivar, grating, settings)
    grid = on_grid(load_templates(), grating, scan.coarse, scan.z_max, 0.5)
    problem = zscan._problem(prepared, grid, settings)
    basis = zkernel.Basis(grid.rest, grid.uv, grid.table, grid.z_max, grid.step)
    shifts = np.linspace(np.log1p(0.5), np.log1p(scan.z_max * 0.9), 40) / grid.step
    start = time.process_time()
    for shift in shifts:
        design = zkernel.design_at(problem, basis, float(np.round(shift)))
        norm = np.linalg.norm(design, axis=0)
        scipy_nnls(design / np.where(norm > 0, norm, 1.0), problem.data, maxiter=2000)
    return (time.process_time() - start) / shifts.size * np.log1p(scan.z_max) / grid.step


def accuracy(folder: Path, grating: str, noise: int, name: str = "default") -> list[dict]:
    """Success on the real spectra, with noise multiplied (errors scaled too, fixed seeds)."""
    with (folder / "spectra" / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["grating"] == grating and not row["flag"]]
    offset = []
    for seed, row in enumerate(rows):
        table = fits.getdata(folder / "spectra" / row["file"], 1)
        wave, flux, err = (np.asarray(table[key], dtype=float) for key in ("wave", "flux", "err"))
        good = np.isfinite(flux) & np.isfinite(err) & (err > 0)
        extra = np.random.default_rng(seed).normal(size=flux.size) * np.sqrt(noise**2 - 1)
        flux = np.where(good, flux + extra * np.where(good, err, 0.0), 0.0)
        ivar = np.where(good, (noise * np.where(good, err, 1.0)) ** -2, 0.0)
        result = zscan.fit_redshift(wave, flux, ivar, grating=grating, templates=load_templates(name))
        offset.append((result.z_best - float(row["z"])) / (1 + float(row["z"])))
    found = np.array(offset)
    right = np.abs(found) < 0.01
    label = f"{name} {grating} noise x{noise} (N={found.size})"
    goal = ACCURACY_GOALS.get((grating, noise)) if name == "default" else None
    scatter = 1.4826 * np.median(np.abs(found[right] - np.median(found[right])))
    return [
        entry(f"{label}: within 0.01", right.mean(), "", goal, goal is None or right.mean() >= goal),
        entry(f"{label}: within 0.003", np.mean(np.abs(found) < 0.003), "", None, True),
        entry(f"{label}: catastrophic (> 0.05)", np.mean(np.abs(found) > 0.05), "", None, True),
        entry(f"{label}: NMAD of dz/(1+z)", scatter, "", None, True),
        entry(f"{label}: median dz/(1+z)", np.median(found[right]), "", None, True),
    ]


def main() -> None:
    """Measure, print, write."""
    options = parser(__doc__)
    options.add_argument("--noise", action="store_true", help="also with multiplied noise (minutes)")
    args = options.parse_args()
    rows = [row for grating in SPEED_GOALS for row in speed(grating)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(entry("peak memory", memory, "MB", 1000.0, memory < 1000))
    if (args.data / "spectra" / "truth.csv").is_file():
        runs = [("PRISM", 1), ("G395M", 1), ("G235M", 1)] + ([("PRISM", 8), ("G395M", 4)] if args.noise else [])
        for grating, noise in runs:
            rows += accuracy(args.data, grating, noise)
    save(rows, args.json)


if __name__ == "__main__":
    main()
