import numpy as np
import pytest

from nirfire.core import posterior


def test_parabola_gives_minimum_and_error():
    z = 2.0 + 1e-4 * np.arange(-100, 101)
    z_best, z_err, low = posterior.refine_minimum(z, 50 + ((z - 2.00123) / 0.0007) ** 2)
    assert z_best == pytest.approx(2.00123, abs=1e-7)
    assert z_err == pytest.approx(0.0007, rel=1e-6)
    assert low == pytest.approx(50, abs=0.01)


def test_minimum_at_the_end_has_no_error():
    z = np.linspace(1, 2, 11)
    z_best, z_err, _ = posterior.refine_minimum(z, z)
    assert z_best == 1.0 and np.isnan(z_err)


def test_confidence_does_not_depend_on_the_sampling():
    coarse = np.linspace(0, 10, 2001)
    curve = lambda z: np.minimum(((z - 3) / 0.02) ** 2, ((z - 7) / 0.02) ** 2 + 1.0)  # noqa: E731
    mixed = np.unique(np.concatenate([coarse, np.linspace(2.9, 3.1, 4001)]))
    expected = 1 / (1 + np.exp(-1.0))
    for z in (coarse, mixed):
        assert posterior.probability_within(z, curve(z), 3.0, window=0.1) == pytest.approx(expected, abs=2e-3)
    assert posterior.probability_within(coarse, curve(coarse), 3.0, window=0.1, scale=4.0) < expected


def test_flat_curve_has_the_confidence_of_its_window():
    z = np.linspace(0, 20, 20001)
    assert posterior.probability_within(z, np.zeros(z.size), 10.0) == pytest.approx(0.06 / 20, rel=0.05)


def test_minima_are_separate_and_best_first():
    z = np.expm1(np.arange(0, 3000) * 100 / 299792.458)
    velocity = 299792.458 * np.log1p(z)
    chi2 = 100 - 50 * np.exp(-(((velocity - 5e4) / 300) ** 2)) - 40 * np.exp(-(((velocity - 5.1e4) / 300) ** 2))
    chi2 -= 30 * np.exp(-(((velocity - 2e5) / 300) ** 2))
    found = posterior.separate_minima(z, chi2, separation=3000.0, count=2)
    assert velocity[found] == pytest.approx([5e4, 2e5], abs=100)


def test_temperature_grows_with_misfit():
    assert posterior.tempered_scale(100.0, 200) == 4.0
    assert posterior.tempered_scale(800.0, 200, temperature=1.0) == 8.0
