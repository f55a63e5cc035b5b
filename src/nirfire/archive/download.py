"""Get a program's multi-object exposures and their MSA metafiles from the archive."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from nirfire.archive.checksum import OWN, algorithm_of, file_checksum
from nirfire.archive.link import Link
from nirfire.archive.listing import Listing, RemoteFile, find_files
from nirfire.archive.manifest import Entry, Manifest
from nirfire.archive.options import DownloadOptions
from nirfire.archive.part import part_path, sweep_notes
from nirfire.archive.report import DONE, FAILED, FETCH, HERE, RESUME, SKIPPED, DownloadReport, FileOutcome, human_size
from nirfire.archive.transfer import Progress, Transfer
from nirfire.errors import DataError
from nirfire.products.fitsfile import check_complete, open_fits
from nirfire.products.naming import DOWNLOAD_LOCK, ExposureName

METAFILE_KEY = "MSAMETFL"
GRACE = 1.0


def download(
    options: DownloadOptions,
    progress: Progress | None = None,
    announce: Callable[[DownloadReport], None] | None = None,
) -> DownloadReport:
    """Download what the options mean.

    Files that are here are skipped, files that were begun go on, and a file that fails leaves the others alone.

    Parameters
    ----------
    options : DownloadOptions
        What is wanted, and where it goes.
    progress : Callable, optional
        Called with (file name, bytes here, size; 0 when not known), by one thread at a time.
    announce : Callable, optional
        Called once, before the first transfer, with the plan.

    Returns
    -------
    DownloadReport
        How each file ended, or with ``dry_run`` the plan.

    Raises
    ------
    DataError
        The archive cannot be asked, has nothing like that, or the folder cannot take it.
    """
    link = Link.from_options(options)
    listing = find_files(options, link)
    folder = options.target
    if options.dry_run:
        return _plan(listing, folder, Manifest(folder))
    with _locked(folder):
        manifest = Manifest(folder)
        manifest.sweep()
        sweep_notes(folder)
        plan = _plan(listing, folder, manifest)
        _check_space(plan)
        if announce is not None:
            announce(plan)
        worker = _Worker(folder, link, progress)
        outcomes = _fetch_all(listing.files, worker, manifest, options.jobs)
    return DownloadReport(folder, outcomes, plan.notes, tuple(_absent_metafiles(listing, folder)))


def _plan(listing: Listing, folder: Path, manifest: Manifest) -> DownloadReport:
    """What would be done, judged by sizes only."""
    files = []
    for file in listing.files:
        path, size = folder / file.name, file.size or 0
        if _looks_here(file, path, manifest.get(file.name)):
            files.append(FileOutcome(file.name, HERE, size or path.stat().st_size))
            continue
        part = part_path(path)
        here = part.stat().st_size if part.exists() else 0
        resumable = 0 < here <= size
        files.append(FileOutcome(file.name, RESUME if resumable else FETCH, size, size - here if resumable else size))
    notes = tuple(f"the archive lists no file of this level for exposure {name}" for name in listing.without)
    return DownloadReport(folder, tuple(files), notes)


def _looks_here(file: RemoteFile, path: Path, entry: Entry | None) -> bool:
    if not path.is_file():
        return False
    expected = file.size if file.size is not None else entry.size if entry else path.stat().st_size
    return path.stat().st_size == expected


def _check_space(plan: DownloadReport) -> None:
    free = shutil.disk_usage(plan.folder).free
    if plan.moved > free:
        message = f"the download needs {human_size(plan.moved)}, the disk has {human_size(free)} free"
        remedy = "make room, give another folder with -o, or fetch single observations with --obs"
        raise DataError(message, file=plan.folder, remedy=remedy)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder and keep other downloads out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / DOWNLOAD_LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        message = f"the folder cannot be written ({error.strerror})"
        raise DataError(message, file=folder, remedy="give another folder with -o") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        message = "another download is writing to this folder"
        raise DataError(message, file=folder, remedy="wait until it has ended, or give another folder") from error
    finally:
        os.close(handle)


class _Worker:
    """What the threads do.

    Parameters
    ----------
    folder : Path
        Where the files go.
    link : Link
        The way to the archive.
    progress : Callable, optional
        The user's hook.
    """

    def __init__(self, folder: Path, link: Link, progress: Progress | None) -> None:
        self.folder, self.link, self._hook, self._lock = folder, link, progress, Lock()

    def tell(self, name: str, done: int, size: int) -> None:
        """Call the user's hook, one thread at a time."""
        if self._hook is not None:
            with self._lock:
                self._hook(name, done, size)

    def settle(self, file: RemoteFile, entry: Entry | None) -> tuple[FileOutcome, Entry]:
        """Skip or fetch one file.

        Returns
        -------
        FileOutcome
            How it ended.
        Entry
            What the manifest says of it from now on.
        """
        path, moved = self.folder / file.name, 0
        try:
            checksum = self._checksum_here(file, path, entry)
            status = SKIPPED
            if checksum is None:
                transfer = Transfer(file, path, self.link, self.tell)
                try:
                    checksum = transfer.run()
                finally:
                    moved = transfer.moved
                status = DONE
        except DataError as error:
            return FileOutcome(file.name, FAILED, file.size or 0, moved, error), _entry(file, path, FAILED, "")
        except OSError as error:
            message = f"cannot be written here ({error.strerror or error})"
            remedy = "look at the disk's free space and the folder's permissions, then run again"
            failed = DataError(message, file=file.name, remedy=remedy)
            return FileOutcome(file.name, FAILED, file.size or 0, moved, failed), _entry(file, path, FAILED, "")
        if entry is None or status == DONE or not entry.describes(path):
            entry = _entry(file, path, DONE, checksum)
        return FileOutcome(file.name, status, path.stat().st_size, moved), entry

    def _checksum_here(self, file: RemoteFile, path: Path, entry: Entry | None) -> str | None:
        """Checksum of a file that is here and right; None when it must be fetched.

        A file that is as the manifest left it (size and time stamp) is believed; any other is read.
        """
        recorded = entry if entry and entry.status == DONE and entry.checksum else None
        if not _looks_here(file, path, recorded):
            return None
        known = file.checksum or (recorded.checksum if recorded else None)
        if recorded and recorded.checksum == known and recorded.describes(path):
            return recorded.checksum
        checksum = file_checksum(path, algorithm_of(known) if known else OWN)
        if known:
            return checksum if checksum == known else None
        try:
            check_complete(path)
        except DataError:
            return None
        return checksum


