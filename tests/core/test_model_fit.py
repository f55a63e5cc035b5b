"""Place and size of sources, against those that were painted."""

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.model_fit import COLUMNS, LARGEST, Prior, Shape, fit_shapes, from_prior
from tests.core.slitlets import blank, frozen, grid, lit, psf

PSF = psf()
PRIOR = Prior(0.0, 0.05, 0.0, 0.15)


def fitted(frames, level, priors=(PRIOR,), **more):
    """Shapes by fit to frames of unit variance, the template flat."""
    n_bin = frames[0].flux.shape[2]
    spectra = np.ones((2, len(priors), n_bin))
    spectra[0] = np.reshape(level, (-1, 1))
    ivar = [f.good / 1.0 for f in frames]
    return fit_shapes(frames, PSF, grid(n_bin), spectra, priors, ivar, **more)


def painted(level=20.0, **more):
    return lit(blank(), PSF, np.full((1, 21, 60), level), **more)


@pytest.mark.parametrize("offset, size", [(0.0, 0.0), (0.04, 0.08), (-0.08, 0.25)])
def test_without_noise_the_shape_is_found(offset, size):
    found = fitted([frozen(painted(1e4, offset=offset, size=size, sky=3.0))], 1e4)[0]
    assert found.offset == pytest.approx(offset, abs=3e-4)
    assert found.size == pytest.approx(size, abs=2e-3)


def test_errors_of_the_shape_are_true():
    pulls = []
    for seed in range(14):
        found = fitted([painted(offset=0.03, size=0.12, sky=5.0, seed=seed)], 20.0)[0]
        pulls.append(((found.offset - 0.03) / found.errors[0], (found.size - 0.12) / found.errors[1]))
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.8
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.4)


def test_nods_from_which_the_sky_was_taken_say_nearly_the_same():
    frames = painted(offset=0.03, size=0.12, sky=5.0, seed=3)
    mean = (frames.flux.sum(axis=0) - frames.flux) / 2
    alone = replace(frames, flux=frames.flux - mean, shared=False, read=frames.read * 1.5)
    one, other = fitted([frames], 20.0)[0], fitted([alone], 20.0)[0]
    assert other.offset == pytest.approx(one.offset, abs=one.errors[0])
    assert other.size == pytest.approx(one.size, abs=one.errors[1])


def test_two_sources_of_a_slitlet():
    frames = blank()
    places = frames.sources + np.array([0.0, 0.45])
    frames = replace(frames, sources=np.concatenate([frames.sources, places]))
    flux = np.stack([np.full((21, 60), 20.0), np.full((21, 60), 60.0)])
    found = fitted([lit(frames, PSF, flux, offset=0.03, size=0.1, seed=1)], (20.0, 60.0), (PRIOR, PRIOR))
    for shape in found:
        assert abs(shape.offset - 0.03) < 4 * shape.errors[0]
        assert abs(shape.size - 0.1) < 4 * shape.errors[1]
    assert found[1].errors[0] < found[0].errors[0] < PRIOR.offset_err


def test_the_prior_holds_where_there_is_only_noise():
    """The shape stays within the prior's width, and its error is not smaller than noise allows."""
    prior = Prior(0.02, 0.03, 0.0, 0.1)
    found = [fitted([painted(0.0, seed=seed, sky=2.0)], 0.0, (prior,))[0] for seed in range(8)]
    away = np.array([((s.offset - 0.02) / 0.03, s.size / 0.1) for s in found])
    assert np.abs(away).max() < 2.5
    assert np.sqrt(np.mean(away[:, 0] ** 2)) < 1.0
    for shape in found:
        assert 0 < shape.errors[0] <= 0.03 * 1.001
        assert 0 < shape.errors[1] <= 0.1 * 1.001


def test_without_any_pixel_the_shape_is_the_prior():
    frames = painted(seed=1)
    nothing = replace(frames, good=np.zeros(frames.good.shape, dtype=bool), flux=np.zeros(frames.flux.shape))
    found = fitted([nothing], 20.0, (Prior(0.02, 0.03, 0.1, 0.05),))[0]
    assert found.offset == pytest.approx(0.02, abs=1e-3)
    assert found.size == pytest.approx(0.1, abs=1e-2)
    np.testing.assert_allclose(found.errors, (0.03, 0.05), rtol=0.05)


def test_a_narrow_prior_outweighs_the_data():
    found = fitted([painted(offset=0.05, seed=2)], 20.0, (Prior(0.0, 1e-5, 0.3, 1e-4),))[0]
    assert found.offset == pytest.approx(0.0, abs=1e-4)
    assert found.size == pytest.approx(0.3, abs=1e-3)


def test_detectors_are_fitted_together():
    frames = [painted(offset=0.03, size=0.12, seed=seed) for seed in (1, 2)]
    both, one = fitted(frames, 20.0)[0], fitted(frames[:1], 20.0)[0]
    assert both.errors[0] == pytest.approx(one.errors[0] / np.sqrt(2), rel=0.15)
    assert abs(both.offset - 0.03) < 4 * both.errors[0]


def test_a_start_close_to_the_answer_ends_there():
    frames = [painted(offset=0.04, size=0.12, seed=4)]
    one = fitted(frames, 20.0)[0]
    again = fitted(frames, 20.0, start=[Shape(0.03, 0.1, np.eye(2))])[0]
    assert again.offset == pytest.approx(one.offset, abs=0.1 * one.errors[0])
    assert again.size == pytest.approx(one.size, abs=0.1 * one.errors[1])


def test_long_exposures_are_binned_for_the_fit():
    n_wave = 2 * COLUMNS
    frames = lit(blank(n_wave=n_wave), PSF, np.full((1, 21, n_wave), 20.0), offset=0.04, size=0.1, seed=1, sky=3.0)
    frames.good[:, :, 100:120] = False
    found = fitted([frozen(frames)], 20.0)[0]
    assert abs(found.offset - 0.04) < max(4 * found.errors[0], 3e-4)
    assert abs(found.size - 0.1) < 4 * found.errors[1]


def test_the_largest_size_is_a_bound():
    found = fitted([painted(1e4, size=1.5)], 1e4, (Prior(0.0, 0.05, 0.0, 5.0),))[0]
    assert found.size <= LARGEST


def test_the_shape_of_a_prior():
    shape = from_prior(Prior(0.1, 0.02, 0.3, 0.04))
    assert (shape.offset, shape.size) == (0.1, 0.3)
    np.testing.assert_allclose(shape.errors, (0.02, 0.04))
