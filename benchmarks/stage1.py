"""Stage 1 on simulated exposures whose noise is known: ways of cleaning side by side, and the goals.

    python benchmarks/stage1.py [--json FILE] [--folder FOLDER]

Exposures are simulated (read, Poisson and 1/f noise, bias drifts, picture frame, cosmic rays, snowballs) and go through
the stock Detector1. A quarter of the sky pixels is kept out of every fit of nirfire's, and the noise that is left is
measured on them; the stock steps use them. Takes some minutes; exposures in --folder are used again.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import psutil
from astropy.io import fits
from scipy.ndimage import label

from _rows import entry, parser, save
from nirfire.core.background import Background, BackgroundOptions, Sky
from nirfire.core.iterative import fit_iterative
from nirfire.core.joint import fit_joint
from nirfire.core.residuals import Correlation, correlation
from nirfire.core.sky import sky_bits
from nirfire.core.variance import output_factors
from nirfire.pipeline.environment import embedded_environment
from nirfire.products.naming import RATE, RATERAW, UNCAL
from nirfire.products.rate import RateImage, read_exposure_header
from nirfire.simulate import truth
from nirfire.simulate.detector import Noise
from nirfire.simulate.observation import Observation, Options, default_filter
from nirfire.simulate.scene import demo_scene
from nirfire.stsci.traces import TraceOptions, picture_frame, trace_masks
from nirfire.tasks.clean import clean
from nirfire.tasks.detector import detector
from nirfire.tasks.settings import CleanSettings, DetectorSettings

MODES = {"joint": fit_joint, "iterative, as published": fit_iterative}
STOCK = {
    "stock clean_flicker_noise": {"clean_flicker_noise": True},
    "stock picture_frame + it": {"clean_flicker_noise": True, "picture_frame": True},
}
SIGHTS = (
    ("PRISM", "NRS1"),
    ("PRISM", "NRS2"),
    ("G140M", "NRS2"),
    ("G140H", "NRS1"),
    ("G235M", "NRS2"),
    ("G235H", "NRS1"),
    ("G395H", "NRS2"),
    ("G395M", "NRS1"),
)
BRIGHTER = (0.1, 1.0, 30.0, 1000.0)
HELD_OUT = 0.25


@dataclass(frozen=True)
class Sight:
    """One simulated exposure on one detector."""

    folder: Path
    grating: str
    detector: str
    read: float = 1.0

    @cached_property
    def uncal(self) -> Path:
        """Raw ramp; made when it is not there."""
        here = self.folder / f"{self.grating}_{self.detector}_{self.read:g}"
        there = sorted(here.glob(f"*{UNCAL}"))
        if there:
            return there[0]
        options = Options(n_groups=6, noise=Noise(read=self.read), keep_rates=True)
        plan = Observation(demo_scene("large", self.grating), self.grating, default_filter(self.grating), 7, options)
        plan.write_tables(here)
        return plan.write_exposure(plan.exposures[0], self.detector, here)

    def rate(self, **steps: bool) -> Path:
        """Count rates of the stock Detector1, if need be with its own cleaning steps."""
        name = "_".join(["", *sorted(steps)])
        path = self.uncal.with_name(self.uncal.name.replace(UNCAL, f"{name}{RATERAW}"))
        if not path.exists():
            detector(self.uncal, path, DetectorSettings(**steps))
        return path

    @cached_property
    def image(self) -> RateImage:
        return RateImage.read(self.rate())

    @cached_property
    def light(self) -> np.ndarray:
        """Noiseless light [DN/s]."""
        path = self.uncal.parent / truth.FOLDER / self.uncal.name.replace(UNCAL, truth.RATE_SUFFIX)
        return np.array(fits.getdata(path), dtype=float)

    @cached_property
    def sky(self) -> np.ndarray:
        traces = trace_masks(self.rate(), read_exposure_header(self.rate()).metafile, TraceOptions())
        masks = {"traces": traces.planned, "failed_open": traces.failed_open, "orders": traces.orders}
        return sky_bits(self.image.sci, self.image.dq, **masks, manual=np.zeros(self.image.dq.shape, bool))

    @cached_property
    def held_out(self) -> np.ndarray:
        return (self.sky == Sky.FITTED) & (np.random.default_rng(1).random(self.sky.shape) < HELD_OUT)

    def fit(self, mode: str, light: float = 0.0) -> Background:
        """Background, with more or less light of the sources."""
        image = np.nan_to_num(self.image.sci) + light * self.light
        usable = (self.sky == Sky.FITTED) & ~self.held_out
        options = BackgroundOptions(rows=self.grating == "PRISM")
        return MODES[mode](image, usable, self.image.var_rnoise, picture_frame(self.rate()), options)

    def residual(self, mode: str) -> np.ndarray:
        """What is left of the image; `mode` is raw, one of ours, or a stock step."""
        if mode == "raw":
            return self.image.sci - np.median(self.image.sci[self.sky == Sky.FITTED])
        if mode in STOCK:
            return RateImage.read(self.rate(**STOCK[mode])).sci
        return self.image.sci - self.fit(mode).total


def left_over(sights: list[Sight]) -> dict[str, list[Correlation]]:
    """Correlated noise of held-out sky for each way of cleaning, printed as a table."""
    found: dict[str, list[Correlation]] = {}
    print("".join([" " * 36, *(f"{key:>9s}" for key in Correlation._fields)]))
    for mode in ("raw", *STOCK, *MODES):
        found[mode] = []
        for sight in sights:
            if mode in STOCK and sight is not sights[0] and sight is not sights[-1]:
                continue
            one = correlation(sight.residual(mode), sight.image.var_rnoise, sight.held_out)
            found[mode].append(one)
            name = f"{mode[:25]}, {sight.grating} {sight.detector}"
            print(f"{name:36s}" + "".join(f"{value:9.3f}" for value in one), flush=True)
    return found


def source_bias(sight: Sight, mode: str) -> float:
    """Largest change of the background under a trace, relative to the light that caused it."""
    traces, n = label(sight.sky & Sky.TRACE > 0)
    index = np.arange(1, n + 1)
    before = sight.fit(mode, -1.0).total
    worst = 0.0
    for factor in BRIGHTER:
        change = sight.fit(mode, factor - 1.0).total - before
        light = np.bincount(traces.ravel(), (factor * sight.light).ravel(), n + 1)[index]
        moved = np.bincount(traces.ravel(), change.ravel(), n + 1)[index]
        lit = light > 0.02 * light.max()
        worst = max(worst, float(np.max(np.abs(moved[lit] / light[lit]))))
    return worst


def pull_width(sight: Sight) -> float:
    """Width of pulls of held-out sky, with the variances after the rescale."""
    image, found = sight.image, sight.fit("joint")
    residual = np.nan_to_num(image.sci) - found.total
    fitted = (sight.sky == Sky.FITTED) & ~sight.held_out
    keys = {"n_effective": found.n_effective, "each": True}
    _, factors = output_factors(residual, image.var_rnoise, image.var_poisson, fitted, **keys)
    variance = np.repeat(factors, len(residual) // len(factors))[:, None] * image.var_rnoise + image.var_poisson
    pull = (residual / np.sqrt(np.where(variance > 0, variance, 1.0)))[sight.held_out]
    low, high = np.percentile(pull, (15.865, 84.135))
    return 0.5 * float(high - low)


def cost(sight: Sight, mode: str) -> tuple[float, float]:
    """CPU time [s] and memory beyond the image [GB] of the whole task, in a warm process."""
    target = sight.uncal.with_name(sight.uncal.name.replace(UNCAL, RATE))
    settings = CleanSettings(mode="joint" if mode == "joint" else "iterative")
    seconds, memory = [], []
    for _ in range(4):
        before, peak, done = psutil.Process().memory_info().rss, [0], threading.Event()

        def watch(peak: list[int] = peak, done: threading.Event = done) -> None:
            while not done.wait(0.01):
                peak[0] = max(peak[0], psutil.Process().memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.process_time()
        clean(sight.rate(), target, settings)
        seconds.append(time.process_time() - start)
        done.set()
        watcher.join()
        memory.append((peak[0] - before) / 1e9)
    return statistics.median(seconds[1:]), max(memory)


def main() -> None:
    """Print the table and the goals."""
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, help="keep the exposures here")
    given = options.parse_args()
    os.environ.update(embedded_environment(print))
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        sights = [Sight(folder, *sight) for sight in SIGHTS]
        left = left_over(sights)["joint"]
        rows = []
        for key, goal in (("columns", 1.15), ("rows", 1.08), ("slow_y", 1.2), ("slow_x", 1.2)):
            worst = max(getattr(one, key) for one in left)
            rows.append(
                entry(f"joint, worst of {len(sights)} exposures: {key}", worst, "", f"<= {goal}", worst <= goal)
            )
        level = max(abs(one.level) for one in left)
        rows.append(entry("mean of the sky over its noise", level, "", "< 0.01", level < 0.01))
        for sight in sights:
            bias = 100 * source_bias(sight, "joint")
            rows.append(
                entry(f"bias on source counts, {sight.grating} {sight.detector}", bias, "%", "< 0.1", bias < 0.1)
            )
        for read in (0.8, 1.0, 1.3):
            width = pull_width(sights[0] if read == 1.0 else Sight(folder, *SIGHTS[0], read))
            ok = 0.98 <= width <= 1.02
            rows.append(entry(f"pull width, read noise {read:g} x its reference", width, "", "0.98 to 1.02", ok))
        for mode in MODES:
            seconds, memory = cost(sights[0], mode)
            rows.append(entry(f"cleaning one exposure, {mode}", seconds, "CPU s", "< 6", seconds < 6))
            rows.append(entry(f"memory beyond the image, {mode}", memory, "GB", "< 1", memory < 1))
    save(rows, given.json)


if __name__ == "__main__":
    main()
