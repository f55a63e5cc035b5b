"""A whole simulated observation: pointings, exposures, MSA metafiles, truth tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.naming import UNCAL, ExposureName, visit_metafile
from nirfire.simulate import truth
from nirfire.simulate.detector import Noise, generators, make_exposure
from nirfire.simulate.metafile import DitherPoint, MetafileContent, virtual_id, write_metafile
from nirfire.simulate.optics import DETECTORS, MODES, Optics, Pointing, load_optics
from nirfire.simulate.paint import Placement, Setup, paint, place_source, source_sky
from nirfire.simulate.scene import NOD_SHUTTERS, Scene, Slitlet, Source
from nirfire.simulate.seds import power_law
from nirfire.stsci.exposure_files import PATTERNS, ExposureHeader, Readout, write_uncal

PROGRAM, OBSERVATION = 9999, 1
_DITHERS = ((0.0, 0.0), (0.25, 0.10), (-0.25, -0.10), (0.12, -0.2))  # pitch; moves of the sources between dithers
_VISIT_STEP = (0.06, -0.08)  # pitch; pointing error of each further visit
_V3I_YANG = 138.57457


@dataclass(frozen=True)
class Options:
    """How an observation is made.

    Attributes
    ----------
    n_nods : int
        1, 2, 3 or 5 shutters.
    n_dithers : int
        Repeats of the nods at small offsets, 1 to 4.
    n_visits : int
        Repeats of it all, each with its own metafile and pointing error.
    n_groups : int
        Groups of each ramp.
    n_integrations : int
        Ramps of an exposure.
    pattern : str
        Read pattern: NRSRAPID (10.74 s a group), NRS (four frames averaged), NRSIRS2RAPID or NRSIRS2. The references
        for the last two are in the cache of `nirfire.simulate.irs2_cache`.
    detectors : tuple of str or None
        None: those on which light of a slitlet falls.
    noise : Noise
    keep_rates : bool
        Also write the noiseless count rates to the truth folder.
    """

    n_nods: int = 3
    n_dithers: int = 1
    n_visits: int = 1
    n_groups: int = 6
    n_integrations: int = 1
    pattern: str = "NRSRAPID"
    detectors: tuple[str, ...] | None = None
    noise: Noise = field(default_factory=Noise)
    keep_rates: bool = False


@dataclass(frozen=True)
class Exposure:
    """One exposure (both detectors).

    Attributes
    ----------
    visit, number : int
    point : int
        Its dither point (PATT_NUM).
    nod : int
        Shutter to which the sources have moved.
    offset : tuple of 2 floats [pitch]
        Their further displacement.
    """

    visit: int
    number: int
    point: int
    nod: int
    offset: tuple[float, float]

    def name(self, detector: str) -> ExposureName:
        """Return its name on one detector."""
        root = f"jw{PROGRAM:05d}{OBSERVATION:03d}{self.visit:03d}_02101"
        return ExposureName(f"{root}_{self.number:05d}_{detector.lower()}")


def metafile_name(visit: int) -> str:
    """Name of the MSA metafile of a visit."""
    return visit_metafile(PROGRAM, OBSERVATION, visit)


@dataclass(frozen=True)
class Observation:
    """A planned observation. Exposures can then be made in any order or in parallel: each depends on the seed alone.

    Attributes
    ----------
    scene : Scene
    grating, filter : str
    seed : int
    options : Options
    """

    scene: Scene
    grating: str
    filter: str
    seed: int
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        if (self.filter, self.grating) not in MODES:
            known = ", ".join("/".join(m) for m in MODES)
            raise DataError(f"no such mode: {self.filter}/{self.grating}", key="grating", remedy=f"use one of {known}")
        o = self.options
        if o.n_nods not in NOD_SHUTTERS or not 1 <= o.n_dithers <= len(_DITHERS) or o.n_groups < 2:
            raise DataError(
                f"cannot simulate {o.n_nods} nods, {o.n_dithers} dithers, {o.n_groups} groups",
                key="options",
                remedy=f"nods one of {tuple(NOD_SHUTTERS)}, at most {len(_DITHERS)} dithers, at least 2 groups",
            )
        if o.pattern not in PATTERNS or o.n_integrations < 1:
            raise DataError(
                f"cannot simulate {o.n_integrations} integrations read as {o.pattern}",
                key="options",
                remedy=f"at least 1 integration, a pattern of {', '.join(PATTERNS)}",
            )

    @cached_property
    def optics(self) -> Optics:
        return load_optics()

    @property
    def readout(self) -> Readout:
        """How each exposure is read."""
        return Readout(self.options.n_groups, self.options.n_integrations, PATTERNS[self.options.pattern])

    @cached_property
    def exposures(self) -> tuple[Exposure, ...]:
        """All exposures, in order."""
        made = []
        for visit in range(1, self.options.n_visits + 1):
            number = 0
            for dither in _DITHERS[: self.options.n_dithers]:
                for nod in NOD_SHUTTERS[self.options.n_nods]:
                    number += 1
                    step = tuple(d + (visit - 1) * s for d, s in zip(dither, _VISIT_STEP, strict=True))
                    made.append(Exposure(visit, number, number, nod, (step[0], step[1])))
        return tuple(made)

    @cached_property
    def detectors(self) -> tuple[str, ...]:
        """Detectors to simulate."""
        if self.options.detectors is not None:
            return self.options.detectors
        used = " ".join(self.slitlet_detectors().values())
        return tuple(d for d in DETECTORS if d in used)

    def slitlet_detectors(self) -> dict[int, str]:
        """Detectors, joined by a blank, on which each slitlet's light falls."""
        wave = np.linspace(*MODES[(self.filter, self.grating)], 60)
        found = {}
        for s in self.scene.slitlets:
            msa = self.optics.shutter_to_msa(s.quadrant, s.xcen, s.ycen)
            on = []
            for detector in DETECTORS:
                col, row = self.optics.msa_to_detector(*msa, wave, grating=self.grating, detector=detector)
                if np.sum((col > 4) & (col < 2043) & (row > 4) & (row < 2043)) > 1:
                    on.append(detector)
            found[s.slitlet_id] = " ".join(on)
        return found

    def setup(self, exposure: Exposure | None, detector: str) -> Setup:
        """Spectrograph and pointing of an exposure; of the plan if None."""
        pointing = Pointing(self.scene.ra, self.scene.dec, self.scene.roll)
        if exposure is not None:
            pointing = self._moved(pointing, exposure)
        return Setup(self.grating, self.filter, detector, pointing, self.options.n_nods)

    def _moved(self, pointing: Pointing, exposure: Exposure) -> Pointing:
        """Pointing that moves the sky at the MSA's centre by the nod and offset, without turning."""
        wave = self.setup(None, DETECTORS[0]).wave_mid
        pitch = self.optics.quadrants[3]["pitch"]
        target = (exposure.offset[0] * pitch[0], (exposure.nod + exposure.offset[1]) * pitch[1])
        ra, dec = self.optics.sky(*self.optics.msa_to_v2v3(0.0, 0.0, wave, filter=self.filter), pointing)
        moved = self.optics.msa_to_v2v3(*target, wave, filter=self.filter)
        new = pointing
        for _ in range(4):
            ra_now, dec_now = self.optics.sky(*moved, new)
            new = Pointing(new.ra_ref + float(ra - ra_now), new.dec_ref + float(dec - dec_now), new.roll_ref)
        return new

    @cached_property
    def sky(self) -> dict[int, tuple[float, float]]:
        """RA, Dec [deg] of each source by number, virtual ones included."""
        plan = self.setup(None, DETECTORS[0])
        where = {s.source_id: source_sky(self.optics, plan, slitlet, s) for slitlet, s in self.scene.sources()}
        for slitlet in self.scene.slitlets:
            if not slitlet.sources and virtual_id(slitlet) < 0:
                centre = _centre_of(slitlet)
                where[virtual_id(slitlet)] = source_sky(self.optics, plan, slitlet, centre)
        return where

    def places(self, exposure: Exposure) -> dict[int, Placement]:
        """Where each source lies during an exposure."""
        setup = self.setup(exposure, DETECTORS[0])
        return {
            s.source_id: place_source(self.optics, setup, slitlet, self.sky[s.source_id])
            for slitlet, s in self.scene.sources()
        }

    def write_tables(self, folder: Path) -> list[Path]:
        """Write the metafiles into `folder` and the truth tables into its truth folder; return the metafiles."""
        paths = []
        for visit in range(1, self.options.n_visits + 1):
            mine = [e for e in self.exposures if e.visit == visit]
            points = [DitherPoint(e.point, e.nod, e.offset, self.places(e)) for e in mine]
            content = MetafileContent(self.scene, self.options.n_nods, points, self.sky, PROGRAM, OBSERVATION, visit)
            path = folder / metafile_name(visit)
            other = len(self.scene.slitlets) + 2
            write_metafile(path, content, (1, other))
            paths.append(path)
        tables = folder / truth.FOLDER
        truth.write_table(tables / truth.CATALOGUE, truth.catalogue(self.scene, self.sky, self.slitlet_detectors()))
        truth.write_table(tables / truth.LINES, truth.lines(self.scene))
        truth.write_table(tables / truth.STUCK, truth.stuck(self.scene, self.options.n_nods))
        truth.write_spectra(tables / truth.SPECTRA, self.scene, self.grating, MODES[(self.filter, self.grating)])
        return paths

    def write_exposure(self, exposure: Exposure, detector: str, folder: Path) -> Path:
        """Simulate one exposure on one detector; return its ``_uncal.fits``.

        Its noise components are written to the truth folder.
        """
        setup = self.setup(exposure, detector)
        rate = paint(self.scene, self.optics, setup, self.places(exposure))
        rng = generators(self.seed, exposure.visit, exposure.number, detector)
        data, noise = make_exposure(rate, detector, self.readout, rng, self.options.noise)
        name = exposure.name(detector)
        path = folder / f"{name}{UNCAL}"
        write_uncal(path, data, self._header(exposure, setup))
        tables = folder / truth.FOLDER
        truth.write_table(tables / f"{name}{truth.NOISE_SUFFIX}", truth.noise_row(str(name), noise))
        if self.options.keep_rates:
            image = fits.PrimaryHDU(rate.astype(np.float32))
            image.header["BUNIT"] = "DN/s"
            write_fits(tables / f"{name}{truth.RATE_SUFFIX}", fits.HDUList([image]))
        return path

    def _header(self, exposure: Exposure, setup: Setup) -> ExposureHeader:
        p = setup.pointing
        return ExposureHeader(
            program=PROGRAM,
            observation=OBSERVATION,
            visit=exposure.visit,
            exposure=exposure.number,
            detector=setup.detector,
            filter=self.filter,
            grating=self.grating,
            metafile=metafile_name(exposure.visit),
            metadata_id=1,
            dither_point=exposure.point,
            n_dither_points=self.options.n_nods * self.options.n_dithers,
            pointing=(p.ra_ref, p.dec_ref, p.roll_ref),
            aperture=(p.v2_ref, p.v3_ref, _V3I_YANG),
            gwa=self.optics.gwa(self.grating),
            readout=self.readout,
        )


