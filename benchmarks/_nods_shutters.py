"""Stuck-closed shutters found in simulated nods: recall and false positives, for several dispersers and depths.

    python benchmarks/_nods_shutters.py [--json FILE]

Scenes of 64 slitlets of three shutters on both detectors, 12 of them with one stuck shutter and one all of whose
shutters are stuck; in 6 others one shutter passes half of the light. Sources from 0.03 to 100 uJy, points and extended,
some with contaminants that are in no catalogue, blank slitlets; failed-open shutters, and a sky with gradient and
ripple. The optical painter makes the images, which have no part of the stock WCS. Noise is that of rate images after
`clean`: of the NRSIRS2 readout, photons and dark current; correlated along the columns (blocks of 8 rows of a column
scatter 1.15 times as much as they should; cleaned simulated exposures: 1.05); a remaining background on large scales;
hot pixels and remains of cosmic rays that no flag marks.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom

from _rows import entry, parser, save
from nirfire.pipeline.environment import embedded_environment
from nirfire.products.naming import RATE, UNCAL
from nirfire.products.shutters import ShutterTable
from nirfire.simulate import seds
from nirfire.simulate.detector_maps import bad_pixels, gain, read_noise
from nirfire.simulate.observation import Exposure, Observation, Options, default_filter
from nirfire.simulate.operability import msa_operability
from nirfire.simulate.paint import N_PIX, paint
from nirfire.simulate.scene import Scene, Sky, Slitlet, Source
from nirfire.stsci.exposure_files import PATTERNS, write_uncal
from nirfire.tasks.settings import ShuttersSettings
from nirfire.tasks.shutters import shutters as find_shutters

GRATINGS = ("PRISM", "G140M", "G235M", "G395M")
N_SLITLETS, N_STUCK, N_HALF, N_BLANK = 64, 12, 6, 6
GROUPS = {14: "3 x 17 min", 3: "3 x 3.6 min"}  # of NRSIRS2
DEEP = 14
RECALL, FALSE = 0.95, 0.01
DARK_CURRENT = 0.008  # electrons/s
COLUMN_NOISE, COLUMN_SCALE = 0.2, 12.0  # of the noise of a pixel; rows
SURFACE_NOISE = 0.05
N_COSMIC, N_HOT = 6000, 2000  # pixels that no flag marks
STRUCTURE = (
    "XTENSION",
    "BITPIX",
    "NAXIS",
    "NAXIS1",
    "NAXIS2",
    "NAXIS3",
    "NAXIS4",
    "PCOUNT",
    "GCOUNT",
    "EXTNAME",
    "BSCALE",
    "BZERO",
)
BINS = (0.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, np.inf)  # sky S/N of a shutter


@dataclass(frozen=True)
class Plan:
    """A scene, and what is wrong with its shutters: (slitlet number, ordinal) of each.

    `bright` and `dark` hold the slitlets of which a shutter passes half of the light: with this shutter, and without.
    """

    everything: Scene
    others: Scene
    bright: Scene
    dark: Scene
    stuck: frozenset[tuple[int, int]]
    halves: frozenset[tuple[int, int]]


def plan(grating: str, seed: int) -> Plan:
    """Draw a scene."""
    rng = np.random.default_rng(seed)
    kind = rng.permutation(N_SLITLETS)
    stuck = {int(n): (int(rng.integers(-1, 2)),) for n in kind[:N_STUCK]}
    stuck[int(kind[N_STUCK])] = (-1, 0, 1)
    halves = {int(n): (int(rng.integers(-1, 2)),) for n in kind[N_STUCK + 1 : N_STUCK + 1 + N_HALF]}
    blank = set(kind[-N_BLANK:].tolist())
    closed = {(b.quadrant, b.ycen) for b in msa_operability()}
    slitlets = []
    for number, (pair, k) in enumerate((p, k) for p in ((1, 3), (2, 4)) for k in range(N_SLITLETS // 2)):
        y = 5 + 5 * k
        free = [q for q in pair if not any((q, y + d) in closed for d in (-2, -1, 0, 1, 2))]
        place = (int(rng.choice(free or pair)), int(rng.integers(60, 300)), y)
        sources = () if number in blank else _sources(number + 1, grating, rng)
        slitlets.append(Slitlet(number + 1, *place, sources, stuck.get(number, ())))
    bright = tuple(slitlets[n] for n in halves)
    dark = tuple(replace(slitlets[n], stuck_closed=shut) for n, shut in halves.items())
    others = tuple(s for s in slitlets if s not in bright)
    return Plan(
        *(Scene(tuple(slitlets), Sky()), Scene(others, Sky())),
        *(Scene(part, Sky(), failed_open=False) for part in (bright, dark)),
        frozenset((n + 1, k + 2) for n, shut in stuck.items() for k in shut),
        frozenset((n + 1, k + 2) for n, shut in halves.items() for k in shut),
    )


def _sources(number: int, grating: str, rng: np.random.Generator) -> tuple[Source, ...]:
    """One source in the middle, mostly faint; in some slitlets another next to it that nobody knows of."""
    bright = 1.0 if grating == "PRISM" else 3.0

    def draw(i: int, shutter: int, *, primary: bool) -> Source:
        fnu = float(bright * 10 ** np.clip(rng.normal(-0.1, 0.8), -1.5, 2.0))
        lines = tuple(seds.Line("l", float(w), 10.0 * fnu, 150.0) for w in rng.uniform(0.8, 5.0, 4))
        size = float(max(rng.normal(0.06, 0.1), 0.0))
        place = (float(v) for v in rng.uniform(-0.4, 0.4, 2))
        spectrum = seds.power_law(fnu, float(rng.normal(0, 0.7)), lines)
        return Source(i, "point", np.nan, spectrum, *place, shutter, size, primary=primary, catalogued=primary)

    found = [draw(number, 0, primary=True)]
    if rng.random() < 0.15:
        found.append(draw(1000 + number, int(rng.choice([-1, 1])), primary=False))
    return tuple(found)


@cache
def _dark_and_read(detector: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return read_noise(detector).astype(float), gain(detector).astype(float), bad_pixels(detector) > 0


def variances(image: np.ndarray, detector: str, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Variance of photons and of the readout of a ramp fit [(DN/s)^2]."""
    pattern, (read, per_dn, _) = PATTERNS["NRSIRS2"], _dark_and_read(detector)
    frame = read / np.sqrt(pattern.n_frames) / pattern.group_time
    readout = 12.0 / (n_groups * (n_groups**2 - 1.0)) * frame**2
    seconds = pattern.group_time * (n_groups - 1)
    return 1.2 * (np.maximum(image, 0.0) * per_dn + DARK_CURRENT) / per_dn**2 / seconds, readout


