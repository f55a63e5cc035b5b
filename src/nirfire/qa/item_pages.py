"""The pages of single exposures and sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from nirfire.products.naming import BKGSUB, CAL, PAGE, RATE, Workspace, zfit_of
from nirfire.qa.checks import CHECKS, UNKNOWN, VERDICTS, Measured
from nirfire.qa.drawing import Task
from nirfire.qa.html import Cell, Section, page
from nirfire.qa.index_page import exposure_page, job_listing, said_of, source_page
from nirfire.qa.results import TONES, Results

T = TypeVar("T")
UP = "../"  # from the folder of a page to that of the report
NOT_DRAWN = "Not drawn yet: nirfire report."


def exposure_text(results: Results, task: Task) -> str:
    """The page of an exposure."""
    name, place = str(task.exposure), results.workspace
    measured, drawn = results.by_exposure[name], results.drawn.get(task.key)
    assert task.exposure is not None
    facts: list[tuple[str, object]] = [
        ("checks", said_of(measured)),
        ("file", _file(place, place.exposure(task.exposure, RATE))),
    ]
    sections = [
        Section("overview", "Overview", facts=facts, notes=[] if drawn else [NOT_DRAWN]),
        *_checks(measured),
        Section("figures", "Figures", pictures=drawn.pictures if drawn else ()),
    ]
    links = _links(name, [str(other.exposure) for other in results.exposures], exposure_page)
    return page(name, sections, links, UP)


def source_text(results: Results, source: int) -> str:
    """The page of a source."""
    tasks, measured = results.sources[source], results.by_source[source]
    drawn = [results.drawn[task.key] for task in tasks if task.key in results.drawn]
    facts: dict[str, object] = {name: value for one in drawn for name, value in one.facts}
    facts |= _said_of_redshift(results, tasks) | _said_by_people(results, source)
    facts |= {"checks": said_of(measured)}
    sections = [
        Section("overview", "Overview", facts=list(facts.items()), notes=[] if drawn else [NOT_DRAWN]),
        *_checks(measured),
        *(_grating(results, task) for task in tasks),
        job_listing("jobs", "Jobs without result", results.without_result.get(source, []), "../../"),
        _files(results.workspace, tasks),
    ]
    links = _links(source, list(results.sources), source_page)
    return page(f"Source {source}", [section for section in sections if section is not None], links, UP)


def _links(one: T, all_of_them: Sequence[T], address: Callable[[T], str]) -> list[tuple[str, str]]:
    """To the first page, the page before and the page after."""
    here, found = all_of_them.index(one), [("report", f"{UP}{PAGE}")]
    if here > 0:
        found.append((f"← {all_of_them[here - 1]}", UP + address(all_of_them[here - 1])))
    if here + 1 < len(all_of_them):
        found.append((f"{all_of_them[here + 1]} →", UP + address(all_of_them[here + 1])))
    return found


def _said_of_redshift(results: Results, tasks: Sequence[Task]) -> dict[str, object]:
    found: dict[str, object] = {}
    for task in tasks:
        values = dict(results.drawn[task.key].values) if task.key in results.drawn else {}
        if "z" in values:
            warned = f"; {values['warnings']}" if values.get("warnings") else ""
            said = f"{values['z']:.5f} ± {values['z_err']:.2g}, probability {values['probability']:.3f}"
            found[f"redshift, {task.grating}"] = f"{said}, {values['class']}{warned}"
    return found


def _said_by_people(results: Results, source: int) -> dict[str, object]:
    vote = results.votes.get(source)
    if vote is None:
        return {}
    z = f", z = {vote.z:.5f}" if vote.z is not None else ""
    said = f"{results.quality(source) or 'not graded'}{z} ({', '.join(vote.users) or 'nobody'})"
    found: dict[str, object] = {"inspected": said}
    return found | ({"comment": vote.comment} if vote.comment else {})


def _checks(measured: Sequence[Measured]) -> list[Section]:
    """All values, those that did not pass first, those that are not known last."""
    if not measured:
        return []
    order = {verdict: k for k, verdict in enumerate(("fail", "look", "pass", UNKNOWN))}
    assert set(order) == set(VERDICTS)
    rows = []
    for one in sorted(measured, key=lambda m: order[m.verdict]):
        check = CHECKS[one.check]
        verdict = Cell(one.verdict, tone=TONES[one.verdict])
        rows.append([verdict, check.stage, check.about, one.subject, one.shown, check.limits, check.reason])
    headings = ("verdict", "stage", "what", "of", "value", "limits", "why")
    return [Section("checks", "Checks", tables=[(headings, rows)])]


def _grating(results: Results, task: Task) -> Section:
    drawn = results.drawn.get(task.key)
    return Section(f"grating-{task.grating.lower()}", task.grating, pictures=drawn.pictures if drawn else ())


def _files(place: Workspace, tasks: Sequence[Task]) -> Section:
    rows: list[list[object]] = []
    for task in tasks:
        paths = [task.spec, zfit_of(task.spec)] if task.spec else []
        slits = [place.slit(name, task.source, suffix) for name in task.slits for suffix in (CAL, BKGSUB)]
        rows += [[task.grating, _file(place, path)] for path in (*paths, *slits) if path.is_file()]
    return Section("files", "Files", tables=[(("grating", "file"), rows)], folded=True)


def _file(place: Workspace, path: Path) -> Cell:
    return Cell(path.name, link=f"../../{path.relative_to(place.folder)}")
