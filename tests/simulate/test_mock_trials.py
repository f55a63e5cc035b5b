"""Counting right redshifts, with fits that are known to be right or wrong."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from nirfire.core.zprob import Features
from nirfire.qa.reliability import reliability_figure
from nirfire.simulate import mock_trials, mocks
from nirfire.simulate.mock_sources import FIRST


def result(z, probability):
    nothing = Features(*[0.0] * 7)
    return SimpleNamespace(z_best=z, z_err=0.001, probability=probability, chi2_min=300.0, dof=200, warning=4,
                           features=nothing)  # fmt: skip


@pytest.fixture(scope="module")
def trials():
    """All redshifts off by 0.005 (1 + z) and sure of it, but for every third, which is wrong and in doubt."""
    drawn, calls = mocks.draw("PRISM", 45, 8), []

    def fit(wave, flux, ivar):
        assert flux.shape == ivar.shape == (flux.shape[0], wave.size)
        assert np.all(np.isfinite(flux))
        out = []
        for _ in flux:
            i = len(calls)
            calls.append(i)
            z = np.nan_to_num(drawn.z[i])
            out.append(result(z + 0.5, 0.3) if i % 3 == 0 else result(z + 0.005 * (1 + z), 0.95))
        out[-1] = ValueError("too few pixels")
        return out

    return mock_trials.run(fit, "PRISM", 45, 8, FIRST)


def test_right_and_wrong(trials):
    real = np.isfinite(trials.z) & (trials.kind != "dwarf")
    index = np.arange(45)
    expected = real & (index % 3 != 0) & trials.fitted
    np.testing.assert_array_equal(trials.right, expected)
    assert np.sum(~trials.fitted) == 1
    np.testing.assert_array_equal(trials.sure, (index % 3 != 0) & trials.fitted)
    np.testing.assert_allclose(trials.chi2_dof[trials.fitted], 1.5)
    assert np.all(trials.warning[trials.fitted] == 4)


def test_completeness_and_purity(trials):
    complete, pure = mock_trials.completeness(trials)
    chosen = trials.with_lines
    assert chosen.sum() > 5
    assert complete == pytest.approx((trials.right & chosen).sum() / chosen.sum())
    assert pure == 1.0
    assert 0.5 < mock_trials.false_sure(trials) < 0.8
    assert mock_trials.false_sure(trials, "nothing of the kind") == 0.0


def test_reliability_bins():
    probability = np.array([0.0, 0.1, 0.15, 0.5, 0.97, 1.0])
    right = np.array([False, False, True, True, True, True])
    bins = mock_trials.reliability(probability, right)
    np.testing.assert_array_equal(bins.number, [1, 2, 1, 2])
    np.testing.assert_allclose(bins.mean, [0.0, 0.125, 0.5, 0.985])
    np.testing.assert_allclose(bins.share, [0.0, 0.5, 1.0, 1.0])


def test_figure(trials, tmp_path):
    png = reliability_figure({"PRISM": trials, "M": trials}, tmp_path / "reliability.png")
    assert png.read_bytes()[:4] == b"\x89PNG"
