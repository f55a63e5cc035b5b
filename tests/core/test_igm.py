import numpy as np
import pytest

from nirfire.core import igm


def test_transparent_above_lyman_alpha_and_at_z_zero():
    wave = np.array([0.05, 0.09, 0.1, 0.1216, 0.2, 1.0])
    assert np.all(igm.transmission(wave, 0.0) == 1.0)
    assert np.all(igm.transmission(wave[3:], 7.0) == 1.0)
    assert np.all((igm.transmission(wave, 3.0) >= 0) & (igm.transmission(wave, 3.0) <= 1))


def test_lyman_alpha_forest_equals_the_closed_form():
    # between Lyman-beta and Lyman-alpha only j = 2 contributes: Inoue et al. 2014, eqs. 21 and 22
    wave, z = 0.115, 4.0
    x = wave * (1 + z) / 0.121567
    expected = 2.354e-3 * x**3.7 + 5.390e-5 * x**3.0
    assert igm.series_optical_depth(np.array([wave * (1 + z)]), z)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("z", "low", "high"), [(2.0, 0.75, 0.92), (3.0, 0.60, 0.80), (4.0, 0.35, 0.60), (5.0, 0.10, 0.30), (6.0, 0.0, 0.1)]
)
def test_mean_forest_transmission_follows_the_observed_decline(z, low, high):
    assert low < igm.transmission(np.linspace(0.106, 0.119, 50), z).mean() < high


def test_optical_depth_grows_with_redshift_below_the_limit():
    wave = np.array([0.085, 0.088, 0.0905])
    depth = [igm.continuum_optical_depth(wave * (1 + z), z) for z in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert np.all(np.diff(depth, axis=0) > 0)
    assert np.all(igm.continuum_optical_depth(np.array([0.5, 2.0]), 3.0)[1:] == 0)


def test_damping_wing_absorbs_redwards_and_only_at_high_z():
    wave = np.array([0.1220, 0.1240, 0.1300, 0.2])
    wing = igm.damping_wing(wave, 10.0)
    assert wing[0] > wing[1] > wing[2] > 0 and wing[3] == 0
    assert np.all(igm.damping_wing(wave, 5.0) == 0)
    # column 10^21.59: the Lorentzian wing at 0.1240 um, to the factor (nu / nu_a)^4
    lorentz = 10**21.59 * 0.4164 * 0.02654 * 6.265e8 / (4 * np.pi**2) / (2.466e15 * (1 - 0.121567 / 0.1240)) ** 2
    assert wing[1] == pytest.approx(lorentz, rel=0.12)
