"""A measured wavelength shift made smooth, tables of shifts, overlapping orders."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nirfire.core.wavecal import (
    LARGEST_DEGREE,
    bilinear,
    fit_surface,
    overlap_mask,
    refine,
    runs_along_x,
    second_order_from,
)

X, WAVE = np.linspace(0.33, -0.33, 14), np.linspace(1.3, 5.0, 9)


def cells() -> tuple[NDArray, NDArray]:
    return tuple(a.ravel() for a in np.meshgrid(X, WAVE, indexing="ij"))


def truth(x: NDArray, wave: NDArray) -> NDArray:
    return -0.15 - 0.5 * x - 0.01 * (wave - 3.0) ** 2 + 0.05 * x * (wave - 3.0)


def test_a_smooth_shift_is_found_again_exactly() -> None:
    x, wave = cells()
    surface = fit_surface(x, wave, truth(x, wave))
    fine = np.linspace(-0.33, 0.33, 31), np.linspace(1.3, 5.0, 31)[:, None]
    assert np.allclose(surface(*fine), truth(*fine), atol=1e-12)
    assert surface.scatter < 1e-12


def test_it_is_constant_and_continuous_outside() -> None:
    x, wave = cells()
    surface = fit_surface(x, wave, truth(x, wave))
    assert surface(0.5, 3.0) == surface(0.33, 3.0) == surface(9.0, 3.0)
    assert surface(0.1, 0.6) == surface(0.1, 1.3)
    assert surface(-0.5, 5.3) == surface(-0.33, 5.0)
    along = surface(np.linspace(-0.6, 0.6, 4001), 2.0)
    assert np.abs(np.diff(along)).max() < 0.6 * 1.2 / 4000 * 1.01  # no step anywhere


def test_noise_is_averaged_not_followed() -> None:
    x, wave = cells()
    rng = np.random.default_rng(1)
    errors, forms = [], []
    for _ in range(40):
        surface = fit_surface(x, wave, truth(x, wave) + rng.normal(0, 0.06, x.size))
        errors.append(surface(x, wave) - truth(x, wave))
        forms.append(np.count_nonzero(surface.coefficients))
    assert np.sqrt(np.mean(np.square(errors))) < 0.02  # interpolation keeps the 0.06 of a cell
    assert np.median(forms) < 9


def test_missing_cells_count_for_nothing() -> None:
    x, wave = cells()
    ivar = np.random.default_rng(2).integers(0, 2, x.size).astype(float)
    spoilt = np.where(ivar > 0, truth(x, wave), 99.0)
    for array in (x, wave, spoilt, ivar):
        array.flags.writeable = False
    surface = fit_surface(x, wave, spoilt, ivar)
    assert np.allclose(surface(x, wave), truth(x, wave), atol=1e-10)


def test_weights_count() -> None:
    x, wave = cells()
    shift = np.where(wave > 3, 1.0, 0.0)
    weighted = fit_surface(x, wave, shift, np.where(wave > 3, 1e6, 1.0))
    assert abs(weighted(0.0, 4.5) - 1) < 0.01


def test_one_column_of_measurements_gives_a_curve_in_x() -> None:
    x = np.linspace(-0.3, 0.3, 9)
    surface = fit_surface(x, np.full(9, 2.0), 0.1 - 0.4 * x)
    assert np.allclose(surface(0.1, [1.0, 2.0, 5.0]), 0.06)
    assert np.allclose(surface.coefficients[:, 1:], 0)


def test_too_few_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit_surface([0.1, 0.2], [1.0, 2.0], [0.0, 0.0])
    few = fit_surface([0.1, 0.2, 0.3, 0.1], [1.0, 2.0, 3.0, 2.0], [0.1, 0.1, 0.1, 0.1])
    assert np.count_nonzero(few.coefficients) == 1  # a constant
    assert few.coefficients.shape == (LARGEST_DEGREE + 1, LARGEST_DEGREE + 1)


def test_a_refined_table_says_the_same() -> None:
    rng = np.random.default_rng(3)
    x, wave = np.linspace(-0.5, 0.5, 21), np.linspace(0.6, 5.3, 21)
    table = rng.normal(size=(21, 21))
    fine_x, fine_wave = refine(x, (-0.325, 0.326)), refine(wave, (1.288, 4.97))
    assert set(x) <= set(fine_x)
    assert set(wave) <= set(fine_wave)
    assert fine_x[0] == -0.5
    assert fine_x[-1] == 0.5
    assert np.min(np.abs(fine_x + 0.325)) < 1e-5
    assert np.diff(fine_x).min() > 1e-7
    fine = bilinear(x, wave, table, fine_x, fine_wave)
    probe = np.linspace(-0.5, 0.5, 333), np.linspace(0.6, 5.3, 222)
    assert np.allclose(bilinear(fine_x, fine_wave, fine, *probe), bilinear(x, wave, table, *probe), atol=1e-12)


def test_limits_beyond_a_table_add_no_nodes_outside() -> None:
    assert np.array_equal(refine([0.0, 1.0], (2.0, 3.0)), [0.0, 1.0])


def test_exchanged_axes_and_signs_are_seen() -> None:
    x = np.linspace(-0.5, 0.5, 21)
    table = 2.0 * x + np.linspace(-0.1, 0.1, 21)[:, None]
    assert runs_along_x(x, table)
    assert not runs_along_x(x, table.T)
    assert not runs_along_x(x, -table)


@pytest.mark.parametrize(
    ("filter", "grating", "start"),
    [
        ("F070LP", "G140M", 1.40),
        ("F100LP", "G140H", 1.94),
        ("F170LP", "G235M", 3.32),
        ("F290LP", "G395M", 5.74),
        ("CLEAR", "PRISM", np.inf),
        ("F100LP", "PRISM", np.inf),
    ],
)
def test_second_order_begins_at_twice_the_cut_on(filter: str, grating: str, start: float) -> None:
    assert second_order_from(filter, grating) == pytest.approx(start)
    wave = np.array([[np.nan, 0.99 * start, 1.01 * start]]) if np.isfinite(start) else np.array([[0.6, 5.3, np.nan]])
    expected = [[False, False, True]] if np.isfinite(start) else [[False, False, False]]
    assert np.array_equal(overlap_mask(wave, filter, grating), expected)
