"""`run` and `demo`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from nirfire.commands.aim import BAD_JOBS, UNUSABLE, Aim
from nirfire.commands.output import say, show_rows
from nirfire.demo import DemoOptions, run_demo, truth_folder
from nirfire.errors import NirfireError
from nirfire.pipeline.jobs import BAD, BLOCKED, DONE, NO_WORK, SKIPPED
from nirfire.pipeline.report import RunReport
from nirfire.pipeline.run import RunOptions, default_jobs, run_observation
from nirfire.pipeline.target import Observation
from nirfire.products.naming import METRICS, PAGE, Workspace
from nirfire.progress import TerminalProgress

SHOWN = {
    "source_id": "source",
    "grating": "grating",
    "redshift_auto": "z",
    "redshift_error": "z error",
    "redshift_probability": "probability",
    "signal_to_noise": "S/N per pixel",
}
SHOWN_DEMO = {
    "source_id": "source",
    "kind": "kind",
    "z_true": "true z",
    "z_fit": "fit z",
    "z_deviation": "dz/(1+z)",
    "probability": "probability",
    "line_sn": "line S/N",
    "flux_error": "flux error",
}

LISTED = 10  # jobs that ended badly, one by one
SHORT = 100  # longest catalogue that is printed


def run(aim: Aim, options: RunOptions, *, compare: Path | None, with_report: bool) -> int:
    """Process every observation; one that cannot be processed does not stop the others.

    Returns
    -------
    int
        Exit code.
    """
    codes = []
    for observation in aim.observations():
        try:
            codes.append(_run_one(observation, options, compare, with_report))
        except NirfireError as error:
            say(f"error: {observation.workspace.observation}: {error}")
            codes.append(UNUSABLE)
    if set(codes) == {UNUSABLE}:
        return UNUSABLE
    return BAD_JOBS if any(codes) else 0


def _run_one(observation: Observation, options: RunOptions, compare: Path | None, with_report: bool) -> int:
    place = observation.workspace
    with TerminalProgress() as progress:
        report = run_observation(observation, options, progress.hooks)
        whole = options.selection.shard is None
        if whole and with_report and (compare or _is_news(report) or _report_is_old(place)):
            _write_report(place, report, options, progress, compare)
    if whole:
        _show_catalogue(place)
    _tell(place, report)
    return report.exit_code


def _write_report(
    place: Workspace, report: RunReport, options: RunOptions, progress: TerminalProgress, compare: Path | None
) -> None:
    from nirfire.qa.report import write_report

    processes = options.jobs or default_jobs()
    truth = truth_folder(place)
    write_report(place, report, truth=truth, progress=progress.hooks, published=compare, processes=processes)


def _is_news(report: RunReport) -> bool:
    return any(o.status != SKIPPED for o in report.outcomes)


def _report_is_old(place: Workspace) -> bool:
    """True when there is no report, or a newer catalogue, as after the shards of a job array."""
    page, catalogue = place.report / PAGE, place.summary("ecsv")
    return not page.exists() or (catalogue.exists() and catalogue.stat().st_mtime_ns > page.stat().st_mtime_ns)


def _show_catalogue(place: Workspace) -> None:
    from astropy.table import Table

    path = place.summary("ecsv")
    if path.exists() and 0 < len(catalogue := Table.read(path)) <= SHORT and set(SHOWN) <= set(catalogue.colnames):
        show_rows(SHOWN, [{name: row[name] for name in SHOWN} for row in catalogue])


def _tell(place: Workspace, report: RunReport) -> None:
    """Last words of a run: what ended badly and what to do, what is stale, and where things are."""
    bad = [o for o in report.outcomes if o.status in BAD]
    for outcome in bad[:LISTED]:
        log = f"\n  log: {place.folder / outcome.log}" if outcome.log else ""
        say(f"{outcome.status}: {outcome.task} {outcome.key}\n  {outcome.reason}{log}")
    if len(bad) > LISTED:
        say(f"... and {len(bad) - LISTED} more: nirfire status {place.folder}")
    counts = Counter(o.status for o in report.outcomes)
    said = ", ".join(f"{counts[s]} {s}" for s in (DONE, SKIPPED, NO_WORK, *BAD, BLOCKED) if counts[s])
    say(f"{place.observation}: {said or 'nothing to do'} in {report.seconds:.0f} s")
    if bad or counts[BLOCKED]:
        say("mend what is said above and run the same command again: only what is missing is done")
    if report.stale:
        say(f"{report.stale} products are stale; to redo exactly those: nirfire run {place.folder} --rerun stale")
    page = place.report / PAGE
    say(f"products: {place.folder}" + (f"\nreport: {page}" if page.exists() else ""))
    if place.find_sources():
        say(f"to grade the redshifts: nirfire inspect {place.folder}")


def demo(workspace: Path, chosen: DemoOptions, jobs: int | None) -> int:
    """Run the demo; what is finished is not done again.

    Returns
    -------
    int
        Exit code.
    """
    place = Workspace(workspace.resolve(), "demo")
    with TerminalProgress() as progress:
        options = RunOptions(jobs=jobs)
        report = run_demo(place, chosen, options, progress.hooks)
        saved = place.report / METRICS
        if _is_news(report) or not saved.exists():
            _write_report(place, report, options, progress, None)
    rows: list[dict[str, Any]] = json.loads(saved.read_text())["sources"]
    rows.sort(key=lambda row: row["source_id"])
    show_rows(SHOWN_DEMO, rows)
    _tell(place, report)
    return report.exit_code
