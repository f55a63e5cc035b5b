"""A simulated observation of mostly blank slitlets, put through the chain as far as the calibrated cutouts."""

from __future__ import annotations

import functools
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nirfire.products.naming import CAL, RATE, RATERAW, UNCAL, ExposureName
from nirfire.products.slitcal import SlitCal, source_rows
from nirfire.simulate.detector import Noise
from nirfire.simulate.observation import Exposure, Observation, Options, default_filter
from nirfire.simulate.scene import Scene, Slitlet, Source
from nirfire.simulate.seds import Galaxy, galaxy, power_law
from nirfire.tasks.calibrate import calibrate
from nirfire.tasks.clean import clean
from nirfire.tasks.detector import detector
from nirfire.tasks.settings import CalibrateSettings, CleanSettings, DetectorSettings

N_NODS, DETECTOR, GRATING = 5, "NRS1", "PRISM"
WORKERS = 2  # the stock jump step takes 3 GB for ten groups
BLANK = tuple(range(1, 12))
SOURCES = (21, 22, 23)
_ROWS = (12, 35, 58, 81, 104, 127, 150)
_COLUMNS = (150, 230, 110, 270, 190, 320, 80)


@dataclass(frozen=True)
class Sight:
    """What is observed: ramps of `n_groups` reads, and the noise in them.

    Attributes
    ----------
    folder : Path
        Products go here, and are used again when they are there.
    noise : Noise
    n_groups, n_exposures, seed : int
    pattern : str
    """

    folder: Path
    noise: Noise = field(default_factory=Noise)
    n_groups: int = 10
    n_exposures: int = N_NODS
    seed: int = 11
    pattern: str = "NRSRAPID"

    @property
    def plan(self) -> Observation:
        """The observation."""
        options = Options(
            n_nods=N_NODS, n_groups=self.n_groups, pattern=self.pattern, detectors=(DETECTOR,), noise=self.noise
        )
        return Observation(scene(), GRATING, default_filter(GRATING), self.seed, options)

    def names(self) -> list[ExposureName]:
        """The exposures, in the order of the nods."""
        return [e.name(DETECTOR) for e in self.plan.exposures[: self.n_exposures]]

    def cals(self, source: int, n_nods: int | None = None) -> list[Path]:
        """Cutouts of a source in the first nods."""
        return [self.folder / f"{name}_{source}{CAL}" for name in self.names()[:n_nods]]


@functools.cache
def planned_rows(cal: Path) -> np.ndarray:
    """Row of the source at each column of a cutout, shape (n_wave,)."""
    rows = source_rows(SlitCal.read(cal))
    assert rows is not None
    return rows


def scene() -> Scene:
    """Slitlets of five shutters in both quadrants of NRS1; eleven see nothing but sky, as faint sources do."""
    places = [(q, x, y) for y, x in zip(_ROWS, _COLUMNS, strict=True) for q in (3, 4)]
    sources = {2: _bright(21), 6: _compact(22, 0.0), 11: _compact(23, 0.08)}
    blanks = iter(BLANK)
    slitlets = []
    for number, place in enumerate(places):
        mine = sources.get(number) or _nothing(next(blanks))
        slitlets.append(Slitlet(number + 1, *place, (mine,)))
    return Scene(tuple(slitlets))


def _nothing(number: int) -> Source:
    """A planned place without a source."""
    return Source(number, "point", float("nan"), power_law(0.0), 0.07 * (number % 7 - 3), 0.08 * (number % 5 - 2))


def _bright(number: int) -> Source:
    return Source(number, "point", float("nan"), power_law(20.0, 0.0), 0.05, -0.1)


def _compact(number: int, size: float) -> Source:
    model = Galaxy(4.2, 3.0, hbeta=30.0)
    return Source(number, "galaxy", model.z, galaxy(model), -0.1, 0.1, size=size)


def observe(sight: Sight, sources: tuple[int, ...] = (*BLANK, *SOURCES)) -> Sight:
    """Make what is not there yet."""
    sight.folder.mkdir(parents=True, exist_ok=True)
    plan = sight.plan
    if not list(sight.folder.glob("*_msa.fits")):
        plan.write_tables(sight.folder)
    exposures = plan.exposures[: sight.n_exposures]
    jobs = [(sight, exposure, sources) for exposure in exposures]
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(min(WORKERS, len(jobs)), mp_context=context) as pool:
        list(pool.map(_reduce, *zip(*jobs, strict=True)))
    return sight


def _reduce(sight: Sight, exposure: Exposure, sources: tuple[int, ...]) -> None:
    """One exposure: ramps, count rates, cutouts."""
    logging.disable(logging.WARNING)
    stem = str(exposure.name(DETECTOR))
    uncal, raw, rate = (sight.folder / f"{stem}{suffix}" for suffix in (UNCAL, RATERAW, RATE))
    if not rate.exists():
        sight.plan.write_exposure(exposure, DETECTOR, sight.folder)
        detector(uncal, raw, DetectorSettings())
        clean(raw, rate, CleanSettings())
        uncal.unlink()
    for source in sources:
        cal = sight.folder / f"{stem}_{source}{CAL}"
        if not cal.exists():
            calibrate(rate, cal, source, CalibrateSettings())
