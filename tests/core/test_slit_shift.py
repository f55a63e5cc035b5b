"""Shifts across the shutter, from fluxes in dithers."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core.slit_shift import bin_flux, shift_from_flux
from nirfire.simulate import psf

WAVE = np.linspace(0.8, 5.0, 8)
TRIAL = np.linspace(-0.4, 0.4, 81)


def passed(planned: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    at = planned[:, None, None] + shifts[None, :, None]
    return psf.transmission(np.broadcast_to(WAVE, (len(planned), len(shifts), 8)), at, 0.0, (-1, 0, 1))


def fluxes(planned: np.ndarray, shift: float) -> np.ndarray:
    return 20.0 * WAVE**0.7 * passed(planned, np.array([shift]))[:, 0]


@pytest.mark.parametrize("shift", [-0.2, -0.07, 0.0, 0.04, 0.15])
@pytest.mark.parametrize("centre", [-0.15, 0.0, 0.1])
def test_dithers_tell_the_shift(shift: float, centre: float) -> None:
    planned = centre + np.array([-0.125, 0.125, 0.125])
    flux = fluxes(planned, shift)
    found = shift_from_flux(planned, flux, 0.001 * flux, TRIAL, passed(planned, TRIAL))
    assert found is not None
    assert abs(found.value - shift) < 0.003
    assert 0 < found.err < 0.03


def test_errors_cover_the_scatter() -> None:
    planned = np.array([-0.15, 0.1, -0.15, 0.1])
    rng, table, pulls = np.random.default_rng(2), passed(planned, TRIAL), []
    for _ in range(100):
        flux = fluxes(planned, 0.05) * (1 + rng.normal(0, 0.01, (4, 1)))
        found = shift_from_flux(planned, flux, 1e-4 * flux, TRIAL, table)
        assert found is not None
        pulls.append((found.value - 0.05) / found.err)
    assert 0.6 < np.std(pulls) < 1.3


def test_nods_without_dithers_tell_nothing() -> None:
    planned = np.array([0.2, 0.21, 0.19])
    flux = fluxes(planned, 0.05)
    assert shift_from_flux(planned, flux, 0.001 * flux, TRIAL, passed(planned, TRIAL)) is None


def test_detectors_are_not_compared() -> None:
    planned = np.array([-0.125, 0.125, -0.125, 0.125])
    flux = fluxes(planned, 0.06) * np.array([1.0, 1.0, 3.0, 3.0])[:, None]
    found = shift_from_flux(planned, flux, 0.001 * flux, TRIAL, passed(planned, TRIAL), [0, 0, 1, 1])
    assert found is not None
    assert abs(found.value - 0.06) < 0.003


def test_faint_sources_and_unknown_places_tell_nothing() -> None:
    planned = np.array([-0.125, 0.125])
    flux, table = fluxes(planned, 0.0), passed(planned, TRIAL)
    assert shift_from_flux(planned, flux, flux, TRIAL, table) is None
    assert shift_from_flux(planned, flux, 0.01 * flux, TRIAL, np.full(table.shape, np.nan)) is None
    assert shift_from_flux(planned, fluxes(planned, 0.6), 0.01 * flux, TRIAL, table) is None


def test_bins_without_enough_columns_are_not_known() -> None:
    wave = np.linspace(1, 2, 20)
    err = np.where(wave > 1.5, np.inf, 2.0)
    flux, error = bin_flux(wave, np.full(20, 3.0), err, np.array([1.0, 1.5, 2.001]))
    assert flux[0] == 3.0 and np.isclose(error[0], 2 / np.sqrt(10))
    assert np.isinf(error[1])
