"""Accuracy of stage 2a on simulated, noiseless point sources at known places in their shutters.

    python benchmarks/_stage2a_accuracy.py [--json FILE]

Each source goes through the stock steps with its own metafile, on the references of the embedded instrument. Measured:

1. wavelengths: the centroid of narrow emission lines in the product's WAVELENGTH, all rows together as an extraction
   adds them, weighted with the flux above the continuum; against the wavelength of the line, in pixels;
2. flux: all rows of the cutout together, against the flux density of the source, over its offset. All light that passes
   the shutters falls in the cutout, so nothing is lost but what the pathloss correction restores;
3. scale: one even sky through one slitlet, calibrated as a slitlet with a point source and as one without, the latter
   times the true solid angle of its pixels; both before pathloss correction, pixel by pixel. The stock pipeline shifts
   the wavelengths of a source off centre only. At x = 0.3 that is 0.6 px, and flat field and flux scale, which are
   taken at the wavelength of a pixel, differ by up to 2 % where they are steep; nirfire shifts both.

The painter inverts the optical model numerically and never uses the stock WCS; it shares with the references the
functions of `nirfire.simulate.response`. So what is tested is that the stock steps apply them as they are meant.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from _rows import entry, parser, save
from nirfire.pipeline.environment import embedded_environment
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa import Metafile
from nirfire.products.naming import RATE
from nirfire.simulate import psf, seds
from nirfire.simulate.detector import Noise
from nirfire.simulate.observation import Observation, Options, default_filter
from nirfire.simulate.optics import MODES
from nirfire.simulate.paint import N_PIX, paint
from nirfire.simulate.scene import Scene, Sky, Slitlet, Source
from nirfire.stsci.spec2 import calibrate_slit

OFFSETS = (
    *((-0.40, 0.0), (-0.32, 0.21), (-0.21, -0.31), (0.0, 0.0)),
    *((0.0, 0.36), (0.11, -0.2), (0.31, 0.0), (0.40, -0.12)),
)
"""Places in the shutter, (x, y) [pitch]; mostly between the nodes of the pathloss reference."""
SHUTTERS = (
    *((3, 60, 20), (3, 180, 50), (3, 300, 80), (3, 120, 110)),
    *((4, 60, 35), (4, 180, 65), (4, 300, 95), (4, 120, 125)),
)
FEW = (0, 2, 3, 6)  # of the offsets, for gratings
CONTINUUM = 1.0  # uJy
N_LINES, WINDOW, FLANK = 7, 7, 3  # lines per spectrum; half width and flank [px]
STRENGTH = 60.0  # of a line, over the continuum of one pixel
WAVE_GOAL, FLUX_GOAL, SCALE_GOAL = 0.05, 0.01, 0.001
BOX = 15  # px
FRAME = 4  # px of the detector's edge that see no light
MJY = 1e-12  # of one uJy


@dataclass(frozen=True)
class Cut:
    """A stock product before any change of ours.

    Attributes
    ----------
    sci, wave : ndarray, shape (n_spat, n_wave) [MJy or MJy/sr], [um]
    pathloss : ndarray, shape (n_spat, n_wave)
        The divisor that was applied.
    unit : str
    area : float [sr]
    first : int
        Detector column, from 0, of the first one here.
    """

    sci: np.ndarray
    wave: np.ndarray
    pathloss: np.ndarray
    unit: str
    area: float
    first: int

    @classmethod
    def read(cls, path: Path) -> Cut:
        """Read a ``_cal.fits`` as the stock pipeline left it."""
        with open_fits(path) as hdus:
            header = hdus["SCI"].header
            kind = {"POINT": "PATHLOSS_PS", "UNIFORM": "PATHLOSS_UN"}[header["PTHLOSS"]]
            arrays = (np.array(hdus[name].data, dtype=float) for name in ("SCI", "WAVELENGTH", kind))
            return cls(*arrays, unit=header["BUNIT"], area=header["PIXAR_SR"], first=header["SLTSTRT1"] - 1)


def lines_of(grating: str, filter: str) -> tuple[seds.Line, ...]:
    """Narrow lines, evenly over the pixels of a mode's range, of one strength over the continuum."""
    low, high = MODES[(filter, grating)]
    waves = np.linspace(low * 1.06, high * 0.96, N_LINES)
    step = (high - low) / (420 if grating == "PRISM" else 1350)
    unit = seds.Line("t", 1.0, 1.0, 0.0).area
    return tuple(seds.Line("t", float(w), STRENGTH * CONTINUUM * step / (unit * w**2), 0.0) for w in waves)


