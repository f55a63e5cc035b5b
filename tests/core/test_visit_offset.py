"""The common offset of the sources of a visit, against a true one."""

import numpy as np
import pytest

from nirfire.core.visit_offset import FEW, FLOOR, LEAST, TYPICAL, visit_offset


def draws(seed, n=40, offset=0.02, scatter=0.0):
    rng = np.random.default_rng(seed)
    err = rng.uniform(0.001, 0.02, n)
    return offset + rng.normal(size=n) * np.hypot(err, scatter), err


@pytest.mark.parametrize("scatter", [0.0, 0.02])
def test_mean_and_scatter(scatter):
    found = [visit_offset(*draws(seed, scatter=scatter)) for seed in range(50)]
    means = np.array([f.offset for f in found])
    assert np.mean(means) == pytest.approx(0.02, abs=0.001)
    assert np.std(means) < 1.5 * np.hypot(scatter, 0.004) / np.sqrt(20)
    n = 20  # the expected scatter counts as much as that of FEW sources, and the mean has an error of its own
    drawn = np.sqrt((n * max(scatter, FLOOR) ** 2 + FEW * TYPICAL**2) / (n + FEW) * (1 + 1 / n))
    assert np.median([f.scatter for f in found]) == pytest.approx(drawn, abs=0.006)


def test_a_source_that_is_off_does_not_count():
    offset, err = draws(1)
    offset[3], err[3] = 0.3, 0.001
    found = visit_offset(offset, err)
    assert not found.used[3]
    rest = visit_offset(np.delete(offset, 3), np.delete(err, 3))
    assert found.offset == pytest.approx(rest.offset, abs=5e-4)


def test_the_mean_is_that_of_those_that_are_used():
    """Whatever the outliers: the answer follows from the sources that it says it used."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        offset, err = draws(seed, n=12)
        offset = offset + rng.standard_t(1, 12) * 0.01
        found = visit_offset(offset, err)
        if found is None:
            continue
        kept = offset[found.used]
        assert kept.min() <= found.offset <= kept.max()
        weight = 1 / (err[found.used] ** 2 + found.scatter**2)
        assert found.offset == pytest.approx(np.sum(weight * kept) / weight.sum(), abs=1e-12), seed


@pytest.mark.parametrize("n", [0, LEAST - 1])
def test_too_few(n):
    assert visit_offset(np.zeros(n), np.full(n, 0.01)) is None


def test_an_infinite_error_is_no_measurement():
    offset, err = draws(2, n=6)
    err[:2], offset[2] = np.inf, np.nan
    found = visit_offset(offset, err)
    np.testing.assert_array_equal(found.used, [False, False, False, True, True, True])
    assert np.isfinite(found.offset)
    err[3] = np.inf
    assert visit_offset(offset, err) is None


def test_equal_places_have_the_scatter_of_the_geometry():
    found = visit_offset(np.full(5, 0.01), np.zeros(5))
    drawn = np.sqrt((5 * FLOOR**2 + FEW * TYPICAL**2) / (5 + FEW) * 1.2)
    assert (found.offset, found.scatter) == (pytest.approx(0.01), pytest.approx(drawn))
    assert found.used.all()
