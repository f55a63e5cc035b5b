"""Suspicious blobs: what is put in is found where it is, and noise, cosmic rays and traces are not."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core.artefacts import (
    SearchOptions,
    average,
    false_alarms,
    find_artefacts,
    near_traces,
    smoothed_significance,
)

SHAPE = (1024, 1024)
SIGMA = 0.02
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)


def noise(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(0, SIGMA, shape).astype(np.float32)


def search(image, sky=None, **options):
    """As the pipeline searches; the arrays are read-only."""
    sky = np.ones(image.shape, bool) if sky is None else sky
    err = np.full(image.shape, SIGMA, np.float32)
    for array in (image, sky, err):
        array.flags.writeable = False
    return find_artefacts(image, err, sky, SearchOptions(**options))


def glow(row, column, width, peak):
    """A round glow; `peak` in units of the noise of a pixel."""
    return peak * SIGMA * np.exp(-0.5 * ((Y - row) ** 2 + (X - column) ** 2) / width**2)


def covers(outline, row, column):
    """True when a convex polygon holds a point."""
    x, y = outline.T - np.array([[column], [row]])
    turn = x * np.roll(y, -1) - np.roll(x, -1) * y
    return bool(np.all(turn > 0) or np.all(turn < 0))


def test_white_noise_has_no_blobs():
    assert false_alarms(2048**2) < 0.01, "per exposure, at the default threshold"
    for seed in range(12):
        assert search(noise(seed)) == []


def test_the_false_alarm_rate_is_not_higher_than_stated():
    found = sum(len(search(noise(seed), threshold=3.5, at_most=1000)) for seed in range(8))
    stated = 8 * false_alarms(SHAPE[0] * SHAPE[1], SearchOptions(threshold=3.5))
    assert 0.25 * stated < found < stated


RECOVERED = [  # width of the glow [pixel], its peak [noise of a pixel], significance with a matched filter
    (8, 1.0, 14.2),
    (8, -1.0, 14.2),
    (20, 0.25, 8.9),
    (20, 1.0, 35.4),
    (20, -3.0, 106.0),
    (50, 0.12, 10.6),
    (50, 0.5, 44.3),
    (15, 100.0, 2659.0),
]


@pytest.mark.parametrize(("width", "peak", "matched"), RECOVERED)
def test_glows_are_found_where_they_are(width, peak, matched):
    assert np.sqrt(np.pi) * width * abs(peak) == pytest.approx(matched, rel=0.02)
    for seed, (row, column) in enumerate(((300.0, 420.0), (611.5, 700.0))):
        (found,) = search(noise(seed) + glow(row, column, width, peak))
        assert np.hypot(found.row - row, found.column - column) < max(4, 0.6 * width)
        assert np.sign(found.significance) == np.sign(peak)
        assert 0.6 * matched < abs(found.significance) < 1.15 * matched
        assert covers(found.outline, row, column)
        if matched > 30:
            total = 2 * np.pi * width**2 * peak * SIGMA
            assert found.flux == pytest.approx(total, rel=0.2)
            assert found.height > 2 * width and found.width > 2 * width


def test_weak_glows_are_rarely_found():
    found = [search(noise(seed) + glow(500, 500, 20, 0.07)) for seed in range(6)]  # 2.5 sigma, matched
    assert sum(map(len, found)) == 0


def test_a_short_that_spreads_along_row_and_column_is_one_blob():
    along_row = np.exp(-np.abs(X - 400) / 90 - 0.5 * ((Y - 500) / 12) ** 2)
    along_column = np.exp(-np.abs(Y - 500) / 90 - 0.5 * ((X - 400) / 8) ** 2)
    (found,) = search(noise(3) + 2 * SIGMA * (along_row + along_column))
    assert np.hypot(found.row - 500, found.column - 400) < 15
    assert found.height > 200 and found.width > 200
    assert found.significance > 30


def test_the_ring_of_a_snowball_is_found_around_its_masked_core():
    radius = np.hypot(Y - 300, X - 700)
    (found,) = search(noise(4) + 2 * SIGMA * np.exp(-0.5 * ((radius - 22) / 4) ** 2), radius > 18)
    assert np.hypot(found.row - 300, found.column - 700) < 4
    assert 40 <= found.height <= 96
    assert found.area < np.pi * 48**2


def test_two_glows_are_told_apart_and_the_brighter_comes_first():
    first, second = search(noise(5) + glow(300, 300, 25, 0.6) + glow(700, 600, 25, -1.2))
    assert first.significance < 0 < second.significance
    assert abs(first.row - 700) < 10 and abs(second.row - 300) < 10
    assert len(search(noise(5) + glow(300, 300, 25, 0.6) + glow(700, 600, 25, -1.2), at_most=1)) == 1


def test_cosmic_rays_and_hot_pixels_are_no_blobs():
    rng = np.random.default_rng(6)
    image = noise(6)
    hot = rng.integers(0, SHAPE[0], (2, 4000))
    image[tuple(hot)] += rng.uniform(0.1, 100, 4000).astype(np.float32)
    for row, column in rng.integers(20, SHAPE[0] - 20, (300, 2)):  # tracks of up to 12 pixels, some 3 pixels wide
        box = np.s_[row - 16 : row + 16, column - 16 : column + 16]
        y, x = Y[box] - row, X[box] - column
        length, angle, wide = rng.uniform(1, 12), rng.uniform(0, np.pi), rng.choice([0.7, 1.5])
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        image[box] += rng.uniform(0.1, 5) * ((np.abs(along) < length / 2) & (np.abs(across) < wide))
    assert search(image) == []


def test_wings_and_ends_of_traces_are_no_blobs():
    image, sky = noise(7), np.ones(SHAPE, bool)
    for row in range(60, 1000, 90):
        sky[row - 8 : row + 8, 200:700] = False
        image += np.where((X > 200) & (X < 730), 40 * SIGMA * np.exp(-0.5 * ((Y - row) / 2.5) ** 2), 0)
    assert search(image, sky) == []


def test_correlated_noise_raises_the_threshold():
    rng = np.random.default_rng(8)
    stripes = np.repeat(rng.normal(0, 0.3 * SIGMA, (SHAPE[0] // 256, SHAPE[1])), 256, axis=0)
    image = (noise(8) + stripes).astype(np.float32)
    assert search(image) == []
    (found,) = search(image + glow(400, 500, 20, 3))
    assert abs(found.row - 400) < 10


def test_bad_values_and_images_without_sky():
    image = noise(9, (256, 250))
    image[100:110, 50:60] = np.nan
    err = np.full(image.shape, SIGMA)
    err[:16], err[20] = np.nan, 0
    assert find_artefacts(image, err, np.ones(image.shape, bool)) == []
    assert find_artefacts(image, err, np.zeros(image.shape, bool)) == []
    assert find_artefacts(np.zeros((64, 64)), np.ones((64, 64)), np.ones((64, 64), bool)) == []


def test_averages_of_blocks():
    image, use = noise(10, (80, 83)), np.ones((80, 83), bool)
    image[0, 0], use[8:16, 8:14] = 1000.0, False
    blocks = average(image, np.full(image.shape, SIGMA), use)
    assert blocks.mean.shape == (10, 10)
    assert blocks.ivar[1, 1] > 0 and blocks.count[1, 1] <= 16
    use[8:16, 8:15] = False
    few = average(image, np.full(image.shape, SIGMA), use)
    assert few.ivar[1, 1] == few.mean[1, 1] == 0, "less than a quarter of its pixels"
    assert abs(blocks.mean[0, 0]) < 4 * SIGMA / 8, "the outlier is left out"
    pulls = (blocks.mean * np.sqrt(blocks.ivar))[blocks.ivar > 0]
    assert 0.8 < pulls.std() < 1.2


def test_errors_that_follow_the_noise_do_not_bias():
    image = noise(11)
    err = np.sqrt(0.7 * SIGMA**2 + 0.3 * SIGMA * np.maximum(image + SIGMA, 0))
    blocks = average(image, err, np.ones(SHAPE, bool))
    assert abs(np.average(blocks.mean, weights=blocks.ivar)) < 4 * SIGMA / SHAPE[0]


def test_significance_of_noise_is_one():
    rng = np.random.default_rng(12)
    ivar = rng.uniform(0.5, 2, (256, 256)) * (rng.random((256, 256)) > 0.3)
    mean = np.where(ivar > 0, rng.normal(0, 1 / np.sqrt(np.where(ivar > 0, ivar, 1))), 0)
    found = smoothed_significance(mean, ivar, 2.0)
    assert found.std() == pytest.approx(1, rel=0.1)
    assert not smoothed_significance(mean, np.zeros_like(ivar), 2.0).any()


def test_bad_pixels_and_snowballs_are_no_traces():
    sky = np.random.default_rng(13).random((200, 300)) > 0.03
    sky[80:90, 100:250] = False
    sky[20:60, 120:160] = False
    near = near_traces(sky, 4, 20)
    assert near[85, 150] and near[77, 150] and near[85, 85] and not near[74, 150] and not near[85, 70]
    assert not near[40, 140], "too short, as the core of a snowball"
    assert not near[120:].any()
