"""Photon noise of the sky: means are not biased, and light of sources keeps its noise."""

import numpy as np
import pytest

from nirfire.core.nods import background_variance, median_of_others
from nirfire.core.sky_noise import sky_photon_variance

SHAPE = (3, 40, 4000)


def exposures(sky=20.0, read=60.0):
    rng = np.random.default_rng(3)
    counts = rng.poisson(sky, SHAPE).astype(float)
    return counts + rng.normal(0, np.sqrt(read), SHAPE), counts, read


def weighted_means(flux, photon, read, size=20):
    every = np.ones(SHAPE, dtype=bool)
    background = median_of_others(flux, every)
    variance = photon + read + background_variance(photon + read, background.used)
    left, weight = ((a.reshape(3, SHAPE[1], -1, size)) for a in (flux - background.value, 1 / variance))
    return (left * weight).sum(axis=-1) / np.sqrt(weight.sum(axis=-1))


def test_means_of_sky_are_unbiased_and_their_errors_true():
    flux, counts, read = exposures()
    own = weighted_means(flux, np.clip(counts, 1, None), read)
    assert own.mean() < -0.04  # what this is against
    mended = weighted_means(flux, sky_photon_variance(counts, np.ones(SHAPE, dtype=bool)), read)
    assert mended.mean() == pytest.approx(0, abs=0.012)
    assert mended.std() == pytest.approx(1, abs=0.02)


def test_light_of_a_source_keeps_its_own_noise_in_its_nod_only():
    variance, good = np.full((3, 9, 200), 5.0), np.ones((3, 9, 200), dtype=bool)
    variance[1, 4] = 50.0
    variance[1, 4, 100] = 900.0
    variance[2, 2, 50], good[2, 2, 50] = 400.0, False  # a jump
    variance.setflags(write=False)
    found = sky_photon_variance(variance, good)
    assert found[1, 4] == pytest.approx(variance[1, 4])
    assert found[0, 4] == pytest.approx(np.full(200, 5.0))
    assert found[2, 2, 50] == 400.0
    assert found[2, 2, 51] == pytest.approx(5.0)


def test_exposures_without_pixels_change_nothing():
    variance = np.full((2, 3, 20), 2.0)
    nothing = np.zeros(variance.shape, dtype=bool)
    assert sky_photon_variance(variance, nothing) == pytest.approx(variance)
