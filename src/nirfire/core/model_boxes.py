"""Sums in an aperture, exposure by exposure, on the pixels as they are; and what of the light is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.core.model_extract import Layer
from nirfire.core.model_frames import Frames
from nirfire.core.model_solve import Solution, Sums, effective_light, on_grid, pixel_sums, solve

Array = NDArray[np.float64]

LEAST = 0.5
"""Share of the light in the aperture that must be on usable pixels."""


class Boxcar(NamedTuple):
    """A spectrum from sums in an aperture.

    Attributes
    ----------
    solution : Solution
        Flux of the source, all light of it.
    share : ndarray, shape (n_bin,)
        Share of the light that passes the shutters, in the aperture; 0 where there is no information.
    """

    solution: Solution
    share: Array


def subtracted(frames: Frames, layer: Layer) -> tuple[Frames, Array, Array]:
    """The nods as stage 2b leaves them, and without the light of other sources.

    Parameters
    ----------
    frames : Frames
    layer : Layer

    Returns
    -------
    frames : Frames
        Not `shared`.
    light : ndarray, shape (n_exp, n_spat, n_wave)
        Of the first source, of unit flux, less what of it was subtracted with the other nods.
    ivar : ndarray, shape (n_exp, n_spat, n_wave)
        With the noise of the sky.
    """
    seen = effective_light(replace(frames, shared=False), layer.light)
    there = layer.ivar > 0
    added = frames.sky_variance if frames.shared else 0.0
    ivar = np.where(there, 1.0 / (1.0 / np.where(there, layer.ivar, 1.0) + added), 0.0)
    others = np.einsum("syx,siyx->iyx", layer.flux[1:], seen[1:])
    left = frames.flux - (frames.sky if frames.shared else 0.0) - others
    return replace(frames, flux=np.where(there, left, 0.0), shared=False), seen[0], ivar


def boxcar(nods: Sequence[tuple[Frames, Array, Array]], layers: Sequence[Layer], edges: Array, width: float) -> Boxcar:
    """Add up what is within some pixels of the source.

    Parameters
    ----------
    nods : sequence of (Frames, ndarray, ndarray)
        From `subtracted`.
    layers : sequence of Layer
    edges : ndarray, shape (n_bin + 1,) [um]
        Wavelength grid.
    width : float [pixel]
        Full width of the aperture, around the fitted place.

    Returns
    -------
    Boxcar

    Notes
    -----
    Flux = sum(w d) / sum(w m), variance = sum(w^2 V) / sum(w m)^2 in each column of each exposure, with w the share of
    a pixel in the aperture, m the light of unit flux, and sums over usable pixels: the model makes up for missing
    pixels, light outside the aperture, and light that was subtracted with the other nods. Exposures are averaged by
    inverse variance.
    """
    total: Sums | None = None
    parts: Sums | None = None
    for (frames, light, ivar), layer in zip(nods, layers, strict=True):
        weight = _aperture(frames, layer, width)
        keep = ivar > 0
        seen, whole = np.sum(weight * light * keep, axis=1), np.sum(weight * light, axis=1)
        variance = np.sum(np.where(keep, weight**2 / np.where(keep, ivar, 1.0), 0.0), axis=1)
        good = (seen > LEAST * whole) & (seen > 0) & (variance > 0)
        information = np.where(good, seen**2 / np.where(good, variance, 1.0), 0.0)
        flux = np.sum(weight * frames.flux * keep, axis=1) / np.where(good, seen, 1.0)
        own = layer.light[0]
        inside = np.sum(weight * own, axis=1) / np.where(good, np.maximum(own.sum(axis=1), 1e-30), 1.0)
        wave = _trace_edges(frames, weight * own)
        one = information[np.newaxis], information[np.newaxis, np.newaxis]
        sums = on_grid(edges, wave, flux * one[0], one[1])
        shares = on_grid(edges, wave, inside * one[0], one[1])
        total, parts = (sums, shares) if total is None or parts is None else (total + sums, parts + shares)
    assert total is not None and parts is not None
    return Boxcar(solve(total), solve(parts).flux[0])


def each_exposure(nods: Sequence[tuple[Frames, Array, Array]], edges: Array) -> list[Solution]:
    """Optimal extraction of each exposure by itself, in the order of the nods.

    Parameters
    ----------
    nods : sequence of (Frames, ndarray, ndarray)
        From `subtracted`.
    edges : ndarray, shape (n_bin + 1,) [um]

    Returns
    -------
    list of Solution
    """
    found = []
    for frames, light, ivar in nods:
        for k in range(len(light)):
            only = ivar * (np.arange(len(ivar)) == k)[:, np.newaxis, np.newaxis]
            sums = pixel_sums(frames, light[np.newaxis], only)
            found.append(solve(on_grid(edges, frames.wave, *sums)))
    return found


def _aperture(frames: Frames, layer: Layer, width: float) -> Array:
    """Share of each pixel in an aperture around the source, shape (n_exp, n_spat, n_wave)."""
    low, high = np.minimum(frames.place[:-1], frames.place[1:]), np.maximum(frames.place[:-1], frames.place[1:])
    height = np.nanmedian(high - low)
    half = 0.5 * width * height
    weights = np.zeros(frames.flux.shape)
    for k, y in enumerate(layer.places):
        if np.isfinite(y):
            inside = np.minimum(high, y + half) - np.maximum(low, y - half)
            weights[k] = np.nan_to_num(np.clip(inside / (high - low), 0.0, 1.0))
    return weights


def _trace_edges(frames: Frames, weight: Array) -> Array:
    """Wavelengths of the edges of columns along the trace, shape (n_exp, n_wave + 1); NaN without light."""
    either = np.concatenate([weight[..., :1], weight[..., 1:] + weight[..., :-1], weight[..., -1:]], axis=-1)
    either = either * np.isfinite(frames.wave)
    total = either.sum(axis=1)
    mean = np.sum(either * np.nan_to_num(frames.wave), axis=1)
    return np.where(total > 0, mean / np.where(total > 0, total, 1.0), np.nan)
