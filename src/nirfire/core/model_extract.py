"""Extraction by a model of the light on un-resampled pixels: all nods, dithers and detectors of a source at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from nirfire.core.model_fit import CONTINUUM, Prior, Shape, Tilt, fit_shapes, fit_tilt, from_prior, tilted
from nirfire.core.model_frames import Frames, Painter, recentred
from nirfire.core.model_noise import FIRST_ERROR, MODEL_ERROR, inverse, outliers, pixel_variance
from nirfire.core.model_solve import (
    Solution,
    Sums,
    at_pixels,
    effective_light,
    on_grid,
    pixel_sums,
    sky_of_pixels,
    solve,
)
from nirfire.core.slit_psf import SlitPsf

Array = NDArray[np.float64]

NO_TILT = Tilt()
FITS = 2
"""Times that the shape is fitted: the second time the outliers are known by it."""
PASSES = 8
"""Rounds of looking for outliers, at most."""


@dataclass(frozen=True)
class Layer:
    """What the model says of one set of nods.

    Attributes
    ----------
    light : ndarray, shape (n_source, n_exp, n_spat, n_wave)
        Of sources of unit flux.
    flux : ndarray, shape (n_source, n_spat, n_wave) [uJy]
        Their fluxes at the pixels.
    places : ndarray, shape (n_exp,) [pitch]
        Slit coordinate of the first source; NaN where it is not known.
    model : ndarray, shape (n_exp, n_spat, n_wave) [uJy]
        Light of all sources, less what of it was subtracted with other nods where the frames are not `shared`.
    sky : ndarray, shape (n_spat, n_wave) [uJy]
        What the nods share beside it; 0 where stage 2b took it away.
    ivar : ndarray, shape (n_exp, n_spat, n_wave)
        Of the flux; 0 for outliers.
    """

    light: Array
    flux: Array
    places: Array
    model: Array
    sky: Array
    ivar: Array


@dataclass(frozen=True)
class Extraction:
    """Fluxes of the sources of a slitlet.

    Attributes
    ----------
    solution : Solution
    shapes : list of Shape
    layers : list of Layer
        One for each of the frames.
    frames : sequence of Frames
        With the pixels where the fit says that they lie.
    tilt : Tilt
        By which they differ from the given ones.
    """

    solution: Solution
    shapes: list[Shape]
    layers: list[Layer]
    frames: Sequence[Frames]
    tilt: Tilt = NO_TILT


def extract_model(
    frames: Sequence[Frames], psf: SlitPsf, edges: Array, priors: Sequence[Prior], *, fit: bool = True
) -> Extraction:
    """Extract the sources of a slitlet.

    Parameters
    ----------
    frames : sequence of Frames
        Its nods, one for each detector and background group.
    psf : SlitPsf
    edges : ndarray, shape (n_bin + 1,) [um]
        Wavelength grid.
    priors : sequence of Prior
        One for each source of the frames.
    fit : bool
        Fit place and size; without it they are what the priors say.

    Returns
    -------
    Extraction

    Notes
    -----
    The profile is fixed before the flux, as in optimal extraction (Horne 1986, PASP 98, 609), but on the pixels as they
    are, and for all exposures at once. Outliers are looked for first with the profile that the priors say. Shapes and
    tilt are fitted one after the other.
    """
    shapes = [from_prior(prior) for prior in priors]
    given = frames
    if not fit:
        frames = [recentred(f, psf, shapes[0].size) for f in frames]
        return _robust(frames, psf, edges, shapes, MODEL_ERROR)
    found = _robust(frames, psf, edges, shapes, FIRST_ERROR)
    for number in range(FITS):
        spectra = np.array([found.solution.flux, np.sqrt(found.solution.variance)])
        ivar = [layer.ivar for layer in found.layers]
        shapes = fit_shapes(frames, psf, edges, spectra, priors, ivar, found.shapes if number else ())
        if number == 0:
            tilt = fit_tilt(frames, psf, edges, spectra, shapes, ivar)
            frames = [recentred(tilted(f, tilt), psf, shapes[0].size) for f in given]
        found = _robust(frames, psf, edges, shapes, MODEL_ERROR)
    return replace(found, tilt=tilt)


def _robust(frames: Sequence[Frames], psf: SlitPsf, edges: Array, shapes: list[Shape], error: float) -> Extraction:
    """Solve for the fluxes, and leave out outliers until there are no more."""
    painters = [Painter(f, psf) for f in frames]
    light = [np.array([p.light(k, s.offset, s.size) for k, s in enumerate(shapes)]) for p in painters]
    keep = [f.good for f in frames]
    variance = [pixel_variance(f, np.zeros(f.flux.shape)) for f in frames]
    even = [np.ones(f.centre.shape) for f in frames]
    for number in range(PASSES):
        ivar = [inverse(f, v, k) for f, v, k in zip(frames, variance, keep, strict=True)]
        solution = solve(_sum(frames, light, ivar, even, edges))
        layers = [_layer(*each, edges, solution, shapes[0]) for each in zip(frames, light, ivar, strict=True)]
        own = [np.einsum("syx,siyx->iyx", layer.flux, layer.light) for layer in layers]
        variance = [pixel_variance(f, m) for f, m in zip(frames, own, strict=True)]
        even = [
            _evenness(f, m, v, layer, edges, solution)
            for f, m, v, layer in zip(frames, light, variance, layers, strict=True)
        ]
        wrong = [
            outliers(f, f.flux - layer.model - layer.sky, layer.ivar, layer.model, error)
            for f, layer in zip(frames, layers, strict=True)
        ]
        if number and not any(w.any() for w in wrong):
            break
        keep = [k & ~w for k, w in zip(keep, wrong, strict=True)]
    return Extraction(solution, shapes, layers, frames)


def _sum(frames: Sequence[Frames], light: list[Array], ivar: list[Array], even: list[Array], edges: Array) -> Sums:
    parts = [
        on_grid(edges, f.wave, *pixel_sums(f, effective_light(f, m), i), e)
        for f, m, i, e in zip(frames, light, ivar, even, strict=True)
    ]
    return functools.reduce(Sums.__add__, parts)


def _evenness(frames: Frames, light: Array, variance: Array, layer: Layer, edges: Array, solution: Solution) -> Array:
    """Factor on weights that makes those of columns follow the continuum, shape (n_spat, n_wave).

    Bright pixels have more photon noise. Were the columns of an emission line weighted by it, a bin would lean to the
    fainter of its pixels, which have other wavelengths, and the line would come out too faint.
    """
    smooth = [median_filter(np.maximum(mine, 0.0), CONTINUUM, mode="nearest") for mine in solution.flux]
    flux = [at_pixels(edges, frames.wave, mine) for mine in smooth]
    keep = layer.ivar > 0
    plain = pixel_variance(frames, np.einsum("syx,siyx->iyx", flux, light))
    wanted, given = (np.sum(light[0] ** 2 * inverse(frames, v, keep), axis=(0, 1)) for v in (plain, variance))
    return np.broadcast_to(np.where(given > 0, wanted / np.where(given > 0, given, 1.0), 1.0), frames.centre.shape)


def _layer(frames: Frames, light: Array, ivar: Array, edges: Array, solution: Solution, shape: Shape) -> Layer:
    flux = np.array([at_pixels(edges, frames.wave, mine) for mine in solution.flux])
    model = np.einsum("syx,siyx->iyx", flux, effective_light(frames, light))
    places = frames.sources[0, :, 1] + frames.shift + shape.offset
    return Layer(light, flux, places, model, sky_of_pixels(frames, model, ivar), ivar)
