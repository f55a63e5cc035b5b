"""The recipe: the science on one screen.

    exposure (uncal)
      -> detector     ramps to raw count rates                          one job per exposure and detector
      -> clean        background and noise of the count-rate image      one job per exposure and detector
      -> shutters     stuck-closed shutters, by their sky               one job per visit and activity
      -> calibrate    2D cutout of a source, wavelength and flux        one job per source and exposure
         (adopt       a cutout that others calibrated comes in here)
      -> sky          sky of all blank shutters, if a source wants it   one job per exposure
      -> nodsub       sky from the other nods                           one job per source and background group
      -> offsets      how far sources are from their planned places     one job per visit and activity
      -> extract      all nods to a 1D spectrum, by a model of it       one job per source and grating
         (stack       only for extraction as published: stock 2D        one job per source and grating)
      -> join         1D spectra of all gratings to one                 one job per source
      -> redshift     1D to redshift                                    one job per source and grating
      -> agree        one redshift from those of all gratings           one job per source
    summary           one row per source and grating

All jobs are known from headers and MSA metafiles before the first is run. A source whose slitlet misses a detector
ends there as no-work, and what gathers several exposures takes those that are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nirfire.pipeline.combine import combine_jobs, offsets_jobs
from nirfire.pipeline.groups import Group, Labels, Slit, make_groups
from nirfire.pipeline.jobs import Job
from nirfire.pipeline.observation import Cutout, Exposure, Inputs
from nirfire.pipeline.special import Special
from nirfire.pipeline.stages import TASKS
from nirfire.products.naming import (
    BKGSUB,
    CAL,
    RATE,
    RATERAW,
    UNCAL,
    ExposureName,
    Workspace,
)
from nirfire.products.positions import Positions

Places = dict[tuple[Path, int], dict[int, dict[int, tuple[float, float]]]]
"""(metafile, configuration) -> source -> dither point -> (x, y)."""


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
    labels = Labels(special.config_groups, inputs.exposures)
    jobs += [_detector(e, workspace) for e in inputs.exposures if e.enters == UNCAL]
    jobs += [_clean(e, workspace, special) for e in inputs.exposures if e.enters != RATE]
    jobs += _shutters(inputs, labels, workspace)
    context = workspace, special, _measured_places(inputs.exposures, special.positions)
    for exposure in inputs.exposures:
        shutters = workspace.shutters(labels.shutters(exposure))
        made = _calibrate(exposure, exposure.sources, shutters, *context)
        jobs += made
        label, header = labels.of(exposure), exposure.header
        for job in made:
            source = job.source or 0
            bkgsub = workspace.slit(exposure.name, source, BKGSUB)
            slits[source].append(Slit(exposure.name, job.outputs[0], bkgsub, label, header.grating, header.filter))
    jobs += _cutouts(inputs.cutouts, workspace, special, labels, slits)
    _expect_lost(inputs, workspace, slits)
    groups = {source: make_groups(source, slits[source], special.nods) for source in sorted(slits)}
    wanted = _wanted_skies(groups, special)
    blank = [
        job
        for exposure in inputs.exposures
        if exposure.name.both in wanted
        for job in _calibrate(exposure, exposure.blank, workspace.shutters(labels.shutters(exposure)), *context)
    ]
    cals = [slit.cal for source in sorted(slits) for slit in slits[source]]
    jobs += [*blank, *_skies(wanted, [*cals, *(path for job in blank for path in job.outputs)], workspace)]
    late: dict[str, list[Job]] = {stage: [] for stage in ("stack", "extract", "join", "redshift", "agree")}
    for source, mine in groups.items():
        jobs += [_nodsub(source, group, workspace, special) for group in mine]
        for job in combine_jobs(source, mine, workspace, special):
            late[job.stage].append(job)
    jobs += offsets_jobs(groups, workspace, special)
    return [*jobs, *(job for stage in late for job in late[stage])]


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


def _shutters(inputs: Inputs, labels: Labels, workspace: Workspace) -> list[Job]:
    """One job for each visit and activity: from its rates, or from its cutouts where there are only those.

    Rates that exposures would give whose files cannot be used are expected, as of other nods: see `_expect_lost`.
    """
    rates: dict[str, list[Exposure]] = defaultdict(list)
    cutouts: dict[str, list[Cutout]] = defaultdict(list)
    for exposure in inputs.exposures:
        rates[labels.shutters(exposure)].append(exposure)
    for cutout in inputs.cutouts:
        if not any(name.startswith(cutout.name.root) for name in rates):
            cutouts[cutout.name.root].append(cutout)
    jobs = []
    for root in sorted(rates.keys() | cutouts.keys()):
        mine, table = rates.get(root, []), workspace.shutters(root)
        given = tuple(_made_or_given(e, RATE, workspace) for e in mine) or tuple(c.path for c in cutouts[root])
        if mine:
            lost = [name for name, only in inputs.lost if name.root == root and only is None]
            given += tuple(workspace.exposure(name, RATE) for name in lost)
        metafiles = tuple(sorted({e.header.metafile for e in mine}))
        grating = mine[0].header.grating if mine else cutouts[root][0].grating
        job = Job(TASKS["shutters"], root, {"table": table}, {}, metafiles, given, (table,), None, root, grating)
        jobs.append(job)
    return jobs


def _calibrate(
    exposure: Exposure, sources: Iterable[int], shutters: Path, workspace: Workspace, special: Special, places: Places
) -> list[Job]:
    name, header = exposure.name, exposure.header
    measured, own = places[header.metafile, header.metadata_id], special.positions.get(name.both, {})
    rate = _made_or_given(exposure, RATE, workspace)
    jobs = []
    for source in sources:
        cal = workspace.slit(name, source, CAL)
        closed, asks = _closed(name.root, source, shutters, special)
        facts: dict[str, Any] = {"source": source, **closed}
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
                asks=asks,
            )
        )
    return jobs


def _closed(root: str, source: int, shutters: Path, special: Special) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Closed shutters of a source as people list them, or else the product that is asked for them."""
    listed = special.stuck.get(root, {})
    if source in listed:
        return {"closed": listed[source]}, ()
    return {}, (shutters,)


