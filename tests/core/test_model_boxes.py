"""Sums in an aperture, against the source that was painted."""

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.model_boxes import boxcar, each_exposure, subtracted
from nirfire.core.model_extract import extract_model
from nirfire.core.model_fit import Prior
from tests.core.slitlets import blank, frozen, grid, lit, psf

PSF = psf()
SHARP = Prior(0.03, 1e-4, 0.05, 1e-3)
N_WAVE = 60
WIDTHS = (3, 4, 5)


def painted(level=20.0, seed=None, sky=5.0, n_exp=3, **changed):
    """Nods with the sky in them that stage 2b would have taken off, and its variance."""
    flux = np.full((1, 21, N_WAVE), level)
    made = lit(blank(n_exp, **changed), PSF, flux, offset=0.03, size=0.05, sky=sky, seed=seed)
    count = np.maximum(made.good.sum(axis=0) - made.good, 1)
    mean = (made.flux.sum(axis=0) - made.flux) / count
    return replace(made, sky=mean, sky_variance=made.read / count)


def extracted(frames):
    found = extract_model([frames], PSF, grid(), [SHARP] * len(frames.sources), fit=False)
    return found, [subtracted(frames, found.layers[0])]


@pytest.mark.parametrize("n_exp", [2, 3, 5])
def test_all_widths_find_the_whole_flux(n_exp):
    found, nods = extracted(frozen(painted(1e3, n_exp=n_exp)))
    boxes = [boxcar(nods, found.layers, grid(), width) for width in WIDTHS]
    for box in boxes:
        np.testing.assert_allclose(box.solution.flux[0], 1e3, rtol=2e-3)
    shares = np.array([box.share for box in boxes])
    assert (np.diff(shares, axis=0) > 0).all()
    assert 0.6 < shares.min() < shares.max() < 1.0


def test_the_share_is_that_of_the_light():
    frames = painted(1e3)
    found, nods = extracted(frames)
    light = found.layers[0].light[0]
    rows = np.abs(0.5 * (frames.place[1:] + frames.place[:-1]) - found.layers[0].places[:, np.newaxis, np.newaxis])
    inside = np.sum(light * (rows < 0.5), axis=1) / light.sum(axis=1)  # 5 pixels are a pitch
    share = boxcar(nods, found.layers, grid(), 5).share
    assert inside.min() - 0.02 < share.mean() < inside.max() + 0.02
    assert boxcar(nods, found.layers, grid(), 30).share == pytest.approx(np.ones(N_WAVE), abs=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
def test_errors_are_those_of_the_noise(width):
    pulls = []
    for seed in range(25):
        found, nods = extracted(painted(3.0, seed))
        solution = boxcar(nods, found.layers, grid(), width).solution
        pulls.append((solution.flux[0] - 3.0) / np.sqrt(solution.variance[0]))
    assert abs(np.mean(pulls)) < 4 / np.sqrt(np.size(pulls))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.06)


def test_a_box_has_more_noise_than_the_model():
    found, nods = extracted(painted(3.0, 1))
    five = boxcar(nods, found.layers, grid(), 5).solution
    assert np.median(np.sqrt(five.variance[0] / found.solution.variance[0])) > 1.15


def test_missing_pixels_are_made_up_for():
    good = np.random.default_rng(1).random((3, 21, N_WAVE)) > 0.1
    found, nods = extracted(painted(1e3, good=good))
    solution = boxcar(nods, found.layers, grid(), 5).solution
    there = np.isfinite(solution.variance[0])
    assert there.mean() > 0.95
    np.testing.assert_allclose(solution.flux[0, there], 1e3, rtol=0.05)


def test_nothing_there_is_no_flux_and_no_share():
    good = np.ones((3, 21, N_WAVE), dtype=bool)
    good[:, :, 20:24] = False
    found, nods = extracted(painted(1e3, good=good))
    box = boxcar(nods, found.layers, grid(), 3)
    np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(box.solution.variance[0])), [20, 21, 22, 23])
    assert not box.share[20:24].any()
    assert not box.solution.flux[0, 20:24].any()


def test_light_of_others_is_taken_away():
    frames = painted(0.0, sky=0.0)
    both = np.concatenate([frames.sources, frames.sources + np.array([0.0, 0.4])])
    flux = np.stack([np.full((21, N_WAVE), 1e3), np.full((21, N_WAVE), 2e3)])
    made = lit(replace(frames, sources=both), PSF, flux, offset=0.03, size=0.05)
    made = replace(made, sky=(made.flux.sum(axis=0) - made.flux) / 2)
    found, nods = extracted(made)
    np.testing.assert_allclose(boxcar(nods, found.layers, grid(), 4).solution.flux[0], 1e3, rtol=0.01)


def test_frames_that_share_a_sky_become_nods_alone():
    frames = painted(1e3)
    found, [(alone, light, ivar)] = extracted(frames)
    assert not alone.shared
    np.testing.assert_allclose(alone.flux, 1e3 * light, atol=1.0)
    np.testing.assert_allclose(1 / ivar, 1.5, rtol=1e-9)
    assert light.min() < -0.1  # where it was subtracted from other nods
    again, _, same = subtracted(replace(frames, shared=False, flux=frames.flux - frames.sky), found.layers[0])
    np.testing.assert_allclose(again.flux, alone.flux)
    assert same.shape == ivar.shape


def test_each_exposure_has_the_flux_and_its_own_error():
    pulls = []
    for seed in range(15):
        found, nods = extracted(painted(30.0, seed))
        each = each_exposure(nods, grid())
        assert len(each) == 3
        pulls.append([(s.flux[0] - 30.0) / np.sqrt(s.variance[0]) for s in each])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.06)
    assert abs(np.mean(pulls)) < 0.1
    for solution in each:
        assert np.median(solution.variance[0] / found.solution.variance[0]) > 1.8
