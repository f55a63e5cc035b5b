"""Votes as a table, ECSV: for other tools, for other people, and to be taken in again.

One row per vote. What has parts (flags by spectrum, tags, fingerprints) is JSON, and a comment is escaped as JSON text
is: a new line is ``\\n``. The columns ``quality_said``, ``flags_said`` and ``latest`` are for the reader, and are not
read back. A table that has the other columns is read as these votes, whichever program has written it since.
"""

from __future__ import annotations

import csv
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.ascii import InconsistentTableError
from astropy.table import Table
from pydantic import ValidationError

from nirfire.errors import DataError
from nirfire.inspect.ballot import Ballot
from nirfire.inspect.people import checked_name
from nirfire.inspect.quality import QUALITY_SAID, Quality, flags_said
from nirfire.inspect.standing import in_order, latest_of
from nirfire.inspect.votes import Vote
from nirfire.products.atomic import atomic_path
from nirfire.products.columns import Column, describe

FORMAT = "nirfire votes 1"
COLUMNS = {
    "source": Column("", "meta.id;meta.main", "source number in the MSA metafile"),
    "user": Column("", "meta.id.PI", "who voted"),
    "quality": Column("", "meta.code.qual;src.redshift", "0 not inspected to 4 secure"),
    "z": Column("", "src.redshift", "redshift; NaN where there is none"),
    "quality_said": Column("", "meta.note", "quality in words"),
    "flags_said": Column("", "meta.note", "flags of all spectra in words"),
    "comment": Column("", "meta.note", "free text, escaped as in JSON"),
    "tags": Column("", "meta.note", "free labels, JSON"),
    "time": Column("", "time", "when, ISO 8601, UTC"),
    "latest": Column("", "meta.code", "true for a vote that no other of this person builds on"),
    "flags": Column("", "meta.code", "bits by spectrum, JSON"),
    "seen": Column("", "meta.note", "fingerprints of the products that were looked at, JSON"),
    "uuid": Column("", "meta.id", "of the vote"),
    "builds_on": Column("", "meta.id", "votes of this person that the page showed, JSON; null: all earlier ones"),
    "regrades": Column("", "meta.code", "false where the grade is that of the votes it builds on, JSON"),
    "saved": Column("", "time", "when it was first stored, ISO 8601, UTC"),
}
FOR_READERS = frozenset({"quality_said", "flags_said", "latest"})
LATER = frozenset({"builds_on", "regrades", "saved"})  # tables of earlier versions lack them
NEEDED = [name for name in COLUMNS if name not in FOR_READERS | LATER]
OTHER_NAMES = {"source_id": "source", "redshift": "z"}
NAMESPACE = uuid.UUID("6f5a3c52-6f0e-5d0b-9f6c-0d6f9b1a7e11")  # of votes of tables that have no uuid
Row = Mapping[str, Any]
TIME = r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def write_votes(path: Path, votes: Iterable[Vote], *, observation: str = "") -> int:
    """Write votes to an ECSV table, oldest first, each after those that it builds on.

    Parameters
    ----------
    path : Path
        The table.
    votes : iterable of Vote
        What to write.
    observation : str
        Whose sources, for its metadata.

    Returns
    -------
    int
        Number of votes.
    """
    kept = in_order(votes)
    latest = {vote.uuid for one in latest_of(kept) for vote in one.heads}
    rows = [_told(vote, latest=vote.uuid in latest) for vote in kept]
    kinds: dict[str, type] = {"source": int, "quality": int, "z": float, "latest": bool}
    table = Table({name: np.array([row[name] for row in rows], dtype=kinds.get(name, str)) for name in COLUMNS})
    describe(table, COLUMNS)
    table.meta = {"format": FORMAT, "observation": observation}
    with atomic_path(path) as part:
        table.write(part, format="ascii.ecsv", overwrite=True)
    return len(kept)


def read_votes(path: Path, *, user: str = "") -> list[Vote]:
    """Read votes from a table that `write_votes` wrote, or from any ECSV or CSV table of grades.

    Parameters
    ----------
    path : Path
        The table. One that is not of `write_votes` needs the columns ``source`` and ``quality``, and may have ``z``,
        ``user``, ``comment`` and ``tags`` (separated by commas); its rows are votes of now, in their order. The same
        row is the same vote, whenever it is read, and a row that comes again further down is another one. A row that
        says nothing (quality 0, no comment, no tag) is none, lest it take an earlier grade back, unless it comes after
        a vote of the same person on the same source.
    user : str
        Who voted where the table does not say.

    Raises
    ------
    DataError
        The table cannot be read, or a row is no vote.
    """
    meta, columns = _read_columns(path)
    own = meta.get("format") == FORMAT or set(NEEDED) <= set(columns)
    for name, ours in OTHER_NAMES.items():
        if name in columns and ours not in columns:
            columns[ours] = columns.pop(name)
    missing = [name for name in (NEEDED if own else ("source", "quality")) if name not in columns]
    if missing:
        raise DataError(
            f"column {missing[0]} is missing", file=path, key=missing[0], remedy="`nirfire votes export` shows how"
        )
    if not user and "user" not in columns:
        raise DataError("the table does not say who voted", file=path, key="user", remedy="give --user NAME")
    read = _exact if own else _Foreign(user)
    votes = []
    for k, values in enumerate(zip(*columns.values(), strict=True)):
        try:
            vote = read(dict(zip(columns, values, strict=True)))
        except (ValueError, TypeError, DataError) as error:
            said = _reason(error)
            raise DataError(
                f"row {k + 1} is no vote: {said}", file=path, remedy="correct it; nothing was taken in"
            ) from error
        if vote is not None:
            votes.append(vote)
    return votes


