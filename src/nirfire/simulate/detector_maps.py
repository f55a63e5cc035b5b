"""The detectors of the embedded instrument: bias, dark current, noise, gain, linearity, bad pixels.

Everything is smooth structure plus seeded noise, so that it is the same in every process. Maps have shape
(2048, 2048), in the science (DMS) orientation, are cached, and are read-only.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

N_PIX = 2048
N_BORDER = 4
"""Width of the frame of reference pixels [px]."""
DETECTORS = ("NRS1", "NRS2")

DQ_DO_NOT_USE, DQ_DEAD, DQ_HOT, DQ_REFERENCE_PIXEL = 1, 1024, 2048, 1 << 31

BIAS_LEVEL = 9000.0  # DN
LINEARITY_TERM = 1.1e-6  # 1/DN: 4.4 % at 40000 DN
HOT_LIMIT = 1.0
"""Dark rate [DN/s] above which a pixel is flagged HOT and DO_NOT_USE; below it the dark corrects it."""


def seeded(detector: str, stream: int) -> np.random.Generator:
    """Random numbers of one detector and purpose."""
    return np.random.default_rng([20221025, DETECTORS.index(detector), stream])


def frozen(image: NDArray) -> NDArray:
    """The same array, made read-only."""
    image.flags.writeable = False
    return image


@lru_cache(maxsize=1)
def unit_grid() -> tuple[Map, Map]:
    """Coordinates from -1 to 1 along columns (1, N) and rows (N, 1)."""
    line = np.linspace(-1.0, 1.0, N_PIX, dtype=np.float32)
    return frozen(line[None, :].copy()), frozen(line[:, None].copy())


@lru_cache(maxsize=1)
def reference_pixels() -> NDArray[np.bool_]:
    """True in the frame of light-insensitive pixels, four wide."""
    frame = np.ones((N_PIX, N_PIX), dtype=bool)
    frame[N_BORDER:-N_BORDER, N_BORDER:-N_BORDER] = False
    return frozen(frame)


@lru_cache(maxsize=2)
def superbias(detector: str) -> Map:
    """Signal of an unexposed pixel right after reset [DN].

    Level and slope of each amplifier (a band of 512 rows), alternating columns, and 25 DN rms between pixels.
    """
    rng = seeded(detector, 2)
    u, v = unit_grid()
    bands = np.repeat(rng.normal(0.0, 150.0, 4), N_PIX // 4)[:, None]
    slopes = np.repeat(rng.normal(0.0, 60.0, 4), N_PIX // 4)[:, None] * u
    comb = np.where(np.arange(N_PIX) % 2 == 0, 8.0, -8.0)[None, :]
    pixel = 25.0 * rng.standard_normal((N_PIX, N_PIX), dtype=np.float32)
    return frozen((BIAS_LEVEL + bands + slopes + comb + 40.0 * v**2 + pixel).astype(np.float32))


@lru_cache(maxsize=2)
def dark_rate(detector: str) -> Map:
    """Dark current [DN/s]: 0.008 with 10 % scatter, and one pixel in 300 warm to hot (median 0.3).

    The same for both detectors, so that they can share one reference. Zero in the reference-pixel frame.
    """
    rng = seeded(DETECTORS[0] if detector in DETECTORS else detector, 3)
    rate = 0.008 * (1.0 + 0.1 * rng.standard_normal((N_PIX, N_PIX), dtype=np.float32))
    n_hot = N_PIX * N_PIX // 300
    where = rng.choice(N_PIX * N_PIX, n_hot, replace=False, shuffle=False)
    rate.flat[where] += rng.lognormal(np.log(0.3), 1.3, n_hot).astype(np.float32)
    rate[reference_pixels()] = 0.0
    return frozen(rate.astype(np.float32))


@lru_cache(maxsize=2)
def bad_pixels(detector: str) -> NDArray[np.uint32]:
    """Flags of the pixel mask: HOT or DEAD with DO_NOT_USE, and REFERENCE_PIXEL alone in the frame.

    Dead pixels (one in 3000 and one small cluster) see no light. Bits as in stdatamodels' ``dqflags.pixel``.
    """
    rng = seeded(detector, 4)
    flags = np.zeros((N_PIX, N_PIX), dtype=np.uint32)
    flags[dark_rate(detector) > HOT_LIMIT] |= DQ_HOT | DQ_DO_NOT_USE
    dead = rng.random((N_PIX, N_PIX), dtype=np.float32) < 1.0 / 3000.0
    row, col = rng.integers(100, N_PIX - 100, 2)
    dead[row : row + 5, col : col + 7] = True
    flags[dead] |= DQ_DEAD | DQ_DO_NOT_USE
    flags[reference_pixels()] = DQ_REFERENCE_PIXEL
    return frozen(flags)


@lru_cache(maxsize=2)
def gain(detector: str) -> Map:
    """Gain [electrons per DN], with a 1 % slope."""
    u, v = unit_grid()
    level = 0.996 if detector == "NRS1" else 1.137
    return frozen((level * (1.0 + 0.006 * u - 0.004 * v)).astype(np.float32))


@lru_cache(maxsize=2)
def read_noise(detector: str) -> Map:
    """Standard deviation of one read [DN]; the reference file holds sqrt(2) times this, as stock wants it."""
    rng = seeded(detector, 5)
    level = 10.0 if detector == "NRS1" else 9.0
    pixel = np.clip(rng.standard_normal((N_PIX, N_PIX), dtype=np.float32), -4, 4)
    return frozen((level * (1.0 + 0.08 * pixel)).astype(np.float32))


@lru_cache(maxsize=1)
def _linearity_map() -> Map:
    u, v = unit_grid()
    rng = np.random.default_rng([20221025, 6])
    pixel = np.clip(rng.standard_normal((N_PIX, N_PIX), dtype=np.float32), -4, 4)
    quadratic = LINEARITY_TERM * (1.0 + 0.10 * u * v + 0.05 * pixel)
    quadratic[reference_pixels()] = 0.0
    return frozen(quadratic.astype(np.float32))


def linearity_coeffs(detector: str) -> Map:
    """Coefficients, shape (3, 2048, 2048), of true = c0 + c1 measured + c2 measured^2 [DN above bias].

    The same for both detectors; 4.4 % at 40000 DN, 5 % scatter between pixels.
    """
    if detector not in DETECTORS:
        raise ValueError(f"no such detector: {detector}")
    quadratic = _linearity_map()
    return np.stack([np.zeros_like(quadratic), np.ones_like(quadratic), quadratic])


def apply_nonlinearity(dn: NDArray, detector: str) -> NDArray:
    """Measured signal of a true one, the exact inverse of `linearity_coeffs`.

    Parameters
    ----------
    dn : ndarray, shape (..., 2048, 2048) [DN above bias]
    detector : str

    Returns
    -------
    ndarray, shape and floating type of `dn`

    Notes
    -----
    The root of ``c2 m^2 + m = s`` written as ``m = 2 s / (1 + sqrt(1 + 4 c2 s))``, which is exact for c2 = 0
    and for negative signals down to ``-1 / (4 c2)``.
    """
    if detector not in DETECTORS:
        raise ValueError(f"no such detector: {detector}")
    signal = np.asarray(dn)
    root = np.sqrt(1.0 + 4.0 * _linearity_map() * signal)
    return (2.0 * signal / (1.0 + root)).astype(signal.dtype if signal.dtype.kind == "f" else float)


@lru_cache(maxsize=1)
def saturation(detector: str) -> Map:
    """Raw signal, bias included, at which the pixel saturates [DN]; the same for both detectors."""
    if detector not in DETECTORS:
        raise ValueError(f"no such detector: {detector}")
    u, v = unit_grid()
    return frozen((59000.0 * (1.0 - 0.010 * u**2 - 0.008 * v**2)).astype(np.float32))


@lru_cache(maxsize=2)
def picture_frame(detector: str) -> Map:
    """Thermal picture frame [DN/s] at its nominal strength: 0.12 at the edge, falling inwards over 50 px."""
    pixel = np.arange(N_PIX, dtype=np.float32)
    low, high = pixel - N_BORDER, (N_PIX - 1 - N_BORDER) - pixel
    weight = (1.0, 0.8) if detector == "NRS1" else (0.7, 1.0)
    side = weight[0] * np.exp(-np.clip(low, 0, None) / 50.0) + weight[1] * np.exp(-np.clip(high, 0, None) / 50.0)
    wide = np.exp(-np.clip(np.minimum(low, high), 0, None) / 260.0)
    frame = 0.12 * np.hypot(side[:, None], 0.9 * side[None, :]) + 0.02 * np.maximum(wide[:, None], wide[None, :])
    frame[reference_pixels()] = 0.0
    return frozen(frame.astype(np.float32))
