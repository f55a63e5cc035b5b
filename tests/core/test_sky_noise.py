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


def test_hot_pixels_and_lines_in_all_exposures_keep_their_noise():
    rng = np.random.default_rng(9)
    for n_exp in (1, 2, 3):
        variance = 20 + rng.normal(0, 2, (n_exp, 9, 200))
        variance[:, 4, 100] = 900.0  # hot
        variance[:, 6, 149:152] = (60.0, 200.0, 60.0)  # a line
        found = sky_photon_variance(variance, np.ones(variance.shape, dtype=bool))
        assert found[:, 4, 100] == pytest.approx(900)
        assert found[:, 6, 149:152] == pytest.approx(variance[:, 6, 149:152])
        near = found[:, 4, 90:111][:, np.arange(21) != 10]
        assert near == pytest.approx(np.full(near.shape, 20), abs=3.5)


def test_a_single_exposure_is_unbiased():
    rng = np.random.default_rng(5)
    counts = rng.poisson(20.0, (1, 40, 4000)).astype(float)
    variance = sky_photon_variance(counts, np.ones(counts.shape, dtype=bool)) + 20.0
    weight = 1 / variance
    mean = ((counts - 20) * weight).sum(axis=2) / weight.sum(axis=2)
    assert (mean * np.sqrt(weight.sum(axis=2))).mean() == pytest.approx(0, abs=0.5)  # of 4000 pixels
    own = 1 / (np.clip(counts, 1, None) + 20.0)
    assert (((counts - 20) * own).sum(axis=2) / np.sqrt(own.sum(axis=2))).mean() < -3
