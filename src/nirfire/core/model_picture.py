"""A 2D picture, for the eye, of what was extracted: all nods on the source's place and the common wavelength grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.core.model_extract import Layer
from nirfire.core.model_frames import Frames
from nirfire.core.rectify import rectify

Array = NDArray[np.float64]


class Image(NamedTuple):
    """A rectified 2D spectrum.

    Attributes
    ----------
    flux, ivar, weight, model : ndarray, shape (n_row, n_bin) [uJy, 1 / uJy2, 1 / uJy2, uJy]
        Mean of the nods without sky, its inverse variance (0 is no information; neighbours are correlated), the
        information in it, and the light of all sources by the model.
    profile : ndarray, shape (n_row,)
        Mean light of the source in a row, sum 1.
    row : float
        Row of the source, from 0.
    """

    flux: Array
    ivar: Array
    weight: Array
    model: Array
    profile: Array
    row: float


def picture(frames: Sequence[Frames], layers: Sequence[Layer], edges: Array) -> Image:
    """Make the picture.

    Parameters
    ----------
    frames : sequence of Frames
    layers : sequence of Layer
    edges : ndarray, shape (n_bin + 1,) [um]

    Returns
    -------
    Image
        Rows have the height of a pixel.
    """
    height = float(np.nanmedian([np.nanmedian(np.abs(np.diff(f.place, axis=0))) for f in frames]))
    parts = [_pixels(f, layer, height) for f, layer in zip(frames, layers, strict=True)]
    flux, model, own, ivar, *box = (np.concatenate(values) for values in zip(*parts, strict=True))
    seen = ivar > 0
    low = int(np.floor(np.minimum(box[2], box[3])[seen].min())) if seen.any() else -1
    high = int(np.ceil(np.maximum(box[2], box[3])[seen].max())) if seen.any() else 1
    rows = np.arange(low, high + 1, dtype=float) - 0.5
    made = [rectify(values, ivar, box[0], box[1], box[2], box[3], edges, rows) for values in (flux, model, own)]
    first = made[0]
    profile = np.clip(
        np.sum(made[2].flux * made[2].weight, axis=1) / np.maximum(made[2].weight.sum(axis=1), 1e-300), 0, None
    )
    return Image(first.flux, first.ivar, first.weight, made[1].flux, profile / max(profile.sum(), 1e-300), float(-low))


def _pixels(frames: Frames, layer: Layer, height: float) -> tuple[Array, ...]:
    """Flux, model, light and inverse variance of pixels, and their ends in wavelength and in rows from the source."""
    mine = np.flatnonzero(np.isfinite(layer.places))
    shape = (len(mine), *frames.flux.shape[1:])
    place = (frames.place - layer.places[mine, np.newaxis, np.newaxis]) / height
    wave = np.broadcast_to(frames.wave, (len(mine), *frames.wave.shape))
    box = (wave[..., :-1], wave[..., 1:], place[:, :-1], place[:, 1:])
    known = np.all([np.isfinite(b) for b in box], axis=0)
    ivar = np.where(known, layer.ivar[mine], 0.0)
    sky, noise = _sky_of_others(frames, layer)
    ivar = np.where(
        (ivar > 0) & np.isfinite(noise[mine]), 1.0 / (1.0 / np.where(ivar > 0, ivar, 1.0) + noise[mine]), 0.0
    )
    values = (frames.flux[mine] - sky[mine], layer.model[mine], layer.light[0, mine], ivar)
    return tuple(np.broadcast_to(v, shape).ravel() for v in (*values, *(np.nan_to_num(b) for b in box)))


def _sky_of_others(frames: Frames, layer: Layer) -> tuple[Array, Array]:
    """The sky of each nod by the others, beside the model, and its variance; infinite where there is none.

    With the nod's own pixels in its sky the picture would be drawn to the model.
    """
    if not frames.shared:
        return np.zeros(frames.flux.shape), np.zeros(frames.flux.shape)
    weight = layer.ivar.sum(axis=0) - layer.ivar
    there = weight > 1e-9 * layer.ivar.sum(axis=0)
    left = layer.ivar * (frames.flux - layer.model)
    safe = np.where(there, weight, 1.0)
    return np.where(there, (left.sum(axis=0) - left) / safe, 0.0), np.where(there, 1.0 / safe, np.inf)
