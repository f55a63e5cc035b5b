"""What sqlite raises, in words."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from nirfire.errors import DataError
from nirfire.products.sqlite_errors import sqlite_said_plainly


def said(path, work) -> DataError:
    with (
        pytest.raises(DataError) as caught,
        sqlite_said_plainly(path, "the ledger", damaged="make it anew", busy="wait"),
    ):
        work()
    assert caught.value.file == path and "the ledger cannot be used: " in caught.value.message
    return caught.value


def test_a_damaged_file_and_a_busy_one_have_their_own_remedies(tmp_path):
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"no database" * 1000)
    with closing(sqlite3.connect(path)) as db:
        assert said(path, lambda: db.execute("SELECT 1 FROM x")).remedy == "make it anew"
    path.unlink()
    with closing(sqlite3.connect(path, timeout=0.01)) as db, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = said(path, lambda: db.execute("CREATE TABLE x (a)"))
        assert found.remedy == "wait" and "locked" in found.message

    def malformed() -> None:
        raise sqlite3.OperationalError("database disk image is malformed")

    assert said(path, malformed).remedy == "make it anew"


def test_other_errors_pass():
    with pytest.raises(KeyError), sqlite_said_plainly(None, "x", damaged="", busy=""):  # type: ignore[arg-type]
        raise KeyError
