"""Spectra and line spread functions: integrals, breaks, resolution."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.simulate import lsf, seds


def test_line_area_is_flux_in_fnu() -> None:
    """f_nu integrated over frequency is the line's flux."""
    line = seds.Line("x", 2.0, 50.0, 200.0)
    wave = np.linspace(1.95, 2.05, 200001)
    fnu = line.density(wave)  # uJy = 1e-29 erg/s/cm2/Hz
    frequency = 2.99792458e14 / wave  # Hz for um
    flux = -np.trapezoid(fnu * 1e-29, frequency)
    assert flux == pytest.approx(50e-18, rel=2e-5)
    assert line.integral(np.array([1.9, 2.1]))[1] == pytest.approx(np.trapezoid(fnu, wave), rel=1e-6)


def test_integral_is_that_of_density() -> None:
    spectrum = seds.galaxy(seds.Galaxy(3.0, 10.0, hbeta=20.0))
    edges = np.linspace(2.5, 2.7, 5)
    steps = np.diff(spectrum.integral(edges))
    for lo, hi, step in zip(edges[:-1], edges[1:], steps, strict=True):
        wave = np.linspace(lo, hi, 40001)
        assert step == pytest.approx(np.trapezoid(spectrum.density(wave), wave), rel=1e-4)


@pytest.mark.parametrize("z", [4.2, 7.3, 9.4])
def test_lyman_break(z: float) -> None:
    spectrum = seds.galaxy(seds.Galaxy(z, 5.0, old=0.0))
    below, above = spectrum.density(0.0900 * (1 + z)), spectrum.density(0.1300 * (1 + z))
    assert below < 0.02 * above
    if z > 6:
        assert spectrum.density(0.1180 * (1 + z)) < 0.01 * above


def test_physical_ratios_and_breaks() -> None:
    lines = {x.name: x for x in seds.nebular_lines(2.0, 10.0)}
    assert lines["Halpha"].flux / lines["Hbeta"].flux == pytest.approx(2.86)
    assert lines["[OIII]5008"].flux / lines["[OIII]4960"].flux == pytest.approx(2.98, abs=0.02)
    assert lines["Halpha"].wave == pytest.approx(0.6564614 * 3.0)
    reddened = {x.name: x for x in seds.nebular_lines(2.0, 10.0, scale={"dust": 1.0, "[OIII]": 0.5})}
    assert reddened["Halpha"].flux / reddened["Hbeta"].flux > 3.5
    assert reddened["[OIII]5008"].flux < 0.6 * lines["[OIII]5008"].flux
    old = seds.galaxy(seds.Galaxy(2.1, 20.0, old=0.9, balmer=0.5))
    assert old.density(0.42 * 3.1) / old.density(0.37 * 3.1) > 1.7


def test_igm_and_dust_limits() -> None:
    wave = np.linspace(0.3, 5.0, 500)
    assert np.all(seds.igm(wave, 0.0) == 1.0)
    deep = seds.igm(wave, 6.8)
    assert np.all(deep[wave > 0.1216 * 7.8] == 1.0) and np.all((deep >= 0) & (deep <= 1))
    assert np.all(seds.dust(wave, 0.0) == 1.0)
    assert seds.dust(0.55, 1.0) == pytest.approx(10**-0.4, rel=0.01)


@pytest.mark.parametrize("grating", ["PRISM", "G140M", "G395H"])
def test_blurring_conserves_and_widens(grating: str) -> None:
    wave_range = {"PRISM": (0.6, 5.3), "G140M": (0.97, 1.89), "G395H": (2.87, 5.27)}[grating]
    centre = float(np.mean(wave_range))
    spectrum = seds.power_law(0.0, 0.0, (seds.Line("x", centre, 100.0, 0.0),))
    grid = lsf.natural_grid(grating, wave_range)
    blurred = lsf.blur(grid, spectrum.integral(grid))
    total = blurred.mean(wave_range[0] * 1.01, wave_range[1] * 0.99) * (wave_range[1] * 0.99 - wave_range[0] * 1.01)
    assert total == pytest.approx(spectrum.lines[0].area, rel=1e-3)
    edges = np.linspace(centre * 0.97, centre * 1.03, 20001)
    shape, mid = blurred.mean(edges[:-1], edges[1:]), 0.5 * (edges[1:] + edges[:-1])
    mean = (shape * mid).sum() / shape.sum()
    rms = np.sqrt((shape * (mid - mean) ** 2).sum() / shape.sum())
    assert mean == pytest.approx(centre, abs=0.1 * rms)
    assert rms == pytest.approx(lsf.sigma(centre, grating), rel=0.02)


def test_resolution_is_in_flight() -> None:
    """A point source has 1.4 times the tabulated R; a source that fills the slit has the tabulated one."""
    wave = np.array([1.0, 2.5, 5.0])
    uniform = wave / lsf.uniform_fwhm(wave, "PRISM")
    np.testing.assert_allclose(uniform, [31.0, 72.0, 286.0], rtol=0.06)  # dispersion tables, user documentation
    np.testing.assert_allclose(lsf.sigma(wave, "PRISM") * 1.4, lsf.sigma(wave, "PRISM", size=1.0), rtol=1e-6)
    with pytest.raises(DataError, match="grating"):
        lsf.sigma(1.0, "G999X")
