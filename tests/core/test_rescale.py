"""The factor of a spectrum to photometry: injected ones come back, with errors that are right."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core.lsf import pixel_edges
from nirfire.core.rescale import Band, band_shares, capped_edges, fit_scale, top_hat

WAVE = np.geomspace(0.62, 5.2, 350)
CENTRES = np.array([0.9, 1.15, 1.5, 2.0, 2.77, 3.56, 4.44])


def source(wave):
    """A smooth continuum with a break [uJy]."""
    return 0.8 + 0.4 * np.tanh((wave - 1.6) / 0.1) + 0.05 * wave


def measure(rng, factor, *, noise=0.1, band_error=0.05, centres=CENTRES):
    """A noisy spectrum whose truth is `factor` higher, and noisy photometry of that truth."""
    err = np.full(WAVE.shape, noise)
    flux = source(WAVE) + rng.normal(0, err)
    bands = []
    for k, centre in enumerate(centres):
        band = top_hat(f"b{k}", 0.0, 0.0, centre, 0.2 * centre)
        fine = np.linspace(*band.wave, 2000)
        true = np.average(source(fine) * factor(fine), weights=1 / fine)
        bands.append(band._replace(flux=true * (1 + band_error * rng.normal()), err=band_error * true))
    return WAVE, flux, err, np.zeros(WAVE.shape, bool), bands


def flat(wave):
    return np.full(np.shape(wave), 1.3)


def sloped(wave):
    return 1.2 * (1 - 0.35 * (wave - 2.0) / 2.5)


def test_shares_of_a_band_are_its_photon_weights():
    low, high = pixel_edges(WAVE)
    shares = band_shares(low, high, top_hat("a", 1, 1, 2.0, 0.4))
    assert shares.sum() == pytest.approx(1, abs=1e-9)
    inside = (low > 1.8) & (high < 2.2)
    np.testing.assert_allclose(shares[inside], np.log(high / low)[inside] / np.log(2.2 / 1.8), rtol=2e-4)
    outside = band_shares(low, high, top_hat("a", 1, 1, high[-1], 0.4))
    end = high[-1]
    assert outside.sum() == pytest.approx(np.log(end / (end - 0.2)) / np.log((end + 0.2) / (end - 0.2)), rel=1e-3)
    ramp = Band("r", 1, 1, np.array([1.0, 2.0]), np.array([0.0, 1.0]))  # the integral of (x - 1) / x is x - ln x
    got = band_shares(np.array([1.0, 1.5]), np.array([1.5, 2.0]), ramp)
    assert got[0] == pytest.approx((0.5 - np.log(1.5)) / (1 - np.log(2)), rel=1e-3)


def test_a_gap_makes_no_wide_pixels():
    low, high = capped_edges(np.array([1.0, 1.1, 1.2, 2.0, 2.1, 2.2]))
    np.testing.assert_allclose(high[2] - low[2], 0.05 * (1 + 1.5))
    np.testing.assert_allclose(high[3] - low[3], 0.05 * (1 + 1.5))
    np.testing.assert_allclose((high - low)[[0, 1, 4, 5]], 0.1)


@pytest.mark.parametrize(("factor", "order"), [(flat, 0), (sloped, 1)])
def test_an_injected_factor_comes_back_with_the_right_error(factor, order):
    rng = np.random.default_rng(1)
    at = np.searchsorted(WAVE, (1.0, 2.0, 4.0))
    pulls, chosen = [], []
    for _ in range(300):
        found = fit_scale(*measure(rng, factor), floor=0.0)
        pulls.append((found.scale[at] - factor(WAVE[at])) / found.scale_err[at])
        chosen.append(found.order)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.3
    width = np.std(pulls, axis=0)
    assert (width > 0.8).all() and (width < 1.15).all(), width
    assert np.mean(np.array(chosen) == order) > 0.75


def test_a_faint_spectrum_is_not_scaled_down_by_its_noise():
    rng = np.random.default_rng(2)
    found = [fit_scale(*measure(rng, flat, noise=3.0), 0, floor=0.0) for _ in range(400)]
    scale = np.array([f.scale[100] for f in found])
    pull = (scale - 1.3) / np.array([f.scale_err[100] for f in found])
    assert np.median(scale) == pytest.approx(1.3, abs=0.03)
    assert 0.85 < np.std(pull) < 1.15


def test_bands_half_outside_are_left_out_and_the_floor_holds():
    rng = np.random.default_rng(3)
    wave, flux, err, mask, bands = measure(rng, flat, noise=0.01, band_error=1e-6)
    wild = top_hat("outside", 1e3, 1.0, 5.2, 1.0)
    gap = (wave > 1.9) & (wave < 2.1)
    found = fit_scale(wave, np.where(gap, np.nan, flux), err, mask | gap, [*bands, wild], floor=0.05)
    assert found.n_used == len(bands) - 1  # 1.8 to 2.2 um is half masked
    np.testing.assert_allclose(found.scale, 1.3, rtol=0.01)
    assert found.scale_err[200] > 0.05 * 1.3 / np.sqrt(len(bands))
    with pytest.raises(ValueError, match="no band"):
        fit_scale(wave, flux, err, mask, [wild])


def test_beyond_the_bands_the_error_grows():
    found = fit_scale(*measure(np.random.default_rng(4), sloped, centres=CENTRES[2:5]), max_order=3, floor=0.0)
    assert found.order <= 1
    inner, outer = np.searchsorted(WAVE, (2.0, 5.0))
    assert found.scale_err[outer] > 3 * found.scale_err[inner]


def test_one_band_gives_a_constant():
    wave, flux, err, mask, bands = measure(np.random.default_rng(5), flat, band_error=0.01)
    found = fit_scale(wave, flux, err, mask, bands[3:4], floor=0.0)
    assert found.order == 0
    assert np.ptp(found.scale) == 0
    assert abs(found.scale[0] - 1.3) < 4 * found.scale_err[0] < 0.2


def test_arguments_stay_as_they_are():
    wave, flux, err, mask, bands = measure(np.random.default_rng(6), sloped)
    for values in (wave, flux, err, mask, *(v for b in bands for v in (b.wave, b.transmission))):
        values.flags.writeable = False
    found = fit_scale(wave, flux, err, mask, bands)
    assert np.isfinite(found.scale).all()
    assert (found.scale_err > 0).all()
