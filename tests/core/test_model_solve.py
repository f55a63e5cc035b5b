"""Normal equations against least squares with all unknowns in one dense matrix, and against Monte Carlo."""

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.model_frames import Frames
from nirfire.core.model_solve import (
    N_BAND,
    at_pixels,
    effective_light,
    on_grid,
    pixel_sums,
    sky_of_pixels,
    solve,
)
from tests.core.slitlets import blank, frozen, grid

N_EXP, N_SPAT, N_WAVE = 3, 5, 8
EDGES = grid(N_WAVE)


def problem(seed=1, n_source=1, missing=0.0, shift=0.0) -> tuple[Frames, np.ndarray, np.ndarray]:
    """Frames, light and inverse variance that are random numbers."""
    rng = np.random.default_rng(seed)
    shape = (N_EXP, N_SPAT, N_WAVE)
    frames = blank(N_EXP, N_SPAT, N_WAVE, shift, flux=rng.normal(size=shape))
    ivar = rng.uniform(0.5, 2.0, shape) * (rng.random(shape) >= missing)
    return frozen(frames), rng.uniform(0, 1, (n_source, *shape)), ivar


def overlaps(frames, edges):
    """Share of each pixel in each bin, (n_spat, n_wave, n_bin)."""
    low, high = frames.wave[:, :-1, np.newaxis], frames.wave[:, 1:, np.newaxis]
    inside = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
    return np.clip(inside, 0, None) / (high - low)


def dense(frames, light, ivar, free_sky=True):
    """Fluxes and covariance by least squares with a sky of each pixel among the unknowns."""
    n_source, n_bin = len(light), len(EDGES) - 1
    n_pixel = N_SPAT * N_WAVE
    share = overlaps(frames, EDGES)
    flux_part = np.einsum("siyx,yxk->iyxsk", light, share).reshape(N_EXP * n_pixel, n_source * n_bin)
    sky_part = np.tile(np.eye(n_pixel), (N_EXP, 1))
    design = np.hstack([flux_part, sky_part]) if free_sky else flux_part
    root = np.sqrt(ivar.ravel())[:, np.newaxis]
    found = np.linalg.lstsq(root * design, root[:, 0] * frames.flux.ravel(), rcond=None)[0]
    covariance = np.linalg.pinv((root * design).T @ (root * design), rcond=1e-12, hermitian=True)
    n = n_source * n_bin
    return found[:n].reshape(n_source, n_bin), covariance[:n, :n]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_source, missing", [(1, 0.0), (1, 0.2), (2, 0.0), (2, 0.2)])
def test_equal_to_dense_least_squares(n_source, missing, shared):
    frames, light, ivar = problem(3, n_source, missing)
    frames = replace(frames, shared=shared, backgrounds=None)
    found = solve(on_grid(EDGES, frames.wave, *pixel_sums(frames, light, ivar)))
    flux, covariance = dense(frames, light, ivar, free_sky=shared)
    np.testing.assert_allclose(found.flux, flux, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.variance.ravel(), np.diag(covariance), rtol=1e-9)
    assert np.abs(found.correlation).max() < 1e-12  # each pixel is in one bin


def estimator(frames, light, ivar, edges):
    """What the solution does with each pixel: (n_source, n_bin, n_exp, n_spat, n_wave), one unit pixel at a time."""
    shape, n_bin = frames.flux.shape, len(edges) - 1
    rows = np.zeros((frames.flux.size, len(light), n_bin))
    for k in range(frames.flux.size):
        unit = np.zeros(frames.flux.size)
        unit[k] = 1.0
        one = replace(frames, flux=unit.reshape(shape))
        rows[k] = solve(on_grid(edges, one.wave, *pixel_sums(one, light, ivar))).flux
    return np.moveaxis(rows.reshape(*shape, len(light), n_bin), (3, 4), (0, 1))


