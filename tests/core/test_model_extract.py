"""Extraction by a model, against the spectra that were painted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from nirfire.core.model_extract import extract_model
from nirfire.core.model_fit import Prior
from nirfire.core.model_frames import Painter
from nirfire.core.model_noise import pixel_variance
from nirfire.core.model_picture import picture
from tests.core.slitlets import STEP, blank, frozen, grid, lit, psf

PSF = psf()
PRIOR = Prior(0.0, 0.05, 0.0, 0.15)
SHARP = Prior(0.03, 1e-4, 0.05, 1e-3)
N_WAVE = 60


def spectrum(level=20.0, n_wave=N_WAVE):
    """A slope and a line."""
    bins = np.arange(n_wave)
    return level * (1.0 + 0.01 * bins + 2.0 * np.exp(-0.5 * ((bins - 40) / 1.5) ** 2))


def painted(level=20.0, n_exp=3, seed=None, offset=0.03, size=0.05, **changed):
    flux = np.broadcast_to(spectrum(level), (1, 21, N_WAVE))
    return lit(blank(n_exp, **changed), PSF, flux, offset=offset, size=size, sky=5.0, seed=seed)


def pulls(found, truth):
    return (found.solution.flux[0] - truth) / np.sqrt(found.solution.variance[0])


def test_without_noise_the_spectrum_is_found():
    found = extract_model([frozen(painted(1e4))], PSF, grid(), [PRIOR])
    np.testing.assert_allclose(found.solution.flux[0], spectrum(1e4), rtol=2e-3)
    layer = found.layers[0]
    np.testing.assert_allclose(layer.sky, 5.0, atol=30.0)  # of a source of 1e4
    assert layer.ivar.min() > 0  # nothing is an outlier
    np.testing.assert_allclose(layer.places, [50.13, 49.13, 51.13], atol=1e-3)


@pytest.mark.parametrize("n_exp", [2, 3, 5])
def test_pulls_of_a_faint_source(n_exp):
    """With the shape known, errors are those of the noise, and there is no bias."""
    found = [
        pulls(extract_model([painted(1.0, n_exp, seed)], PSF, grid(), [SHARP], fit=False), spectrum(1.0))
        for seed in range(14)
    ]
    assert np.std(found) == pytest.approx(1.0, abs=0.05)
    assert abs(np.mean(found)) < 4 / np.sqrt(np.size(found))


def test_pulls_with_the_shape_fitted():
    found = [pulls(extract_model([painted(10.0, 3, seed)], PSF, grid(), [PRIOR]), spectrum(10.0)) for seed in range(5)]
    assert np.std(found) == pytest.approx(1.0, abs=0.1)
    assert abs(np.mean(found)) < 0.3


def test_the_error_is_the_least_possible():
    """Cramer-Rao: with true profile and variance, and a free sky of each pixel."""
    frames = painted(1.0)
    found = extract_model([frames], PSF, grid(), [SHARP], fit=False)
    light = Painter(frames, PSF).light(0, 0.03, 0.05)
    information = np.sum(light**2, axis=(0, 1)) - np.sum(light.sum(axis=0) ** 2, axis=0) / 3
    np.testing.assert_allclose(found.solution.variance[0], 1.0 / information, rtol=0.01)


def test_a_bright_source_has_the_noise_of_its_photons():
    """Photon noise as the stock pipeline has it, from the noisy pixels themselves, and no bias from it."""
    gain, found = 0.05, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        clean = painted(40.0)
        signal = np.maximum(clean.flux, 0.0)
        flux = signal + rng.normal(size=signal.shape) * np.sqrt(gain * signal + 0.01)
        frames = replace(clean, flux=flux, photon=gain * np.maximum(flux, 0.0), read=np.full(flux.shape, 0.01))
        found.append(pulls(extract_model([frames], PSF, grid(), [SHARP], fit=False), spectrum(40.0)))
    assert np.std(found) == pytest.approx(1.0, abs=0.08)
    assert abs(np.mean(found)) < 0.15


def test_variance_follows_the_light_of_the_model():
    frames = painted(40.0)
    light = Painter(frames, PSF).light(0, 0.03, 0.05) * spectrum(40.0)
    frames = replace(frames, photon=0.05 * frames.flux, read=np.full(frames.flux.shape, 0.01))
    np.testing.assert_allclose(pixel_variance(frames, light), 0.05 * frames.flux + 0.01, rtol=0.02)
    bad = replace(frames, good=np.zeros(frames.good.shape, dtype=bool))
    assert not pixel_variance(bad, light).any()


def test_nods_alone_give_the_same_spectrum():
    """From each nod the mean of the others was taken: the light it lost is made up for."""
    frames, wide = painted(1e3, size=0.3), Prior(0.03, 1e-4, 0.3, 1e-3)
    mean = (frames.flux.sum(axis=0) - frames.flux) / 2
    alone = replace(frames, flux=frames.flux - mean, sky=mean, shared=False, sky_variance=frames.read / 2)
    found = extract_model([alone], PSF, grid(), [wide], fit=False)
    np.testing.assert_allclose(found.solution.flux[0], spectrum(1e3), rtol=1e-3)
    plain = extract_model([replace(alone, backgrounds=None)], PSF, grid(), [wide], fit=False)
    assert (plain.solution.flux[0] < 0.9 * spectrum(1e3)).all()  # there is much to make up for


def test_missing_pixels_cost_no_flux():
    good = np.random.default_rng(1).random((3, 21, N_WAVE)) > 0.3
    good[:, :, 20:23] = False
    found = extract_model([painted(1e4, good=good)], PSF, grid(), [SHARP], fit=False)
    there = np.isfinite(found.solution.variance[0])
    np.testing.assert_array_equal(np.flatnonzero(~there), [20, 21, 22])
    np.testing.assert_allclose(found.solution.flux[0, there], spectrum(1e4)[there], rtol=2e-3)


def test_a_shape_that_is_given_is_not_changed():
    given = Prior(-0.05, 0.01, 0.2, 0.02)
    found = extract_model([painted(20.0, seed=1)], PSF, grid(), [given], fit=False)
    assert (found.shapes[0].offset, found.shapes[0].size) == (-0.05, 0.2)
    assert found.shapes[0].errors == pytest.approx((0.01, 0.02))


def test_two_sources_of_a_slitlet():
    frames = blank()
    frames = replace(frames, sources=np.concatenate([frames.sources, frames.sources + np.array([0.0, 0.3])]))
    flux = np.stack([np.broadcast_to(spectrum(30.0), (21, N_WAVE)), np.full((21, N_WAVE), 60.0)])
    found = []
    for seed in range(10):
        made = lit(frames, PSF, flux, offset=0.03, size=0.05, sky=5.0, seed=seed)
        both = extract_model([made], PSF, grid(), [SHARP, SHARP], fit=False)
        found.append((both.solution.flux - flux[:, 0]) / np.sqrt(both.solution.variance))
    assert np.std(found, axis=(0, 2)) == pytest.approx([1.0, 1.0], abs=0.08)
    assert np.abs(np.mean(found, axis=(0, 2))).max() < 0.17
    alone = extract_model([replace(made, sources=made.sources[:1])], PSF, grid(), [SHARP], fit=False)
    assert np.mean(alone.solution.flux[0] / spectrum(30.0)) > 1.02  # alone it would have the neighbour's light


def test_frames_whose_slitlets_have_other_neighbours():
    """A neighbour that one configuration has and the other has not."""
    near = np.concatenate([blank().sources, blank().sources + np.array([0.0, 0.3])])
    nowhere = near.copy()
    nowhere[1] = np.nan
    flux = np.stack([np.broadcast_to(spectrum(1e3), (21, N_WAVE)), np.full((21, N_WAVE), 60.0)])
    frames = [lit(blank(sources=s), PSF, flux, offset=0.03, size=0.05) for s in (near, nowhere)]
    found = extract_model(frames, PSF, grid(), [SHARP, SHARP], fit=False)
    np.testing.assert_allclose(found.solution.flux[0], spectrum(1e3), rtol=2e-3)
    np.testing.assert_allclose(found.solution.flux[1], 60.0, rtol=0.02)


@pytest.mark.parametrize("level", [0.3, 3.0, 50.0])
@pytest.mark.parametrize("n_exp", [2, 3])
def test_an_outlier_of_20_sigma_in_each_exposure_changes_no_flux_by_a_sigma(level, n_exp):
    plain = painted(level, n_exp, seed=5)
    before = extract_model([plain], PSF, grid(), [PRIOR]).solution
    rng, flux = np.random.default_rng(6), plain.flux.copy()
    for k in range(n_exp):  # on the source, where it hurts
        row = int(np.argmin(np.abs(plain.place[:-1, 30] - plain.sources[0, k, 1])))
        flux[k, row + rng.integers(-1, 2), rng.integers(5, 55)] += 20.0
    after = extract_model([replace(plain, flux=flux)], PSF, grid(), [PRIOR]).solution
    change = (after.flux[0] - before.flux[0]) / np.sqrt(before.variance[0])
    assert np.isfinite(after.variance).all()
    assert np.abs(change).max() < 1.0


@pytest.mark.parametrize("level", [30.0, 3000.0])
def test_a_bright_narrow_line_is_no_outlier(level):
    """One of a pixel and a half, in pixels that are tilted against the bins: most of what is lost in it is peak."""
    frames = blank(shift=0.13)
    below = ndtr((frames.wave - 1.3075) / (0.65 * STEP))
    line = level * (1.0 + 12.0 * np.diff(below, axis=1))
    found = extract_model([lit(frames, PSF, line[np.newaxis], offset=0.03, size=0.05)], PSF, grid(shift=0.13), [PRIOR])
    assert found.layers[0].ivar.min() > 0
    flux = found.solution.flux[0, 10:50] - level
    assert flux.sum() == pytest.approx(12.0 * level, rel=0.03)


def test_an_outlier_is_left_out():
    plain = painted(3.0, seed=7)
    flux = plain.flux.copy()
    flux[1, 10, 30] += 200.0
    layer = extract_model([replace(plain, flux=flux)], PSF, grid(), [SHARP], fit=False).layers[0]
    assert layer.ivar[1, 10, 30] == 0.0
    assert (layer.ivar == 0).sum() < 4


def test_inputs_are_not_changed_and_may_be_read_only():
    frames = frozen(painted(20.0, seed=8))
    copies = {name: np.copy(v) for name, v in vars(frames).items() if isinstance(v, np.ndarray)}
    extract_model([frames], PSF, grid(), [PRIOR])
    for name, value in copies.items():
        np.testing.assert_array_equal(getattr(frames, name), value)


def test_pixels_across_bins_are_correlated_as_the_product_says():
    """Means of 20 bins of tilted traces have the error that the covariance gives."""
    edges = grid(N_WAVE, 0.25)
    flux = np.full((1, 21, N_WAVE), 2.0)
    found, alone = [], []
    for seed in range(40):
        frames = lit(blank(shift=0.25), PSF, flux, offset=0.03, size=0.05, seed=seed)
        solution = extract_model([frames], PSF, edges, [SHARP], fit=False).solution
        part = slice(10, 30)
        sigma = np.sqrt(solution.variance[0, part])
        total = np.sum(sigma**2)
        for band in (1, 2, 3):
            total += 2 * np.sum(solution.correlation[band - 1, part][:-band] * sigma[:-band] * sigma[band:])
        left = np.sum(solution.flux[0, part] - 2.0)
        found.append(left / np.sqrt(total))
        alone.append(left / np.sqrt(np.sum(sigma**2)))
    assert np.std(found) == pytest.approx(1.0, abs=0.25)
    assert np.std(alone) > np.std(found) * 1.05  # neighbours share pixels


def shapes_of_gaps(draw_from):
    """Ways in which pixels may be missing."""
    return draw_from.draw(st.sampled_from(["random", "nod", "detector", "all", "variance", "columns", "one pixel"]))


def broken(frames, kind, rng):
    good, read = frames.good.copy(), frames.read.copy()
    if kind == "random":
        good &= rng.random(good.shape) > rng.random()
    elif kind == "nod":
        good[rng.integers(len(good))] = False
    elif kind in ("all", "detector"):
        good[:] = False
    elif kind == "variance":
        read[rng.random(read.shape) > rng.random()] = 0.0
    elif kind == "columns":
        good[:, :, rng.random(good.shape[2]) > 0.3] = False
    else:
        good[:] = False
        good[:, rng.integers(21), rng.integers(good.shape[2])] = True
    return replace(frames, good=good, read=read, flux=np.where(good, frames.flux, 0.0))


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 10**6), n_exp=st.integers(1, 3), fit=st.booleans())
def test_finite_flux_means_finite_error(data, seed, n_exp, fit):
    """Whatever pixels are flagged: fluxes are finite, and have a positive error or none."""
    rng = np.random.default_rng(seed)
    kinds = [shapes_of_gaps(data) for _ in range(2)]
    whole = lit(blank(n_exp, n_wave=20), PSF, np.full((1, 21, 20), 5.0), seed=seed, sky=1.0)
    frames = [broken(whole, kind, rng) for kind in kinds]
    with np.errstate(all="raise", under="ignore"):
        found = extract_model(frames, PSF, grid(22), [PRIOR], fit=fit)
        image = picture(frames, found.layers, grid(22))
    solution = found.solution
    known = np.isfinite(solution.variance[0])
    assert np.isfinite(solution.flux).all()
    assert (solution.variance > 0).all()
    assert not solution.flux[0, ~known].any()
    assert not known[20:].any()  # no pixel is there
    if {"all", "detector"} >= set(kinds):
        assert not known.any()
    assert np.isfinite(solution.correlation).all()
    assert np.abs(solution.correlation).max() <= 1 + 1e-9
    assert all(np.isfinite(v).all() for shape in found.shapes for v in (shape.offset, shape.size, shape.covariance))
    assert all(np.isfinite(v).all() for v in image)
    assert (image.ivar >= 0).all()


def test_the_picture_shows_the_source_in_its_row():
    frames = painted(100.0)
    found = extract_model([frames], PSF, grid(), [SHARP], fit=False)
    image = picture([frames], found.layers, grid())
    assert image.flux.shape == image.model.shape == (len(image.profile), N_WAVE)
    assert image.profile.sum() == pytest.approx(1.0)
    centre = np.sum(image.profile * np.arange(len(image.profile)))
    assert centre == pytest.approx(image.row, abs=0.1)
    seen = image.ivar > 0
    np.testing.assert_allclose(image.flux[seen], image.model[seen], atol=1.5)  # of pixels of up to 60
    rows = np.abs(np.arange(len(image.profile)) - image.row) < 4
    passed = Painter(frames, PSF).light(0, 0.03, 0.05).sum(axis=1).mean(axis=0)
    np.testing.assert_allclose(image.flux[rows].sum(axis=0), spectrum(100.0) * passed, rtol=0.03)
