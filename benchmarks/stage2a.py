"""Stage 2a: what a source costs, alone and as one of many in its exposure; and how well it is calibrated.

    python benchmarks/stage2a.py [--json FILE] [--only cost|accuracy|pointing]

Cost: a simulated PRISM exposure with 200 sources in slitlets of three shutters. The task `calibrate` does the sources
one after another in one process, sharing what belongs to the exposure (the default), and some of them by stock runs of
their own. CPU time of the whole task, files included; jwst is imported before. Accuracy and pointing: see the modules
beside this one. Takes some ten minutes.
"""

from __future__ import annotations

import logging
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _rows import entry, parser, save
from _stage2a_accuracy import accuracy, observe
from _stage2a_pointing import run as pointing
from nirfire.pipeline.environment import embedded_environment
from nirfire.products.msa import Metafile
from nirfire.products.naming import CAL, RATE
from nirfire.simulate.scene import Scene, Sky, Slitlet, Source
from nirfire.simulate.seds import power_law
from nirfire.stsci.pipelines import load_stock
from nirfire.tasks.calibrate import calibrate
from nirfire.tasks.settings import CalibrateSettings

SIZES = (1, 10, 50, 100, 200)
ALONE = 5  # stock runs
GOAL_SECONDS, GOAL_SIZE, GOAL_MEMORY = 1.3, 100, 1.5
GOAL_RATIO = 6.6 / GOAL_SECONDS  # the goal was set on a machine on which a stock run takes 6.6 s


def crowded(n: int) -> Scene:
    """A scene with n sources: slitlets one above another, in three columns of the quadrants that fall on NRS1."""
    spectrum = power_law(5.0, 0.0)
    places = [(q, x, y) for x in (90, 180, 270) for y in range(6, 168, 4) for q in (3, 4)][:n]
    return Scene(
        tuple(
            Slitlet(k, *place, (Source(k, "point", float("nan"), spectrum, 0.06 * (k % 11 - 5), 0.0),))
            for k, place in enumerate(places, start=1)
        ),
        Sky(),
        failed_open=False,
    )


def cost() -> list[dict]:
    """CPU time and memory."""
    with tempfile.TemporaryDirectory(prefix="nirfire-cost-") as name:
        folder = Path(name)
        rate = observe(crowded(SIZES[-1]), "PRISM", "NRS1", folder, shining=3)
        assert len(Metafile.read(next(folder.glob("*_01_msa.fits"))).source_ids(1)) == SIZES[-1]
        load_stock()
        run = _runner(rate, folder)
        run(1, CalibrateSettings(share=False))  # what a process does once
        shared = [run(source, CalibrateSettings()) for source in range(1, SIZES[-1] + 1)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        alone = statistics.median(run(source, CalibrateSettings(share=False)) for source in range(1, ALONE + 1))
    rows = [entry("stage 2a: a stock run of its own, CPU time per source", alone, "s")]
    for n in SIZES:
        each = sum(shared[:n]) / n
        goal = {"goal": f"<= {GOAL_SECONDS}", "ok": each <= GOAL_SECONDS} if n == GOAL_SIZE else {}
        rows.append(entry(f"stage 2a: {n} sources of an exposure, CPU time per source", each, "s", **goal))
        goal = {"goal": f">= {GOAL_RATIO:.3g}", "ok": alone / each >= GOAL_RATIO} if n == GOAL_SIZE else {}
        rows.append(entry(f"stage 2a: {n} sources, stock runs over this", alone / each, "x", **goal))
    ok = memory < GOAL_MEMORY
    rows.append(entry("stage 2a: largest memory of the process", memory, "GB", f"< {GOAL_MEMORY}", ok))
    return rows


def _runner(rate: Path, folder: Path) -> Callable[[int, CalibrateSettings], float]:
    """Calibrate a source, and give the CPU time."""

    def run(source: int, settings: CalibrateSettings) -> float:
        started = time.process_time()
        calibrate(rate, folder / f"{rate.name.removesuffix(RATE)}_{source}{CAL}", source, settings)
        return time.process_time() - started

    return run


def main() -> None:
    """Measure."""
    options = parser(__doc__)
    options.add_argument("--only", choices=("cost", "accuracy", "pointing"))
    given = options.parse_args()
    os.environ.update(embedded_environment(print))
    logging.disable(logging.WARNING)
    parts: dict[str, Callable[[], list[dict]]] = {"cost": cost, "accuracy": accuracy, "pointing": pointing}
    rows = [row for name, part in parts.items() if given.only in (None, name) for row in part()]
    save(rows, given.json)


if __name__ == "__main__":
    main()
