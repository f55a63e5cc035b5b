"""The figure of a source's shutters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nirfire.errors import DataError
from nirfire.qa.canvas import COLOURS
from nirfire.qa.shutter_figure import shutter_figure
from tests.products.test_shutters import shutter_table


def shown(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def pixels_like(image: np.ndarray, colour: str) -> int:
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return int((np.abs(image - wanted).max(axis=2) < 12).sum())


def test_closed_shutters_are_red(tmp_path, quick_disk):
    for source in (7, 8):
        shutter_figure(shutter_table(), source, tmp_path / f"{source}.png")
    fine, stuck = (pixels_like(shown(tmp_path / f"{s}.png"), COLOURS["model"]) for s in (7, 8))
    assert stuck > 3 * fine


def test_no_information_is_drawn_too(tmp_path, quick_disk):
    table = shutter_table()
    table.levels["error"][4:8] = np.inf
    table.images["image"][2] = np.nan
    shutter_figure(table, 7, tmp_path / "7.png")
    assert (tmp_path / "7.png").stat().st_size > 5000


def test_both_detectors(tmp_path, quick_disk):
    table = shutter_table()
    both = replace(table, levels=table.levels.copy(), images=table.images.copy())
    for part in (both.levels, both.images):
        part["exposure"][::2] = [str(n).replace("nrs1", "nrs2") for n in part["exposure"][::2]]
    for name, what in (("one", table), ("two", both)):
        shutter_figure(what, 8, tmp_path / f"{name}.png")
    assert shown(tmp_path / "two.png").shape[1] > 1.4 * shown(tmp_path / "one.png").shape[1]


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="source 99"):
        shutter_figure(shutter_table(), 99, tmp_path / "99.png")
