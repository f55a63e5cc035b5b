"""The store: it keeps what it has said that it has, whoever else writes and whatever dies."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from nirfire.errors import DataError
from nirfire.inspect.store import Store
from nirfire.inspect.store_file import SCHEMA_VERSION
from tests.inspect.votes import SEEN, at, vote

FULL = {
    "flags": {"g395m_f290lp": 256, "prism_clear": 4},
    "comment": '[O III]? λ 5008\nand "Hα", \\ \t ✓',
    "tags": ("LRD", "z>4 ?"),
    "seen": SEEN | {"g395m_f290lp": {"spec": None, "fit": None}},
}
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
        assert store.votes() == store.votes(101) == store.latest() == store.latest(101) == [said]
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
        "INSERT OR REPLACE INTO votes SELECT id, uuid, 'eve', source, z, 4, flags, comment, tags, seen, '' FROM votes",
        "REPLACE INTO votes SELECT id, 'new', user, source, z, 4, flags, comment, tags, seen, time FROM votes",
        "INSERT INTO votes SELECT 9, 'x', user, source, NULL, 4, flags, comment, tags, seen, time FROM votes",
        "INSERT INTO votes SELECT 9, 'x', user, source, z, 7, flags, comment, tags, seen, time FROM votes",
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
            "INSERT INTO votes SELECT 9, 'x', user, source, z, quality, '{', comment, tags, seen, time FROM votes"
        )
    with Store.open(path) as store, pytest.raises(DataError, match="vote 9 is damaged"):
        store.votes()


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


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_folder_of_others_can_be_looked_at():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inspection.sqlite"
        Path(folder).chmod(0o755)
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
