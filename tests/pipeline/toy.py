"""A small pipeline of toy tasks: the stages have the names and the shape of the real ones, the work is a few bytes.

What a job does is told by a file that is no input of it, so that a test can change its mind between two runs.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.errors import DataError, NoWork
from nirfire.pipeline import worker
from nirfire.pipeline.events import Events
from nirfire.pipeline.executors import Executor, Lost
from nirfire.pipeline.jobs import Job, Order, Outcome, Task
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.plan import Plan
from nirfire.pipeline.schedule import Policy, Scheduler
from nirfire.pipeline.shelf import Shelf
from nirfire.products.atomic import atomic_path
from nirfire.products.naming import Workspace
from nirfire.tasks.settings import CleanSettings, Config

HERE = "tests.pipeline.toy"
TASKS = {
    "clean": Task("clean", 1, f"{HERE}:act", "exposures", "exposure", stock=True),
    "calibrate": Task("calibrate", 1, f"{HERE}:act", "cutouts", "source, exposure"),
    "nodsub": Task("nodsub", 1, f"{HERE}:act_on_each", "sky", "source", gather="given", paired="outs"),
    "stack": Task("stack", 1, f"{HERE}:act", "all exposures", "source", gather="given"),
    "redshift": Task("redshift", 1, f"{HERE}:act", "one number", "source"),
}
ENDS: dict[str, Callable[[], None]] = {
    "no-work": lambda: _raise(NoWork("nothing to do here")),
    "data-error": lambda: _raise(DataError("bad input", file="x.fits", key="DEC_REF", remedy="set it")),
    "failed": lambda: _raise(ZeroDivisionError("a bug")),
    "exit": lambda: _raise(SystemExit(-1)),
    "full": lambda: _raise(OSError(28, "No space left on device")),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "gone": lambda: os._exit(7),
    "slow": lambda: time.sleep(0.2),
    "": lambda: None,
}


def _raise(error: BaseException) -> None:
    raise error


def write(out: Path) -> None:
    """Write the smallest product."""
    with atomic_path(out) as part:
        fits.PrimaryHDU(np.zeros(2, np.uint8)).writeto(part, overwrite=True)


def act(key: str, will: Path, out: Path, settings: object = None, given: Iterable[Path] = ()) -> None:
    """End as it is written in `will`; normally with a product."""
    how = json.loads(will.read_text()).get(key, "") if will.exists() else ""
    if how == "nothing":
        return
    ENDS[how]()
    assert all(path.exists() for path in given)
    write(out)


def act_on_each(key: str, will: Path, given: list[Path], outs: list[Path], settings: object = None) -> None:
    """As `act`, one product for each input."""
    assert len(given) == len(outs)
    for k, out in enumerate(outs):
        act(key if k == 0 else f"{key} {k}", will, out, given=given)


class Inline:
    """An executor that runs jobs in this process."""

    slots = workers = 2

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.lost: dict[tuple[str, str], int] = {}
        self.closed: list[bool] = []

    def start(self, order: Order) -> None:
        self.orders.append(order)

    def next(self) -> Outcome | Lost:
        order = self.orders.pop()
        if self.lost.get((order.stage, order.key), 0) > 0:
            self.lost[order.stage, order.key] -= 1
            return Lost(order, "its worker was killed by SIGKILL")
        return worker.run(order)

    def close(self, *, kill: bool = False) -> None:
        self.closed.append(kill)


class Field:
    """A workspace of toy products: every source in every exposure, one stack and one redshift each.

    Parameters
    ----------
    folder : Path
        Given files go to ``given``, products to ``ws``.
    exposures, sources : tuple of int
        Numbers.
    """

    def __init__(self, folder: Path, exposures: tuple[int, ...] = (1, 2, 3), sources: tuple[int, ...] = (7, 8)) -> None:
        self.place = Workspace(folder / "ws", "toy")
        self.exposures, self.sources = exposures, sources
        self.given, self.will_file = folder / "given", folder / "will.json"
        self.given.mkdir(exist_ok=True)
        for e in exposures:
            self.raw(e).write_text(f"exposure {e}")
        self.tasks = dict(TASKS)
        self.config, self.crds = Config(), "jwst_0001.pmap"
        self.stuck: dict[tuple[int, int], tuple[int, ...]] = {}
        self.runs = 0

    def raw(self, e: int) -> Path:
        return self.given / f"raw{e}.fits"

    def will(self, **ends: str) -> None:
        """Say how jobs end: ``calibrate_1_7="failed"``; what is not named goes well."""
        self.will_file.write_text(json.dumps({name.replace("_", " "): how for name, how in ends.items()}))

    def _job(self, stage: str, label: str, outputs: list[Path], **keys: object) -> Job:
        arguments: dict[str, object] = {"key": f"{stage} {label}", "will": self.will_file}
        if not self.tasks[stage].paired:
            arguments["out"] = outputs[0]
        return Job(self.tasks[stage], label, arguments, outputs=tuple(outputs), **keys)  # type: ignore[arg-type]

    def jobs(self) -> list[Job]:
        """Every job after those that make its inputs."""
        found: dict[str, list[Job]] = {stage: [] for stage in TASKS}
        rates = {e: self.place.exposures / f"rate{e}.fits" for e in self.exposures}
        for e, rate in rates.items():
            found["clean"].append(self._job("clean", f"{e}", [rate], inputs=(self.raw(e),), exposure=f"e{e}"))
        for s in self.sources:
            folder = self.place.source_folder(s)
            cals = [folder / f"cal{e}.fits" for e in self.exposures]
            subs = [folder / f"sub{e}.fits" for e in self.exposures]
            stack, zfit = folder / "stack.fits", folder / "zfit.fits"
            for e, cal in zip(self.exposures, cals, strict=True):
                facts = {"source": s, "closed": self.stuck.get((e, s), ())}
                keys = {"facts": facts, "inputs": (rates[e],), "source": s, "exposure": f"e{e}"}
                found["calibrate"].append(self._job("calibrate", f"{e} {s}", [cal], **keys))
            found["nodsub"].append(self._job("nodsub", f"{s}", subs, gathered=tuple(cals), source=s))
            found["stack"].append(self._job("stack", f"{s}", [stack], gathered=tuple(subs), source=s))
            found["redshift"].append(self._job("redshift", f"{s}", [zfit], inputs=(stack,), source=s))
        return [job for jobs in found.values() for job in jobs]

    def plan(self, ledger: Ledger | None = None) -> Plan:
        """The plan as a new process would see it."""
        ledger = ledger or Ledger.open(self.place, read_only=True)
        return Plan(self.jobs(), self.config, Shelf(self.place, ledger), ledger, self.crds)

    def states(self) -> dict[str, str]:
        """State of every job, by stage and key."""
        plan = self.plan()
        return {" ".join(job.id): state.status for job, state in zip(plan.jobs, plan.states, strict=True)}

    def run(
        self, make: Callable[[], Executor] = Inline, chosen: Callable[[Job], bool] = lambda job: True, **policy: object
    ) -> dict[str, Outcome]:
        """Run as a new process would; gives how each job ended."""
        self.runs += 1
        ledger = Ledger.open(self.place, f"run{self.runs}")
        plan = self.plan(ledger)
        picked = [k for k, job in enumerate(plan.jobs) if chosen(job)]
        try:
            with Events(self.place.events / f"run{self.runs}.jsonl") as events:
                rules = Policy(**{"retries": 0, **policy})  # type: ignore[arg-type]
                outcomes = Scheduler(plan, picked, rules, self.place, make, events).run()
        finally:
            ledger.close()
        return {f"{o.task} {o.key}": o for o in outcomes}

    def clean_with(self, n_iter: int) -> None:
        """Change a setting of the stage clean."""
        self.config = replace_clean(self.config, n_iter)

    def raise_version(self, stage: str) -> None:
        """Change a task."""
        self.tasks[stage] = replace(self.tasks[stage], version=self.tasks[stage].version + 1)


def replace_clean(config: Config, n_iter: int) -> Config:
    return config.model_copy(update={"clean": CleanSettings(n_iter=n_iter)})


def statuses(outcomes: dict[str, Outcome]) -> dict[str, str]:
    """How jobs ended, by stage and key."""
    return {name: outcome.status for name, outcome in outcomes.items()}


def those(found: dict[str, str], *statuses: str) -> set[str]:
    """Jobs with one of these states or endings."""
    return {name for name, status in found.items() if status in statuses}


def descendants(jobs: list[Job], roots: Callable[[Job], bool]) -> set[str]:
    """Jobs that are roots or hang on one, followed from file to file; independent of the plan's own links."""
    tainted: set[Path] = set()
    found = set()
    for _ in jobs:  # as often as the longest chain could need
        for job in jobs:
            if roots(job) or tainted & {*job.inputs, *job.gathered}:
                found.add(" ".join(job.id))
                tainted |= set(job.outputs)
    return found


def tell(out: Path, seconds: float = 0.0) -> None:
    """Write down what the process that runs this is like, then stay for a while."""
    facts = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "environment": dict(os.environ),
        "threads": len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 1,
        "ignores interrupts": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "blocked": [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    }
    part = out.with_suffix(".part")
    part.write_text(json.dumps(facts))
    part.rename(out)
    time.sleep(seconds)
