"""Nods of a slitlet that are painted from a model, with known noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nirfire.core.model_frames import Frames, Painter
from nirfire.core.slit_psf import WIDTHS, SlitPsf

Array = NDArray[np.float64]

PER_PIXEL = 0.2
"""[pitch] Height of a pixel."""
STEP = 0.01
"""[um] Width of a pixel, and of a bin of the grid."""
START = 1.0
SHUTTERS = (49, 50, 51)


def psf(wide: float = 0.25) -> SlitPsf:
    """Two Gaussians, the wider of which gains with wavelength."""
    wave = np.linspace(0.5, 5.5, 11)
    weights = np.zeros((len(wave), len(WIDTHS)))
    weights[:, 8] = 1.0 - wide * wave / 5.5
    weights[:, 14] = wide * wave / 5.5
    return SlitPsf(wave, weights)


def one_width(number: int = 9) -> SlitPsf:
    """A round Gaussian PSF."""
    weights = np.zeros((2, len(WIDTHS)))
    weights[:, number] = 1.0
    return SlitPsf(np.array([0.5, 5.5]), weights)


def blank(n_exp: int = 3, n_spat: int = 21, n_wave: int = 60, shift: float = 0.0, **changed: object) -> Frames:
    """Nods without light, of unit variance; the source moves by a shutter from nod to nod.

    Pixels are tilted by a quarter of one from row to row if `shift` is 0.25, and lie in the bins of `grid` if it is 0.
    """
    shape = (n_exp, n_spat, n_wave)
    wave = START + STEP * (np.arange(n_wave + 1) + shift * np.arange(n_spat)[:, np.newaxis])
    rows = np.arange(n_spat + 1) - n_spat / 2
    place = 50 + PER_PIXEL * (rows[:, np.newaxis] + 0.01 * np.arange(n_wave))
    nods = 50.0 + np.array([0, -1, 1, -0.5, 0.5])[:n_exp]
    sources = np.stack([np.full(n_exp, 0.05), nods + 0.1], axis=-1)[np.newaxis]
    weight = (1.0 - np.eye(n_exp)) / max(n_exp - 1, 1)
    made = Frames(
        flux=np.zeros(shape),
        photon=np.zeros(shape),
        read=np.ones(shape),
        sky=np.zeros(shape),
        good=np.ones(shape, dtype=bool),
        shared=n_exp > 1,
        backgrounds=np.broadcast_to(weight[:, :, np.newaxis, np.newaxis], (n_exp, *shape)) if n_exp > 1 else None,
        sky_variance=np.zeros(shape),
        wave=wave,
        place=place,
        passed=np.full(shape, np.nan),
        sources=sources,
        shutters=SHUTTERS,
    )
    return replace(made, **changed)


def grid(n_wave: int = 60, shift: float = 0.0) -> Array:
    """Edges of the wavelength grid: those of the pixels of the lowest row, and more as the tilt needs."""
    n = n_wave + int(np.ceil(21 * shift))
    return START + STEP * np.arange(n + 1)


def lit(
    frames: Frames,
    seen: SlitPsf,
    flux: Array,
    *,
    offset: float = 0.0,
    size: float = 0.0,
    seed: int | None = None,
    sky: float = 0.0,
) -> Frames:
    """Put sources (n_source, n_spat, n_wave) and a sky into the nods, and noise of the variance that they have."""
    painter = Painter(frames, seen)
    light = np.array([painter.light(k, offset, size) for k in range(len(flux))])
    total = frames.flux + np.einsum("syx,siyx->iyx", flux, light) + sky
    if seed is not None:
        total = total + np.random.default_rng(seed).normal(size=total.shape) * np.sqrt(frames.photon + frames.read)
    return replace(frames, flux=np.where(frames.good, total, 0.0), sky=np.full(total.shape, sky))


def frozen(frames: Frames) -> Frames:
    """The same, with arrays that cannot be written to."""
    for value in vars(frames).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return frames
