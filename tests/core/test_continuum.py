import numpy as np
import pytest

from nirfire.core import continuum, lsf


def test_blackbody_is_planck():
    wave = np.geomspace(0.13, 30, 4000)
    value = continuum.blackbody(wave, 5000.0)
    assert wave[np.argmax(value)] == pytest.approx(5099.4 / 5000.0, rel=0.01)  # Wien's law in f_nu: 5099.4 um K
    ratio = value[3000] / value[2000]
    x = 14387.769 / (wave[[3000, 2000]] * 5000.0)
    expected = (wave[2000] / wave[3000]) ** 3 * np.expm1(x[1]) / np.expm1(x[0])
    assert ratio == pytest.approx(expected)
    assert continuum.blackbody(np.array([0.1, 1.0]), 2e4)[0] == 0


def test_balmer_break_body_breaks():
    wave = np.geomspace(0.2, 3, 3000)
    value = continuum.balmer_break_body(wave)
    assert np.all(value[wave < 0.3648] == 0)
    assert np.all(np.diff(value[(wave > 0.3648) & (wave < 0.39)]) > 0)


@pytest.mark.parametrize("factor", [5.0, 2.5, 1.0])
def test_rebinning_to_larger_cells_keeps_means(factor):
    rng = np.random.default_rng(3)
    values = rng.random((2, 1000))
    out = continuum.resample_log(values, 1e-4, factor * 1e-4)
    if factor == 5.0:
        assert out[0, 10] == pytest.approx(values[0, 48:53].mean())
        assert out[1, 100] == pytest.approx(values[1, 498:503].mean())
    assert out.mean() == pytest.approx(values.mean(), abs=0.01)


def test_rebinning_to_smaller_cells_interpolates():
    values = np.linspace(0, 1, 101)[None, :]
    out = continuum.resample_log(values, 1e-3, 0.3e-3)
    assert np.allclose(out[0], np.arange(out.shape[1]) * 0.3e-2)


@pytest.mark.parametrize("lowest", [-40, 0, 700, 2990])
def test_fast_columns_equal_the_slow_form(lowest):
    rng = np.random.default_rng(0)
    wave = np.linspace(1.0, 1.2, 83)
    low, high = lsf.pixel_edges(wave)
    response = lsf.response_matrix(low, high, np.full(83, 2e-3), step=5e-4, wave_zero=0.08)
    rest, other, uv = rng.random((3000, 6)), rng.random((3000, 6)), rng.random((2, 900))
    use, wing = np.array([0, 2, 3, 5]), np.array([0, 0, 1, 1, 0, 1])
    design = np.ones((83, 5))
    continuum.fill_continua(design, (rest, other), use, 0.3, lowest, (uv, wing), response, 2.0)
    for column, t in enumerate(use):
        index = lowest + np.arange(response.n_cells)
        inside = (index >= 0) & (index < 3000)
        both = 0.7 * rest[np.clip(index, 0, 2999), t] + 0.3 * other[np.clip(index, 0, 2999), t]
        cells = np.where(inside, both, 0.0)
        cells *= np.where(index < 900, uv[wing[t]][np.clip(index, 0, 899)], 1.0)
        assert np.allclose(design[:, column], 1.0 + 2.0 * lsf.apply_response(response, cells))
    assert np.all(design[:, 4] == 1)
