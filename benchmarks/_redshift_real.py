"""The redshift fit on real spectra with trusted redshifts, as they are and with their noise multiplied."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from _rows import entry
from nirfire.core import zscan
from nirfire.products.any_spectrum import Spectrum1D, read_any
from nirfire.products.template_store import load_templates
from nirfire.simulate import mocks

GOALS = {("PRISM", 1): 0.99, ("G395M", 1): 0.97, ("PRISM", 8): 0.88, ("G395M", 4): 0.85}
MEDIAN_GOAL, WRONG_GOAL = 5e-4, 0.5


class Found(NamedTuple):
    """A fit with what is known of the spectrum."""

    row: dict[str, str]
    result: zscan.RedshiftResult

    @property
    def offset(self) -> float:
        """(z - truth) / (1 + truth)."""
        truth = float(self.row["z"])
        return (self.result.z_best - truth) / (1 + truth)


def fits(folder: Path, grating: str, noise: int, templates: str = "default") -> list[Found]:
    """Fit all unflagged spectra of a grating, those of one grid together."""
    with (folder / "spectra" / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["grating"] == grating and not row["flag"]]
    grids: dict[bytes, list[tuple[dict[str, str], Spectrum1D]]] = {}
    for seed, row in enumerate(rows):
        spectrum = read_any(folder / "spectra" / row["file"], grating)
        grids.setdefault(spectrum.wave.tobytes(), []).append((row, worse(spectrum, noise, seed)))
    out = []
    for group in grids.values():
        flux, ivar = (np.array([getattr(s, key) for _, s in group]) for key in ("flux", "ivar"))
        chosen = load_templates(templates)
        found = zscan.fit_redshifts(group[0][1].wave, flux, ivar, grating=grating, templates=chosen)
        out += [Found(row, result) for (row, _), result in zip(group, found, strict=True)]
    return out


def worse(spectrum: Spectrum1D, noise: int, seed: int) -> Spectrum1D:
    """The spectrum with its noise and its errors multiplied."""
    good = spectrum.ivar > 0
    err = np.where(good, np.where(good, spectrum.ivar, 1.0) ** -0.5, 0.0)
    extra = np.random.default_rng(seed).normal(size=err.size) * np.sqrt(noise**2 - 1) * err
    return Spectrum1D(spectrum.wave, spectrum.flux + extra, spectrum.ivar / noise**2, spectrum.grating)


def report(label: str, found: list[Found], goal: float | None) -> list[dict]:
    """Success, offsets, what ZPROB says of wrong fits; each wrong one is named."""
    offset = np.array([one.offset for one in found])
    right = np.abs(offset) < 0.01
    probability = np.array([one.result.probability for one in found])
    middle = float(np.median(offset[right]))
    rows = [
        entry(f"{label}: within 0.01 (N={offset.size})", right.mean(), "", goal, goal is None or right.mean() >= goal),
        entry(f"{label}: within 0.003", np.mean(np.abs(offset) < 0.003)),
        entry(f"{label}: catastrophic (> 0.05)", np.mean(np.abs(offset) > 0.05)),
        entry(f"{label}: NMAD of dz/(1+z)", 1.4826 * np.median(np.abs(offset[right] - middle))),
        entry(f"{label}: median dz/(1+z)", middle, "", f"< {MEDIAN_GOAL:g}", abs(middle) < MEDIAN_GOAL),
        entry(f"{label}: mean ZPROB of right fits", probability[right].mean()),
    ]
    if not right.all():
        wrong = float(probability[~right].mean())
        rows.append(entry(f"{label}: mean ZPROB of wrong fits", wrong, "", WRONG_GOAL, wrong < WRONG_GOAL))
    for one, good in zip(found, right, strict=True):
        if not good:
            r, name = one.result, one.row["file"]
            print(
                f"    {name[:50]:50s} z {float(one.row['z']):7.4f} found {r.z_best:7.4f} ZPROB {r.probability:.2f} "
                f"ZWARN {r.warning:3d} dchi2 {r.dchi2:6.1f} next {r.z2:7.4f}"
            )
    return rows


def real(args: object) -> list[dict]:
    """The spectra as they are, with both template sets; and one without a usable feature."""
    if not (args.data / "spectra" / "truth.csv").is_file():
        return []
    rows = []
    for grating in ("PRISM", "G395M", "G235M"):
        rows += report(f"{grating} real", fits(args.data, grating, 1), GOALS.get((grating, 1)))
        rows += report(f"{grating} real, published", fits(args.data, grating, 1, "published"), None)
    return [*rows, *featureless()]


def noise(args: object) -> list[dict]:
    """The spectra with their noise multiplied."""
    if not (args.data / "spectra" / "truth.csv").is_file():
        return []
    rows = []
    for grating, times in (("PRISM", 8), ("G395M", 4)):
        rows += report(f"{grating} noise x {times}", fits(args.data, grating, times), GOALS[grating, times])
        rows += report(f"{grating} noise x {times}, published", fits(args.data, grating, times, "published"), None)
    return rows


def featureless() -> list[dict]:
    """G140M spectra of faint z = 8 galaxies: a smooth blue continuum at S/N 1 to 3 a pixel, Lyman-alpha absorbed."""
    wave = mocks.draw("G140M", 1, 1).wave
    rng = np.random.default_rng(4)
    level = np.where(wave > 1.3, 0.05 * (wave / 1.5) ** 0.2, 0.05 * (wave / 1.5) ** 0.2)
    err = level / rng.uniform(0.5, 3.0, (32, 1))
    flux = level + rng.normal(size=err.shape[:1] + wave.shape) * err
    found = zscan.fit_redshifts(
        wave, flux, np.broadcast_to(err, flux.shape) ** -2.0, grating="G140M", templates=load_templates()
    )
    sure = np.mean([one.probability > 0.5 for one in found])
    warned = np.mean([one.warning != 0 for one in found])
    return [
        entry("G140M without a feature: ZPROB > 0.5", sure, "", 0, sure == 0),
        entry("G140M without a feature: with a ZWARN", warned, "", 1, warned == 1),
    ]
