"""The ledger: a workspace's memory of how jobs ended and of what its files looked like.

A product's own header is the truth about the product; the ledger adds what no product can tell (jobs that found no
work or failed, times, logs) and spares reading files anew that have not changed. It can be deleted: `Ledger.open`
builds it again from the products, which carry their fingerprints, and from the event files of earlier runs.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from nirfire.pipeline.events import outcomes_of
from nirfire.pipeline.jobs import Outcome
from nirfire.products.naming import Workspace
from nirfire.products.sqlite_errors import sqlite_said_plainly

COMMIT_SECONDS = 1.0
COLUMNS = ("task", "key", "status", "reason", "seconds", "fingerprint", "log", "memory", "worker")
SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
  id INTEGER PRIMARY KEY, run TEXT, time REAL, task TEXT, key TEXT, status TEXT, reason TEXT, seconds REAL,
  fingerprint TEXT, log TEXT, memory REAL, worker TEXT);
CREATE INDEX IF NOT EXISTS records_by_job ON records (task, key, id);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, fingerprint TEXT);
"""
LATEST = f"SELECT {', '.join(COLUMNS)} FROM records WHERE id IN (SELECT max(id) FROM records GROUP BY task, key)"
NEW_RECORD = f"INSERT INTO records (run, time, {', '.join(COLUMNS)}) VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"
NEW_FILE = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)"
REBUILD = "delete this file and run again: it is built anew from the products"
ROOM = "check free space and permissions of the workspace, then run the same command again"


@dataclass(frozen=True)
class Entry:
    """One line of a job's history.

    Attributes
    ----------
    run : str
        Name of the run.
    time : float
        When the job ended [s since 1970].
    outcome : Outcome
        How.
    """

    run: str
    time: float
    outcome: Outcome


