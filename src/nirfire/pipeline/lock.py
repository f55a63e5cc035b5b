"""One run at a time works in a workspace; the shards of a job array share it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from nirfire.errors import DataError
from nirfire.products.naming import Workspace


@contextmanager
def locked(workspace: Workspace, shard: str = "") -> Iterator[None]:
    """Hold a workspace: alone, or as one shard beside others.

    Parameters
    ----------
    workspace : Workspace
        Its folder is made if absent.
    shard : str
        Name of the shard; empty for a whole run.

    Raises
    ------
    DataError
        Another run holds the workspace, or its folder cannot be written.

    Notes
    -----
    ``flock`` is let go by the system when the process ends, however it ends.
    """
    with _open(workspace.lock()) as whole:
        _take(whole, fcntl.LOCK_SH if shard else fcntl.LOCK_EX, workspace.lock(), workspace)
        if not shard:
            yield
            return
        with _open(workspace.lock(shard)) as mine:
            _take(mine, fcntl.LOCK_EX, workspace.lock(shard), workspace)
            yield


@contextmanager
def _open(path: Path) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DataError(
            f"the workspace cannot be written: {error.strerror}",
            file=path.parent,
            remedy="give another workspace (-w), or mend its permissions",
        ) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, kind: int, path: Path, workspace: Workspace) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            f"another run works in this workspace: {', '.join(_holders(workspace)) or 'unknown'}",
            file=path,
            remedy="wait until it ends, stop it, or give another workspace (-w)",
        ) from None
    except OSError as error:
        raise DataError(
            f"the file system cannot lock files: {error.strerror}",
            file=path,
            remedy="put the workspace (-w) on a file system that can, for example a local disk",
        ) from error
    if kind == fcntl.LOCK_EX:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        facts = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since})
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, facts.encode(), 0)
        except OSError as error:
            raise DataError(
                f"the workspace cannot be written: {error.strerror}", file=path, remedy="free some space on its disk"
            ) from error


def _holders(workspace: Workspace) -> list[str]:
    """Who works here: what stands in the lock files that someone holds alone; the others are left from earlier runs."""
    found = []
    for path in (workspace.lock(), *sorted(workspace.folder.glob(workspace.lock("*").name))):
        with _open(path) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(os.pread(handle, 1000, 0).decode(errors="replace"))
    return found
