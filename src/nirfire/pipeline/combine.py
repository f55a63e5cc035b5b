"""Jobs that bring what there is of a source together: offsets of visits, stacks, spectra, redshifts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nirfire.pipeline.groups import Group, Slit
from nirfire.pipeline.jobs import Job
from nirfire.pipeline.special import Special
from nirfire.pipeline.stages import HORNE, TASKS
from nirfire.products.naming import S2D, SPEC, ZFIT, ExposureName, Workspace

Place = tuple[str, int, str]
"""Key of a job, source, grating."""


def offsets_jobs(groups: Mapping[int, list[Group]], workspace: Workspace, special: Special) -> list[Job]:
    """One job for each visit and activity, from the cutouts of all its sources; none where nobody asks."""
    lit: dict[str, list[Slit]] = defaultdict(list)
    for slit in (slit for mine in groups.values() for group in mine for slit in group.science):
        lit[slit.name.root].append(slit)
    return [_offsets(root, mine, workspace) for root, mine in sorted(lit.items()) if special.method == "model"]


def _root(path: Path) -> str:
    name = ExposureName.from_path(path)
    return name.root if name else ""


def _offsets(root: str, slits: list[Slit], workspace: Workspace) -> Job:
    paths, table = tuple(slit.bkgsub for slit in slits), workspace.offsets(root)
    return Job(TASKS["offsets"], root, {"table": table}, {}, (), paths, (table,), None, root, slits[0].grating)


def _by_grating(groups: Iterable[Group]) -> dict[tuple[str, str], dict[str, list[Path]]]:
    """The nod-subtracted files of each grating and filter, by exposure group; none where all nods are left out."""
    found: dict[tuple[str, str], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for group in groups:
        for slit in (*group.science, *group.dropped):
            label = found[slit.grating, slit.filter][group.name.rpartition(" ")[0]]
            if slit in group.science:
                label.append(slit.bkgsub)
    return dict(sorted(found.items()))


def combine_jobs(source: int, groups: Iterable[Group], workspace: Workspace, special: Special) -> list[Job]:
    """What one source has of stacks, spectra and redshifts."""
    jobs: list[Job] = []
    specs: list[Path] = []
    zfits: list[Path] = []
    for (grating, filter_), parts in _by_grating(groups).items():
        s2d, spec, zfit = (workspace.combined(source, grating, filter_, suffix) for suffix in (S2D, SPEC, ZFIT))
        place = f"{source} {grating} {filter_}", source, grating
        paths = tuple(path for part in parts.values() for path in part)
        if special.method == "horne":
            stacks = _stacks(place, parts, s2d, workspace)
            jobs += [*stacks, _horne(place, paths, [job.outputs[0] for job in stacks], spec, special)]
        else:
            jobs.append(replace(_extract(place, paths, spec, workspace, special), dropped=(s2d,)))
        key, _, _ = place
        arguments = {"spec": spec, "zfit": zfit}
        jobs.append(Job(TASKS["redshift"], key, arguments, {}, (spec,), (), (zfit,), source, "", grating))
        specs.append(spec)
        zfits.append(zfit)
    joint, agreed = workspace.joint(source), workspace.joint_zfit(source)
    if len(specs) == 1:
        jobs[-1] = replace(jobs[-1], dropped=(joint, agreed))
    elif specs:
        jobs.append(Job(TASKS["join"], str(source), {"joined": joint}, {}, (), tuple(specs), (joint,), source))
        jobs.append(Job(TASKS["agree"], str(source), {"agreed": agreed}, {}, (), tuple(zfits), (agreed,), source))
    return jobs


def _stacks(place: Place, parts: Mapping[str, list[Path]], s2d: Path, workspace: Workspace) -> list[Job]:
    """The stack of all exposures, and where the source lies differently in several groups, one of each."""
    key, source, grating = place
    paths = tuple(path for part in parts.values() for path in part)
    made = [Job(TASKS["stack"], key, {"s2d": s2d}, {}, (), paths, (s2d,), source, "", grating)]
    several = {label: part for label, part in parts.items() if part}
    for label, part in several.items() if len(several) > 1 else ():
        own = workspace.stack_of_group(s2d, label)
        made.append(
            Job(TASKS["stack"], f"{key} {label}", {"s2d": own}, {}, (), tuple(part), (own,), source, "", grating)
        )
    return made


def _horne(place: Place, paths: tuple[Path, ...], s2ds: list[Path], spec: Path, special: Special) -> Job:
    key, source, grating = place
    facts = {"source": source}
    arguments = {"s2ds": s2ds[:1], "spec": spec, "photometry": special.photometry, **facts}
    given = (s2ds[0], *((special.photometry,) if special.photometry else ()))
    return Job(HORNE, key, arguments, facts, given, (*paths, *s2ds[1:]), (spec,), source, "", grating)


def _extract(place: Place, paths: tuple[Path, ...], spec: Path, workspace: Workspace, special: Special) -> Job:
    key, source, grating = place
    facts: dict[str, Any] = {"source": source}
    if source in special.shapes:
        facts["shape"] = special.shapes[source].model_dump(mode="json")
    asks = tuple(workspace.offsets(root) for root in sorted({_root(path) for path in paths}))
    given = (special.photometry,) if special.photometry else ()
    arguments = {"spec": spec, "photometry": special.photometry, **facts}
    return Job(TASKS["extract"], key, arguments, facts, given, paths, (spec,), source, "", grating, asks)
