"""Small exposures whose background is known."""

from __future__ import annotations

import numpy as np

from nirfire.core.joint import cosines

SHAPE = (512, 512)
SIGMA = 0.2
BAND = SHAPE[0] // 4


def frame():
    """A picture frame: bright edges that fall off within 20 pixels."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return 0.3 * np.exp(-np.minimum(y, SHAPE[0] - 1 - y) / 20.0) + 0.2 * np.exp(-np.minimum(x, SHAPE[1] - 1 - x) / 20.0)


def columns(rng, shared=0.8, slow=0.02):
    """Noise of columns, in part common to the four outputs, with some slow change along y."""
    common, own = rng.normal(size=(SHAPE[1], 4)), rng.normal(size=(4, SHAPE[1], 4))
    amplitude = 0.06 * np.array([1.0, 0.3, 0.2, 0.1])
    coefficients = amplitude * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    return np.concatenate([cosines(BAND, 4) @ one.T for one in coefficients])


def truth(rng, *, scale=(0.8, 0.8, 0.8, 0.8), pedestal=(0.02, -0.01, 0.0, 0.01), tilt=0.05):
    """All components: frame, pedestals, a smooth slope, columns."""
    x = np.arange(SHAPE[1]) / SHAPE[1] - 0.5
    bands = np.repeat(np.array(scale), BAND)[:, None] * frame() + np.repeat(np.array(pedestal), BAND)[:, None]
    return bands + tilt * x**2 + columns(rng)


def readonly(*arrays):
    """The arrays, which must not be changed."""
    for array in arrays:
        array.setflags(write=False)
    return arrays
