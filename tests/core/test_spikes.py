"""Spikes: cosmic rays are found in two nods and more, lines and hot pixels are not taken for them."""

import numpy as np
import pytest
from scipy.special import erf

from nirfire.core.spikes import find_spikes

SHAPE = (20, 300)


def sky(n_exp, seed=1):
    rng = np.random.default_rng(seed)
    level = 30 + 10 * np.sin(np.arange(SHAPE[1]) / 40) + np.linspace(0, 5, SHAPE[0])[:, np.newaxis]
    flux = np.broadcast_to(level, (n_exp, *SHAPE)) + rng.standard_normal((n_exp, *SHAPE))
    return flux, np.ones(flux.shape), np.ones(flux.shape, dtype=bool)


def line(centre, fwhm, peak):
    """Peak pixel value of a Gaussian line, integrated over pixels."""
    sigma, x = fwhm / 2.3548, np.arange(SHAPE[1])
    shape = 0.5 * (erf((x + 0.5 - centre) / sigma / 2**0.5) - erf((x - 0.5 - centre) / sigma / 2**0.5))
    return peak * shape / shape.max()


@pytest.mark.parametrize("n_exp", [2, 3, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_spikes_are_found_and_little_else(n_exp, sign):
    flux, variance, good = sky(n_exp)
    rng = np.random.default_rng(2)
    at = (rng.integers(0, n_exp, 60), rng.integers(0, 20, 60), rng.integers(3, 297, 60))
    flux[at] += 50 * sign
    for array in (flux, variance, good):
        array.setflags(write=False)
    found = find_spikes(flux, variance, good, threshold=5)
    assert found.sharp[at].all()
    assert found.certain[at].mean() > 0.95
    assert found.certain.sum() <= 60
    others = found.sharp.copy()
    others[at] = False
    assert others.sum() < 30  # neighbours of spikes beyond two sigma


@pytest.mark.parametrize("fwhm", [1.2, 1.6, 2.5])
def test_lines_serve_not_as_background_and_stay(fwhm):
    for phase in np.linspace(-0.5, 0.5, 9):
        flux, variance, good = sky(3, seed=int(phase * 8 + 10))
        for row, peak in enumerate((12, 20, 50, 300, 3000)):
            flux[1, 3 + 3 * row] += line(150 + phase, fwhm, peak)
        found = find_spikes(flux, variance, good, threshold=5)
        assert not found.certain.any()
        assert found.sharp[1, 3:18:3, 149:152].any(axis=1).all()


def test_what_all_exposures_have_is_no_spike():
    flux, variance, good = sky(3)
    flux[:, 5, 100] += 200
    flux[:, 6, 50:] += 100  # an edge
    found = find_spikes(flux, variance, good, threshold=5)
    assert found.sharp.sum() < 3


def test_a_spike_below_the_light_of_a_source_in_the_other_nod_is_found():
    flux, variance, good = sky(2)
    flux[1, 8] += 500  # continuum
    flux[0, 8, 77] += 50
    found = find_spikes(flux, variance, good, threshold=5)
    assert found.sharp[0, 8, 77]
    assert not found.sharp[1].any()


def test_a_jump_lowers_the_threshold_and_zero_finds_nothing():
    flux, variance, good = sky(3)
    flux[0, 4, 40] = np.median(flux[0, 4, 35:46]) + 4.3
    flux[1:, 4, 40] = np.median(flux[1:, 4, 35:46], axis=1) - 0.5
    jumps = np.zeros(flux.shape, dtype=bool)
    assert not find_spikes(flux, variance, good, threshold=5).sharp[0, 4, 40]
    jumps[0, 4, 40] = True
    assert find_spikes(flux, variance, good, threshold=5, jumps=jumps).sharp[0, 4, 40]
    assert not find_spikes(flux * 9, variance, good, threshold=0).sharp.any()


def test_pixels_without_information_have_no_part():
    flux, variance, good = sky(3)
    flux[0, 3, 30], good[0, 3, 30] = 1e9, False
    flux[1, 3, 30] += 50
    found = find_spikes(flux, np.where(good, variance, 0.0), good, threshold=5)
    assert not found.sharp[0, 3].any()
    assert found.sharp[1, 3, 30]


def test_a_line_beside_a_bad_pixel_stays():
    flux, variance, good = sky(3)
    flux[1, 9] += line(150, 1.6, 400)
    good[1, 9, [149, 151]] = False
    assert not find_spikes(flux, variance, good, threshold=5).certain.any()


def test_two_hits_of_one_pixel_are_both_found():
    flux, variance, good = sky(5)
    flux[0, 8, 77] += 90
    flux[3, 8, 77] += 50
    found = find_spikes(flux, variance, good, threshold=5)
    assert np.flatnonzero(found.sharp[:, 8, 77]).tolist() == [0, 3]


def test_noise_of_a_bright_continuum_is_no_spike():
    rng = np.random.default_rng(7)
    flux, variance, good = sky(3)
    flux[1, 8] += rng.normal(2500, 50, SHAPE[1])
    variance[1, 8] += 2500
    assert find_spikes(flux, variance, good, threshold=5).sharp[1].sum() < 3
