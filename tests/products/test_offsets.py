"""The file of a visit's offset."""

import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.offsets import COLUMNS, Offsets, read_offset
from nirfire.products.verify import verify_product


def table():
    rows = [(7, 0.021, 0.002, 0.0, 0.01, 300.0, True), (8, 0.2, 0.001, 0.1, 0.01, 100.0, False)]
    return Table(rows=rows, names=list(COLUMNS))


def test_it_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "x_offsets.fits"
    Offsets("jw01345062001_03101", 0.02144, 0.0021, table()).write(path)
    found = Offsets.read(path)
    assert (found.root, found.offset, found.scatter) == ("jw01345062001_03101", 0.02144, 0.0021)
    assert list(found.table["source"]) == [7, 8]
    assert list(found.table["used"]) == [True, False]
    with fits.open(path) as hdus:
        header = hdus["OFFSETS"].header
        units = {header[f"TTYPE{k + 1}"]: header.get(f"TUNIT{k + 1}", "") for k in range(len(COLUMNS))}
    assert units == {name: column.unit for name, column in COLUMNS.items()}
    assert verify_product(path, stamped=False) == []


@pytest.mark.parametrize("offset, scatter, wanted", [(0.02144, 0.0021, (0.021, 0.002)), (-0.0004, 0.0, (0.0, 0.001))])
def test_the_answer_is_rounded_and_never_exact(tmp_path, offset, scatter, wanted):
    path = tmp_path / "x_offsets.fits"
    Offsets("a_b", offset, scatter, table()).write(path)
    assert read_offset(path) == {"a_b": pytest.approx(wanted)}


def test_other_files_are_told(tmp_path):
    path = tmp_path / "x_offsets.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(DataError, match="no table of offsets") as caught:
        read_offset(path)
    assert "OFFSETS" in str(caught.value)
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table(), name="OFFSETS")]).writeto(path, overwrite=True)
    with pytest.raises(DataError, match="ROOT"):
        read_offset(path)
    with pytest.raises(DataError):
        read_offset(tmp_path / "none.fits")
