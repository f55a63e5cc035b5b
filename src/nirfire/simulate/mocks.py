"""Mock 1D spectra of known redshift with the faults of real ones, by the thousand.

Unlike :mod:`nirfire.simulate.observation` nothing is painted on a detector: a source is blurred, averaged over the
pixels of the grid of its grating and given noise. They serve to measure success rates and to calibrate probabilities.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import erf

from nirfire.core.grids import wave_grid
from nirfire.simulate.lsf import uniform_fwhm
from nirfire.simulate.mock_sources import FIRST, Population, Source, draw_source
from nirfire.simulate.seds import C_KMS

Array = NDArray[np.float64]

_FWHM = 2.354820045
_SUB = 20  # cells of the fine grid per sigma of a uniformly lit slit
LINE_SNR = 5.0
_OVERLAP = 0.2  # of two Gaussians 2.5 sigma apart


class Mode(NamedTuple):
    """The grid of a mode and the shape of its errors.

    Attributes
    ----------
    filter : str
    low, high : float [um]
        Range of the grid, the ends of which are beyond the nominal range of a grating.
    inner_low, inner_high : float [um]
        Between which the flux calibration is good.
    knots, error : tuple of float
        Wavelengths [um] and errors of f_nu over their median, as in reduced spectra.
    """

    filter: str
    low: float
    high: float
    inner_low: float
    inner_high: float
    knots: tuple[float, ...]
    error: tuple[float, ...]


_RED = ((2.70, 2.78, 2.85, 2.95, 3.1, 3.4, 3.8, 4.2, 4.6, 4.9, 5.1, 5.25, 5.4),
        (3.2, 2.2, 1.12, 0.76, 0.64, 0.63, 0.73, 0.94, 1.33, 1.81, 2.15, 2.7, 3.5))  # fmt: skip
_MIDDLE = ((1.60, 1.66, 1.75, 1.9, 2.2, 2.5, 2.8, 3.0, 3.15, 3.3), (1.6, 1.0, 0.8, 0.7, 0.75, 0.8, 1.2, 1.5, 1.8, 2.6))
_BLUE = ((0.92, 0.97, 1.02, 1.1, 1.3, 1.5, 1.7, 1.85, 1.95), (3.0, 1.6, 1.3, 1.1, 0.95, 0.9, 0.95, 1.1, 1.8))
MODES = {
    "PRISM": Mode("CLEAR", 0.60, 5.30, 0.63, 5.20,
                  (0.60, 0.62, 0.75, 0.9, 1.1, 1.4, 1.8, 2.3, 2.9, 3.5, 4.2, 4.7, 5.0, 5.3),
                  (1.5, 1.08, 0.66, 0.54, 0.43, 0.42, 0.5, 0.57, 0.72, 0.93, 1.47, 2.1, 2.7, 3.4)),
    "G140M": Mode("F100LP", 0.92, 1.95, 0.99, 1.88, *_BLUE),
    "G235M": Mode("F170LP", 1.60, 3.30, 1.68, 3.15, *_MIDDLE),
    "G395M": Mode("F290LP", 2.75, 5.40, 2.85, 5.20, *_RED),
    "G140H": Mode("F100LP", 0.97, 1.82, 1.00, 1.80, *_BLUE),
    "G235H": Mode("F170LP", 1.66, 3.17, 1.70, 3.10, *_MIDDLE),
    "G395H": Mode("F290LP", 2.87, 5.27, 2.90, 5.15, *_RED),
}  # fmt: skip
"""The modes of which there are mock spectra."""


class Mocks(NamedTuple):
    """Spectra on one grid, and what they are.

    Attributes
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Middles of the pixels.
    flux, err : ndarray, shape (n, n_wave) [uJy]
        As a reduction would quote them; NaN where a pixel is missing.
    z : ndarray, shape (n,)
        True redshift; 0 of dwarfs, NaN of blanks and of sources without a feature.
    kind : ndarray of str, shape (n,)
    snr : ndarray, shape (n,)
        Median of the true continuum over the true error in a pixel.
    n_lines : ndarray of int, shape (n,)
        Lines (blends count once) with a S/N above `LINE_SNR`.
    line_snr : ndarray, shape (n, 3)
        S/N of the three best lines, best first; 0 where there are fewer.
    """

    wave: Array
    flux: Array
    err: Array
    z: Array
    kind: NDArray[np.str_]
    snr: Array
    n_lines: NDArray[np.int64]
    line_snr: Array

    @property
    def ivar(self) -> Array:
        """Inverse variance [uJy^-2], 0 where a pixel is missing; shape (n, n_wave)."""
        good = np.isfinite(self.flux) & (np.nan_to_num(self.err) > 0)
        return np.where(good, np.where(good, self.err, 1.0) ** -2.0, 0.0)


class _Grid(NamedTuple):
    """Pixels of a mode and a fine grid on which the uniform-slit LSF is `_SUB` cells wide everywhere."""

    wave: Array
    edges: Array
    fine: Array  # (n_fine + 1,) edges of the fine cells


@functools.lru_cache(maxsize=16)
def _grid(grating: str) -> _Grid:
    mode = MODES[grating]
    pixels = wave_grid(grating, mode.filter, (mode.low, mode.high))
    coarse = np.geomspace(mode.low * 0.97, mode.high * 1.03, 4000)
    rate = _FWHM / uniform_fwhm(coarse, grating)
    u = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(coarse))])
    return _Grid(pixels.wave, pixels.edges, np.interp(np.arange(0.0, u[-1], 1.0 / _SUB), u, coarse))


def draw(grating: str, n: int, seed: int, population: Population = FIRST) -> Mocks:
    """Mock spectra of a mode.

    Parameters
    ----------
    grating : str
        Key of `MODES`.
    n : int
        Number of spectra.
    seed : int
        Spectrum i depends on the seed and i alone, not on `n`.
    population : Population
        What is drawn from.

    Returns
    -------
    Mocks
    """
    if grating not in MODES:
        raise ValueError(f"unknown grating {grating!r}: one of {', '.join(MODES)}")
    ones = [_one(grating, np.random.default_rng([seed, i]), population) for i in range(n)]
    flux, err, z, kind, snr, lines = zip(*ones, strict=True)
    line_snr = np.array([np.pad(np.sort(s)[::-1][:3], (0, 3 - min(s.size, 3))) for s in lines])
    n_lines = np.array([int(np.sum(s > LINE_SNR)) for s in lines])
    wave = _grid(grating).wave
    return Mocks(wave, np.array(flux), np.array(err), np.array(z), np.array(kind), np.array(snr), n_lines, line_snr)


def _one(
    grating: str, rng: np.random.Generator, population: Population
) -> tuple[Array, Array, float, str, float, Array]:
    """Flux, error, z, kind, S/N of the continuum, S/N of the lines of one spectrum."""
    grid, mode = _grid(grating), MODES[grating]
    source = draw_source(rng, population)
    gain = float(rng.uniform(1.15, 1.9))
    continuum, profiles = _seen(source, grating, grid, gain)
    shape = np.interp(grid.wave, mode.knots, mode.error) * _smooth(rng, grid.wave, 0.15)
    shape = shape * np.exp(rng.normal(0.0, 0.08, shape.size)) * np.where(rng.random(shape.size) < 0.04, 1.5, 1.0)
    level = float(np.exp(rng.uniform(np.log(population.snr_low), np.log(population.snr_high))))
    if source.kind in ("extreme", "lyman_alpha"):
        level *= 0.15
    typical = float(np.median(continuum / shape))
    scale = level / typical if typical > 0 else 0.0
    continuum, profiles = continuum * scale, profiles * scale
    total = continuum + profiles.sum(axis=0)
    err = np.hypot(shape, np.sqrt(np.clip(total, 0.0, None) * shape / rng.uniform(3.0, 30.0)))
    missing = _missing(rng, grid.wave, grating)
    rho = float(rng.uniform(0.2, 0.4))
    line_snr = _line_snr(profiles[:, ~missing], err[~missing], rho)
    flux = total * _smooth(rng, grid.wave, float(rng.uniform(0.03, 0.09))) + _faults(rng, grid.wave, mode, err)
    flux = flux + err * _noise(rng, err.size, rho)
    quoted = err * rng.uniform(0.8, 1.1)
    unit = float(10 ** rng.uniform(-2.7, -1.0))  # uJy: the error of a typical pixel
    flux, quoted = np.where(missing, np.nan, flux * unit), np.where(missing, np.nan, quoted * unit)
    snr = float(np.median((continuum / err)[~missing]))
    return flux, quoted, source.z, source.kind, snr, line_snr


def _seen(source: Source, grating: str, grid: _Grid, gain: float) -> tuple[Array, Array]:
    """Continuum, shape (n_wave,), and each line, shape (n_lines, n_wave), as means over the pixels."""
    steps = 0.5 * (source.continuum[1:] + source.continuum[:-1]) * np.diff(source.wave)
    running = np.concatenate([[0.0], np.cumsum(steps)])
    cells = np.diff(np.interp(grid.fine, source.wave, running))
    cells = gaussian_filter1d(cells, _SUB / gain, mode="nearest", truncate=5.0)
    blurred = np.interp(grid.edges, grid.fine, np.concatenate([[0.0], np.cumsum(cells)]))
    bins = np.diff(grid.edges)
    continuum = np.diff(blurred) / bins
    inside = (source.line_wave > grid.edges[0] * 0.98) & (source.line_wave < grid.edges[-1] * 1.02)
    wave, area, width = source.line_wave[inside], source.line_area[inside], source.line_width[inside]
    lsf = uniform_fwhm(wave, grating) / _FWHM / gain if wave.size else wave
    sigma = np.hypot(lsf, width / C_KMS * wave)
    cdf = 0.5 * (1.0 + erf((grid.edges[None, :] - wave[:, None]) / (np.sqrt(2.0) * sigma[:, None])))
    return continuum, area[:, None] * np.diff(cdf, axis=1) / bins


def _line_snr(profiles: Array, err: Array, rho: float) -> Array:
    """S/N above 1 of lines in correlated noise; lines that overlap by more than a fifth count as one."""
    white = profiles / err
    alone = np.sum(white**2, axis=1)
    groups: list[Array] = []
    for i in np.argsort(-alone):
        if alone[i] < 1.0:
            break
        size = np.sqrt(alone[i])
        for k, other in enumerate(groups):
            if white[i] @ other > _OVERLAP * size * np.sqrt(other @ other):
                groups[k] = other + white[i]
                break
        else:
            groups.append(white[i])
    signal = np.array([one @ one for one in groups])
    noise = np.array([one @ one + 2.0 * rho * (one[1:] @ one[:-1]) for one in groups])
    return signal / np.sqrt(noise)


def _smooth(rng: np.random.Generator, wave: Array, size: float) -> Array:
    """A smooth factor about 1 that varies by about `size` over the range."""
    x = (np.log(wave) - np.log(wave[0])) / np.log(wave[-1] / wave[0])
    waves = [np.cos(np.pi * k * x + rng.uniform(0, 2 * np.pi)) * rng.normal() / k for k in (1, 2, 3, 4)]
    return np.exp(size * np.sum(waves, axis=0))


def _noise(rng: np.random.Generator, size: int, rho: float) -> Array:
    """Noise of unit variance, neighbours correlated by `rho`; 0.5 % of the pixels spiked by 5 to 20 sigma."""
    b = (1.0 - np.sqrt(1.0 - 4.0 * rho**2)) / (2.0 * rho)
    white = rng.normal(size=size + 1)
    noise = (white[1:] + b * white[:-1]) / np.sqrt(1.0 + b**2)
    hit = rng.random(size) < 0.005
    return np.where(hit, noise + rng.uniform(5.0, 20.0, size) * np.where(rng.random(size) < 0.8, 1, -1), noise)


def _faults(rng: np.random.Generator, wave: Array, mode: Mode, err: Array) -> Array:
    """Sky that was left in, ends that blow up, a line that is somebody else's."""
    typical = float(np.median(err))
    extra = typical * rng.normal(0.0, 0.15) * _smooth(rng, wave, 0.5)
    if rng.random() < 0.35:
        for out in (mode.inner_low - wave, wave - mode.inner_high):
            if rng.random() < 0.7:
                size = float(np.exp(rng.uniform(0.0, np.log(30.0)))) * rng.choice([1.0, 1.0, -0.5])
                reach = np.clip(out, 0.0, None) / max(float(out.max()), 1e-9)
                rough = 1.0 + 0.3 * gaussian_filter1d(rng.normal(size=wave.size), 2.0) * 2.5
                extra = extra + err * size * reach**1.5 * rough
    if rng.random() < 0.02:
        centre = float(rng.uniform(wave[0], wave[-1]))
        step = float(np.interp(centre, wave[1:], np.diff(wave)))
        line = np.exp(-0.5 * ((wave - centre) / (rng.uniform(0.9, 1.5) * step)) ** 2)
        extra = extra + float(rng.uniform(4.0, 20.0)) * float(np.interp(centre, wave, err)) * line
    return extra


def _missing(rng: np.random.Generator, wave: Array, grating: str) -> NDArray[np.bool_]:
    """Scattered bad pixels, spectra that run off a detector, the gap between the detectors, blank extended ends."""
    missing = rng.random(wave.size) < rng.uniform(0.0, 0.02)
    n, mode = wave.size, MODES[grating]
    if rng.random() < 0.15:
        cut = int(rng.uniform(0.05, 0.45) * n)
        missing[:cut] |= rng.random() < 0.5
        if not missing[:cut].all():
            missing[n - cut :] = True
    if grating != "PRISM" and rng.random() < (0.25 if grating.endswith("M") else 0.8):
        start, length = int(rng.uniform(0.2, 0.8) * n), int(rng.uniform(0.04, 0.12) * n)
        missing[start : start + length] = True
    if rng.random() < 0.4:
        missing |= (wave < mode.inner_low) | (wave > mode.inner_high + 0.05)
    return missing
