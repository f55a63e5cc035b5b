"""The IRS2 readout: raw frames in which reference pixels are read between the others, and its noise filter.

Each of the four outputs, in a row of 512 pixels, steps out after every 16 pixels to read 4 reference pixels; a fifth
output, the reference output, is read at the same time. With one dwell time lost at each step, and 8 at the end, a row
lasts 712 dwell times of 10 us. A raw frame has the rows of the reference output first, then those of outputs 1 to 4:
3200 along the fast direction (y in the science orientation), 2048 along the slow one. Outputs 2 and 4 and the reference
output are read backwards.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nirfire.simulate.detector_maps import BIAS_LEVEL, DQ_REFERENCE_PIXEL, N_PIX, bad_pixels, frozen, seeded, superbias
from nirfire.simulate.flicker import N_OUTPUT, STRIDE, flicker_series
from nirfire.stsci.exposure_files import IRS2_NORMAL, IRS2_REFERENCE

Map = NDArray[np.float32]

ROW = 712
"""Dwell times of a row."""
LENGTH = N_PIX // N_OUTPUT // IRS2_NORMAL * (IRS2_NORMAL + IRS2_REFERENCE)
"""Pixels of a row of one output, reference pixels included (640)."""
N_RAW = (N_OUTPUT + 1) * LENGTH
_BACKWARDS = (0, 2, 4)
_PERIOD = IRS2_NORMAL + IRS2_REFERENCE


@lru_cache(maxsize=2)
def is_light(detector: str) -> NDArray[np.bool_]:
    """Which rows of a raw frame are rows of the image, shape (3200,); the others are reference pixels."""
    within = np.arange(LENGTH) % _PERIOD
    half = IRS2_NORMAL // 2
    normal = (within < half) | (within >= half + IRS2_REFERENCE)
    light = np.tile(normal, N_OUTPUT + 1)
    light[:LENGTH] = False
    return frozen(light[:: _sense(detector)].copy())


@lru_cache(maxsize=1)
def read_times() -> NDArray[np.int64]:
    """When each pixel of a row of one output is read [dwell times after the row began], shape (640,)."""
    block, within = np.divmod(np.arange(LENGTH), _PERIOD)
    half = IRS2_NORMAL // 2
    return np.arange(LENGTH) + 2 * block + (within >= half) + (within >= half + IRS2_REFERENCE)


def to_raw(image: NDArray, detector: str, reference: NDArray | np.generic) -> NDArray:
    """Place an image into a raw frame.

    Parameters
    ----------
    image : ndarray, shape (2048, 2048)
        Science orientation.
    detector : str
    reference : scalar or ndarray, shape (1152, 2048)
        Values of the reference pixels and the reference output.

    Returns
    -------
    ndarray, shape (3200, 2048), of the type of `image`
    """
    raw = np.empty((N_RAW, N_PIX), dtype=image.dtype)
    light = is_light(detector)
    raw[light] = image
    raw[~light] = reference
    return raw


def from_outputs(values: NDArray, detector: str) -> NDArray:
    """Bring samples in the order of reading into a raw frame.

    Parameters
    ----------
    values : ndarray, shape (5, 2048, 640)
        Output (the reference output first), row in time, pixel in time.
    detector : str
        NRS2 is read in the opposite sense along both axes.

    Returns
    -------
    ndarray, shape (3200, 2048)
        Science orientation.
    """
    parts = [v[:, ::-1].T if k in _BACKWARDS else v.T for k, v in enumerate(values)]
    return np.concatenate(parts)[:: _sense(detector), :: _sense(detector)]


def _sense(detector: str) -> int:
    return -1 if detector == "NRS2" else 1


@lru_cache(maxsize=2)
def raw_superbias(detector: str) -> Map:
    """Bias of a raw frame [DN], shape (3200, 2048); that of the image is `detector_maps.superbias`."""
    rng = seeded(detector, 7)
    pixel = 25.0 * rng.standard_normal((N_RAW - N_PIX, N_PIX), dtype=np.float32)
    return frozen(to_raw(superbias(detector), detector, np.float32(BIAS_LEVEL) + pixel))


def raw_mask(detector: str) -> NDArray[np.uint32]:
    """Flags of the pixels of a raw frame, shape (3200, 2048)."""
    return to_raw(bad_pixels(detector), detector, np.uint32(DQ_REFERENCE_PIXEL))


def raw_noise(rng: dict[str, np.random.Generator], detector: str, strengths: tuple[float, float, float]) -> Map:
    """1/f noise and drift of one read.

    Parameters
    ----------
    rng : dict
        Streams ``flicker`` and ``drift``.
    detector : str
    strengths : tuple of 3 floats
        Standard deviation of the 1/f noise [DN], share of its variance that the outputs have in common, standard
        deviation of the drift of each output [DN].

    Returns
    -------
    ndarray, shape (3200, 2048) [DN]

    Notes
    -----
    The reference output has the common part of the 1/f noise and nothing of its own.
    """
    rms, shared, drift = strengths
    values = np.zeros((N_OUTPUT + 1, N_PIX, LENGTH), np.float32)
    values += rng["drift"].normal(0.0, drift, (N_OUTPUT + 1, 1, 1)).astype(np.float32)
    if rms > 0:
        n = N_PIX * ROW // STRIDE
        sample = read_times() // STRIDE
        common = np.sqrt(shared) * flicker_series(rng["flicker"], n)
        for k in range(N_OUTPUT + 1):
            series = common + np.sqrt(1.0 - shared) * flicker_series(rng["flicker"], n) if k else common
            values[k] += np.float32(rms) * series.reshape(N_PIX, ROW // STRIDE)[:, sample]
    return from_outputs(values, detector)


def noise_filter(flicker: float, shared: float, read: float) -> tuple[Map, Map]:
    """Weights, by frequency, of the reference output and of the reference pixels in the noise that is subtracted.

    Parameters
    ----------
    flicker : float [DN]
        Standard deviation of the 1/f noise.
    shared : float
        Share of its variance that the outputs have in common.
    read : float [DN]
        Read noise, white.

    Returns
    -------
    alpha, beta : ndarray, shape (712 * 2048,)
        For the frequencies of the discrete Fourier transform of a frame.

    Notes
    -----
    The linear estimate of least variance (Wiener) of an output's 1/f noise from two series: the reference output, with
    the common part and white noise; and the output's reference pixels, which stock ``refpix`` spreads over 8 of every
    22 dwell times, two copies of each, zeros between. The second is used below the frequency where this aliases.
    """
    n = ROW * N_PIX
    step = np.minimum(np.arange(n), n - np.arange(n)).astype(float)
    step[0] = 1.0
    pink = flicker**2 / step / (2.0 * np.sum(1.0 / np.arange(1, n // STRIDE // 2)))
    pink[step > n / STRIDE / 2] = 0.0
    white = read**2 / n
    common, whole = shared * pink, pink
    blocks = N_PIX // N_OUTPUT // IRS2_NORMAL
    duty, copies = 2.0 * IRS2_REFERENCE * blocks / ROW, 2.0
    a, b, c = common + white, duty * common, duty**2 * whole + copies * duty * white
    determinant = a * c - b * b
    alpha = (common * c - duty * whole * b) / determinant
    beta = (a * duty * whole - b * common) / determinant
    aliased = step > n / (2.0 * (_PERIOD + 2))
    alpha[aliased] = (common / a)[aliased]
    beta[aliased] = 0.0
    return alpha.astype(np.float32), beta.astype(np.float32)
