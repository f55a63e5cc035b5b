"""Spectra on other bins, against integrals and Monte Carlo."""

import numpy as np
import pytest

from nirfire.core.grids import wave_grid
from nirfire.core.regrid import (
    overlap_matrix,
    pixel_ends,
    regrid,
    regrid_rows,
    to_correlation,
    to_covariance,
    variance_of_sum,
)

GRID = wave_grid("PRISM", "CLEAR", (2.0, 4.0)).edges


def pixels(stretch=0.9, shift=0.37):
    """Ends of pixels a bit smaller than the bins, beginning somewhere, that cover all of them."""
    edges = np.interp(np.arange(-3, GRID.size / stretch + 3) * stretch + shift, np.arange(GRID.size), GRID)
    edges = np.unique(edges)
    return edges[:-1], edges[1:]


def test_overlap_is_the_length_in_common():
    lo, hi = np.array([0.0, 1.2, 5.0, -3.0]), np.array([1.5, 3.7, 6.0, -2.0])
    matrix = overlap_matrix(lo, hi, np.arange(5.0)).toarray()
    expected = [[1.0, 0, 0, 0], [0.5, 0.8, 0, 0], [0, 1.0, 0, 0], [0, 0.7, 0, 0]]
    np.testing.assert_allclose(matrix, expected)


def test_the_integral_stays():
    lo, hi = pixels()
    flux = 1 + np.sin(20 * lo)
    out = regrid(flux, np.ones(lo.size), lo, hi, GRID)
    inside = np.minimum(hi, GRID[-1]) - np.maximum(lo, GRID[0])
    assert np.sum(out.flux * np.diff(GRID)) == pytest.approx(np.sum(flux * inside), rel=1e-12)


def test_the_same_bins_change_nothing():
    rng = np.random.default_rng(3)
    flux, ivar = rng.normal(size=GRID.size - 1), rng.random(GRID.size - 1)
    ivar[7] = 0.0
    out = regrid(flux, ivar, GRID[:-1], GRID[1:], GRID)
    np.testing.assert_allclose(out.flux, np.where(ivar > 0, flux, 0.0), atol=1e-14)
    np.testing.assert_allclose(out.ivar, ivar)
    np.testing.assert_allclose(out.correlation, 0.0, atol=1e-12)


def test_errors_and_correlation_are_those_of_monte_carlo():
    rng = np.random.default_rng(4)
    lo, hi = pixels()
    sigma = rng.uniform(0.5, 2.0, lo.size)
    ivar = np.where(rng.random(lo.size) < 0.05, 0.0, sigma**-2)
    n = 6000
    noise = np.where(ivar > 0, rng.normal(size=(n, lo.size)) * sigma, 1e9)
    out = [regrid(one, ivar, lo, hi, GRID) for one in noise[:2]]
    weights = np.column_stack([regrid(unit, ivar, lo, hi, GRID).flux for unit in np.eye(lo.size)])
    np.testing.assert_allclose(weights @ noise[0], out[0].flux, atol=1e-9)
    flux, good = noise @ weights.T, out[0].ivar > 0
    assert not good.all()
    pulls = flux[:, good] * np.sqrt(out[0].ivar[good])
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=0.05)
    measured = np.corrcoef(flux[:, good], rowvar=False)
    both = good[:-1] & good[1:]
    where = np.cumsum(good) - 1
    first = measured[where[:-1][both], where[1:][both]]
    np.testing.assert_allclose(first, out[0].correlation[0, :-1][both], atol=0.06)
    assert first.mean() > 0.15
    means = flux[:, good][:, :20].mean(axis=1)
    bands = to_covariance(np.where(good, 1 / np.where(good, out[0].ivar, 1), 0), out[0].correlation)
    w = np.zeros(good.size)
    w[np.flatnonzero(good)[:20]] = 1 / 20
    assert np.std(means) == pytest.approx(np.sqrt(variance_of_sum(bands, w)), rel=0.04)
    assert np.std(means) > 1.1 * np.sqrt(np.sum(w**2 * bands[0]))  # what it would be without the correlation


def test_bins_that_are_mostly_uncovered_have_no_information():
    lo, hi = GRID[:-1], GRID[1:]
    step = hi - lo
    ivar = np.ones(lo.size)
    ivar[10:12] = 0.0
    out = regrid(np.ones(lo.size), ivar, lo + 0.4 * step, hi + 0.4 * step, GRID)
    assert np.flatnonzero(out.ivar == 0).tolist() == [10, 11]  # 10 is covered to 0.4 by 9, and 12 to 0.6 by itself
    np.testing.assert_allclose(out.flux[out.ivar > 0], 1.0)


def test_rows_are_what_each_row_alone_is():
    rng = np.random.default_rng(6)
    lo, hi = pixels()
    flux, ivar = rng.normal(size=(4, lo.size)), np.where(rng.random((4, lo.size)) < 0.2, 0.0, rng.random((4, lo.size)))
    rows = regrid_rows(flux, ivar, lo, hi, GRID)
    for k in range(4):
        alone = regrid(flux[k], ivar[k], lo, hi, GRID)
        np.testing.assert_allclose(rows.flux[k], alone.flux, atol=1e-12)
        np.testing.assert_allclose(rows.ivar[k], alone.ivar, rtol=1e-9)


def test_bands_go_back_and_forth():
    correlation = np.zeros((2, 5))
    correlation[0, :4], correlation[1, :3] = 0.3, 0.1
    variance = np.array([1.0, 4.0, 9.0, 0.0, 1.0])
    bands = to_covariance(variance, correlation)
    assert bands[1, 1] == pytest.approx(0.3 * 6)
    back = to_correlation(bands)
    np.testing.assert_allclose(back[:, :1], correlation[:, :1])
    assert back[0, 2] == back[0, 3] == 0.0


def test_ends_of_pixels():
    wave = np.array([1.0, 1.1, 1.22, 3.0, 3.2, 3.4])
    lo, hi = pixel_ends(wave)
    np.testing.assert_allclose(lo, [0.95, 1.05, 1.16, 2.9, 3.1, 3.3])
    np.testing.assert_allclose(hi, [1.05, 1.16, 1.28, 3.1, 3.3, 3.5])
    falling = pixel_ends(wave[::-1])
    np.testing.assert_allclose(falling[0], lo[::-1])
    np.testing.assert_allclose(falling[1], hi[::-1])


def test_bins_between_detectors_have_no_information():
    grid = wave_grid("G395M", "F290LP")
    wave = np.concatenate([np.arange(2.9, 4.69, 0.00179), np.arange(4.954, 5.25, 0.00179)])
    out = regrid(np.ones(wave.size), np.ones(wave.size), *pixel_ends(wave), grid.edges)
    gap = (grid.wave > 4.692) & (grid.wave < 4.952)
    assert (out.ivar[gap] == 0).all()
    inside = (grid.wave > 2.902) & (grid.wave < 5.248) & ~gap
    assert (out.ivar[inside] > 0).mean() > 0.998


def test_arguments_are_not_changed():
    lo, hi = pixels()
    flux, ivar, edges = np.ones(lo.size), np.ones(lo.size), GRID.copy()
    for a in (flux, ivar, lo, hi, edges):
        a.setflags(write=False)
    out = regrid(flux, ivar, lo, hi, edges)
    regrid_rows(flux[None], ivar[None], lo, hi, edges)
    np.testing.assert_allclose(out.flux[out.ivar > 0], 1.0)
