"""Noise, cosmic rays and hot pixels on calibrated cutouts; what stock would say of it; and the best that can be had."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _extraction_observe import Case, Cutout, Layout, load, spectrum
from nirfire.products.slitcal import DO_NOT_USE, JUMP_DET
from nirfire.simulate import lsf
from nirfire.simulate.optics import MODES
from nirfire.simulate.paint import N_PIX

Array = NDArray[np.float64]

HIT = 0.05  # share of pixels in which the ramp had a jump: 68 hits/s on the detector, three pixels each
HIT_VARIANCE = 1.5  # readout variance of a ramp in two pieces, over that of a whole one
LEFT = 0.02  # share of these in which something is left, of this height in the mean
LEFT_HEIGHT = 5.0  # sigma
MISSED = 1e-3  # share of pixels in which a hit was not found
MISSED_HEIGHT = 10.0  # sigma
HOT, HOT_RATE = 1e-3, 0.1  # share of pixels that no map knows as hot, and their mean dark current [DN/s]
BLOCK = 20  # bins


@dataclass(frozen=True)
class Draw:
    """One exposure with noise.

    Attributes
    ----------
    rate, noise, extra : ndarray, shape (n_spat, n_wave) [DN/s]
        Light, Gaussian noise, particles and hot pixels.
    variance : ndarray, shape (n_spat, n_wave) [(DN/s)^2]
        True; zero where particles or unknown hot pixels make the pixel worthless.
    readout : ndarray, shape (n_spat, n_wave) [(DN/s)^2]
    jump : ndarray of bool, shape (n_spat, n_wave)
    """

    rate: Array
    noise: Array
    extra: Array
    variance: Array
    readout: Array
    jump: NDArray[np.bool_]


@cache
def _hot() -> Array:
    """Excess dark current of pixels that no map knows, shape (2048, 2048) [DN/s]."""
    rng = np.random.default_rng(5)
    return np.where(rng.random((N_PIX, N_PIX)) < HOT, HOT_RATE * rng.standard_exponential((N_PIX, N_PIX)), 0.0)


def draw(cutout: Cutout, level: float, rng: np.random.Generator, *, particles: bool = True) -> Draw:
    """One exposure of a source of some brightness, in units of the painted one."""
    shape, (x, y) = cutout.sky.shape, cutout.slit.origin
    hot = _hot()[y : y + shape[0], x : x + shape[1]] if particles else np.zeros(shape)
    rate = cutout.sky + level * cutout.source
    jump = (rng.random(shape) < HIT) & particles
    readout = cutout.read**2 * np.where(jump, HIT_VARIANCE, 1.0)
    variance = cutout.variance(rate + hot) + readout
    sigma = np.sqrt(variance)
    noise = sigma * rng.standard_normal(shape)
    missed = (rng.random(shape) < MISSED) & particles
    left = jump & (rng.random(shape) < LEFT)
    hit = sigma * rng.standard_exponential(shape) * (MISSED_HEIGHT * missed + LEFT_HEIGHT * left)
    return Draw(rate, noise, hot + hit, np.where(cutout.good & (hit == 0), variance, 0.0), readout, jump)


def write(cutout: Cutout, made: Draw, sign: float, path: Path, spike: Array | None = None) -> None:
    """Write the ``_cal.fits`` with the noise or, at sign -1, its mirror image; all else is the same.

    Parameters
    ----------
    cutout : Cutout
    made : Draw
    sign : float
        Factor on the Gaussian noise; 0 for none.
    path : Path
    spike : ndarray, shape (n_spat, n_wave) [sigma], optional
        Added, in units of the standard deviation.
    """
    rate = made.rate + sign * made.noise + made.extra
    if spike is not None:
        rate = rate + spike * np.sqrt(made.variance)
    poisson = cutout.variance(rate)  # of the noisy rate, as ramp fits have it
    factor, good = cutout.factor, cutout.good
    dq = cutout.slit.dq | np.where(made.jump, JUMP_DET, 0).astype(np.uint32) | np.where(good, 0, DO_NOT_USE)

    def plane(value: Array, power: int) -> Array:
        return np.where(good, value * factor**power, np.nan)

    slit = cutout.slit.with_arrays(
        sci=plane(rate, 1),
        err=np.sqrt(plane(poisson + made.readout, 2)),
        dq=dq.astype(np.uint32),
        var_poisson=plane(poisson, 2),
        var_rnoise=plane(made.readout, 2),
    )
    slit.write(path)


def truth(case: Case, layout: Layout, wave: Array) -> Array:
    """f_nu at unit brightness [uJy], at the resolution of the instrument, in bins around `wave` (n_wave,) [um]."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    edges = np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
    low, high = MODES[(layout.filter, layout.grating)]
    grid = lsf.natural_grid(layout.grating, (0.9 * low, 1.12 * high), case.size)
    blurred = lsf.blur(grid, spectrum(case, layout.grating).integral(grid))
    return blurred.mean(edges[:-1], edges[1:])


