"""Atomic writes, and damage that is said with the file's name."""

import errno

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path, write_fits, write_text
from nirfire.products.fitsfile import check_complete, open_fits, require


def image(path):
    write_fits(path, fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((100, 100)), name="SCI")]))
    return path


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_written_files_are_complete(tmp_path):
    path = image(tmp_path / "deep" / "a.fits")
    check_complete(path)
    with open_fits(path) as hdus:
        assert hdus["SCI"].data.sum() == 10_000


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.99])
def test_truncation_names_the_file(tmp_path, keep):
    path = image(tmp_path / "a.fits")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=r"(?s)a\.fits.*copy or download"):
        check_complete(path)


def test_absent_and_foreign_files(tmp_path):
    with pytest.raises(DataError, match="not found"), open_fits(tmp_path / "none.fits"):
        pass
    foreign = tmp_path / "text.fits"
    foreign.write_text("this is not FITS " * 500)
    with pytest.raises(DataError, match="cannot be read"):
        check_complete(foreign)


def test_missing_keyword_names_file_key_and_remedy():
    with pytest.raises(DataError) as caught:
        require(fits.Header(), "DEC_REF", file="x.fits", why="sky positions")
    assert (caught.value.file, caught.value.key) == ("x.fits", "DEC_REF")
    assert "remedy" in str(caught.value)


def test_what_stands_in_the_way_of_a_file_is_told(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for path in (file / "a.txt", file / "deep" / "a.txt"):
        with pytest.raises(DataError, match=r"folder cannot be made[^!]*a\.txt[^!]*remedy"):
            write_text(path, "")
    with pytest.raises(DataError, match="a folder has this name"):
        write_text(tmp_path, "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("cause", [OSError(errno.ENOSPC, "No space left on device"), OSError("Not enough free space")])
def test_a_full_disk_is_told_with_the_file_however_often_it_is_wrapped(tmp_path, cause):
    """Astropy does so for each HDU and again for the file, in words without number or name; numpy has no number."""
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "a.fits"):
        try:
            try:
                raise cause
            except OSError as error:
                raise OSError(f"Not enough space on disk: {error}") from None
        except OSError as error:
            raise OSError(f"Not enough space on disk: {error}") from None
    assert caught.value.filename == str(tmp_path / "a.fits")
    assert list(tmp_path.iterdir()) == []
