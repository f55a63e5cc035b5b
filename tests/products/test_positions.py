"""The table of positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.msa import SHUTTER_COLUMNS, Metafile
from nirfire.products.naming import ExposureName, Workspace
from nirfire.products.positions import Position, planned_positions, read_positions, write_positions

ONE, TWO = "jw01345062001_03101_00001", "jw01345062001_03101_00002"


def table(folder: Path, *rows: str, head: str = "exposure,source,x,y") -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join((head, *rows)) + "\n")
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = Workspace(tmp_path, "x").positions
    rows = [Position(TWO, 7, 0.41, 1.03, 0.01, 0.004, 0.4, 0.98, 3, 180, 30), Position(ONE, 7, 0.4, -0.02)]
    write_positions(path, rows, {"made_by": "test", "visits": {"jw01345062001": {"x_y_turn_arcsec": [0.1, 0.2, 3.0]}}})
    assert read_positions(path) == {ONE: {7: (0.4, -0.02)}, TWO: {7: (0.41, 1.03)}}
    assert path.read_text().startswith("# %ECSV")
    assert "ucd" in path.read_text()


def test_a_table_made_by_hand_will_do(tmp_path: Path) -> None:
    path = table(tmp_path, f"{ONE}_nrs1,5,0.2,0.3", f"{ONE},6,,0.5", f"{TWO},5,nan,0.1", f"{TWO},6,0.5,0.5")
    assert read_positions(path) == {ONE: {5: (0.2, 0.3)}, TWO: {6: (0.5, 0.5)}}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("jw01345,5,0.2,0.3", "no exposure"),
        (f"{ONE},five,0.2,0.3", "not a number"),
        (f"{ONE},5,20.0,0.3", "x = 20 of source 5"),
        (f"{ONE},5,0.2,3.1", "y = 3.1 of source 5"),
        (f"{ONE},4,0.5,0.5", "source 4 is there twice"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as problem:
        read_positions(table(tmp_path, f"{ONE},4,0.5,0.5", row))
    assert "row 2" in str(problem.value)


def test_missing_files_columns_and_garbage_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such table"):
        read_positions(tmp_path / "absent.ecsv")
    with pytest.raises(DataError, match="columns missing: x, y"):
        read_positions(table(tmp_path, f"{ONE},4", head="exposure,source"))
    broken = tmp_path / "broken.ecsv"
    broken.write_bytes(b"# %ECSV 1.0\n# ---\n\xff\xfe")
    with pytest.raises(DataError, match="not a table"):
        read_positions(broken)


def test_an_empty_table_changes_nothing(tmp_path: Path) -> None:
    assert read_positions(table(tmp_path)) == {}


def test_names_of_exposures() -> None:
    name = ExposureName(f"{ONE}_nrs2")
    assert (name.visit, name.both) == ("jw01345062001", ONE)


def test_plans_are_read_from_the_metafile(tmp_path: Path) -> None:
    names = (*SHUTTER_COLUMNS,)
    rows = [
        (1, 1, 3, 180, 30, 7, "N", "OPEN", 0.4, 0.98, 1, "Y"),
        (1, 1, 3, 180, 31, 7, "Y", "OPEN", np.nan, np.nan, 1, "N"),
        (1, 1, 3, 180, 31, 7, "N", "OPEN", 0.4, 0.9, 2, "Y"),
        (2, 1, 2, 90, 12, -2, "N", "OPEN", 0.5, 0.5, 1, "Y"),
        (3, 1, 4, 91, 13, 8, "N", "OPEN", 0.0, 0.5, 1, "Y"),
    ]
    metafile = Metafile(tmp_path, Table(rows=rows, names=names), Table())
    found, edge = planned_positions(metafile, 1, 1, ONE)
    assert (edge.source, edge.x, edge.y) == (8, 0.0, 0.5)  # at the very side of its shutter
    assert (found.source, found.x, found.y, found.x_before) == (7, 0.4, 0.98, 0.4)
    assert (found.quadrant, found.shutter_row, found.shutter_column) == (3, 180, 30)