def noisy(image: np.ndarray, detector: str, n_groups: int, rng: np.random.Generator) -> fits.HDUList:
    """A rate image as it is after `clean`."""
    poisson, readout = variances(image, detector, n_groups)
    sigma = np.sqrt(poisson + readout)
    typical = float(np.median(sigma))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma
    stripes = gaussian_filter1d(rng.standard_normal(image.shape, dtype=np.float32), COLUMN_SCALE, axis=0)
    surface = zoom(gaussian_filter(rng.standard_normal((64, 64)), 4.0), N_PIX // 64, order=1)
    noise += COLUMN_NOISE * typical * stripes / stripes.std() + SURFACE_NOISE * typical * surface / surface.std()
    for count, height in ((N_COSMIC, 30.0), (N_HOT, 10.0)):
        row, column = rng.integers(0, N_PIX, (2, count))
        noise[row, column] += height * typical * rng.standard_exponential(count)
    dq = np.where(_dark_and_read(detector)[2], 1, 0).astype(np.uint32)
    planes = {"SCI": image + noise, "DQ": dq, "VAR_POISSON": poisson, "VAR_RNOISE": readout}
    made = [fits.ImageHDU(v if name == "DQ" else v.astype(np.float32), name=name) for name, v in planes.items()]
    return fits.HDUList([fits.PrimaryHDU(), *made])


def images(observation: Observation, planned: Plan) -> dict[tuple[Exposure, str], np.ndarray]:
    """Images without noise of each exposure and detector [DN/s]."""
    found = {}
    for exposure in observation.exposures:
        places = observation.places(exposure)
        for detector in ("NRS1", "NRS2"):
            setup = observation.setup(exposure, detector)
            parts = ((planned.others, 1.0), (planned.bright, 0.5), (planned.dark, 0.5))
            image = sum(share * paint(scene, observation.optics, setup, places) for scene, share in parts)
            found[exposure, detector] = np.asarray(image, dtype=np.float32)
    return found


def headers(observation: Observation, folder: Path) -> dict[tuple[Exposure, str], list[fits.Header]]:
    """Headers (primary, SCI) of the exposures as the simulator writes them."""
    found = {}
    for exposure in observation.exposures:
        for detector in ("NRS1", "NRS2"):
            path = folder / f"{exposure.name(detector)}{UNCAL}"
            head = observation._header(exposure, observation.setup(exposure, detector))
            write_uncal(path, np.zeros((1, 1, 8, N_PIX), np.uint16), head)
            with fits.open(path) as hdus:
                found[exposure, detector] = [hdus[k].header.copy() for k in (0, "SCI")]
            path.unlink()
    return found


def verdicts(grating: str, folder: Path, seed: int) -> dict[int, tuple[Table, Plan, float]]:
    """Verdicts of a scene by number of groups, and the time of the task [s]."""
    planned = plan(grating, seed)
    observation = Observation(planned.everything, grating, default_filter(grating), seed, Options(n_nods=3))
    observation.write_tables(folder)
    heads, painted = headers(observation, folder), images(observation, planned)
    rng, found = np.random.default_rng(seed + 1), {}
    for n_groups in GROUPS:
        rates = []
        for (exposure, detector), image in painted.items():
            hdus = noisy(image, detector, n_groups, rng)
            primary, sci = heads[exposure, detector]
            hdus[0].header.update(primary)
            hdus["SCI"].header.extend(c for c in sci.cards if c.keyword not in STRUCTURE)
            rates.append(folder / f"{exposure.name(detector)}{RATE}")
            hdus.writeto(rates[-1], overwrite=True)
        table, started = folder / "shutters.fits", time.perf_counter()
        find_shutters(rates, table, ShuttersSettings())
        found[n_groups] = ShutterTable.read(table).verdicts, planned, time.perf_counter() - started
    return found


@dataclass(frozen=True)
class Sample:
    """Shutters of which the truth is known: what was said, and with what error of the level."""

    truth: np.ndarray
    state: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, table: Table, planned: Plan) -> Sample:
        """Compare with the truth; one row for each shutter."""
        _, first = np.unique(np.array([table["slitlet"], table["ordinal"]]), axis=1, return_index=True)
        table = table[first]
        keys = [(int(r["slitlet"]), int(r["ordinal"])) for r in table]
        truth = ["closed" if k in planned.stuck else "half" if k in planned.halves else "open" for k in keys]
        return cls(np.array(truth), np.array(table["state"], dtype=str), np.array(table["error"], dtype=float))

    def share(self, truth: str, *states: str, within: np.ndarray | None = None) -> tuple[float, int]:
        """Share of the shutters of a kind that are said to be in one of some states, and their number."""
        mine = (self.truth == truth) & (True if within is None else within)
        return float(np.isin(self.state[mine], states).mean()) if mine.any() else np.nan, int(mine.sum())


