"""The recipe: the science on one screen.

    exposure (uncal)
      -> detector     ramps to raw count rates                          one job per exposure and detector
      -> clean        background and noise of the count-rate image      one job per exposure and detector
      -> calibrate    2D cutout of a source, wavelength and flux        one job per source and exposure
         (adopt       a cutout that others calibrated comes in here)
      -> nodsub       sky from the other nods                           one job per source and background group
      -> stack        nods and detectors to one rectified 2D spectrum   one job per source and grating
      -> extract      2D to 1D                                          one job per source and grating
      -> redshift     1D to redshift                                    one job per source and grating
    summary           one row per source and grating

All jobs are known from headers and MSA metafiles before the first is run. A source whose slitlet misses a detector
ends there as no-work, and what gathers several exposures takes those that are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nirfire.pipeline.jobs import Job, Task
from nirfire.pipeline.observation import Cutout, Exposure, Inputs
from nirfire.products.naming import (
    BKGSUB,
    CAL,
    RATE,
    RATERAW,
    S2D,
    SPEC,
    UNCAL,
    ZFIT,
    ExposureName,
    Workspace,
)
from nirfire.products.positions import Positions
from nirfire.tasks.stuck import StuckList

EXPOSURE, PAIR, GROUP, COMBINED = (
    "exposure, detector",
    "source, exposure",
    "source, background group",
    "source, grating",
)
TASKS = {
    t.stage: t
    for t in (
        Task("detector", 1, "nirfire.tasks.detector:detector", "ramps to raw count rates", EXPOSURE, stock=True),
        Task("clean", 2, "nirfire.tasks.clean:clean", "background and noise of count rates", EXPOSURE, stock=True),
        Task(
            *("calibrate", 2, "nirfire.tasks.calibrate:calibrate", "2D cutout, wavelength, flux", PAIR),
            stock=True,
            shares=True,
        ),
        Task("adopt", 1, "nirfire.tasks.adopt:adopt", "cutouts that others calibrated", PAIR, stock=True),
        Task(
            *("nodsub", 1, "nirfire.tasks.nodsub:nodsub", "sky from the other nods", GROUP),
            gather="cals",
            paired="outputs",
        ),
        Task("stack", 1, "nirfire.tasks.stack:stack", "one rectified 2D spectrum", COMBINED, "inputs", stock=True),
        Task("extract", 1, "nirfire.tasks.extract:extract", "2D to 1D", COMBINED, "inputs"),
        Task("redshift", 1, "nirfire.tasks.redshift:redshift", "1D to redshift", COMBINED),
    )
}
STAGES = tuple(TASKS)
Places = dict[tuple[Path, int], dict[int, dict[int, tuple[float, float]]]]
"""(metafile, configuration) -> source -> dither point -> (x, y)."""
EXPOSURE_STAGES = ("detector", "clean")


@dataclass(frozen=True)
class Special:
    """What people say of an observation, beside its settings.

    Attributes
    ----------
    stuck : dict
        Stuck-closed shutters: root -> source -> ordinals.
    masks : mapping
        DS9 regions by exposure; their pixels are not used.
    config_groups : tuple of tuple of str
        Activities whose nods may pair.
    positions : dict
        Measured places of sources: exposure without detector -> source -> (x, y).
    source_types : mapping of int to str
        How single sources are calibrated.
    tables : tuple of Path
        Further files that the calibration of every source reads.
    """

    stuck: StuckList = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)
    config_groups: tuple[tuple[str, ...], ...] = ()
    positions: Positions = field(default_factory=dict)
    source_types: Mapping[int, str] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Slit:
    """A ``_cal.fits`` and what comes of it, there or to come."""

    name: ExposureName
    cal: Path
    bkgsub: Path
    group: str
    grating: str
    filter: str


def make_jobs(inputs: Inputs, workspace: Workspace, special: Special) -> list[Job]:
    """All jobs of an observation, stage by stage.

    Parameters
    ----------
    inputs : Inputs
        What came in.
    workspace : Workspace
        Where the products go.
    special : Special
        Stuck shutters, masks, and groups.

    Returns
    -------
    list of Job
        Every job comes after those that make its inputs.
    """
    jobs: list[Job] = []
    slits: dict[int, list[Slit]] = defaultdict(list)
    jobs += [_detector(e, workspace) for e in inputs.exposures if e.enters == UNCAL]
    jobs += [_clean(e, workspace, special) for e in inputs.exposures if e.enters != RATE]
    places = _measured_places(inputs.exposures, special.positions)
    for exposure in inputs.exposures:
        jobs += _calibrate(exposure, workspace, special, slits, places)
    jobs += _cutouts(inputs.cutouts, workspace, special, slits)
    _expect_lost(inputs, workspace, slits)
    combined: dict[str, list[Job]] = {"stack": [], "extract": [], "redshift": []}
    for source in sorted(slits):
        jobs += _nodsub(source, slits[source])
        for (grating, filter_), paths in _by_grating(slits[source]):
            for job in _combine(source, grating, filter_, paths, workspace):
                combined[job.stage].append(job)
    return [*jobs, *combined["stack"], *combined["extract"], *combined["redshift"]]


def _made_or_given(exposure: Exposure, suffix: str, workspace: Workspace) -> Path:
    """Path of an exposure's file: where it lies when it was given, else where it will be made."""
    return exposure.path if exposure.enters == suffix else workspace.exposure(exposure.name, suffix)


