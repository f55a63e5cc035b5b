"""Parsl's interchange, which passes jobs to the nodes, as a process that leaves Ctrl-C to its parent and ends with it.

Run as ``python -P -m nirfire.pipeline.cluster_relay PARENT`` by Parsl. Parsl's own program outlives a run that is
killed, and then keeps the batch jobs of that run busy with nothing until their time is up.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

LOOK_SECONDS = 0.5


def main() -> None:
    """Run the interchange for the process whose number is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__", alter_sys=True)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
