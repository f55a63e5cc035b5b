"""Pixels to a picture, against what is known."""

import time

import numpy as np
import pytest

from nirfire.core.rectify import rectify

N_WAVE, N_SPAT = 40, 12


def pixels(n_exp=3, seed=1, height=1.0):
    """Ends of the pixels of some exposures: wavelength shifted and tilted, places shifted by fractions of a pixel."""
    rng = np.random.default_rng(seed)
    lo, hi = [], []
    for _ in range(n_exp):
        wave = 1.0 + 0.01 * (np.arange(N_WAVE + 5) - 2 + rng.random()) + 0.001 * np.arange(N_SPAT)[:, None]
        place = height * (np.arange(N_SPAT)[:, None] - 6 + rng.random()) + 0.005 * np.arange(N_WAVE + 5)
        lo.append((wave, place))
        hi.append((wave + 0.01, place + height))
    (wave_lo, place_lo), (wave_hi, place_hi) = (np.array(a).swapaxes(0, 1) for a in (lo, hi))
    return wave_lo, wave_hi, place_lo, place_hi


GRID = 1.05 + 0.01 * np.arange(N_WAVE - 9)
ROWS = np.arange(-3.0, 4.0)


def test_even_brightness_stays_whatever_the_pixels():
    for height in (1.0, 0.4):
        box = pixels(height=height)
        flux = np.full(box[0].shape, 2.0 * height)  # 2 per unit of place
        picture = rectify(flux, np.ones(flux.shape), *box, GRID, ROWS if height == 1.0 else ROWS / 3)
        rows = 2.0 if height == 1.0 else 2.0 / 3
        np.testing.assert_allclose(picture.flux, rows, rtol=1e-12)


def test_light_along_the_slitlet_is_conserved():
    """Sums over rows are the whole flux, also of a narrow source, since rows as high as pixels share all light out."""
    box = pixels(n_exp=1)
    source = np.exp(-0.5 * ((0.5 * (box[2] + box[3])) / 0.9) ** 2)
    even = rectify(source, np.ones(source.shape), *box, GRID, np.arange(-6.0, 7.0))
    expected = np.sum(source[0], axis=0).mean()
    np.testing.assert_allclose(even.flux.sum(axis=0), expected, rtol=0.01)


def test_errors_are_true_and_the_weight_is_the_information():
    rng = np.random.default_rng(5)
    box = pixels(n_exp=6)
    sigma = rng.uniform(0.5, 2.0, box[0].shape)
    ivar = np.where(rng.random(sigma.shape) < 0.1, 0.0, sigma**-2)
    pulls = []
    for _ in range(150):
        noise = np.where(ivar > 0, rng.normal(size=sigma.shape) * sigma, 1e9)
        picture = rectify(noise, ivar, *box, GRID, ROWS)
        pulls.append(picture.flux * np.sqrt(picture.ivar))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.01)
    assert np.abs(np.mean(pulls)) < 0.02
    whole = rectify(noise, ivar, *box, np.array([0.5, 2.0]), np.array([-20.0, 20.0]))
    assert whole.weight[0, 0] == pytest.approx(np.sum(ivar) / 40.0**2)
    assert (picture.ivar >= picture.weight * 0.999).all()  # resampling hides noise in correlations


def test_the_order_of_ends_and_pixels_outside_do_not_matter():
    lo, hi, low, high = pixels()
    rng = np.random.default_rng(2)
    flux, ivar = rng.normal(size=lo.shape), rng.random(lo.shape)
    for a in (flux, ivar, lo, hi, low, high):
        a.setflags(write=False)
    one, other = rectify(flux, ivar, lo, hi, low, high, GRID, ROWS), rectify(flux, ivar, hi, lo, high, low, GRID, ROWS)
    np.testing.assert_array_equal(one.flux, other.flux)
    np.testing.assert_array_equal(one.ivar, other.ivar)
    none = rectify(flux, ivar, lo + 5, hi + 5, low, high, GRID, ROWS)
    assert (none.ivar == 0).all()
    assert (none.flux == 0).all()


def test_it_is_fast():
    shape = (6, 40, 1500)
    wave = 2.8 + 0.0018 * np.arange(1500) + np.zeros(shape)
    place = np.arange(40.0)[:, None] + np.zeros(shape) + 0.3
    flux = np.ones(shape)
    grid = 2.8 + 0.0018 * np.arange(1501)
    args = (flux, flux, wave, wave + 0.0018, place, place + 1, grid, np.arange(41.0))
    rectify(*args)
    start = time.process_time()
    rectify(*args)
    assert time.process_time() - start < 0.2