def _centre_of(slitlet: Slitlet) -> Source:
    """Return a source at the centre of a blank slitlet."""
    return Source(virtual_id(slitlet), "virtual", float("nan"), power_law(0.0))


def default_filter(grating: str) -> str:
    """Longest-wavelength filter that goes with a grating.

    Raises
    ------
    DataError
        For an unknown grating.
    """
    filters = [f for f, g in MODES if g == grating]
    if not filters:
        known = ", ".join(sorted({g for _, g in MODES}))
        raise DataError(f"unknown grating {grating!r}", key="grating", remedy=f"use one of {known}")
    return filters[-1]


def simulate_observation(
    scene: Scene,
    folder: Path,
    *,
    grating: str = "PRISM",
    filter: str | None = None,
    seed: int = 1,
    options: Options | None = None,
) -> list[Path]:
    """Simulate an observation into a folder: raw exposures, MSA metafiles, truth tables.

    Parameters
    ----------
    scene : Scene
        For example :func:`nirfire.simulate.scene.demo_scene`.
    folder : Path
        Exposures and metafiles go here, truth tables to its ``truth`` folder.
    grating : str
    filter : str, optional
        Default: :func:`default_filter`.
    seed : int
        The same seed gives the same files.
    options : Options, optional

    Returns
    -------
    list of Path
        The ``_uncal.fits``.

    Raises
    ------
    DataError
        For a mode or pattern that does not exist.
    """
    plan = Observation(scene, grating, filter or default_filter(grating), seed, options or Options())
    plan.write_tables(folder)
    return [plan.write_exposure(e, d, folder) for e in plan.exposures for d in plan.detectors]