def _detector(exposure: Exposure, workspace: Workspace) -> Job:
    out = workspace.exposure(exposure.name, RATERAW)
    return Job(
        TASKS["detector"],
        key=str(exposure.name),
        arguments={"uncal": exposure.path, "rateraw": out},
        inputs=(exposure.path,),
        outputs=(out,),
        exposure=str(exposure.name),
        grating=exposure.header.grating,
    )


def _clean(exposure: Exposure, workspace: Workspace, special: Special) -> Job:
    path, out = _made_or_given(exposure, RATERAW, workspace), workspace.exposure(exposure.name, RATE)
    regions = special.masks.get(str(exposure.name))
    facts = {"regions": regions} if regions else {}
    return Job(
        TASKS["clean"],
        key=str(exposure.name),
        arguments={"rateraw": path, "rate": out, **facts},
        facts=facts,
        inputs=(path, exposure.header.metafile),
        outputs=(out,),
        exposure=str(exposure.name),
        grating=exposure.header.grating,
    )


def _measured_places(exposures: Iterable[Exposure], positions: Positions) -> Places:
    """Measured places by configuration and source, at all dither points: a nod without the source needs the others'."""
    places: Places = defaultdict(lambda: defaultdict(dict))
    for exposure in exposures:
        header = exposure.header
        for source, place in positions.get(exposure.name.both, {}).items():
            places[header.metafile, header.metadata_id][source][header.dither_point] = place
    return places


def _calibrate(
    exposure: Exposure, workspace: Workspace, special: Special, slits: dict[int, list[Slit]], places: Places
) -> list[Job]:
    name, header = exposure.name, exposure.header
    measured, own = places[header.metafile, header.metadata_id], special.positions.get(name.both, {})
    rate = _made_or_given(exposure, RATE, workspace)
    closed = special.stuck.get(name.root, {})
    group = _group(name, special.config_groups, header.sub_dither)
    jobs = []
    for source in exposure.sources:
        cal = workspace.slit(name, source, CAL)
        bkgsub = workspace.slit(name, source, BKGSUB)
        slits[source].append(Slit(name, cal, bkgsub, group, header.grating, header.filter))
        facts: dict[str, Any] = {"source": source, "closed": closed.get(source, ())}
        if source in measured:
            mine = {header.dither_point: own[source]} if source in own else {}
            facts["positions"] = {**measured[source], **mine}
        if source in special.source_types:
            facts["source_type"] = special.source_types[source]
        jobs.append(
            Job(
                TASKS["calibrate"],
                key=f"{name} {source}",
                arguments={"rate": rate, "cal": cal, "references": workspace.references, **facts},
                facts=facts,
                inputs=(rate, header.metafile, *special.tables),
                outputs=(cal,),
                source=source,
                exposure=name.exposure,
                grating=header.grating,
            )
        )
    return jobs


