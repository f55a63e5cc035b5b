"""Places along the slitlet, from traces with a PSF that is not the model's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.centroid import Trace, measure_place, open_length, profile
from nirfire.simulate import psf

PITCH = psf.PITCH[1]
WAVE = np.linspace(0.7, 5.2, 60)
SHUTTERS = (-1, 0, 1)


def edges(phase: float = 0.0) -> np.ndarray:
    """Pixels of 0.105 arcsec, on a trace that crosses two rows."""
    rows = np.arange(-13.0, 14.0)[:, None] * 0.2 + 0.4 * np.linspace(0, 1, WAVE.size) + phase
    return np.asarray(rows)


def trace(y: float, *, snr: float = 0.0, sky: float = 5.0, size: float = 0.0, dx: float = 0.0, seed: int = 1) -> Trace:
    """A source of 100 per column through three shutters, and sky; arrays that cannot be written to."""
    at = edges()
    light = psf.row_fractions(WAVE, at[:-1], at[1:], dx, y, SHUTTERS, size) * 100.0
    flux = light + sky * psf.open_share(at[:-1], at[1:], SHUTTERS)
    sigma = 100.0 / snr if snr else 0.05
    if snr:
        flux = flux + np.random.default_rng(seed).normal(0.0, sigma, flux.shape)
    made = Trace(flux, np.full(flux.shape, sigma**-2), WAVE, at, SHUTTERS, psf.OPEN[1], PITCH)
    for array in (made.flux, made.ivar, made.wave, made.edges):
        array.flags.writeable = False
    return made


@pytest.mark.parametrize("y", [-0.48, -0.4, -0.25, 0.0, 0.1, 0.33, 0.45])
@pytest.mark.parametrize("dx", [0.0, 0.35])
def test_bars_and_another_psf_move_a_place_by_hardly_a_milliarcsecond(y: float, dx: float) -> None:
    found = measure_place(trace(y, dx=dx), planned=y + 0.06)
    assert found is not None
    assert abs(found.y - y) * PITCH < 0.0015


def test_a_centroid_without_the_bars_would_be_wrong() -> None:
    made = trace(0.40, sky=0.0)
    middle = 0.5 * (made.edges[1:] + made.edges[:-1])
    plain = float((made.flux * middle).sum() / made.flux.sum())
    assert abs(plain - 0.40) * PITCH > 0.015


def test_errors_are_those_of_the_noise() -> None:
    places = [measure_place(trace(0.2, snr=15.0, seed=k), planned=0.15) for k in range(12)]
    pulls = [(p.y - 0.2) / p.err for p in places if p is not None]
    assert len(pulls) == 12
    assert 0.6 < np.std(pulls) < 1.5
    assert abs(np.mean(pulls)) < 0.7


def test_extended_sources_are_wide_and_in_place() -> None:
    point, wide = (measure_place(trace(0.1, size=size), planned=0.1) for size in (0.0, 0.1))
    assert point is not None and wide is not None
    assert point.floor < 0.04 < 0.08 < wide.floor
    assert abs(wide.y - 0.1) * PITCH < 0.002


def test_outliers_and_holes_do_no_harm() -> None:
    clean = trace(0.1, snr=30.0)
    flux, ivar = clean.flux.copy(), clean.ivar.copy()
    flux[15, 30], flux[12, 41] = 400.0, -300.0
    ivar[14, 10:14] = 0.0
    found = measure_place(replace(clean, flux=flux, ivar=ivar), planned=0.1)
    assert found is not None
    assert abs(found.y - 0.1) * PITCH < 0.003


def test_light_that_passes_is_that_of_the_source() -> None:
    one, two = (measure_place(trace(y), planned=y) for y in (0.2, 0.3))
    assert one is not None and two is not None
    expected = [100.0 * psf.transmission(WAVE, 0.0, y, SHUTTERS) for y in (0.2, 0.3)]
    assert np.allclose(two.passed, expected[1], rtol=0.07)  # faint wings look like sky
    ratio = two.passed / one.passed * expected[0] / expected[1]  # what dithers are compared by
    assert abs(np.mean(ratio) - 1) < 0.01
    assert np.all(np.abs(ratio - 1) < 0.03)


def test_nothing_is_found_where_nothing_is() -> None:
    empty = trace(0.0, snr=20.0)
    sky = replace(empty, flux=np.random.default_rng(3).normal(0.0, 5.0, empty.flux.shape))
    assert measure_place(sky, planned=0.0) is None
    assert measure_place(replace(empty, ivar=np.zeros(empty.ivar.shape)), planned=0.0) is None


def test_profile_sums_to_what_the_bars_let_through() -> None:
    made = trace(0.0)
    whole = profile(replace(made, open_height=1.0, shutters=range(-2, 3)), 0.0, 0.02, 0.05, 0.1).sum(axis=0)
    assert np.all((whole > 0.98) & (whole <= 1.0))
    assert np.allclose(open_length(made).sum(axis=0), 3 * psf.OPEN[1], atol=0.1)
