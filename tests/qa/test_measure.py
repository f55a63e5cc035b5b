"""Flux ratios and line significance against known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nirfire.products.spectrum import Spectrum
from nirfire.qa.measure import BIN_PIXELS, line_signal_to_noise, ratio_bins
from nirfire.qa.truth import TrueSource
from nirfire.simulate import lsf


def flat(wave, flux, err):
    shape = wave.shape
    return Spectrum(
        wave, np.full(shape, flux), np.full(shape, err), np.zeros(shape, bool), meta={"GRATING": ("PRISM", "")}
    )


def source(wave, flux, sigma=0.0):
    lines = [np.atleast_1d(np.asarray(a, dtype=float)) for a in (wave, flux, sigma)]
    return TrueSource(1, "galaxy", 3.0, True, True, *lines, tuple(f"line{k}" for k in range(lines[0].size)))


def test_a_known_factor_is_found(wave):
    bins = ratio_bins(flat(wave, 0.9, 0.01), np.ones(wave.shape))
    assert bins.used.all()
    np.testing.assert_allclose(bins.ratio, 0.9)
    np.testing.assert_allclose(bins.error, 0.01 / np.sqrt(BIN_PIXELS))
    assert bins.median_deviation == pytest.approx(0.1)


def test_bins_are_chosen_by_truth_and_error_not_by_flux(wave):
    truth = np.where(wave < 2.0, 1.0, 0.01)
    spectrum = flat(wave, 50.0, 0.05)  # wildly bright where the truth is faint
    bins = ratio_bins(spectrum, truth)
    assert not bins.used[bins.wave > 2.3].any()
    assert bins.used[bins.wave < 1.8].all()


def test_masked_pixels_do_not_count(wave):
    spectrum = flat(wave, 1.0, 0.01)
    spectrum.flux[100:120] = 1e6
    spectrum.mask[100:120] = True
    np.testing.assert_allclose(ratio_bins(spectrum, np.ones(wave.shape)).ratio, 1.0)


def test_nothing_left_is_no_error(wave):
    spectrum = replace(flat(wave, np.nan, np.nan), mask=np.ones(wave.shape, bool))
    bins = ratio_bins(spectrum, np.ones(wave.shape))
    assert bins.ratio.size == 0
    assert np.isnan(bins.median_deviation)


def test_line_significance_is_flux_over_error():
    """A line of flux F on n pixels of width w and error e: F c^-1 lambda^2 0.9545 / (e w sqrt(n))."""
    wave = np.arange(2.0, 3.0, 0.002)
    err, at = 0.05, 2.5
    half = 2 * float(lsf.sigma(at, "PRISM"))
    n = int((np.abs(wave - at) <= half).sum())
    expected = 5.0 * 0.9545 / (err * 1e-29 * 2.99792458e14 * 0.002 / at**2 * np.sqrt(n) * 1e18)
    found, name = line_signal_to_noise(flat(wave, 1.0, err), source(at, 5.0))
    assert name == "line0"
    assert found == pytest.approx(expected, rel=0.01)


def test_a_broad_line_spreads_over_more_noise():
    wave = np.arange(2.0, 3.0, 0.002)
    spectrum = flat(wave, 1.0, 0.05)
    narrow, _ = line_signal_to_noise(spectrum, source(2.5, 5.0))
    broad, _ = line_signal_to_noise(spectrum, source(2.5, 5.0, 3000.0))
    assert broad < 0.8 * narrow


def test_lines_off_the_spectrum_or_masked_do_not_count():
    wave = np.arange(2.0, 3.0, 0.002)
    spectrum = flat(wave, 1.0, 0.05)
    spectrum.mask[np.abs(wave - 2.5) < 0.01] = True
    assert line_signal_to_noise(spectrum, source([2.5, 4.0], [5.0, 50.0], [0.0, 0.0])) == (0.0, "")


def test_the_truth_is_averaged_over_pixels_without_loss(truth_folder):
    from nirfire.qa.truth import Truth

    truth = Truth.read(truth_folder)
    wave, fnu = truth.spectra.of(103)
    coarse = np.linspace(1.0, 4.0, 40)
    binned = truth.on_grid(103, coarse, "PRISM")
    step = coarse[1] - coarse[0]
    fine = np.linspace(coarse[0] - step / 2, coarse[-1] + step / 2, 200001)
    expected = np.trapezoid(np.interp(fine, wave, fnu), fine)
    assert (binned * step).sum() == pytest.approx(expected, rel=2e-4)


def test_the_truth_belongs_to_one_disperser(truth_folder, wave):
    from nirfire.qa.truth import Truth

    truth = Truth.read(truth_folder)
    assert truth.on_grid(103, wave, "G395M") is None
    assert truth.on_grid(999, wave, "PRISM") is None
    assert truth.of(101).has_redshift is False
    assert truth.of(103).z == 3.0
