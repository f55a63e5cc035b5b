"""Talking to the CRDS server, patiently, and keeping only whole files in the cache.

Notes
-----
`crds` keeps a file whose download ended early, and takes it for whole from then on. Here sizes are compared with the
server's catalogue, and what is not whole is removed.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError

from nirfire.errors import DataError, TransientError
from nirfire.stsci.crds_check import COMPLETE, cache_folder, names_in, operational_context, server_configured

WAITS = (1.0, 5.0, 20.0, 60.0)
"""Seconds to wait before each further attempt after network trouble."""
TIMEOUT = 60
"""Seconds after which a server that sends nothing is given up."""
SERVERLESS = "https://jwst-serverless.stsci.edu"

Progress = Callable[[str], None]
T = TypeVar("T")


@contextmanager
def crds_session() -> Iterator[None]:
    """CRDS for a while: its chatter silenced, and no wait for a silent server longer than `TIMEOUT`."""
    cache_folder()
    import crds  # noqa: F401  (it sets up its logger)

    logger = logging.getLogger("CRDS")
    before = logger.level, socket.getdefaulttimeout(), os.environ.get("CRDS_CLIENT_TIMEOUT_SECONDS")
    logger.setLevel(logging.WARNING)
    socket.setdefaulttimeout(TIMEOUT)
    os.environ.setdefault("CRDS_CLIENT_TIMEOUT_SECONDS", str(TIMEOUT))
    try:
        yield
    finally:
        logger.setLevel(before[0])
        socket.setdefaulttimeout(before[1])
        if before[2] is None:
            del os.environ["CRDS_CLIENT_TIMEOUT_SECONDS"]


def connect(waits: Sequence[float], progress: Progress) -> bool:
    """Is there a server that answers? If not, the cache must be able to do without, or CRDS would end the process.

    Raises
    ------
    TransientError
        The server does not answer and the cache is empty.
    DataError
        There is neither a server nor a usable cache.
    """
    from crds.client import api
    from crds.core import config, heavy_client

    configuration = cache_folder() / "config" / "jwst" / "server_config"
    online = server_configured() and "serverless" not in api.get_crds_server()
    if online:
        try:
            patiently(api.get_server_info, waits, progress, "the CRDS server")
        except TransientError:
            if not configuration.is_file():
                raise
            progress("the CRDS server does not answer: the cache is used as it is")
            api.set_crds_server(SERVERLESS)
            online = False
    if not online or config.get_cache_readonly():
        operational_context(configuration)
    patiently(lambda: heavy_client.update_config_info("jwst"), waits, progress, "the configuration of CRDS")
    return online


def server_context() -> str:
    """The context that the server gives for the installed ``jwst``, as CRDS itself would choose it.

    CRDS takes the latest context also when a network error keeps it from asking for this one; here that is an error.
    """
    import crds
    from crds.client import api
    from crds.core.exceptions import ServiceError

    version = api.get_cal_version("jwst")
    if os.environ.get("CRDS_CONTEXT") or version in ("", "dev"):
        try:
            return str(crds.get_context_name("jwst"))
        except AssertionError as error:
            raise DataError(str(error), key="CRDS_CONTEXT", remedy="name a context: jwst_NNNN.pmap") from error
    try:
        return str(api.S.get_build_context("jwst", version))
    except ServiceError as error:
        if error.__cause__ is not None:
            raise
        return str(api.get_default_context("jwst", "latest"))


def patiently(action: Callable[[], T], waits: Sequence[float], progress: Progress, what: str) -> T:
    """Do it, again after each of `waits` if the network failed; what CRDS raises becomes a `DataError`."""
    from crds.core.exceptions import CrdsError

    troubles = (CrdsError, JSONDecodeError)
    for wait in waits:
        try:
            return action()
        except troubles as error:
            trouble = _trouble(error, what)
            if not isinstance(trouble, TransientError):
                raise trouble from error
            progress(f"{trouble.message}; trying again in {wait:g} s")
        time.sleep(wait)
    try:
        return action()
    except troubles as error:
        raise _trouble(error, what) from error


def _trouble(error: Exception, what: str) -> DataError:
    """Tell what may pass (the network, a server out of breath, a broken download) from what will not."""
    from crds.core.exceptions import CrdsDownloadError, CrdsNetworkError, ServiceError

    if not isinstance(error, CrdsDownloadError | CrdsNetworkError | ServiceError | JSONDecodeError):
        return DataError(f"CRDS cannot give {what} ({error})", key="CRDS_SERVER_URL")
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, HTTPError):
            if link.code < 500 and link.code not in (408, 429):
                return DataError(f"the CRDS server refuses {what} ({link})", remedy="use another CRDS_CONTEXT")
            break
        if isinstance(link, PermissionError) or getattr(link, "errno", None) in (errno.ENOSPC, errno.EROFS):
            return DataError(f"cannot write {what} ({link})", key="CRDS_PATH", remedy="make room, or set CRDS_PATH")
        link = link.__cause__
    return TransientError(
        f"cannot fetch {what} ({error})", key="CRDS_SERVER_URL", remedy="run again when the server can be reached"
    )


@dataclass
class Cache:
    """The cache of the environment, and the server behind it if there is one."""

    context: str
    online: bool
    waits: Sequence[float]
    progress: Progress
    downloaded: dict[str, int]

    def obtain_mappings(self) -> None:
        """See to it that the context, NIRSpec's part of it, is in the cache."""
        waiting, done = [self.context], set()
        while waiting:
            name = waiting.pop()
            done.add(name)
            below = names_in(self.obtain(name, f"mapping {name}"))
            waiting += [n for n in below if n.endswith("map") and "_nirspec_" in n and n not in done]

    def obtain(self, name: str, note: str) -> Path:
        """The path of a file of CRDS, downloaded if it is not in the cache, or not whole."""
        import crds
        from crds.core.config import get_cache_readonly

        path = Path(crds.locate_file(name, "jwst"))
        size = self._size(name)
        if path.is_file() and path.stat().st_size > 0 and size in (None, path.stat().st_size):
            return path
        if not self.online or get_cache_readonly():
            why = "it is read-only" if self.online else "no CRDS server answers"
            kind = TransientError if server_configured() and not self.online else DataError
            raise kind(f"{name} is missing from the CRDS cache, and {why}", file=path, remedy=COMPLETE)
        if size is None:
            raise DataError(f"the CRDS server does not know {name}", file=path, remedy="use another CRDS_CONTEXT")
        path.unlink(missing_ok=True)
        self.progress(f"{note} ({size / 1e6:.1f} MB)")
        try:
            patiently(lambda: self._download(name, path), self.waits, self.progress, name)
        except TransientError:
            self.waits = ()  # no long waits for each of the others
            raise
        self.downloaded[name] = size
        return path

    def _size(self, name: str) -> int | None:
        """Size in the server's catalogue."""
        from crds.client import api

        entry = api.get_download_metadata().get(name) if self.online else None
        return int(entry["size"]) if isinstance(entry, dict) else None

    def _download(self, name: str, path: Path) -> None:
        from crds.client import api
        from crds.core.exceptions import CrdsError

        try:
            api.FileCacher(self.context, raise_exceptions=True).get_local_files([name])
        except CrdsError as error:
            if not isinstance(error.__cause__, FileNotFoundError):  # that is another process, still downloading it
                path.unlink(missing_ok=True)  # crds leaves a file that failed its check
            raise