@pytest.mark.parametrize("n_source", [1, 2])
def test_covariance_of_tilted_pixels_is_that_of_the_estimator(n_source):
    frames, light, ivar = problem(5, n_source, 0.1, shift=0.37)
    edges = grid(N_WAVE, 0.1)
    found = solve(on_grid(edges, frames.wave, *pixel_sums(frames, light, ivar)))
    weights = estimator(frames, light, ivar, edges)
    assert np.abs(weights.sum(axis=2)).max() < 1e-12  # no sky gets through
    spread = np.where(ivar > 0, 1.0 / np.where(ivar > 0, ivar, 1.0), 0.0)
    covariance = np.einsum("skiyx,iyx,sliyx->skl", weights, spread, weights)
    there = np.isfinite(found.variance)
    np.testing.assert_array_equal(there, np.einsum("skk->sk", covariance) > 0)
    np.testing.assert_allclose(found.variance[there], np.einsum("skk->sk", covariance)[there], rtol=1e-9)
    sigma = np.sqrt(np.diag(covariance[0]))
    for band in range(1, N_BAND + 1):
        wanted = np.diag(covariance[0], band) / np.maximum(sigma[:-band] * sigma[band:], 1e-30)
        np.testing.assert_allclose(found.correlation[band - 1, :-band], wanted, rtol=1e-9, atol=1e-12)
        assert not found.correlation[band - 1, len(sigma) - band :].any()


def test_a_flat_spectrum_comes_out_whatever_the_tilt():
    frames, light, ivar = problem(6, 2, 0.1, shift=0.37)
    seen = 3.0 * light[0] + 0.5 * light[1] + np.random.default_rng(1).normal(size=(N_SPAT, N_WAVE))
    frames = replace(frames, flux=np.where(ivar > 0, seen, 0.0))
    found = solve(on_grid(EDGES, frames.wave, *pixel_sums(frames, light, ivar)))
    np.testing.assert_allclose(found.flux, [[3.0] * N_WAVE, [0.5] * N_WAVE], rtol=1e-8)


def test_correlation_is_that_of_many_draws():
    frames, light, ivar = problem(7, shift=0.5)
    rng, draws = np.random.default_rng(2), []
    for _ in range(2000):
        noisy = replace(frames, flux=rng.normal(size=ivar.shape) / np.sqrt(ivar))
        draws.append(solve(on_grid(EDGES, frames.wave, *pixel_sums(noisy, light, ivar))).flux[0])
    found = solve(on_grid(EDGES, frames.wave, *pixel_sums(frames, light, ivar)))
    np.testing.assert_allclose(np.var(draws, axis=0), found.variance[0], rtol=0.15)
    measured = np.corrcoef(np.array(draws).T)
    assert found.correlation[0].max() > 0.3
    for band in (1, 2):
        np.testing.assert_allclose(np.diag(measured, band), found.correlation[band - 1, :-band], atol=0.08)


