"""Means of spectra, and what is left out of them."""

import numpy as np
import pytest
from astropy.stats import sigma_clip

from nirfire.core.group_mean import bands_of_mean, mean_of_groups, outlying


def spectra(n_group, n_wave=400, seed=1):
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.5, 2.0, (n_group, 1)) * np.ones(n_wave)
    return 5.0 + sigma * rng.normal(size=sigma.shape), sigma**-2


def test_a_clip_by_the_scatter_of_three_values_never_fires_and_this_one_does():
    three = np.array([1.0, 1.1, 1e6])
    assert not sigma_clip(three, sigma=3, maxiters=5, stdfunc=lambda a, axis=None: np.std(a, axis, ddof=1)).mask.any()
    assert not sigma_clip(three, sigma=3, maxiters=5).mask.any()
    flux, ivar = spectra(3)
    flux[1, 7] += 20 / np.sqrt(ivar[1, 7])
    wrong = outlying(flux, ivar, 5.0)
    assert wrong[1, 7]
    assert wrong.sum() == 1


def test_most_outliers_are_found_and_little_else():
    flux, ivar = spectra(5, 4000)
    rng = np.random.default_rng(3)
    hit = rng.random(flux.shape) < 0.01
    flux += np.where(hit, 15 / np.sqrt(ivar), 0.0)
    wrong = outlying(flux, ivar, 4.0)
    assert wrong[hit].mean() > 0.97
    assert wrong[~hit].mean() < 5e-4


def test_two_spectra_or_no_clip_leave_all_in():
    flux, ivar = spectra(2)
    flux[0, 3] = 1e6
    assert not outlying(flux, ivar, 3.0).any()
    three, weight = spectra(3)
    three[0, 3] = 1e6
    assert not outlying(three, weight, 0.0).any()
    weight[1, 3] = 0.0  # two are left there
    assert not outlying(three, weight, 5.0).any()


def test_spectra_that_differ_everywhere_are_not_thinned_out():
    flux, ivar = spectra(4)
    flux[2] += 30.0
    flux[0, 50] += 400.0
    wrong = outlying(flux, ivar, 5.0)
    assert wrong[0, 50]
    assert wrong.mean() < 0.01


def test_the_mean_has_the_weights_of_time_and_a_true_error():
    time, n = np.array([100.0, 300.0, 50.0]), 4000
    flux, ivar = spectra(3, n)
    ivar[1, :1000] = 0.0
    flux[1, :1000] = 1e9
    out = mean_of_groups(flux, ivar, time)
    np.testing.assert_allclose(out.weights[:, 0], [2 / 3, 0, 1 / 3])
    np.testing.assert_allclose(out.weights[:, -1], time / 450)
    pulls = (out.flux - 5.0) * np.sqrt(out.ivar)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.03)
    ivar[:, 5] = 0.0
    nothing = mean_of_groups(flux, ivar, time)
    assert (nothing.flux[5], nothing.ivar[5]) == (0.0, 0.0)


def test_the_covariance_of_a_mean():
    rng = np.random.default_rng(2)
    n_wave = 30
    kernel = np.array([0.3, 0.6, 0.3])
    smooth = np.array([np.convolve(row, kernel, mode="same") for row in np.eye(n_wave)])
    whole = smooth @ smooth.T
    bands = np.zeros((3, n_wave))
    for k in range(3):
        bands[k, : n_wave - k] = np.diagonal(whole, k)
    ivar = np.tile(1 / bands[0], (2, 1))
    ivar[0, 11] = 0.0
    time = np.array([1.0, 2.0])
    mean = mean_of_groups(np.zeros((2, n_wave)), ivar, time)
    found = bands_of_mean(mean.weights, np.array([bands, bands]))
    noise = rng.normal(size=(20000, 2, n_wave)) @ smooth.T
    measured = np.cov(np.sum(noise * mean.weights, axis=1), rowvar=False)
    for k in range(3):
        np.testing.assert_allclose(np.diagonal(measured, k), found[k, : n_wave - k], atol=0.02)
    np.testing.assert_allclose(1 / mean.ivar, found[0])


def test_arguments_are_not_changed():
    flux, ivar = spectra(3)
    flux[0, 0] = 1e3
    time = np.ones(3)
    for a in (flux, ivar, time):
        a.setflags(write=False)
    assert outlying(flux, ivar, 5.0)[0, 0]
    mean_of_groups(flux, ivar, time)
