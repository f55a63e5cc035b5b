"""The report: CPU time of the figures of a source, and how a report of 2,000 sources is written, opened and sorted.

    python benchmarks/report.py [--json FILE] [--workspace FOLDER]

Works on the standard demo (some minutes, unless --workspace has a finished one, which stays as it is), and on
2,000 sources made from it, where some are drawn and the others copied: pages and index do not know the difference.
Opening and sorting need Chromium (NIRFIRE_CHROMIUM, or on the PATH) and are left out without it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import sync_playwright

from _inspect_workspace import make_workspace
from _rows import entry, parser, save
from nirfire.pipeline.report import RunReport
from nirfire.products.naming import Workspace
from nirfire.qa import drawing
from nirfire.qa.drawing import Drawn, Task, draw, draw_all, plan
from nirfire.qa.report import write_report

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.inspect.browser.server import ARGUMENTS, find_chromium

SOURCES, CORES, ROUNDS = 2000, 2, 3
SORT = "() => { const start = performance.now(); document.querySelector('#sources th:nth-child(3)').click(); "
SORT += "document.body.offsetHeight; return performance.now() - start; }"
FILTER = "() => { const start = performance.now(); const field = document.querySelector('#sources input.filter'); "
FILTER += "field.value = 'galaxy'; field.dispatchEvent(new Event('input')); document.body.offsetHeight; "
FILTER += "return performance.now() - start; }"
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"


def figures(place: Workspace) -> list[dict]:
    """What drawing takes, in this process and in as many as there are cores."""
    tasks = [task for task in plan(place, None, None) if task.exposure is None and task.spec]
    exposures = [task for task in plan(place, None, None) if task.exposure is not None]
    draw(tasks[0])  # imports
    start = time.process_time()
    for task in tasks:
        draw(task)
    each = (time.process_time() - start) / len(tasks)
    start = time.process_time()
    for task in exposures:
        draw(task)
    frame = (time.process_time() - start) / max(len(exposures), 1)
    many = tasks * ROUNDS
    named = [replace(task, grating=f"{task.grating}-{k}") for k, task in enumerate(many)]  # keys of their own
    start = time.perf_counter()
    draw_all(named, CORES)
    minutes = (time.perf_counter() - start) / len(named) * SOURCES / 60
    return [
        entry("figures of a source in one grating, CPU", each, "s", "< 1", each < 1),
        entry("figures of an exposure and detector, CPU", frame, "s"),
        entry(
            f"figures of {SOURCES} sources on {CORES} cores, from {len(named)}", minutes, "min", "< 20", minutes < 20
        ),
    ]


def pages(small: Workspace, place: Workspace) -> list[dict]:
    """Writing pages and index of many sources, where the figures are there and where nothing changed."""
    known = [draw(task) for task in plan(small, None, None) if task.exposure is None and task.spec]

    def copied(task: Task) -> Drawn:
        one = known[task.source % len(known)]
        return replace(one, measured=tuple((*row[:3], task.key) for row in one.measured)) if task.source else Drawn()

    drawing.draw = copied
    start = time.perf_counter()
    index = write_report(place, RunReport(()))
    first = time.perf_counter() - start
    start = time.perf_counter()
    write_report(place, RunReport(()))
    again = time.perf_counter() - start
    size = index.stat().st_size / 1e3
    rows = [
        entry(f"pages and index of {SOURCES} sources", first, "s"),
        entry("the same when nothing changed", again, "s", "< 30", again < 30),
        entry(f"first page of {SOURCES} sources", size, "kB", "< 1000", size < 1000),
    ]
    return rows + opened(index)


def opened(index: Path) -> list[dict]:
    """The first page from disk in a browser."""
    program = find_chromium()
    if program is None:
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(index.as_uri())
        load, order, words = page.evaluate(LOADED), page.evaluate(SORT), page.evaluate(FILTER)
        browser.close()
    return [
        entry("first page opens", load, "ms", "< 2000", load < 2000),
        entry("its sources sorted by redshift", order, "ms", "< 500", order < 500),
        entry("its sources filtered by a word", words, "ms", "< 200", words < 200),
    ]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--workspace", type=Path, help="a finished standard demo")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="nirfire-bench-") as name:
        folder = Path(name)
        demo = options.workspace or folder / "demo"
        if options.workspace is None:
            subprocess.run([sys.executable, "-m", "nirfire", "demo", "-w", str(demo), "-j", str(CORES)], check=True)
        small, many = make_workspace(demo, folder / "small", 0), make_workspace(demo, folder / "many", SOURCES)
        save(figures(small) + pages(small, many), options.json)


if __name__ == "__main__":
    main()
