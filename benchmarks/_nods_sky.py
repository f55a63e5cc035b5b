"""The global sky on simulated exposures whose sky, sources and noise are known.

    python benchmarks/_nods_sky.py [--json FILE]

Thirty slitlets of three shutters, PRISM, three nods, the sky with its gradient and ripple over the field; 24 isolated
compact sources of 0.03 to 3 uJy, and six slitlets planned like theirs with nothing in them; all serve for the sky, one
whose light falls on both detectors is not looked at. The count rates are painted
without noise, white noise of known variance is added, as in exposures of `SECONDS`, and everything is calibrated by the
task. Calibration is linear, so what was painted, sky and source apart, times the calibrated flux over the count rate of
the same pixel, is what should have come out. Compared are

1. noise: what is left around the truth after the global sky was subtracted, against the median of the other two nods,
   in the five rows where a source is planned. In slitlets with sources their own photon noise is in both, so the goal
   is put to the blank ones, where the ratio cannot be larger than the root of 1.5;
2. bias: what the global sky differs from the painted one in the blank slitlets, in the five rows of the aperture, over
   the error of the stack of three nods, in wavelength: of a model made from the same exposures without noise, which is
   the bias, and of the model with noise, whose own noise is in it.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from _rows import entry, parser, save
from nirfire.core.nods import subtract_median_of_others
from nirfire.pipeline.environment import embedded_environment
from nirfire.products.naming import CAL, RATE
from nirfire.products.sky import SkyModel
from nirfire.products.slitcal import SlitCal, to_common_box
from nirfire.simulate.detector import Noise
from nirfire.simulate.observation import Exposure, Observation, Options, default_filter
from nirfire.simulate.operability import msa_operability
from nirfire.simulate.paint import Painter, open_shutters
from nirfire.simulate.scene import Scene, Slitlet, Source
from nirfire.simulate.seds import Galaxy, galaxy, power_law
from nirfire.stsci.sky_projection import global_backgrounds
from nirfire.tasks.calibrate import calibrate
from nirfire.tasks.settings import CalibrateSettings, SkySettings
from nirfire.tasks.sky import sky

GRATING, N_NODS = "PRISM", 3
N_SLITS, BLANK = 30, (3, 8, 14, 19, 24, 29)
SECONDS = 1000.0
READ_NOISE = 0.008  # DN/s in an exposure of so many seconds
DARK = 0.006  # DN/s
BORDER = 4  # reference pixels
HALF_APERTURE = 2  # rows on both sides of the middle one
BANDS = 8
NOISE_GOAL, BIAS_GOAL = 1.2, 0.1
RANGE = (0.7, 5.2)  # um
SINGLE = "blue to red, worst slitlet"


@dataclass(frozen=True)
class Rates:
    """What was painted on one detector in one exposure, shape (2048, 2048) each [DN/s]."""

    sky: np.ndarray
    sources: np.ndarray
    noisy: np.ndarray


@dataclass(frozen=True)
class Nods:
    """The nods of one slitlet on their common box, all (n_exp, n_spat, n_wave) in MJy, pathloss inverted.

    Attributes
    ----------
    flux, ivar, sky, source : ndarray
        As observed, and what was painted; `sky` and `source` without noise.
    model, model_variance : ndarray
        The global sky; NaN where it is not known.
    wave : ndarray [um]
    aperture : ndarray of bool
        The five rows around the place of the source.
    """

    flux: np.ndarray
    ivar: np.ndarray
    sky: np.ndarray
    source: np.ndarray
    model: np.ndarray
    model_variance: np.ndarray
    wave: np.ndarray
    aperture: np.ndarray


def thirty() -> Scene:
    """The scene; nothing in it was chosen by looking at results."""
    rng = np.random.default_rng(30)
    slitlets: list[Slitlet] = []
    for n in range(N_SLITS):
        quadrant = n % 4 + 1
        used = {s.ycen for s in slitlets if s.quadrant == quadrant}
        used |= {bad.ycen for bad in msa_operability() if bad.quadrant == quadrant}
        free = [y for y in range(8, 164) if all(abs(y - other) > 6 for other in used)]
        dx, dy = (float(v) for v in rng.uniform(-0.35, 0.35, 2))
        place = (quadrant, int(rng.integers(80, 300)), int(rng.choice(free)))
        z, fnu, size = float(rng.uniform(1, 8)), float(10 ** rng.uniform(-1.5, 0.5)), float(rng.uniform(0, 0.08))
        spectrum = power_law(0.0) if n in BLANK else galaxy(Galaxy(z, fnu, hbeta=3 * fnu))
        slitlets.append(Slitlet(n + 1, *place, (Source(101 + n, "galaxy", z, spectrum, dx, dy, size=size),)))
    return Scene(tuple(slitlets), failed_open=False)


def _paint(plan: Observation, exposure: Exposure, detector: str, rng: np.random.Generator) -> Rates:
    """Sky and sources, each alone, and their sum with noise."""
    setup, places = plan.setup(exposure, detector), plan.places(exposure)
    even, sources = Painter(plan.optics, setup), Painter(plan.optics, setup)
    for slitlet in plan.scene.slitlets:
        shutters = open_shutters(slitlet, setup.n_nods)
        even.sky(slitlet.quadrant, slitlet.xcen, slitlet.ycen, shutters, plan.scene.sky.brightness)
        for source in slitlet.sources:
            sources.source(slitlet, source, places[source.source_id], shutters)
    total = even.image + sources.image
    sigma = np.sqrt(READ_NOISE**2 + (total + DARK) / SECONDS)
    return Rates(even.image, sources.image, total + sigma * rng.standard_normal(total.shape))


def _write_rate(rates: Rates, plan: Observation, exposure: Exposure, detector: str, folder: Path) -> Path:
    from stdatamodels.jwst import datamodels

    path = folder / f"{exposure.name(detector)}{RATE}"
    with datamodels.open(plan.write_exposure(exposure, detector, folder)) as raw:
        model = datamodels.ImageModel(data=rates.noisy.astype(np.float32))
        model.update(raw)
    poisson = (rates.sky + rates.sources + DARK) / SECONDS
    model.var_poisson = poisson.astype(np.float32)
    model.var_rnoise = np.full(poisson.shape, READ_NOISE**2, np.float32)
    model.err = np.sqrt(poisson + READ_NOISE**2).astype(np.float32)
    model.var_flat = np.zeros(poisson.shape, np.float32)
    model.dq = np.ones(poisson.shape, np.uint32)  # reference pixels are of no use
    model.dq[BORDER:-BORDER, BORDER:-BORDER] = 0
    model.save(str(path))
    return path


def _observe(folder: Path) -> tuple[dict[str, Rates], dict[int, list[Path]], list[Path]]:
    """Paint and calibrate: rates by exposure and detector, cutouts by source, sky models by exposure."""
    options = Options(n_nods=N_NODS, n_groups=2, noise=Noise.none())
    plan = Observation(thirty(), GRATING, default_filter(GRATING), 1, options)
    plan.write_tables(folder)
    rng = np.random.default_rng(7)
    on = plan.slitlet_detectors()
    rates: dict[str, Rates] = {}
    cals: dict[int, list[Path]] = {}
    models = []
    for exposure in plan.exposures:
        mine = []
        for detector in plan.detectors:
            name = str(exposure.name(detector))
            rates[name] = _paint(plan, exposure, detector, rng)
            path = _write_rate(rates[name], plan, exposure, detector, folder)
            for slitlet, source in plan.scene.sources():
                if detector not in on[slitlet.slitlet_id].split():
                    continue
                cal = folder / f"{name}_{source.source_id}{CAL}"
                if not cal.exists():
                    calibrate(path, cal, source.source_id, CalibrateSettings())
                cals.setdefault(source.source_id, []).append(cal)
                mine.append(cal)
        models.append(folder / f"{exposure.name('NRS1').both}_sky.fits")
        sky(mine, models[-1], SkySettings())
    return rates, cals, models


def _true(slit: SlitCal, rates: dict[str, Rates]) -> tuple[Rates, np.ndarray]:
    """What was painted in the pixels of a cutout, and calibrated flux, pathloss inverted, over count rate."""
    mine = rates["_".join(slit.path.name.split("_")[:4])]
    (x, y), (n_spat, n_wave) = slit.origin, slit.shape
    cut = Rates(*(image[y : y + n_spat, x : x + n_wave] for image in (mine.sky, mine.sources, mine.noisy)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return cut, slit.sci * slit.correction / cut.noisy


def _nods(cals: list[Path], models: list[SkyModel], rates: dict[str, Rates]) -> Nods:
    """The nods of one source, and all that is known of them."""
    slits = [SlitCal.read(path) for path in cals]
    backgrounds = global_backgrounds(slits, models)
    planes, windows = to_common_box(slits, ("sci", "variance", "correction"))
    bad = planes["bad"] | ~np.isfinite(planes["correction"])
    boxes = {key: np.full(bad.shape, np.nan) for key in ("sky", "source", "model", "model_variance", "wave")}
    aperture = np.zeros(bad.shape, dtype=bool)
    for k, (slit, window, path) in enumerate(zip(slits, windows, cals, strict=True)):
        true, factor = _true(slit, rates)
        boxes["sky"][k][window], boxes["source"][k][window] = true.sky * factor, true.sources * factor
        boxes["model"][k][window], boxes["model_variance"][k][window] = backgrounds[k]
        boxes["wave"][k][window] = slit.wave
        place = models[k].cutouts[path.name].edges()
        middle = 0.5 * (place[1:] + place[:-1]) - float(slit.slit_header["SRCYPOS"])
        rank = np.argmin(np.abs(middle), axis=0)
        aperture[k][window] = np.abs(np.arange(slit.shape[0])[:, None] - rank) <= HALF_APERTURE
    usable = ~bad & np.isfinite(boxes["model"]) & np.isfinite(boxes["sky"])
    usable &= (boxes["wave"] > RANGE[0]) & (boxes["wave"] < RANGE[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        flux = np.where(usable, planes["sci"] * planes["correction"], 0.0)
        ivar = np.where(usable, 1.0 / (planes["variance"] * planes["correction"] ** 2), 0.0)
    return Nods(flux, ivar, *(np.where(usable, boxes[key], 0.0) for key in boxes), aperture & usable)


def _left(nods: Nods) -> dict[str, np.ndarray]:
    """What is left around the truth, over the error of the pixel before subtraction, in pixels and sums of rows."""
    error = np.sqrt(1.0 / np.where(nods.ivar > 0, nods.ivar, 1.0))
    subtracted, after = subtract_median_of_others(nods.flux, nods.ivar)
    by_nods, by_model = subtracted - nods.source, nods.flux - nods.model - nods.source
    use = nods.aperture & (after > 0)
    whole = use.sum(axis=1) == 2 * HALF_APERTURE + 1
    sums = np.sqrt(np.sum(np.where(use, error**2, 0.0), axis=1))
    found = {"nods, pixel": (by_nods / error)[use], "global, pixel": (by_model / error)[use]}
    for key, left in (("nods, sum", by_nods), ("global, sum", by_model)):
        found[key] = (np.sum(np.where(use, left, 0.0), axis=1) / np.where(sums > 0, sums, 1.0))[whole]
    predicted = np.sqrt(1.0 / np.where(nods.ivar > 0, nods.ivar, 1.0) + nods.model_variance)
    found["pull"] = (by_model / predicted)[use]
    return found


def _bias(nods: Nods) -> tuple[np.ndarray, np.ndarray]:
    """Painted minus modelled sky in the aperture of the stack of the nods, over its error, and the wavelengths."""
    use = nods.aperture
    difference = np.sum(np.where(use, nods.sky - nods.model, 0.0), axis=(0, 1))
    variance = np.sum(np.where(use, 1.0 / np.where(use, nods.ivar, 1.0), 0.0), axis=(0, 1))
    good = variance > 0
    wave = np.sum(np.where(use, nods.wave, 0.0), axis=(0, 1))[good] / np.sum(use, axis=(0, 1))[good]
    return difference[good] / np.sqrt(variance[good]), wave


def _noise_rows(nods: dict[int, Nods], name: str, *, goal: bool) -> list[dict]:
    left = [_left(n) for n in nods.values()]
    rows = []
    for kind in ("pixel", "sum"):
        spread = {key: np.concatenate([x[f"{key}, {kind}"] for x in left]).std() for key in ("nods", "global")}
        gain = spread["nods"] / spread["global"]
        head = f"global sky: {name}, {kind}: noise over its own error:"
        rows.append(entry(f"{head} after nods", spread["nods"]))
        rows.append(entry(f"{head} after global", spread["global"]))
        aim = f">= {NOISE_GOAL}" if goal else None
        rows.append(
            entry(f"global sky: {name}, {kind}: noise, nods over global", gain, "", aim, not goal or gain >= NOISE_GOAL)
        )
    pull = np.concatenate([x["pull"] for x in left]).std()
    rows.append(entry(f"global sky: {name}: pull width after global", pull, "", "0.97 to 1.03", 0.97 < pull < 1.03))
    return rows


def _bias_rows(nods: dict[int, Nods], name: str, *, goal: bool) -> list[dict]:
    found = [_bias(n) for n in nods.values()]
    means = np.array([b.mean() for b, _ in found])
    edges = np.linspace(*np.log(RANGE), BANDS + 1)
    bands = []
    for low, high in pairwise(edges):
        there = [b[(np.log(w) >= low) & (np.log(w) < high)] for b, w in found]
        bands.append(np.array([b.mean() for b in there if len(b)]))
    average = np.array([b.mean() for b in bands])
    slopes = np.array([np.polyfit(np.log(w), b, 1)[0] * np.ptp(np.log(w)) for b, w in found])
    head = f"global sky: bias over the error of a stack, {name}:"
    values = {
        "mean of all": float(means.mean()),
        "worst slitlet": float(np.max(np.abs(means))),
        "worst band, mean of slitlets": float(np.max(np.abs(average))),
        "blue to red, mean of slitlets": float(slopes.mean()),
        SINGLE: float(np.max(np.abs(slopes))),
    }
    rows = []
    for key, value in values.items():
        judged = (
            goal and key != SINGLE
        )  # the largest of some slopes, each with the noise of its pixels' share of the model
        aim = f"< {BIAS_GOAL}" if judged else None
        rows.append(entry(f"{head} {key}", value, "sigma", aim, not judged or abs(value) < BIAS_GOAL))
    return rows


def global_sky(folder: Path | None = None) -> list[dict]:
    """Measure all; the environment names the embedded references.

    Parameters
    ----------
    folder : Path, optional
        Keeps the products, and finds those of an earlier run.
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    started = time.process_time()
    try:
        with tempfile.TemporaryDirectory(prefix="nirfire-sky-") as name:
            place = folder or Path(name)
            place.mkdir(parents=True, exist_ok=True)
            rates, cals, paths = _observe(place)
            models = [SkyModel.read(path) for path in paths]
            whole = {source: mine for source, mine in cals.items() if len(mine) == N_NODS}
            began = time.process_time()
            nods = {source: _nods(mine, models, rates) for source, mine in whole.items()}
            per_nod = (time.process_time() - began) / (N_NODS * len(nods))
    finally:
        logging.disable(level)
    blank = {s: n for s, n in nods.items() if s - 101 in BLANK}
    lit = {s: n for s, n in nods.items() if s not in blank}
    rows = [entry("global sky: slitlets with sources", len(lit)), entry("global sky: blank slitlets", len(blank))]
    rows += _noise_rows(blank, "blank slitlets", goal=True)
    rows += _noise_rows(lit, "around sources", goal=False)
    rows += _bias_rows(blank, "blank slitlets", goal=True)
    rows += _bias_rows(lit, "under sources", goal=False)
    rows.append(entry("global sky: reading and projecting a nod", per_nod, "CPU-s"))
    rows.append(entry("global sky: all", time.process_time() - started, "CPU-s"))
    return rows


def main() -> None:
    """Run alone."""
    options = parser(__doc__).parse_args()
    os.environ.update(embedded_environment(print))
    save(global_sky(), options.json)


if __name__ == "__main__":
    main()
