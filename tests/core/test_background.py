"""Background of count-rate images against known components."""

import numpy as np
import pytest

from nirfire.core.background import (
    BackgroundOptions,
    clip_sky,
    fit_background,
    fit_template,
    line_medians,
    noise_scale,
    smooth_surface,
)

SHAPE = (512, 512)


def frame():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    edge = np.maximum(abs(x - 256), abs(y - 256)) / 256.0
    return np.clip(edge - 0.7, 0, None) ** 2 * 10


def test_template_scale_is_recovered_per_band_despite_outliers():
    rng = np.random.default_rng(4)
    scales = np.repeat([1.0, 2.0, 0.5, 1.5], SHAPE[0] // 4)[:, None]
    truth = scales * frame() + 0.2
    image = truth + 0.05 * rng.normal(size=SHAPE)
    image[rng.random(SHAPE) < 0.02] += 5.0
    usable = rng.random(SHAPE) < 0.7
    assert np.sqrt(np.mean((fit_template(image, frame(), usable) - truth) ** 2)) < 0.003


def test_line_medians_follow_columns_and_rows():
    rng = np.random.default_rng(5)
    columns = rng.normal(size=SHAPE[1])
    usable = rng.random(SHAPE) < 0.5
    usable[:, 3] = False
    found = line_medians(np.broadcast_to(columns, SHAPE), usable, axis=0)
    keep = np.arange(SHAPE[1]) != 3
    assert found[keep] == pytest.approx(columns[keep])
    assert found[3] == pytest.approx(np.median(columns[keep]), abs=1e-9)
    rows = line_medians(np.broadcast_to(columns, SHAPE).T, usable.T, axis=1)
    assert rows[keep] == pytest.approx(columns[keep])


def test_smooth_surface_bridges_masked_boxes():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 512.0
    truth = 0.1 + 0.3 * x + 0.2 * y
    usable = np.ones(SHAPE, dtype=bool)
    usable[100:200, :] = False
    found = smooth_surface(np.where(usable, truth, 50.0), usable, boxes=8)
    assert np.abs(found - truth)[64:-64, 64:-64].max() < 0.02  # the outermost half box is extrapolated
    assert np.abs(found - truth).max() < 0.1


def test_full_background_converges_to_the_truth():
    rng = np.random.default_rng(6)
    x = np.arange(SHAPE[1]) / 512.0
    columns = 0.05 * rng.normal(size=SHAPE[1])
    truth = frame() + 0.1 + 0.05 * x + columns
    image = truth + 0.03 * rng.normal(size=SHAPE)
    usable = np.ones(SHAPE, dtype=bool)
    usable[200:260] = False
    image[200:260] += 3.0
    image.setflags(write=False)
    background, changes = fit_background(image, usable, frame(), BackgroundOptions())
    assert np.sqrt(np.mean((background - truth)[usable] ** 2)) < 0.006
    assert changes[-1] < 0.1 * changes[0]


def test_noise_scale_is_unbiased_under_clipping_and_outliers():
    rng = np.random.default_rng(7)
    variance = np.full(SHAPE, 0.04)
    image = np.sqrt(1.7) * 0.2 * rng.normal(size=SHAPE)
    image[rng.random(SHAPE) < 0.005] = 30.0
    assert noise_scale(image, variance, np.ones(SHAPE, dtype=bool)) == pytest.approx(1.7, rel=0.02)


def test_clip_sky_drops_sources():
    rng = np.random.default_rng(8)
    image = rng.normal(size=SHAPE)
    image[:50] = 20.0
    kept = clip_sky(image, np.ones(SHAPE, dtype=bool))
    assert not kept[:50].any()
    assert kept[50:].mean() > 0.95


def test_no_sky_is_refused():
    nothing = np.zeros(SHAPE, dtype=bool)
    with pytest.raises(ValueError, match="no pixel"):
        fit_background(np.zeros(SHAPE), nothing, None, BackgroundOptions())
    with pytest.raises(ValueError, match="no sky pixel"):
        noise_scale(np.zeros(SHAPE), np.ones(SHAPE), nothing)