def observe(scene: Scene, grating: str, detector: str, folder: Path, shining: int | None = None) -> Path:
    """Make a noiseless rate image of the first nod, its metafile beside it; only the first slitlets may be painted."""
    from stdatamodels.jwst import datamodels

    options = Options(n_groups=2, noise=Noise.none(), detectors=(detector,))
    observation = Observation(scene, grating, default_filter(grating), 1, options)
    observation.write_tables(folder)
    exposure = observation.exposures[0]
    lit = replace(scene, slitlets=scene.slitlets[:shining])
    image = paint(lit, observation.optics, observation.setup(exposure, detector), observation.places(exposure))
    path = folder / f"{exposure.name(detector)}{RATE}"
    with datamodels.open(observation.write_exposure(exposure, detector, folder)) as raw:
        model = datamodels.ImageModel(data=image.astype(np.float32))
        model.update(raw)
    for name in ("err", "var_rnoise", "var_poisson"):
        setattr(model, name, np.full(image.shape, 1e-4, np.float32))
    model.var_flat, model.dq = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.uint32)
    model.save(str(path))
    return path


def calibrate(rate: Path, metafile: Metafile, source: int, name: str, x: float | None = None) -> Cut:
    """Calibrate with a metafile; `x` is the place of the source at other nods, for a slitlet without it at this one."""
    own = rate.parent / f"{name}_msa.fits"
    metafile.write(own)
    return Cut.read(calibrate_slit(rate, own, rate.parent, f"{name}_{source}", {}, x))


def unsourced(metafile: Metafile) -> Metafile:
    """Return the same slitlet, as it stands where no source is in an open shutter."""
    rows = metafile.shutters.copy()
    rows["source_id"], rows["primary_source"], rows["background"] = 0, "N", "Y"
    for axis in ("x", "y"):
        rows[f"estimated_source_in_shutter_{axis}"] = np.nan
    return replace(metafile, shutters=rows)


def line_errors(cut: Cut, lines: tuple[seds.Line, ...]) -> list[float]:
    """Measured minus true wavelength of each line that is on the detector [px]."""
    found = []
    for line in lines:
        middle = np.nanmedian(cut.wave, axis=0)
        column = int(np.argmin(np.abs(np.where(np.isfinite(middle), middle, np.inf) - line.wave)))
        if not WINDOW + FLANK < column < cut.sci.shape[1] - WINDOW - FLANK - 1:
            continue
        window = slice(column - WINDOW, column + WINDOW + 1)
        sci, wave = cut.sci[:, window], cut.wave[:, window]
        place = np.arange(sci.shape[1], dtype=float)
        flanks = (place < FLANK) | (place >= len(place) - FLANK)
        good = np.isfinite(sci).all(axis=1) & np.isfinite(wave).all(axis=1)
        slope = np.polynomial.polynomial.polyfit(place[flanks], sci[good][:, flanks].T, 1)
        step = np.gradient(wave[good], axis=1)
        light = (sci[good] - np.polynomial.polynomial.polyval(place, slope)) * step
        found.append(((light * wave[good]).sum() / light.sum() - line.wave) / np.median(step[:, WINDOW]))
    return found


