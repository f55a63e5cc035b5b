"""The process that fits: it never holds up the server, and a crash of it is no crash of the page."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from anyio import CapacityLimiter, to_thread

from nirfire.errors import NirfireError
from nirfire.inspect.refit import Answer, Asked, warm, work
from nirfire.inspect.refusal import Refusal

LONGEST_QUEUE = 32
POLITE = 5  # niceness: getting ready, and fits, give way to the page
PATIENCE = 20.0  # seconds that a fit waits for the process to get ready
ENDING = "the server is ending"
NOT_READY = "fits are being prepared: after an installation their code is compiled once"


class Fitter:
    """One process that does fits, one after the other; it is started by `start` or by the first fit.

    Compiled code is loaded (in a new installation, compiled, which takes a minute) when it starts.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._turn = CapacityLimiter(1)
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._ready = self._over = False

    async def fit(self, asked: Asked, gone: Callable[[], Awaitable[bool]] | None = None) -> Answer:
        """Do a fit.

        Parameters
        ----------
        asked : Asked
            Which.
        gone : callable, optional
            Tells whether nobody waits for it any more, asked when it would begin.

        Raises
        ------
        Refusal
            409: too many are waiting, or nobody is, the process is not ready, or it is closed. 500: it was lost.
        DataError
            The spectrum cannot be fitted so.
        """
        if self._turn.statistics().tasks_waiting >= LONGEST_QUEUE:
            raise Refusal(409, "too many fits are waiting", "wait a moment, then ask again")
        async with self._turn:
            if gone is not None and await gone():
                raise Refusal(409, "nobody waits for this fit any more")
            return await to_thread.run_sync(self._ask, asked)

    def start(self) -> None:
        """Start the process, unless it runs or all is over; returns at once."""
        with self._lock:
            if not self._over:
                self._started()

    def close(self) -> None:
        """Let the process go, with what it does; there is no other after it."""
        self._over = True
        self._dismiss()

    def _dismiss(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None:
            process.kill()  # it has nothing to save
            process.join()
        if pipe is not None:
            pipe.close()

    def _ask(self, asked: Asked) -> Answer:
        with self._lock:
            if self._over:
                raise Refusal(409, ENDING)
            pipe = self._started()
            try:
                self._wait_until_ready(pipe)
                pipe.send(asked)
                found: Answer | NirfireError = pipe.recv()
            except (EOFError, OSError):
                self._dismiss()
                if self._over:
                    raise Refusal(409, ENDING) from None
                raise Refusal(500, "the fit ended unexpectedly", "try again; the terminal tells why") from None
        if isinstance(found, NirfireError):
            raise found
        return found

    def _wait_until_ready(self, pipe: Connection) -> None:
        if not self._ready:
            if not pipe.poll(PATIENCE):
                raise Refusal(409, NOT_READY, "ask again in a minute")
            self._ready = bool(pipe.recv())

    def _started(self) -> Connection:
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self._dismiss()
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), daemon=True, name="nirfire-fitter")
        resource_tracker.ensure_running()  # it would let interrupts in again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for the server alone
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._process, self._pipe, self._ready = process, ours, False
        return ours


def _serve(pipe: Connection) -> None:
    """Life of the process; it ends when the server does, however that came."""
    threading.Thread(target=_leave_with_server, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if hasattr(os, "nice"):
        os.nice(POLITE)
    warm()
    answer: Answer | NirfireError | bool = True
    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send(answer)
            asked = pipe.recv()
            try:
                answer = work(asked)
            except NirfireError as error:
                answer = error


def _leave_with_server() -> None:
    """End at once, be it in the middle of compiling, when the server has gone."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(0)
