"""Trace masks: complete, against the stock WCS pixel by pixel and against our own optics; and what bad input gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.core.traces import Band
from nirfire.errors import DataError
from nirfire.simulate.optics import DETECTORS, MODES, load_optics
from nirfire.stsci.projection import N_PIX
from nirfire.stsci.traces import _on_detector, failed_apertures, planned_apertures
from tests.simulate.conftest import run_stock  # noqa: F401

PROBE = Path(__file__).with_name("trace_probe.py")
QUICK = {("F290LP", "G395M", "NRS1")}
CASES = [(filter_, grating, detector) for filter_, grating in MODES for detector in DETECTORS]
GRATINGS = sorted({grating for _, grating in MODES} - {"PRISM"})


@pytest.mark.parametrize(
    "mode", [pytest.param(c, id="-".join(c), marks=() if c in QUICK else pytest.mark.slow) for c in CASES]
)
def test_masks_hold_what_the_stock_wcs_sees(run_stock: Callable[..., str], tmp_path: Path, mode) -> None:  # noqa: F811
    filter_, grating, detector = mode
    found = json.loads(run_stock(str(PROBE), str(tmp_path), grating, filter_, detector).splitlines()[-1])
    assert found["slitlets"] == found["stock_slitlets"]
    assert found["pixels"]["planned"] > 10000
    assert found["missed"] == {"planned": 0, "failed": 0}
    assert found["beyond"] == {"planned": 0, "failed": 0}  # a row above and below, and 4 columns at the ends
    assert found["calls"][0] == found["calls"][1]  # 300 slitlets go through the optics at once
    assert found["order"] == -1
    assert found["same_frame"]
    if grating == "PRISM":
        assert 0 < found["orders"] < 0.4 * sum(found["pixels"].values())  # the ends of the traces: no orders
        slitlets, planned, failed = found["alone"]  # a slitlet of quadrant 4
        assert (slitlets, planned > 0) == (([6], True) if detector == "NRS1" else ([], False))
        assert failed > 0
    else:
        assert found["zero_offset"] < 0.1
        for hit, on_detector in (found["second"], found["zero"]):
            assert hit == on_detector
        assert (found["zero"][1] > 0) == (grating.endswith("M") and detector == "NRS1")


# ---------------------------------------------------------------- what the docstring says of zero orders
@pytest.mark.parametrize("grating", GRATINGS)
def test_where_zero_orders_fall(grating: str) -> None:
    optics = load_optics()
    row, column = np.meshgrid(np.arange(1, 366, 4), np.arange(1, 172, 5))
    for quadrant in (1, 2, 3, 4):
        x, y = optics.shutter_to_msa(quadrant, row, column)
        col, line = optics.msa_to_detector(x, y, 2.0, grating=grating, detector="NRS1", order=0)
        on = (np.abs(col - 1023.5) < 1024) & (np.abs(line - 1023.5) < 1024)
        if grating.endswith("M") and quadrant < 3:
            assert 0.88 <= on.mean() < 0.997
            assert col.max() < (962 if grating == "G395M" else 925)
        else:
            assert col.max() < (-200 if grating.endswith("M") else -1660)
        col, _ = optics.msa_to_detector(x, y, 2.0, grating=grating, detector="NRS2", order=0)
        assert col.max() < 0


@pytest.mark.parametrize("mode", [m for m in MODES if m[1] != "PRISM"], ids="-".join)
def test_orders_obey_the_grating_equation(mode: tuple[str, str]) -> None:
    optics, (low, high) = load_optics(), MODES[mode]
    wave = np.linspace(low, high, 5)
    for quadrant in (1, 2, 3, 4):
        x, y = optics.shutter_to_msa(quadrant, 180, 85)
        place = {"grating": mode[1], "detector": "NRS1"}
        second = optics.msa_to_detector(x, y, wave / 2, order=-2, **place)
        assert np.allclose(second, optics.msa_to_detector(x, y, wave, **place), atol=1e-6)
        x, y = optics.shutter_to_msa(quadrant, np.array([1, 1, 365, 365]), np.array([1, 171, 1, 171]))
        assert optics.msa_to_detector(x, y, low, order=1, **place)[0].max() < -100  # order +1 misses


# ---------------------------------------------------------------- which slitlets are on the detector
@pytest.mark.parametrize(
    ("columns", "rows", "on"),
    [
        ((100.0, 900.0), (50.0, 60.0), True),
        ((-800.0, -12.0), (50.0, 60.0), False),
        ((-800.0, -8.0), (50.0, 60.0), True),  # the stock box is padded by 10 columns
        ((2062.0, 2900.0), (50.0, 60.0), False),
        ((100.0, 900.0), (-40.0, -4.0), False),
        ((100.0, 900.0), (N_PIX + 5.0, N_PIX + 25.0), False),
    ],
)
def test_on_detector(columns: tuple[float, float], rows: tuple[float, float], on: bool) -> None:
    x = np.linspace(*columns, 5)
    assert _on_detector(Band(x, np.full(5, rows[0]), x, np.full(5, rows[1]))) == on


# ---------------------------------------------------------------- metafiles
ROW = {
    "slitlet_id": 7,
    "msa_metadata_id": 1,
    "shutter_quadrant": 3,
    "shutter_row": 100,
    "shutter_column": 20,
    "source_id": 5,
    "background": "N",
    "shutter_state": "OPEN",
    "estimated_source_in_shutter_x": 0.5,
    "estimated_source_in_shutter_y": 0.5,
    "dither_point_index": 1,
    "primary_source": "Y",
    "fixed_slit": "NONE",
}


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., tuple]:
    """`planned_apertures` of a metafile that differs from `ROW` as given, one dict for each row."""

    def plan(*rows: dict) -> tuple:
        table = Table([ROW | row for row in rows])
        sources = Table({"source_id": [5], "source_name": ["a"], "stellarity": [1.0]})
        hdus = [fits.BinTableHDU(t, name=n) for n, t in (("SHUTTER_INFO", table), ("SOURCE_INFO", sources))]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "msa.fits")
        header = fits.Header({"MSAMETID": 1, "PATT_NUM": 1})
        fits.PrimaryHDU(header=header).writeto(tmp_path / "rate.fits")
        return planned_apertures(tmp_path / "rate.fits", tmp_path / "msa.fits")

    return plan


def test_shutters_of_a_slitlet(planned: Callable[..., tuple]) -> None:
    """Two primaries, a dither point that is not ours, shutters far off, another quadrant, a fixed slit."""
    slitlets, apertures = planned(
        {"shutter_column": 21},
        {"shutter_column": 20},
        {"shutter_column": 22, "dither_point_index": 2},
        {"shutter_column": 24},
        {"shutter_column": 60},
        {"shutter_column": 171, "shutter_quadrant": 4},
        {"slitlet_id": 0, "fixed_slit": "S200A1", "shutter_quadrant": 0, "shutter_column": 0, "shutter_row": 0},
    )
    assert slitlets == [7, 7, 7]
    rows = np.array([apertures.quadrant, apertures.row, apertures.first, apertures.last]).T
    assert rows.tolist() == [[3, 100, 20, 24], [3, 100, 60, 60], [4, 100, 171, 171]]


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"msa_metadata_id": 2}, "MSAMETID"),
        ({"dither_point_index": 2}, "PATT_NUM"),
        ({"shutter_column": 172}, "SHUTTER_INFO"),
        ({"shutter_quadrant": 5}, "SHUTTER_INFO"),
    ],
)
def test_metafile_that_does_not_fit(planned: Callable[..., tuple], row: dict, key: str) -> None:
    with pytest.raises(DataError) as error:
        planned(row)
    assert error.value.key == key
    assert error.value.remedy


def test_only_fixed_slits(planned: Callable[..., tuple]) -> None:
    slitlets, apertures = planned({"fixed_slit": "S1600A1"})
    assert slitlets == []
    assert apertures.row.size == 0


# ---------------------------------------------------------------- failed-open shutters
def test_failed_open_shutters(tmp_path: Path) -> None:
    place = {"Q": 2, "x": 30, "y": 40}
    states = [("open", "closed", "closed"), ("closed", "closed", "closed"), ("normal", "normal", "open")]
    listed = [place | dict(zip(("state", "TA state", "Internal state"), s, strict=True)) for s in states]
    path = tmp_path / "msaoper.json"
    path.write_text(json.dumps({"msaoper": listed}))
    found = failed_apertures(str(path))
    assert found.row.tolist() == [30, 30]
    assert found.first.tolist() == found.last.tolist() == [40, 40]
    assert failed_apertures("N/A").row.size == 0
    path.write_text('{"msaoper": [')
    with pytest.raises(DataError, match="damaged"):
        failed_apertures(str(path))
