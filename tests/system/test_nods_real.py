"""Nod subtraction of real cutouts: blank rows are left without signal, and two of three nods tell what all three do."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from nirfire.products.naming import BKGSUB, CAL, ExposureName
from nirfire.products.slitcal import SlitCal
from nirfire.qa.nod_figure import Rows, blank_pixels, nods_rows
from nirfire.tasks.adopt import adopt
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.settings import NodsubSettings

OBJECTS = {"ceers_933": 933, "rubies_44597": 44597}
BOX = 2.0  # px to each side of the source's row
pytestmark = pytest.mark.realdata


class Case(NamedTuple):
    """One object: its three nods, where it lies in them, and every group of them nod-subtracted."""

    cals: list[Path]
    rows: dict[Path, Rows]
    groups: dict[tuple[Path, ...], list[SlitCal]]

    def blank_pulls(self, group: tuple[Path, ...]) -> np.ndarray:
        """Pulls of pixels far from the source in all three nods."""
        pulls = []
        for cal, slit in zip(group, self.groups[group], strict=True):
            blank = blank_pixels(slit, self.rows[cal])
            pulls.append(slit.sci[blank] / slit.err[blank])
        return np.concatenate(pulls)


@pytest.fixture(params=["ceers_933", pytest.param("rubies_44597", marks=pytest.mark.slow)], scope="module")
def case(request, real_data, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    cals = []
    for path in sorted((real_data / "nods" / request.param).glob("*phot*.fits")):
        cals.append(folder / f"{ExposureName.from_path(path)}_{OBJECTS[request.param]}{CAL}")
        adopt(path, cals[-1])
    groups = {group: subtract(group) for n in (2, 3) for group in combinations(cals, n)}
    return Case(cals, dict(zip(cals, nods_rows(cals), strict=True)), groups)


def subtract(cals: tuple[Path, ...]) -> list[SlitCal]:
    outputs = [path.with_name(path.name.replace(CAL, BKGSUB)) for path in cals]
    nodsub(list(cals), outputs, NodsubSettings())
    return [SlitCal.read(path) for path in outputs]


def width(values: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def spectrum(slit: SlitCal, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum over the rows near the source, and its variance."""
    near = np.abs(np.arange(slit.shape[0])[:, None] - row) < BOX
    whole = ~(near & slit.bad).any(axis=0)
    sums = [np.where(near, np.nan_to_num(a), 0.0).sum(axis=0) for a in (slit.sci, slit.err.astype(float) ** 2)]
    return np.where(whole, sums[0], np.nan), np.where(whole, sums[1], np.nan)


def test_blank_rows_hold_nothing(case):
    assert len(case.cals) == 3
    for group in case.groups:
        pulls = case.blank_pulls(group)
        assert pulls.size > 1000 * len(group)
        assert abs(np.mean(pulls)) < 0.06 * np.std(pulls)
        assert np.mean(np.abs(pulls) > 5 * width(pulls)) < 0.005
        assert 0.5 < width(pulls) < 1.5  # the errors are those that the cutouts came with


def test_two_of_three_nods_agree_with_all_three_within_the_errors(case):
    everything = tuple(case.cals)
    whole = dict(zip(everything, case.groups[everything], strict=True))
    honest, pulls = width(case.blank_pulls(everything)), []
    for pair in combinations(case.cals, 2):
        for cal, slit in zip(pair, case.groups[pair], strict=True):
            row = case.rows[cal].own
            (few, v_few), (every, v_every) = spectrum(slit, row), spectrum(whole[cal], row)
            more = np.where(v_few > v_every, v_few - v_every, np.nan)
            pull = (few - every) / np.sqrt(more)  # the error of the difference of nested estimates
            pulls.append(pull[np.isfinite(pull)])
    together = np.concatenate(pulls)
    assert together.size > 1000
    assert abs(np.median(together)) < 0.1
    assert width(together) < 1.3 * honest
    assert np.mean(np.abs(together) > 5 * honest) < 0.02
