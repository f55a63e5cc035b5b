"""Votes as a table, ECSV: for other tools, for other people, and to be taken in again.

One row per vote. What has parts (flags by spectrum, tags, fingerprints) is JSON, and a comment is escaped as JSON text
is: a new line is ``\\n``. The columns ``quality_said``, ``flags_said`` and ``latest`` are for the reader, and are not
read back.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
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
from nirfire.inspect.votes import Vote, latest_of
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
    "latest": Column("", "meta.code", "true for the latest vote of this person on this source"),
    "flags": Column("", "meta.code", "bits by spectrum, JSON"),
    "seen": Column("", "meta.note", "fingerprints of the products that were looked at, JSON"),
    "uuid": Column("", "meta.id", "of the vote"),
}
OTHER_NAMES = {"source_id": "source", "redshift": "z"}
NAMESPACE = uuid.UUID("6f5a3c52-6f0e-5d0b-9f6c-0d6f9b1a7e11")  # of votes of tables that have no uuid
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def write_votes(path: Path, votes: Iterable[Vote], *, observation: str = "") -> int:
    """Write votes to an ECSV table, oldest first.

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
    kept = sorted(votes, key=lambda vote: vote.order)
    latest = {vote.uuid for vote in latest_of(kept)}
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
        ``user``, ``comment`` and ``tags`` (separated by commas). The same row is the same vote, whenever it is read.
        A row that says nothing (quality 0, no comment, no tag) is none, lest it take an earlier grade back.
    user : str
        Who voted where the table does not say.

    Raises
    ------
    DataError
        The table cannot be read, or a row is no vote.
    """
    table = _read_table(path)
    own = table.meta.get("format") == FORMAT
    for name, ours in OTHER_NAMES.items():
        if name in table.colnames and ours not in table.colnames:
            table.rename_column(name, ours)
    missing = [name for name in (COLUMNS if own else ("source", "quality")) if name not in table.colnames]
    if missing:
        raise DataError(
            f"column {missing[0]} is missing", file=path, key=missing[0], remedy="`nirfire votes export` shows how"
        )
    if not user and "user" not in table.colnames:
        raise DataError("the table does not say who voted", file=path, key="user", remedy="give --user NAME")
    columns = {name: _values(table, name) for name in table.colnames}
    votes = []
    for k in range(len(table)):
        row = {name: values[k] for name, values in columns.items()}
        try:
            vote = _exact(row) if own else _foreign(row, user)
        except (ValueError, TypeError, DataError) as error:
            said = _reason(error)
            raise DataError(
                f"row {k + 1} is no vote: {said}", file=path, remedy="correct it; nothing was taken in"
            ) from error
        if own or vote.graded or vote.comment or vote.tags:
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
    }


def _exact(row: Mapping[str, Any]) -> Vote:
    """A row of `write_votes` as the vote that it was."""
    if re.fullmatch(TIME, row["time"]) is None:
        raise ValueError(f"time is not as in 2026-01-31T12:00:00.000000Z: {row['time']!r}")
    flags, tags, seen = (json.loads(row[name]) for name in ("flags", "tags", "seen"))
    vote = Vote(
        uuid=row["uuid"],
        user=checked_name(row["user"]),
        source=int(row["source"]),
        z=_number(row["z"]),
        quality=int(row["quality"]),
        flags=flags,
        comment=json.loads(f'"{row["comment"]}"'),
        tags=tuple(tags),
        seen=seen,
        time=row["time"],
    )
    told = vote.as_json()
    Ballot.model_validate({name: told[name] for name in Ballot.model_fields})
    return vote


def _foreign(row: Mapping[str, Any], user: str) -> Vote:
    """A row of somebody's own table as a vote of now."""
    tags = [tag.strip() for tag in str(row.get("tags", "")).split(",")]
    said = {
        "source": int(row["source"]),
        "z": _number(row.get("z", np.nan)),
        "quality": int(row["quality"]),
        "comment": str(row.get("comment", "")),
        "tags": [tag for tag in tags if tag],
    }
    who = checked_name(str(row.get("user", "") or user))
    name = json.dumps([who, said], sort_keys=True)
    return Ballot.model_validate({"uuid": str(uuid.uuid5(NAMESPACE, name)), **said}).vote(who)


def _read_table(path: Path) -> Table:
    kind = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv"}.get(path.suffix.lower())
    if kind is None:
        raise DataError("votes are read from .ecsv and .csv", file=path, remedy="write the table in one of these")
    try:
        return Table.read(path, format=kind)
    except FileNotFoundError:
        raise DataError("file not found", file=path, remedy="check the folder and the name") from None
    except (InconsistentTableError, ValueError, OSError) as error:
        raise DataError(f"cannot be read as a table ({error})", file=path, remedy="check the file") from error


def _values(table: Table, name: str) -> list[Any]:
    """Values of a column; missing ones are NaN or empty text."""
    column = table[name]
    if np.asarray(column).dtype.kind in "fiub" and not np.any(getattr(column, "mask", False)):
        return np.asarray(column).tolist()
    masks = np.broadcast_to(getattr(column, "mask", False), len(column))
    empty = np.nan if np.asarray(column).dtype.kind in "fiub" else ""
    return [empty if hidden else value for value, hidden in zip(np.asarray(column).tolist(), masks, strict=True)]


def _number(value: Any) -> float | None:
    number = float(value) if value != "" else np.nan
    return None if np.isnan(number) else number


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _reason(error: Exception) -> str:
    """What is wrong, in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
    return str(error).partition("\n")[0]
