"""The measure of correlated noise: 1 for white noise, known values for known stripes."""

import numpy as np
import pytest

from nirfire.core.residuals import correlation

SHAPE = (2048, 512)


def white(seed=1):
    rng = np.random.default_rng(seed)
    return rng, rng.normal(size=SHAPE), rng.random(SHAPE) < 0.3


def test_white_noise_is_one():
    _, image, keep = white()
    found = correlation(image, np.ones(SHAPE), keep)
    for value in (found.columns, found.rows, found.slow_y, found.slow_x):
        assert value == pytest.approx(1.0, abs=0.1)  # 512 columns tell it to 3 %
    assert abs(found.level) < 0.005


def test_columns_and_rows_add_what_they_should():
    rng, image, keep = white(2)
    spread = np.sqrt(np.pi / 2 / (0.3 * SHAPE[0]))  # of the median of a column of white noise
    found = correlation(image + 2.0 * spread * rng.normal(size=SHAPE[1]), np.ones(SHAPE), keep)
    assert found.columns == pytest.approx(np.sqrt(5.0), rel=0.1)
    assert found.rows == pytest.approx(1.0, abs=0.1)


def test_slow_noise_along_y_is_seen():
    rng, image, keep = white(3)
    y = np.arange(SHAPE[0])[:, None]
    wave = np.cos(np.pi * (y % 512 + 0.5) * 2 / 512) * 0.3 * rng.normal(size=SHAPE[1])
    found = correlation(image + wave, np.ones(SHAPE), keep)
    assert found.slow_y == pytest.approx(1 + 0.3 * 512 * 0.5 * 0.3**2 / 8, rel=0.1)


def test_outliers_and_bad_variances_do_not_count():
    rng, image, keep = white(4)
    image[rng.random(SHAPE) < 0.01] = 1e4
    variance = np.ones(SHAPE)
    variance[:10] = 0.0
    assert correlation(image, variance, keep).columns == pytest.approx(1.0, abs=0.08)
