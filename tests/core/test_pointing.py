"""One offset and rotation for all sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.pointing import ROLL, Frame, Shifts, X, Y, fit_pointing, significant_pointing

PIVOT = np.array([378.6, -428.4])
ANGLE = np.deg2rad(41.4)
AXES = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
PER_PITCH = AXES * [0.268, 0.529]


def survey(
    truth: tuple[float, float, float], n: int = 12, seed: int = 1, *, scatter: float = 0.0, err: float = 0.002
) -> Shifts:
    """Sources all over the MSA, moved by (x, y [arcsec], turn [rad]), by errors and a scatter."""
    rng = np.random.default_rng(seed)
    place = PIVOT + rng.uniform(-100, 100, (n, 2)) @ AXES.T
    away = place - PIVOT
    moved = AXES @ np.array(truth[:2]) + truth[2] * np.column_stack([-away[:, 1], away[:, 0]])
    along = moved @ AXES + rng.normal(0, np.hypot(err, scatter), (n, 2))
    errors = np.full((n, 2), err) / [0.268, 0.529]
    made = Shifts(place, np.broadcast_to(PER_PITCH, (n, 2, 2)).copy(), along / [0.268, 0.529], errors)
    for array in (made.place, made.per_pitch, made.shift, made.err):
        array.flags.writeable = False
    return made


def frame(shifts: Shifts) -> Frame:
    return Frame.of(shifts.per_pitch, PIVOT)


@pytest.mark.parametrize("truth", [(0.02, -0.015, 4e-5), (-0.1, 0.03, -1e-4), (0.0, 0.0, 0.0)])
def test_offset_and_turn_are_found(truth: tuple[float, float, float]) -> None:
    shifts = survey(truth)
    fit = fit_pointing(shifts, frame(shifts))
    assert fit.fitted.all()
    assert np.all(np.abs(fit.value - truth) < 4 * fit.error)
    assert np.all(fit.error < [0.0015, 0.0015, 1.5e-5])
    assert np.allclose(fit.rms, 0.002, atol=0.001)


def test_errors_are_honest_where_sources_scatter() -> None:
    truth, pulls = (0.02, -0.015, 4e-5), []
    for seed in range(80):
        shifts = survey(truth, 10, seed, scatter=0.008)
        fit = fit_pointing(shifts, frame(shifts))
        pulls.append((fit.value - truth) / fit.error)
    assert np.all(np.abs(np.std(pulls, axis=0) - 1) < 0.35)
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 0.3)


def test_bad_sources_are_left_out() -> None:
    shifts = survey((0.02, -0.015, 0.0))
    wrong = shifts.shift.copy()
    wrong[3] += (0.5, -0.4)
    wrong[7, 1] += 0.3
    fit = fit_pointing(replace(shifts, shift=wrong), frame(shifts))
    assert not fit.used[3].any() and not fit.used[7, 1] and fit.used[7, 0]
    assert np.all(np.abs(fit.value - (0.02, -0.015, 0.0)) < (0.003, 0.003, 3e-5))


def test_without_x_the_rest_is_found() -> None:
    shifts = survey((0.02, -0.015, 5e-5))
    err = shifts.err.copy()
    err[:, X] = np.inf
    fit = fit_pointing(replace(shifts, err=err), frame(shifts))
    assert fit.fitted.tolist() == [False, True, True]
    assert fit.value[X] == 0 and np.isinf(fit.error[X])
    assert abs(fit.value[Y] + 0.015) < 0.003
    assert abs(fit.value[ROLL] - 5e-5) < 3e-5
    assert np.isnan(fit.residual[:, X]).all()


def test_few_sources_tell_less() -> None:
    three = survey((0.02, -0.015, 0.0), 3)
    assert fit_pointing(three, frame(three)).fitted.tolist() == [True, True, False]
    two = survey((0.02, -0.015, 0.0), 2)
    fit = fit_pointing(two, frame(two))
    assert not fit.fitted.any() and not fit.value.any()
    assert significant_pointing(two, frame(two)) is None


def test_only_what_is_significant_is_kept() -> None:
    assert significant_pointing(survey((0.0, 0.0, 0.0)), frame(survey((0.0, 0.0, 0.0)))) is None
    small = survey((0.003, 0.0, 0.0), 40, err=0.001)  # beyond 3 sigma, but too small to matter
    assert significant_pointing(small, frame(small)) is None
    one = survey((0.03, 0.0, 0.0))
    kept = significant_pointing(one, frame(one))
    assert kept is not None and kept.fitted.tolist() == [True, False, False]
    turn = survey((0.0, 0.0, 2e-4))
    kept = significant_pointing(turn, frame(turn))
    assert kept is not None and kept.fitted.tolist() == [False, False, True]


def test_any_source_is_moved_as_those_measured() -> None:
    truth = (0.02, -0.015, 1e-4)
    shifts = survey(truth, err=0.0005)
    fit = fit_pointing(shifts, frame(shifts))
    exact = survey(truth, 5, seed=9, err=0.0)
    moved, err = fit.shift(exact.place, exact.per_pitch)
    assert np.all(np.abs(moved - exact.shift) * (0.268, 0.529) < 0.002)
    assert np.all(err > 0)


def test_axes_are_those_of_the_shutters() -> None:
    shifts = survey((0.0, 0.0, 0.0))
    assert np.allclose(frame(shifts).axes, AXES)
    mirrored = Frame.of(shifts.per_pitch * [-1.0, 1.0], PIVOT)
    assert np.allclose(mirrored.axes, AXES * [-1.0, 1.0])