def information(cutouts: list[Cutout], draws: list[Draw]) -> tuple[Array, Array, Array]:
    """Fisher information of the brightness in each detector pixel, its sky being unknown.

    Returns
    -------
    low, high : ndarray, shape (n_pixel,) [um]
        The pixels.
    information : ndarray, shape (n_pixel,)
        sum w a^2 - (sum w a)^2 / sum w over the exposures: a is what the pixel gets of a source of unit brightness, w
        the inverse of the true variance; one free parameter, the sky of the pixel, is marginalised over.

    Notes
    -----
    No unbiased estimator of the brightness in a range of wavelengths has a smaller variance than one over the sum of
    the information of its pixels (Cramer-Rao).
    """
    corners = np.array([c.slit.origin for c in cutouts])
    ends = np.array([(c.slit.origin[0] + c.sky.shape[1], c.slit.origin[1] + c.sky.shape[0]) for c in cutouts])
    (x0, y0), (x1, y1) = corners.min(axis=0), ends.max(axis=0)
    sums = np.zeros((3, y1 - y0, x1 - x0))
    places = np.full((2, y1 - y0, x1 - x0), np.nan)
    for cutout, made in zip(cutouts, draws, strict=True):
        x, y = cutout.slit.origin
        here = (slice(y - y0, y - y0 + cutout.sky.shape[0]), slice(x - x0, x - x0 + cutout.sky.shape[1]))
        weight = np.divide(1.0, made.variance, out=np.zeros(made.variance.shape), where=made.variance > 0)
        for total, value in zip(sums, (1.0, cutout.source, cutout.source**2), strict=True):
            total[here] += weight * value
        centre = np.asarray(cutout.slit.wave, float)
        half = 0.5 * np.abs(np.gradient(centre, axis=1))
        for plane, value in zip(places, (centre - half, centre + half), strict=True):
            plane[here] = np.where(np.isfinite(value), value, plane[here])
    known = (sums[0] > 0) & np.isfinite(places).all(axis=0)
    w, wa, waa = (s[known] for s in sums)
    return places[0][known], places[1][known], waa - wa**2 / w


def information_in(limits: Array, pixels: tuple[Array, Array, Array]) -> Array:
    """Information between successive `limits` (n + 1,) [um]; pixels on a limit count in part. Shape (n,)."""
    low, high, value = pixels
    order = np.argsort(low)
    low, high, value = low[order], high[order], value[order]
    total = np.zeros(len(limits) - 1)
    for k, (a, b) in enumerate(pairwise(limits)):
        share = np.clip((np.minimum(b, high) - np.maximum(a, low)) / (high - low), 0.0, 1.0)
        total[k] = np.sum(share * value)
    return total


def level_for(layout: Layout, case: Case, wanted: float, wave: Array) -> float:
    """Brightness at which the best possible S/N per bin of `wave` is `wanted` in the median."""
    cutouts = [load(path) for path in layout.cals(case)]
    inside = np.linspace(0, len(wave) - 1, 41).astype(int)
    limits = wave[inside]
    bins = np.diff(inside)
    level = 1.0
    for _ in range(12):
        draws = [draw(c, level, np.random.default_rng(1), particles=False) for c in cutouts]
        found = level * np.sqrt(information_in(limits, information(cutouts, draws)) / bins)
        step = wanted / float(np.median(found))
        level *= step
        if abs(step - 1.0) < 1e-3:
            break
    return level


def nominal_range(layout: Layout) -> tuple[float, float]:
    """Wavelengths that are judged [um]: the nominal range, without its ends where the truth is cut."""
    low, high = MODES[(layout.filter, layout.grating)]
    return 1.02 * low, 0.99 * high
