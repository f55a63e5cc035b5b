"""Whole runs of real plans over headers, with stand-ins for the tasks: what is done, redone, recorded and left."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.pipeline import run as run_module
from nirfire.pipeline.jobs import BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, SKIPPED
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.lock import locked
from nirfire.pipeline.run import look_at
from nirfire.pipeline.select import Selection, Shard
from nirfire.pipeline.stale import roots, why
from nirfire.products.atomic import write_fits, write_text
from nirfire.products.naming import BKGSUB, CAL, SPEC, ExposureName, Workspace
from nirfire.products.provenance import Provenance, read_facts, read_fingerprint, recording
from nirfire.tasks.stuck import write_stuck

from .survey import CARDS, METAFILE, ROOT, Bench, write_metafile, write_survey
from .toy import descendants, those

pytestmark = pytest.mark.usefixtures("quick_disk")
JOBS = {
    **{"detector": 2, "clean": 2, "shutters": 1, "calibrate": 6},
    **{"nodsub": 3, "offsets": 1, "extract": 3, "redshift": 3},
}
FIRST, SECOND = f"{ROOT}_00001_nrs1", f"{ROOT}_00002_nrs1"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def finished_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        Bench(folder, patch).run()
    return folder


@pytest.fixture
def finished(finished_folder, tmp_path, monkeypatch):
    """A bench whose run is over; its files were copied since, which changes nothing."""
    for name in ("raw", "ws"):
        shutil.copytree(finished_folder / name, tmp_path / name, symlinks=True)
    return Bench(tmp_path, monkeypatch)


def ended(report):
    return {f"{o.task} {o.key}": o.status for o in report.outcomes}


def look(bench):
    observation = bench.observation
    return look_at(observation, Ledger.open(observation.workspace, read_only=True), Selection())


def states(bench):
    plan = look(bench).plan
    return {" ".join(job.id): state.status for job, state in zip(plan.jobs, plan.states, strict=True)}


def events(bench):
    files = sorted(bench.place.events.glob("*.jsonl"))
    return [json.loads(line) for line in files[-1].read_text().splitlines()]


def test_a_whole_run_then_nothing(bench):
    report = bench.run()
    assert {s.stage: len(s.outcomes) for s in report.stages} == JOBS
    assert set(ended(report).values()) == {DONE}
    assert (report.exit_code, report.stale) == (0, 0)
    assert report.peak_memory > 0
    before = bench.products()
    assert len(before) == 2 + 2 + 1 + 6 + 6 + 1 + 3 + 3
    catalogue = bench.place.summary("ecsv").stat().st_mtime_ns
    again = bench.run()
    assert set(ended(again).values()) == {SKIPPED}
    assert len(bench.executors) == 1, "no worker is started for nothing"
    assert bench.products() == before
    assert bench.place.summary("ecsv").stat().st_mtime_ns == catalogue


def test_events_begin_and_finish(finished):
    finished.run()
    first, last = events(finished)[0], events(finished)[-1]
    assert (first["event"], first["host"], first["pid"]) == ("begin", socket.gethostname(), os.getpid())
    assert first["jobs"] == JOBS
    assert (last["event"], last[SKIPPED], last["stale"]) == ("finish", sum(JOBS.values()), 0)


def stuck_entry(bench):
    write_stuck(bench.place.stuck_list, {ROOT: {103: (2,)}})
    return lambda job: job.stage == "calibrate" and job.source == 103, "arguments closed [] -> [2]"


def found_shutter(bench):
    """What the product says, as if the stage had found it."""
    path = bench.place.shutters(ROOT)
    with fits.open(path) as hdus:
        rows = Table({"source": [103], "ordinal": [2], "closed": [True]})
        hdus["VERDICTS"] = fits.BinTableHDU(rows, name="VERDICTS")
        hdus.writeto(path, overwrite=True, checksum=True)
    return lambda job: job.stage == "calibrate" and job.source == 103, "arguments closed [] -> [2]"


def setting(bench):
    bench.items = ("clean.n_iter=3",)
    return lambda job: job.stage == "clean", "settings n_iter 5 -> 3"


def metafile(bench):
    write_metafile(bench.raw, [101, 103, 105], shift=0.25)
    return lambda job: job.stage in ("clean", "calibrate"), f"input {METAFILE} changed"


def raw_file(bench):
    path = next(bench.raw.glob(f"{SECOND}*"))
    fits.setval(path, "OBSERVER", value="someone else")
    return lambda job: job.id == ("detector", SECOND), f"input {path.name} changed"


@pytest.mark.parametrize("change", [stuck_entry, found_shutter, setting, metafile, raw_file], ids=lambda f: f.__name__)
def test_a_change_makes_exactly_its_descendants_stale(finished, change):
    assert set(states(finished).values()) == {DONE}
    first, reason = change(finished)
    plan = look(finished).plan
    hit = descendants(plan.jobs, first)
    assert those(states(finished), "stale") == hit
    begins = roots(plan, range(len(plan.jobs)))
    assert begins
    assert all(first(plan.jobs[k]) and why(plan, k) == reason for k in begins)
    report = finished.run()
    assert (report.exit_code, report.stale) == (0, len(hit)), "a plain run redoes none, and counts them"
    assert set(ended(report).values()) == {SKIPPED}
    report = finished.run(rerun="stale")
    assert those(ended(report), DONE) == hit
    assert report.stale == 0
    assert set(states(finished).values()) == {DONE}


def closed_of(bench):
    plan = look(bench).plan
    return {job.source: plan.asked(job)["closed"] for job in plan.jobs if job.asks and job.stage == "calibrate"}


def test_shutters_that_are_found_are_closed_in_the_same_run_and_a_list_wins(bench):
    bench.will(found={"103": [2], "105": [1, 3]})
    write_stuck(bench.place.stuck_list, {ROOT: {105: ()}})
    bench.run()
    assert closed_of(bench) == {101: (), 103: (2,)}
    assert set(states(bench).values()) == {DONE}, "nothing that was made after it is stale"
    facts = read_facts(bench.place.slit(ExposureName(FIRST), 103, CAL))
    assert facts["arguments"]["closed"] == [2]
    bench.will()
    bench.items = ("shutters.false_alarms=0.01",)
    report = bench.run(rerun="stale")
    redone = {f"shutters {ROOT}", f"offsets {ROOT}"} | {key for key in ended(report) if " 103" in key}
    assert those(ended(report), DONE) == redone


def test_without_a_verdict_the_sources_go_on(bench):
    bench.will(shutters="failed")
    report = bench.run()
    assert report.exit_code == 3
    assert those(ended(report), FAILED) == {f"shutters {ROOT}"}
    assert len(those(ended(report), DONE)) == sum(JOBS.values()) - 1
    bench.will(found={"103": [2]})
    report = bench.run()
    assert (report.exit_code, report.stale) == (0, 0)
    assert closed_of(bench) == {101: (), 103: (2,), 105: ()}
    assert set(states(bench).values()) == {DONE}, "what was made without knowing is made again by a plain run"


def test_a_damaged_verdict_is_named_with_the_remedy(finished):
    path = finished.place.shutters(ROOT)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="delete it and run again"):
        finished.run()
    path.unlink()
    assert finished.run().exit_code == 0


def test_nods_are_paired_and_left_out_as_people_say(bench):
    bench.run()
    bench.place.nod_list.write_text(f"[{ROOT}]\n103 = {{ 2 = [] }}\n105 = {{ left_out = [1] }}\n")
    report = bench.run(rerun="stale")
    touched = {key for key in ended(report) if key.split()[-1] in ("103", "105") and key.startswith("nodsub")}
    touched |= {f"sky {ExposureName(SECOND).both}", f"offsets {ROOT}"}  # 105 has one nod left
    touched |= {f"{stage} {s} PRISM CLEAR" for stage in ("extract", "redshift") for s in (103, 105)}
    assert those(ended(report), DONE) == touched
    left = {path.name for path in bench.place.sources.rglob(f"*{BKGSUB}")}
    gone = {bench.place.slit(ExposureName(name), s, BKGSUB).name for name, s in ((SECOND, 103), (FIRST, 105))}
    assert len(left) == 4
    assert not left & gone
    bench.place.nod_list.write_text(f"[{ROOT}]\nall = {{ left_out = [7] }}\n")
    assert any("03101_00007" in note for note in look(bench).notes)


def test_a_source_without_any_nod_left_leaves_nothing(bench):
    bench.run()
    bench.place.nod_list.write_text(f"[{ROOT}]\n101 = {{ left_out = [1, 2] }}\n")
    report = bench.run(rerun="stale")
    mine = {f"{stage} 101 PRISM CLEAR" for stage in ("extract", "redshift")}
    assert those(ended(report), NO_WORK) == mine | {f"nodsub {ROOT} nrs1 101"}
    assert not [path for path in bench.place.source_folder(101).iterdir() if not path.name.endswith(CAL)]
    assert set(ended(bench.run()).values()) == {SKIPPED}


def test_a_sky_is_made_of_all_sources_also_for_one(bench):
    bench.items = ("nodsub.background='global'",)
    report = bench.run(Selection(sources=frozenset({103})))
    assert len([key for key in ended(report) if key.startswith("calibrate")]) == 6
    assert {key.split()[-1] for key in those(ended(report), DONE) if key.startswith("nodsub")} == {"103"}
    assert not [path for path in bench.place.exposures.glob("*_sky.fits") if read_fingerprint(path).endswith("~")]
    with pytest.raises(DataError, match="a shard has only some"):
        bench.run(Selection("calibrate", "redshift", shard=Shard(1, 2)))


def test_a_sky_is_made_for_sources_that_want_it(bench):
    bench.items = ("nodsub.backgrounds={103='global'}",)
    bench.run()
    plan = look(bench).plan
    skies = [job for job in plan.jobs if job.stage == "sky"]
    assert [job.key for job in skies] == [ExposureName(name).both for name in (FIRST, SECOND)]
    assert all(len(job.gathered) == 3 for job in skies)
    users = [job.source for job in plan.jobs if job.stage == "nodsub" and skies[0].outputs[0] in job.gathered]
    assert users == [103]


def test_a_mask_makes_exactly_its_descendants_stale(bench):
    bench.raw = bench.folder / "observations.toml"
    text = f'[ws]\nfield = "EGS"\nprogram = "ceers"\ndata_subdir = "raw"\nfiles = ["{ROOT}*"]\n'
    bench.raw.write_text(text)
    bench.run()
    bench.raw.write_text(f'{text}[ws.masks]\n{FIRST} = "image; circle(100, 200, 5)"\n')
    plan = look(bench).plan
    hit = descendants(plan.jobs, lambda job: job.id == ("clean", FIRST))
    assert those(states(bench), "stale") == hit
    (begin,) = roots(plan, range(len(plan.jobs)))
    assert why(plan, begin).startswith("arguments regions none -> ")
    assert those(ended(bench.run(rerun="stale")), DONE) == hit


def test_a_measured_position_makes_the_nods_of_its_source_stale(finished):
    """Also those at which it is as planned: they may lack the source, and then get the wavelengths of the others."""
    exposure = ExposureName(FIRST).both
    finished.place.positions.write_text(f"exposure,source,x,y\n{exposure},103,0.4,0.6\n")
    plan = look(finished).plan
    hit = descendants(plan.jobs, lambda job: job.stage == "calibrate" and job.source == 103)
    assert those(states(finished), "stale") == hit
    assert those(ended(finished.run(rerun="stale")), DONE) == hit


def test_times_and_copies_of_exposures_do_not_count(finished):
    for path in finished.raw.iterdir():
        os.utime(path, (1, 1))
    assert set(states(finished).values()) == {DONE}


def test_one_source_that_fails_leaves_the_others(bench):
    bench.will(calibrate_103="failed")
    report = bench.run()
    assert report.exit_code == 3
    found = ended(report)
    assert those(found, FAILED) == {f"calibrate {name} 103" for name in (FIRST, SECOND)}
    assert len(those(found, BLOCKED)) == 3
    assert all("103" in name.split() for name in those(found, BLOCKED, FAILED))
    assert sum(name.endswith(SPEC) for name in bench.products()) == 2
    bench.will()
    assert bench.run().exit_code == 0
    assert set(states(bench).values()) == {DONE}


def test_an_input_that_cannot_be_used_is_said_recorded_and_forgotten_when_mended(bench):
    path = next(bench.raw.glob(f"{SECOND}*"))
    whole = path.read_bytes()
    path.write_bytes(b"not FITS")
    report = bench.run()
    assert report.exit_code == 3
    assert report.stages[0].stage == "input"
    (problem,) = [o for o in report.outcomes if o.task == "input"]
    assert (problem.key, problem.status) == (path.name, DATA_ERROR)
    assert "copy or download it again" in problem.reason
    assert {e["key"] for e in events(bench) if e.get("task") == "input"} == {path.name}
    path.write_bytes(whole)
    report = bench.run()
    assert report.exit_code == 0
    assert not [o for o in report.outcomes if o.task == "input"]
    latest = Ledger.open(bench.place, read_only=True).latest
    assert latest["input", path.name].status == DONE, "the report would go on showing it"


def test_all_that_was_made_without_a_damaged_exposure_is_made_again_when_it_is_mended(bench):
    """By the same command, from the shutters on: none is left of the two nods that came in."""
    file = bench.raw / f"{SECOND}_uncal.fits"
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    assert bench.run().exit_code == 3
    assert set(states(bench).values()) == {DONE}, "as far as it goes"
    file.write_bytes(whole)
    assert bench.run().exit_code == 0
    plan = look(bench).plan
    assert {(state.status, state.reason) for state in plan.states} == {(DONE, "")}


def test_overwrite_redoes_all_that_is_chosen(finished):
    report = finished.run(Selection(first="extract", sources=frozenset({101})), overwrite=True)
    assert ended(report) == {f"{stage} 101 PRISM CLEAR": DONE for stage in ("extract", "redshift")}


def test_stages_and_gratings_are_chosen(tmp_path, monkeypatch):
    bench = Bench(tmp_path, monkeypatch)
    other = CARDS | {"GRATING": "G395M", "FILTER": "F290LP", "DETECTOR": "NRS1"}
    write_survey(tmp_path / "other", **{k: v for k, v in other.items() if k != "PATT_NUM"})
    for path in (tmp_path / "other").glob("*_uncal.fits"):
        path.rename(bench.raw / path.name.replace("_03101_", "_05101_"))
    report = bench.run(Selection(last="clean", gratings=frozenset({"G395M"})))
    assert {s.stage: len(s.outcomes) for s in report.stages} == {"detector": 2, "clean": 2}
    assert all("_05101_" in o.key for o in report.outcomes)
    with pytest.raises(DataError, match="not in this observation: G140H"):
        bench.run(Selection(gratings=frozenset({"G140H"})))


def test_shards_together_are_a_whole_run(bench, finished_folder):
    counts = Counter()
    alone = [(("shutters", "shutters"), 0), (("calibrate", "nodsub"), 3), (("offsets", "offsets"), 0)]
    for stages, parts in [(("detector", "clean"), 3), *alone, (("extract", "redshift"), 3)]:
        for shard in [Shard(k, parts) for k in range(1, parts + 1)] or [None]:
            report = bench.run(Selection(*stages, shard=shard))
            assert report.exit_code == 0
            counts.update(ended(report).values())
    assert counts == {DONE: sum(JOBS.values())}
    assert len(list(bench.place.folder.glob("ledger-shard-*.sqlite"))) == 3
    report = bench.run()
    assert set(ended(report).values()) == {SKIPPED}
    assert bench.place.summary("ecsv").exists()
    assert not list(bench.place.folder.glob("ledger-shard-*"))
    assert len(Ledger.open(bench.place, read_only=True).latest) == sum(JOBS.values())
    alone = Workspace(finished_folder / "ws", "raw")
    assert set(bench.products()) == {p.name for p in alone.folder.rglob("*.fits") if not p.is_symlink()}


def test_the_catalogue_follows_what_shards_and_killed_runs_made(finished):
    before = finished.place.summary("ecsv").stat().st_mtime_ns
    finished.run(Selection(first="calibrate", shard=Shard(1, 1)), overwrite=True)
    assert finished.place.summary("ecsv").stat().st_mtime_ns == before
    finished.run()
    assert finished.place.summary("ecsv").stat().st_mtime_ns > before


def test_a_catalogue_of_an_earlier_version_is_written_anew(finished, monkeypatch):
    path, written = finished.place.summary("fits"), []

    def write(place, task=run_module.SUMMARY):
        written.append(task)
        with recording(Provenance(json.dumps({"task": task, "inputs": {}}), "a" * 16, "")):
            write_fits(path, fits.HDUList([fits.PrimaryHDU()]))

    monkeypatch.setattr(run_module, "write_summary", write)
    write(finished.place, "summary 2")
    finished.run()
    finished.run()
    assert written == ["summary 2", run_module.SUMMARY], "once"
    path.write_bytes(b"damaged")
    finished.run()
    assert read_facts(path)["task"] == run_module.SUMMARY


def test_the_catalogue_forgets_what_was_removed(finished):
    finished.items = ("extract.size_err=0.2",)
    finished.will(extract_101="no-work")
    report = finished.run(rerun="stale")
    assert those(ended(report), NO_WORK) == {f"{stage} 101 PRISM CLEAR" for stage in ("extract", "redshift")}
    assert "_101_s2d" not in finished.place.summary("ecsv").read_text()


def test_unfinished_files_of_killed_runs_are_removed(finished):
    place = finished.place
    left = [place.exposures / ".part-abc.fits", place.source_folder(101) / ".part-x", place.catalogue / ".part-y"]
    for path in left:
        path.write_text("half")
    finished.run(Selection(first="calibrate", shard=Shard(1, 2)))
    assert all(path.exists() for path in left), "they may be another shard's"
    finished.run()
    assert not any(path.exists() for path in left)


def test_the_scratch_folders_of_dead_runs_are_removed_and_no_others(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = {
        "dead": f"{socket.gethostname()}-999999999",
        "alive": f"{socket.gethostname()}-1",
        "far": "other-999999999",
        "odd": f"{socket.gethostname()}-x",
    }
    folders = {who: tmp_path / f"nirfire-run-{name}" for who, name in names.items()}
    for folder in folders.values():
        folder.mkdir()
    with run_module._scratch() as mine:
        assert mine.is_dir()
    assert {who for who, folder in folders.items() if folder.exists()} == {"alive", "far", "odd"}
    assert not mine.exists()


def test_what_cannot_be_run_leaves_nothing(bench, monkeypatch):
    with pytest.raises(DataError, match="not in this observation: 99"):
        bench.run(Selection(sources=frozenset({99})))
    shutil.rmtree(bench.raw)
    with pytest.raises(DataError, match="folder not found"):
        bench.run()
    assert not (bench.folder / "ws").exists()


def test_real_exposures_without_references_are_refused(tmp_path, monkeypatch):
    bench = Bench(tmp_path, monkeypatch, TITLE="The real sky")
    monkeypatch.delenv("CRDS_PATH", raising=False)
    with pytest.raises(DataError, match="CRDS_PATH"):
        bench.run()
    assert not (tmp_path / "ws").exists()
    assert set(states(bench).values()) == {"to do"}, "but they can be planned"


def test_a_second_run_is_refused(finished):
    with locked(finished.place), pytest.raises(DataError, match="another run works in this workspace"):
        finished.run()


def test_a_full_disk_under_a_product_is_a_failed_job_without_remains(bench, monkeypatch):
    bench.items = ("execution.retries=0",)

    def full(self, *arguments, **keys):
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        patch.setattr(run_module, "write_origin", lambda *arguments: None)
        patch.setattr(run_module, "write_summary", lambda place: None)
        report = bench.run()
    assert report.exit_code == 3
    assert ended(report)[f"detector {FIRST}"] == FAILED
    reason = next(o.reason for o in report.outcomes if o.task == "detector")
    assert "No space left on device" in reason
    assert "check free space" in reason
    assert not bench.products()
    assert not list(bench.folder.rglob(".part-*"))
    assert bench.run().exit_code == 0


def test_a_full_disk_under_a_text_leaves_the_old_one(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def full(self, *arguments, **keys):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
