"""Parsl's pool of workers on one node, which ends as a whole when one of its workers is killed.

Run as ``python -P -m nirfire.pipeline.cluster_pool`` with the arguments of Parsl's ``process_worker_pool.py``. The idle
workers of a pool wait for jobs one behind the other, at a lock; with one that is killed there the lock is lost, and the
pool would get jobs and never run them. Once it has ended, Parsl reports its jobs as lost and asks for another.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import threading
import time
from multiprocessing.process import BaseProcess

LOOK_SECONDS = 0.5
WORKER = "HTEX-Worker"  # what Parsl calls these processes
NORMAL = (None, 0, -signal.SIGTERM)


def main() -> None:
    """Run Parsl's pool in this process."""
    threading.Thread(target=_watch, daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.process_worker_pool", run_name="__main__", alter_sys=True)


def _watch() -> None:
    seen: set[BaseProcess] = set()
    while True:
        time.sleep(LOOK_SECONDS)
        seen.update(process for process in multiprocessing.active_children() if process.name.startswith(WORKER))
        try:
            if any(process.exitcode not in NORMAL for process in seen):
                os._exit(1)
        except ValueError:  # the pool is being closed
            return


if __name__ == "__main__":
    main()
