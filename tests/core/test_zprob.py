"""The calibrated probability: its measures, its monotony, its fit."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core import zprob, zprob_fit
from nirfire.core.zprob import Evidence, Features

Z = np.linspace(0, 10, 20001)


def curve(*minima, level=500.0):
    """chi2(z) with a parabola of width 0.001 (1 + z) and given depth at each redshift."""
    chi2 = np.full(Z.shape, level)
    for z, depth in minima:
        chi2 = np.minimum(chi2, level - depth + ((Z - z) / (0.001 * (1 + z))) ** 2)
    return chi2


def evidence(z=3.0, chi2=400.0, dof=400, star=900.0, rough=1.0):
    gain = np.zeros(dof)
    gain[[50, 51, 52]], gain[300], gain[200] = (10.0, 40.0, 10.0), 40.0, 15.0
    residual = rough * np.random.default_rng(0).normal(size=4001)
    return Evidence(z, chi2, dof, 600.0, star, 2, gain, residual, np.array([12.0, 3.0, np.nan, 8.0, -2.0]))


def test_measures_of_a_clear_case():
    found = zprob.features(Z, curve((3.0, 100.0), (7.0, 40.0)), evidence())
    assert found.least == pytest.approx(np.log1p(55.0))  # 60 to the other redshift, 40 + 15 beyond the best line
    assert found.beyond == pytest.approx(np.log1p(15.0))
    assert found.star == pytest.approx(np.arcsinh(500.0))
    assert found.lines == found.least  # the second line is good enough: 64 - 9 = 55
    assert found.negative == pytest.approx(np.arcsinh(-2.0))
    assert found.rough == pytest.approx(0.0, abs=0.05)


def test_a_close_second_lowers_the_probability():
    clear = zprob.features(Z, curve((3.0, 100.0), (7.0, 10.0)), evidence())
    close = zprob.features(Z, curve((3.0, 100.0), (7.0, 99.0)), evidence())
    assert close.least == pytest.approx(np.log1p(1.0), abs=0.02)
    for grating in ("PRISM", "G395M", "G235H"):
        assert zprob.probability(close, grating) < zprob.probability(clear, grating)


def test_a_bad_fit_counts_for_less():
    good = zprob.features(Z, curve((3.0, 60.0)), evidence())
    bad = zprob.features(Z, curve((3.0, 60.0)) + 3600.0, evidence(chi2=4000.0, star=4500.0, rough=3.0))
    assert bad.rough == pytest.approx(np.log(9.0), abs=0.05)
    assert bad.misfit == pytest.approx(np.log(10.0))
    assert bad.least < good.least - 1.5
    assert zprob.probability(bad, "PRISM") < zprob.probability(good, "PRISM")


def test_one_line_is_no_support():
    one = evidence()._replace(line_snr=np.array([30.0, 2.9, -1.0]))
    two = evidence()._replace(line_snr=np.array([30.0, 4.0, -1.0]))
    assert zprob.features(Z, curve((3.0, 100.0)), one).lines == 0
    assert zprob.features(Z, curve((3.0, 100.0)), two).lines == pytest.approx(np.log1p(16.0 - 9.0))


def test_nothing_known_of_stars_and_lines_and_a_scan_without_an_elsewhere():
    bare = Evidence(3.0, 10.0, 10, 10.0, np.nan, 0, np.zeros(10))
    assert zprob.features(np.array([3.0, 3.001]), np.array([10.0, 10.0]), bare) == Features(*[0.0] * 7)


def test_evidence_beyond_the_best_elements():
    assert zprob.beyond(np.array([0.0, 0, 5, 0, 0, 0, 0, 0, 0])) == 0
    gain = np.array([0.0, 0, 5, 9, 5, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 3])
    assert zprob.beyond(gain) == 10
    assert zprob.beyond(gain, 2) == 3
    assert gain.sum() == 29
    assert zprob.beyond(np.array([3.0, 3.0])) == 0


def test_probability_is_monotone_and_within_bounds():
    rng = np.random.default_rng(0)
    for _ in range(50):
        one = Features(*rng.normal(2, 2, 7))
        for grating in ("PRISM", "G140M", "G395H"):
            p = zprob.probability(one, grating)
            assert 0 < p < 1
            for k, highest in enumerate(zprob_fit.HIGHEST):
                more = list(one)
                more[k] += np.sign(highest)
                assert zprob.probability(Features(*more), grating) >= p


def test_evidence_beyond_the_best_element():
    assert zprob.beyond(np.array([0.0, 0, 5, 0, 0, 0, 0, 0, 0])) == 0
    assert zprob.beyond(np.array([0.0, 0, 5, 9, 5, 0, 0, 0, 0, 7])) == 7
    assert zprob.beyond(np.array([3.0, 3.0])) == 0


def test_family():
    assert [zprob.family(g) for g in ("PRISM", "prism", "G395M", "g140h")] == ["PRISM", "PRISM", "M", "H"]


def scans(n, seed):
    """Measures and outcomes with a known probability."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (n, 7))
    truth = 1 / (1 + np.exp(-(0.5 + values @ np.array([1.0, 0.7, 0.0, 0.3, 0.5, -1.5, -1.2]))))
    return values, truth, rng.random(n) < truth


def test_the_fit_finds_the_logistic_and_is_reliable():
    values, _, right = scans(4000, 1)
    calibration = zprob_fit.calibrate(values, right)
    np.testing.assert_allclose(calibration.weights, [1.0, 0.7, 0.0, 0.3, 0.5, -1.5, -1.2], atol=0.12)
    new, truth, _ = scans(2000, 2)
    found = np.array([zprob.calibrated(Features(*row), calibration) for row in new])
    assert np.abs(found - truth).mean() < 0.03
    assert np.all(np.diff(calibration.logit) >= 0)


def test_the_fit_keeps_the_signs():
    values, _, right = scans(1000, 3)
    _, weights = zprob_fit.fit_logistic(-values, right)
    assert np.all(weights[:5] >= 0)
    assert np.all(weights[5:] <= -1 + 1e-9)


def test_the_line_bends_a_score_that_is_too_sure():
    rng = np.random.default_rng(4)
    score = rng.normal(0, 3, 20000)
    logit = zprob_fit.fit_line(score, rng.random(score.size) < 1 / (1 + np.exp(-0.5 * score)))
    assert np.all(np.diff(logit) >= 0)
    np.testing.assert_allclose(logit[1:-1], 0.5 * np.array([-4.0, -2, 0, 2, 4]), atol=0.2)
