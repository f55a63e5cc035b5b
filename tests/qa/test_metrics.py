"""The demo's measures on products whose faults are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.pipeline.jobs import DONE, NO_WORK, SKIPPED, Outcome
from nirfire.pipeline.report import RunReport, StageReport
from nirfire.products.naming import SPEC, ZFIT
from nirfire.products.spectrum import Spectrum
from nirfire.qa.metrics import METRICS, demo_metrics, read_metrics

REPORT = RunReport(
    (
        StageReport("detector", (Outcome("detector", "a", DONE, memory=1.5), Outcome("detector", "b", NO_WORK)), 12.5),
        StageReport("clean", (Outcome("clean", "a", DONE, memory=0.5),), 7.5),
    ),
    seconds=18.0,
    peak_memory=2.5,
)


def value(metrics, name):
    found = [m for m in metrics["metrics"] if m["name"].startswith(name)]
    assert len(found) == 1, name
    return found[0]


def test_measures_of_known_faults(workspace, truth_folder):
    metrics = demo_metrics(workspace, truth_folder, REPORT)
    share = value(metrics, "share of them")
    assert (share["value"], share["ok"]) == (1.0, True), "both galaxies are within 0.003 (1 + z)"
    flux = value(metrics, "median |flux/truth - 1|, point sources")
    assert flux["value"] == pytest.approx(0.05, abs=0.005)
    assert flux["ok"] is True
    assert value(metrics, "products that are NaN only")["ok"] is True
    by_source = {row["source_id"]: row for row in metrics["sources"]}
    assert by_source[103]["flux_ratio"] == pytest.approx(0.70, abs=0.01)
    assert by_source[103]["z_deviation"] == pytest.approx(0.001)
    assert by_source[101]["z_true"] is None
    assert value(metrics, "wall time, all stages")["value"] == 18.0
    assert value(metrics, "wall time, clean")["value"] == 7.5
    assert value(metrics, "memory of a worker, detector")["value"] == 1.5
    memory = next(m for m in metrics["metrics"] if m["name"] == "peak memory")
    assert (memory["value"], memory["ok"]) == (2.5, True)


def test_the_file_is_strict_json_and_the_same(workspace, truth_folder):
    metrics = demo_metrics(workspace, truth_folder, REPORT)

    def refuse(text):
        raise AssertionError(f"{text} is not JSON")

    text = (workspace.report / METRICS).read_text()
    assert json.loads(text, parse_constant=refuse) == metrics


def test_a_wrong_redshift_a_missing_spectrum_and_an_empty_one_are_seen(workspace, truth_folder, make_fit, wave):
    sure = replace(make_fit(1.0, np.ones(wave.shape)), probability=0.99)
    sure.write(workspace.combined(105, "PRISM", "CLEAR", ZFIT))
    spec = workspace.combined(103, "PRISM", "CLEAR", SPEC)
    whole = Spectrum.read(spec)
    nothing = np.full(wave.shape, np.nan)
    replace(whole, flux=nothing, err=nothing, mask=np.ones(wave.shape, bool)).write(spec)
    workspace.combined(101, "PRISM", "CLEAR", SPEC).unlink()
    metrics = demo_metrics(workspace, truth_folder, REPORT)
    assert metrics["empty_products"] == [spec.name]
    assert value(metrics, "products that are NaN only")["ok"] is False
    assert value(metrics, "sure (probability")["value"] == 1
    assert value(metrics, "share of them")["value"] == 0.0
    assert value(metrics, "catalogued sources without")["value"] == 1
    assert value(metrics, "median |flux/truth - 1|, point sources")["value"] is None
    by_source = {row["source_id"]: row for row in metrics["sources"]}
    assert by_source[103]["nan_only"] is True
    assert by_source[101]["note"] == "no spectrum"


def test_a_run_that_found_part_of_it_done_says_so(workspace, truth_folder):
    part = RunReport((StageReport("detector", (Outcome("detector", "a", SKIPPED),)),), 1.0, 0.5)
    metrics = demo_metrics(workspace, truth_folder, part)
    assert value(metrics, "wall time, all stages")["name"].endswith("(part was already done)")
    assert metrics["stages"] == [{"stage": "detector", "seconds": 0.0, "peak_memory": 0.0, "outcomes": {SKIPPED: 1}}]


def test_absent_truth_is_said(workspace, tmp_path):
    with pytest.raises(DataError, match="truth table not found"):
        demo_metrics(workspace, tmp_path / "nowhere", REPORT)


def test_a_report_without_a_run_keeps_what_the_run_cost(workspace, truth_folder):
    before = demo_metrics(workspace, truth_folder, REPORT)
    after = demo_metrics(workspace, truth_folder, RunReport(()))
    assert after == before
    (workspace.report / METRICS).unlink()
    never = demo_metrics(workspace, truth_folder, RunReport(()))
    assert never["stages"] == []
    assert not any(m["unit"] in ("s", "GB") for m in never["metrics"])


def test_damaged_metrics_are_said(workspace):
    assert read_metrics(workspace) == {}
    workspace.report.mkdir()
    (workspace.report / METRICS).write_text('{"a": ')
    with pytest.raises(DataError, match="damaged"):
        read_metrics(workspace)


@pytest.mark.parametrize("suffix", [SPEC, ZFIT])
def test_a_damaged_product_is_noted_and_the_others_are_measured(workspace, truth_folder, suffix):
    (path,) = workspace.find_combined(103, suffix)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    metrics = demo_metrics(workspace, truth_folder, REPORT)
    by_source = {row["source_id"]: row for row in metrics["sources"]}
    assert by_source[103]["note"].startswith(f"{path.name}: ")
    assert by_source[103]["z_fit"] is None
    assert [row["note"] for source, row in by_source.items() if source != 103 and row["z_fit"] is not None]
