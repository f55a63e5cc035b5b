"""`nirfire run` as a user meets it: its last words, its exit codes, and what an interrupt leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.pipeline.lock import locked
from nirfire.pipeline.select import Selection, Shard
from nirfire.products.provenance import read_fingerprint
from nirfire.tasks.stuck import write_stuck

from ..pipeline.cluster_help import lives, wait_until
from ..pipeline.survey import ROOT, WILL, Bench, write_survey

HERE = Path(__file__).resolve().parents[2]
COMMAND = """
import sys
import pytest
from tests.pipeline.survey import use_stand_ins
use_stand_ins(pytest.MonkeyPatch())
sys.argv[0] = "nirfire"
from nirfire.cli import main
main()
"""


@pytest.fixture
def bench(tmp_path, monkeypatch, quick_disk):
    made = Bench(tmp_path, monkeypatch)
    made.pages = 0

    def write_report(place, report, **keys):
        made.pages += 1
        place.report.mkdir(exist_ok=True)
        (place.report / "index.html").write_text("a page")

    monkeypatch.setitem(sys.modules, "nirfire.qa.report", types.SimpleNamespace(write_report=write_report))
    return made


def do(target, *arguments):
    done = CliRunner().invoke(app, ["run", str(target), *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, re.sub(r"\s+", " ", done.output)


def test_twice(bench):
    place = bench.place
    code, said = do(bench.raw, "-w", place.folder)
    assert code == 0
    assert "raw: 21 done in" in said
    assert f"products: {place.folder}" in said
    assert f"report: {place.report / 'index.html'}" in said
    code, said = do(place.folder)
    assert code == 0
    assert "raw: 21 skipped in" in said
    assert bench.pages == 1, "nothing new, no new report"


def test_one_source_without_work_makes_no_second_report(bench):
    bench.will(nodsub_103="no-work")
    do(bench.raw, "-w", bench.place.folder)
    code, said = do(bench.place.folder)
    assert code == 0
    assert "no-work" not in said
    assert bench.pages == 1


def test_the_report_follows_the_shards_of_a_job_array(bench):
    bench.run()
    do(bench.place.folder)
    assert bench.pages == 1
    for path in bench.place.report.iterdir():
        os.utime(path, (1, 1))  # file systems count time in ticks
    bench.run(Selection(first="calibrate", shard=Shard(1, 1)), overwrite=True)
    do(bench.place.folder)
    assert bench.pages == 2


def test_a_failed_source_is_named_with_its_log_and_what_to_do(bench):
    bench.will(calibrate_103="data-error")
    code, said = do(bench.raw, "-w", bench.place.folder)
    assert code == 3
    log = bench.place.logs / "calibrate" / f"{ROOT}_00001_nrs1_103.log"
    assert f"data-error: calibrate {ROOT}_00001_nrs1 103 bad input file: x.fits key: DEC_REF remedy: set it" in said
    assert f"log: {log}" in said
    assert log.exists()
    assert "raw: 16 done, 2 data-error, 3 blocked in" in said
    assert "mend what is said above and run the same command again" in said


def test_many_failures_are_cut_short(tmp_path, bench):
    bench.will(calibrate_1="failed")
    _, said = do(write_survey(tmp_path / "many", sources=range(101, 107)), "-w", tmp_path / "out")
    assert said.count("failed: calibrate") == 10
    assert f"... and 2 more: nirfire status {tmp_path / 'out'}" in said


def test_stale_products_are_counted_with_the_command_that_redoes_them(bench):
    bench.run()
    write_stuck(bench.place.stuck_list, {ROOT: {103: (2,)}})
    code, said = do(bench.place.folder)
    assert code == 0
    assert f"6 products are stale; to redo exactly those: nirfire run {bench.place.folder} --rerun stale" in said
    code, said = do(bench.place.folder, "--rerun", "stale")
    assert "raw: 6 done, 15 skipped in" in said
    assert "products are stale" not in said


def test_an_observation_that_cannot_be_run_does_not_stop_the_others(bench):
    toml = bench.folder / "observations.toml"
    table = '[{}]\nfield = "EGS"\nprogram = "ceers"\ndata_subdir = "{}"\nfiles = ["jw01345062001*"]\n'
    toml.write_text(table.format("gone", "nowhere") + table.format("here", "raw"))
    code, said = do(toml)
    assert code == 3
    assert "error: gone: folder of observation gone not found" in said
    assert "here: 21 done in" in said
    code, said = do(toml, "--obs", "gone")
    assert code == 2
    assert "done" not in said


def test_a_workspace_in_use_is_exit_2(bench):
    bench.run()
    with locked(bench.place):
        code, said = do(bench.place.folder)
    assert code == 2
    assert f'"pid": {os.getpid()}' in said


def test_a_workspace_that_cannot_be_written_is_exit_2(bench):
    (bench.folder / "file").write_text("x")
    code, said = do(bench.raw, "-w", bench.folder / "file" / "ws")
    assert code == 2
    assert "the workspace cannot be written" in said
    assert "give another workspace (-w)" in said


def start(folder, *arguments):
    """The command with stand-ins in a process group of its own."""
    command = [sys.executable, "-c", COMMAND, "run", folder / "raw", "-w", folder / "ws", "-j", 2, "--no-report"]
    environment = {**os.environ, WILL: str(folder / "will.json")}
    return subprocess.Popen(
        [*map(str, command), *arguments],
        cwd=HERE,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_run_leaves_a_state_that_can_be_resumed(tmp_path, monkeypatch, how):
    bench = Bench(tmp_path, monkeypatch, sources=(101, 103))
    bench.will(sleep={"calibrate": 0.2, "nodsub": 600})  # it is never over before it is interrupted
    run = start(tmp_path)
    sources = bench.place.sources
    wait_until(lambda: len(list(sources.rglob("jw*_cal.fits"))) > 1, 60, "the run does not begin")
    family = [p.pid for p in psutil.Process(run.pid).children(recursive=True)]
    if how == signal.SIGINT:
        os.killpg(run.pid, how)  # as a terminal does
    else:
        run.kill()
    _, said = run.communicate(timeout=60)
    if how == signal.SIGINT:
        assert run.returncode == 130
        assert "interrupted; run the same command again to go on" in said
    assert "Traceback" not in said
    assert len(family) >= 2
    wait_until(lambda: not any(map(lives, family)), 30, "a worker outlives the run")
    made = {p: p.stat().st_mtime_ns for p in bench.place.folder.rglob("jw*.fits") if not p.is_symlink()}
    assert len(made) >= 4, "two cutouts, and the two files that they were made from"
    assert all(read_fingerprint(path) for path in made), "what is there is whole"
    bench.will()
    assert bench.run().exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in made} == made, "nothing is done twice"
    assert len(list(sources.rglob("*_zfit.fits"))) == 2
    assert not list(bench.place.folder.rglob(".part-*"))
