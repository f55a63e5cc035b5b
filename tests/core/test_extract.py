"""Extraction against analytic results."""

import numpy as np
import pytest

from nirfire.core.extract import box_weights, boxcar, median_profile, optimal


def gaussian(n_spat, row, sigma):
    y = np.arange(n_spat)
    p = np.exp(-0.5 * ((y - row) / sigma) ** 2)
    return p / p.sum()


def test_box_weights_have_the_width_asked_for():
    for width in (3, 4, 5, 3.7):
        for row in (9.0, 9.3, 10.5):
            assert box_weights(20, row, width).sum() == pytest.approx(width)
    assert box_weights(20, 9.0, 3)[8:11] == pytest.approx([1, 1, 1])
    assert box_weights(20, 9.0, 4)[7] == pytest.approx(0.5)


def test_optimal_recovers_flux_and_true_errors():
    rng = np.random.default_rng(2)
    profile, n_wave, sigma = gaussian(15, 7.2, 1.1), 20_000, 0.3
    flux = 10.0 * profile[:, None] + sigma * rng.normal(size=(15, n_wave))
    ivar = np.full(flux.shape, sigma**-2)
    ivar[rng.random(flux.shape) < 0.05] = 0.0
    out, out_ivar = optimal(flux, ivar, profile)
    pulls = (out - 10.0) * np.sqrt(out_ivar)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.03)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.02)
    best = 1 / np.sqrt(np.sum(profile**2) / sigma**2)  # Cramer-Rao limit where all pixels are there
    assert np.median(1 / np.sqrt(out_ivar)) >= best * 0.999


def test_boxcar_errors_are_true_with_fractional_edges_and_holes():
    rng = np.random.default_rng(3)
    profile, n_wave, sigma = gaussian(15, 7.2, 1.1), 20_000, 0.3
    flux = 10.0 * profile[:, None] + sigma * rng.normal(size=(15, n_wave))
    ivar = np.full(flux.shape, sigma**-2)
    ivar[rng.random(flux.shape) < 0.05] = 0.0
    weights = box_weights(15, 7.2, 4)
    out, out_ivar = boxcar(flux, ivar, weights, profile)
    good = out_ivar > 0
    pulls = (out[good] - 10.0 * np.sum(weights * profile)) * np.sqrt(out_ivar[good])
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.03)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.02)


def test_nothing_valid_gives_no_information():
    zero = np.zeros((9, 4))
    for out in (optimal(zero, zero, gaussian(9, 4, 1)), boxcar(zero, zero, box_weights(9, 4, 3), gaussian(9, 4, 1))):
        assert (out[1] == 0).all()
        assert (out[0] == 0).all()


def test_median_profile_finds_the_source_and_ignores_its_negatives():
    truth = gaussian(31, 15.0, 1.0)
    flux = 5 * (truth - 0.5 * gaussian(31, 10.0, 1.0) - 0.5 * gaussian(31, 20.0, 1.0))[:, None] * np.ones(200)
    profile = median_profile(flux, np.ones(flux.shape), row=15.0)
    assert profile.measured
    assert profile.weight.sum() == pytest.approx(1)
    assert (profile.weight >= 0).all()
    assert np.abs(profile.weight - truth).max() < 0.02


def test_unusable_profile_falls_back_to_a_boxcar():
    profile = median_profile(-np.ones((15, 50)), np.ones((15, 50)), row=7.0)
    assert not profile.measured
    assert profile.weight == pytest.approx(box_weights(15, 7.0, 3) / 3)


def test_arguments_are_not_changed():
    flux, ivar, profile = np.ones((9, 5)), np.ones((9, 5)), gaussian(9, 4, 1)
    for a in (flux, ivar, profile):
        a.setflags(write=False)
    median_profile(flux, ivar, row=4.0)
    optimal(flux, ivar, profile)
    boxcar(flux, ivar, box_weights(9, 4, 3), profile)


def test_optimal_is_the_horne_extraction_of_specreduce():
    specreduce = pytest.importorskip("specreduce.extract")
    from specreduce.tracing import FlatTrace

    rng = np.random.default_rng(8)
    n_spat, n_wave = 21, 300
    profile = gaussian(n_spat, 10.0, 1.3)
    true = 50.0 + 20.0 * np.sin(np.arange(n_wave) / 20.0)
    sigma = rng.uniform(0.5, 1.5, (n_spat, n_wave))
    noise = sigma * rng.normal(size=sigma.shape)
    image = true * profile[:, None] + noise - noise.mean(axis=1, keepdims=True)  # its profile is the true one
    trace = FlatTrace(image, 10.0)
    theirs = specreduce.HorneExtract(image, trace, bkgrd_prof=None, variance=sigma**2)().flux.value
    flux, ivar = optimal(image, sigma**-2, profile)
    np.testing.assert_allclose(flux, theirs, rtol=1e-5)
    assert np.std((flux - true) * np.sqrt(ivar)) == pytest.approx(1.0, abs=0.1)
