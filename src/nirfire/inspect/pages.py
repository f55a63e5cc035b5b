"""The files of the page, sent packed: those of one folder by their exact names, and no others."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from nirfire.inspect.refusal import Refusal

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}
"""Media types by ending; files of other endings are not sent."""
CHECKED = "no-cache"  # kept by the browser, which asks whether it is still so
PACKED = re.compile(r"(^|[\s,])gzip(\s*($|,|;\s*q=(?!0(\.0*)?\s*($|,))))", re.IGNORECASE)


class File(NamedTuple):
    """A file as it is sent."""

    version: tuple[int, int]  # time and size of the file
    plain: bytes
    packed: bytes
    tag: str


@dataclass
class Pages:
    """The files below a folder; links are left out.

    Parameters
    ----------
    folder : Path
        The folder; files that change are read again, and it is searched again for a name that is not known.
    """

    folder: Path

    def __post_init__(self) -> None:
        self._files: dict[str, File] = {}
        self._paths = self._found()

    def _found(self) -> dict[str, Path]:
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())
        return {path.relative_to(self.folder).as_posix(): path for path in files if path.suffix in KINDS}

    def load(self) -> None:
        """Read and pack all files."""
        for name in self._paths:
            self._file(name)

    def answer(self, request: Request, name: str, cache: str = CHECKED) -> Response:
        """A file as an answer, packed where the client takes that.

        Parameters
        ----------
        request : Request
        name : str
            Path below the folder, with slashes.
        cache : str
            What its Cache-Control says.

        Raises
        ------
        Refusal
            404: there is no such file.
        """
        if name not in self._paths:
            self._paths = self._found()
        if name not in self._paths:
            raise Refusal(404, "not found")
        file = self._file(name)
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding", "ETag": file.tag}
        if cache == CHECKED and file.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        body, kind = file.plain, KINDS[self._paths[name].suffix]
        if PACKED.search(request.headers.get("accept-encoding", "")):
            body = file.packed
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type=kind, headers=headers)

    def _file(self, name: str) -> File:
        path = self._paths[name]
        try:
            known = path.stat()
            version = known.st_mtime_ns, known.st_size
            file = self._files.get(name)
            if file is None or file.version != version:
                plain = path.read_bytes()
                tag = f'"{hashlib.blake2b(plain, digest_size=12).hexdigest()}"'
                file = self._files[name] = File(version, plain, gzip.compress(plain, mtime=0), tag)
        except FileNotFoundError:
            raise Refusal(404, "not found") from None
        return file
