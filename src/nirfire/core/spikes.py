"""Cosmic rays and other spikes in a few nodded exposures, from what is sharp along the dispersion in one of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.core.running import running_median

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ROUGHNESS = 0.02
"""Error of the flat field from pixel to pixel: share of a source's light by which it may scatter."""
GROWN = 2.0
"""[sigma] Neighbours of a spike that deviate by more go with it."""
SUSPECT = 0.7
"""Factor on the threshold in pixels where the ramp had a jump."""
CERTAIN = 10.0
"""[sigma] From here on a spike that is too sharp for a line is one for certain."""
SHARP = 0.12
"""Largest share of the peak that its neighbours along the dispersion have then. One of them has 0.24 or more for a line
with a full width at half maximum of 1.2 pixels, and the lines of NIRSpec are wider."""


class Spikes(NamedTuple):
    """What was found.

    Attributes
    ----------
    sharp : ndarray of bool, shape (n_exp, n_spat, n_wave)
        Pixels that deviate from their surroundings in one exposure and not in the others: cosmic rays, but emission
        lines of a source too. Not to be used as background.
    certain : ndarray of bool, shape (n_exp, n_spat, n_wave)
        Those that no line of a source can be. Not to be used at all.
    """

    sharp: Mask
    certain: Mask


def find_spikes(flux: Array, variance: Array, good: Mask, *, threshold: float, jumps: Mask | None = None) -> Spikes:
    """Find pixels that are sharp in one of several nodded exposures.

    Parameters
    ----------
    flux, variance : ndarray, shape (n_exp, n_spat, n_wave)
        Exposures aligned on the detector grid, sky still in.
    good : ndarray of bool, shape (n_exp, n_spat, n_wave)
        Pixels with information.
    threshold : float
        [sigma]; 0 finds nothing.
    jumps : ndarray of bool, shape (n_exp, n_spat, n_wave), optional
        Pixels with a jump in their ramp: there `SUSPECT` times the threshold is enough.

    Returns
    -------
    Spikes

    Notes
    -----
    Sky and continua are smooth along the dispersion, so the excess of a pixel is its difference to the median of its
    surroundings in the same row. A spike has an excess of either sign above the threshold, and so has the difference
    to the exposure with the nearest excess: what all exposures have in common (hot pixels, filters' edges) stays. A
    second look, without the first finds, sees the weaker one of two hits of one pixel. The noise is the median over the
    exposures, or over the surroundings if that is larger: that of the pixel itself rises with the spike; and what flat
    fields leave of bright light. That rows of a source are not compared lets this work for two and three nods.
    """
    none = np.zeros(flux.shape, dtype=bool)
    if threshold == 0 or len(flux) < 2:
        return Spikes(none, none)
    middle, known = running_median(flux, good)
    excess = np.where(known, np.where(good, flux, 0.0) - middle, 0.0)
    random = np.maximum(_typical(variance, good), running_median(variance, good)[0])
    light = middle - np.min(middle, axis=0)
    noise = np.sqrt(random + (ROUGHNESS * light) ** 2)
    limit = np.where(none if jumps is None else jumps, SUSPECT * threshold, threshold) * noise
    high = known & (noise > 0) & (np.abs(excess) > limit)
    found = high & (_alone(excess, good) > limit)
    found |= high & (_alone(excess, good & ~found) > limit)
    sharp = found | (_beside(found) & (np.abs(excess) > GROWN * noise))
    return Spikes(sharp & good, found & _sharper_than_lines(excess, noise, good))


def _typical(variance: Array, good: Mask) -> Array:
    """Median over the exposures (the lower of two) of the variance; 0 where none is good. Shape as given."""
    ordered = np.sort(np.where(good, variance, np.inf), axis=0)
    n = good.sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum((n - 1) // 2, 0)[np.newaxis], axis=0)
    return np.broadcast_to(np.where(n > 0, middle, 0.0), variance.shape)


def _alone(excess: Array, good: Mask) -> Array:
    """Smallest difference to the other exposures' excess in the sense of its own; infinite where there is no other."""
    nearest = np.full(excess.shape, np.inf)
    for i in range(len(excess)):
        for j in range(len(excess)):
            if i != j:
                apart = np.sign(excess[i]) * (excess[i] - excess[j])
                nearest[i] = np.where(good[j], np.minimum(nearest[i], apart), nearest[i])
    return nearest


def _beside(found: Mask) -> Mask:
    """Pixels next to found ones, along either axis of the detector."""
    grown = np.zeros_like(found)
    grown[:, 1:] |= found[:, :-1]
    grown[:, :-1] |= found[:, 1:]
    grown[:, :, 1:] |= found[:, :, :-1]
    grown[:, :, :-1] |= found[:, :, 1:]
    return grown


def _sharper_than_lines(excess: Array, noise: Array, good: Mask) -> Mask:
    """Peaks whose neighbours along the dispersion have less than those of any line would, by more than the noise."""
    size = np.abs(excess)
    most = np.zeros(excess.shape)
    for shift in (-1, 1):
        beside, known = (np.roll(a, shift, axis=-1) for a in (excess, good))
        known[..., -1 if shift < 0 else 0] = False
        most = np.maximum(most, np.where(known, np.sign(excess) * beside, np.inf))
    return (size > CERTAIN * noise) & (most < SHARP * size - noise)
