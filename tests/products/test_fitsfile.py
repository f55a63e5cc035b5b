"""Files that end before their headers say so: what is missing is told with the file's name."""

import errno

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits


@pytest.fixture
def path(tmp_path):
    columns = [fits.Column("a", "D", array=np.arange(2000.0)), fits.Column("b", "8A", array=["x"] * 2000)]
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.ones((40, 50)), name="SCI"), fits.BinTableHDU.from_columns(columns)]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    return tmp_path / "a.fits"


def read(path):
    with open_fits(path) as hdus:
        return [np.array(hdu.data) for hdu in hdus[1:]]


def test_what_is_cut_off_anywhere_is_told_with_the_name(path):
    whole = path.read_bytes()
    assert len(read(path)) == 2
    told = 0
    for end in range(0, len(whole) - 2880, 997):
        path.write_bytes(whole[:end])
        try:
            assert len(read(path)) < 2, "cut between two extensions"
        except DataError as error:
            assert error.file == path
            told += 1
    assert told > 30


def test_mistakes_of_who_reads_are_not_the_files(path):
    with pytest.raises(ValueError, match="mine"), open_fits(path):
        raise ValueError("mine")


def test_what_cannot_be_written_is_not_the_fault_of_the_file_that_is_read(path):
    with pytest.raises(OSError, match="No space left"), open_fits(path) as hdus:
        hdus.append(fits.ImageHDU(np.ones(3)))
        raise OSError(errno.ENOSPC, "No space left on device")