def joined(samples: list[Sample]) -> Sample:
    """All samples together."""
    return Sample(*(np.concatenate([getattr(s, n) for s in samples]) for n in ("truth", "state", "error")))


def depth_rows(samples: dict[tuple[str, int], Sample]) -> list[dict]:
    """Recall and false positives by disperser and depth."""
    rows = []
    for (grating, n_groups), sample in samples.items():
        head = f"stuck shutters, {grating}, {GROUPS[n_groups]}:"
        recall, n = sample.share("closed", "closed")
        wrong, n_open = sample.share("open", "closed")
        aims = (f">= {RECALL:g}", f"<= {FALSE:g}") if n_groups == DEEP else (None, None)
        deep = n_groups == DEEP
        rows += [
            entry(f"{head} recall, {n} stuck", recall, "", aims[0], not deep or recall >= RECALL),
            entry(f"{head} false positives, {n_open} open", wrong, "", aims[1], not deep or wrong <= FALSE),
            entry(f"{head} open ones said to be vignetted", sample.share("open", "vignetted")[0]),
            entry(f"{head} without a verdict", float((sample.state == "unknown").mean())),
            entry(f"{head} half-vignetted ones found", sample.share("half", "vignetted", "closed")[0]),
            entry(f"{head} sky S/N of a shutter, median", float(np.median(1 / sample.error[sample.truth == "open"]))),
        ]
    return rows


def curve_rows(sample: Sample) -> list[dict]:
    """The same over the S/N of the sky in a shutter, all nods together."""
    rows, snr = [], 1.0 / sample.error
    for low, high in pairwise(BINS):
        within = (snr >= low) & (snr < high)
        recall, n = sample.share("closed", "closed", within=within)
        wrong, n_open = sample.share("open", "closed", within=within)
        head = f"stuck shutters, sky S/N {low:g} to {high:g}:"
        if n:
            rows.append(entry(f"{head} recall, {n} stuck", recall))
        if n_open:
            rows.append(entry(f"{head} false positives, {n_open} open", wrong))
    return rows


def shutters() -> list[dict]:
    """Measure all; the environment names the embedded references."""
    level, samples, spent, rows = logging.root.manager.disable, {}, [], []
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="nirfire-shutters-") as name:
            for seed, grating in enumerate(GRATINGS, 1):
                folder = Path(name) / grating
                folder.mkdir()
                mine = {}
                for n_groups, (table, planned, seconds) in verdicts(grating, folder, seed).items():
                    mine[grating, n_groups] = Sample.of(table, planned)
                    spent.append(seconds)
                samples |= mine
                rows += depth_rows(mine)
                for rate in folder.glob(f"*{RATE}"):
                    rate.unlink()
    finally:
        logging.disable(level)
    every = joined(list(samples.values()))
    wrong, n_open = every.share("open", "closed")
    return [
        *rows,
        *curve_rows(every),
        entry(f"stuck shutters: false positives, {n_open} open", wrong, "", f"<= {FALSE:g}", wrong <= FALSE),
        entry("stuck shutters: time of the task, 6 images, 64 slitlets", max(spent), "s"),
    ]


def main() -> None:
    """Run alone."""
    options = parser(__doc__).parse_args()
    os.environ.update(embedded_environment(print))
    started = time.perf_counter()
    rows = shutters()
    rows.append(entry("stuck shutters: time of this benchmark", time.perf_counter() - started, "s"))
    save(rows, options.json)


if __name__ == "__main__":
    main()
