"""Jobs on the nodes of a cluster, through Parsl: the executor for more than one machine."""

from __future__ import annotations

import importlib.util
import logging
import queue
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nirfire.errors import DataError
from nirfire.pipeline.cluster_config import parsl_config
from nirfire.pipeline.cluster_node import NodeSetup, run_order
from nirfire.pipeline.cluster_settings import ClusterSettings
from nirfire.pipeline.executors import Lost
from nirfire.pipeline.jobs import FAILED, Order, Outcome

__all__ = ["ClusterSettings", "ParslExecutor"]

FOLDER = "cluster"
LOOK_SECONDS = 5.0  # between looks at the nodes while nothing ends
SAY_SECONDS = 600.0  # between messages that no node has come yet

logger = logging.getLogger(__name__)


class ParslExecutor:
    """Runs orders on the nodes that Parsl gets from a scheduler.

    A worker or a whole node that dies takes with it only the jobs it had, which are reported as lost; Parsl asks for
    another block when there is work for it. When several blocks in a row never get as far as their workers, or
    there has been no node, or no job has ended, for ``patience`` hours, `next` raises.

    Parameters
    ----------
    settings : ClusterSettings
        The cluster.
    environment : dict
        Environment variables of the workers.
    folder : Path
        The workspace, which all nodes must see; Parsl keeps its logs and batch scripts in ``cluster`` there, unless
        ``run_dir`` says otherwise.
    memory : float
        A process that holds more than this after a job is replaced [GB].

    Raises
    ------
    DataError
        Parsl or the scheduler's commands are not installed, or the settings cannot be used.
    """

    def __init__(
        self, settings: ClusterSettings, environment: dict[str, str], folder: Path, *, memory: float = float("inf")
    ) -> None:
        _need_parsl()
        from parsl.dataflow.dflow import DataFlowKernel

        place = Path(settings.run_dir).expanduser() if settings.run_dir else folder / FOLDER
        config = parsl_config(settings, place.absolute())
        self._patience, self._nodes = settings.patience, 0
        self._setup = NodeSetup(tuple(sorted(environment.items())), settings.scratch, settings.references, memory)
        self._ended: queue.SimpleQueue[tuple[Order, Future]] = queue.SimpleQueue()
        self._executors = config.executors
        with ExitStack() as stack:
            stack.enter_context(_parsl_log(place / "parsl.log"))
            self._kernel = DataFlowKernel(config)
            stack.callback(_end, self._kernel)
            self._stack = stack.pop_all()
        self._seen = self._said = time.monotonic()

    @property
    def slots(self) -> int:
        """Twice the number of workers, so that none waits for its next job."""
        return 2 * self.workers

    @property
    def workers(self) -> int:
        return sum(_capacity(executor) for executor in self._executors)

    def start(self, order: Order) -> None:
        """Hand an order to Parsl."""
        future = self._kernel.submit(
            run_order, app_args=(order, self._setup), executors="all", cache=False, ignore_for_cache=None, app_kwargs={}
        )
        future.add_done_callback(lambda ended: self._ended.put((order, ended)))

    def next(self) -> Outcome | Lost:
        """Wait until an order has ended.

        Raises
        ------
        DataError
            The cluster does not work, or gave no node for too long.
        """
        while True:
            try:
                order, future = self._ended.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                self._look()
                continue
            ended = _ended(order, future)
            if isinstance(ended, Outcome):
                self._seen = time.monotonic()
            return ended

    def _look(self) -> None:
        """See that the relay lives and that there are nodes."""
        relays = [executor for executor in self._executors if hasattr(executor, "interchange_proc")]
        for executor in relays:
            if not _relay_lives(executor):
                raise DataError(
                    "the process that passes jobs to the nodes has ended",
                    file=Path(executor.logdir) / "interchange.log",
                    remedy="run again: finished jobs are kept",
                )
        now, before = time.monotonic(), self._nodes
        self._nodes = sum(len(executor.connected_managers()) for executor in relays)
        if not relays or (self._nodes and not before):
            self._seen = self._said = now
        silent = (now - self._seen) / 3600
        what = "no job has ended" if self._nodes else "no node"
        if silent > self._patience:
            raise DataError(
                f"{what} for {silent:.3g} hours; batch jobs: {_states(relays)}",
                key="cluster.patience",
                remedy="ask for less (blocks, walltime, mem_per_node) or for another partition, or wait for longer; "
                "finished jobs are kept",
            )
        if not self._nodes and now - self._said > SAY_SECONDS:
            self._said = now
            logger.warning("no node for %.0f minutes; batch jobs: %s", 60 * silent, _states(relays))

    def close(self, *, kill: bool = False) -> None:
        """End the batch jobs, and with them the workers; `kill` or not, that is at once."""
        self._stack.close()


