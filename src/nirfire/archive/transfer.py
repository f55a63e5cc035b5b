"""Getting one file: resumed where it stopped, checked before it takes its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import requests

from nirfire.archive.checksum import OWN, algorithm_of, file_checksum, header_checksum
from nirfire.archive.link import Link
from nirfire.archive.listing import RemoteFile
from nirfire.archive.part import Note, Part, range_of, version_of
from nirfire.archive.retry import Passing, Stopped, check_status, persist, short_reason
from nirfire.errors import DataError
from nirfire.products.fitsfile import check_complete

CHUNK = 1 << 17
DAMAGED_TWICE = 2
REMEDY_DAMAGED = "the archive's copy or the way to it is damaged: run again later, then ask the archive's help desk"

Progress = Callable[[str, int, int], None]


class Transfer:
    """The transfer of one file.

    Parameters
    ----------
    file : RemoteFile
        What is fetched.
    target : Path
        Where it goes.
    link : Link
        The way to the archive.
    progress : Callable
        Called with (name, bytes here, size; 0 when not known) as bytes come in, from the thread of the transfer.

    Attributes
    ----------
    moved : int
        Bytes that came over the line.
    """

    def __init__(self, file: RemoteFile, target: Path, link: Link, progress: Progress) -> None:
        self._file, self._link, self._progress = file, link, progress
        self._part = Part(target, file)
        self._furthest = self._part.size
        self._damaged = 0
        self.moved = 0

    def run(self) -> str:
        """Get the file.

        Returns
        -------
        str
            Its checksum, ``algorithm:hex``: the archive's when it gives one, else our own.

        Raises
        ------
        DataError
            The file cannot be had.
        OSError
            The file cannot be written here.
        Stopped
            The download is being stopped; the bytes stay.
        """
        with self._link.session() as session:
            attempt = partial(self._attempt, session)
            checksum = persist(attempt, self._link.patience, stop=self._link.stop, what=self._file.name)
        self._part.finish()
        return checksum

    def _attempt(self, session: requests.Session) -> str:
        if not self._part.whole:
            try:
                self._receive(session)
            except requests.RequestException as error:
                raise self._interrupted(short_reason(error)) from error
        return self._verify()

    def _receive(self, session: requests.Session) -> None:
        """Ask for the rest of the file and write what comes."""
        patience = self._link.patience
        address, headers = self._link.address(self._file.uri), self._part.request_headers()
        with session.get(address, headers=headers, stream=True, timeout=(patience.connect, patience.silence)) as reply:
            if reply.status_code == requests.codes.requested_range_not_satisfiable:
                self._part.discard()
                raise Passing("the archive cannot go on where the file stopped", wait=0)
            check_status(reply.status_code, reply.headers, what=self._file.name, token=self._link.token is not None)
            self._write(reply, append=self._accept(reply))
        if self._part.note.size is not None and self._part.size < self._part.note.size:
            raise self._interrupted("the reply ended")

    def _accept(self, reply: requests.Response) -> bool:
        """Compare a reply with what was asked for; True when its bytes follow those that are here."""
        headers, part = reply.headers, self._part
        if reply.status_code == requests.codes.partial_content:
            first, total = range_of(headers) or (-1, None)
            version = version_of(headers)
            changed = part.note.version and version and version != part.note.version
            if first != part.size or changed or total not in (None, part.note.size or total):
                part.discard()
                raise Passing("the file changed at the archive, or the reply is not the part asked for", wait=0)
            whole = False
        elif reply.status_code == requests.codes.ok:
            length = headers.get("Content-Length", "")
            total, whole = int(length) if length.isdigit() else None, True
        else:
            raise Passing(f"unexpected reply (HTTP {reply.status_code})")
        listed = self._file.size
        if listed is not None and total not in (None, listed):
            raise Passing(f"the archive lists {listed} bytes but sends {total}")
        known = self._file.checksum or header_checksum(headers, whole=whole) or (None if whole else part.note.checksum)
        if whole:
            part.discard()
        size = listed or total or (None if whole else part.note.size)
        part.begin(Note(self._file.uri, size, version_of(headers), known))
        return not whole

    def _write(self, reply: requests.Response, *, append: bool) -> None:
        size = self._part.note.size
        with self._part.path.open("ab" if append else "wb", buffering=0) as f:
            done = f.tell()
            for chunk in reply.iter_content(CHUNK):
                if self._link.stop.is_set():
                    raise Stopped
                f.write(chunk)
                done += len(chunk)
                self.moved += len(chunk)
                if size is not None and done > size:
                    self._part.discard()
                    raise Passing(f"the archive sends more than the {size} bytes of the file")
                self._progress(self._file.name, done, size or 0)

    def _interrupted(self, why: str) -> Passing:
        """The fault of a broken transfer; patience begins anew when it came further than any attempt before."""
        size = self._part.size
        moved, self._furthest = size > self._furthest, max(size, self._furthest)
        return Passing(
            f"the connection broke at byte {size} of {self._part.note.size or 'unknown'}: {why}", moved=moved
        )

    def _verify(self) -> str:
        """Compare the file with the archive's checksum, or where there is none look whether it is whole."""
        path, known = self._part.path, self._part.note.checksum
        checksum = file_checksum(path, algorithm_of(known) if known else OWN)
        try:
            if known and checksum != known:
                raise DataError(f"checksum {checksum}, the archive's is {known}", file=path)
            if not known:
                check_complete(path)
        except DataError as error:
            self._part.discard()
            self._damaged += 1
            if self._damaged >= DAMAGED_TWICE:
                message = f"came damaged {self._damaged} times: {error.message}"
                raise DataError(message, file=self._file.name, remedy=REMEDY_DAMAGED) from error
            raise Passing(f"came damaged: {error.message}") from error
        return checksum
