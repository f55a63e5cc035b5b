"""The store of votes: an sqlite file that only grows.

A vote that was saved is on disk before its saving returns. Votes cannot be changed or deleted: triggers forbid it.
Several threads and processes may use one file at once, and so may several machines where the file system has locks that
hold for all of them. What people say now is kept in memory; where votes were added since, it is worked out again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from nirfire.errors import DataError
from nirfire.inspect.network_disk import network_type
from nirfire.inspect.standing import is_chain, last_of_chain, standing_of
from nirfire.inspect.store_file import ROOM, SALVAGE, copied, open_to_look, open_to_write, plainly, transaction
from nirfire.inspect.votes import Consensus, Standing, Vote, consensus_of

COLUMNS = ("uuid", "user", "source", "z", "quality", "flags", "comment", "tags", "seen", "time", "builds_on",
           "regrades", "saved")  # fmt: skip
SELECT = f"SELECT id, {', '.join(COLUMNS)} FROM votes"
UUID, PERSON, SOURCE, BUILDS_ON = (1 + COLUMNS.index(name) for name in ("uuid", "user", "source", "builds_on"))
CHANGED = (
    f"{SELECT} WHERE id <= ? AND (source, user) IN (SELECT source, user FROM votes WHERE id > ? AND id <= ?) "
    "ORDER BY source, user, time, uuid"
)
INSERT = f"INSERT INTO votes ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
OLDEST = 365.25 * 86400.0  # seconds that a browser may have kept a vote; who says more has no clock to go by


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
    network : str
        Kind of the network file system that holds the file; empty where it is local or not known.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, read_only: bool = False, network: str = "") -> None:
        self._db, self.path, self.read_only, self.network = db, path, read_only, network
        self._lock = threading.RLock()
        self._last = 0
        self._latest: dict[int, dict[str, Standing]] = {}
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
        network = network_type(path)
        with plainly(path), ExitStack() as stack:
            if read_only:
                db = open_to_look(path, stack, network=bool(network))
            else:
                db = open_to_write(path, observation, stack, network=bool(network))
            stack.pop_all()
        return cls(db, path, read_only=read_only, network=network)

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

    def add(self, vote: Vote, *, age: float = 0.0) -> Vote:
        """Save a vote; when this returns it is on disk.

        Parameters
        ----------
        vote : Vote
            An empty time stands for `age` ago, or just after the votes that it builds on if that is later.
        age : float
            Seconds since it was given.

        Returns
        -------
        Vote
            As it is stored. A vote that came before, with the same uuid, is not stored again.

        Raises
        ------
        DataError
            The store is read only or cannot be written, or another vote has this uuid.
        """
        return self._add([vote], age)[0][0]

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

    def _add(self, votes: Iterable[Vote], age: float = 0.0) -> tuple[list[Vote], int]:
        if self.read_only:
            raise DataError("votes cannot be saved: the workspace is read only", file=self.path, remedy=ROOM)
        stored, new = [], 0
        with self._lock, plainly(self.path), transaction(self._db):
            for vote in votes:
                known = self.find(vote.uuid)
                if known is None:
                    known = vote if vote.time else self._timed(vote, age)
                    self._db.execute(INSERT, _row(known))
                    new += 1
                elif not vote.same_content(known) or (_is_timed(vote) and vote.time != known.time):
                    raise DataError(
                        f"a vote of {known.user} on {known.source} has the same uuid and other content",
                        file=self.path,
                        key=vote.uuid,
                        remedy="votes are never changed: give a changed one a uuid of its own, or, in a table, none",
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

    def _timed(self, vote: Vote, age: float) -> Vote:
        """A new vote with its times; it is later than those that it builds on even where clocks differ."""
        query, values = "SELECT max(time) FROM votes WHERE source = ? AND user = ?", [vote.source, vote.user]
        if vote.builds_on is not None:
            query += f" AND uuid IN ({', '.join('?' * len(vote.builds_on))})"
            values += vote.builds_on
        last = self._db.execute(query, values).fetchone()[0]
        now = datetime.now(UTC)
        given = now - timedelta(seconds=age if age < OLDEST else 0.0)
        if last is not None:
            given = max(given, datetime.strptime(last, TIME).replace(tzinfo=UTC) + timedelta(microseconds=1))
        return replace(vote, time=given.strftime(TIME), saved=now.strftime(TIME))

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

    def latest(self, source: int | None = None) -> list[Standing]:
        """What each person says now, on one source or on all, by source and name."""
        with self._lock:
            self._catch_up()
            chosen = sorted(self._latest) if source is None else [source] if source in self._latest else []
            return [vote for number in chosen for _, vote in sorted(self._latest[number].items())]

    def latest_by_source(self) -> dict[int, list[Standing]]:
        """What each person says now, on every source that has votes."""
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
            last = self._db.execute("SELECT max(id) FROM votes").fetchone()[0] or 0
            if last == self._last:
                return
            rows = self._db.execute(CHANGED, (last, self._last, last)).fetchall()
        for vote in [self._standing(list(some)) for _, some in groupby(rows, key=itemgetter(PERSON, SOURCE))]:
            self._latest.setdefault(vote.source, {})[vote.user] = vote
            self._changed.add(vote.source)
        self._last = last

    def _standing(self, rows: list[tuple]) -> Standing:
        """What one person says of a source; of a chain of votes, by time, only the last one is read."""
        # a name in quotes is in the text of a list just where it is in the list, which need not be read
        if is_chain((f'"{row[UUID]}"', row[BUILDS_ON]) for row in rows):
            return last_of_chain(self._vote(rows[-1]), len(rows))
        return standing_of([self._vote(row) for row in rows])

    def _vote(self, row: tuple) -> Vote:
        _, uuid, user, source, z, quality, flags, comment, tags, seen, when, base, regrades, saved = row
        # one call is faster than four
        flags, tags, seen, base = self._parsed(f"[{flags},{tags},{seen},{base or 'null'}]", row)
        base = None if base is None else tuple(base)
        regrades = None if regrades is None else bool(regrades)
        return Vote(uuid, user, source, z, quality, flags, comment, tuple(tags), seen, when, base, regrades, saved)

    def _parsed(self, text: str, row: tuple) -> Any:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"vote {row[0]} is damaged: {error}", file=self.path, remedy=SALVAGE) from error


def _is_timed(vote: Vote) -> bool:
    """False for a vote of now, and for a row of a table, whose time is that when it was taken in, here or elsewhere."""
    return bool(vote.time) and vote.builds_on is not None


def _row(vote: Vote) -> tuple:
    values = (getattr(vote, name) for name in COLUMNS)
    return tuple(_text(value) if isinstance(value, dict | tuple) else value for value in values)


def _text(value: Mapping | tuple) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
