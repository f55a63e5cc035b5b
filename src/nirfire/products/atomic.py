"""A file that exists is complete: temporary name, fsync, rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astropy.io import fits


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and takes the final name, else it is removed.

    Parameters
    ----------
    path : Path
        The final name. Its folder is made if absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.name, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as f:
            os.fsync(f.fileno())
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_fits(path: Path, hdus: fits.HDUList) -> None:
    """Write a FITS file atomically, with checksums."""
    with atomic_path(path) as part:
        hdus.writeto(part, overwrite=True, checksum=True, output_verify="exception")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text)
