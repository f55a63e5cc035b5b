"""Opening FITS files so that what is wrong is said with the file's name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.utils.exceptions import AstropyUserWarning

from nirfire.errors import DataError

REMEDY_DAMAGED = "the file is damaged or incomplete: copy or download it again"


@contextmanager
def open_fits(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading; damage becomes a `DataError` that names the file.

    Raises
    ------
    DataError
        The file is absent, empty, not FITS, or shorter than its headers say, and what is read is missing.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
            hdus = fits.open(path, memmap=False)
    except FileNotFoundError:
        raise DataError("file not found", file=path, remedy="check the folder and the name") from None
    except (OSError, VerifyError, AstropyUserWarning) as error:
        raise DataError(f"cannot be read as FITS ({error})", file=path, remedy=REMEDY_DAMAGED) from error
    try:
        yield hdus
    except (ValueError, TypeError, OSError) as error:  # astropy finds out when it reads, and says it in numpy's words
        if "END card" not in str(error) and _is_whole(path):
            raise
        raise DataError(f"cannot be read as FITS: truncated ({error})", file=path, remedy=REMEDY_DAMAGED) from error
    finally:
        hdus.close()


def _is_whole(path: Path) -> bool:
    """True where a file has all that its headers promise; it is looked at anew, since who reads may add HDUs."""
    try:
        with fits.open(path, memmap=False) as hdus:
            return path.stat().st_size >= _end(hdus)
    except (OSError, VerifyError, AstropyUserWarning):
        return False


def _end(hdus: fits.HDUList) -> int:
    """Where the last HDU of a file ends, as its headers say [bytes]."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        return max(h.fileinfo()["datLoc"] + h.fileinfo()["datSpan"] for h in hdus)


def check_complete(path: Path) -> None:
    """Check that every HDU of a file is there to its last byte.

    Raises
    ------
    DataError
        The file is damaged or truncated.
    """
    with open_fits(path) as hdus:
        try:
            end = _end(hdus)
        except (OSError, VerifyError, AstropyUserWarning) as error:
            raise DataError(f"cannot be read as FITS ({error})", file=path, remedy=REMEDY_DAMAGED) from error
    size = path.stat().st_size
    if size < end:
        raise DataError(f"truncated: {size} bytes, its headers promise {end}", file=path, remedy=REMEDY_DAMAGED)


def require(header: fits.Header, key: str, *, file: Path, why: str) -> object:
    """Return a keyword's value.

    Raises
    ------
    DataError
        The keyword is missing or empty.
    """
    value = header.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"keyword {key} is missing: {why}", file=file, key=key, remedy=f"set {key} in the header")
    return value
