"""Sharing among the sources of an exposure changes nothing: every product equals that of a stock run of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulate.conftest import run_stock  # noqa: F401

PROBE, ROOT = "tests.stsci.spec2_twice", Path(__file__).parents[2]
STATES = {11: "x", 12: "1x", 13: "11x", 14: "x11", 15: "x1111", 16: "1x1", 17: "x11", 18: "11x", 19: "1x1", 21: "11x"}
ALL = tuple(range(11, 22))
QUICK = (14, 20)
MODES = [
    ("CLEAR", "PRISM", "NRS1", ALL),
    ("CLEAR", "PRISM", "NRS2", (11, 14, 18)),
    ("F070LP", "G140M", "NRS1", (15, 17)),
    ("F100LP", "G140H", "NRS2", (13, 19)),
    ("F170LP", "G235M", "NRS2", (14, 18)),
    ("F290LP", "G395H", "NRS1", (12, 20)),
    ("F290LP", "G395M", "NRS1", (16, 19)),
]
CASES = [pytest.param("CLEAR", "PRISM", "NRS1", QUICK, id="quick")]
CASES += [pytest.param(*mode, id="-".join(mode[:3]), marks=pytest.mark.slow) for mode in MODES]


@pytest.mark.parametrize(("filter_", "grating", "detector", "sources"), CASES)
def test_a_shared_exposure_gives_what_separate_stock_runs_give(
    run_stock: Callable[..., str],  # noqa: F811
    tmp_path: Path,
    filter_: str,
    grating: str,
    detector: str,
    sources: tuple[int, ...],
) -> None:
    numbers = map(str, sources)
    said = json.loads(run_stock("-m", PROBE, str(tmp_path), filter_, grating, detector, *numbers, cwd=ROOT))
    assert not said["edited"]
    assert max(said["again"].values()) < 1e-6
    worked = {source: found for source, found in said["found"].items() if found != "no work"}
    assert worked
    for source, found in worked.items():
        assert max(found["differ"].values()) < 1e-6, (source, found["differ"])
        assert found["cards"] == [], source
        slit = found["slit"]
        assert slit["state"] == STATES.get(int(source), "1x1")
        assert slit["type"] == ("POINT" if int(source) not in (20, 21) else "EXTENDED")
        assert int(slit["good"]) > 0