def flux_ratios(cut: Cut, lines: tuple[seds.Line, ...], limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Light of all rows over that of the source, away from lines and ends, and the wavelengths [um]."""
    wave = np.nanmedian(cut.wave, axis=0)
    step = np.abs(np.gradient(wave))
    column = cut.first + np.arange(wave.size)
    clear = np.isfinite(wave) & (wave > limits[0] * 1.02) & (wave < limits[1] * 0.98)
    clear &= (column >= FRAME) & (column < N_PIX - FRAME)
    for line in lines:
        clear &= np.abs(wave - line.wave) > (WINDOW + FLANK) * step
    return np.nansum(cut.sci, axis=0)[clear] / (CONTINUUM * MJY), wave[clear]


def grid_error(wave: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """True transmission over that interpolated in the pathloss reference, whose nodes are 0.05 pitch apart."""
    axes = np.linspace(0.6, 5.3, 21), np.linspace(-1.5, 1.5, 63), np.linspace(-0.5, 0.5, 21)
    grid = axes[0][:, None, None], axes[2][None, None, :], axes[1][None, :, None]
    table = RegularGridInterpolator(axes, psf.transmission(*grid, (-1, 0, 1)))
    here, centre = ((wave, np.full(wave.size, y), np.full(wave.size, x)) for x, y in ((dx, dy), (0.0, 0.0)))
    found = table(np.transpose(here)) / table(np.transpose(centre))
    true = psf.transmission(wave, dx, dy, (-1, 0, 1)) / psf.transmission(wave, 0.0, 0.0, (-1, 0, 1))
    return true / found


def _smooth(ratio: np.ndarray) -> np.ndarray:
    """Running mean: the wavelengths of a pixel differ from row to row, so single columns scatter."""
    return np.convolve(ratio, np.full(BOX, 1 / BOX), mode="valid")


def sources_rows(grating: str, folder: Path, offsets: tuple[tuple[float, float], ...]) -> list[dict]:
    """Wavelengths and fluxes of point sources."""
    filter = default_filter(grating)
    lines = lines_of(grating, filter)
    spectrum = seds.power_law(CONTINUUM, 0.0, lines)
    slitlets = tuple(
        Slitlet(n, *SHUTTERS[n - 1], (Source(n, "point", np.nan, spectrum, dx, dy),))
        for n, (dx, dy) in enumerate(offsets, 1)
    )
    rate = observe(Scene(slitlets, Sky(level=0.0), failed_open=False), grating, "NRS1", folder)
    metafile = Metafile.read(next(folder.glob("*_01_msa.fits")))
    errors: list[float] = []
    medians, spectra, left, started = [], [], [], time.process_time()
    for n in range(1, len(offsets) + 1):
        cut = calibrate(rate, metafile.for_source(n, 1), n, f"{rate.name.removesuffix(RATE)}_{grating}")
        errors += line_errors(cut, lines)
        ratio, wave = flux_ratios(cut, lines, MODES[(filter, grating)])
        medians.append(np.median(ratio))
        spectra.append(np.max(np.abs(_smooth(ratio) - 1)))
        left.append(np.max(np.abs(_smooth(ratio / grid_error(wave, *offsets[n - 1])) - 1)))
    spent = (time.process_time() - started) / len(offsets)
    flat = np.array(medians) / medians[int(np.argmin([np.hypot(*o) for o in offsets]))]
    rms, worst = float(np.sqrt(np.mean(np.square(errors)))), float(np.max(np.abs(errors)))
    off = float(np.max(np.abs(flat - 1)))
    head = f"stage 2a accuracy, {grating}, {len(offsets)} offsets:"
    return [
        entry(f"{head} lines measured", len(errors), "", None),
        entry(f"{head} wavelength, rms", rms, "px", f"< {WAVE_GOAL}", rms < WAVE_GOAL),
        entry(f"{head} wavelength, median", float(np.median(errors)), "px"),
        entry(f"{head} wavelength, worst", worst, "px"),
        entry(f"{head} flux over that at the centre - 1, worst", off, "", f"< {FLUX_GOAL}", off < FLUX_GOAL),
        entry(f"{head} flux over that at the centre - 1, rms", float(np.sqrt(np.mean((flat - 1) ** 2)))),
        entry(f"{head} flux over the true one, median", float(np.median(medians))),
        entry(
            f"{head} flux over the true one - 1, worst {BOX} px",
            max(spectra),
            "",
            f"< {FLUX_GOAL}",
            max(spectra) < FLUX_GOAL,
        ),
        entry(f"{head} the same, but for the grid of the pathloss reference", max(left)),
        entry(f"{head} calibration of a source", spent, "CPU-s"),
    ]


def scale_rows(grating: str, folder: Path, place: tuple[int, int, int, float]) -> list[dict]:
    """The same sky through a slitlet with a source off centre and without."""
    *shutter, dx = place
    slitlet = Slitlet(1, *shutter, (Source(1, "point", np.nan, seds.power_law(0.0), dx),))
    sky = Sky(gradient=(0.0, 0.0), ripple=0.0)
    rate = observe(Scene((slitlet,), sky, failed_open=False), grating, "NRS1", folder)
    mine = Metafile.read(next(folder.glob("*_01_msa.fits"))).for_source(1, 1)
    stem = f"{rate.name.removesuffix(RATE)}_{grating}"
    sourced = calibrate(rate, mine, 1, f"{stem}_sourced")
    stock = calibrate(rate, unsourced(mine), 1, f"{stem}_stock")
    ours = calibrate(rate, unsourced(mine), 1, f"{stem}_ours", dx)
    head = f"stage 2a accuracy, {grating}, sky of a nod without the source (x = {dx:g}) over that with it:"
    return [*_compare(sourced, ours, head, goal=True), *_compare(sourced, stock, f"{head} stock,", goal=False)]


def _compare(sourced: Cut, bare: Cut, head: str, *, goal: bool) -> list[dict]:
    """Ratio of the same sky in two calibrations, both before pathloss correction, over all bright pixels."""
    assert (sourced.unit, bare.unit) == ("MJy", "MJy/sr"), (sourced.unit, bare.unit)
    with np.errstate(invalid="ignore"):
        one, other = sourced.sci * sourced.pathloss, bare.sci * bare.area * bare.pathloss
        bright = np.isfinite(one) & np.isfinite(other) & (other > 0.2 * np.nanmedian(other))
        ratio = other[bright] / one[bright]
    found = {"median - 1": float(np.median(ratio) - 1), "worst pixel - 1": float(np.max(np.abs(ratio - 1)))}
    aim = f"< {SCALE_GOAL}" if goal else None
    return [entry(f"{head} {name}", v, "", aim, not goal or abs(v) < SCALE_GOAL) for name, v in found.items()]


def accuracy() -> list[dict]:
    """Measure all; the environment names the embedded references."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    rows = []
    try:
        with tempfile.TemporaryDirectory(prefix="nirfire-accuracy-") as name:
            for part, make in {
                "prism": lambda f: sources_rows("PRISM", f, OFFSETS),
                "grating": lambda f: sources_rows("G395M", f, tuple(OFFSETS[k] for k in FEW)),
                "scale": lambda f: scale_rows("PRISM", f, (4, 120, 100, 0.3)),
            }.items():
                folder = Path(name) / part
                folder.mkdir()
                rows += make(folder)
    finally:
        logging.disable(level)
    return rows


def main() -> None:
    """Run alone."""
    options = parser(__doc__).parse_args()
    os.environ.update(embedded_environment(print))
    started = time.perf_counter()
    rows = accuracy()
    rows.append(entry("stage 2a accuracy: time", time.perf_counter() - started, "s"))
    save(rows, options.json)


if __name__ == "__main__":
    main()
