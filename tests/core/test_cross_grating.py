"""Spectra of several gratings: known factors come back, and what is joined is what was there."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy.special import ndtr

from nirfire.core.cross_grating import Mode, choose_leaders, join_spectra, matched_pixels, regridded, relative_scales
from nirfire.core.grids import wave_grid
from nirfire.core.lsf import FWHM_TO_SIGMA, pixel_edges, resolving_power

BITS = {"PRISM": 1, "G140M": 2, "G235M": 4, "G395M": 8}
PRIOR = (0.10, 0.05, 0.05)
LINES, WIDTH = (1.1, 1.8, 2.4, 3.1, 3.9, 4.6), 4e-4


@functools.cache
def seen(grating, filter_, lines):
    """Noise-free spectrum of a mode: a continuum and narrow lines, pixel means at its resolution, exactly."""
    wave = wave_grid(grating, filter_).wave
    own = Mode(wave, wave, np.ones(wave.size), resolving_power(grating, wave), BITS[grating])
    flux = 1.0 + 0.3 * wave
    low, high = pixel_edges(wave)
    for centre in LINES:
        sigma = np.hypot(WIDTH * centre, wave * FWHM_TO_SIGMA / own.resolution)
        share = (ndtr((high - centre) / sigma) - ndtr((low - centre) / sigma)) / (high - low)
        flux += lines * WIDTH * centre * np.sqrt(2 * np.pi) * share
    return own, flux


def observe(rng, grating, filter_, sn, *, lines=0.0, factor=None):
    """A mode with noise, `sn` per pixel at 3 uJy, whose flux is the truth over `factor`."""
    own, flux = seen(grating, filter_, lines)
    if factor is not None:
        flux = flux / factor(own.wave)
    err = np.full(flux.shape, 2.0 / sn)
    return own._replace(flux=flux + rng.normal(0, err), ivar=1 / err**2)


def slope(wave):
    """8 % from end to end of G395M."""
    return 1.03 + 0.08 * (wave - 4.07) / 2.4


def test_lines_come_to_the_resolution_of_the_coarser():
    prism, flux = seen("PRISM", "CLEAR", 40.0)
    grating, fine = seen("G395M", "F290LP", 40.0)
    matrix = matched_pixels(prism, grating)
    inside = matrix.sum(axis=1) > 0.9999
    assert inside.sum() > 150
    np.testing.assert_allclose((matrix @ fine)[inside], flux[inside], rtol=3e-3)


@pytest.mark.parametrize(("sn", "lines"), [(20.0, 40.0), (0.7, 0.0)])
def test_known_slopes_come_back_with_the_right_error(sn, lines):
    """Slopes as wide as the prior says; at the higher signal, 8 % are known to a few tenths of a percent."""
    rng = np.random.default_rng(1)
    pulls, errors = [], []
    for _ in range(60):
        offset, tilt = PRIOR[:2] * rng.normal(size=2)

        def factor(wave, offset=offset, tilt=tilt):
            return 1 + offset + tilt * (wave - 4.07) / 1.2

        modes = [observe(rng, "PRISM", "CLEAR", 3 * sn, lines=lines),
                 observe(rng, "G395M", "F290LP", sn, lines=lines, factor=factor)]  # fmt: skip
        scale = relative_scales(modes, 0, PRIOR)[1]
        at = np.searchsorted(modes[1].wave, (3.0, 4.1, 5.2))
        pulls.append((scale.scale[at] - factor(modes[1].wave[at])) / scale.scale_err[at])
        errors.append(scale.scale_err[at])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.4
    assert 0.8 < np.std(pulls) < 1.2
    assert np.median(errors) < (0.004 if sn > 10 else 0.08)


def test_a_slope_of_8_percent_is_found():
    rng = np.random.default_rng(8)
    modes = [observe(rng, "PRISM", "CLEAR", 60.0), observe(rng, "G395M", "F290LP", 20.0, factor=slope)]
    scale = relative_scales(modes, 0, PRIOR)[1]
    assert scale.order == 1
    np.testing.assert_allclose(scale.scale, slope(modes[1].wave), atol=0.01)


def test_a_spoiled_stretch_does_not_count():
    rng = np.random.default_rng(9)
    modes = [observe(rng, "PRISM", "CLEAR", 60.0), observe(rng, "G395M", "F290LP", 20.0, factor=slope)]
    spoiled = modes[1].flux * np.where((modes[1].wave > 4.6) & (modes[1].wave < 5.0), 0.2, 1.0)
    scale = relative_scales([modes[0], modes[1]._replace(flux=spoiled)], 0, PRIOR)[1]
    assert scale.n_used < 24
    np.testing.assert_allclose(scale.scale, slope(modes[1].wave), atol=0.015)


def test_without_signal_the_prior_stays():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(20):
        modes = [observe(rng, "PRISM", "CLEAR", 0.01), observe(rng, "G395M", "F290LP", 0.01, factor=slope)]
        scale = relative_scales(modes, 0, PRIOR)[1]
        found.append(((scale.scale - 1).mean(), scale.scale_err.mean()))
    offset, error = np.transpose(found)
    assert np.std(offset) < 0.1
    assert 0.08 < np.median(error) < 0.25


def test_gratings_hang_together_without_a_prism():
    rng = np.random.default_rng(3)
    names = (("G140M", "F100LP"), ("G235M", "F170LP"), ("G395M", "F290LP"))
    factors = (1.06, 1.0, 0.93)
    modes = [
        observe(rng, *n, 30.0, factor=lambda w, f=f: np.full(w.shape, f)) for n, f in zip(names, factors, strict=True)
    ]
    scales = relative_scales(modes, 1, PRIOR)
    for scale, factor in zip(scales, factors, strict=True):
        middle = scale.scale.size // 2
        assert abs(scale.scale[middle] - factor) < max(3 * scale.scale_err[middle], 1e-12)
    far = relative_scales([modes[0], modes[2]], 0, PRIOR)[1]
    assert (far.n_used, far.scale[0], far.scale_err[0]) == (0, 1.0, PRIOR[0])
    chained = relative_scales(modes, 0, PRIOR)[2]
    assert (chained.scale_err >= 0.9 * scales[2].scale_err).all(), "the error of the link counts"


def test_the_joint_spectrum_is_the_truth_at_the_resolution_it_tells():
    rng = np.random.default_rng(4)
    modes = [observe(rng, "PRISM", "CLEAR", 60.0, lines=40.0),
             observe(rng, "G395M", "F290LP", 20.0, lines=40.0, factor=slope)]  # fmt: skip
    joint = join_spectra(modes, reference=0)
    assert (np.diff(joint.wave) > 0).all()
    assert set(joint.bits) == {1, 8}
    for bit, (_, flux) in ((1, seen("PRISM", "CLEAR", 40.0)), (8, seen("G395M", "F290LP", 40.0))):
        mine = joint.bits == bit
        mode = modes[bit > 1]
        true = flux[np.searchsorted(mode.wave, joint.wave[mine])]
        pull = (joint.flux[mine] - true) * np.sqrt(joint.ivar[mine])
        assert abs(np.mean(pull)) < 0.3
        assert 0.9 < np.std(pull) < 1.1
        np.testing.assert_allclose(
            joint.resolution[mine], mode.resolution[np.searchsorted(mode.wave, joint.wave[mine])]
        )
    assert (joint.bits[joint.wave > 3.0] == 8).mean() > 0.95
    assert (joint.bits[joint.wave < 2.8] == 1).all()


def test_a_faint_grating_gives_way_except_about_its_lines():
    rng = np.random.default_rng(5)
    modes = [observe(rng, "PRISM", "CLEAR", 3.0), observe(rng, "G395M", "F290LP", 0.3)]
    assert set(choose_leaders(modes, 3.0).values()) == {0}
    modes[1] = observe(rng, "G395M", "F290LP", 0.3, lines=250.0)
    leaders = choose_leaders(modes, 3.0)
    block = {wave: int(np.floor(np.log(wave) / 0.02)) for wave in (3.5, 3.9, 4.6)}
    assert [leaders[b] for b in block.values()] == [0, 1, 1]


def test_spectra_of_like_resolution_are_averaged_and_a_gap_is_filled():
    rng = np.random.default_rng(6)
    one, two = (observe(rng, "G395M", "F290LP", 10.0) for _ in range(2))
    gap = (one.wave > 3.6) & (one.wave < 4.0)
    one = one._replace(ivar=np.where(gap, 0, one.ivar), flux=np.where(gap, 0, one.flux))
    two = two._replace(bit=16)
    joint = join_spectra([one, two], reference=0, prior=(1e-6,))
    np.testing.assert_allclose(joint.wave, one.wave)
    np.testing.assert_allclose(joint.ivar, one.ivar + two.ivar, rtol=1e-4)
    assert (joint.bits[~gap] == 24).all()
    assert (joint.bits[gap] == 16).all()


def test_regridded_keeps_flux_and_knows_its_noise():
    mode = Mode(np.arange(1.0, 9.0), np.arange(8.0), np.array([1.0, 4, 4, 0, 4, 4, 4, 4]), np.full(8, 100.0), 1)
    flux, ivar = regridded(mode, np.array([1.0, 3.0, 6.0]), np.array([2.0, 5.0, 7.5]))
    np.testing.assert_allclose(flux, [0.5, 0, (0.5 * 5 + 6) / 1.5])
    np.testing.assert_allclose(ivar, [1 / (0.25 * (1 + 0.25)), 0, 1 / (0.25 * (0.25 + 1) / 2.25)])


def test_arguments_stay_as_they_are():
    rng = np.random.default_rng(7)
    modes = [observe(rng, "PRISM", "CLEAR", 9.0), observe(rng, "G395M", "F290LP", 3.0)]
    for values in (v for mode in modes for v in mode[:4]):
        values.flags.writeable = False
    joint = join_spectra(modes, reference=0)
    assert all(np.isfinite(values).all() for values in joint[:7])
