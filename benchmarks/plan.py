"""Planner, ledger and pool: what they cost, with tasks that do nothing.

python benchmarks/plan.py [--json FILE]
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from _rows import entry, parser, save
from nirfire.pipeline.events import Events
from nirfire.pipeline.executors import LocalPool
from nirfire.pipeline.jobs import Job, Order, Outcome, Task
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.observation import discover, files_in
from nirfire.pipeline.plan import Plan
from nirfire.pipeline.recipe import make_jobs
from nirfire.pipeline.run import look_at
from nirfire.pipeline.schedule import Policy, Scheduler
from nirfire.pipeline.select import Selection
from nirfire.pipeline.shelf import Shelf
from nirfire.pipeline.special import Special
from nirfire.pipeline.target import observations
from nirfire.products.naming import Workspace
from nirfire.products.rate import EXP_TYPE
from nirfire.tasks.settings import Config

JOBS, SOURCES, EXPOSURES = 20_000, 2_000, 36
NOTHING = Task("nothing", 1, f"{Path(__file__).stem}:do_nothing", "nothing", "number")
SPIN = Task("spin", 1, f"{Path(__file__).stem}:spin", "work for a while", "number")
SPINS, SPIN_STEPS = 72, 4_000_000  # much longer than the start of the workers


def do_nothing(out: Path) -> None:
    """Write an empty product."""
    out.touch()


def spin(out: Path) -> None:
    """Keep a core busy for a fraction of a second."""
    total = 0
    for k in range(SPIN_STEPS):
        total += k
    out.touch()


class Inline:
    """An executor that runs jobs in this process: what is left is the cost of planner and ledger."""

    slots = 1

    def __init__(self) -> None:
        self.order: Order | None = None

    def start(self, order: Order) -> None:
        self.order = order

    def next(self) -> Outcome:
        assert self.order is not None
        do_nothing(**self.order.arguments)
        made = self.order.provenance
        return Outcome(self.order.stage, self.order.key, "done", fingerprint=made.fingerprint if made else "")

    def close(self, *, kill: bool = False) -> None:
        pass


def time_jobs(folder: Path, task: Task, n: int, make_executor) -> float:
    """Seconds to plan and run `n` jobs."""
    place = Workspace(folder, "bench")
    outputs = [place.exposures / f"{k:05d}.dat" for k in range(n)]
    place.exposures.mkdir(parents=True)
    start = time.perf_counter()
    ledger = Ledger.open(place, "bench")
    jobs = [Job(task, str(k), {"out": out}, outputs=(out,)) for k, out in enumerate(outputs)]
    plan = Plan(jobs, Config(), Shelf(place, ledger), ledger, "")
    assert len(plan.states) == n
    with Events(place.events / "bench.jsonl") as events:
        outcomes = Scheduler(plan, range(n), Policy(), place, make_executor, events).run()
    ledger.close()
    assert sum(o.status == "done" for o in outcomes) == n
    return time.perf_counter() - start


def write_survey(folder: Path) -> None:
    """Headers of many exposures, and a metafile with many sources."""
    folder.mkdir(parents=True)
    ids = np.repeat(np.arange(1, SOURCES + 1), 3)
    n = ids.size
    shutters = Table(
        {
            "slitlet_id": ids.astype(np.int32),
            "msa_metadata_id": np.ones(n, np.int32),
            "shutter_quadrant": np.ones(n, np.int32),
            "shutter_row": np.ones(n, np.int32),
            "shutter_column": np.tile([1, 2, 3], n // 3).astype(np.int32),
            "source_id": ids.astype(np.int32),
            "background": np.full(n, "N"),
            "shutter_state": np.full(n, "OPEN"),
            "estimated_source_in_shutter_x": np.full(n, 0.5),
            "estimated_source_in_shutter_y": np.full(n, 0.5),
            "dither_point_index": np.ones(n, np.int32),
            "primary_source": np.full(n, "Y"),
        }
    )
    sources = Table({"source_id": np.arange(1, SOURCES + 1, dtype=np.int32)})
    tables = [fits.BinTableHDU(shutters, name="SHUTTER_INFO"), fits.BinTableHDU(sources, name="SOURCE_INFO")]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(folder / "jw09999001001_01_msa.fits")
    cards = {"INSTRUME": "NIRSPEC", "EXP_TYPE": EXP_TYPE, "FILTER": "CLEAR", "GRATING": "PRISM", "PROGRAM": "09999"}
    cards |= {"DATE-OBS": "2026-01-01", "TIME-OBS": "00:00:00", "MSAMETFL": "jw09999001001_01_msa.fits"}
    cards |= {"MSAMETID": 1, "NGROUPS": 5, "NFRAMES": 1, "GROUPGAP": 0, "TFRAME": 10.7, "TITLE": "nirfire simulation"}
    cards |= dict.fromkeys(("SUBSTRT1", "SUBSTRT2", "V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF"), 1)
    for k in range(EXPOSURES // 2):
        for detector in ("nrs1", "nrs2"):
            header = fits.Header(cards | {"DETECTOR": detector.upper(), "PATT_NUM": k % 3 + 1})
            root = f"jw09999001{k // 3 + 1:03d}_02101"
            fits.PrimaryHDU(header=header).writeto(folder / f"{root}_{k % 3 + 1:05d}_{detector}_uncal.fits")


def time_survey(folder: Path) -> tuple[float, float, int]:
    """Seconds to find the exposures and make the jobs; seconds to the state of every job; number of jobs."""
    raw = folder / "raw"
    write_survey(raw)
    observation = observations(raw, workspace=folder / "products")[0]
    start = time.perf_counter()
    inputs = discover(files_in(raw), folder=raw)
    jobs = make_jobs(inputs, observation.workspace, Special())
    made = time.perf_counter() - start
    start = time.perf_counter()
    ledger = Ledger.open(observation.workspace, "bench")
    prospect = look_at(observation, ledger, Selection())
    assert len(prospect.plan.states) == len(jobs)
    ledger.close()
    return made, time.perf_counter() - start, len(jobs)


def main() -> None:
    options = parser(__doc__).parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="nirfire-bench-") as name:
        root = Path(name)
        inline = statistics.median(time_jobs(root / f"a{k}", NOTHING, JOBS, Inline) for k in range(3)) / JOBS * 1e3
        rows.append(entry(f"planner and ledger, per job of {JOBS} that do nothing", inline, "ms", "< 2", inline < 2))
        here = {"PYTHONPATH": str(Path(__file__).parent)}
        pooled = time_jobs(root / "b", NOTHING, JOBS, lambda: LocalPool(2, here)) / JOBS * 1e3
        rows.append(entry("the same through worker processes, with logs", pooled, "ms", "< 2", pooled < 2))
        first, survey, n = time_survey(root / "survey")
        rows.append(entry("of which finding exposures and making jobs", first, "s"))
        rows.append(entry(f"planning {SOURCES} x {EXPOSURES} exposures, {n} jobs", survey, "s", "< 5", survey < 5))
        alone, two = (time_jobs(root / f"c{k}", SPIN, SPINS, lambda k=k: LocalPool(k, here)) for k in (1, 2))
        rows.append(entry("speed-up with 2 workers", alone / two, "", "> 1.7", alone / two > 1.7))
    save(rows, options.json)


if __name__ == "__main__":
    main()
