"""`mask validate`, `apply`, `list`, `clear` and `suggest`: pixels of an exposure that are left out by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from rich.table import Table as Grid

from nirfire.commands.aim import UNUSABLE, Aim
from nirfire.commands.output import say, show_grid
from nirfire.errors import DataError
from nirfire.pipeline.observation import Exposure
from nirfire.pipeline.plan import STALE, Plan
from nirfire.pipeline.target import Observation
from nirfire.products.atomic import write_text
from nirfire.products.naming import RATE, REGIONS, SUGGESTED, ExposureName
from nirfire.products.regions import DrawnMask, canonical_mask, check_mask, read_masks, read_region_file, write_polygons

SHOWN = 8  # names in a message


def validate(files: Sequence[Path]) -> int:
    """Check region files; all of them, before any is complained of.

    Returns
    -------
    int
        2 when one cannot be used, else 0.
    """
    grid, problems = Grid("file", "regions", "pixels"), []
    for file in files:
        try:
            drawn = check_mask(read_region_file(file), file)
        except DataError as error:
            drawn = DrawnMask(np.zeros((0, 0), bool), problems=[error])
        problems += drawn.problems
        grid.add_row(str(file), *_size(drawn))
    show_grid(grid)
    for problem in problems:
        say(f"error: {problem}")
    return UNUSABLE if problems else 0


def _size(drawn: DrawnMask) -> tuple[str, str]:
    return ("unusable", "") if drawn.problems else (str(drawn.regions), str(int(drawn.mask.sum())))


@dataclass(frozen=True)
class _Place:
    """One exposure of one observation, and where its mask is kept."""

    observation: Observation
    exposure: Exposure

    @property
    def name(self) -> ExposureName:
        return self.exposure.name

    @property
    def file(self) -> Path:
        return self.observation.workspace.mask(self.name)

    @property
    def rate(self) -> Path:
        return (
            self.exposure.path if self.exposure.enters == RATE else self.observation.workspace.exposure(self.name, RATE)
        )

    @property
    def listed(self) -> str:
        """Its mask in `observations.toml`; empty when there is none."""
        return self.observation.spec.masks.get(str(self.name), "") if self.observation.spec else ""


def _places(aim: Aim, exposure: str | None = None) -> list[_Place]:
    """Exposures of a target, or the one that is named.

    Raises
    ------
    DataError
        It is not among them.
    """
    every = [_Place(o, e) for o in aim.observations() for e in o.inputs().exposures]
    if exposure is None:
        return every
    name = ExposureName.from_path(exposure)
    found = [p for p in every if p.name == name]
    if not found:
        known = list(dict.fromkeys(str(p.name) for p in every))
        near = get_close_matches(Path(exposure).name, known, SHOWN, 0.6) or known[:SHOWN]
        remedy = f"use {', '.join(near)}" if near else "give exposures: those that came in as cutouts have no mask"
        raise DataError(f"no such exposure: {exposure}", file=aim.target, remedy=remedy)
    return found


def apply(aim: Aim, exposure: str, file: Path) -> None:
    """Make the regions of a file the mask of an exposure.

    Raises
    ------
    DataError
        There is no such exposure, it came in cleaned, or a line of the file cannot be used; nothing is changed then.
    """
    text = read_region_file(file)
    drawn = check_mask(text, file)
    if drawn.problems:
        raise drawn.problems[0]
    places = _places(aim, exposure)
    if cleaned := [p for p in places if p.exposure.enters == RATE]:
        raise DataError(
            f"{exposure} came in cleaned: its pixels are not masked any more",
            file=cleaned[0].exposure.path,
            remedy="start from the raw or the stock count rates",
        )
    for place in places:
        before = read_region_file(place.file) if place.file.is_file() else None
        write_text(place.file, text)
        change = "" if before is None else ", as before" if _same(before, text) else ", instead of its former mask"
        regions, pixels = _size(drawn)
        say(f"{place.name}: {regions} regions, {pixels} pixels{change}\nmask: {place.file}")
        if place.listed:
            say(f"added to its mask in {place.observation.spec.source}")  # type: ignore[union-attr]
        _tell_stale(aim, place.observation, [str(place.name)])


def _same(one: str, other: str) -> bool:
    return canonical_mask(one) == canonical_mask(other)


def clear(aim: Aim, exposure: str | None, *, everything: bool) -> None:
    """Remove the mask of an exposure, or all masks of the workspace.

    Raises
    ------
    DataError
        Neither an exposure nor all are named, there is no such exposure, or its mask stands in `observations.toml`.
    """
    if (exposure is None) != everything:
        raise DataError("name one exposure, or give --all", remedy="nirfire mask list shows the masks")
    places = _places(aim, exposure)
    cleared = 0
    for observation in {p.observation.workspace.folder: p.observation for p in places}.values():
        names = [str(p.name) for p in places if p.observation is observation]
        drawn = read_masks(observation.workspace.masks) if everything else names
        files = [f for name in drawn if (f := observation.workspace.masks / f"{name}{REGIONS}").is_file()]
        for file in files:
            file.unlink()
            say(f"removed {file}")
        cleared += len(files)
        if files:
            _tell_stale(aim, observation, names)
    for place in (p for p in places if p.listed):
        problem = DataError(
            f"{place.name} has a mask in observations.toml, which is not edited",
            file=place.observation.spec.source,  # type: ignore[union-attr]
            key=f"{place.observation.workspace.observation}.masks.{place.name}",
            remedy="remove that line",
        )
        if not cleared:
            raise problem
        say(f"note: {problem}")
    if not cleared:
        say("no mask to remove")


def _tell_stale(aim: Aim, observation: Observation, exposures: Sequence[str]) -> None:
    """Say which products of exposures, and of what was made with them, are stale."""
    plan = aim.look(observation).plan
    late = [k for k in _made_with(plan, exposures) if plan.states[k].status == STALE]
    if not late:
        say("nothing is stale")
        return
    stages = Counter(plan.jobs[k].stage for k in late)
    sources = sorted({s for k in late if (s := plan.jobs[k].source) is not None})
    more = f" and {len(sources) - SHOWN} more" if len(sources) > SHOWN else ""
    of = f", of sources {', '.join(map(str, sources[:SHOWN]))}{more}" if sources else ""
    say(f"stale: {', '.join(f'{n} {stage}' for stage, n in stages.items())}{of}")
    say(f"to redo exactly those: nirfire run {observation.workspace.folder} --rerun stale")


def _made_with(plan: Plan, exposures: Sequence[str]) -> Iterator[int]:
    """Numbers of the jobs that mask these exposures and of all that hang on them."""
    found: set[int] = set()
    for k, job in enumerate(plan.jobs):
        if (job.stage == "clean" and job.key in exposures) or found & plan.producers_of(k):
            found.add(k)
            yield k


def show_list(aim: Aim) -> int:
    """List the masks of all observations.

    Returns
    -------
    int
        2 when one cannot be used, else 0.
    """
    grid, problems = Grid("exposure", "regions", "pixels", "from"), []
    for observation in aim.observations():
        present = {str(e.name) for e in observation.inputs().exposures}
        for name, text, file in _masks(observation):
            drawn = check_mask(text, file)
            problems += drawn.problems
            note = "" if name in present else " (not among the exposures)"
            grid.add_row(name + note, *_size(drawn), str(file))
    if not grid.row_count:
        say("no masks")
        return 0
    show_grid(grid)
    for problem in problems:
        say(f"error: {problem}")
    return UNUSABLE if problems else 0


def _masks(observation: Observation) -> list[tuple[str, str, Path]]:
    """Exposure, regions, and the file that has them."""
    folder, spec = observation.workspace.masks, observation.spec
    drawn = [(name, text, folder / f"{name}{REGIONS}") for name, text in read_masks(folder).items()]
    listed = [(name, text, spec.source) for name, text in spec.masks.items()] if spec else []
    return sorted(drawn + listed, key=lambda mask: mask[0])


def suggest(aim: Aim, exposure: str | None) -> None:
    """Look for artefacts in cleaned exposures; list them, and write them as region files that nothing reads.

    Raises
    ------
    DataError
        There is no such exposure, or none is cleaned.
    """
    from nirfire.qa.glow_figure import SkyImage

    looked, written = 0, []
    grid = Grid("exposure", "number", "column", "row", "width x height", "pixels", "significance", "DN/s")
    for place in _places(aim, exposure):
        image = SkyImage.read(place.rate) if place.rate.is_file() else None
        if image is None:
            say(f"{place.name}: not cleaned yet")
            continue
        looked += 1
        target = place.observation.workspace.mask(place.name, SUGGESTED)
        target.unlink(missing_ok=True)
        found = image.artefacts()
        for k, a in enumerate(found, 1):
            where = (f"{a.column + 1:.0f}", f"{a.row + 1:.0f}", f"{a.width} x {a.height}", str(a.area))
            grid.add_row(str(place.name), str(k), *where, f"{a.significance:+.1f}", f"{a.flux:+.4g}")
        if found:
            write_polygons(target, [(a.outline, f"{k}: {a.significance:+.1f}") for k, a in enumerate(found, 1)])
            written.append(target)
    if not looked:
        remedy = f"nirfire run {aim.target} --to clean"
        raise DataError("no exposure is cleaned yet", file=aim.target, remedy=remedy)
    if grid.row_count:
        show_grid(grid)
    say(f"{grid.row_count} suggestions in {looked} exposures; none is applied")
    for target in written:
        say(f"regions: {target}")
