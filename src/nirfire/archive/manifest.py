"""The record of what was downloaded, kept beside the files."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from astropy.table import Table

from nirfire.archive.checksum import parse_checksum
from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path
from nirfire.products.naming import MANIFEST, PART

FORMAT = "ascii.ecsv"
PAUSE = 1.0
DESCRIPTIONS = {
    "file": "file name",
    "uri": "name at the archive",
    "size": "size",
    "checksum": "the archive's checksum where it gives one, else our own",
    "downloaded": "when the file was finished (UTC)",
    "status": "done or failed",
    "modified": "time stamp of the file when it was checked (ns since 1970)",
}


@dataclass(frozen=True)
class Entry:
    """One file of the manifest; see `DESCRIPTIONS`."""

    file: str
    uri: str
    size: int
    checksum: str
    downloaded: str
    status: str
    modified: int

    def describes(self, path: Path) -> bool:
        """True when the file is as it was when it was checked, by its size and time stamp."""
        found = path.stat()
        return (found.st_size, found.st_mtime_ns) == (self.size, self.modified)


class Manifest:
    """The manifest of a folder.

    Parameters
    ----------
    folder : Path
        The folder that the files are in.

    Raises
    ------
    DataError
        There is a manifest that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self._entries = {e.file: e for e in _read(self.path)}
        self._written = time.monotonic()

    def sweep(self) -> None:
        """Remove what writers that were killed left behind; for who alone may write here."""
        for path in self.path.parent.glob(f"{PART}*{MANIFEST}"):
            path.unlink(missing_ok=True)

    def get(self, name: str) -> Entry | None:
        """Entry of a file, if it has one."""
        return self._entries.get(name)

    def record(self, entry: Entry) -> None:
        """Add or replace an entry; the file is rewritten at most once a second, so call `write` at the end."""
        self._entries[entry.file] = entry
        if time.monotonic() - self._written > PAUSE:
            self.write()

    def write(self) -> None:
        """Write the manifest atomically."""
        if not self._entries:
            return
        rows = [astuple(self._entries[name]) for name in sorted(self._entries)]
        table = Table(rows=rows, names=[f.name for f in fields(Entry)])
        for name, text in DESCRIPTIONS.items():
            table[name].description = text
        table["size"].unit = "byte"
        with atomic_path(self.path) as part:
            table.write(part, format=FORMAT, overwrite=True)
        self._written = time.monotonic()


def _read(path: Path) -> Iterable[Entry]:
    if not path.exists():
        return []
    try:
        table = Table.read(path, format=FORMAT).filled("")
        entries = [_entry(dict(zip(table.colnames, row, strict=True))) for row in table.iterrows()]
    except (ValueError, KeyError, TypeError, OSError) as error:
        remedy = "delete it: files that are here are then checked and taken over"
        raise DataError(f"the manifest cannot be read ({error})", file=path, remedy=remedy) from error
    return entries


def _entry(row: dict) -> Entry:
    return Entry(
        file=str(row["file"]),
        uri=str(row["uri"]),
        size=int(row["size"]),
        checksum=parse_checksum(str(row["checksum"])) or "",
        downloaded=str(row["downloaded"]),
        status=str(row["status"]),
        modified=int(row["modified"]),
    )
