"""Stage 3 on known truth: bias, errors and noise of 1D spectra, by `model`, `horne` and the stock `extract_1d`.

    python benchmarks/extraction.py [--json FILE] [--only model|others|outliers|cost|ramps] [--quick] [--keep FOLDER]

Sources of sigma 0, 0.1 and 0.3 arcsec, centred in their shutter and off-centre, of a smooth spectrum, are painted
without noise in 2, 3 and 5 nods of PRISM and G395M on NRS1, and calibrated by the task. The telescope misses the plan
by 14 mas along the slitlets, which no file tells. To the calibrated cutouts noise is added, with the variance that the
stock pipeline reports: photons (their variance estimated from the noisy signal), readout, jumps in 5 % of the ramps,
cosmic rays that were not found and hot pixels that no map knows, in 0.1 % of the pixels each. Then `nodsub` and the
extraction run on files.

Realisations come in pairs with opposite Gaussian noise: their mean shows the bias, half their difference the noise.
Brightness is given as the best possible S/N per bin, in the median over the spectrum. The truth is the spectrum at the
resolution of the instrument, averaged over the bins of the common grid. The Cramer-Rao bound takes the sky of every
detector pixel as unknown, profile and variance as known.

model: bias, pulls, noise, agreement of the extractions. others: the same of horne and stock, no goals. outliers, cost:
what they say. ramps: one pass from raw ramps with all noise. --quick: three nods, fewer realisations, no ramps.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from _extraction_methods import HORNE, MODEL, STOCK, WORKERS, Job, Shot, measure
from _extraction_observe import CASES, EVERYTHING, MISSED, WITH_LINES, Layout, prepare_exposure, write_plan
from _extraction_others import cost_rows, outlier_rows, ramp_rows, ramp_shots
from _extraction_rows import agreement_rows, bias_rows, line_rows, noise_rows, pull_rows, whole_rows
from _rows import parser, save
from nirfire.pipeline.environment import embedded_environment, thread_environment

PARTS = ("model", "others", "outliers", "cost", "ramps")
THREE = (0.3, 1.0, 2.5, 5.0, 15.0, 50.0)
FEW = (1.0, 5.0, 50.0)
Mode = tuple[str, int]


class Amount(NamedTuple):
    """Best possible S/N per bin, and pairs of realisations of each."""

    targets: tuple[float, ...]
    pairs: int


FULL: dict[Mode, Amount] = {
    ("PRISM", 3): Amount(THREE, 3),
    ("PRISM", 2): Amount(FEW, 2),
    ("PRISM", 5): Amount(FEW, 1),
    ("G395M", 3): Amount(THREE, 2),
    ("G395M", 2): Amount(FEW, 1),
    ("G395M", 5): Amount(FEW, 1),
}
QUICK: dict[Mode, Amount] = {("PRISM", 3): Amount((2.5, 50.0), 2), ("G395M", 3): Amount((2.5, 50.0), 1)}
OTHERS = Amount((2.5, 50.0), 1)
OTHER_CASES = CASES[:5:2]


class Plan(NamedTuple):
    """How much is done: realisations by mode and number of nods, the other methods at all, places of outliers."""

    amounts: dict[Mode, Amount]
    others: bool
    places: int


def layouts(folder: Path, modes: Iterable[Mode]) -> list[Layout]:
    """Modes and nods, made if they are not there; two special sources with three nods only."""
    wanted = [Layout(folder / f"{g}-{n}", g, n, 1, EVERYTHING if n == 3 else CASES) for g, n in modes]
    return made(wanted)


def made(wanted: list[Layout]) -> list[Layout]:
    """Paint and calibrate what is not there yet."""
    for layout in wanted:
        write_plan(layout)
    jobs = [(layout, k) for layout in wanted for k in range(layout.n_nods * layout.n_dithers)]
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("forkserver")) as pool:
        list(pool.map(prepare_exposure, *zip(*jobs, strict=True)))
    return wanted


def model(folder: Path, plan: Plan) -> list[dict]:
    """The method that the goals are set for."""
    rows = []
    for layout in layouts(folder, plan.amounts):
        targets, pairs = plan.amounts[layout.grating, layout.n_nods]
        jobs = [Job(layout, case, target, pairs) for case in CASES for target in targets]
        jobs += [Job(layout, case, max(targets), 1) for case in layout.cases if case not in CASES]
        rows += judged(measure(jobs), layout, MODEL, goal=True)
    return rows


def judged(shots: list[Shot], layout: Layout, method: str, *, goal: bool) -> list[dict]:
    """All rows of one method."""
    mine = [s for s in shots if s.method == method and s.job.layout == layout]
    usual = [s for s in mine if s.job.case in CASES]
    head = f"{layout.name}, {method}:"
    rows = []
    for judge in (bias_rows, pull_rows, noise_rows, agreement_rows, whole_rows):
        rows += judge(usual, head, goal=goal)
    missed = [s for s in mine if s.job.case == MISSED]
    if missed:
        rows += bias_rows(missed, f"{head} 10 mas across the slit not known,", goal=False)
    return rows + line_rows(mine, head)


def others(folder: Path, plan: Plan) -> list[dict]:
    """The published method, and the stock extraction of the same stack; centred sources, three nods."""
    rows = []
    for layout in layouts(folder, [mode for mode in plan.amounts if mode[1] == 3]):
        methods = (HORNE, STOCK)
        jobs = [Job(layout, c, target, OTHERS.pairs, methods) for c in OTHER_CASES for target in OTHERS.targets]
        jobs.append(Job(layout, WITH_LINES, max(OTHERS.targets), 1, methods))
        shots = measure(jobs)
        for method in methods:
            rows += judged(shots, layout, method, goal=False)
    return rows


def outliers(folder: Path, plan: Plan) -> list[dict]:
    """Single bright pixels."""
    return outlier_rows(layouts(folder, [("PRISM", 3)]), plan.places)


def cost(folder: Path, plan: Plan) -> list[dict]:
    """Time; three nods at two dithers."""
    (six,) = made([Layout(folder / "cost", "PRISM", 3, 2, (CASES[2],))])
    return cost_rows(six, spec3=plan.others)


def ramps(folder: Path, plan: Plan) -> list[dict]:
    """One pass from the ramps."""
    (three,) = layouts(folder, [("PRISM", 3)])
    return ramp_rows(ramp_shots(folder / "ramps", three, (MODEL, HORNE)))


DO: dict[str, Callable[[Path, Plan], list[dict]]] = {
    "model": model,
    "others": others,
    "outliers": outliers,
    "cost": cost,
    "ramps": ramps,
}


def main() -> None:
    """Measure."""
    options = parser(__doc__)
    options.add_argument("--only", choices=PARTS)
    options.add_argument("--quick", action="store_true", help="three nods, fewer realisations, no ramps")
    options.add_argument("--keep", type=Path, help="keep the simulated cutouts here, and use them again")
    given = options.parse_args()
    os.environ.update(embedded_environment(print) | thread_environment())
    logging.disable(logging.WARNING)
    plan = Plan(QUICK, others=False, places=8) if given.quick else Plan(FULL, others=True, places=32)
    left_out = ("others", "ramps") if given.quick else ()
    parts = [given.only] if given.only else [name for name in PARTS if name not in left_out]
    with tempfile.TemporaryDirectory(prefix="nirfire-extraction-") as scratch:
        folder = given.keep or Path(scratch)
        rows = [row for name in parts for row in DO[name](folder, plan)]
    save(rows, given.json)


if __name__ == "__main__":
    main()
