"""Nod subtraction against known truth."""

import numpy as np
import pytest

from nirfire.core.nods import (
    background_variance,
    median_of_others,
    median_variance,
    nod_covariance,
    subtract_median_of_others,
)


def frozen(*arrays):
    for a in arrays:
        a.setflags(write=False)
    return arrays


@pytest.mark.parametrize("n_nods", [2, 3, 4, 5, 6, 8])
def test_errors_are_true_for_any_number_of_nods(n_nods):
    rng = np.random.default_rng(n_nods)
    sigma = 0.7
    flux, ivar = frozen(sigma * rng.normal(size=(n_nods, 200, 300)), np.full((n_nods, 200, 300), sigma**-2))
    out, out_ivar = subtract_median_of_others(flux, ivar)
    pulls = out * np.sqrt(out_ivar)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.01)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.01)


def test_error_growth_is_the_textbook_one():
    for n_nods, growth in ((2, np.sqrt(2)), (3, np.sqrt(1.5)), (5, np.sqrt(1.2982))):
        _, ivar = subtract_median_of_others(np.zeros((n_nods, 1, 1)), np.ones((n_nods, 1, 1)))
        assert 1 / np.sqrt(ivar[0, 0, 0]) == pytest.approx(growth, rel=1e-4)


def test_median_variance_matches_simulation():
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 17):
        simulated = np.var(np.median(rng.normal(size=(n, 100_000)), axis=0))
        assert median_variance(np.array([n]))[0] == pytest.approx(simulated, rel=0.03)


def test_sky_is_removed_and_the_source_kept():
    sky = np.linspace(1, 2, 50)[np.newaxis, np.newaxis, :]
    flux = np.broadcast_to(sky, (3, 15, 50)).copy()
    for k, row in enumerate((2, 7, 12)):
        flux[k, row] += 5.0
    out, ivar = subtract_median_of_others(flux, np.ones(flux.shape))
    for k, row in enumerate((2, 7, 12)):
        assert out[k, row] == pytest.approx(np.full(50, 5.0))
        clear = [r for r in range(15) if r not in (2, 7, 12)]
        assert np.abs(out[k, clear]).max() < 1e-12
    assert (ivar > 0).all()


def test_missing_pixels_do_not_dilute_the_background():
    flux, ivar = np.full((3, 1, 2), 4.0), np.ones((3, 1, 2))
    flux[1, 0, 0], ivar[1, 0, 0] = 0.0, 0.0
    out, out_ivar = subtract_median_of_others(flux, ivar)
    assert out[0, 0, 0] == 0.0  # the one valid background has the value 4, not 2
    assert out_ivar[0, 0, 0] == pytest.approx(0.5)
    assert out_ivar[1, 0, 0] == 0.0


def test_an_exposure_is_never_its_own_background():
    flux = np.array([1.0, 2.0, 4.0])[:, np.newaxis, np.newaxis]
    everything = np.ones((3, 3), dtype=bool)
    out, _ = subtract_median_of_others(flux, np.ones((3, 1, 1)), use=everything)
    assert out[:, 0, 0] == pytest.approx([1 - 3, 2 - 2.5, 4 - 1.5])


def test_one_exposure_is_refused():
    with pytest.raises(ValueError, match="two exposures"):
        subtract_median_of_others(np.zeros((1, 2, 2)), np.ones((1, 2, 2)))


@pytest.mark.parametrize("n_nods", [2, 3, 4, 5, 6])
def test_covariance_between_the_nods_is_that_of_a_simulation(n_nods):
    rng = np.random.default_rng(n_nods)
    sample, every = rng.normal(size=(n_nods, 400, 500)), np.ones((n_nods, 400, 500), dtype=bool)
    left = sample - median_of_others(sample, every).value
    simulated = np.cov(left.reshape(n_nods, -1))
    used = median_of_others(sample[:, :1, :1], every[:, :1, :1]).used
    found = nod_covariance(np.ones((n_nods, 1, 1)), used)[..., 0, 0]
    assert found == pytest.approx(simulated, abs=0.015)


def test_covariance_knows_what_was_used_and_unequal_noise():
    rng = np.random.default_rng(5)
    sigma, shape = np.array([1.0, 2.0, 0.5]), (3, 400, 500)
    sample, good = rng.normal(size=shape) * sigma[:, np.newaxis, np.newaxis], np.ones(shape, dtype=bool)
    good[1, :, 0] = False
    background = median_of_others(sample, good)
    found = nod_covariance(np.broadcast_to(sigma[:, np.newaxis, np.newaxis] ** 2, shape), background.used)
    left = sample - background.value
    assert found[..., 0, 5] == pytest.approx(np.cov(left.reshape(3, -1)), abs=0.05)
    assert found[0, 2, 0, 0] == pytest.approx(-(1 + 0.25))  # each is all of the other's background
    assert background_variance(np.ones(shape), background.used)[0, 0, :2] == pytest.approx([1.0, 0.5])


def test_only_allowed_exposures_serve():
    flux, good = np.array([1.0, 2.0, 4.0])[:, np.newaxis, np.newaxis], np.ones((3, 1, 1), dtype=bool)
    allowed = np.array([[False, True, False], [False, False, False], [True, True, False]])
    background = median_of_others(flux, good, allowed)
    assert background.value[:, 0, 0] == pytest.approx([2.0, 0.0, 1.5])
    assert background.there[:, 0, 0].tolist() == [True, False, True]
