"""Who runs the jobs: the interface, and a pool of persistent worker processes on this machine."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

import psutil

from nirfire.pipeline import worker
from nirfire.pipeline.jobs import Order, Outcome

PR_SET_PDEATHSIG = 1
GIVE_UP_SECONDS = 5.0


@dataclass(frozen=True)
class Lost:
    """A job whose worker died.

    Attributes
    ----------
    order : Order
        The job.
    reason : str
        What is known of the death.
    """

    order: Order
    reason: str

    @property
    def id(self) -> tuple[str, str]:
        """(stage, key) of the job."""
        return self.order.stage, self.order.key


class Executor(Protocol):
    """What runs orders."""

    @property
    def slots(self) -> int:
        """How many orders it wants to hold at once."""

    @property
    def workers(self) -> int:
        """How many it works on at once."""

    def start(self, order: Order) -> None:
        """Begin an order; returns at once."""

    def next(self) -> Outcome | Lost:
        """Wait until any order that was started has ended."""

    def close(self, *, kill: bool = False) -> None:
        """Let the workers go; with `kill`, at once."""


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    order: Order | None = None


class LocalPool:
    """Worker processes that live as long as the run, since importing the stock pipeline takes seconds.

    Parameters
    ----------
    n : int
        Number of workers.
    environment : dict
        Environment variables of the workers.
    memory : float
        A worker that holds more than this after a job is replaced by a new one [GB].
    start : callable
        Called in each worker before its first job; for tests.
    """

    def __init__(
        self,
        n: int,
        environment: dict[str, str],
        *,
        memory: float = float("inf"),
        start: Callable[[dict[str, str]], None] = worker.prepare,
    ) -> None:
        self._n, self._environment, self._memory, self._start = n, environment, memory, start
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    @property
    def slots(self) -> int:
        return self._n

    @property
    def workers(self) -> int:
        return self._n

    def start(self, order: Order) -> None:
        """Give an order to a free worker, a new one if there is none and there may be more."""
        while True:
            free = next((w for w in self._workers if w.order is None), None) or self._new_worker()
            try:
                free.pipe.send(order)
            except (BrokenPipeError, ConnectionResetError):  # it died while idle
                self._dismiss(free)
                continue
            free.order = order
            return

    def _new_worker(self) -> _Worker:
        if len(self._workers) >= self._n:
            raise RuntimeError("more orders than slots")
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._environment, self._start, os.getpid())
        process = self._context.Process(target=_serve, args=arguments, daemon=True, name="nirfire-worker")
        resource_tracker.ensure_running()  # it would let interrupts in again
        with _environ(self._environment), _interrupts_held_back():  # libraries read it when they are loaded
            process.start()
            self._workers.append(_Worker(process, ours))
        theirs.close()
        return self._workers[-1]

    def next(self) -> Outcome | Lost:
        """Wait until an order has ended."""
        busy = {w.pipe: w for w in self._workers if w.order is not None}
        pipe = wait(list(busy))[0]
        mine = busy[pipe]  # type: ignore[index]
        order, mine.order = mine.order, None
        assert order is not None
        try:
            outcome: Outcome = mine.pipe.recv()
        except (EOFError, OSError):  # also when it died in the middle of its answer
            self._dismiss(mine)
            return Lost(order, _cause_of_death(mine.process.exitcode))
        self._replace_if_fat(mine)
        return outcome

    def _replace_if_fat(self, mine: _Worker) -> None:
        if self._memory == float("inf"):
            return
        try:
            held = psutil.Process(mine.process.pid).memory_info().rss / 1e9
        except psutil.NoSuchProcess:
            return
        if held > self._memory:
            self._dismiss(mine)

    def _dismiss(self, gone: _Worker) -> None:
        """Let one worker go."""
        self._workers.remove(gone)
        gone.pipe.close()
        gone.process.join(GIVE_UP_SECONDS)
        if gone.process.is_alive():
            gone.process.kill()
            gone.process.join()

    def close(self, *, kill: bool = False) -> None:
        """Let the workers go; with `kill`, or when they do not leave by themselves, by force."""
        for w in self._workers:
            w.pipe.close()
            if kill:
                w.process.kill()
        deadline = time.monotonic() + GIVE_UP_SECONDS
        for w in self._workers:
            w.process.join(max(0.0, deadline - time.monotonic()))
            if w.process.is_alive():
                w.process.kill()
                w.process.join()
        self._workers.clear()


@contextmanager
def _environ(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", most likely by the system for lack of memory: use fewer workers (-j)" if name == "SIGKILL" else ""
        return f"its worker was killed by {name}{hint}"
    return f"its worker left with exit code {code}"


def _serve(pipe: Connection, environment: dict[str, str], start: Callable[[dict[str, str]], None], parent: int) -> None:
    """Life of a worker."""
    belong_to(parent)
    start(environment)
    while True:
        try:
            order = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        pipe.send(worker.run(order))


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Requests to end have to wait; a process that is started meanwhile is spared Ctrl-C until it can ignore it.

    To block the signal in this thread is not enough: another thread may receive it, and Python handles it in the main
    one all the same. A pool run by another thread, as on the nodes of a cluster, is not interrupted in this way.
    """
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    handlers = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def belong_to(parent: int) -> None:
    """Leave Ctrl-C to the parent process, and end when it has gone, so that no orphan writes beside a later run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
