"""The page: complete, offline, honest about what went wrong."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote
from nirfire.pipeline.jobs import BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, Outcome
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.report import RunReport, StageReport
from nirfire.pipeline.run import Progress
from nirfire.products.naming import RATE, SPEC, ExposureName, Workspace
from nirfire.progress import Estimate
from nirfire.qa import drawing
from nirfire.qa import report as report_module
from nirfire.qa.checks import CHECKS
from nirfire.qa.drawing import Drawn, draw, draw_all, plan
from nirfire.qa.html import Cell, Picture, Section, page, shown
from nirfire.qa.record import Record
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


def cells(text):
    """Text of the cells of every row of every table."""
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    return [[re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


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


def pages_of(report):
    return [report, *sorted(report.parent.glob("*/*.html"))]


def test_the_pages_are_complete_and_need_no_network(report):
    names = [str(p.relative_to(report.parent)) for p in pages_of(report)]
    assert names == ["index.html", f"exposures/{NAME}.html", *(f"sources/{n}.html" for n in (101, 103, 105))]
    images = set()
    for path in pages_of(report):
        text = path.read_text()
        found = Page(text)
        assert not found.open, "tags are balanced"
        assert not re.search(r"https?://|//cdn", text)
        images |= {(path.parent / image).resolve() for image in found.images}
        for link in found.links:
            file, _, anchor = link.partition("#")
            if "/logs/" not in file:  # of jobs that only these tests know
                assert not file or (path.parent / unquote(file)).exists(), link
            assert not anchor or anchor in found.anchors, link
    assert len(images) == 2 + 3 * 3 + 1  # of the exposure, of each source, of all spectra
    for image in images:
        assert image.read_bytes().startswith(b"\x89PNG")
        assert 3_000 < image.stat().st_size < 400_000


def test_reasons_are_told_and_escaped(report):
    text = report.read_text()
    assert "keyword &lt;DEC_REF&gt; is missing" in text
    assert "misses this detector" in text
    assert 'href="../logs/calibrate/c.log"' in text
    of_source = (report.parent / "sources" / "103.html").read_text()
    assert "keyword &lt;DEC_REF&gt; is missing" in of_source
    assert 'href="../../logs/calibrate/c.log"' in of_source


def test_stages_and_their_cost_are_told(report):
    text = report.read_text()
    assert "4 s wall time, 2.25 GB peak memory" in text
    assert ["calibrate", "1", "0", "1", "1", "0", "0", "3", "2", "1.5"] in cells(text)
    assert ["redshift", "0", "0", "0", "0", "0", "1", "0", "0", "0"] in cells(text)


def test_checks_are_told_with_value_limits_and_verdict(report):
    rows = cells(report.read_text())
    failed = next(row for row in rows if row[1:2] == [CHECKS["failed_jobs"].about])
    assert failed == ["run", CHECKS["failed_jobs"].about, "0", "0", "0", "1", "0", "1", "1", "the observation"]
    assert ["fail", "the observation", CHECKS["failed_jobs"].about, "1", "0"] in rows
    of_source = cells((report.parent / "sources" / "101.html").read_text())
    pixels = next(row for row in of_source if CHECKS["pixels"].about in row)
    assert pixels == [
        "pass",
        "extract",
        CHECKS["pixels"].about,
        "101 PRISM",
        "397",
        "≥ 60",
        CHECKS["pixels"].reason,
    ]


def test_checks_are_in_the_metrics_beside_the_truth(report):
    metrics = json.loads((report.parent / "metrics.json").read_text())
    assert {"sources", "metrics", "stages", "checks", "findings", "observation"} <= set(metrics)
    assert [check["name"] for check in metrics["checks"]] == list(CHECKS)
    counts = {check["name"]: (check["pass"], check["look"], check["fail"]) for check in metrics["checks"]}
    assert counts["pixels"] == (3, 0, 0)
    assert counts["failed_jobs"] == (0, 0, 1)
    assert {"check": "failed_jobs", "subject": "", "value": 1.0, "error": 0.0, "verdict": "fail"} in metrics["findings"]


def test_a_damaged_product_is_a_message_not_a_crash(workspace):
    path = workspace.combined(103, "PRISM", "CLEAR", SPEC)
    path.write_bytes(b"not FITS")
    task = next(t for t in plan(workspace, None, None) if t.source == 103 and t.spec)
    pictures = draw(task).pictures
    assert path.name in pictures[-1].problem
    text = page("t", [Section("a", "A", pictures=pictures)])
    assert 'class="problem"' in text
    assert path.name in text


def test_an_empty_workspace_gives_a_page(tmp_path):
    page_path = write_report(Workspace(tmp_path, "nothing"), RunReport(()))
    assert "nothing" in page_path.read_text()
    assert json.loads((page_path.parent / "metrics.json").read_text())["observation"] == "nothing"


def test_two_processes_draw_the_same(workspace, truth_folder):
    tasks = [replace(task, spec=None) for task in plan(workspace, truth_folder, None) if task.source][:2]  # quick ones
    one = draw_all(tasks, 1)
    first = {p.name: p.read_bytes() for p in (workspace.report / "figures").glob("*.png")}
    assert repr(draw_all(tasks, 2)) == repr(one)  # NaN is not NaN
    assert first == {p.name: p.read_bytes() for p in (workspace.report / "figures").glob("*.png")}


@pytest.fixture
def skeleton(tmp_path):
    """A workspace of three sources and an exposure, with nothing in its files."""
    place = Workspace(tmp_path / "ws", "obs")
    specs = [place.combined(source, "PRISM", "CLEAR", SPEC) for source in (101, 103, 105)]
    for path in (place.exposure(ExposureName(NAME), RATE), *specs):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    return place


@pytest.fixture
def draws(monkeypatch):
    """Keys of the tasks that are drawn, by a stand-in that draws nothing much."""
    keys = []

    def stand_in(task):
        keys.append(task.key)
        address = f"figures/{task.key.replace(' ', '-')}.png"
        path = task.workspace.report / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a figure")
        return Drawn(
            (Picture(address, "figure"),), (("fact", "1"),), (), (("probability", float("nan"), 0.0, task.key),)
        )

    monkeypatch.setattr(drawing, "draw", stand_in)
    return keys


def test_only_what_is_out_of_date_is_drawn_again(skeleton, draws):
    write_report(skeleton, RunReport(()))
    assert draws == [NAME, "101 PRISM", "103 PRISM", "105 PRISM"]
    before = {p: p.stat().st_mtime_ns for p in skeleton.report.glob("sources/*.html")}
    draws.clear()
    write_report(skeleton, RunReport(()))
    assert draws == []
    assert {p: p.stat().st_mtime_ns for p in before} == before, "pages that say the same are not written"

    os.utime(skeleton.combined(103, "PRISM", "CLEAR", SPEC), (1, 1))
    (skeleton.report / "figures" / "105-PRISM.png").unlink()
    write_report(skeleton, RunReport(()))
    assert draws == ["103 PRISM", "105 PRISM"]


def test_progress_is_told_with_the_time_that_it_took(skeleton, draws, monkeypatch):
    """What is left is reckoned from it: here 10 s from one figure to the next."""
    clock = itertools.count(step=10.0)
    monkeypatch.setattr(report_module.time, "monotonic", lambda: next(clock))
    estimate, begun = Estimate(), []
    hooks = Progress(begin=lambda totals, usual, workers: begun.append(totals), tick=estimate.count)
    monkeypatch.setattr(Record, "write", lambda *_, **__: None)
    write_report(skeleton, RunReport(()), progress=hooks)
    assert begun == [{"report": 4}]
    estimate.left["report"] = 3
    assert estimate.seconds() == pytest.approx(30)


def test_one_source_alone(skeleton, draws):
    index = write_report(skeleton, RunReport(()), sources=[103])
    assert draws == ["103 PRISM"]
    assert [p.name for p in skeleton.report.glob("sources/*.html")] == ["103.html"]
    pages = {link for link in Page(index.read_text()).links if link.endswith(".html")}
    assert pages == {"sources/103.html"}, "no link to a page that is not there"


def test_grades_of_people_are_told(skeleton, draws):
    with Store.open(skeleton.inspection, observation="obs") as store:
        for k, (user, source, z, quality) in enumerate(
            (("Ana", 101, 0.5, 4), ("Ana", 103, 3.0, 4), ("Bo", 103, 1.0, 4))
        ):
            comment = "<b>" if source == 101 else ""
            store.add(Vote(f"u{k}", user, source, z, quality, {}, comment, (), {}, f"2026-01-01T00:00:00.00000{k}Z"))
    text = write_report(skeleton, RunReport(())).read_text()
    assert "2 of 3 sources, 1 in conflict" in text
    graded = {row[0]: row[-1] for row in cells(text) if row[1:2] == ["PRISM"]}
    assert graded == {"101": "secure", "103": "conflict", "105": ""}
    of_source = (skeleton.report / "sources" / "101.html").read_text()
    assert "secure, z = 0.50000 (Ana)" in of_source
    assert "&lt;b&gt;" in of_source


def test_what_is_gone_leaves_no_page_and_no_figure(skeleton, draws):
    write_report(skeleton, RunReport(()))
    for path in skeleton.source_folder(105).iterdir():
        path.unlink()
    skeleton.source_folder(105).rmdir()
    write_report(skeleton, RunReport(()))
    assert not (skeleton.report / "sources" / "105.html").exists()
    assert not (skeleton.report / "figures" / "105-PRISM.png").exists()
    assert (skeleton.report / "figures" / "103-PRISM.png").exists()
    assert "105 PRISM" not in Record.open(skeleton).known


def test_an_interrupt_keeps_what_is_drawn(skeleton, draws, monkeypatch):
    def until_103(task, stand_in=drawing.draw):
        if task.source == 103:
            raise KeyboardInterrupt
        return stand_in(task)

    monkeypatch.setattr(drawing, "draw", until_103)
    with pytest.raises(KeyboardInterrupt):
        write_report(skeleton, RunReport(()))
    assert list(Record.open(skeleton).known) == [NAME, "101 PRISM"]


def test_what_is_drawn_is_kept_though_nothing_comes_after_it(skeleton, draws, monkeypatch):
    monkeypatch.setattr(report_module, "SAVED_EVERY", 0.0)
    known, stand_in = [], drawing.draw

    def look(task):
        known.append(len(Record.open(skeleton).known))
        return stand_in(task)

    monkeypatch.setattr(drawing, "draw", look)
    write_report(skeleton, RunReport(()))
    assert known == [0, 1, 2, 3], "each is written before the next is drawn: a power cut loses no more"


def test_a_process_that_dies_takes_nothing_with_it(workspace, truth_folder, monkeypatch):
    monkeypatch.setattr(drawing, "draw", dies_of_103)
    tasks = [replace(task, spec=None) for task in plan(workspace, truth_folder, None) if task.source]
    found = draw_all(tasks, 2)
    assert [p.problem for p in found["103 PRISM"].pictures] == [drawing.DIED]
    assert [found[key].facts for key in ("101 PRISM", "105 PRISM")] == [(("drawn", key),) for key in ("101", "105")]
    record = Record.open(workspace)
    for task in tasks:
        record.keep(task, "state", found[task.key])
    assert [record.is_current(task, "state") for task in tasks] == [True, False, True], "it is tried again"


def dies_of_103(task):
    if task.source == 103:
        os.kill(os.getpid(), signal.SIGKILL)
    return Drawn((), (("drawn", str(task.source)),))


def test_a_damaged_record_is_made_anew(skeleton, draws):
    write_report(skeleton, RunReport(()))
    kept = Record.open(skeleton)
    assert len(kept.known) == 4
    for damage in ("", "[1]", '{"a": {"state": 1}}'):
        kept.path.write_text(damage)
        assert Record.open(skeleton).known == {}
    draws.clear()
    write_report(skeleton, RunReport(()))
    assert len(draws) == 4


def test_pages_lead_to_their_neighbours(skeleton, draws):
    write_report(skeleton, RunReport(()))
    links = Page((skeleton.report / "sources" / "103.html").read_text()).links
    assert {"../index.html", "../sources/101.html", "../sources/105.html"} <= set(links)


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
    assert '<td class="number bad">1.5</td>' in text
    assert '<a href="#a">&lt;b&gt;</a>' in text


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, nirfire.qa.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
