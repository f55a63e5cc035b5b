"""Where sources lie along their slitlet and how large they are, from all their nods at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from nirfire.core.model_frames import Frames, Painter
from nirfire.core.model_solve import at_pixels, effective_light, pixel_sums
from nirfire.core.slit_psf import SlitPsf

Array = NDArray[np.float64]

BLOCK = 32
"""[pixel] Columns that share the amplitude of a source."""
CONTINUUM = 31
"""Bins of a running median that is taken for the continuum."""
COLUMNS = 600
"""Exposures with more columns are binned for the fit."""
LARGEST = 0.8
"""[arcsec] Largest size tried."""
REACH = 0.5
"""[pitch] How far from its planned place a source is looked for."""
LINE = 4.0
"""[sigma] Bins that stand out by this are taken for lines and count as much as they are bright."""
_STEPS = np.array([5e-3, 5e-3])  # of offset [pitch] and size [arcsec], for derivatives
_FARTHEST = 20.0  # steps, in one round
_SIZES = (0.02, 0.08, 0.2, 0.4)
TILT_PRIOR = 0.03
"""[pitch / um] How much traces turn: two real PRISM traces do by 0.02."""
_TILT_STEP = 0.02
ROUNDS = 8


@dataclass(frozen=True)
class Prior:
    """What is known of a source before.

    Attributes
    ----------
    offset, offset_err : float [pitch]
        Place along the slitlet, from the planned one and the shift of the visit.
    size, size_err : float [arcsec]
        Standard deviation of a round Gaussian.
    """

    offset: float = 0.0
    offset_err: float = 0.05
    size: float = 0.0
    size_err: float = 0.15


@dataclass(frozen=True)
class Shape:
    """Place and size of a source.

    Attributes
    ----------
    offset, size : float [pitch, arcsec]
    covariance : ndarray, shape (2, 2)
        Of both.
    """

    offset: float
    size: float
    covariance: Array

    @property
    def errors(self) -> tuple[float, float]:
        """Standard errors of offset and size."""
        return float(np.sqrt(self.covariance[0, 0])), float(np.sqrt(self.covariance[1, 1]))


class Tilt(NamedTuple):
    """A turn of the trace: its place along the slitlet changes by `slope` per wavelength, about `pivot`.

    Attributes
    ----------
    slope, err : float [pitch / um]
    pivot : float [um]
    """

    slope: float = 0.0
    err: float = 0.0
    pivot: float = 0.0


def from_prior(prior: Prior) -> Shape:
    """The shape that the prior says."""
    return Shape(prior.offset, prior.size, np.diag([prior.offset_err**2, prior.size_err**2]))


def fit_shapes(
    frames: Sequence[Frames],
    psf: SlitPsf,
    edges: Array,
    spectra: Array,
    priors: Sequence[Prior],
    ivar: Sequence[Array],
    start: Sequence[Shape] = (),
) -> list[Shape]:
    """Fit place and size of all sources of a slitlet.

    Parameters
    ----------
    frames : sequence of Frames
    psf : SlitPsf
    edges : ndarray, shape (n_bin + 1,) [um]
        Of the grid of `spectra`.
    spectra : ndarray, shape (2, n_source, n_bin)
        First fluxes and their errors.
    priors : sequence of Prior
        One for each source.
    ivar : sequence of ndarray, shape (n_exp, n_spat, n_wave)
        Inverse variance of their fluxes; 0 for outliers.
    start : sequence of Shape, optional
        Shapes close to those that are looked for.

    Returns
    -------
    list of Shape

    Notes
    -----
    The posterior is maximised over places and sizes. Fluxes are linear and solved for within, one amplitude for each
    `BLOCK` of columns, on which the first spectrum is only a template: a line counts as much as it is bright, and the
    continuum does not follow the noise. Errors are from the second derivatives at the maximum.
    """
    views = [_View.of(f, psf, edges, spectra, k) for f, k in zip(frames, ivar, strict=True)]
    middle = np.array([(p.offset, p.size) for p in priors])
    width = np.array([(p.offset_err, p.size_err) for p in priors])

    def cost(values: Array) -> float:
        at = values.reshape(-1, 2)
        gain = sum(view.gain(at) for view in views)
        return 0.5 * float(np.sum(((at - middle) / width) ** 2)) - 0.5 * gain

    tried = [[s.size for s in start]] if start else [[size] * len(priors) for size in _SIZES]
    offsets = [s.offset for s in start] if start else middle[:, 0]
    starts = [np.column_stack([offsets, sizes]).ravel() for sizes in tried]
    reach = np.array([middle[:, 0] - REACH, middle[:, 0] + REACH])
    found, curvature = _minimum(cost, starts, reach)
    return [
        Shape(float(found[2 * k]), float(found[2 * k + 1]), _covariance(curvature, k, width[k]))
        for k in range(len(priors))
    ]


def fit_tilt(
    frames: Sequence[Frames], psf: SlitPsf, edges: Array, spectra: Array, shapes: Sequence[Shape], ivar: Sequence[Array]
) -> Tilt:
    """Fit how far the trace turns away from where the geometry says that it lies.

    Parameters
    ----------
    frames, psf, edges, spectra, ivar
        As of `fit_shapes`.
    shapes : sequence of Shape
        Of the sources, which stay as they are.

    Returns
    -------
    Tilt
        About the wavelength at which the source tells its place best, so that place and tilt are independent.
    """
    middle = 0.5 * (edges[1:] + edges[:-1])
    signal = (spectra[0, 0] / np.where(np.isfinite(spectra[1, 0]), spectra[1, 0], np.inf)) ** 2
    pivot = float(np.sum(middle * signal) / signal.sum()) if signal.sum() > 0 else float(middle.mean())
    at = np.array([(shape.offset, shape.size) for shape in shapes])

    def cost(slope: float) -> float:
        tilt = Tilt(slope, 0.0, pivot)
        views = [_View.of(tilted(f, tilt), psf, edges, spectra, k) for f, k in zip(frames, ivar, strict=True)]
        return 0.5 * (slope / TILT_PRIOR) ** 2 - 0.5 * sum(view.gain(at) for view in views)

    slope, step = 0.0, _TILT_STEP
    for _ in range(2):
        low, here, high = (cost(slope + k * step) for k in (-1, 0, 1))
        curvature = (high - 2 * here + low) / step**2
        if curvature <= 0:
            return Tilt(0.0, TILT_PRIOR, pivot)
        slope = float(np.clip(slope - (high - low) / (2 * step) / curvature, -5 * step, 5 * step))
    return Tilt(slope, min(TILT_PRIOR, float(curvature**-0.5)), pivot)


def tilted(frames: Frames, tilt: Tilt) -> Frames:
    """Frames whose pixels lie where the tilt says."""
    known = np.isfinite(frames.centre)
    count = known.sum(axis=0)
    column = np.sum(np.where(known, frames.centre, 0.0), axis=0) / np.maximum(count, 1)
    return replace(frames, place=frames.place - tilt.slope * np.where(count > 0, column - tilt.pivot, 0.0))


@dataclass(frozen=True)
class _View:
    """Frames, binned if they are long, with weights and templates."""

    painter: Painter
    ivar: Array
    template: Array  # (n_source, n_spat, n_wave)

    @classmethod
    def of(cls, frames: Frames, psf: SlitPsf, edges: Array, spectra: Array, ivar: Array) -> _View:
        binned, ivar = _binned(frames, ivar, -(-frames.flux.shape[2] // COLUMNS))
        template = np.array([at_pixels(edges, binned.wave, _template(*pair)) for pair in zip(*spectra, strict=True)])
        return cls(Painter(binned, psf), ivar, template)

    def gain(self, at: Array) -> float:
        """By how much sources at these places and of these sizes lower chi2."""
        frames = self.painter.frames
        light = np.array([self.painter.light(s, *values) for s, values in enumerate(at)])
        light = effective_light(frames, light * self.template[:, np.newaxis])
        data, normal = pixel_sums(frames, light, self.ivar)
        data, normal = _blocks(data.sum(axis=-2)), _blocks(normal.sum(axis=-2))
        if len(at) == 1:
            there = normal[0, 0] > 0
            return float(np.sum(data[0, there] ** 2 / normal[0, 0, there]))
        inverse = np.linalg.pinv(np.moveaxis(normal, -1, 0), rcond=1e-8, hermitian=True)
        return float(np.einsum("sk,kst,tk->", data, inverse, data))


def _template(flux: Array, err: Array) -> Array:
    """A smooth continuum, and the lines that stand out of it."""
    known = np.isfinite(err) & (err > 0)
    noise = float(np.median(err[known])) if known.any() else 1.0
    continuum = np.maximum(median_filter(np.where(known, flux, 0.0), CONTINUUM, mode="nearest"), 0.05 * noise)
    return np.where(known & (flux - continuum > LINE * np.where(known, err, 1.0)), flux, continuum)


def _binned(frames: Frames, ivar: Array, n: int) -> tuple[Frames, Array]:
    """Means of n columns, weighted by inverse variance; what is left over at the end is dropped."""
    if n < 2:
        return frames, ivar
    n_wave = frames.flux.shape[2] // n * n

    def total(values: Array) -> Array:
        return values[..., :n_wave].reshape(*values.shape[:-1], n_wave // n, n).sum(axis=-1)

    weight = total(ivar)
    safe = np.where(weight > 0, weight, 1.0)
    blank = np.zeros(weight.shape)
    backgrounds = None if frames.backgrounds is None else total(frames.backgrounds) / n
    made = replace(
        frames,
        flux=np.where(weight > 0, total(ivar * frames.flux) / safe, 0.0),
        photon=blank,
        read=blank,
        sky=blank,
        sky_variance=blank,
        good=weight > 0,
        wave=frames.wave[:, : n_wave + 1 : n],
        backgrounds=backgrounds,
        place=total(frames.place) / n,
        passed=total(frames.passed) / n,
    )
    return made, weight


def _blocks(values: Array) -> Array:
    """Sums of `BLOCK` columns."""
    starts = np.arange(0, values.shape[-1], BLOCK)
    return np.add.reduceat(values, starts, axis=-1)


def _minimum(cost: Callable[[Array], float], starts: Sequence[Array], reach: Array) -> tuple[Array, Array]:
    """Minimum of the cost over places and sizes, one after the other, and its second derivatives there.

    Newton's method from the best of some starts. The cost is even in a size: below zero it is that of the same above.
    """
    at = min(starts, key=cost)
    steps = np.tile(_STEPS, len(at) // 2)
    for _ in range(ROUNDS):
        middle, slope, curvature = _derivatives(cost, at, steps)
        values, vectors = np.linalg.eigh(curvature)
        move = -(vectors / np.maximum(np.abs(values), 1e-6 * np.abs(values).max())) @ vectors.T @ slope
        new = at + np.clip(move, -_FARTHEST * steps, _FARTHEST * steps)
        new[::2], new[1::2] = np.clip(new[::2], *reach), np.clip(np.abs(new[1::2]), 0.0, LARGEST)
        while np.any(np.abs(new - at) > 0.1 * steps) and cost(new) > middle:
            new = 0.5 * (at + new)
        done = np.all(np.abs(new - at) < 0.1 * steps)
        at = new
        if done:
            break
    return at, curvature


def _derivatives(cost: Callable[[Array], float], at: Array, steps: Array) -> tuple[float, Array, Array]:
    """Value, first and second derivatives by differences, shapes (n,) and (n, n)."""
    n, unit = len(at), np.diag(steps)

    def value(x: Array) -> float:
        x = x.copy()
        x[1::2] = np.abs(x[1::2])
        return cost(x)

    middle = value(at)
    plus, minus = (np.array([value(at + sign * unit[k]) for k in range(n)]) for sign in (1, -1))
    second = np.diag((plus - 2 * middle + minus) / steps**2)
    for j in range(n):
        for k in range(j):
            both = value(at + unit[j] + unit[k])
            second[j, k] = second[k, j] = (both - plus[j] - plus[k] + middle) / (steps[j] * steps[k])
    return middle, (plus - minus) / (2 * steps), second


def _covariance(curvature: Array, source: int, width: Array) -> Array:
    """Covariance of a source's place and size; no wider than the prior, which is what stays where data say nothing."""
    mine = slice(2 * source, 2 * source + 2)
    values, vectors = np.linalg.eigh(curvature)
    least = 1e-3 * np.max(np.abs(values))
    covariance = (vectors / np.maximum(values, least)) @ vectors.T
    part = covariance[mine, mine]
    shrink = np.minimum(1.0, width / np.sqrt(np.diag(part)))
    return part * np.outer(shrink, shrink)
