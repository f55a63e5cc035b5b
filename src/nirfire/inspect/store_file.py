"""The sqlite file of the votes: its tables, how it is opened, and what is wrong with it in words."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from shutil import copyfile

from nirfire.errors import DataError
from nirfire.products.sqlite_errors import sqlite_said_plainly

APPLICATION = 0x4E465631  # "NFV1" in the header of the file
SCHEMA_VERSION = 2
BUSY_SECONDS = 20.0
COPIES = 5  # tries to copy a store that others write
SCHEMA = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE votes (
      id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, user TEXT NOT NULL, source INTEGER NOT NULL,
      z REAL, quality INTEGER NOT NULL CHECK (quality BETWEEN 0 AND 4), flags TEXT NOT NULL, comment TEXT NOT NULL,
      tags TEXT NOT NULL, seen TEXT NOT NULL, time TEXT NOT NULL, builds_on TEXT, regrades INTEGER,
      saved TEXT NOT NULL DEFAULT '',
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
)
STEPS = {  # by the version that they start from
    1: (
        "ALTER TABLE votes ADD COLUMN builds_on TEXT",
        "ALTER TABLE votes ADD COLUMN regrades INTEGER",
        "ALTER TABLE votes ADD COLUMN saved TEXT NOT NULL DEFAULT ''",
    )
}
LATER = {"builds_on": "NULL", "regrades": "NULL", "saved": "''"}
"""Columns that stores of earlier versions lack, and what stands for them."""
SALVAGE = (
    "move it and its -wal file aside; `nirfire votes merge --damaged` with that file takes in what can still be read"
)
ROOM = (
    "check free space and permissions of the workspace, and end a `nirfire inspect` on it that does not answer; "
    "nothing that was saved is lost"
)


def _connect(place: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(place, uri=uri, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)


def open_to_write(path: Path, observation: str, stack: ExitStack, *, network: bool) -> sqlite3.Connection:
    """A connection for which a commit is on disk when it returns; an absent store is made.

    Machines that share a file over a network have no memory in common, which a log written ahead needs: there changes
    are journaled as sqlite always did, and a store that has a log loses it.
    """
    if network and _has_log(path):
        _end_log(path)
    db = stack.enter_context(closing(_connect(str(path))))
    _check(db, path)
    db.execute("PRAGMA synchronous = EXTRA")  # as FULL, and the end of a journal is on disk too
    if not network:
        _set_journal(db, "WAL")
    _make(db, observation)
    return db


def open_to_look(path: Path, stack: ExitStack, *, network: bool) -> sqlite3.Connection:
    """A connection that refuses to write; an absent store is an empty one in memory."""
    if not path.is_file() or path.stat().st_size == 0:
        db = stack.enter_context(closing(_connect(":memory:")))
        _make(db, "")
        return db
    try:
        if network and _has_log(path):
            db = _in_memory(path)
        else:
            db = _connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
        stack.enter_context(closing(db))
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:  # a folder of others: sqlite cannot make the files that it shares with writers
        db = stack.enter_context(closing(_in_memory(path)))
    _check(db, path)
    _seen_as_now(db)
    db.execute("PRAGMA query_only = ON")
    return db


@contextmanager
def copied(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a copy of the file and of its log, as they are now."""
    files = [path, path.with_name(f"{path.name}-wal")]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(COPIES):
            looks = [_looks(file) for file in files]
            for file in files:
                if file.is_file():
                    copyfile(file, Path(folder) / file.name)
            if looks == [_looks(file) for file in files]:
                break
        with closing(_connect(str(Path(folder) / path.name))) as db:
            _seen_as_now(db)
            yield db


def _in_memory(path: Path) -> sqlite3.Connection:
    """The votes of now in memory."""
    with copied(path) as db:
        memory = _connect(":memory:")
        db.backup(memory)
    return memory


def _looks(file: Path) -> tuple[int, int]:
    if not file.is_file():
        return 0, 0
    known = file.stat()
    return known.st_size, known.st_mtime_ns


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Refuse what is damaged, no store of votes, or of a later version."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return
    if _number(db, "application_id") != APPLICATION or "votes" not in tables:
        raise DataError("not a store of votes", file=path, remedy="give an inspection.sqlite, or its workspace")
    version = _number(db, "user_version")
    if version > SCHEMA_VERSION:
        said = f"votes in the format of version {version}; this nirfire knows {SCHEMA_VERSION}"
        raise DataError(said, file=path, remedy="install the nirfire that wrote it")
    trouble = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
    if trouble != ["ok"]:
        raise DataError(f"the votes are damaged: {'; '.join(trouble)}", file=path, remedy=SALVAGE)


def _has_log(path: Path) -> bool:
    """True for a store that is written ahead into a log, as its header says."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == bytes([2, 2])
    except OSError:  # absent, or not for us to read: sqlite says so when it opens it
        return False


def _end_log(path: Path) -> None:
    """Take the log into the file, and write none any more; nobody else may use the store meanwhile."""
    with closing(_connect(str(path))) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # then sqlite shares no memory
        _check(db, path)
        _set_journal(db, "DELETE")


def _set_journal(db: sqlite3.Connection, mode: str) -> None:
    """Choose the kind of journal; sqlite does not wait by itself while another process does, or uses a log."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute(f"PRAGMA journal_mode = {mode}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _make(db: sqlite3.Connection, observation: str) -> None:
    """Make the tables, or bring those of an earlier version up to date, all or none."""
    with transaction(db):
        version = _number(db, "user_version")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'votes'").fetchone():
            for statement in SCHEMA:
                db.execute(statement)
            if observation:
                db.execute("INSERT INTO about VALUES ('observation', ?)", (observation,))
            db.execute(f"PRAGMA application_id = {APPLICATION}")
        else:
            for step in range(max(version, 1), SCHEMA_VERSION):
                for statement in STEPS[step]:
                    db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")  # a write, also where all is there: may we?


def _seen_as_now(db: sqlite3.Connection) -> None:
    """Let a store of an earlier version, which is only read, look as one of this version does."""
    have = [row[1] for row in db.execute("PRAGMA main.table_info(votes)")]
    if have and (lacks := [name for name in LATER if name not in have]):
        more = [f"{LATER[name]} AS {name}" for name in lacks]
        db.execute(f"CREATE TEMP VIEW votes AS SELECT {', '.join(have + more)} FROM main.votes")


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or none; the right to write is asked for at once, and waited for."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        yield


def plainly(path: Path) -> AbstractContextManager[None]:
    """Turn what sqlite raises into a `DataError` with a remedy."""
    return sqlite_said_plainly(path, "the votes", damaged=SALVAGE, busy=ROOM)
