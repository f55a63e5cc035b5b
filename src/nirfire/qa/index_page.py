"""The first page of a report: what was done, what did not pass, and the way to every exposure and source."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nirfire import __version__
from nirfire.errors import DataError
from nirfire.pipeline.jobs import BAD, BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, SKIPPED, Outcome
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import METRICS, RATE, RATERAW, Workspace
from nirfire.qa.checks import CHECKS, FAIL, LOOK, OBSERVATION, VERDICTS, Check, Measured, counted
from nirfire.qa.html import Cell, Picture, Section
from nirfire.qa.metrics import COSTS
from nirfire.qa.results import TONES, Results

PACKAGES = ("jwst", "stcal", "crds", "numpy", "scipy", "astropy")
STATUSES = (DONE, SKIPPED, NO_WORK, DATA_ERROR, FAILED, BLOCKED)
SHADES = {NO_WORK: "warn", BLOCKED: "warn", DATA_ERROR: "bad", FAILED: "bad"}
MOST = 300  # findings and jobs that are listed one by one
SHOWN_OF_EXPOSURE = ("bad_pixels", "background_change", "sky_level", "stripes", "noise_width")
WORDS = {FAIL: "failed", LOOK: "to look at", "pass": "passed", "unknown": "not known"}


def source_page(source: int) -> str:
    """Address of a source's page, from the first page."""
    return f"sources/{source}.html"


def exposure_page(exposure: str) -> str:
    """Address of an exposure's page, from the first page."""
    return f"exposures/{exposure}.html"


def index_sections(results: Results, sample: Picture | None) -> list[Section]:
    """All sections of the first page."""
    sections = [
        _overview(results),
        _checks(results),
        _jobs(results),
        _truth(results),
        _sample(sample),
        _visits(results),
        _exposures(results),
        _sources(results),
    ]
    return [section for section in sections if section is not None]