def test_undoing_the_subtraction_of_nods_changes_nothing():
    """Means of the other nods taken off before, whatever they are, leave the sums as they are."""
    frames, light, ivar = problem(8)
    less = replace(frames, flux=frames.flux - np.random.default_rng(3).normal(size=(N_SPAT, N_WAVE)))
    for a, b in zip(pixel_sums(frames, light, ivar), pixel_sums(less, light, ivar), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_light_of_nods_alone_is_negative_where_it_was_subtracted():
    frames, light, _ = problem(9)
    alone = replace(frames, shared=False)
    seen = effective_light(alone, light)
    for i in range(N_EXP):
        others = [j for j in range(N_EXP) if j != i]
        np.testing.assert_allclose(seen[0, i], light[0, i] - light[0, others].mean(axis=0), atol=1e-12)
    assert effective_light(frames, light) is light
    assert effective_light(replace(alone, backgrounds=None), light) is light


def test_more_exposures_add():
    frames, light, ivar = problem(10)
    one = on_grid(EDGES, frames.wave, *pixel_sums(frames, light, ivar))
    both = solve(one + one)
    np.testing.assert_allclose(both.flux, solve(one).flux)
    np.testing.assert_allclose(both.variance, solve(one).variance / 2)


def test_even_weights_change_variance_as_they_must():
    """A factor on weights of pixels; the variance is that of the sum that they make."""
    frames, light, ivar = problem(11, shift=0.37)
    data, normal = pixel_sums(frames, light, ivar)
    even = np.random.default_rng(4).uniform(0.5, 2.0, (N_SPAT, N_WAVE))
    found = solve(on_grid(EDGES, frames.wave, data, normal, even))
    weight = overlaps(frames, EDGES) * even[..., np.newaxis]
    total = np.einsum("yxk,yx->k", weight, normal[0, 0])
    np.testing.assert_allclose(found.flux[0], np.einsum("yxk,yx->k", weight, data[0]) / total, rtol=1e-10)
    cov = np.einsum("yxk,yx,yxl->kl", weight, normal[0, 0], weight) / np.outer(total, total)
    np.testing.assert_allclose(found.variance[0], np.diag(cov), rtol=1e-10)
    wanted = np.diag(cov, 1) / np.sqrt(np.diag(cov)[1:] * np.diag(cov)[:-1])
    np.testing.assert_allclose(found.correlation[0, :-1], wanted, rtol=1e-10)


def test_no_information_is_an_infinite_variance_and_no_flux():
    frames, light, ivar = problem(12, 2)
    ivar[:, :, 3] = 0.0
    found = solve(on_grid(EDGES, frames.wave, *pixel_sums(frames, light, ivar)))
    assert np.isinf(found.variance[:, 3]).all()
    assert not found.flux[:, 3].any()
    assert np.isfinite(np.delete(found.variance, 3, axis=1)).all()


def test_a_source_that_is_nowhere_does_not_spoil_the_other():
    frames, light, ivar = problem(13, 2)
    light[1] = 0.0
    both = solve(on_grid(EDGES, frames.wave, *pixel_sums(frames, light, ivar)))
    one = solve(on_grid(EDGES, frames.wave, *pixel_sums(frames, light[:1], ivar)))
    np.testing.assert_allclose(both.flux[0], one.flux[0], rtol=1e-9)
    np.testing.assert_allclose(both.variance[0], one.variance[0], rtol=1e-9)
    assert np.isinf(both.variance[1]).all()


def test_the_sky_of_pixels_is_their_weighted_mean():
    frames, light, ivar = problem(14)
    ivar[:, 2, 2] = 0.0
    sky = sky_of_pixels(frames, light[0], ivar)
    assert sky[2, 2] == 0.0
    weight = ivar[:, 1, 1]
    assert sky[1, 1] == pytest.approx(weight @ (frames.flux - light[0])[:, 1, 1] / weight.sum())
    assert not sky_of_pixels(replace(frames, shared=False), light[0], ivar).any()


def test_values_of_the_grid_are_averaged_over_pixels():
    frames, _, _ = problem(15, shift=0.37)
    edges = grid(N_WAVE + 4)
    values = np.random.default_rng(5).normal(size=len(edges) - 1)
    share = overlaps(frames, edges)
    wanted = np.einsum("yxk,k->yx", share, values) / share.sum(axis=-1)
    np.testing.assert_allclose(at_pixels(edges, frames.wave, values), wanted, rtol=1e-10)
    far = at_pixels(edges + 5, frames.wave, values)
    assert not far.any()
    wave = frames.wave.copy()
    wave[0] = np.nan
    assert not at_pixels(edges, wave, values)[0].any()


def test_wavelengths_that_are_not_known_have_no_say():
    frames, light, ivar = problem(16)
    wave = frames.wave.copy()
    wave[0] = np.nan
    ivar_without = ivar.copy()
    ivar_without[:, 0] = 0.0
    one = solve(on_grid(EDGES, wave, *pixel_sums(frames, light, ivar)))
    other = solve(on_grid(EDGES, frames.wave, *pixel_sums(frames, light, ivar_without)))
    np.testing.assert_allclose(one.flux, other.flux, rtol=1e-12)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-12)


@pytest.mark.parametrize("n_bin", [1, 2, 3])
def test_grids_shorter_than_the_band(n_bin):
    frames, light, ivar = problem(17, 2, shift=0.37)
    found = solve(on_grid(EDGES[: n_bin + 1], frames.wave, *pixel_sums(frames, light, ivar)))
    assert found.correlation.shape == (N_BAND, n_bin)
    assert np.isfinite(found.variance).all()
