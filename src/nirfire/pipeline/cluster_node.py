"""What runs on the nodes of a cluster, inside the workers of Parsl."""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from nirfire.pipeline.executors import LocalPool, Lost, belong_to
from nirfire.pipeline.jobs import Order, Outcome

PARSL_WORKER = "PARSL_WORKER_RANK"
BLOCK_NAME = "JOBNAME"  # set by Parsl in each block


@dataclass(frozen=True)
class NodeSetup:
    """What a worker needs to know; the same for all jobs of a run.

    Attributes
    ----------
    environment : tuple of (str, str)
        Environment variables.
    scratch : str or None
        Where each block makes a folder for temporary files; may name variables of the node.
    references : str or None
        CRDS_PATH, where it differs from that of the parent; may name variables of the node.
    memory : float
        A process that holds more than this after a job is replaced [GB].
    """

    environment: tuple[tuple[str, str], ...]
    scratch: str | None = None
    references: str | None = None
    memory: float = float("inf")

    def variables(self) -> dict[str, str]:
        """Environment variables on this node; makes a folder for temporary files."""
        variables = dict(self.environment)
        if self.references:
            variables["CRDS_PATH"] = os.path.expandvars(self.references)
        if self.scratch:
            folder = Path(os.path.expandvars(self.scratch)) / os.environ.get(BLOCK_NAME, f"nirfire.{os.getpid()}")
            folder.mkdir(parents=True, exist_ok=True)
            variables["TMPDIR"] = str(folder)
        return variables


def run_order(order: Order, setup: NodeSetup) -> Outcome | Lost:
    """Run one job in a process that this worker keeps for the purpose.

    The worker of Parsl itself stays small and runs no numerical code. So when a job is killed, for lack of memory
    say, Parsl's queues are unharmed and its death is known at once.

    Parameters
    ----------
    order : Order
        What to run.
    setup : NodeSetup
        How.

    Returns
    -------
    Outcome or Lost
    """
    pool = _pool(setup, threading.get_ident())
    pool.start(order)
    ended = pool.next()
    if isinstance(ended, Lost):
        return Lost(ended.order, f"{ended.reason} (host {socket.gethostname()})")
    return ended


@functools.cache
def _pool(setup: NodeSetup, thread: int) -> LocalPool:
    variables = setup.variables()
    if PARSL_WORKER in os.environ:
        _clear_signals()
        belong_to(os.getppid())
        os.environ.update(variables)  # so that the process has them before it loads any library
    return LocalPool(1, variables, memory=setup.memory)


def _clear_signals() -> None:
    """Undo what was inherited from the program that started the run: ignored and blocked signals."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
