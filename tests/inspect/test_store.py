"""The store: it keeps what it has said that it has, whoever else writes and whatever dies."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nirfire.errors import DataError
from nirfire.inspect import store as store_module
from nirfire.inspect import store_file as file_module
from nirfire.inspect.store import Store
from nirfire.inspect.store_file import SCHEMA_VERSION, plainly
from nirfire.inspect.votes import Standing
from tests.inspect.votes import SEEN, at, vote

FULL = {
    "flags": {"g395m_f290lp": 256, "prism_clear": 4},
    "comment": '[O III]? λ 5008\nand "Hα", \\ \t ✓',
    "tags": ("LRD", "z>4 ?"),
    "seen": SEEN | {"g395m_f290lp": {"spec": None, "fit": None}},
}
VERSION_1 = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE votes (
      id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, user TEXT NOT NULL, source INTEGER NOT NULL,
      z REAL, quality INTEGER NOT NULL CHECK (quality BETWEEN 0 AND 4), flags TEXT NOT NULL, comment TEXT NOT NULL,
      tags TEXT NOT NULL, seen TEXT NOT NULL, time TEXT NOT NULL,
      CHECK (quality = 0 OR (z IS NULL) = (quality = 1)))""",
    "CREATE INDEX votes_by_source ON votes (source, id)",
    """CREATE TRIGGER votes_stay BEFORE UPDATE ON votes
      BEGIN SELECT RAISE(ABORT, 'votes are never changed'); END""",
    """CREATE TRIGGER votes_are_kept BEFORE DELETE ON votes
      BEGIN SELECT RAISE(ABORT, 'votes are never deleted'); END""",
    # a REPLACE would delete without asking the trigger above
    """CREATE TRIGGER votes_are_once BEFORE INSERT ON votes
      WHEN EXISTS (SELECT 1 FROM votes WHERE uuid = NEW.uuid OR id = NEW.id)
      BEGIN SELECT RAISE(ABORT, 'this vote is there already'); END""",
    "PRAGMA application_id = 1313232433",
    "PRAGMA user_version = 1",
)
ALL = "votes (id, uuid, user, source, z, quality, flags, comment, tags, seen, time)"
WRITER = """
import sys
from pathlib import Path
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote
store, name = Store.open(Path(sys.argv[1])), sys.argv[2]
for k in range(int(sys.argv[3])):
    said = store.add(Vote(f"{name}-{k}", name, k, 1.5, 3, {}, "x" * 200, (), {}, ""))
    sys.stdout.write(said.uuid + "\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "inspection.sqlite"


def writer(path: Path, name: str, number: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, path, name, str(number)], stdout=subprocess.PIPE, text=True)


def test_a_vote_comes_back_as_it_was(path):
    said = vote(**FULL, time=at(1))
    with Store.open(path, observation="demo") as store:
        assert store.add(said) == said
        assert store.observation == "demo"
    with Store.open(path) as store:
        assert store.votes() == store.votes(101) == [said]
        assert store.latest() == store.latest(101) == [Standing(**said.__dict__, heads=(said,))]
        assert store.find(said.uuid) == said
        assert store.votes(102) == store.latest(102) == []
        assert store.consensus()[101].tags == ("LRD", "z>4 ?")


def test_the_same_vote_twice_is_one_and_another_with_its_uuid_is_refused(path):
    with Store.open(path) as store:
        saved = store.add(vote(uuid="u", comment="a"))
        assert store.add(vote(uuid="u", comment="a")) == saved  # sent again, without an answer to the first
        with pytest.raises(DataError, match="same uuid"):
            store.add(vote(uuid="u", comment="b"))
        with pytest.raises(DataError, match="same uuid"):
            store.add_many([vote(uuid="new"), vote(uuid="u", comment="b")])
        assert [one.uuid for one in store.votes()] == ["u"]  # all or none


def test_later_votes_are_later_even_when_the_clock_goes_back(path):
    with Store.open(path) as store:
        store.add(vote(time="2099-01-01T00:00:00.000000Z", quality=2))
        now = store.add(vote(quality=4))
        assert now.time == "2099-01-01T00:00:00.000001Z"
        assert store.latest(101)[0].quality == 4
        assert store.add(vote(source=102)).time < "2099"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE votes SET quality = 4",
        "DELETE FROM votes",
        f"INSERT OR REPLACE INTO {ALL} SELECT id, uuid, 'eve', source, z, 4, flags, comment, tags, seen, '' FROM votes",
        f"REPLACE INTO {ALL} SELECT id, 'new', user, source, z, 4, flags, comment, tags, seen, time FROM votes",
        f"INSERT INTO {ALL} SELECT 9, 'x', user, source, NULL, 4, flags, comment, tags, seen, time FROM votes",
        f"INSERT INTO {ALL} SELECT 9, 'x', user, source, z, 7, flags, comment, tags, seen, time FROM votes",
    ],
)
def test_votes_are_never_changed(path, statement):
    with Store.open(path) as store:
        said = store.add(vote())
        with closing(sqlite3.connect(path)) as db, pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)
        assert store.votes() == [said]


def test_other_connections_see_it_at_once(path):
    with Store.open(path) as first, Store.open(path) as second, Store.open(path, read_only=True) as reader:
        assert second.revision == 0
        first.add(vote(quality=2))
        second.add(vote(user="bob", z=7.0, quality=4))
        assert first.revision == second.revision == reader.revision == 2
        assert first.consensus()[101].conflict and reader.consensus()[101].conflict
        first.add(vote(z=7.0, quality=4))
        assert not second.consensus()[101].conflict
        with pytest.raises(DataError, match="read only"):
            reader.add(vote())


def test_threads_lose_nothing(path):
    def work(name: str) -> None:
        for k in range(25):
            store.add(vote(source=k, user=name, uuid=f"{name}{k}"))
            store.latest(k)

    with Store.open(path) as store:
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.votes()) == 100
        assert len(store.latest()) == 100
        assert store.revision == 100


def test_processes_lose_nothing_and_may_make_the_store_together(path):
    several = [writer(path, name, 30) for name in "ab"]
    said = [process.communicate()[0].split() for process in several]
    assert [process.returncode for process in several] == [0, 0]
    with Store.open(path) as store:
        assert {one.uuid for one in store.votes()} == {uuid for some in said for uuid in some}
        assert store.revision == 60


def test_what_was_reported_survives_kill_9(path):
    process = writer(path, "a", 100000)
    reported = [process.stdout.readline().strip() for _ in range(40)]
    os.kill(process.pid, signal.SIGKILL)
    reported += process.stdout.read().split("\n")[:-1]  # whole lines alone
    process.wait()
    with Store.open(path) as store:
        kept = [one.uuid for one in store.votes()]
        assert set(reported) <= set(kept)
        assert len(kept) <= len(reported) + 1  # at most the one that was being saved
        store.add(vote())
    assert not path.with_name(path.name + "-wal").exists()


def test_a_damaged_store_is_loud(path):
    with Store.open(path) as store:
        store.add_many(vote(source=k, comment="y" * 500) for k in range(100))
    content = bytearray(path.read_bytes())
    content[8192:20000] = os.urandom(11808)
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(DataError, match=r"damaged|malformed") as caught:
            Store.open(path, read_only=read_only)
        assert "inspection.sqlite" in str(caught.value) and "--damaged" in caught.value.remedy
    path.write_bytes(b"no database at all, but long enough to be looked at by sqlite" * 20)
    with pytest.raises(DataError, match="not a database"):
        Store.open(path)


def test_a_damaged_vote_is_loud(path):
    with Store.open(path) as store:
        store.add(vote())
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(
            f"INSERT INTO {ALL} SELECT 9, 'x', user, source, z, quality, '{{', comment, tags, seen, time FROM votes"
        )
    with Store.open(path) as store:
        for look in (store.votes, store.latest, store.latest, store.consensus):
            with pytest.raises(DataError, match="vote 9 is damaged"):
                look()


def test_other_databases_and_later_versions_are_refused_and_left_alone(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE records (a)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(DataError, match="not a store of votes"):
        Store.open(path)
    assert path.read_bytes() == before
    path.unlink()
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(DataError, match=f"version {SCHEMA_VERSION + 1}"):
        Store.open(path)


def test_looking_makes_no_file(path):
    with Store.open(path, read_only=True) as store:
        assert store.votes() == [] and store.consensus() == {} and store.revision == 0
    assert list(path.parent.iterdir()) == []
    path.touch()
    with Store.open(path, read_only=True) as store:
        assert store.latest() == []
    with Store.open(path) as store:  # an empty file is a store that was never begun
        store.add(vote())
    with Store.open(path, read_only=True) as store:
        assert len(store.votes()) == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.fixture
def readable():
    """Files that are made can be read by all, whatever the umask was."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_folder_of_others_can_be_looked_at(readable, monkeypatch):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as scratch:
        path = Path(folder) / "inspection.sqlite"
        Path(folder).chmod(0o755)
        Path(scratch).chmod(0o777)
        monkeypatch.setattr(tempfile, "tempdir", scratch)
        if any(not above.stat().st_mode & stat.S_IXOTH for above in path.parents):
            pytest.skip(f"nobody else may enter {folder}: set TMPDIR to a folder that is open to all")
        writes = Store.open(path)
        writes.add(vote(comment="in the log"))  # the file itself is still without it
        for wal in (True, False):
            os.seteuid(65534)
            try:
                with pytest.raises(DataError, match=r"readonly|unable to open"):
                    Store.open(path)
                with Store.open(path, read_only=True) as store:
                    assert [one.comment for one in store.votes()] == ["in the log"]
            finally:
                os.seteuid(0)
            if wal:
                writes.close()
        assert [file.name for file in Path(folder).iterdir()] == [path.name]