def _told(vote: Vote, *, latest: bool) -> dict[str, Any]:
    """A vote as a row of the table."""
    return {
        "source": vote.source,
        "user": vote.user,
        "quality": vote.quality,
        "z": np.nan if vote.z is None else vote.z,
        "quality_said": QUALITY_SAID[Quality(vote.quality)].partition(":")[0],
        "flags_said": ", ".join(flags_said(vote.bits)),
        "comment": _json(vote.comment)[1:-1],
        "tags": _json(vote.tags),
        "time": vote.time,
        "latest": latest,
        "flags": _json(vote.flags),
        "seen": _json(vote.seen),
        "uuid": vote.uuid,
        "builds_on": _json(vote.builds_on),
        "regrades": _json(vote.regrades),
        "saved": vote.saved,
    }


def _exact(row: Row) -> Vote:
    """A row of `write_votes` as the vote that it was."""
    for name in ("time", "saved"):
        said = row.get(name, "")
        if not _is_time(said) and (said or name == "time"):
            raise ValueError(f"{name} is not as in 2026-01-31T12:00:00.000000Z: {said!r}")
    flags, tags, seen = (json.loads(row[name]) for name in ("flags", "tags", "seen"))
    builds_on = json.loads(row.get("builds_on") or "null")
    regrades = json.loads(str(row.get("regrades") or "null").lower())  # spreadsheets write TRUE
    quality = _whole(row["quality"])
    vote = Vote(
        uuid=row["uuid"],
        user=checked_name(row["user"]),
        source=_whole(row["source"]),
        z=None if quality == Quality.IMPOSSIBLE else _number(row["z"]),
        quality=quality,
        flags=flags,
        comment=json.loads(f'"{row["comment"]}"'),
        tags=tuple(tags),
        seen=seen,
        time=row["time"],
        builds_on=None if builds_on is None else tuple(builds_on),
        regrades=regrades,
        saved=row.get("saved", ""),
    )
    told = vote.as_json()
    Ballot.model_validate({name: told[name] for name in Ballot.model_fields if name in told})
    return vote


class _Foreign:
    """Rows of somebody's own table as votes of now, one after another.

    Parameters
    ----------
    user : str
        Who voted where a row does not say.
    """

    def __init__(self, user: str) -> None:
        self.user = user
        self._times: Counter[str] = Counter()  # that a row has come
        self._voted: set[tuple[str, int]] = set()

    def __call__(self, row: Row) -> Vote | None:
        """The vote of a row; None where it says nothing."""
        told = str(row.get("tags", ""))
        tags = [tag.strip() for tag in (json.loads(told) if told.startswith("[") else told.split(","))]
        said = {
            "source": _whole(row["source"]),
            "z": _number(row.get("z", "")),
            "quality": _whole(row["quality"]),
            "comment": str(row.get("comment", "")),
            "tags": [tag for tag in tags if tag],
        }
        who = checked_name(str(row.get("user", "") or self.user))
        name = json.dumps([who, said], sort_keys=True)
        again = f" {self._times[name]}" if name in self._times else ""
        self._times[name] += 1
        vote = Ballot.model_validate({"uuid": str(uuid.uuid5(NAMESPACE, name + again)), **said}).vote(who)
        if not (vote.graded or vote.comment or vote.tags or (who, vote.source) in self._voted):
            return None
        self._voted.add((who, vote.source))
        return vote


def _read_columns(path: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Metadata and columns of a table; of CSV all is text, as it stands there, and what is missing is empty."""
    kind = path.suffix.lower()
    if kind not in (".ecsv", ".csv"):
        raise DataError("votes are read from .ecsv and .csv", file=path, remedy="write the table in one of these")
    try:
        if kind == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file, restval="", strict=True)
                found: dict[str, list[Any]] = {name: [] for name in rows.fieldnames or ()}
                for row in rows:
                    for name, values in found.items():
                        values.append(row[name])
                    if None in row:
                        raise ValueError(f"line {rows.line_num} has more values than the first")
            return {}, found
        table = Table.read(path, format="ascii.ecsv")
    except FileNotFoundError:
        raise DataError("file not found", file=path, remedy="check the folder and the name") from None
    except (InconsistentTableError, ValueError, OSError, csv.Error) as error:
        raise DataError(f"cannot be read as a table ({error})", file=path, remedy="check the file") from error
    return table.meta, {name: _values(table, name) for name in table.colnames}


def _values(table: Table, name: str) -> list[Any]:
    """Values of a column; missing ones are empty text."""
    column = table[name]
    masks = np.broadcast_to(getattr(column, "mask", False), len(column))
    return ["" if hidden else value for value, hidden in zip(np.asarray(column).tolist(), masks, strict=True)]


def _is_time(text: str) -> bool:
    """True for a time that there is, in just the form in which votes have it."""
    if re.fullmatch(TIME, text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _number(value: Any) -> float | None:
    number = float(value) if value != "" else np.nan
    return None if np.isnan(number) else number


def _whole(value: Any) -> int:
    number = float(value)
    if not number.is_integer():
        raise ValueError(f"{value} is not a whole number")
    return int(number)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _reason(error: Exception) -> str:
    """What is wrong, in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
    return str(error).partition("\n")[0]
