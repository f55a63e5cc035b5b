"""What of a source's light the shutters let through, and what an error of its place and size does to the flux."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nirfire.core.model_extract import Extraction
from nirfire.core.model_fit import LARGEST, Shape
from nirfire.core.model_frames import Frames, Painter, on_calibration_scale
from nirfire.core.model_solve import Sums, effective_light, on_grid, pixel_sums
from nirfire.core.slit_psf import SlitPsf

Array = NDArray[np.float64]

_STEP = 0.01  # [arcsec], least step of the size


def slit_loss(frames: Sequence[Frames], psf: SlitPsf, shape: Shape, wave: Array) -> tuple[Array, Array]:
    """Light that passes, relative to a point in the centre of three shutters, and its standard error.

    Parameters
    ----------
    frames : sequence of Frames
    psf : SlitPsf
    shape : Shape
        Of the first source.
    wave : ndarray, shape (n,) [um]

    Returns
    -------
    loss, error : ndarray, shape (n,)
        Mean over the nods that have the source. The error is that of place and size, to first order; it is common to
        all wavelengths. It does not count the error of the place along the dispersion, or of the PSF.
    """
    middle = _mean_loss(frames, psf, shape.offset, shape.size, wave)
    slopes = []
    for k, err in enumerate(shape.errors):
        step = np.eye(2)[k] * err
        up = _mean_loss(frames, psf, shape.offset + step[0], min(shape.size + step[1], LARGEST), wave)
        down = _mean_loss(frames, psf, shape.offset - step[0], max(shape.size - step[1], 0.0), wave)
        slopes.append((up - down) / (2 * err) if k == 0 else (up - middle) / err)
    slope = np.array(slopes)
    return middle, np.sqrt(np.einsum("jn,jk,kn->n", slope, shape.covariance, slope))


def shape_error(frames: Sequence[Frames], psf: SlitPsf, edges: Array, found: Extraction) -> Array:
    """Relative error of the flux by that of the first source's place and size.

    Parameters
    ----------
    frames : sequence of Frames
    psf : SlitPsf
    edges : ndarray, shape (n_bin + 1,) [um]
    found : Extraction

    Returns
    -------
    ndarray, shape (n_bin,)
        Standard error over flux; common to all wavelengths, and not in the variance of the solution. It counts both
        what passes the shutters and how well the profile fits.

    Notes
    -----
    From the flux that is found when a source of unit flux is extracted with a shape that is wrong by the error.
    """
    shape = found.shapes[0]
    slopes = []
    for k, err in enumerate(shape.errors):
        step = np.eye(2)[k] * (min(err, max(LARGEST - shape.size, _STEP)) if k else err)
        sums = []
        for f, layer in zip(frames, found.layers, strict=True):
            true, wrong = layer.light[0], Painter(f, psf).light(0, shape.offset + step[0], shape.size + step[1])
            unit, seen = (effective_light(f, light[np.newaxis]) for light in (true, wrong))
            sums.append(on_grid(edges, f.wave, *pixel_sums(replace(f, flux=unit[0]), seen, layer.ivar)))
        total = functools.reduce(Sums.__add__, sums)
        known = total.normal[:, 0, 0] > 0
        flux = total.data[:, 0] / np.where(known, total.normal[:, 0, 0], 1.0)
        slopes.append(np.where(known, flux - 1.0, 0.0) / step[k])
    slope = np.array(slopes)
    return np.sqrt(np.einsum("jn,jk,kn->n", slope, shape.covariance, slope))


def _mean_loss(frames: Sequence[Frames], psf: SlitPsf, offset: float, size: float, wave: Array) -> Array:
    found = []
    for f in frames:
        for k, (x, y) in enumerate(f.sources[0]):
            own = int(np.rint(y)) if np.isfinite(y) else None
            if own in f.shutters and np.isfinite(x):
                passed = psf.passed(x, y - own + f.shift + offset, size, [s - own for s in f.shutters])
                scale = on_calibration_scale(f, psf, k)
                columns = np.isfinite(f.centre)
                order = np.argsort(f.centre[columns])
                at = f.centre[columns][order], scale[columns][order]
                found.append(np.interp(wave, psf.wave, passed) * np.interp(wave, *at))
    return np.mean(found, axis=0) if found else np.ones(wave.shape)
