"""The published consensus, rule by rule."""

import numpy as np
import pytest

from nirfire.core.consensus import Scan, consensus

Z = np.linspace(0.0, 10.0, 2001)


def scan(grating, *minima, depth=200.0, n_pix=100):
    """A curve with minima at (z, chi2 above the best)."""
    chi2 = np.full(Z.size, 500.0 + depth)
    for z, above in minima:
        chi2 = np.minimum(chi2, 500.0 + above + depth * np.minimum(((Z - z) / 0.05) ** 2, 1.0))
    return Scan(grating, float(Z[np.argmin(chi2)]), Z, chi2, n_pix)


def test_one_grating_speaks_for_itself():
    for grating in ("PRISM", "G395M"):
        found = consensus([scan(grating, (3.0, 0.0))])
        assert (found.said_by, found.z) == (grating, pytest.approx(3.0))
    with pytest.raises(ValueError, match="no scan"):
        consensus([])


def test_a_grating_overrules_the_prism_only_near_it():
    prism = scan("PRISM", (3.0, 0.0))
    assert consensus([prism, scan("G395M", (3.06, 0.0))]).z == pytest.approx(3.06)
    far = consensus([scan("G395M", (5.0, 0.0)), prism])
    assert (far.said_by, far.z) == ("PRISM", pytest.approx(3.0))


def test_gratings_meet_in_a_common_minimum():
    """Each is best somewhere else, and both know z = 4 as second best."""
    both = [scan("G235M", (2.0, 0.0), (4.0, 8.0)), scan("G395M", (7.0, 0.0), (4.0, 6.0))]
    found = consensus(both)
    assert (found.said_by, found.z) == ("GRATINGS", pytest.approx(4.0))
    assert consensus([*both, scan("PRISM", (4.05, 0.0))]).z == pytest.approx(4.0)
    assert consensus([*both, scan("PRISM", (8.0, 0.0))]).said_by == "PRISM"


def test_flat_curves_say_nothing():
    flat = scan("G395H", (7.0, 0.0), depth=3.0)
    found = consensus([flat, scan("G140M", (2.0, 0.0))])
    assert (found.said_by, found.z) == ("G140M", pytest.approx(2.0))
    other = scan("G140M", (2.0, 0.0), depth=3.0)
    assert consensus([other, flat]).said_by == "G395H"  # the first of the priority


def test_equal_scores_go_by_the_number_of_curves_and_then_by_priority():
    narrow = Z < 5.0
    mine = scan("G140M", (2.0, 0.0), (6.0, 0.0))
    short = scan("G235M", (2.0, 0.0))
    short = Scan("G235M", 2.0, Z[narrow], short.chi2[narrow], 100)
    assert consensus([mine, short]).z == pytest.approx(2.0)  # 6.0 is known to one curve only
    first, second = scan("G395M", (3.0, 0.0)), scan("G140M", (7.0, 0.0))
    assert consensus([second, first]).z == pytest.approx(3.0)