def _need_parsl() -> None:
    if importlib.util.find_spec("parsl") is None:
        raise DataError("Parsl is not installed", key="execution.executor", remedy="pip install 'nirfire[cluster]'")


def _ended(order: Order, future: Future) -> Outcome | Lost:
    """How an order ended, from what Parsl says of it."""
    from parsl.executors.errors import BadStateException
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
    from parsl.serialize.errors import DeserializationError

    error = future.exception()
    if error is None:
        result = future.result()
        return Lost(order, result.reason) if isinstance(result, Lost) else result
    if isinstance(error, (ManagerLost, WorkerLost)):
        return Lost(order, f"its {'node' if isinstance(error, ManagerLost) else 'worker'} was lost: {error}")
    if isinstance(error, BadStateException):
        executor: Any = error.executor
        if not isinstance(executor.executor_exception, DataError):
            raise DataError(f"the cluster cannot be used: {error.reason}", key="cluster")
        raise executor.executor_exception
    if isinstance(error, DataError):
        raise error
    if isinstance(error, (ImportError, DeserializationError)):
        raise DataError(
            f"a node cannot load nirfire: {error}",
            key="cluster.worker_init",
            remedy="make the environment that nirfire runs in known there",
        )
    reason = f"{type(error).__name__}: {error}"
    fingerprint = order.provenance.fingerprint if order.provenance else ""
    return Outcome(order.stage, order.key, FAILED, reason, fingerprint=fingerprint, log=str(order.log))


def _capacity(executor: Any) -> int:
    """Workers that an executor of Parsl may come to have."""
    provider = getattr(executor, "provider", None)
    if provider is None:
        return int(getattr(executor, "max_threads", 1))
    return int(provider.max_blocks * provider.nodes_per_block * executor.workers_per_node)


def _relay_lives(executor: Any) -> bool:
    process = getattr(executor, "interchange_proc", None)
    return process is None or process.poll() is None


def _states(executors: list[Any]) -> str:
    """States of the blocks, in words."""
    names = [status.state.name.lower() for executor in executors for status in executor.status_facade.values()]
    return ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names))) or "none"


def _end(kernel: Any) -> None:
    """Stop Parsl; no batch job stays behind, whatever state Parsl is in."""
    executors = list(kernel.executors.values())
    try:
        if all(_relay_lives(executor) for executor in executors):
            kernel.cleanup()
    finally:
        for executor in executors:
            _cancel_blocks(executor)


def _cancel_blocks(executor: Any) -> None:
    provider = getattr(executor, "provider", None)
    if provider is None:
        return
    status = executor.status_facade
    jobs = [job for block, job in executor.blocks_to_job_id.items() if block in status and not status[block].terminal]
    if jobs:
        provider.cancel(jobs)


@contextmanager
def _parsl_log(path: Path) -> Iterator[None]:
    """Send what Parsl logs to a file, and nowhere else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parsl, each_job = logging.getLogger("parsl"), logging.getLogger("parsl.dataflow")
    before = parsl.level, parsl.propagate, each_job.level
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    parsl.addHandler(handler)
    parsl.setLevel(logging.INFO)
    parsl.propagate = False
    each_job.setLevel(logging.WARNING)
    try:
        yield
    finally:
        parsl.removeHandler(handler)
        handler.close()
        parsl.setLevel(before[0])
        parsl.propagate = before[1]
        each_job.setLevel(before[2])
