"""The HTML report of a workspace."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from nirfire import __version__
from nirfire.pipeline.jobs import BAD, BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, SKIPPED, Outcome
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.report import RunReport
from nirfire.pipeline.run import Progress
from nirfire.products.atomic import write_text
from nirfire.products.naming import BKGSUB, CAL, PAGE, RATE, RATERAW, SPEC, Workspace
from nirfire.products.spectrum import Spectrum
from nirfire.qa.drawing import Task, draw_all, plan
from nirfire.qa.html import Cell, Picture, Section, page
from nirfire.qa.metrics import METRICS, demo_metrics

PACKAGES = ("jwst", "stcal", "crds", "numpy", "scipy", "astropy")
STATUSES = (DONE, SKIPPED, NO_WORK, DATA_ERROR, FAILED, BLOCKED)
TONES = {NO_WORK: "warn", BLOCKED: "warn", DATA_ERROR: "bad", FAILED: "bad"}


def write_report(
    workspace: Workspace,
    report: RunReport,
    truth: Path | None = None,
    progress: Progress | None = None,
    *,
    published: Path | None = None,
    processes: int = 1,
    metrics: dict[str, Any] | None = None,
) -> Path:
    """Write ``report/index.html`` and its figures, from the products on disk.

    Parameters
    ----------
    workspace : Workspace
    report : RunReport
        What this run did; the ledger adds what earlier runs could not do.
    truth : Path, optional
        Truth folder of a simulated observation.
    progress : Progress, optional
        Told of each figure.
    published : Path, optional
        Published spectrum (SPEC1D) to draw beside ours of the same source.
    processes : int
        Processes that draw.
    metrics : dict, optional
        What `demo_metrics` gave; measured here when there is a truth and they are not given.

    Returns
    -------
    Path
        The page.
    """
    hooks = progress or Progress()
    tasks = plan(workspace, truth, published)
    hooks.begin({"report": len(tasks)}, {}, processes)
    pictures = draw_all(tasks, processes, lambda task: hooks.tick(Outcome("report", task.key, DONE)))
    measures = metrics
    if measures is None and truth is not None:
        measures = demo_metrics(workspace, truth, report)
    outcomes = latest_outcomes(workspace)
    sections = [
        _overview(workspace, report),
        _jobs(report, outcomes),
        *([_measures(measures)] if measures else []),
        _catalogue(workspace),
        _exposures(tasks, pictures),
        _sources(tasks, pictures, outcomes, measures),
    ]
    target = workspace.report / PAGE
    write_text(target, page(f"nirfire · {workspace.observation}", [s for s in sections if s is not None]))
    return target


def latest_outcomes(workspace: Workspace) -> list[Outcome]:
    """How each job of the workspace last ended."""
    return list(Ledger.open(workspace, read_only=True).latest.values())


def _overview(workspace: Workspace, report: RunReport) -> Section:
    names = {*workspace.find_exposures(RATERAW), *workspace.find_exposures(RATE)}
    for source in workspace.find_sources():
        names |= {*workspace.find_slits(source, CAL), *workspace.find_slits(source, BKGSUB)}
    nods = len({(n.root, n.nod) for n in names})
    detectors = ", ".join(sorted({n.detector.upper() for n in names}))
    specs = [p for s in workspace.find_sources() for p in workspace.find_combined(s, SPEC)]
    facts = [
        ("observation", workspace.observation),
        ("exposures", f"{nods} on {detectors} ({len(names)} files)" if names else "none"),
        ("sources", f"{len(workspace.find_sources())}, {len(specs)} spectra"),
        *(_instrument(specs[0]) if specs else []),
        ("written", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("versions", _versions()),
        ("workspace", str(workspace.folder)),
    ]
    if report.stages:
        facts.append(("this run", f"{report.seconds:.0f} s wall time, {report.peak_memory:.2f} GB peak memory"))
    return Section("overview", "Overview", facts=facts)


def _instrument(spec: Path) -> list[tuple[str, str]]:
    meta = {k: str(v[0]) for k, v in Spectrum.read(spec).meta.items()}
    found = [("instrument", " ".join(meta.get(k, "") for k in ("TELESCOP", "INSTRUME", "FILTER", "GRATING")))]
    for label, key in (("observed", "DATE-OBS"), ("CRDS context", "CRDS_CTX")):
        if key in meta:
            found.append((label, meta[key]))
    return found


def _versions() -> str:
    names = [f"nirfire {__version__}", f"python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            names.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(names)


def _jobs(report: RunReport, outcomes: Sequence[Outcome]) -> Section:
    rows: list[list[object]] = []
    stages = report.stages
    for stage in stages:
        counts = [sum(o.status == s for o in stage.outcomes) for s in STATUSES]
        shades = [Cell(n, tone=TONES.get(s, "") if n else "") for n, s in zip(counts, STATUSES, strict=True)]
        busy = sum(o.seconds for o in stage.outcomes)
        rows.append([stage.stage, *shades, round(stage.seconds, 1), round(busy, 1), round(stage.peak_memory, 2)])
    if len(stages) > 1:
        total = [sum(o.status == s for g in stages for o in g.outcomes) for s in STATUSES]
        rows.append(["all", *total, round(report.seconds, 1), "", round(report.peak_memory, 2)])
    headings = ("stage", *STATUSES, "wall time [s]", "sum over jobs [s]", "memory of a worker [GB]")
    parts = [
        _listing("problems", "Jobs that ended badly", [o for o in outcomes if o.status in BAD]),
        _listing("no-work", "Jobs without work", [o for o in outcomes if o.status in (NO_WORK, SKIPPED)]),
    ]
    return Section("jobs", "Stages and jobs", tables=[(headings, rows)] if rows else [], parts=[p for p in parts if p])


def _listing(anchor: str, title: str, outcomes: Sequence[Outcome]) -> Section | None:
    if not outcomes:
        return None
    rows = [[o.task, o.key, Cell(o.status, tone=TONES.get(o.status, "")), o.reason, _log(o)] for o in outcomes]
    many = anchor == "no-work" and len(rows) > 8
    return Section(
        anchor, f"{title} ({len(rows)})", tables=[(("stage", "job", "ended", "reason", "log"), rows)], folded=many
    )


def _log(outcome: Outcome) -> object:
    return Cell("log", link=f"../{outcome.log}") if outcome.log else ""


def _measures(measures: dict[str, Any]) -> Section:
    tones = {True: "good", False: "bad", None: ""}
    rows = [
        [
            m["name"],
            Cell(m["value"], tone=tones[m["ok"]]),
            m["unit"],
            m["goal"] or "",
            {True: "yes", False: "no"}.get(m["ok"], ""),
        ]
        for m in measures["metrics"]
        if m["goal"] or m["unit"] not in ("s", "GB")
    ]
    names = (
        "source_id",
        "kind",
        "z_true",
        "z_fit",
        "z_deviation",
        "probability",
        "line",
        "line_sn",
        "flux_ratio",
        "flux_error",
        "note",
    )
    per_source = [[_source_cell(row, name) for name in names] for row in measures["sources"]]
    told = [f"{name}: {text}." for name, text in measures["definitions"].items()]
    empty = measures["empty_products"]
    return Section(
        "measures",
        "Against the truth",
        facts=[("as JSON", f"{METRICS}, beside this page")],
        notes=["NaN only: " + ", ".join(empty)] if empty else [],
        tables=[(("measure", "value", "unit", "goal", "met"), rows), (names, per_source)],
        parts=[Section("definitions", "How these are defined", notes=told, folded=True)],
    )


def _source_cell(row: dict[str, Any], name: str) -> object:
    value = row[name]
    if name == "source_id":
        return Cell(value, link=f"#source-{value}")
    if name == "z_deviation" and value is not None:
        return Cell(value, tone="good" if value < 0.003 else "bad")
    if name == "flux_error" and value is not None:
        return Cell(value, tone="good" if value < 0.10 else "warn")
    return "" if value is None else value


def _catalogue(workspace: Workspace) -> Section | None:
    path = workspace.summary("ecsv")
    if not path.is_file():
        return None
    table = Table.read(path, format="ascii.ecsv")
    headings = [f"{n} [{table[n].unit}]" if table[n].unit else n for n in table.colnames]
    rows = [[_catalogue_cell(name, row[name]) for name in table.colnames] for row in table]
    return Section(
        "catalogue", "Catalogue", tables=[(headings, rows)], notes=[f"From {path.name}; click a heading to sort."]
    )


def _catalogue_cell(name: str, value: Any) -> object:
    if name == "source_id":
        return Cell(int(value), link=f"#source-{value}")
    if name in ("ra", "dec") and not np.ma.is_masked(value):
        return f"{value:.6f}"
    return value


def _exposures(tasks: Sequence[Task], pictures: dict[str, list[Picture]]) -> Section | None:
    parts = [
        Section(f"exposure-{t.exposure}", str(t.exposure), pictures=pictures[t.key])
        for t in tasks
        if t.exposure and pictures[t.key]
    ]
    return Section("exposures", "Exposures", parts=parts) if parts else None


def _sources(
    tasks: Sequence[Task],
    pictures: dict[str, list[Picture]],
    outcomes: Sequence[Outcome],
    measures: dict[str, Any] | None,
) -> Section | None:
    known = {row["source_id"]: row for row in measures["sources"]} if measures else {}
    parts = []
    for source in sorted({t.source for t in tasks if not t.exposure}):
        mine = [t for t in tasks if t.source == source and not t.exposure]
        bad = [o for o in outcomes if o.status in (NO_WORK, *BAD) and concerns(o, source)]
        listing = _listing(f"problems-{source}", "Jobs without result", bad)
        row = known.get(source)
        facts = [(k, f"{row[k]:.5g}" if isinstance(row[k], float) else str(row[k]))
                 for k in ("kind", "z_true", "z_fit", "probability", "line", "line_sn", "flux_error")
                 if row and row[k] not in (None, "")]  # fmt: skip
        shown = [p for t in mine for p in pictures[t.key]]
        inner = [listing] if listing else []
        parts.append(Section(f"source-{source}", f"Source {source}", facts=facts, pictures=shown, parts=inner))
    return Section("sources", "Sources", parts=parts) if parts else None


def concerns(outcome: Outcome, source: int) -> bool:
    """True when a job was about this source."""
    return str(source) in outcome.key.split() or re.search(rf"_{source}$", outcome.key) is not None