class Ledger:
    """Records of outcomes and of files, in sqlite.

    Parameters
    ----------
    db : sqlite3.Connection
        The database.
    path : Path
        Its file, for messages.
    run : str
        Name under which new records are filed.

    Notes
    -----
    Commits are gathered for a second at most, by a timer, since the next record may be an hour away: a killed run
    loses no more than the records of its last second, and the products of those jobs are recognised by their headers.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, run: str = "") -> None:
        self._db, self.path, self.run = db, path, run
        self._lock = threading.Lock()  # the timer has a thread of its own
        self._timer: threading.Timer | None = None
        self._trouble: sqlite3.Error | None = None
        with said_plainly(path):
            db.executescript(SCHEMA)
            self.latest = {(row[0], row[1]): Outcome(*row) for row in db.execute(LATEST)}
            rows = db.execute("SELECT path, size, mtime_ns, fingerprint FROM files")
            self._files = {row[0]: row[1:] for row in rows}

    @classmethod
    def open(cls, workspace: Workspace, run: str = "", *, shard: str = "", read_only: bool = False) -> Ledger:
        """Open the ledger of a workspace; an absent one is built from the event files.

        Parameters
        ----------
        workspace : Workspace
            Where.
        run : str
            Name of this run.
        shard : str
            Name of the shard, which then keeps a ledger of its own beside.
        read_only : bool
            Only look: nothing is written to disk.

        Raises
        ------
        DataError
            The database is damaged or cannot be written.
        """
        main = workspace.ledger
        path = workspace.shard_ledger(shard) if shard else main
        with said_plainly(path):
            ledger = cls(_copy_in_memory(main) if read_only else _connect(path), path, run)
        if shard:
            ledger._know(*_content(main))
            return ledger
        if not ledger.latest:  # new, or killed while it was built
            events = [(name, when, *asdict(outcome).values()) for name, when, outcome in outcomes_of(workspace.events)]
            ledger._keep(events, [])
        shards = workspace.folder.glob(workspace.shard_ledger("*").name)
        for other in sorted(shards, key=lambda file: file.stat().st_mtime_ns):
            records, files = _content(other)
            known = ledger.runs()  # a shard's events may have been read above
            ledger._keep([row for row in records if row[0] not in known], files)
            if not read_only:
                other.unlink()
        return ledger

    def runs(self) -> set[str]:
        """Names of the runs that have records."""
        return {row[0] for row in self._db.execute("SELECT DISTINCT run FROM records")}

    def _know(self, records: list[tuple], files: list[tuple]) -> None:
        """Take in what an older ledger says, without writing it into this one."""
        self.latest = {(row[2], row[3]): Outcome(*row[2:]) for row in records} | self.latest
        self._files = {row[0]: row[1:] for row in files} | self._files

    def _keep(self, records: list[tuple], files: list[tuple]) -> None:
        """Write newer records into this ledger, all or none."""
        self.latest |= {(row[2], row[3]): Outcome(*row[2:]) for row in records}
        self._files |= {row[0]: row[1:] for row in files}
        with said_plainly(self.path):
            self._db.executemany(NEW_RECORD, records)
            self._db.executemany(NEW_FILE, files)
        self.commit()

    def add(self, outcome: Outcome) -> None:
        """Record an outcome."""
        self.latest[outcome.task, outcome.key] = outcome
        self._write(NEW_RECORD, (self.run, time.time(), *asdict(outcome).values()))

    def remember(self, path: str, size: int, mtime_ns: int, fingerprint: str) -> None:
        """Record what a file looked like when it had this fingerprint."""
        self._files[path] = (size, mtime_ns, fingerprint)
        self._write(NEW_FILE, (path, size, mtime_ns, fingerprint))

    def _write(self, statement: str, row: tuple) -> None:
        with self._lock, said_plainly(self.path):
            if self._trouble:
                raise self._trouble
            self._db.execute(statement, row)
            if self._timer is None:
                self._timer = threading.Timer(COMMIT_SECONDS, self._commit_late)
                self._timer.daemon = True
                self._timer.start()

    def _commit_late(self) -> None:
        """What the timer does; trouble is said at the next record."""
        with self._lock:
            self._timer = None
            try:
                self._db.commit()
            except sqlite3.Error as error:
                self._trouble = error

    def recall(self, path: str, size: int, mtime_ns: int) -> str | None:
        """Fingerprint of a file that still looks as it did; None when it changed or is new."""
        known = self._files.get(path)
        return known[2] if known and known[:2] == (size, mtime_ns) else None

    def history(self, keys: Iterable[tuple[str, str]]) -> list[Entry]:
        """All records of some jobs, oldest first."""
        found = []
        query = f"SELECT run, time, {', '.join(COLUMNS)} FROM records WHERE task = ? AND key = ? ORDER BY id"
        with said_plainly(self.path):
            for job in keys:
                found += [Entry(row[0], row[1], Outcome(*row[2:])) for row in self._db.execute(query, job)]
        return sorted(found, key=lambda entry: entry.time)

    def commit(self) -> None:
        """Bring all records to disk."""
        with self._lock, said_plainly(self.path):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._trouble:
                raise self._trouble
            self._db.commit()

    def close(self) -> None:
        """Bring all records to disk, and let go of the database."""
        try:
            self.commit()
        finally:
            self._db.close()


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(path, timeout=30, check_same_thread=False)


def _existing(path: Path) -> sqlite3.Connection:
    """Open a database that is there. What a killed run left half written in it is undone, hence not read-only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)


def _copy_in_memory(path: Path) -> sqlite3.Connection:
    """A copy of a database that is never written back."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    if path.is_file():
        with closing(_existing(path)) as source:
            source.backup(db)
    return db


def _content(path: Path) -> tuple[list[tuple], list[tuple]]:
    """Rows of the records and of the files of a ledger; none where it is absent, or killed as it was made."""
    if not path.is_file():
        return [], []
    with said_plainly(path), closing(_existing(path)) as db:
        if not db.execute("SELECT name FROM sqlite_master WHERE name = 'files'").fetchall():
            return [], []
        records = db.execute(f"SELECT run, time, {', '.join(COLUMNS)} FROM records ORDER BY id").fetchall()
        return records, db.execute("SELECT path, size, mtime_ns, fingerprint FROM files").fetchall()


def said_plainly(path: Path) -> AbstractContextManager[None]:
    """Turn what sqlite raises into a `DataError` with a remedy."""
    return sqlite_said_plainly(path, "the ledger", damaged=REBUILD, busy=ROOM)
