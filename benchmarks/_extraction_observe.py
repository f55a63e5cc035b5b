"""Calibrated cutouts without noise of sources of known place, size and brightness, sky and source apart."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nirfire.products.naming import CAL, RATE, UNCAL
from nirfire.products.slitcal import SlitCal
from nirfire.simulate.detector import Noise
from nirfire.simulate.detector_maps import bad_pixels, dark_rate, gain, read_noise
from nirfire.simulate.observation import Exposure, Observation, Options, default_filter
from nirfire.simulate.operability import msa_operability
from nirfire.simulate.paint import N_PIX, Painter, Placement, open_shutters
from nirfire.simulate.psf import PITCH
from nirfire.simulate.scene import Scene, Slitlet, Source
from nirfire.simulate.seds import Line, Spectrum, power_law
from nirfire.stsci.exposure_files import write_uncal
from nirfire.tasks.calibrate import calibrate
from nirfire.tasks.settings import CalibrateSettings

Array = NDArray[np.float64]

DETECTOR = "NRS1"
SECONDS = 1000.0  # of each exposure
READ_NOISE = 0.008  # DN/s in an exposure of so many seconds, in the median pixel
Y_ERROR = -0.014  # arcsec along the slitlet by which the telescope misses what was planned
X_ERROR = 0.010  # arcsec across it, in the case that has it
LINES = {"PRISM": (1.2, 2.1, 3.4, 4.6), "G395M": (3.2, 3.7, 4.3, 4.8)}  # um


@dataclass(frozen=True)
class Case:
    """A source as planned: standard deviation [arcsec], place in its shutter [pitch]; and what was not planned."""

    number: int
    name: str
    size: float = 0.0
    dx: float = 0.0
    dy: float = 0.0
    x_error: float = 0.0  # arcsec
    lines: bool = False

    @property
    def compact(self) -> bool:
        """The source is not larger than the PSF."""
        return self.size <= 0.1


CASES = (
    Case(1, "point, centred"),
    Case(2, "point, off-centre", 0.0, 0.25, -0.20),
    Case(3, 'sigma 0.1", centred', 0.1),
    Case(4, 'sigma 0.1", off-centre', 0.1, -0.20, 0.25),
    Case(5, 'sigma 0.3", centred', 0.3),
    Case(6, 'sigma 0.3", off-centre', 0.3, 0.22, 0.22),
)
MISSED = Case(7, "point, off-centre, unknown error across", 0.0, 0.25, -0.20, X_ERROR)
WITH_LINES = Case(8, "point with lines, centred", lines=True)
EVERYTHING = (*CASES, MISSED, WITH_LINES)
_PLACES = ((3, 255), (4, 275), (3, 285), (4, 250), (3, 270), (4, 290), (3, 262), (4, 268))


def spectrum(case: Case, grating: str) -> Spectrum:
    """f_nu of a case at unit brightness: 1 uJy at 2.5 um, and lines of an equivalent width of three resolutions."""
    lines: tuple[Line, ...] = ()
    if case.lines:
        width = 0.05 if grating == "PRISM" else 0.008  # um
        made = []
        for wave in LINES[grating]:
            one = Line("", wave, 1.0, 80.0)
            made.append(replace(one, name=f"{wave:g}", flux=width * (wave / 2.5) ** 0.4 / one.area))
        lines = tuple(made)
    return power_law(1.0, 0.4, lines)


def _free_rows(quadrant: int) -> list[int]:
    """Middle shutters of slitlets that are far from each other and from shutters that do not obey."""
    bad = np.array([b.ycen for b in msa_operability() if b.quadrant == quadrant] or [-99])
    found: list[int] = []
    for y in range(8, 164):
        if np.min(np.abs(bad - y)) > 4 and (not found or y - found[-1] > 12):
            found.append(y)
    return found


@dataclass(frozen=True)
class Layout:
    """A mode, a pattern of nods, and who is in the slitlets.

    Attributes
    ----------
    folder : Path
    grating : str
    n_nods, n_dithers : int
    cases : tuple of Case
    """

    folder: Path
    grating: str = "PRISM"
    n_nods: int = 3
    n_dithers: int = 1
    cases: tuple[Case, ...] = EVERYTHING

    @property
    def name(self) -> str:
        """Mode and pattern."""
        return f"{self.grating}, {self.n_nods} nods" + (f" x {self.n_dithers}" if self.n_dithers > 1 else "")

    @property
    def filter(self) -> str:
        """Filter of the mode."""
        return default_filter(self.grating)

    @cached_property
    def _plan(self) -> Observation:
        options = Options(
            n_nods=self.n_nods, n_dithers=self.n_dithers, n_groups=2, detectors=(DETECTOR,), noise=Noise.none()
        )
        return Observation(self.scene(), self.grating, self.filter, 1, options)

    def plan(self) -> Observation:
        """The observation."""
        return self._plan

    def scene(self, levels: Mapping[int, float] | None = None) -> Scene:
        """Slitlets with their sources, of unit brightness times the level of each, if there is one."""
        slitlets = []
        for case in self.cases:
            level = (levels or {}).get(case.number, 1.0)
            quadrant, column = _PLACES[case.number - 1]
            row = _free_rows(quadrant)[(case.number - 1) // 2]
            full = spectrum(case, self.grating)
            lines = tuple(replace(line, flux=line.flux * level) for line in full.lines)
            mine = Spectrum(full.wave, full.continuum * level, lines)
            source = Source(case.number, "point", float("nan"), mine, case.dx, case.dy, size=case.size)
            slitlets.append(Slitlet(case.number, quadrant, column, row, (source,)))
        return Scene(tuple(slitlets), failed_open=False)

    def cals(self, case: Case) -> list[Path]:
        """Cutouts of a case, in the order of the exposures."""
        return [self.folder / f"{e.name(DETECTOR)}_{case.number}{CAL}" for e in self.plan().exposures]


def true_places(plan: Observation, exposure: Exposure, cases: tuple[Case, ...]) -> dict[int, Placement]:
    """Where the sources really are: as planned, and the error of the pointing that no file tells."""
    found = plan.places(exposure)
    moved = {}
    for case in cases:
        place = found[case.number]
        moved[case.number] = Placement(place.shutter, place.dx + case.x_error / PITCH[0], place.dy + Y_ERROR / PITCH[1])
    return moved


def write_plan(layout: Layout) -> None:
    """Write the metafiles, if they are not there."""
    layout.folder.mkdir(parents=True, exist_ok=True)
    if not list(layout.folder.glob("*_msa.fits")):
        layout.plan().write_tables(layout.folder)


def prepare_exposure(layout: Layout, k: int) -> None:
    """Paint and calibrate exposure k, if it is not there; the plan is."""
    logging.disable(logging.WARNING)
    exposure = layout.plan().exposures[k]
    paths = {case.number: layout.cals(case)[k] for case in layout.cases}
    if all(_truth_path(path).exists() for path in paths.values()):
        return
    sky, source = _paint(layout, exposure)
    rate = _write_rate(layout, exposure, sky + source)
    for number, path in paths.items():
        calibrate(rate, path, number, CalibrateSettings())
        y, x = _window(SlitCal.read(path))
        np.savez(_truth_path(path), sky=sky[y, x], source=source[y, x])
    rate.unlink()


def _truth_path(cal: Path) -> Path:
    return cal.with_name(cal.name.removesuffix(CAL) + "_painted.npz")


def _window(slit: SlitCal) -> tuple[slice, slice]:
    (x, y), (n_spat, n_wave) = slit.origin, slit.shape
    return slice(y, y + n_spat), slice(x, x + n_wave)


def _paint(layout: Layout, exposure: Exposure) -> tuple[Array, Array]:
    """Count rates of the sky and of the sources [DN/s]."""
    plan = layout.plan()
    setup, places = plan.setup(exposure, DETECTOR), true_places(plan, exposure, layout.cases)
    sky, sources = Painter(plan.optics, setup), Painter(plan.optics, setup)
    for slitlet in plan.scene.slitlets:
        shutters = open_shutters(slitlet, setup.n_nods)
        sky.sky(slitlet.quadrant, slitlet.xcen, slitlet.ycen, shutters, plan.scene.sky.brightness)
        for source in slitlet.sources:
            sources.source(slitlet, source, places[source.source_id], shutters)
    return sky.image, sources.image


def _write_rate(layout: Layout, exposure: Exposure, rate: Array) -> Path:
    """A count-rate file with a readout variance of 1 everywhere: calibrated, it is the conversion factor squared."""
    from stdatamodels.jwst import datamodels

    plan, stem = layout.plan(), exposure.name(DETECTOR)
    path, raw = layout.folder / f"{stem}{RATE}", layout.folder / f"{stem}{UNCAL}"
    header = plan._header(exposure, plan.setup(exposure, DETECTOR))
    write_uncal(raw, np.zeros((1, 2, N_PIX, N_PIX), np.uint16), header)
    with datamodels.open(raw) as empty:
        model = datamodels.ImageModel(data=rate.astype(np.float32))
        model.update(empty)
    for name, value in (("err", 1.0), ("var_rnoise", 1.0), ("var_poisson", 0.0), ("var_flat", 0.0)):
        setattr(model, name, np.full(rate.shape, value, np.float32))
    model.dq = (bad_pixels(DETECTOR) > 0).astype(np.uint32)
    model.meta.exposure.exposure_time = model.meta.exposure.effective_exposure_time = SECONDS
    model.save(str(path))
    raw.unlink()
    return path


@dataclass(frozen=True)
class Cutout:
    """One exposure of one source, without noise.

    Attributes
    ----------
    slit : SlitCal
        As calibrated; its arrays are those of unit brightness.
    factor : ndarray, shape (n_spat, n_wave) [MJy per DN/s]
    sky, source : ndarray, shape (n_spat, n_wave) [DN/s]
        `source` at unit brightness.
    dark, gain, read : ndarray, shape (n_spat, n_wave) [DN/s], [e/DN], [DN/s]
    good : ndarray of bool, shape (n_spat, n_wave)
        Calibrated, and not known to be bad.
    """

    slit: SlitCal
    factor: Array
    sky: Array
    source: Array
    dark: Array
    gain: Array
    read: Array
    good: NDArray[np.bool_] = field(repr=False)

    def variance(self, rate: Array) -> Array:
        """Photon variance at a count rate without dark current [(DN/s)^2]."""
        return (np.maximum(rate, 0.0) + self.dark) / (self.gain * SECONDS)


@cache
def load(cal: Path) -> Cutout:
    """Read a cutout and what was painted into it."""
    slit = SlitCal.read(cal)
    window = _window(slit)
    with np.load(_truth_path(cal)) as painted:
        sky, source = painted["sky"], painted["source"]
    factor = np.sqrt(np.asarray(slit.var_rnoise, float))
    good = ~slit.bad & np.isfinite(factor) & (factor > 0)
    noise = np.asarray(read_noise(DETECTOR)[window], float)
    return Cutout(
        slit=slit,
        factor=np.where(good, factor, 0.0),
        sky=np.asarray(sky, float),
        source=np.asarray(source, float),
        dark=np.asarray(dark_rate(DETECTOR)[window], float),
        gain=np.asarray(gain(DETECTOR)[window], float),
        read=READ_NOISE * noise / float(np.median(read_noise(DETECTOR))),
        good=good,
    )