def _entry(file: RemoteFile, path: Path, status: str, checksum: str) -> Entry:
    found = path.stat() if path.exists() else None
    size = found.st_size if found and status == DONE else file.size or 0
    now = datetime.now(UTC).isoformat(timespec="seconds") if status == DONE else ""
    return Entry(file.name, file.uri, size, checksum, now, status, found.st_mtime_ns if found else 0)


def _fetch_all(
    files: tuple[RemoteFile, ...], worker: _Worker, manifest: Manifest, jobs: int
) -> tuple[FileOutcome, ...]:
    """Settle all files, a few at once.

    An interruption stops transfers at their next piece and keeps what they have. One that waits for a silent archive is
    not waited for: it ends by its time limit and writes nothing more.
    """
    outcomes = {}
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="download")
    futures: list[Future] = []
    try:
        futures += [pool.submit(worker.settle, file, manifest.get(file.name)) for file in files]
        for future in as_completed(futures):
            outcome, entry = future.result()
            outcomes[outcome.file] = outcome
            manifest.record(entry)
    finally:
        worker.link.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        wait([f for f in futures if not f.cancelled()], timeout=GRACE)
        manifest.write()
    return tuple(outcomes[file.name] for file in files)


def _absent_metafiles(listing: Listing, folder: Path) -> Iterator[DataError]:
    """MSA metafiles that the exposures name but that are not here although the archive did not refuse them."""
    listed = {file.name for file in listing.files}
    needed: dict[str, str] = {}
    for file in listing.files:
        path = folder / file.name
        if ExposureName.from_path(path) is None or not path.exists():
            continue
        try:
            with open_fits(path) as hdus:
                name = Path(str(hdus[0].header.get(METAFILE_KEY) or "")).name
        except DataError as error:
            yield error
            continue
        if name and name not in listed and not (folder / name).is_file():
            needed.setdefault(name, file.name)
    for name, exposure in sorted(needed.items()):
        remedy = "look it up at the archive and put it into the folder"
        yield DataError(f"MSA metafile {name} is not listed by the archive", file=exposure, remedy=remedy)
