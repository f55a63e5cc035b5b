"""What sqlite raises, in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nirfire.errors import DataError


@contextmanager
def sqlite_said_plainly(path: Path, what: str, *, damaged: str, busy: str) -> Iterator[None]:
    """Turn what sqlite raises into a `DataError` with a remedy.

    Parameters
    ----------
    path : Path
        The database.
    what : str
        What it holds, for instance "the ledger".
    damaged : str
        What to do where it is damaged, or no database.
    busy : str
        What to do where it is locked or cannot be written.

    Raises
    ------
    DataError
        The database is damaged, locked, or cannot be written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        broken = not isinstance(error, sqlite3.OperationalError) or "malformed" in str(error)
        raise DataError(f"{what} cannot be used: {error}", file=path, remedy=damaged if broken else busy) from error
