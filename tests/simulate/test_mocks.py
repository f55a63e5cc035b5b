"""Mock spectra against what they are said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.grids import wave_grid
from nirfire.simulate import mock_lines, mock_stars, mocks, seds
from nirfire.simulate.mock_sources import FIRST, KINDS, SECOND, THIRD, Source, age_of_universe, draw_source


def only(kind, **changes):
    return replace(FIRST, shares={kind: 1.0}, **changes)


@pytest.fixture(scope="module")
def drawn():
    return mocks.draw("PRISM", 40, 3)


def test_a_spectrum_depends_on_its_seed_and_number_alone(drawn):
    again = mocks.draw("PRISM", 4, 3)
    np.testing.assert_array_equal(again.flux, drawn.flux[:4])
    assert not np.array_equal(np.nan_to_num(again.flux[0]), np.nan_to_num(mocks.draw("PRISM", 1, 4).flux[0]))


def test_shapes_and_missing_pixels(drawn):
    assert drawn.flux.shape == drawn.err.shape == drawn.ivar.shape == (40, drawn.wave.size)
    assert np.all(np.diff(drawn.wave) > 0)
    np.testing.assert_array_equal(drawn.ivar > 0, np.isfinite(drawn.flux))
    good = np.isfinite(drawn.flux)
    np.testing.assert_allclose(drawn.ivar[good], drawn.err[good] ** -2)
    assert 0.001 < np.mean(~good) < 0.2
    np.testing.assert_array_equal(drawn.n_lines >= 1, drawn.line_snr[:, 0] > mocks.LINE_SNR)
    assert np.all(np.diff(drawn.line_snr, axis=1) <= 0)


def test_kinds_and_redshifts(drawn):
    assert set(drawn.kind) <= set(KINDS)
    nothing = np.isin(drawn.kind, ("blank", "featureless"))
    np.testing.assert_array_equal(np.isnan(drawn.z), nothing)
    assert np.all(drawn.z[drawn.kind == "dwarf"] == 0)
    for population in (FIRST, SECOND, THIRD):
        assert population.shares["blank"] >= 0.15 * sum(population.shares.values())


@pytest.mark.parametrize("grating", ["PRISM", "G395M", "G140H"])
def test_grids_are_pieces_of_the_lattice(grating):
    one, mode = mocks.draw(grating, 1, 0), mocks.MODES[grating]
    np.testing.assert_array_equal(one.wave, wave_grid(grating, mode.filter, (mode.low, mode.high)).wave)


def test_unknown_grating():
    with pytest.raises(ValueError, match="unknown grating"):
        mocks.draw("G500M", 1, 0)


@pytest.mark.parametrize("grating", ["PRISM", "G395M"])
def test_a_line_keeps_its_place_and_flux(grating):
    grid = mocks._grid(grating)
    wave = np.array([3.4567, 4.1])
    source = Source("x", 1.0, seds.observed_grid(), np.full(24000, 2.0), wave, np.array([0.5, 1.0]), np.full(2, 100.0))
    continuum, profiles = mocks._seen(source, grating, grid, 1.4)
    width = np.diff(grid.edges)
    np.testing.assert_allclose(profiles @ width, [0.5, 1.0], rtol=1e-6)
    moment = profiles @ (grid.wave * width) / (profiles @ width)
    np.testing.assert_allclose(moment, wave, rtol=2e-6 if grating == "G395M" else 3e-4)
    np.testing.assert_allclose(continuum, 2.0, rtol=1e-3)
    spread = np.sqrt(profiles[1] @ ((grid.wave - wave[1]) ** 2 * width))
    lsf = mocks.uniform_fwhm(wave[1], grating) / mocks._FWHM / 1.4
    pixel = np.interp(wave[1], grid.wave, width)
    expected = np.sqrt(lsf**2 + (100.0 / 299792.458 * wave[1]) ** 2 + pixel**2 / 12)
    assert spread == pytest.approx(expected, rel=0.05)


def test_noise_of_blanks_is_as_promised():
    some = mocks.draw("G395M", 12, 5, only("blank"))
    pull = some.flux / some.err
    for row in pull:
        row = row[np.isfinite(row)]
        row = row[np.abs(row - np.median(row)) < 4]
        inner = row[200:-200]
        assert 0.85 < np.std(inner) < 1.35  # 1 / (0.8 to 1.1)
        centred = inner - inner.mean()
        assert 0.1 < np.mean(centred[1:] * centred[:-1]) / np.var(centred) < 0.5


def test_signal_to_noise_is_what_was_asked_for():
    some = mocks.draw("PRISM", 12, 5, only("featureless", snr_low=9.0, snr_high=11.0))
    assert np.all((some.snr > 3) & (some.snr < 14))  # the source's own photons add noise


def test_nothing_below_the_break_of_a_distant_galaxy():
    rng = np.random.default_rng(2)
    source = draw_source(rng, only("lyman_break"))
    edge = 0.1215670 * (1 + source.z)
    below = source.continuum[(source.wave < 0.97 * edge) & (source.wave > 0.7)]
    above = source.continuum[(source.wave > 1.1 * edge) & (source.wave < 1.3 * edge)]
    assert below.max() < 0.01 * above.mean()


def test_doublets_keep_their_ratios_and_dust_reddens():
    lines = mock_lines.star_forming(np.random.default_rng(0), 1.5, 100.0)
    flux = dict(zip(np.round(lines.wave, 6), lines.flux, strict=True))
    assert flux[0.496030] / flux[0.500824] == pytest.approx(0.336, rel=1e-3)
    assert flux[0.656461] / flux[0.486268] == pytest.approx(2.86, rel=0.25)
    red = lines.reddened(1.0)
    at = np.argmin(np.abs(lines.wave - 0.6564614))
    beta = np.argmin(np.abs(lines.wave - 0.4862683))
    assert red.flux[at] / lines.flux[at] > 1.2
    assert red.flux[beta] == pytest.approx(lines.flux[beta])


def test_young_stars_are_blue_and_old_ones_break():
    rest = np.array([0.15, 0.37, 0.42, 0.55])
    n = mock_stars.intervals().size - 1
    young, old = np.zeros(n), np.zeros(n)
    young[0], old[-1] = 1.0, 1.0
    blue, red = mock_stars.stars(rest, young, 1.0), mock_stars.stars(rest, old, 1.0)
    assert blue[3] == pytest.approx(1.0) == pytest.approx(red[3])
    assert blue[0] > 0.9
    assert red[0] < 0.05
    assert red[2] / red[1] > 1.5
    assert mock_stars.stars(np.array([0.05, 0.09]), young, 1.0).max() == 0.0


def test_dwarfs_have_bands():
    wave, flux = mock_stars.dwarfs()
    assert flux.shape == (100, wave.size)
    assert np.all(np.isfinite(flux))
    at = [int(np.searchsorted(wave, x)) for x in (1.25, 1.40)]
    assert np.mean(flux[:, at[1]] < 0.9 * flux[:, at[0]]) > 0.5  # water


def test_age_of_the_universe():
    assert age_of_universe(0.0) == pytest.approx(13.8, abs=0.2)
    assert age_of_universe(10.0) == pytest.approx(0.47, abs=0.02)
