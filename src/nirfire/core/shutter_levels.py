"""The sky level that each micro-shutter passes: 1 through an open one, 0 where it is stuck closed.

The model: the inner part of shutter k of a slitlet shows, in wavelength bin w of an exposure, ``f_k S_w`` plus what
sources add. S is the sky spectrum as that detector sees it, smooth in wavelength. f is 1 for an open shutter, within
the scatter over the field (flat field, sky), which is measured; 0 for a closed one; between for one that is vignetted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float64]
Ints = NDArray[np.int_]

LEAST_BINS = 8  # wavelength bins of a spectrum without which it says nothing
BLOCK = 4  # bins; the error of a level is the scatter between such blocks where that is larger
LEAST_SLITS = 5  # slitlets on a detector from which they tell each other's sky; fewer are on their own
SMOOTH, SMOOTH_ALONE = 1.5, 3.0  # [bin] standard deviation by which the sky spectrum is smoothed
LEAST_SCATTER = 0.03
DARK = 0.15  # of the brightest shutter of a slitlet; darker ones cannot tell the sky of a slitlet that is on its own
CLEARLY = 4.0  # sigma by which a level is beyond doubt
ROUNDS = 3


class Spectra(NamedTuple):
    """Mean light in the inner part of shutters, n spectra in n_wave bins.

    Attributes
    ----------
    value, ivar : ndarray, shape (n, n_wave)
        In any unit; ``ivar = 0`` where there is no information.
    detector, exposure, slit, ordinal : ndarray of int, shape (n,)
        Whose they are; ordinals count the shutters of a slitlet. Detectors share neither bins nor sky.
    sourced : ndarray of bool, shape (n,)
        A source is planned in the shutter during this exposure.
    """

    value: Array
    ivar: Array
    detector: Ints
    exposure: Ints
    slit: Ints
    ordinal: Ints
    sourced: NDArray[np.bool_]

    def part(self, chosen: Ints) -> Spectra:
        """Some of them."""
        value, ivar, detector, exposure, slit, ordinal, sourced = (a[chosen] for a in self)
        return Spectra(value, ivar, detector, exposure, slit, ordinal, sourced)  # type: ignore[arg-type]


class Levels(NamedTuple):
    """Level of each spectrum.

    Attributes
    ----------
    level, error : ndarray, shape (n,)
        Relative to the sky through an open shutter; an infinite error where there is no information.
    sky : ndarray, shape (n, n_wave)
        The light that an open shutter would show.
    alone : ndarray of bool, shape (n,)
        The sky is known from the slitlet's own shutters only.
    """

    level: Array
    error: Array
    sky: Array
    alone: NDArray[np.bool_]


def shutter_levels(spectra: Spectra) -> Levels:
    """Measure the level of each shutter in each exposure.

    Parameters
    ----------
    spectra : Spectra
        Of all exposures that have one configuration of the shutters.

    Returns
    -------
    Levels

    Notes
    -----
    The level is the weighted mean over the bins of value over sky, with the weights sky^2 / variance, and without bins
    that are off by more than four times their error. The sky is the mean of the shutters in which no source is planned
    and whose level is that of an open shutter, in some rounds. Noise that is correlated along the columns makes the
    bins scatter more than their errors say: the error of a level is the scatter between blocks of bins, if larger.
    """
    n, n_wave = spectra.value.shape
    level, error, sky = np.zeros(n), np.full(n, np.inf), np.zeros((n, n_wave))
    by_itself = np.zeros(n, bool)
    for members, alone in _families(spectra):
        mine = spectra.part(members)
        level[members], error[members], sky[members] = _family_levels(mine, alone=alone)
        by_itself[members] = alone
    return Levels(level, error, sky, by_itself)


def _families(spectra: Spectra) -> Iterator[tuple[Ints, bool]]:
    """Spectra that share a sky, and whether they are of one slitlet alone: a detector's, or each slitlet's."""
    for detector in np.unique(spectra.detector):
        here = np.flatnonzero(spectra.detector == detector)
        telling = spectra.slit[here][informed(spectra)[here] & ~spectra.sourced[here]]
        if np.unique(telling).size >= LEAST_SLITS:
            yield here, False
        else:
            for slit in np.unique(spectra.slit[here]):
                yield here[spectra.slit[here] == slit], True


def informed(spectra: Spectra) -> NDArray[np.bool_]:
    """Spectra with enough bins to tell anything, shape (n,)."""
    return (spectra.ivar > 0).sum(axis=1) >= LEAST_BINS


def _family_levels(spectra: Spectra, *, alone: bool) -> tuple[Array, Array, Array]:
    """Level, error and sky of the spectra of a detector, or of a slitlet that is alone on it."""
    telling = _telling(spectra)
    n = spectra.slit.size
    found = _first_sky(spectra, telling)
    level, error = np.zeros(n), np.full(n, np.inf)
    for _ in range(ROUNDS):
        shape = _smoothed(*found, SMOOTH_ALONE if alone else SMOOTH)
        if not (shape > 0).any():
            return np.zeros(n), np.full(n, np.inf), np.zeros(spectra.value.shape)
        level, error = _levels(spectra.value, spectra.ivar, shape)
        unit = _unit_alone(spectra, level, error) if alone else _unit(level, error, telling)
        if not unit > 0:
            return np.zeros(n), np.full(n, np.inf), np.zeros(spectra.value.shape)
        level, error, shape = level / unit, error / unit, shape * unit
        scale = np.ones(n) if alone else _exposure_scales(spectra.exposure, level, error, telling)
        level, error = level / scale, error / scale
        sky = shape * scale[:, None]
        usual = telling & np.isfinite(error) & (np.abs(level - 1.0) < np.maximum(0.4, 2 * np.minimum(error, 1.0)))
        found = _mean(spectra.value / scale[:, None], spectra.ivar * scale[:, None] ** 2, usual, fallback=shape)
    return level, error, sky


def source_distances(spectra: Spectra) -> Array:
    """Shutters from each to the nearest with a source in the same slitlet and exposure, shape (n,); inf without one."""
    found = np.full(spectra.slit.size, np.inf)
    for k in np.flatnonzero(spectra.sourced):
        beside = (spectra.slit == spectra.slit[k]) & (spectra.exposure == spectra.exposure[k])
        found[beside] = np.minimum(found[beside], np.abs(spectra.ordinal[beside] - spectra.ordinal[k]))
    return found


def _telling(spectra: Spectra) -> NDArray[np.bool_]:
    """Spectra that show the sky alone: no source in the shutter, nor in the next, where there are enough of them."""
    known, distance = informed(spectra), source_distances(spectra)
    far = known & (distance > 1)
    if np.unique(spectra.slit[far]).size >= LEAST_SLITS:
        return far
    clear = known & (distance > 0)
    return clear if clear.any() else known


def _first_sky(spectra: Spectra, telling: NDArray[np.bool_]) -> tuple[Array, Array]:
    """A sky that no source spoils: of each shutter the median over the exposures, of these the mean."""
    n_wave = spectra.value.shape[1]
    total, weight = np.zeros(n_wave), np.zeros(n_wave)
    keys = spectra.slit * 1000 + spectra.ordinal
    medians, known = [], []
    for key in np.unique(keys[telling]):
        mine = telling & (keys == key)
        value = np.ma.masked_array(spectra.value[mine], spectra.ivar[mine] <= 0)
        medians.append(np.ma.median(value, axis=0).filled(0.0))
        known.append(~np.ma.getmaskarray(value).all(axis=0))
    if not medians:
        return total, weight
    values, weights = np.array(medians), np.array(known, dtype=float)
    if len(medians) >= 2 * LEAST_SLITS:
        kept = np.ma.median(np.ma.masked_array(values, weights == 0), axis=0).filled(0.0)
        return kept, weights.sum(axis=0)
    weight = weights.sum(axis=0)
    return (values * weights).sum(axis=0) / np.maximum(weight, 1.0), weight


def _mean(value: Array, ivar: Array, used: NDArray[np.bool_], fallback: Array) -> tuple[Array, Array]:
    """Weighted mean spectrum of some, and its weight; `fallback` where they have none."""
    weight = ivar[used].sum(axis=0)
    mean = (ivar[used] * value[used]).sum(axis=0) / np.where(weight > 0, weight, 1.0)
    least = np.min(weight[weight > 0], initial=np.inf)
    if not np.isfinite(least):
        return fallback, np.ones(fallback.size)
    return np.where(weight > 0, mean, fallback), np.where(weight > 0, weight, 0.01 * least * (fallback > 0))


def _smoothed(value: Array, weight: Array, width: float) -> Array:
    """Smooth over bins of different weight, shape (n_wave,); not below 0."""
    share = weight / max(float(weight.max()), np.finfo(float).tiny)
    top = gaussian_filter1d(value * share, width, mode="constant")
    bottom = gaussian_filter1d(share, width, mode="constant")
    smooth = np.where(bottom > 1e-9, top / np.maximum(bottom, 1e-9), 0.0)
    return np.where(weight > 0, np.maximum(smooth, 0.0), 0.0)


def _levels(value: Array, ivar: Array, shape: Array) -> tuple[Array, Array]:
    """Level and error of each spectrum, shape (n,), relative to a sky of shape (n_wave,)."""
    ratio = value / np.where(shape > 0, shape, 1.0)
    weight = ivar * shape**2
    least = LEAST_BINS if value.shape[1] > LEAST_BINS else 1
    level, error = np.zeros(len(value)), np.full(len(value), np.inf)
    for _ in range(ROUNDS):
        total = weight.sum(axis=1)
        known = ((weight > 0).sum(axis=1) >= least) & (total > 0)
        safe = np.where(known, total, 1.0)
        level = np.where(known, (weight * ratio).sum(axis=1) / safe, 0.0)
        formal = np.where(known, 1.0 / safe, np.inf)
        off = (ratio - level[:, None]) ** 2 * weight
        inflation = np.maximum(np.sqrt(_median_square(off, weight)), 1.0)
        error = np.sqrt(np.maximum(formal, _between_blocks(ratio, weight, level, safe)))
        weight = np.where(off > (4.0 * inflation[:, None]) ** 2, 0.0, weight)
    return level, np.where(known, error, np.inf)


def _median_square(off: Array, weight: Array) -> Array:
    """Reduced chi^2 of each spectrum from the median of the squares, shape (n,)."""
    masked = np.ma.masked_array(off, weight <= 0)
    return np.asarray(np.ma.median(masked, axis=1).filled(0.0)) / 0.4549


def _between_blocks(ratio: Array, weight: Array, level: Array, total: Array) -> Array:
    """Variance of a level by the scatter between blocks of neighbouring bins, shape (n,)."""
    n, n_wave = ratio.shape
    n_block = n_wave // BLOCK
    if n_block < 2:
        return np.zeros(n)
    pull = (weight * (ratio - level[:, None]))[:, : n_block * BLOCK].reshape(n, n_block, BLOCK).sum(axis=2)
    held = (weight[:, : n_block * BLOCK].reshape(n, n_block, BLOCK).sum(axis=2) > 0).sum(axis=1)
    return (pull**2).sum(axis=1) / total**2 * held / np.maximum(held - 1, 1)


def _unit(level: Array, error: Array, telling: NDArray[np.bool_]) -> float:
    """The level of an open shutter among those of many slitlets: their median, again without the dark ones."""
    known = level[telling & np.isfinite(error)]
    if known.size == 0:
        return 0.0
    middle = float(np.median(known))
    return float(np.median(known[known > 0.5 * middle])) if middle > 0 else 0.0


def _unit_alone(spectra: Spectra, level: Array, error: Array) -> float:
    """The same in one slitlet: the lower median of its shutters, without those that are dark beside the brightest.

    Sources add light to some shutters: the lower one of two is nearer to the sky. Shutters that hold a source in all
    exposures count only where no other passes light.
    """
    distance = source_distances(spectra)
    clear: list[float] = []
    rest: list[float] = []
    for ordinal in np.unique(spectra.ordinal):
        mine = (spectra.ordinal == ordinal) & np.isfinite(error)
        mine = mine & ~spectra.sourced if (mine & ~spectra.sourced).any() else mine
        if mine.any():
            mean, mean_error, _ = without_sources(level[mine], error[mine])
            (clear if mean > CLEARLY * mean_error and distance[mine].max() > 0 else rest).append(mean)
    chosen = clear or rest
    lit = sorted(v for v in chosen if v > DARK * max(chosen))
    return lit[(len(lit) - 1) // 2] if lit else 0.0


def _exposure_scales(exposure: Ints, level: Array, error: Array, telling: NDArray[np.bool_]) -> Array:
    """Sky of each spectrum's exposure over the mean sky, shape (n,)."""
    scale = np.ones(level.size)
    for number in np.unique(exposure):
        mine = exposure == number
        known = mine & telling & np.isfinite(error)
        if known.sum() >= 2 * LEAST_SLITS:
            found = _unit(level, error, known)
            scale[mine] = found if 0.5 < found < 2.0 else 1.0
    return scale


def without_sources(level: Array, error: Array) -> tuple[float, float, int]:
    """Mean of a shutter's levels without those that are clearly higher than the rest: sources only add light.

    Parameters
    ----------
    level, error : ndarray, shape (n,)
        n >= 1, all known.

    Returns
    -------
    mean, error : float
    left : int
        How many were left out.
    """
    order = np.argsort(level)
    level, error = level[order], error[order]
    n = level.size
    while n > 1:
        rest, rest_error = _weighted(level[: n - 1], error[: n - 1])
        if level[n - 1] - rest <= CLEARLY * np.sqrt(error[n - 1] ** 2 + rest_error**2 + LEAST_SCATTER**2):
            break
        n -= 1
    mean, mean_error = _weighted(level[:n], error[:n])
    return mean, mean_error, level.size - n


def _weighted(level: Array, error: Array) -> tuple[float, float]:
    """Weighted mean and its error, which is enlarged where the values disagree."""
    weight = 1.0 / error**2
    mean = float((weight * level).sum() / weight.sum())
    chi2 = float((weight * (level - mean) ** 2).sum()) / max(level.size - 1, 1)
    return mean, float(np.sqrt(max(chi2, 1.0) / weight.sum()))
