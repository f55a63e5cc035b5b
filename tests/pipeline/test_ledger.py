"""The ledger can be lost, cut off or damaged, and nothing that matters goes with it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nirfire.errors import DataError
from nirfire.pipeline import ledger as ledger_module
from nirfire.pipeline.events import Events, outcomes_of
from nirfire.pipeline.jobs import BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, SKIPPED, Outcome
from nirfire.pipeline.ledger import Ledger
from nirfire.products.naming import Workspace

from .toy import Field, statuses, those

pytestmark = pytest.mark.usefixtures("quick_disk")
PUT = """
import os, sys
from pathlib import Path
from nirfire.pipeline.jobs import Outcome
from nirfire.pipeline.ledger import Ledger
from nirfire.products.naming import Workspace
ledger = Ledger.open(Workspace(Path(sys.argv[1]), "x"), "killed")
ledger.add(Outcome("clean", "1", "done"))
ledger.commit()
ledger.add(Outcome("clean", "2", "failed"))
for k in range(5000):
    ledger.remember(f"file {k}" * 20, k, k, "0123456789abcdef")
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def place(tmp_path):
    return Workspace(tmp_path, "x")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A field in which jobs ended in every way, to be copied."""
    folder = tmp_path_factory.mktemp("mixed")
    field = Field(folder)
    field.will(calibrate_1_7="no-work", calibrate_2_8="failed", stack_7="data-error")
    field.run()
    return folder


@pytest.fixture
def field(mixed, tmp_path):
    shutil.copytree(mixed, tmp_path / "copy")
    return Field(tmp_path / "copy")


def snapshot(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*")}


def test_a_deleted_ledger_is_built_again(field):
    before, latest = field.states(), Ledger.open(field.place, read_only=True).latest
    assert {o.status for o in latest.values()} == {DONE, NO_WORK, FAILED, DATA_ERROR, BLOCKED}
    field.place.ledger.unlink()
    assert field.states() == before
    rebuilt = Ledger.open(field.place, "again")
    assert rebuilt.latest == latest
    rebuilt.close()
    assert field.states() == before
    assert not those(statuses(field.run()), DONE), "nothing that was done is done again"


def test_without_ledger_and_events_the_products_tell_what_is_done(field):
    before = field.states()
    field.place.ledger.unlink()
    shutil.rmtree(field.place.events)
    assert those(field.states(), DONE) == those(before, DONE)
    assert not those(statuses(field.run()), DONE)
    assert field.states() == before


def test_a_cut_off_event_is_left_out_and_the_next_is_not(place):
    path = place.events / "run.jsonl"
    with Events(path) as events:
        events.write("begin", version="1")
        events.ended(Outcome("clean", "1", DONE))
        events.ended(Outcome("clean", "2", NO_WORK, "no slit"))
    path.write_text(path.read_text()[:-20])
    with Events(path) as events:
        events.ended(Outcome("clean", "3", FAILED, "a bug"))
    assert [outcome.key for _, _, outcome in outcomes_of(place.events)] == ["1", "3"]
    assert set(Ledger.open(place, read_only=True).latest) == {("clean", "1"), ("clean", "3")}


def test_events_are_lines_of_json_with_times(field):
    lines = (field.place.events / "run1.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines if line]
    assert {e["event"] for e in events} == {"start", "end"}
    assert all(abs(e["time"] - time.time()) < 3600 for e in events)
    failed = next(e for e in events if e["event"] == "end" and e["status"] == FAILED)
    assert (failed["task"], failed["key"], failed["log"]) == ("calibrate", "2 8", "logs/calibrate/2_8.log")


@pytest.mark.parametrize("damage", ["not a database", "torn"])
def test_a_damaged_database_is_said_with_the_remedy(field, damage):
    data = bytearray(field.place.ledger.read_bytes())
    if damage == "torn":
        data[100:4096] = os.urandom(3996)
    field.place.ledger.write_bytes(b"something else entirely" * 100 if damage != "torn" else bytes(data))
    for read_only in (True, False):
        with pytest.raises(DataError) as caught:
            Ledger.open(field.place, "again", read_only=read_only)
        assert caught.value.file == field.place.ledger
        assert "delete this file and run again" in str(caught.value)
    field.place.ledger.unlink()
    assert not those(statuses(field.run()), DONE)


def test_looking_writes_nothing(field):
    before = snapshot(field.place.folder)
    field.states()
    field.place.ledger.unlink()
    before.pop(field.place.ledger)
    field.states()
    assert snapshot(field.place.folder) == before
    absent = Workspace(field.place.folder / "absent", "x")
    assert Ledger.open(absent, read_only=True).latest == {}
    assert not absent.folder.exists()


def test_history_is_in_the_order_of_time(place):
    for run, status in (("r1", FAILED), ("r2", FAILED), ("r3", DONE)):
        ledger = Ledger.open(place, run)
        ledger.add(Outcome("clean", "1", status, fingerprint=run))
        ledger.add(Outcome("calibrate", "1 7", status))
        ledger.close()
    found = Ledger.open(place, read_only=True).history([("calibrate", "1 7"), ("clean", "1")])
    assert [(e.run, e.outcome.task, e.outcome.status) for e in found] == [
        *(("r1", "clean", FAILED), ("r1", "calibrate", FAILED)),
        *(("r2", "clean", FAILED), ("r2", "calibrate", FAILED)),
        *(("r3", "clean", DONE), ("r3", "calibrate", DONE)),
    ]
    assert Ledger.open(place, read_only=True).latest["clean", "1"].status == DONE


def test_a_killed_run_leaves_a_ledger_that_can_be_looked_at(tmp_path):
    """Also when it was killed in the middle of a transaction, and when the name needs quoting."""
    place = Workspace(tmp_path / "50% of #7?", "x")
    done = subprocess.run([sys.executable, "-c", PUT, place.folder], check=False)
    assert done.returncode == -9
    assert ("clean", "1") in Ledger.open(place, read_only=True).latest
    ledger = Ledger.open(place, "next")
    assert ledger.latest["clean", "1"].status == DONE
    ledger.close()


def test_records_come_to_disk_by_themselves(place, monkeypatch):
    """The next record may be an hour away, and someone may look or kill before."""
    monkeypatch.setattr(ledger_module, "COMMIT_SECONDS", 0.05)
    ledger = Ledger.open(place, "r")
    ledger.add(Outcome("clean", "1", FAILED))
    end = time.monotonic() + 20
    while not Ledger.open(place, read_only=True).latest:
        assert time.monotonic() < end
        time.sleep(0.02)
    ledger.close()


def test_losing_the_last_second_of_records_is_harmless(field, monkeypatch):
    """As after kill -9: the products are there, their records are not."""
    before = field.states()
    with sqlite3.connect(field.place.ledger) as db:
        db.execute("DELETE FROM records WHERE id > 5")
        db.execute("DELETE FROM files")
    assert not those(statuses(field.run()), DONE)
    assert field.states() == before


def test_shards_have_ledgers_of_their_own_that_the_next_whole_run_takes_in(place):
    main = Ledger.open(place, "whole")
    main.add(Outcome("clean", "1", FAILED, "old"))
    main.add(Outcome("clean", "9", DONE))
    main.close()
    first = Ledger.open(place, "a", shard="1-of-2")
    assert first.latest["clean", "9"].status == DONE, "a shard knows what the workspace knows"
    first.add(Outcome("clean", "1", NO_WORK, "new"))
    first.remember("/f", 1, 2, "abc")
    second = Ledger.open(place, "b", shard="2-of-2")
    second.add(Outcome("clean", "2", DONE))
    first.close()
    second.close()
    again = Ledger.open(place, "c", shard="1-of-2")
    assert again.latest["clean", "1"].status == NO_WORK, "its own record is the newer one"
    again.close()
    looked = Ledger.open(place, read_only=True)
    assert place.shard_ledger("1-of-2").exists()
    whole = Ledger.open(place, "whole")
    assert not list(place.folder.glob("ledger-shard-*"))
    for ledger in (looked, whole):
        assert {k: o.status for (_, k), o in ledger.latest.items()} == {"1": NO_WORK, "2": DONE, "9": DONE}
        assert ledger.recall("/f", 1, 2) == "abc"
    whole.close()


def test_the_newer_of_two_shards_wins_and_an_empty_one_is_no_harm(place):
    for number, (shard, status) in enumerate([("2-of-2", FAILED), ("1-of-4", DONE)]):
        ledger = Ledger.open(place, f"run{number}", shard=shard)
        ledger.add(Outcome("clean", "1", status))
        ledger.close()
        os.utime(place.shard_ledger(shard), (number, number))
    place.shard_ledger("3-of-4").touch()  # killed as it was made
    assert Ledger.open(place, read_only=True).latest["clean", "1"].status == DONE
    whole = Ledger.open(place, "whole")
    assert whole.latest["clean", "1"].status == DONE
    whole.close()
    assert Ledger.open(place, read_only=True).latest["clean", "1"].status == DONE


def test_a_full_disk_is_said_and_the_run_can_be_resumed(field, monkeypatch):
    field.will()

    def full(self, statement, row):
        with ledger_module.said_plainly(self.path):
            raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_write", full)
        with pytest.raises(DataError, match="database or disk is full") as caught:
            field.run()
        assert "check free space" in str(caught.value)
    ended = statuses(field.run())
    assert those(ended, DONE) >= {"stack 7", "redshift 7", "calibrate 2 8"}
    assert set(field.states().values()) <= {DONE, NO_WORK}
    assert SKIPPED in ended.values()


def test_trouble_of_the_timer_is_said_at_the_next_record(place):
    ledger = Ledger.open(place, "r")
    ledger.add(Outcome("clean", "1", DONE))
    ledger._trouble = sqlite3.OperationalError("disk I/O error")
    with pytest.raises(DataError, match="disk I/O error"):
        ledger.add(Outcome("clean", "2", DONE))
    with pytest.raises(DataError, match="disk I/O error"):
        ledger.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_events_on_a_full_disk_are_said(tmp_path):
    full = tmp_path / "run.jsonl"
    full.symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left") as caught, Events(full) as events:
        events.write("begin")
    assert "check free space" in str(caught.value)
