"""The store of votes: an sqlite file that only grows.

A vote that was saved is on disk (WAL, synchronous=FULL) before its saving returns. Votes cannot be changed or deleted:
triggers forbid it. Several threads and processes may use one file at once. The latest votes are kept in memory, and
only what others have added since is read again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from nirfire.errors import DataError
from nirfire.inspect.store_file import ROOM, SALVAGE, copied, open_to_look, open_to_write, plainly, transaction
from nirfire.inspect.votes import Consensus, Vote, consensus_of

COLUMNS = ("uuid", "user", "source", "z", "quality", "flags", "comment", "tags", "seen", "time")
SELECT = f"SELECT id, {', '.join(COLUMNS)} FROM votes"
INSERT = f"INSERT INTO votes ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class Store:
    """Votes of all people on the sources of one observation.

    Parameters
    ----------
    db : sqlite3.Connection
        The database, with its tables.
    path : Path
        Its file, for messages.
    read_only : bool
        Refuse votes.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, read_only: bool = False) -> None:
        self._db, self.path, self.read_only = db, path, read_only
        self._lock = threading.RLock()
        self._last = 0
        self._latest: dict[int, dict[str, Vote]] = {}
        self._consensus: dict[int, Consensus] = {}
        self._changed: set[int] = set()

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, observation: str = "") -> Store:
        """Open a store; one that is absent is made.

        Parameters
        ----------
        path : Path
            The file.
        read_only : bool
            Only look: nothing is written, and an absent file is an empty store.
        observation : str
            Name of the observation, noted in a store that is new, so that no other is merged into it by mistake.

        Raises
        ------
        DataError
            The file is damaged, no store of votes, of a later version, or cannot be written.
        """
        with plainly(path), ExitStack() as stack:
            db = open_to_look(path, stack) if read_only else open_to_write(path, observation, stack)
            stack.pop_all()
        return cls(db, path, read_only=read_only)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @property
    def observation(self) -> str:
        """Whose votes these are; empty where the store does not say."""
        with self._lock, plainly(self.path):
            row = self._db.execute("SELECT value FROM about WHERE name = 'observation'").fetchone()
        return row[0] if row else ""

    def add(self, vote: Vote) -> Vote:
        """Save a vote; when this returns it is on disk.

        Parameters
        ----------
        vote : Vote
            An empty time stands for now, or just after the last vote of this person on the source if that is later.

        Returns
        -------
        Vote
            As it is stored. A vote that came before, with the same uuid, is not stored again.

        Raises
        ------
        DataError
            The store is read only or cannot be written, or another vote has this uuid.
        """
        return self._add([vote])[0][0]

    def add_many(self, votes: Iterable[Vote]) -> int:
        """Save votes, all or none; those that are there already are left out.

        Returns
        -------
        int
            How many are new.

        Raises
        ------
        DataError
            As for `add`.
        """
        return self._add(votes)[1]

    def _add(self, votes: Iterable[Vote]) -> tuple[list[Vote], int]:
        if self.read_only:
            raise DataError("votes cannot be saved: the workspace is read only", file=self.path, remedy=ROOM)
        stored, new = [], 0
        with self._lock, plainly(self.path), transaction(self._db):
            for vote in votes:
                known = self.find(vote.uuid)
                if known is None:
                    known = vote if vote.time else replace(vote, time=self._now(vote))
                    self._db.execute(INSERT, _row(known))
                    new += 1
                elif not vote.same_content(known) or vote.time not in ("", known.time):
                    raise DataError(
                        f"a vote of {known.user} on {known.source} has the same uuid and other content",
                        file=self.path,
                        key=vote.uuid,
                        remedy="give every vote a uuid of its own",
                    )
                stored.append(known)
        return stored, new

    @classmethod
    def salvage(cls, path: Path) -> list[Vote]:
        """The votes of a damaged store that can still be read, one by one.

        Raises
        ------
        DataError
            Nothing can be read of it.
        """
        with plainly(path), copied(path) as db:
            last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'votes'").fetchone()
            store, found = cls(db, path, read_only=True), []
            for number in range(1, (last[0] if last else 0) + 1):
                with suppress(sqlite3.DatabaseError, DataError):
                    found += [store._vote(row) for row in db.execute(f"{SELECT} WHERE id = ?", (number,))]
        return found

    def _now(self, vote: Vote) -> str:
        """Time of a new vote, which is the latest of its author on the source even where clocks differ."""
        query = "SELECT max(time) FROM votes WHERE source = ? AND user = ?"
        last = self._db.execute(query, (vote.source, vote.user)).fetchone()[0]
        now = datetime.now(UTC)
        if last is not None:
            now = max(now, datetime.strptime(last, TIME).replace(tzinfo=UTC) + timedelta(microseconds=1))
        return now.strftime(TIME)

    def find(self, uuid: str) -> Vote | None:
        """The vote of this uuid."""
        with self._lock, plainly(self.path):
            row = self._db.execute(f"{SELECT} WHERE uuid = ?", (uuid,)).fetchone()
            return None if row is None else self._vote(row)

    def votes(self, source: int | None = None) -> list[Vote]:
        """All votes, of one source or of all, oldest first."""
        query, values = (SELECT, ()) if source is None else (f"{SELECT} WHERE source = ?", (source,))
        with self._lock, plainly(self.path):
            found = [self._vote(row) for row in self._db.execute(query, values)]
        return sorted(found, key=lambda vote: vote.order)

    def latest(self, source: int | None = None) -> list[Vote]:
        """The latest vote of each person, on one source or on all, by source and name."""
        with self._lock:
            self._catch_up()
            chosen = sorted(self._latest) if source is None else [source] if source in self._latest else []
            return [vote for number in chosen for _, vote in sorted(self._latest[number].items())]

    def latest_by_source(self) -> dict[int, list[Vote]]:
        """The latest vote of each person, on every source that has any."""
        with self._lock:
            self._catch_up()
            return {source: list(votes.values()) for source, votes in self._latest.items()}

    def consensus(self) -> dict[int, Consensus]:
        """What people say together, by source."""
        with self._lock:
            self._catch_up()
            for source in self._changed:
                found = consensus_of(self._latest[source].values())
                if found is not None:
                    self._consensus[source] = found
            self._changed.clear()
            return dict(self._consensus)

    @property
    def revision(self) -> int:
        """A number that rises with every vote of anybody."""
        with self._lock:
            self._catch_up()
            return self._last

    def _catch_up(self) -> None:
        """Read what was added since; numbers rise in the order of saving, since one writes at a time."""
        with plainly(self.path):
            rows = self._db.execute(f"{SELECT} WHERE id > ? ORDER BY id", (self._last,)).fetchall()
        for row in rows:
            vote = self._vote(row)
            mine = self._latest.setdefault(vote.source, {})
            if vote.user not in mine or vote.order > mine[vote.user].order:
                mine[vote.user] = vote
            self._changed.add(vote.source)
            self._last = row[0]

    def _vote(self, row: tuple) -> Vote:
        _, uuid, user, source, z, quality, flags, comment, tags, seen, when = row
        try:
            flags, tags, seen = json.loads(f"[{flags},{tags},{seen}]")  # one call is faster than three
        except json.JSONDecodeError as error:
            raise DataError(f"vote {row[0]} is damaged: {error}", file=self.path, remedy=SALVAGE) from error
        return Vote(uuid, user, source, z, quality, flags, comment, tuple(tags), seen, when)


def _row(vote: Vote) -> tuple:
    return tuple(_text(value) if isinstance(value, dict | tuple) else value for value in vote.__dict__.values())


def _text(value: Mapping | tuple) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
