"""The recipe: the science on one screen.

    exposure (uncal)
      -> detector     ramps to raw count rates                          one job per exposure and detector
      -> clean        background and noise of the count-rate image      one job per exposure and detector
      -> calibrate    2D cutout of a source, wavelength and flux        one job per source and exposure
      -> nodsub       sky from the other nods                           one job per source, visit and detector
      -> stack        nods and detectors to one rectified 2D spectrum   one job per source and grating
      -> extract      2D to 1D                                          one job per source and grating
      -> redshift     1D to redshift                                    one job per source and grating
    summary           one row per source and grating

Each stage is planned from the files that the stages before it left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from nirfire.errors import DataError
from nirfire.pipeline.jobs import DATA_ERROR, NO_WORK, Job
from nirfire.pipeline.observation import Inputs
from nirfire.products.msa import Metafile
from nirfire.products.naming import BKGSUB, CAL, RATE, RATERAW, S2D, SPEC, ExposureName, Workspace, zfit_of
from nirfire.products.rate import read_exposure_header, read_slitlets
from nirfire.tasks.adopt import adopt
from nirfire.tasks.calibrate import calibrate
from nirfire.tasks.clean import clean
from nirfire.tasks.detector import detector
from nirfire.tasks.extract import extract
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.redshift import redshift
from nirfire.tasks.settings import Config
from nirfire.tasks.stack import stack
from nirfire.tasks.stuck import read_stuck


@dataclass(frozen=True)
class Context:
    """What planning needs: where things are, what came in, how to do it, and for which sources."""

    workspace: Workspace
    inputs: Inputs
    config: Config
    sources: frozenset[int] | None = None

    def wanted(self, source: int) -> bool:
        return self.sources is None or source in self.sources


def plan_adopt(c: Context) -> list[Job]:
    jobs = []
    for (name, source), path in c.inputs.cutouts.items():
        if c.wanted(source):
            target = c.workspace.slit(name, source, CAL)
            jobs.append(Job("adopt", f"{name} {source}", adopt, {"cutout": path, "cal": target}, (path,), (target,)))
    return jobs


def plan_detector(c: Context) -> list[Job]:
    jobs = []
    for name, path in c.inputs.uncal.items():
        out = c.workspace.exposure(name, RATERAW)
        arguments = {"uncal": path, "rateraw": out, "settings": c.config.detector}
        jobs.append(Job("detector", str(name), detector, arguments, (path,), (out,)))
    return jobs


def plan_clean(c: Context) -> list[Job]:
    jobs = []
    for name in c.workspace.find_exposures(RATERAW):
        path, out = c.workspace.exposure(name, RATERAW), c.workspace.exposure(name, RATE)
        arguments = {"rateraw": path, "rate": out, "settings": c.config.clean}
        jobs.append(Job("clean", str(name), clean, arguments, (path,), (out,)))
    return jobs


def plan_calibrate(c: Context) -> list[Job]:
    jobs = []
    stuck = read_stuck(c.workspace.stuck_list)
    for name in c.workspace.find_exposures(RATE):
        rate = c.workspace.exposure(name, RATE)
        closed = stuck.get(name.root, {})
        try:
            sources = _sources_in(rate)
        except DataError as error:
            jobs.append(Job("calibrate", str(name), calibrate, {}, (rate,), (), ended=(DATA_ERROR, str(error))))
            continue
        for source, falls_here in sources.items():
            if not c.wanted(source):
                continue
            ended = None if falls_here else (NO_WORK, "its slitlet misses this detector")
            cal = c.workspace.slit(name, source, CAL)
            arguments = {"rate": rate, "cal": cal, "source": source, "settings": c.config.calibrate}
            arguments["closed"] = closed.get(source, ())
            jobs.append(Job("calibrate", f"{name} {source}", calibrate, arguments, (rate,), (cal,), ended))
    return jobs


def plan_nodsub(c: Context) -> list[Job]:
    jobs = []
    for source in filter(c.wanted, c.workspace.find_sources()):
        groups: dict[tuple[str, str], list[ExposureName]] = defaultdict(list)
        for name in c.workspace.find_slits(source, CAL):
            groups[name.root, name.detector].append(name)
        for (root, detector_name), names in sorted(groups.items()):
            cals = [c.workspace.slit(name, source, CAL) for name in names]
            outputs = [c.workspace.slit(name, source, BKGSUB) for name in names]
            arguments = {"cals": cals, "outputs": outputs, "settings": c.config.nodsub}
            key = f"{root} {detector_name} {source}"
            jobs.append(Job("nodsub", key, nodsub, arguments, tuple(cals), tuple(outputs)))
    return jobs


def plan_stack(c: Context) -> list[Job]:
    jobs = []
    for source, grating, filter_, paths in _stacks(c):
        out = c.workspace.combined(source, grating, filter_, S2D)
        arguments = {"inputs": paths, "s2d": out, "settings": c.config.stack}
        jobs.append(Job("stack", f"{source} {grating}", stack, arguments, tuple(paths), (out,)))
    return jobs


def plan_extract(c: Context) -> list[Job]:
    jobs = []
    for source, grating, filter_, paths in _stacks(c):
        s2d, out = (c.workspace.combined(source, grating, filter_, s) for s in (S2D, SPEC))
        if s2d.exists():
            arguments = {"s2d": s2d, "inputs": paths, "spec": out, "source": source, "settings": c.config.extract}
            jobs.append(Job("extract", f"{source} {grating}", extract, arguments, (s2d,), (out,)))
    return jobs


def plan_redshift(c: Context) -> list[Job]:
    jobs = []
    for source in filter(c.wanted, c.workspace.find_sources()):
        for spec in c.workspace.find_combined(source, SPEC):
            out = zfit_of(spec)
            arguments = {"spec": spec, "zfit": out, "settings": c.config.redshift}
            jobs.append(Job("redshift", spec.name.removesuffix(SPEC), redshift, arguments, (spec,), (out,)))
    return jobs


STAGES: dict[str, Callable[[Context], list[Job]]] = {
    "adopt": plan_adopt,
    "detector": plan_detector,
    "clean": plan_clean,
    "calibrate": plan_calibrate,
    "nodsub": plan_nodsub,
    "stack": plan_stack,
    "extract": plan_extract,
    "redshift": plan_redshift,
}


def _sources_in(rate: Path) -> dict[int, bool]:
    """Sources of an exposure's MSA configuration, and whether their slitlets fall on its detector."""
    facts = read_exposure_header(rate)
    metafile = Metafile.read(facts.metafile)
    here = read_slitlets(rate)
    sources = metafile.source_ids(facts.metadata_id)
    return {s: here is None or bool(metafile.slitlets_of(s, facts.metadata_id) & here) for s in sources}


def _stacks(c: Context) -> list[tuple[int, str, str, list[Path]]]:
    """(source, grating, filter, nod-subtracted files) of every stack."""
    found = []
    for source in filter(c.wanted, c.workspace.find_sources()):
        groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for name in c.workspace.find_slits(source, BKGSUB):
            path = c.workspace.slit(name, source, BKGSUB)
            header = fits.getheader(path)
            groups[header["GRATING"], header["FILTER"]].append(path)
        found += [(source, grating, filter_, paths) for (grating, filter_), paths in sorted(groups.items())]
    return found
