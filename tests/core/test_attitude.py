"""Where the focal plane looks, held against what flight headers say of it."""

import numpy as np
import pytest

from nirfire.core.attitude import Attitude, mean_angle, mean_direction, position_angle, separation
from nirfire.simulate.optics import Pointing, load_optics

# RA_REF, DEC_REF, ROLL_REF, V2_REF, V3_REF of jw01210001001_11101_00001_nrs1, and its RA_V1, DEC_V1, PA_V3
FLIGHT = Attitude(53.1410916104911, -27.79159354885499, -38.97457220320062, 378.563202, -428.402832)
V1, PA_V3 = (52.96411558412523, -27.76510758004405), 321.1077987123105


def test_flight_header():
    ra, dec = FLIGHT.sky(0.0, 0.0)
    assert separation(ra, dec, *V1) < 1e-6
    above = FLIGHT.sky(0.0, 1.0)
    assert position_angle(ra, dec, *above) == pytest.approx(PA_V3, abs=1e-6)


def test_reference_point_and_roll():
    ra, dec = FLIGHT.sky(FLIGHT.v2, FLIGHT.v3)
    assert separation(ra, dec, FLIGHT.ra, FLIGHT.dec) < 1e-6
    north = FLIGHT.sky(FLIGHT.v2, FLIGHT.v3 + 0.1)
    assert position_angle(ra, dec, *north) == pytest.approx(FLIGHT.roll % 360, abs=1e-4)
    assert separation(ra, dec, *north) == pytest.approx(0.1, abs=1e-8)


def test_agrees_with_the_simulator():
    pointing = Pointing(0.01, -89.2, 312.0)
    attitude = Attitude(0.01, -89.2, 312.0, pointing.v2_ref, pointing.v3_ref)
    v2, v3 = np.meshgrid(np.linspace(280, 480, 5), np.linspace(-530, -330, 5))
    theirs = load_optics().sky(v2, v3, pointing)
    assert separation(*attitude.sky(v2, v3), *theirs).max() < 1e-7
    assert (attitude.sky(v2, v3)[0] >= 0).all()


def test_aberration_scales_about_the_reference_point():
    moved = Attitude(10.0, 20.0, 30.0, 378.5, -428.4, scale=1.0001)
    still = Attitude(10.0, 20.0, 30.0, 378.5, -428.4)
    at = moved.sky(378.5, -428.4)
    assert separation(*at, 10.0, 20.0) < 1e-6
    assert separation(*moved.sky(478.5, -428.4), *still.sky(478.51, -428.4)) < 1e-6


def test_angles_on_the_sphere():
    assert separation(359.9999, 0.0, 0.0001, 0.0) == pytest.approx(0.72)
    assert position_angle(10.0, 0.0, 10.1, 0.0) == pytest.approx(90.0)
    assert position_angle(0.0, 0.0, 0.0, -1.0) == pytest.approx(180.0)
    assert mean_angle([359.0, 2.0]) == pytest.approx(0.5)
    ra, dec = mean_direction([359.9, 0.1], [10.0, 10.0])
    assert (min(ra, 360 - ra), dec) == pytest.approx((0.0, 10.0), abs=1e-4)
