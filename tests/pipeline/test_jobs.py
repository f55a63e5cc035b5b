"""Jobs on a pool: every ending is recorded, nothing stops the others, finished work is skipped."""

from pathlib import Path

import pytest

from nirfire.errors import DataError, NoWork
from nirfire.pipeline.execute import Pool, run_stage
from nirfire.pipeline.jobs import Job, Ledger, worst


def act(how: str, given: Path, made: Path) -> None:
    """A task that ends as asked."""
    if how == "no-work":
        raise NoWork("nothing to do here")
    if how == "data-error":
        raise DataError("bad input", file=given, key="DEC_REF", remedy="set it")
    if how == "failed":
        raise ZeroDivisionError("a bug")
    if how == "exit":
        raise SystemExit(-1)
    made.write_text(given.read_text())


def jobs_for(folder, hows):
    given = folder / "given.txt"
    if not given.exists():
        given.write_text("x")
    made = [folder / f"{how}.out" for how in hows]
    return [
        Job("act", how, act, {"how": how, "given": given, "made": m}, (given,), (m,))
        for how, m in zip(hows, made, strict=True)
    ]


@pytest.fixture(scope="module")
def pool():
    with Pool(2, {"NIRFIRE_TESTING": "1"}) as workers:
        yield workers


def ends(report):
    return {o.key: o.status for o in report.outcomes}


def test_every_ending_is_recorded_and_none_stops_the_others(tmp_path, pool):
    hows = ["no-work", "data-error", "failed", "exit", "done"]
    report = run_stage("act", jobs_for(tmp_path, hows), pool, Ledger.open(tmp_path / "l"), tmp_path / "logs")
    assert ends(report) == {
        "no-work": "no-work",
        "data-error": "data-error",
        "failed": "failed",
        "exit": "data-error",
        "done": "done",
    }
    assert worst(report.outcomes) == 3
    said = {o.key: o.reason for o in report.outcomes}
    assert "DEC_REF" in said["data-error"]
    assert "remedy: set it" in said["data-error"]
    log = Path({o.key: o.log for o in report.outcomes}["failed"])
    assert "ZeroDivisionError: a bug" in log.read_text()
    assert report.peak_memory > 0


def test_finished_and_workless_jobs_are_skipped_until_their_input_changes(tmp_path, pool):
    hows, ledger = ["no-work", "data-error", "done"], tmp_path / "l"

    def again(**keys):
        return ends(run_stage("act", jobs_for(tmp_path, hows), pool, Ledger.open(ledger), tmp_path / "logs", **keys))

    again()
    assert again() == {"no-work": "skipped", "data-error": "data-error", "done": "skipped"}
    assert again(overwrite=True)["done"] == "done"
    (tmp_path / "given.txt").write_text("longer than before")
    assert again()["no-work"] == "no-work"


def test_a_job_whose_end_is_known_is_not_run(tmp_path, pool):
    job = Job("act", "x", act, {}, (), (), ended=("data-error", "no metafile"))
    report = run_stage("act", [job], pool, Ledger.open(tmp_path / "l"), tmp_path / "logs")
    assert [(o.status, o.reason) for o in report.outcomes] == [("data-error", "no metafile")]


def test_ledger_survives_a_cut_off_line(tmp_path, pool):
    path = tmp_path / "l"
    run_stage("act", jobs_for(tmp_path, ["done"]), pool, Ledger.open(path), tmp_path / "logs")
    with path.open("a") as f:
        f.write('{"task": "act", "key": "ha')
    assert set(Ledger.open(path).latest) == {("act", "done")}


def test_worst_is_zero_when_all_is_well(tmp_path, pool):
    report = run_stage(
        "a", jobs_for(tmp_path, ["done", "no-work"]), pool, Ledger.open(tmp_path / "l"), tmp_path / "logs"
    )
    assert worst(report.outcomes) == 0
