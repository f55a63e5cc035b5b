"""The report of a workspace: a set of HTML pages that open from disk."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from pathlib import Path

from nirfire import __version__
from nirfire.pipeline.jobs import DONE, Outcome
from nirfire.pipeline.report import RunReport
from nirfire.pipeline.run import Progress
from nirfire.products.atomic import write_text
from nirfire.products.naming import METRICS, PAGE, Workspace
from nirfire.qa.checks import as_json
from nirfire.qa.drawing import FIGURES, Drawn, Task, draw_all, plan
from nirfire.qa.html import Picture, page
from nirfire.qa.index_page import exposure_page, index_sections, source_page
from nirfire.qa.item_pages import exposure_text, source_text
from nirfire.qa.metrics import demo_metrics
from nirfire.qa.record import Record
from nirfire.qa.results import Results, concerns, latest_outcomes

__all__ = ["concerns", "latest_outcomes", "write_report"]
SAMPLE = "sample"
SAVED_EVERY = 20.0  # s; so much is drawn twice after a power cut


def write_report(
    workspace: Workspace,
    report: RunReport,
    truth: Path | None = None,
    progress: Progress | None = None,
    *,
    published: Path | None = None,
    processes: int = 1,
    sources: Collection[int] = (),
) -> Path:
    """Write ``report/index.html``, a page for each source and exposure, and the figures that are out of date.

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
    sources : collection of int
        Only these are drawn, and only their pages and the first page are written; by default everything.

    Returns
    -------
    Path
        The first page. ``metrics.json`` beside it has all checks.
    """
    tasks = plan(workspace, truth, published)
    chosen = [task for task in tasks if not sources or (task.exposure is None and task.source in sources)]
    drawn = _draw(workspace, tasks, chosen, processes, progress or Progress())
    measures = demo_metrics(workspace, truth, report) if truth is not None else None
    results = Results(workspace, report, tasks, drawn, latest_outcomes(workspace), measures)
    pages = _write_pages(results, chosen)
    if not sources:
        _remove_others(workspace, drawn, pages)
    sections = index_sections(results, _sample(results))
    target = workspace.report / PAGE
    write_text(target, page(f"nirfire · {workspace.observation}", sections))
    told = (measures or {"version": __version__}) | {"observation": workspace.observation} | as_json(results.measured)
    write_text(workspace.report / METRICS, json.dumps(told, indent=1) + "\n")
    return target


def _draw(
    workspace: Workspace, tasks: list[Task], chosen: list[Task], processes: int, hooks: Progress
) -> dict[str, Drawn]:
    """Draw those of the chosen tasks that are out of date; what is known of every task."""
    record = Record.open(workspace)
    record.forget_others(tasks)
    states = {task.key: task.state() for task in chosen}
    old = [task for task in chosen if not record.is_current(task, states[task.key])]
    hooks.begin({"report": len(old)}, {}, processes)
    last = time.monotonic()

    def done(task: Task, drawn: Drawn) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        record.keep(task, states[task.key], drawn)
        record.write(every=SAVED_EVERY)
        hooks.tick(Outcome("report", task.key, DONE, seconds=(last - before) * processes))

    try:
        draw_all(old, processes, done)
    finally:
        record.write()  # what was drawn before an interrupt is kept
    return {task.key: drawn for task in tasks if (drawn := record.get(task)) is not None}


def _write_pages(results: Results, chosen: list[Task]) -> set[Path]:
    """Write the pages of the chosen tasks, those that changed; all of them."""
    report = results.workspace.report
    texts = {report / exposure_page(str(t.exposure)): exposure_text(results, t) for t in chosen if t.exposure}
    for source in dict.fromkeys(task.source for task in chosen if task.exposure is None):
        texts[report / source_page(source)] = source_text(results, source)
    for path, text in texts.items():
        if not path.is_file() or path.read_text() != text:
            write_text(path, text)
    return set(texts)


def _remove_others(workspace: Workspace, drawn: dict[str, Drawn], pages: set[Path]) -> None:
    """Remove pages and figures of what is not there any more."""
    report = workspace.report
    for folder in {exposure_page("x").split("/")[0], source_page(0).split("/")[0]}:
        for path in (report / folder).glob("*.html"):
            if path not in pages:
                path.unlink()
    used = {picture.address for one in drawn.values() for picture in one.pictures}
    for path in (report / FIGURES).glob("*.png"):
        if f"{FIGURES}/{path.name}" not in used and path.stem != SAMPLE:
            path.unlink()


def _sample(results: Results) -> Picture | None:
    """Draw all redshifts of the observation in one figure."""
    from nirfire.qa.sample_figure import SpectrumValues, sample_figure

    rows = []
    for tasks in results.sources.values():
        for task in tasks:
            one = results.drawn.get(task.key)
            if one is not None and one.values:
                measured = {row[0]: row[1] for row in one.measured}
                rows.append(SpectrumValues.of(dict(one.values), measured))
    if not rows:
        return None
    address = f"{FIGURES}/{SAMPLE}.png"
    sample_figure(rows, results.workspace.report / address)
    caption = "Redshifts; their probability against S/N; boxcar over optimal flux, with its limits."
    return Picture(address, caption)
