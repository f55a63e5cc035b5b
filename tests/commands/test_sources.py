"""`sources`: what is printed of a metafile, the exit code, and the mended copy."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.errors import DataError
from nirfire.products.msa import Metafile

from ..products.msa_tables import catalogue, field, nodded, row, write

GOOD = [
    *nodded(1, 11),
    row(1, 51, 12, 1, x=0.2),
    *(row(1, 60, 0, d) for d in (1, 2, 3)),
    *nodded(2, -1, line=140),
    *(row(k, 80 + k, 0, d) for k in (4, 5, 6) for d in (1, 2, 3)),
    row(7, 90, 13, 1, x=0.5, metadata_id=2),
]
TWO_PRIMARIES = [*nodded(1, 11), row(1, 51, 12, 1, primary=True)]


def call(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sources", *map(str, words)], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "jw09999001001_01_msa.fits", GOOD)


def cells(text: str, first: str) -> list[str]:
    """Cells of the row of a table that begins with `first`."""
    (line,) = (part for part in text.splitlines() if part.startswith(f"│ {first} "))
    return [c.strip() for c in line.strip("│").split("│")]


def test_table(good):
    code, said = call(good)
    assert code == 0
    assert "MSAMETID 1; slitlets: 5; sources: 2, 1 of them primary; virtual: 1; dither points: 1-3" in said
    assert "MSAMETID 2; slitlets: 1; sources: 1" in said
    assert "background slitlets: 4-6" in said
    eleven = cells(said, "11")
    place = ["11", "9999_11", "1", "3", "100", "49-51", "yes", "3", "1-3", "0.40", "0.40", "0.2"]
    assert eleven[:12] == place and eleven[-1] == "not part of its slit: 60; beside 12"
    twelve = cells(said, "12")
    assert twelve[6:9] == ["no", "3", "1"] and twelve[9] == "0.20"
    assert cells(said, "-1")[-1] == "virtual" and cells(said, "-1")[6] == "yes"
    warning = cells(said, "warning")
    assert warning[1:4] == ["detached", "1", "1"] and "49-51, 60" in warning[5]


def test_one_configuration(good):
    code, said = call(good, "--id", 2)
    assert code == 0 and "MSAMETID 1" not in said and "9999_13" in said and "nothing amiss" in said
    with pytest.raises(DataError, match="no MSAMETID 3"):
        call(good, "--id", 3)


def test_equal_configurations_are_listed_once(tmp_path):
    rows = [r for k in (1, 88) for r in nodded(1, 11, metadata_id=k)]
    _, said = call(write(tmp_path / "a_msa.fits", rows))
    assert said.count("9999_11") == 1 and "MSAMETID 1, 88; slitlets: 1" in said


def test_json(good):
    code, said = call(good, "--json")
    told = json.loads(said)
    assert code == 0 and told["file"] == good.name and told["repairs"] == []
    first = told["configurations"][0]
    assert first["metadata_ids"] == [1] and first["dither_points"] == [1, 2, 3] and first["background"] == [4, 5, 6]
    eleven = first["sources"][0]
    assert eleven["source"] == 11 and eleven["places"] == [[1, 50, 0.4, 0.4], [2, 49, 0.4, 0.4], [3, 51, 0.4, 0.4]]
    assert {f["kind"] for f in told["findings"]} == {"detached"}
    assert told["findings"][0]["where"] == {"metadata_id": 1, "slitlet": 1, "source": None}


def test_errors_and_their_repair(tmp_path):
    rows = [*TWO_PRIMARIES, *field()]
    path, mended = write(tmp_path / "a_msa.fits", rows, catalogue(rows, leave_out=[12])), tmp_path / "b_msa.fits"
    before = path.read_bytes()
    code, said = call(path)
    assert code == 3 and "two-primaries" in said and "RA, Dec from the other sources" in cells(said, "12")[-1]
    code, said = call(path, "--repair", mended)
    assert code == 0 and "nothing amiss" in said and "no longer primary" in said and "2 repairs: " in said
    assert path.read_bytes() == before
    assert Metafile.read(mended).source_ids(1)[:2] == [11, 12]
    assert call(mended)[0] == 0


def test_errors_that_remain(tmp_path):
    path = write(tmp_path / "a_msa.fits", [*nodded(1, 11), row(1, 51, 11, 1, x=0.5)])
    code, said = call(path, "--repair", tmp_path / "b_msa.fits")
    assert code == 3 and "two-places" in said and "nothing to mend" in said


def test_long_slits_are_split(tmp_path):
    path = write(tmp_path / "a_msa.fits", [*nodded(1, 11, range(40, 51)), *nodded(2, 21, line=140)])
    code, said = call(path, "--split", 5, "--repair", tmp_path / "b_msa.fits")
    assert code == 0 and "split into 11 slitlets with a source each" in said
    assert "slitlets: 12; sources: 12, 12 of them primary" in said
    with pytest.raises(DataError, match="nowhere to write"):
        call(path, "--split", 5)


def test_the_original_is_not_overwritten(good):
    before = good.read_bytes()
    with pytest.raises(DataError, match="would be overwritten"):
        call(good, "--repair", good)
    assert good.read_bytes() == before


def test_what_is_no_metafile(tmp_path):
    path = tmp_path / "text_msa.fits"
    path.write_text("words")
    with pytest.raises(DataError, match="cannot be read as FITS"):
        call(path)


def test_remarks(tmp_path):
    rows = [*nodded(1, 11), row(1, 50, 12, 1, x=0.41), *(row(2, 80, 13, d, state="CLOSED", x=0.5) for d in (1, 2, 3))]
    rows += [row(3, 90, 14, d) for d in (1, 2, 3)]
    _, said = call(write(tmp_path / "a_msa.fits", rows))
    assert cells(said, "12")[-1] == "duplicate of 11, left out; beside 11"
    assert cells(said, "13")[-1] == "all its shutters are marked CLOSED"
    assert cells(said, "14")[-1] == "in no shutter"


def test_many_findings_of_a_kind_are_cut(tmp_path):
    rows = [r for k in range(1, 12) for r in nodded(k, k, (10, 12, 13), line=10 * k)]
    code, said = call(write(tmp_path / "a_msa.fits", rows))
    assert code == 0 and said.count("is closed within 10-13") == 8 and "and 3 more of gap: --json lists all" in said


def test_flight_metafiles(real_data):
    """Real observations are listed, and can be used."""
    code, said = call(real_data / "ero_6355" / "jw02736007001_01_msa.fits")
    assert code == 0 and "slitlets: 74; sources: 57" in said and "primary-not-first" in said
    # the galaxy at z = 7.665 of the first deep field
    ra, dec = (float(c) for c in cells(said.split("MSAMETID 76")[0], "6355")[12:14])
    assert (ra, dec) == (pytest.approx(110.84452, abs=2e-4), pytest.approx(-73.43508, abs=2e-4))
    code, said = call(real_data / "msa" / "jw02561002003_01_msa.fits.gz", "--json")
    (only,) = json.loads(said)["configurations"]
    assert code == 0 and only["metadata_ids"] == [1, 193, 194] and len(only["background"]) == 50
    code, said = call(real_data / "msa" / "jw02565007001_01_msa.fits")
    assert cells(said, "18067")[2:6] == ["13+14", "1", "38", "30-31, 33-34"]
