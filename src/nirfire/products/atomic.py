"""A file that exists is complete: temporary name, fsync, rename. FITS files say how they were made."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products import provenance
from nirfire.products.naming import PART

FITS = ".fits"
FULL = "Not enough space on disk"  # astropy's words


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and takes the final name, else it is removed.

    Parameters
    ----------
    path : Path
        The final name. Its folder is made if absent. A ``.fits`` file is stamped with the current provenance.

    Raises
    ------
    DataError
        A file stands where a folder has to be, or a folder where the file has to be.
    OSError
        The file cannot be written; it is named, also where the system does not do so, as when the disk is full.
    """
    with _naming(path):
        _make_room(path)
        handle, name = tempfile.mkstemp(prefix=PART, suffix=path.name, dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            if path.suffix == FITS:
                provenance.stamp(part)
            with part.open("rb") as f:
                os.fsync(f.fileno())
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _make_room(path: Path) -> None:
    """Make the folder of a file, where that is possible."""
    if path.is_dir():
        raise DataError("a folder has this name", file=path, remedy="remove it, or give another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        remedy = "give another folder, or remove what stands in its place"
        raise DataError(f"its folder cannot be made: {error.strerror}", file=path, remedy=remedy) from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the final name into an `OSError` that names no file, or the temporary one."""
    try:
        yield
    except OSError as error:
        told: BaseException | None = error
        while isinstance(told, OSError) and told.errno is None:  # astropy wraps a full disk into words of its own
            told = told.__context__
        if told is None and FULL in str(error):  # numpy gives no number either
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if isinstance(told, OSError) and told.errno and Path(told.filename or PART).name.startswith(PART):
            raise OSError(told.errno, told.strerror, str(path)) from error
        raise


def write_fits(path: Path, hdus: fits.HDUList) -> None:
    """Write a FITS file atomically, with checksums; what it inherited of another product's provenance is dropped."""
    stamped = provenance.current() is not None  # the stamp brings the checksums
    if not stamped:
        provenance.without_provenance(hdus)
    with atomic_path(path) as part:
        hdus.writeto(part, overwrite=True, checksum=not stamped, output_verify="exception")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text)
