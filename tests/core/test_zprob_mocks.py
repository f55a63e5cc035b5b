"""The goals of the probability on a small scale: mock spectra that the calibration has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core.zscan import fit_redshifts
from nirfire.products.template_store import load_templates
from nirfire.simulate.mock_sources import THIRD
from nirfire.simulate.mock_trials import completeness, false_sure, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trials():
    templates = load_templates()
    return run(
        lambda wave, flux, ivar: fit_redshifts(wave, flux, ivar, grating="PRISM", templates=templates),
        "PRISM",
        256,
        77,
        THIRD,
    )


def test_sources_with_two_lines_are_found_and_known_to_be(trials):
    complete, pure = completeness(trials)
    assert trials.with_lines.sum() > 40
    assert complete > 0.87  # 0.95 less two binomial errors
    assert pure > 0.96


def test_blanks_and_wrong_fits_know_it(trials):
    assert (trials.kind == "blank").sum() > 30
    assert false_sure(trials) < 0.04
    wrong = trials.fitted & ~trials.right
    assert trials.probability[wrong].mean() < 0.3


def test_probability_is_the_share_of_right_ones(trials):
    probability, right = trials.probability[trials.fitted], trials.right[trials.fitted]
    expected = np.sqrt(np.sum(probability * (1 - probability))) / probability.size
    assert abs(probability.mean() - right.mean()) < 0.03 + 2 * expected
