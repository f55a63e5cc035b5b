"""The joint solution of the background, against known components and an independent dense solution."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core import joint
from nirfire.core.background import BackgroundOptions, robust_width
from nirfire.core.iterative import fit_iterative
from nirfire.core.joint import BLOCK, cosines, fit_joint, spline_basis
from nirfire.core.residuals import correlation

from .backgrounds import BAND, SHAPE, SIGMA, columns, frame, readonly, truth

FLAT = np.full(SHAPE, SIGMA**2)


def exposure(seed=1, masked=0.3, **parts):
    rng = np.random.default_rng(seed)
    known = truth(rng, **parts)
    image = known + SIGMA * rng.normal(size=SHAPE)
    usable = rng.random(SHAPE) > masked
    hit = rng.random(SHAPE) < 0.005
    image[hit] += rng.exponential(20 * SIGMA, hit.sum())
    return readonly(image, usable, known)


def test_the_background_is_found_and_held_out_sky_is_white():
    image, usable, known = exposure()
    held = usable & (np.random.default_rng(2).random(SHAPE) < 0.2)
    found = fit_joint(image, usable & ~held, FLAT, frame(), BackgroundOptions())
    assert np.std(found.total - known) < 0.16 * SIGMA
    left = correlation(image - found.total, FLAT, held)
    assert left.columns < 1.15 and left.rows < 1.08 and left.slow_y < 1.2 and left.slow_x < 1.2
    assert abs(left.level) < 0.02


def test_it_beats_the_passes_where_light_hides_the_sky():
    """Under traces, which no fit can see."""
    image, usable, known = exposure(seed=3)
    hidden = np.zeros(SHAPE, bool)
    for row in range(20, 500, 60):
        hidden[row : row + 20] = True
    options = BackgroundOptions()
    fits = [fit(image, usable & ~hidden, FLAT, frame(), options).total for fit in (fit_joint, fit_iterative)]
    errors = [np.std((one - known)[hidden]) for one in fits]
    assert errors[0] < 0.8 * errors[1]


def test_picture_frame_and_errors():
    """The scale of every band lies within its standard error, over many exposures."""
    pulls = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        image = 0.8 * frame() + SIGMA * rng.normal(size=SHAPE)
        found = fit_joint(image, np.ones(SHAPE, bool), FLAT, frame(), BackgroundOptions(surface=False))
        pulls.append((found.scale - 0.8) / found.scale_err)
    assert 0.6 < np.std(pulls) < 1.4 and abs(np.mean(pulls)) < 0.6


def test_what_is_not_there_is_not_fitted():
    """White noise alone: rows and columns shrink to nothing instead of following the noise."""
    image = SIGMA * np.random.default_rng(5).normal(size=SHAPE)
    usable = np.ones(SHAPE, bool)
    joint_, passes = (
        fit(image, usable, FLAT, None, BackgroundOptions(rows=True)) for fit in (fit_joint, fit_iterative)
    )
    assert np.std(joint_.total) < 0.55 * np.std(passes.total)
    assert np.std(joint_.parts["rows"]) < 0.3 * np.std(passes.parts["rows"])
    assert np.std(joint_.parts["surface"]) < 0.3 * np.std(passes.parts["surface"])


def test_rows_are_found_where_they_are():
    rng = np.random.default_rng(6)
    rows = 0.05 * rng.normal(size=SHAPE[0])[:, None]
    image = rows + SIGMA * rng.normal(size=SHAPE)
    found = fit_joint(image, np.ones(SHAPE, bool), FLAT, None, BackgroundOptions(rows=True))
    assert np.std(found.total - rows) < 1.3 * SIGMA / np.sqrt(SHAPE[1])


def test_switches_and_no_template():
    image, usable, _ = exposure(seed=7)
    found = fit_joint(image, usable, FLAT, None, BackgroundOptions(surface=False, columns=False))
    assert set(found.parts) == {"picture_frame"}
    assert np.ptp(found.parts["picture_frame"], axis=1).max() == pytest.approx(0.0, abs=1e-12)  # pedestals alone
    found = fit_joint(image, usable, FLAT, frame(), BackgroundOptions(picture_frame=False, rows=True))
    assert set(found.parts) == {"picture_frame", "surface", "columns", "rows"}


def test_noise_level_and_variances_do_not_matter_but_their_ratios():
    image, usable, _ = exposure(seed=8)
    first, second = (fit_joint(image, usable, FLAT * f, frame(), BackgroundOptions()).total for f in (1.0, 9.0))
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_a_masked_band_and_masked_columns_get_sensible_values():
    rng = np.random.default_rng(9)
    known = truth(rng, pedestal=(0.1, 0.1, 0.1, 0.1), tilt=0.0)
    image = known + SIGMA * rng.normal(size=SHAPE)
    usable = np.ones(SHAPE, bool)
    usable[BAND : 2 * BAND] = False
    usable[:, 100:103] = False
    found = fit_joint(image, usable, FLAT, frame(), BackgroundOptions())
    off = (found.total - known)[~usable]
    assert np.isfinite(found.total).all()
    assert abs(np.mean(off)) < 0.1 * SIGMA and np.std(off) < 0.35 * SIGMA  # the columns' noise alone has 0.33


def test_light_outside_the_mask_does_not_pull_the_background():
    """A trace whose wings leak out of the mask, at any brightness."""
    image, usable, _ = exposure(seed=10, masked=0.0)
    trace, wings = np.zeros(SHAPE), np.zeros(SHAPE, bool)
    trace[200:206] = 1.0
    trace[[199, 206]] = 0.01
    wings[200:206] = True
    before = fit_joint(image, usable & ~wings, FLAT, frame(), BackgroundOptions()).total
    for light in (0.1, 1.0, 10.0, 1e3, 1e5):
        after = fit_joint(image + light * trace, usable & ~wings, FLAT, frame(), BackgroundOptions()).total
        assert abs((after - before)[wings].sum()) < 1e-3 * light * trace.sum()


def test_the_solution_is_that_of_the_dense_equations(monkeypatch):
    """One pass without clipping, against a dense weighted least-squares solution with the same prior."""
    rng = np.random.default_rng(11)
    shape = (32, 24)  # one block of rows a band
    known = 0.3 * rng.normal(size=shape)
    image = np.repeat(known[::BLOCK], BLOCK, axis=0) + 0.1 * rng.normal(size=shape)
    variance = 0.01 * rng.uniform(0.5, 2.0, shape)
    template = rng.uniform(0.0, 1.0, shape)
    monkeypatch.setattr(joint, "STEPS", 1)
    monkeypatch.setattr(joint, "MODES", 1)
    monkeypatch.setattr(joint, "CLIP", np.inf)
    options = BackgroundOptions(n_iter=1, boxes=2)
    found = fit_joint(image, np.ones(shape, bool), variance, template, options)
    relative = np.median(variance) / variance
    _, sigma = robust_width((image * np.sqrt(relative)).ravel())  # too few rows for medians of columns
    np.testing.assert_allclose(found.total, dense(image, relative, template, sigma), atol=1e-9)


def dense(image, relative, template, sigma):
    """Normal equations of all pixels at once."""
    n_y, n_x = image.shape
    y, x = np.mgrid[:n_y, :n_x]
    band = y.ravel() // BLOCK
    design = [np.where(band == b, template.ravel(), 0.0) for b in range(4)]
    design += [(band == b) * 1.0 for b in range(4)]
    in_y = spline_basis((np.arange(4) + 0.5) / 4, 2)[band]
    in_x = spline_basis((np.arange(n_x) + 0.5) / n_x, 2)[x.ravel()]
    design += list((in_y[:, :, None] * in_x[:, None, :]).reshape(len(band), -1).T)
    n_wide = len(design)
    design += [((band == b) & (x.ravel() == k)) * 1.0 for b in range(4) for k in range(n_x)]
    a, w = np.array(design).T, relative.ravel() / sigma**2
    penalty = np.zeros((a.shape[1], a.shape[1]))
    apart = np.eye(4) - 0.25
    penalty[:4, :4] = apart / joint.SCALE_SPREAD**2 + 1e-4 * np.eye(4)
    penalty[4:8, 4:8] = (apart / joint.BAND_SPREAD**2 + 1e-6 * np.eye(4)) / sigma**2
    penalty[range(8, n_wide), range(8, n_wide)] = 1 / (0.01 * sigma**2)
    penalty[range(n_wide, len(penalty)), range(n_wide, len(penalty))] = 1 / (0.05 * sigma**2)
    coefficients = np.linalg.solve(a.T @ (w[:, None] * a) + penalty, a.T @ (w * image.ravel()))
    at_pixels = spline_basis((y.ravel() + 0.5) / n_y, 2)  # evaluated at the pixels, not at their block's centre
    a[:, 8:n_wide] = (at_pixels[:, :, None] * in_x[:, None, :]).reshape(len(band), -1)
    return (a @ coefficients).reshape(image.shape)


def test_cosines_are_orthonormal():
    phi = cosines(64, 5)
    np.testing.assert_allclose(phi.T @ phi / 64, np.eye(5), atol=1e-12)


def test_variances_of_the_columns_are_learnt():
    rng = np.random.default_rng(12)
    image = columns(rng) + SIGMA * rng.normal(size=SHAPE)
    found = fit_joint(image, np.ones(SHAPE, bool), FLAT, None, BackgroundOptions(surface=False))
    assert np.std(found.parts["columns"]) == pytest.approx(0.06 * np.sqrt(1 + 0.09 + 0.04 + 0.01), rel=0.15)


@pytest.mark.parametrize("fit", [fit_joint, fit_iterative])
def test_nothing_usable(fit):
    with pytest.raises(ValueError, match="free of traces"):
        fit(np.zeros(SHAPE), np.zeros(SHAPE, bool), FLAT, None, BackgroundOptions())


def test_odd_shapes_are_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        fit_joint(np.zeros((100, 64)), np.ones((100, 64), bool), np.ones((100, 64)), None, BackgroundOptions())
