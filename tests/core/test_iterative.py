"""The passes over the components, against known components."""

import numpy as np
import pytest

from nirfire.core.background import BANDS, BackgroundOptions, band_rows, line_medians
from nirfire.core.iterative import clip_sky, fit_iterative, fit_template, smooth_surface

from .backgrounds import SHAPE, frame


def test_template_scale_is_recovered_per_band_despite_outliers():
    rng = np.random.default_rng(4)
    scales = np.array([1.0, 2.0, 0.5, 1.5])
    image = band_rows(scales, SHAPE[0]) * frame() + 0.2 + 0.05 * rng.normal(size=SHAPE)
    image[rng.random(SHAPE) < 0.02] += 5.0
    usable = rng.random(SHAPE) < 0.7
    usable[-SHAPE[0] // BANDS :] = False
    scale, level = fit_template(image, frame(), usable)
    np.testing.assert_allclose(scale[:3], scales[:3], atol=0.03)
    np.testing.assert_allclose(level[:3], 0.2, atol=0.003)
    assert scale[3] == level[3] == 0.0  # nothing to be seen there


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


def test_smooth_surface_where_all_boxes_lie_under_traces():
    usable = np.zeros(SHAPE, dtype=bool)
    usable[:, ::20] = True  # 5 % of every box
    assert not smooth_surface(np.ones(SHAPE), usable, boxes=8).any()


def test_the_passes_converge_to_the_truth():
    rng = np.random.default_rng(6)
    x = np.arange(SHAPE[1]) / 512.0
    truth = frame() + 0.1 + 0.05 * x + 0.05 * rng.normal(size=SHAPE[1])
    image = truth + 0.03 * rng.normal(size=SHAPE)
    usable = np.ones(SHAPE, dtype=bool)
    usable[200:260] = False
    image[200:260] += 3.0
    image.setflags(write=False)
    found = fit_iterative(image, usable, image, frame(), BackgroundOptions())
    assert np.sqrt(np.mean((found.total - truth)[usable] ** 2)) < 0.006
    assert found.changes[-1] < 0.1 * found.changes[0]
    assert set(found.parts) == {"picture_frame", "surface", "columns"}


def test_the_published_clip_pulls_the_level_down():
    """Which is why it is not the default: median of a Gaussian cut at -3 and +2 sigma."""
    sky = np.random.default_rng(7).normal(size=(1000, 1000))
    kept = sky[clip_sky(sky, np.ones(sky.shape, bool))]
    assert np.median(kept) == pytest.approx(-0.027, abs=0.004)
