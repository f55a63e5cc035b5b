"""What the tests of the cluster executor share: jobs for its workers, and a scheduler in small."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from nirfire.pipeline.executors import Executor, Lost
from nirfire.pipeline.jobs import Order, Outcome

JOBS = '''
import json, os, signal, sys, time
from pathlib import Path

import psutil

from nirfire.errors import DataError

def nothing(number=0):
    pass

def wrong():
    raise ValueError("no such slit")

def unusable():
    raise DataError("no WAVECORR keyword")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def tell(path):
    facts = {"pid": os.getpid(), "parent": os.getppid(), "environment": dict(os.environ)}
    facts["interrupt"] = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    facts["blocked"] = [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
    Path(path).write_text(json.dumps(facts))

def nap(path, seconds):
    """The first time, leave word and sleep; later do nothing."""
    if not Path(path).exists():
        tell(path + ".part")
        os.rename(path + ".part", path)
        time.sleep(seconds)
'''


def write_jobs(folder: Path) -> str:
    """Write a module of jobs; gives the shell line that makes it known to workers."""
    (folder / "cluster_jobs.py").write_text(JOBS)
    return f"export PYTHONPATH={folder}"


def order(folder: Path, key: object, function: str, **arguments: object) -> Order:
    """An order for a job of that module."""
    return Order("clean", str(key), f"cluster_jobs:{function}", arguments, folder / "logs" / f"{key}.log")


def drive(executor: Executor, orders: Iterable[Order], tries: int = 2) -> tuple[dict[str, Outcome], list[Lost]]:
    """Run orders, lost ones once more; gives outcomes by key, and what was lost."""
    waiting, running = list(orders), 0
    outcomes: dict[str, Outcome] = {}
    lost: list[Lost] = []
    while waiting or running:
        while waiting and running < executor.slots:
            executor.start(waiting.pop(0))
            running += 1
        ended = executor.next()
        running -= 1
        if isinstance(ended, Outcome):
            outcomes[ended.key] = ended
            continue
        lost.append(ended)
        if sum(former.order.key == ended.order.key for former in lost) < tries:
            waiting.append(ended.order)
    return outcomes, lost


def wait_until(true: Callable[[], bool], seconds: float, complaint: str) -> None:
    """Wait for something; fails when it takes longer."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, complaint
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """True for a process that runs; one that has ended but is still listed does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False


def facts(path: Path) -> dict:
    """What a job told."""
    return json.loads(path.read_text())


class Killer(threading.Thread):
    """Kills the process of a nap, or an ancestor of its, once it sleeps.

    Parameters
    ----------
    sleeper : Path
        Where the nap leaves word.
    generations : int
        0 for the process itself, 1 for Parsl's worker, 2 for all that is on the node.
    """

    def __init__(self, sleeper: Path, generations: int) -> None:
        super().__init__()
        self.sleeper, self.generations = sleeper, generations
        self.family: list[int] = []

    def run(self) -> None:
        wait_until(self.sleeper.exists, 60, "the job never began")
        process = psutil.Process(facts(self.sleeper)["pid"])
        victim = [process, *process.parents()][self.generations]
        self.family = [victim.pid, *(child.pid for child in victim.children(recursive=True))]
        victim.kill()

    def check(self) -> None:
        """Nothing is left of what was killed."""
        self.join()
        assert self.family
        wait_until(lambda: not any(map(lives, self.family)), 10, "something outlives what was killed")