def _overview(results: Results) -> Section:
    workspace, run = results.workspace, results.run
    names = {*workspace.find_exposures(RATERAW), *workspace.find_exposures(RATE)}
    names |= {name for task in results.tasks for name in task.slits}
    nods = len({(n.root, n.nod) for n in names})
    detectors = ", ".join(sorted({n.detector.upper() for n in names}))
    specs = [task.spec for tasks in results.sources.values() for task in tasks if task.spec]
    facts: list[tuple[str, object]] = [
        ("observation", workspace.observation),
        ("exposures", f"{nods} on {detectors} ({len(names)} files)" if names else "none"),
        ("sources", f"{len(results.sources)}, {len(specs)} spectra"),
        *(_instrument(specs[0]) if specs else []),
        ("checks", said_of(results.measured)),
        *([("inspected", _inspected(results))] if results.votes else []),
        ("written", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("versions", _versions()),
        ("workspace", str(workspace.folder)),
        *_files(workspace),
    ]
    if run.stages:
        facts.append(("this run", f"{run.seconds:.0f} s wall time, {run.peak_memory:.2f} GB peak memory"))
    return Section("overview", "Overview", facts=facts, notes=results.problems)


def said_of(measured: Iterable[Measured]) -> str:
    """How many values passed, in words."""
    counts = counted(measured)
    return ", ".join(f"{counts[v]} {WORDS[v]}" for v in VERDICTS if counts[v]) or "none"


def _inspected(results: Results) -> str:
    graded = [results.quality(source) for source in results.sources]
    conflicts = sum(word == "conflict" for word in graded)
    return f"{sum(map(bool, graded))} of {len(graded)} sources" + (f", {conflicts} in conflict" if conflicts else "")


def _files(workspace: Workspace) -> Iterable[tuple[str, object]]:
    for label, path in (("catalogue", workspace.summary("ecsv")), ("as FITS", workspace.summary("fits"))):
        if path.is_file():
            yield label, Cell(path.name, link=f"../{path.relative_to(workspace.folder)}")
    yield "as JSON", Cell(METRICS, link=METRICS)


def _instrument(spec: Path) -> list[tuple[str, object]]:
    try:
        with open_fits(spec) as hdus:
            header = hdus[0].header
            words = " ".join(str(header.get(k, "")) for k in ("TELESCOP", "INSTRUME", "FILTER", "GRATING"))
            found: list[tuple[str, object]] = [("instrument", words)]
            pairs = (("observed", "DATE-OBS"), ("CRDS context", "CRDS_CTX"))
            return found + [(label, str(header[key])) for label, key in pairs if key in header]
    except DataError:
        return []  # its own page says what is wrong


def _versions() -> str:
    names = [f"nirfire {__version__}", f"python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            names.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(names)


def _checks(results: Results) -> Section:
    by_check: dict[str, list[Measured]] = {name: [] for name in CHECKS}
    for one in results.measured:
        by_check[one.check].append(one)
    rows = [_check_row(results, check, by_check[name]) for name, check in CHECKS.items() if by_check[name]]
    headings = ("stage", "check", "limits", *(WORDS[v] for v in VERDICTS), "median", "farthest off", "of")
    reasons = [[c.stage, c.name, c.about, c.limits, c.outside, c.reason] for c in CHECKS.values()]
    why = Section(
        "reasons", "Why these limits",
        notes=["A value is outside when it is so by more than 5 of its standard errors."],
        tables=[(("stage", "check", "what", "limits", "outside: it", "reason"), reasons)], folded=True,
    )  # fmt: skip
    parts = [part for part in (_findings(results), why) if part]
    return Section("checks", "Checks", tables=[(headings, rows)] if rows else [], parts=parts)


def _check_row(results: Results, check: Check, found: Sequence[Measured]) -> list[object]:
    counts = counted(found)
    known = [m for m in found if math.isfinite(m.value)]
    tones = {v: TONES[v] if counts[v] and v in (LOOK, FAIL) else "" for v in VERDICTS}
    numbers = [Cell(counts[v], tone=tones[v]) for v in VERDICTS]
    if not known:
        return [check.stage, check.about, check.limits, *numbers, "", "", ""]
    middle = sorted(m.value for m in known)[len(known) // 2]
    worst = max(known, key=lambda m: max(check.low - m.value, m.value - check.high))
    last = [worst.value, _subject(results, worst)]
    return [check.stage, check.about, check.limits, *numbers, middle, *last]


def _subject(results: Results, one: Measured) -> Cell:
    """What a value is of, with a link to its page."""
    first = one.subject.split(" ")[0]
    if first.isdigit():
        return Cell(one.subject, link=results.link(source_page(int(first))))
    if one.subject == OBSERVATION:
        return Cell("the observation")
    visit = CHECKS[one.check].per == "visit"
    return Cell(one.subject, link="#visits" if visit else results.link(exposure_page(one.subject)))


def _findings(results: Results) -> Section | None:
    order = {name: k for k, name in enumerate(CHECKS)}
    found = [m for m in results.measured if m.verdict in (FAIL, LOOK)]
    found.sort(key=lambda m: (m.verdict != FAIL, order[m.check]))
    if not found:
        return None
    rows = [
        [
            Cell(m.verdict, tone=TONES[m.verdict]),
            _subject(results, m),
            CHECKS[m.check].about,
            m.shown,
            CHECKS[m.check].limits,
        ]
        for m in found[:MOST]
    ]
    left = [f"The first {MOST} of {len(found)}; all are in {METRICS}."] if len(found) > MOST else []
    headings = ("verdict", "of", "what", "value", "limits")
    return Section(
        "findings", f"What did not pass ({len(found)})", notes=left, tables=[(headings, rows)], folded=len(rows) > 12
    )


def _jobs(results: Results) -> Section:
    rows: list[list[object]] = []
    run, outcomes = results.run, results.outcomes
    for stage in run.stages:
        counts = [sum(o.status == s for o in stage.outcomes) for s in STATUSES]
        busy = sum(o.seconds for o in stage.outcomes)
        rows.append(
            [stage.stage, *_shaded(counts), round(stage.seconds, 1), round(busy, 1), round(stage.peak_memory, 2)]
        )
    if len(run.stages) > 1:
        total = [sum(o.status == s for g in run.stages for o in g.outcomes) for s in STATUSES]
        rows.append(["all", *total, round(run.seconds, 1), "", round(run.peak_memory, 2)])
    if not rows:
        for name in dict.fromkeys(o.task for o in outcomes):
            mine = [o for o in outcomes if o.task == name]
            counts = [sum(o.status == s for o in mine) for s in STATUSES]
            memory = max(o.memory for o in mine)
            rows.append([name, *_shaded(counts), "", round(sum(o.seconds for o in mine), 1), round(memory, 2)])
    headings = ("stage", *STATUSES, "wall time [s]", "sum over jobs [s]", "memory of a worker [GB]")
    parts = [
        job_listing("problems", "Jobs that ended badly", [o for o in outcomes if o.status in BAD], "../"),
        job_listing("no-work", "Jobs without work", [o for o in outcomes if o.status in (NO_WORK, SKIPPED)], "../"),
    ]
    return Section("jobs", "Stages and jobs", tables=[(headings, rows)] if rows else [], parts=[p for p in parts if p])


def _shaded(counts: Sequence[int]) -> list[Cell]:
    return [Cell(n, tone=SHADES.get(s, "") if n else "") for n, s in zip(counts, STATUSES, strict=True)]


def job_listing(anchor: str, title: str, outcomes: Sequence[Outcome], base: str) -> Section | None:
    """Jobs with the reason why they ended as they did; None where there are none."""
    if not outcomes:
        return None
    rows = [
        [o.task, o.key, Cell(o.status, tone=SHADES.get(o.status, "")), o.reason,
         Cell("log", link=f"{base}{o.log}") if o.log else ""]
        for o in outcomes[:MOST]
    ]  # fmt: skip
    left = [f"The first {MOST}; all: nirfire status."] if len(outcomes) > MOST else []
    many = anchor == "no-work" and len(rows) > 8
    tables = [(("stage", "job", "ended", "reason", "log"), rows)]
    return Section(anchor, f"{title} ({len(outcomes)})", notes=left, tables=tables, folded=many)


def _truth(results: Results) -> Section | None:
    measures = results.truth
    if measures is None:
        return None
    tones = {True: "good", False: "bad", None: ""}
    rows = [
        [m["name"], Cell(m["value"], tone=tones[m["ok"]]), m["unit"], m["goal"] or "",
         {True: "yes", False: "no"}.get(m["ok"], "")]
        for m in measures["metrics"]
        if m["goal"] or m["unit"] not in COSTS
    ]  # fmt: skip
    names = [*("source_id", "kind", "z_true", "z_fit", "z_deviation", "probability", "line", "line_sn")]
    names += ["flux_ratio", "flux_error", "note"]
    per_source = [[_truth_cell(results, row, name) for name in names] for row in measures["sources"]]
    told = [f"{name}: {text}." for name, text in measures["definitions"].items()]
    empty = measures["empty_products"]
    return Section(
        "measures",
        "Against the truth",
        notes=["NaN only: " + ", ".join(empty)] if empty else [],
        tables=[(("measure", "value", "unit", "goal", "met"), rows), (names, per_source)],
        parts=[Section("definitions", "How these are defined", notes=told, folded=True)],
    )


def _truth_cell(results: Results, row: dict[str, Any], name: str) -> object:
    value = row[name]
    if name == "source_id":
        return Cell(value, link=results.link(source_page(value)))
    if name == "z_deviation" and value is not None:
        return Cell(value, tone="good" if value < 0.003 else "bad")
    if name == "flux_error" and value is not None:
        return Cell(value, tone="good" if value < 0.10 else "warn")
    return "" if value is None else value


def _sample(sample: Picture | None) -> Section | None:
    return Section("sample", "All spectra", pictures=[sample]) if sample else None


def _visits(results: Results) -> Section | None:
    pictures = []
    for visit in sorted({root.split("_")[0] for root in results.roots}):
        path = results.workspace.pointing_figure(visit)
        if path.is_file():
            pictures.append(Picture(path.name, f"Measured pointing of {visit}, against the plan."))
    offsets = {m.subject: m for m in results.measured if m.check == "visit_offset"}
    rows = [
        [root, Cell(offsets[root].shown, tone=TONES[offsets[root].verdict]) if root in offsets else "–"]
        for root in results.roots
    ]
    if not rows:
        return None
    headings = ("visit and activity", "mean place along the slitlets, from the plan [arcsec]")
    return Section("visits", "Visits", tables=[(headings, rows)], pictures=pictures)


def _exposures(results: Results) -> Section | None:
    rows: list[list[object]] = []
    for task in results.exposures:
        name = str(task.exposure)
        found = {m.check: m for m in results.by_exposure[name]}
        cells = [Cell(found[c].value, tone=TONES[found[c].verdict]) if c in found else "" for c in SHOWN_OF_EXPOSURE]
        rows.append([Cell(name, link=results.link(exposure_page(name))), *cells])
    if not rows:
        return None
    headings = ("exposure", *(CHECKS[name].about for name in SHOWN_OF_EXPOSURE))
    return Section("exposures", "Exposures", tables=[(headings, rows)])


def _sources(results: Results) -> Section | None:
    """One row for each source and grating."""
    rows = [_source_row(results, source, k) for source, tasks in results.sources.items() for k in range(len(tasks))]
    if not rows:
        return None
    headings = ("source", "grating", "z", "± z", "probability", "S/N", "what", "warnings", "checks", "inspected")
    return Section("sources", "Sources", tables=[(headings, rows)])


def _source_row(results: Results, source: int, k: int) -> list[object]:
    task = results.sources[source][k]
    drawn = results.drawn.get(task.key)
    link = results.link(source_page(source))
    values = dict(drawn.values) if drawn else {}
    grade = results.quality(source) if k == 0 else ""
    found = [m for m in results.by_source[source] if m.subject in (task.key, str(source)) and m.verdict in (LOOK, FAIL)]
    bad = any(m.verdict == FAIL for m in found)
    said = Cell(", ".join(m.check for m in found), tone=TONES[FAIL if bad else LOOK] if found else "")
    if task.spec is None:
        said = Cell("no spectrum", tone="warn")
    z = [_number(values.get(name), form) for name, form in (("z", ".5f"), ("z_err", ".2g"), ("probability", ".3f"))]
    kind, warned = (str(values.get(name, "")) for name in ("class", "warnings"))
    return [Cell(source, link=link), task.grating, *z, _number(values.get("snr"), ".3g"), kind, warned, said, grade]


def _number(value: float | str | None, form: str) -> object:
    return float(format(value, form)) if isinstance(value, float) and math.isfinite(value) else "–"
