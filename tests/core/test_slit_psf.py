"""The PSF from what shutters let through."""

import numpy as np
import pytest
from scipy.special import ndtr

from nirfire.core.slit_psf import OPEN, PITCH, WIDTHS, decompose, places
from tests.core.slitlets import one_width, psf


def by_numbers(sigma, x, y, shutters):
    """Share of a round Gaussian [arcsec] that passes shutters, by adding up a fine raster."""
    n = 1201
    u = PITCH[0] * OPEN[0] * ((np.arange(n) + 0.5) / n - 0.5) - x * PITCH[0]
    total = 0.0
    for shutter in shutters:
        v = PITCH[1] * (OPEN[1] * ((np.arange(n) + 0.5) / n - 0.5) + shutter - y)
        area = PITCH[0] * OPEN[0] * PITCH[1] * OPEN[1] / n**2
        along, across = (np.exp(-0.5 * (w / sigma) ** 2).sum() for w in (u, v))
        total += along * across * area / (2 * np.pi * sigma**2)
    return total


@pytest.mark.parametrize("x, y, size", [(0.0, 0.0, 0.0), (0.2, -0.3, 0.1), (-0.4, 0.9, 0.3)])
def test_the_light_that_passes_is_the_integral_over_the_open_area(x, y, size):
    made = one_width(6)
    wanted = by_numbers(np.hypot(WIDTHS[6], size), x, y, (-1, 0, 1))
    np.testing.assert_allclose(made.passed(x, y, size, (-1, 0, 1)), wanted, rtol=1e-5)


def test_the_light_below_a_place_is_a_normal_integral():
    sigma, half = np.hypot(WIDTHS[6], 0.1), OPEN[0] / 2 * PITCH[0]
    below = one_width(6).below(0.1, 0.1)
    across = ndtr((half - 0.1 * PITCH[0]) / sigma) - ndtr((-half - 0.1 * PITCH[0]) / sigma)
    np.testing.assert_allclose(below[0], across * ndtr(places() * PITCH[1] / sigma), atol=1e-10)
    assert places()[len(places()) // 2] == 0.0


def test_a_psf_is_found_again_from_its_tables():
    true = psf()
    x, y = np.linspace(-0.5, 0.5, 11), np.linspace(-1.4, 1.4, 15)
    tables = {
        shutters: np.array([[true.passed(a, b, 0.0, shutters) for a in x] for b in y]).transpose(2, 0, 1)
        for shutters in ((0,), (-1, 0, 1))
    }
    found = decompose(true.wave, x, y, tables)
    assert (found.weights >= 0).all()
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, atol=0.003)
    for place in ((0.05, 0.1, 0.0), (0.3, 0.45, 0.2)):  # between the places of the tables, and a larger source
        np.testing.assert_allclose(found.passed(*place, (-1, 0, 1)), true.passed(*place, (-1, 0, 1)), rtol=0.002)
    twice = decompose(true.wave, x, y, {shutters: 2 * table for shutters, table in tables.items()})
    np.testing.assert_allclose(twice.weights, 2 * found.weights, rtol=1e-6, atol=1e-9)


def test_noise_in_a_table_makes_no_negative_weights():
    true, rng = psf(), np.random.default_rng(1)
    x, y = np.linspace(-0.5, 0.5, 11), np.linspace(-0.5, 0.5, 11)
    table = np.array([[true.passed(a, b, 0.0, (0,)) for a in x] for b in y]).transpose(2, 0, 1)
    found = decompose(true.wave, x, y, {(0,): table + 0.01 * rng.normal(size=table.shape)})
    assert (found.weights >= 0).all()
    np.testing.assert_allclose(found.passed(0, 0, 0, (0,)), true.passed(0, 0, 0, (0,)), rtol=0.01)


def test_the_centroid_of_light_that_passes():
    x, made = 0.2, psf()
    fine = np.linspace(-OPEN[0] / 2, OPEN[0] / 2, 20001)
    for size in (0.0, 0.1, 0.4):
        sigma = np.hypot(WIDTHS, size)[:, np.newaxis] / PITCH[0]
        light = made.weights @ (np.exp(-0.5 * ((fine - x) / sigma) ** 2) / sigma)
        np.testing.assert_allclose(made.centroid(x, size), (light * fine).sum(axis=1) / light.sum(axis=1), rtol=2e-3)
    assert np.all(made.centroid(x, 2.0) < 0.02)  # even light
