"""Noise of pixels as a model of their light predicts it, and pixels that are wrong beyond it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, maximum_filter1d, uniform_filter1d

from nirfire.core.model_frames import Frames

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW, LONG_WINDOW = 9, 21
"""[pixel] Lengths of running means along the dispersion: of the sky, and of the noise per light."""
LIT = 0.05
"""Share of the photon noise from where on a source's light is taken from the model."""
MODEL_ERROR, FIRST_ERROR = 0.15, 0.6
"""Largest error of the model in a pixel, relative to the brightest of its neighbours; the second before the source's
shape is known. It matters only for outliers."""
LEAST_ERROR, BRIGHT, ENOUGH = 0.02, 10.0, 100
"""It is no smaller than the first; it is measured where so many pixels are brighter than so many sigma."""
LINE_ERROR = 0.12
"""Error of the model relative to its bend along the dispersion: lines narrower than two pixels are resampled, and are
off by up to 0.5 of the bend in simulations. With 0.05 lines of 100 sigma a pixel lost 20 % of their flux."""
_MEDIAN_CHI2 = 0.455  # of one degree of freedom
OUTLIER = 5.0
"""[sigma] From here on a pixel is wrong."""
WORST = 0.6
"""In one pass only pixels that are off by this share of the worst near them are taken out: it may have caused the
rest."""


def pixel_variance(frames: Frames, model: Array) -> Array:
    """Variance of each pixel's flux.

    Parameters
    ----------
    frames : Frames
    model : ndarray, shape (n_exp, n_spat, n_wave) [uJy]
        Light of the sources.

    Returns
    -------
    ndarray, shape (n_exp, n_spat, n_wave) [uJy2]

    Notes
    -----
    Photon noise that the stock pipeline derives from a pixel's own signal is too small where that is low by chance, and
    weights by it make a source too faint. Where a source shines, the noise is therefore that of its model, and of all
    else that the pixel sees (sky, dark current) as a mean over nods and `WINDOW` columns.
    """
    per_light = _noise_per_light(frames, model)
    shining = per_light * np.maximum(model, 0.0)
    n = np.maximum(frames.good.sum(axis=0), 1)
    rest = np.sum(frames.photon - per_light * model, axis=0, where=frames.good) / n
    expected = np.maximum(_smooth(rest, np.asarray(frames.good.any(axis=0))), 0.0) + shining
    photon = np.where(shining > LIT * frames.photon, expected, frames.photon)
    own = photon + frames.read + (0.0 if frames.shared else frames.sky_variance)
    return np.where(frames.good, own, 0.0)


def _noise_per_light(frames: Frames, model: Array) -> Array:
    """Variance per flux of photon noise, shape (n_wave,): how the one follows the other as the source comes and goes.

    The contrast is that of the model, in `LONG_WINDOW` columns, since noise would dilute that of the data. Where there
    is little of it, all noise over all light.
    """
    signal = frames.flux if frames.shared else frames.flux + frames.sky
    axis = 0 if frames.shared else 1
    n = np.maximum(frames.good.sum(axis=axis, keepdims=True), 1)
    contrast = np.where(frames.good, model - np.sum(model, axis=axis, where=frames.good, keepdims=True) / n, 0.0)
    noise, light, all_noise, all_light = (
        uniform_filter1d(np.sum(values, axis=(0, 1), where=frames.good), LONG_WINDOW, mode="nearest")
        for values in (contrast * frames.photon, contrast * signal, frames.photon, signal)
    )
    even = np.where(all_light > 0, all_noise / np.where(all_light > 0, all_light, 1.0), 0.0)
    slope = noise / np.where(light > 0, light, 1.0)
    return np.where((light > 0) & (slope > 0), np.minimum(slope, even), even)


def inverse(frames: Frames, variance: Array, keep: Mask) -> Array:
    """Inverse variance of pixels that have a say: where the sky is free, at least two nods must see the pixel."""
    there = keep & frames.good & (variance > 0)
    if frames.shared:
        there = there & (there.sum(axis=0) > 1)
    return np.where(there, 1.0 / np.where(there, variance, 1.0), 0.0)


def outliers(frames: Frames, residual: Array, ivar: Array, model: Array, error: float) -> Mask:
    """Pixels that are off by more than noise and model explain, the worst first.

    Parameters
    ----------
    frames : Frames
    residual : ndarray, shape (n_exp, n_spat, n_wave)
        Flux less model and sky.
    ivar, model : ndarray, shape (n_exp, n_spat, n_wave)
    error : float
        Largest error of the model, see `MODEL_ERROR`.

    Returns
    -------
    ndarray of bool, shape (n_exp, n_spat, n_wave)

    Notes
    -----
    A sky that the nods share follows each of them by its share of the weight: so it takes that part of a pixel's own
    noise, and hands errors of the model in one nod on to the others.
    """
    there = ivar > 0
    variance = np.where(there, 1.0 / np.where(there, ivar, 1.0), 0.0)
    wrong = _model_variance(model, residual, variance, error)
    if frames.shared:
        total = ivar.sum(axis=0)
        safe = np.where(total > 0, total, 1.0)
        variance = np.maximum(variance - np.where(total > 0, 1.0 / safe, 0.0), 1e-3 * variance)
        share = ivar / safe
        wrong = wrong * np.maximum(1.0 - 2.0 * share, 0.0) + np.sum(share**2 * wrong, axis=0)
    off = np.where(there, np.abs(residual) / np.sqrt(np.where(there, variance + wrong, 1.0)), 0.0)
    worst = maximum_filter1d(off.max(axis=(0, 1)), 5, mode="nearest")
    return (off > OUTLIER) & (off >= WORST * worst)


def _model_variance(model: Array, residual: Array, variance: Array, error: float) -> Array:
    """Variance by errors of the model: of the profile, as bright pixels show it, and of lines between pixels."""
    bright = (variance > 0) & (np.abs(model) > BRIGHT * np.sqrt(variance))
    if bright.sum() >= ENOUGH:
        light, own = model[bright] ** 2, variance[bright]
        excess = np.median(residual[bright] ** 2 / light) / _MEDIAN_CHI2 - np.median(own / light)
        error = float(np.clip(2.0 * np.sqrt(max(excess, 0.0)), LEAST_ERROR, error))
    else:
        error = LEAST_ERROR
    near = maximum_filter(np.abs(model), size=(1, 3, 3), mode="nearest")
    bend = np.abs(np.diff(np.pad(model, ((0, 0), (0, 0), (1, 1)), mode="edge"), n=2, axis=-1))
    bend = maximum_filter(bend, size=(1, 3, 3), mode="nearest")
    return np.asarray((error * near) ** 2 + (LINE_ERROR * bend) ** 2)


def _smooth(values: Array, good: Mask) -> Array:
    """Mean of good pixels over `WINDOW` columns; 0 where there are none."""
    share = uniform_filter1d(good.astype(float), WINDOW, axis=-1, mode="nearest")
    mean = uniform_filter1d(np.where(good, values, 0.0), WINDOW, axis=-1, mode="nearest")
    return np.where(share > 0.5 / WINDOW, mean / np.where(share > 0.5 / WINDOW, share, 1.0), 0.0)
