"""calibrate: what its options do to a product."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import one_at_a_time
from tests.simulate.conftest import run_stock  # noqa: F401

PROBE, ROOT = "tests.tasks.calibrate_probe", Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(run_stock: Callable[..., str], shared_folder: Path) -> dict[str, Any]:  # noqa: F811
    folder = shared_folder / "calibrate"
    folder.mkdir(exist_ok=True)
    told = folder / "told.json"
    with one_at_a_time(folder):
        if not told.exists():
            told.write_text(run_stock("-m", PROBE, str(folder), cwd=ROOT))
    return json.loads(told.read_text())


def test_a_source_in_its_slit(found: dict[str, Any]) -> None:
    plain = found["plain"]
    assert (plain["SRCFLUX"], plain["BUNIT"], plain["PTHLOSS"], plain["WAVECOR"]) == (True, "MJy", "POINT", True)
    assert (plain["STKSHTRS"], plain["MSAMETFL"]) == ("N/A", "jw00001001001_01_msa.fits")


def test_slitlets_without_the_source_are_marked_and_on_the_same_scale(found: dict[str, Any]) -> None:
    bare = found["sourceless"]
    assert (bare["SRCFLUX"], bare["BUNIT"], bare["PTHLOSS"], bare["WAVECOR"]) == (False, "MJy", "UNIFORM", True)
    assert bare["level"] == pytest.approx(found["plain"]["level"], rel=0.1)  # another place of the detector


def test_an_extended_source_is_a_source(found: dict[str, Any]) -> None:
    extended = found["extended"]
    assert (extended["SRCFLUX"], extended["BUNIT"], extended["PTHLOSS"]) == (True, "MJy", "UNIFORM")
    assert extended["SRCTYPE"] == "EXTENDED"
    assert extended["level"] == pytest.approx(found["plain"]["level"], rel=0.02)  # its wavelengths are not shifted


def test_bar_shadow_can_be_switched_on(found: dict[str, Any]) -> None:
    assert (found["plain"]["S_BARSHA"], found["bar shadow"]["S_BARSHA"]) == ("SKIPPED", "COMPLETE")


def test_a_measured_position_replaces_the_planned_one(found: dict[str, Any]) -> None:
    assert (found["moved"]["SRCXPOS"], found["moved"]["SRCYPOS"]) == pytest.approx((0.2, -0.3))


def test_in_long_slit_mode_a_shutter_is_a_slit(found: dict[str, Any]) -> None:
    assert (found["plain"]["SHUTSTA"], found["long slit"]["SHUTSTA"]) == ("11x", "x")
    assert found["long slit"]["shape"][0] < found["plain"]["shape"][0]


def test_beyond_the_nominal_range_second_order_light_is_marked(found: dict[str, Any]) -> None:
    wide, plain = found["wide"], found["plain"]
    assert wide["reach"] > plain["reach"] + 0.2
    assert wide["flagged"] > 0 == plain["flagged"]


def test_flats_whose_errors_are_nan_leave_finite_errors(found: dict[str, Any]) -> None:
    assert found["flat errors"]["good"] == found["plain"]["good"]  # NS-MOS02: the stock pipeline mends it by now


@pytest.mark.slow
def test_the_kept_inputs_repeat_the_run_by_hand(run_stock: Callable[..., str], tmp_path: Path) -> None:  # noqa: F811
    assert json.loads(run_stock("-m", PROBE, str(tmp_path), "strun", cwd=ROOT)) == dict.fromkeys(
        ("SCI", "ERR", "DQ"), True
    )
