"""A file that is on its way: the bytes so far, and the note of what they belong to."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nirfire.archive.listing import RemoteFile

SUFFIX, NOTE_SUFFIX = ".part", ".part.json"
CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<total>\d+|\*)")


@dataclass(frozen=True)
class Note:
    """What the bytes of a part belong to.

    Attributes
    ----------
    uri : str
        The archive's name of the file.
    size : int or None
        Full size [bytes].
    version : str
        Strong ETag or date of last change; sent as If-Range.
    checksum : str or None
        ``algorithm:hex`` of the whole file.
    """

    uri: str
    size: int | None
    version: str = ""
    checksum: str | None = None


class Part:
    """The unfinished form of a file: ``NAME.part``, and ``NAME.part.json`` which tells whether it may be gone on with.

    Parameters
    ----------
    target : Path
        Final name.
    file : RemoteFile
        What is fetched. Bytes that belong to anything else are thrown away.
    """

    def __init__(self, target: Path, file: RemoteFile) -> None:
        self.target = target
        self.path = part_path(target)
        self.note_path = target.with_name(target.name + NOTE_SUFFIX)
        self.note = Note(file.uri, file.size, checksum=file.checksum)
        found = read_note(self.note_path)
        if found and found.uri == file.uri and file.size in (None, found.size):
            self.note = Note(found.uri, found.size, found.version, file.checksum or found.checksum)
        else:
            self.discard()
        if self.note.size is not None and self.size > self.note.size:
            self.discard()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def whole(self) -> bool:
        """True when all bytes are here, as far as the size is known."""
        return self.size > 0 and self.size == self.note.size

    def request_headers(self) -> dict[str, str]:
        """Headers that ask for what is still absent."""
        if not self.size:
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        return headers | ({"If-Range": self.note.version} if self.note.version else {})

    def begin(self, note: Note) -> None:
        """Keep on disk what the next bytes belong to; a note cut off by a crash only means to begin anew."""
        self.note = note
        self.note_path.write_text(json.dumps(asdict(note)))

    def discard(self) -> None:
        """Throw the bytes away."""
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the finished file its name."""
        with self.path.open("rb") as f:
            os.fsync(f.fileno())
        self.path.replace(self.target)
        self.note_path.unlink(missing_ok=True)


def part_path(target: Path) -> Path:
    """Where the bytes of an unfinished file are."""
    return target.with_name(target.name + SUFFIX)


def sweep_notes(folder: Path) -> None:
    """Remove notes without bytes, which a download that was killed left behind; for who alone may write here."""
    for path in folder.glob(f"*{NOTE_SUFFIX}"):
        if not path.with_name(path.name.removesuffix(NOTE_SUFFIX) + SUFFIX).exists():
            path.unlink(missing_ok=True)


def read_note(path: Path) -> Note | None:
    """Read the note beside a part; None when there is none that can be read."""
    try:
        return Note(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def version_of(headers: Mapping[str, str]) -> str:
    """What a reply says of its version, if it can be used in If-Range: a strong ETag, else the date of last change."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def range_of(headers: Mapping[str, str]) -> tuple[int, int | None] | None:
    """First byte and full size in Content-Range; None when it is absent or not understood."""
    match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        return None
    return int(match["first"]), None if match["total"] == "*" else int(match["total"])
