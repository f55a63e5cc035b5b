"""`plan`, `status`, `show` and `--dry-run`: what they say, and that they change nothing."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.errors import DataError
from nirfire.tasks.stuck import write_stuck

from ..pipeline.survey import ROOT, Bench

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def do(bench, *arguments, target=None):
    """Run a command; gives its exit code and all it said, in one line."""
    place = [] if target else ["-w", bench.folder / "ws"]
    done = CliRunner().invoke(app, [*map(str, arguments), str(target or bench.raw), *map(str, place)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, re.sub(r"[\s│┃]+", " ", done.output)


def tree(bench):
    return {p: p.stat().st_mtime_ns for p in bench.folder.rglob("*")}


def test_looking_at_what_was_never_run_changes_nothing(bench):
    before = tree(bench)
    code, said = do(bench, "plan")
    assert code == 0
    assert "raw: 2 exposures, 3 sources, CRDS embedded" in said
    assert "calibrate 2D cutout, wavelength, flux source, exposure 6 6" in said
    code, said = do(bench, "plan", "--list")
    assert f"calibrate {ROOT}_00002_nrs1 105 to do" in said
    code, said = do(bench, "run", "--dry-run", "--to", "calibrate")
    assert "raw: 11 of 11 jobs would run" in said
    code, said = do(bench, "status")
    assert code == 0
    assert tree(bench) == before


def test_status_names_what_failed_and_why(bench):
    bench.will(calibrate_103="data-error", extract_105="no-work")
    bench.run()
    before = tree(bench)
    code, said = do(bench, "status")
    assert code == 3
    assert re.search(r"failed: calibrate jw\S+ 103, jw\S+ 103 bad input file: x.fits key: DEC_REF remedy: set it", said)
    assert "blocked: nodsub" in said
    assert "no-work: extract 105 PRISM CLEAR nothing to do here" in said
    assert "calibrate 6 4 2" in said, "of 6 jobs 4 are done and 2 failed"
    assert tree(bench) == before


def test_status_says_what_is_stale_why_and_what_to_do(bench):
    bench.run()
    write_stuck(bench.place.stuck_list, {ROOT: {103: (2,)}})
    code, said = do(bench, "status")
    assert code == 0
    assert "calibrate 6 4 2" in said, "done and stale"
    assert "103 arguments closed [] -> [2]" in said
    assert "stale: 4 made from those" in said
    assert f"nirfire run {bench.place.folder} --rerun stale" in said
    code, said = do(bench, "run", "--dry-run")
    assert "0 of 21 jobs would run" in said
    code, said = do(bench, "run", "--dry-run", "--rerun", "stale", target=bench.place.folder)
    assert "6 of 21 jobs would run" in said
    code, said = do(bench, "run", "--dry-run", "--overwrite", "--from", "redshift")
    assert "3 of 3 jobs would run" in said


def test_status_tells_of_a_new_try_that_failed_beside_an_older_product(bench):
    bench.run()
    write_stuck(bench.place.stuck_list, {ROOT: {103: (2,)}})
    bench.will(calibrate_103="failed")
    assert bench.run(rerun="stale").exit_code == 3
    code, said = do(bench, "status")
    assert code == 3
    assert "ZeroDivisionError: a bug" in said
    assert "what was made earlier is kept" in said


def test_status_names_inputs_that_cannot_be_used(bench):
    path = next(bench.raw.glob("*00002*"))
    path.write_bytes(b"not FITS")
    code, said = do(bench, "status")
    assert code == 3
    assert "unusable input:" in said
    assert path.name in said


def test_show_tells_the_history_of_a_source(bench):
    bench.will(extract_103="failed")
    bench.run()
    bench.will()
    bench.run()
    code, said = do(bench, "show", "103")
    assert code == 0
    assert said.index("extract 103 PRISM CLEAR failed") < said.index("extract 103 PRISM CLEAR done")
    assert f"detector {ROOT}_00001_nrs1 done" in said, "what it hangs on belongs to it"
    assert " 105 " not in said
    assert "now: 5 done" in said
    assert str(bench.place.source_folder(103)) in said.replace(" ", "")
    code, said = do(bench, "show", "99")
    assert "has no source 99; it has 101, 103, 105" in said


def test_a_ledger_that_is_damaged_is_no_traceback(bench):
    bench.run()
    bench.place.ledger.write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match="ledger cannot be used"):
        do(bench, "status")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--rerun", "all"), "use missing or stale"),
        (("run", "--executor", "dask"), "use local or parsl"),
        (("run", "-j", "0"), "greater than or equal to 1"),
        (("run", "--source", "x"), "integer"),
        (("run", "--nonsense"), "nonsense"),
    ],
)
def test_wrong_usage_is_exit_2(bench, arguments, words):
    code, said = do(bench, *arguments)
    assert code == 2
    assert words in said
    assert not (bench.folder / "ws").exists()


def test_shards_are_checked_before_anything_is_done(bench):
    for shard in ("3/2", "1/2"):
        with pytest.raises(DataError):
            do(bench, "run", "--shard", shard)
    assert not (bench.folder / "ws").exists()