def _cutouts(cutouts: list[Cutout], workspace: Workspace, special: Special, slits: dict[int, list[Slit]]) -> list[Job]:
    """Jobs that adopt cutouts; those that nirfire calibrated are used where they lie."""
    jobs = []
    for c in cutouts:
        cal = c.path if c.ours else workspace.slit(c.name, c.source, CAL)
        group = _group(c.name, special.config_groups, 1)
        bkgsub = workspace.slit(c.name, c.source, BKGSUB)
        slits[c.source].append(Slit(c.name, cal, bkgsub, group, c.grating, c.filter))
        if not c.ours:
            arguments = {"cutout": c.path, "cal": cal}
            key, exposure = f"{c.name} {c.source}", str(c.name)
            job = Job(TASKS["adopt"], key, arguments, {}, (c.path,), (), (cal,), c.source, exposure, c.grating)
            jobs.append(job)
    return jobs


def _expect_lost(inputs: Inputs, workspace: Workspace, slits: dict[int, list[Slit]]) -> None:
    """Add the cutouts that exposures would give whose files cannot be used, as other nods of the same activity do.

    Nothing makes them; but what gathers nods is then known to lack them, and made again when the files are mended.
    """
    for name, only in inputs.lost:
        for source, found in slits.items():
            like = next((s for s in found if s.name.root == name.root and only in (None, source)), None)
            if like and all(s.name != name for s in found):
                cal, bkgsub = (workspace.slit(name, source, suffix) for suffix in (CAL, BKGSUB))
                group = f"{like.group.rpartition(' ')[0]} {name.detector}"
                found.append(Slit(name, cal, bkgsub, group, like.grating, like.filter))


def _group(name: ExposureName, config_groups: tuple[tuple[str, ...], ...], sub_dither: int) -> str:
    """Background group of an exposure: nods with the same label are subtracted from each other."""
    visit, activity = name.root.split("_")
    together = next(("+".join(group) for group in config_groups if activity in group), activity)
    dither = f"_dither{sub_dither}" if sub_dither > 1 else ""
    return f"{visit}_{together}{dither} {name.detector}"


def _nodsub(source: int, slits: list[Slit]) -> list[Job]:
    groups: dict[tuple[str, str], list[Slit]] = defaultdict(list)
    for slit in slits:
        groups[slit.group, slit.grating].append(slit)
    jobs = []
    for (group, grating), members in sorted(groups.items()):
        outputs = tuple(m.bkgsub for m in members)
        cals = tuple(m.cal for m in members)
        jobs.append(
            Job(TASKS["nodsub"], f"{group} {source}", {}, {}, (), cals, outputs, source=source, grating=grating)
        )
    return jobs


def _by_grating(slits: list[Slit]) -> list[tuple[tuple[str, str], tuple[Path, ...]]]:
    """The nod-subtracted files of each stack."""
    stacks: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for slit in slits:
        stacks[slit.grating, slit.filter].append(slit.bkgsub)
    return [(optics, tuple(paths)) for optics, paths in sorted(stacks.items())]


def _combine(source: int, grating: str, filter_: str, paths: tuple[Path, ...], workspace: Workspace) -> list[Job]:
    """Stack, extract and redshift of one source in one grating."""
    s2d, spec, zfit = (workspace.combined(source, grating, filter_, suffix) for suffix in (S2D, SPEC, ZFIT))
    key = f"{source} {grating} {filter_}"
    facts = {"source": source}
    stack = Job(TASKS["stack"], key, {"s2d": s2d}, {}, (), paths, (s2d,), source, "", grating)
    arguments = {"s2d": s2d, "spec": spec, "source": source}
    extract = Job(TASKS["extract"], key, arguments, facts, (s2d,), paths, (spec,), source, "", grating)
    arguments = {"spec": spec, "zfit": zfit}
    redshift = Job(TASKS["redshift"], key, arguments, {}, (spec,), (), (zfit,), source, "", grating)
    return [stack, extract, redshift]
