"""Serving the page on this machine until Ctrl-C."""

from __future__ import annotations

import errno
import hashlib
import html
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from nirfire.errors import DataError

FIRST_PORT, PORTS = 20_000, 10_000
STOPPING = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 2  # seconds that answers under way get at the end
PRIVATE = """<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}"><title>nirfire</title><a href="{url}">nirfire</a>
"""


def listen(host: str, port: int | None, folder: Path) -> socket.socket:
    """A socket that listens.

    Parameters
    ----------
    host : str
        Name or number of the interface.
    port : int or None
        None: one that belongs to the folder, so that the page finds what it has kept in the browser; a free one where
        that is taken.
    folder : Path
        The workspace.

    Raises
    ------
    DataError
        The port is taken, or there is no such host.
    """
    for wanted in (own_port(folder), 0) if port is None else (port,):
        try:
            return _bound(host, wanted)
        except OSError as error:
            if port is None and wanted and error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise _unusable(host, wanted, error) from error
    raise AssertionError("there is always a free port, or an error")


def own_port(folder: Path) -> int:
    """The port that a workspace has wherever it is free."""
    digest = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=4).digest()
    return FIRST_PORT + int.from_bytes(digest) % PORTS


def _bound(host: str, port: int) -> socket.socket:
    ways = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = ways[0]
    # asyncio turns Nagle's algorithm off (40 ms on each small answer) only where the protocol is named
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(128)
    except OSError:
        made.close()
        raise
    return made


def _unusable(host: str, port: int, error: OSError) -> DataError:
    if isinstance(error, socket.gaierror):
        return DataError(f"there is no host {host!r}: {error.strerror}", key="--host", remedy="leave --host out")
    if error.errno == errno.EADDRINUSE:
        remedy = "give another port, or leave --port out: a free one is found"
        return DataError(f"port {port} is in use, perhaps by another `nirfire inspect`", key="--port", remedy=remedy)
    if error.errno == errno.EADDRNOTAVAIL:
        return DataError(f"{host} is no address of this machine", key="--host", remedy="leave --host out")
    text = f"cannot listen on {host} port {port}: {error.strerror}"
    return DataError(text, key="--port", remedy="give a port above 1023")


def address_of(host: str, port: int, token: str) -> str:
    """What the user opens."""
    name = socket.gethostname() if host in ("", "0.0.0.0", "::") else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}"


class Server(uvicorn.Server):
    """A server that says when it begins to end."""

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)


def serve(app: ASGIApp, made: socket.socket, ending: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Parameters
    ----------
    app : ASGIApp
        What answers.
    made : socket
        Of `listen`.
    ending : callable
        Called before the last answers are waited for: lets go of what would hold them up.
    """
    config = uvicorn.Config(
        app,
        log_config=None,  # what goes wrong is said on standard error, and nothing else
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=PATIENCE,
    )
    with _quietly_stopped():
        Server(config, ending).run(sockets=[made])


@contextmanager
def _quietly_stopped() -> Iterator[None]:
    """Within, a signal that the server has obeyed is not raised once more by uvicorn to any effect."""

    def obeyed(number: int, frame: FrameType | None) -> None:
        return None

    before = {number: signal.signal(number, obeyed) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def opened(url: str) -> Iterator[bool]:
    """Within, the user's browser is sent to an address; gives False where there is no browser with a window.

    The browser gets a private file that leads on: its arguments can be read by all users of the machine, and the
    address has the token in it.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield False
        return
    with tempfile.TemporaryDirectory(prefix="nirfire-", ignore_cleanup_errors=True) as folder:  # of mode 0700
        page = Path(folder) / "open.html"
        page.touch(mode=0o600)
        page.write_text(PRIVATE.format(url=html.escape(url)))
        threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()
        yield True
