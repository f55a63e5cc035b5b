"""1/f noise of the readout electronics, in the order in which the pixels are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nirfire.simulate.detector_maps import N_PIX

Map = NDArray[np.float32]

N_OUTPUT = 4
STRIDE = 8
"""Pixels that share one sample of the 1/f noise."""


def flicker_series(rng: np.random.Generator, n: int) -> Map:
    """Noise of unit variance with a power spectrum proportional to 1/f, shape (n,)."""
    white = rng.standard_normal(n, dtype=np.float32)
    spectrum = np.fft.rfft(white)
    frequency = np.arange(spectrum.size, dtype=np.float32)
    frequency[0] = 1.0
    spectrum /= np.sqrt(frequency)
    spectrum[0] = 0.0
    series = np.fft.irfft(spectrum, n)
    return (series / series.std()).astype(np.float32)


def flicker_noise(rng: np.random.Generator, detector: str, rms: float, shared: float) -> Map:
    """1/f noise of one read.

    Parameters
    ----------
    rng : Generator
    detector : str
        NRS2 is read in the opposite sense along both axes.
    rms : float [DN]
    shared : float
        Share of the variance common to the four outputs.

    Returns
    -------
    ndarray, shape (2048, 2048) [DN]

    Notes
    -----
    Neighbouring outputs are read in opposite directions along y. Eight successive pixels share a sample: above that
    frequency the read noise dominates.
    """
    band = N_PIX // N_OUTPUT
    n = N_PIX * band // STRIDE
    common = flicker_series(rng, n)
    bands = []
    for k in range(N_OUTPUT):
        series = np.sqrt(shared) * common + np.sqrt(1.0 - shared) * flicker_series(rng, n)
        samples = np.repeat(series.reshape(N_PIX, band // STRIDE).T, STRIDE, axis=0)
        bands.append(samples[::-1] if k % 2 else samples)
    image = np.concatenate(bands) * np.float32(rms)
    return image[::-1, ::-1] if detector == "NRS2" else image