def test_many_votes_are_quick_to_read(path):
    votes = [vote(source=k, user=name, time=at(k % 3600)) for k in range(1000) for name in "ab"]
    with Store.open(path) as store:
        assert store.add_many(votes) == 2000
        assert store.add_many(votes) == 0
    with Store.open(path) as store:
        assert len(store.consensus()) == 1000


def early_store(path: Path) -> None:
    """A store as the first version made it, with two votes; open, so that they are in its log."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    for statement in VERSION_1:
        db.execute(statement)
    db.execute("INSERT INTO about VALUES ('observation', 'demo')")
    for k, quality in ((1, 4), (2, 2)):
        row = (f"u{k}", "ada", 101, 2.5, quality, '{"prism_clear": 4}', "Hα", '["LRD"]', "{}", at(k))
        columns = "uuid, user, source, z, quality, flags, comment, tags, seen, time"
        db.execute(f"INSERT INTO votes ({columns}) VALUES ({', '.join('?' * len(row))})", row)
    db.close()


def test_a_store_of_the_first_version_is_opened_and_kept(path):
    early_store(path)
    old = [vote(quality=quality, uuid=f"u{k}", time=at(k), flags={"prism_clear": 4}, comment="Hα", tags=("LRD",))
           for k, quality in ((1, 4), (2, 2))]  # fmt: skip
    before = path.read_bytes()
    with Store.open(path, read_only=True) as store:  # it is only read, and not brought up to date
        assert store.votes() == old and store.latest(101)[0].quality == 2 and store.observation == "demo"
    assert path.read_bytes() == before and Store.salvage(path) == old
    with Store.open(path) as store, Store.open(path) as other:
        assert store.votes() == old
        new = store.add(vote(quality=4, z=3.0, builds_on=("u2",), regrades=True))
        assert (store.latest(101)[0].quality, other.latest(101)[0].heads) == (4, (new,))
        with pytest.raises(DataError, match="never changed"):
            with_trigger(store)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    with Store.open(path, read_only=True) as store:
        assert store.votes() == [*old, new]


def with_trigger(store: Store) -> None:
    """Try to change a vote, as the store reports it."""
    with plainly(store.path):
        store._db.execute("UPDATE votes SET saved = ''")


def test_several_processes_may_bring_a_store_up_to_date_together(path):
    early_store(path)
    several = [writer(path, name, 5) for name in "abc"]
    assert [process.wait() for process in several] == [0, 0, 0]
    for process in several:
        process.stdout.close()
    with Store.open(path) as store:
        assert len(store.votes()) == 17


def test_a_vote_is_of_the_time_when_it_was_given(path):
    with Store.open(path) as store:
        first = store.add(vote(builds_on=(), regrades=True), age=3 * 86400.0)
        given, saved = (datetime.fromisoformat(text) for text in (first.time, first.saved))
        assert saved - given == timedelta(days=3)
        assert abs(datetime.now(UTC) - saved) < timedelta(seconds=20)
        assert store.add(vote(uuid=first.uuid, builds_on=(), regrades=True), age=4 * 86400.0) == first  # sent again
        today = store.add(vote(user="bob"))
        assert store.add(vote(source=7, user="bob"), age=5 * 365.25 * 86400.0).time >= today.time  # no clock is so slow
        assert store.votes(101) == [first, today]


@pytest.mark.parametrize("ages", [(0.0, 500.0), (3600.0, 7200.0), (1e9, 0.0)])
def test_a_vote_is_later_than_what_it_builds_on_whatever_the_clocks_say(path, ages):
    with Store.open(path) as store:
        first = store.add(vote(quality=2, builds_on=(), regrades=True), age=ages[0])
        second = store.add(vote(quality=4, builds_on=(first.uuid,), regrades=True), age=ages[1])
        assert second.time > first.time and store.votes() == [first, second]
        assert store.latest()[0].heads == (second,)


def test_a_chain_counts_in_its_order_even_when_it_comes_the_other_way_round(path):
    """Its first vote may have gone out by another window, and come last."""
    first = vote(quality=2, builds_on=(), regrades=True)
    second = vote(quality=4, builds_on=(first.uuid,), regrades=True)
    with Store.open(path) as store:
        for one in (second, first):
            store.add(one)
        found = store.latest()[0]
        assert (found.quality, found.rivals, [one.uuid for one in found.heads]) == (4, (), [second.uuid])


def test_an_old_vote_that_comes_late_does_not_undo_a_newer_one(path):
    """Kept for days by a browser that could not reach the server."""
    with Store.open(path) as store:
        base = store.add(vote(quality=2, z=1.0, builds_on=(), regrades=True), age=9e5)
        store.add(vote(quality=4, z=3.0, builds_on=(base.uuid,), regrades=True), age=10.0)
        store.add(vote(quality=2, z=1.0, flags={"p_c": 4}, builds_on=(base.uuid,), regrades=False), age=5e5)
        found = store.latest()[0]
        assert (found.quality, found.z, found.flags) == (4, 3.0, {"p_c": 4})
        store.add(vote(quality=3, z=5.0, builds_on=(base.uuid,), regrades=True), age=4e5)
        assert [one.z for one in store.latest()[0].rivals] == [5.0, 3.0]
        assert store.consensus()[101].twice == ("ada",)


def modes(path: Path) -> tuple[str, bytes]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA journal_mode").fetchone()[0], path.read_bytes()[18:20]


def test_on_a_network_disk_there_is_no_log_in_shared_memory(path, monkeypatch):
    with Store.open(path) as store:
        store.add(vote(comment="on a local disk"))
        assert store.network == "" and path.with_name(f"{path.name}-wal").exists()
    assert modes(path) == ("wal", b"\x02\x02")
    monkeypatch.setattr(store_module, "network_type", lambda path: "nfs4")
    with Store.open(path, read_only=True) as store:  # who may not change it reads a copy
        assert store.network == "nfs4" and len(store.votes()) == 1
    assert modes(path) == ("wal", b"\x02\x02")
    with Store.open(path) as store, Store.open(path) as other:
        assert store.network == "nfs4" and modes(path) == ("delete", b"\x01\x01")
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] >= 2
        assert store._db.execute("PRAGMA locking_mode").fetchone()[0] == "normal"
        store.add(vote(user="bob"))
        other.add(vote(user="cy"))
        assert store.revision == other.revision == 3
        beside = {file.name for file in path.parent.iterdir()}
        assert not {f"{path.name}-wal", f"{path.name}-shm"} & beside
        with Store.open(path, read_only=True) as reader:
            store.add(vote(user="dan"))
            assert reader.revision == 4
    monkeypatch.undo()
    with Store.open(path) as store:
        assert len(store.votes()) == 4 and modes(path)[0] == "wal"


def test_votes_in_the_log_of_a_killed_server_are_taken_into_the_file(path, monkeypatch, tmp_path):
    with Store.open(path) as store:
        store.add(vote(comment="in the log"))
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy(path.with_name(name), tmp_path / f"killed-{name}")
    monkeypatch.setattr(store_module, "network_type", lambda path: "lustre")
    with Store.open(tmp_path / f"killed-{path.name}") as store:
        assert [one.comment for one in store.votes()] == ["in the log"]


def test_a_store_whose_log_others_use_is_not_taken_from_them(path, monkeypatch):
    with Store.open(path) as store:
        store.add(vote())
        monkeypatch.setattr(store_module, "network_type", lambda path: "nfs")
        monkeypatch.setattr(file_module, "BUSY_SECONDS", 0.2)
        with pytest.raises(DataError, match="locked") as caught:
            Store.open(path)
        assert "nirfire inspect" in caught.value.remedy
        store.add(vote(user="bob"))
        assert len(store.votes()) == 2


def test_what_others_have_as_a_database_keeps_its_log_on_a_network_disk(path, monkeypatch):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE records (a)")
    monkeypatch.setattr(store_module, "network_type", lambda path: "nfs")
    with pytest.raises(DataError, match="not a store of votes"):
        Store.open(path)
    assert modes(path)[0] == "wal"


def test_processes_lose_nothing_on_a_network_disk(path):
    patched = WRITER.replace("store, name =", "from nirfire.inspect import store as module\n"
                             "module.network_type = lambda path: 'nfs'\nstore, name =")  # fmt: skip
    commands = [[sys.executable, "-c", patched, path, name, "15"] for name in "ab"]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate()[0].split() for process in several]
    assert [process.returncode for process in several] == [0, 0]
    assert modes(path)[0] == "delete"
    with Store.open(path) as store:
        assert {one.uuid for one in store.votes()} == {uuid for some in said for uuid in some}
        assert store.revision == 30