def _cutouts(
    cutouts: list[Cutout], workspace: Workspace, special: Special, labels: Labels, slits: dict[int, list[Slit]]
) -> list[Job]:
    """Jobs that adopt cutouts; those that nirfire calibrated are used where they lie."""
    jobs = []
    for c in cutouts:
        cal = c.path if c.ours else workspace.slit(c.name, c.source, CAL)
        bkgsub = workspace.slit(c.name, c.source, BKGSUB)
        slits[c.source].append(Slit(c.name, cal, bkgsub, labels.named(c.name), c.grating, c.filter))
        if not c.ours:
            facts, asks = _closed(c.name.root, c.source, workspace.shutters(c.name.root), special)
            arguments = {"cutout": c.path, "cal": cal, **facts}
            key, place = f"{c.name} {c.source}", (c.source, str(c.name), c.grating)
            jobs.append(Job(TASKS["adopt"], key, arguments, facts, (c.path,), (), (cal,), *place, asks))
    return jobs


def _expect_lost(inputs: Inputs, workspace: Workspace, slits: dict[int, list[Slit]]) -> None:
    """Add the cutouts that exposures would give whose files cannot be used, as other nods of the same activity do.

    Nothing makes them; but what gathers nods is then known to lack them, and made again when the files are mended.
    """
    for name, only in inputs.lost:
        for source, found in slits.items():
            alike = [s for s in found if s.name.root == name.root and only in (None, source)]
            labels = {s.group.rpartition(" ")[0] for s in alike}
            if len(labels) == 1 and all(s.name != name for s in found):  # else it is not known which group it was in
                cal, bkgsub = (workspace.slit(name, source, suffix) for suffix in (CAL, BKGSUB))
                like, group = alike[0], f"{labels.pop()} {name.detector}"
                found.append(Slit(name, cal, bkgsub, group, like.grating, like.filter))


def _wants_sky(source: int, group: Group, special: Special) -> bool:
    """True when the sky of all blank shutters may be needed: it is asked for, or there is no other nod."""
    kind = special.backgrounds.get(source, special.background)
    return bool(group.science) and (kind != "nods" or len(group.members) == 1)


def _wanted_skies(groups: Mapping[int, list[Group]], special: Special) -> dict[str, str]:
    """Exposures whose sky may be needed, and their gratings."""
    return {
        slit.name.both: slit.grating
        for source, mine in groups.items()
        for group in mine
        if _wants_sky(source, group, special)
        for slit in group.members
    }


def _skies(wanted: Mapping[str, str], cals: Iterable[Path], workspace: Workspace) -> list[Job]:
    """One job for each exposure, from all its cutouts: of sources, and of virtual ones."""
    members: dict[str, list[Path]] = defaultdict(list)
    for path in cals:
        if name := ExposureName.from_path(path):
            members[name.both].append(path)
    return [
        Job(TASKS["sky"], both, {"sky": sky}, {}, (), tuple(members[both]), (sky,), None, both, wanted[both])
        for both in sorted(wanted)
        for sky in [workspace.sky(both)]
    ]


def _nodsub(source: int, group: Group, workspace: Workspace, special: Special) -> Job:
    facts: dict[str, Any] = {}
    skies: tuple[Path, ...] = ()
    if source in special.backgrounds:
        facts["background"] = special.backgrounds[source]
    if group.allowed:
        facts["allowed"] = dict(group.allowed)
    if _wants_sky(source, group, special):
        skies = tuple(workspace.sky(both) for both in sorted({slit.name.both for slit in group.members}))
    no_science = {"no_science": [str(slit.name) for slit in group.others]} if group.others else {}
    return Job(
        TASKS["nodsub"],
        key=f"{group.name} {source}",
        arguments=facts,
        facts=facts | no_science,
        gathered=(*(slit.cal for slit in group.members), *skies),
        outputs=tuple(slit.bkgsub for slit in group.science),
        source=source,
        grating=group.grating,
        dropped=tuple(slit.bkgsub for slit in group.dropped),
    )
