"""The page: complete, offline, honest about what went wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from nirfire.pipeline.jobs import BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, Outcome
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.report import RunReport, StageReport
from nirfire.products.naming import SPEC, Workspace
from nirfire.qa.drawing import draw, draw_all, plan
from nirfire.qa.html import Cell, Section, page, shown
from nirfire.qa.report import concerns, latest_outcomes, write_report
from nirfire.tasks.summary import summary

NAME = "jw09999001001_02101_00001_nrs1"
OUTCOMES = (
    Outcome(
        "calibrate",
        "jw09999001001_02101_00001_nrs1 103",
        DATA_ERROR,
        "keyword <DEC_REF> is missing",
        log="logs/calibrate/c.log",
    ),
    Outcome("calibrate", "jw09999001001_02101_00001_nrs2 103", NO_WORK, "misses this detector"),
    Outcome("calibrate", "jw09999001001_02101_00001_nrs1 105", DONE, seconds=2.0, memory=1.5),
    Outcome("redshift", "103 PRISM CLEAR", BLOCKED, "calibrate 103 did not succeed"),
)
REPORT = RunReport((StageReport("calibrate", OUTCOMES[:3], 3.0), StageReport("redshift", OUTCOMES[3:])), 3.5, 2.25)


class Page(HTMLParser):
    """Collects addresses and anchors, and checks that tags are balanced."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.images, self.links, self.anchors, self.open = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.images += [found["src"]] if tag == "img" else []
        self.links += [found["href"]] if "href" in found else []
        self.anchors |= {found["id"]} if "id" in found else set()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def record(place, *outcomes):
    """File outcomes as a run does."""
    ledger = Ledger.open(place, "run")
    for outcome in outcomes:
        ledger.add(outcome)
    ledger.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory, fill_workspace, truth_folder):
    """A finished report, to be read only."""
    place = fill_workspace(tmp_path_factory.mktemp("report") / "ws")
    specs = [(p, None) for s in place.find_sources() for p in place.find_combined(s, SPEC)]
    summary(specs, [place.summary("ecsv")])
    record(place, *OUTCOMES)
    return write_report(place, REPORT, truth_folder)


def test_the_page_is_complete_and_needs_no_network(report):
    text = report.read_text()
    found = Page(text)
    assert not found.open, "tags are balanced"
    assert not re.search(r"https?://|//cdn", text)
    assert len(found.images) == 2 + 3 * 4
    for image in found.images:
        png = report.parent / image
        assert png.read_bytes().startswith(b"\x89PNG")
        assert 3_000 < png.stat().st_size < 400_000
    for link in found.links:
        assert not link.startswith("#") or link[1:] in found.anchors, link
    assert {"source-101", "source-103", "source-105"} <= found.anchors


def test_reasons_are_told_and_escaped(report):
    text = report.read_text()
    assert "keyword &lt;DEC_REF&gt; is missing" in text
    assert "misses this detector" in text
    assert 'href="../logs/calibrate/c.log"' in text


def test_stages_and_their_cost_are_told(report):
    text = report.read_text()
    assert "4 s wall time, 2.25 GB peak memory" in text
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)]
    assert ["calibrate", "1", "0", "1", "1", "0", "0", "3", "2", "1.5"] in rows
    assert ["redshift", "0", "0", "0", "0", "0", "1", "0", "0", "0"] in rows


def test_a_damaged_product_is_a_message_not_a_crash(workspace):
    path = workspace.combined(103, "PRISM", "CLEAR", SPEC)
    path.write_bytes(b"not FITS")
    task = next(t for t in plan(workspace, None, None) if t.source == 103 and t.spec)
    pictures = draw(task)
    assert path.name in pictures[-1].problem
    text = page("t", [Section("a", "A", pictures=pictures)])
    assert 'class="problem"' in text
    assert path.name in text


def test_an_empty_workspace_gives_a_page(tmp_path):
    page_path = write_report(Workspace(tmp_path, "nothing"), RunReport(()))
    assert "nothing" in page_path.read_text()


def test_two_processes_draw_the_same(workspace, truth_folder):
    tasks = plan(workspace, truth_folder, None)[:2]
    one = draw_all(tasks, 1)
    first = {p.name: p.read_bytes() for p in (workspace.report / "figures").glob("*.png")}
    assert draw_all(tasks, 2) == one
    assert first == {p.name: p.read_bytes() for p in (workspace.report / "figures").glob("*.png")}


def test_the_ledger_remembers_what_earlier_runs_could_not_do(workspace):
    record(workspace, Outcome("a", "1", NO_WORK, "no slit"), Outcome("a", "2", FAILED, "ValueError"))
    record(workspace, Outcome("a", "2", DONE), Outcome("a", "3", DONE))
    assert {o.key: o.status for o in latest_outcomes(workspace)} == {"1": NO_WORK, "2": DONE, "3": DONE}


def test_jobs_are_told_apart_by_source():
    key = "jw09999001001_02101_00001_nrs1 103"
    assert concerns(Outcome("calibrate", key, FAILED), 103)
    assert not concerns(Outcome("calibrate", key, FAILED), 10)
    assert concerns(Outcome("redshift", "demo_prism_clear_103", FAILED), 103)
    assert not concerns(Outcome("redshift", "demo_prism_clear_1103", FAILED), 103)


def test_values_are_shown_as_a_reader_expects():
    assert shown(np.float64(1.23456789)) == "1.2346"
    assert shown(float("nan")) == "–"
    assert shown(np.ma.masked) == "–"
    assert shown(True) == "yes"
    assert shown(7) == "7"
    text = page("t", [Section("a", "A", tables=[(("x",), [[Cell(1.5, tone="bad")], [Cell("<b>", link="#a")]])])])
    assert '<td class="number bad" data-key="1.5">1.5</td>' in text
    assert '<a href="#a">&lt;b&gt;</a>' in text


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, nirfire.qa.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
