"""clean on a simulated exposure: reversible, repeatable, honest errors, clear outcomes for bad input.

The places of the traces are tested with the stock WCS elsewhere; here they are simple bands, so that no references
are needed.
"""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.background import Sky, band_rows
from nirfire.core.residuals import correlation
from nirfire.errors import DataError
from nirfire.products.naming import RATE, RATERAW
from nirfire.products.rate import RateImage
from nirfire.stsci.traces import TraceMasks
from nirfire.tasks import clean as task
from nirfire.tasks.clean import clean
from nirfire.tasks.settings import CleanSettings

SHAPE = (2048, 2048)
REGION = "image\nbox(1520.5,320.5,40,40,0)\n"


@pytest.fixture(scope="module")
def demo_rate(small_demo):
    """Raw and cleaned count rates of the demo's first exposure."""
    name = small_demo.place.find_exposures(RATE)[0]
    return small_demo.place.exposure(name, RATERAW), small_demo.place.exposure(name, RATE)


@pytest.fixture
def masks(monkeypatch, demo_rate):
    """Traces as the demo found them, at no cost; no picture frame."""
    with fits.open(demo_rate[1]) as hdus:
        sky = hdus["BKGMASK"].data
        planned, failed = sky & Sky.TRACE > 0, sky & Sky.FAILED_OPEN > 0
    found = TraceMasks(planned=planned, failed_open=failed, orders=np.zeros(SHAPE, bool), slitlets=[1, 2])
    monkeypatch.setattr(task, "trace_masks", lambda *_: found)
    monkeypatch.setattr(task, "picture_frame", lambda _: None)
    return found


def planes(path):
    with fits.open(path) as hdus:
        return {h.name: np.array(h.data) for h in hdus[1:] if h.is_image}


@pytest.fixture
def fresh(demo_rate, tmp_path):
    """A copy of the raw count rates that a test may spoil; its metafile beside it."""
    raw = tmp_path / demo_rate[0].name
    shutil.copy(demo_rate[0], raw)
    return raw


def test_the_subtraction_is_reversible(demo_rate):
    raw, rate = (RateImage.read(p) for p in demo_rate)
    back = RateImage.read_raw(demo_rate[1])
    np.testing.assert_allclose(back.sci, raw.sci, atol=2e-7 * np.nanmax(np.abs(raw.sci)), rtol=1e-6)
    np.testing.assert_allclose(back.var_rnoise, raw.var_rnoise, rtol=1e-6)
    np.testing.assert_array_equal(back.dq, raw.dq)
    assert np.nanstd(rate.sci - raw.sci) > 0.01


def test_errors_are_those_of_the_variances(demo_rate):
    found = planes(demo_rate[1])
    np.testing.assert_allclose(found["ERR"], np.sqrt(found["VAR_POISSON"] + found["VAR_RNOISE"]), rtol=1e-5)
    with fits.open(demo_rate[0]) as raw, fits.open(demo_rate[1]) as rate:
        factors = np.array([rate[0].header[f"NFVSCAL{k}"] for k in range(1, 5)])
        np.testing.assert_allclose(
            rate["VAR_RNOISE"].data, raw["VAR_RNOISE"].data * band_rows(factors, 2048), rtol=1e-5
        )
        assert rate[0].header["NFBKGMOD"] == "joint"
        assert len(rate["BKGBANDS"].data) == 4
        parts = rate["BKGPARTS"]
        assert [parts.header[f"PART{k}"] for k in range(1, 5)] == ["picture_frame", "surface", "columns", "rows"]
        assert parts.data.shape == (4, 512, 512)


def test_sky_is_white_and_pulls_have_unit_width(demo_rate):
    found = planes(demo_rate[1])
    sky = found["BKGMASK"] == Sky.FITTED
    left = correlation(np.nan_to_num(found["SCI"]), found["VAR_RNOISE"], sky)
    assert left.columns < 1.15 and left.rows < 1.08 and left.slow_y < 1.2 and left.slow_x < 1.2
    assert abs(left.level) < 0.01
    low, high = np.percentile((found["SCI"] / found["ERR"])[sky], (15.865, 84.135))
    assert 0.98 <= 0.5 * (high - low) <= 1.02


def test_again_changes_nothing(fresh, masks, tmp_path):
    """Neither from the raw image nor from the cleaned one; a mask that is taken away leaves no trace."""
    first, second, third = (tmp_path / f"{k}{RATE}" for k in "abc")
    clean(fresh, first, CleanSettings(n_iter=1))
    clean(fresh, second, CleanSettings(n_iter=1), REGION)
    clean(second, third, CleanSettings(n_iter=1))
    a, b, c = (planes(p) for p in (first, second, third))
    assert (b["BKGMASK"][300:340, 1500:1540] & Sky.MANUAL > 0).mean() > 0.9
    assert (b["DQ"][300:340, 1500:1540] & 1 == 1).all()
    np.testing.assert_array_equal(a["DQ"], c["DQ"])
    np.testing.assert_array_equal(a["BKGMASK"], c["BKGMASK"])
    np.testing.assert_allclose(c["BKG"], a["BKG"], atol=2e-6)
    np.testing.assert_allclose(c["VAR_RNOISE"], a["VAR_RNOISE"], rtol=1e-4)
    with fits.open(third) as hdus:
        assert [h.name for h in hdus].count("BKG") == 1


def test_no_picture_frame_reference_is_said(fresh, masks, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        clean(fresh, tmp_path / f"a{RATE}", CleanSettings(mode="iterative", n_iter=1, noise="off"))
    assert "no picture-frame reference" in caplog.text
    with fits.open(tmp_path / f"a{RATE}") as hdus:
        assert not hdus[0].header["NFBKGPF"]
        assert hdus[0].header["NFVSCALE"] == hdus[0].header["NFVSCAL3"] == 1.0
        assert hdus[0].header["NFBKGITR"] == 1


def spoil(path, **changes):
    with fits.open(path, mode="update") as hdus:
        for name, value in changes.items():
            hdus[name].data[:] = value


def test_saturated_and_empty_exposures(fresh, masks, tmp_path):
    spoil(fresh, DQ=1 | 2)
    with pytest.raises(DataError, match=r"no pixel is free .*bad 100%") as caught:
        clean(fresh, tmp_path / f"a{RATE}", CleanSettings())
    assert str(fresh) in str(caught.value)
    spoil(fresh, DQ=0, SCI=np.nan)
    with pytest.raises(DataError, match="bad 100%"):
        clean(fresh, tmp_path / f"a{RATE}", CleanSettings())
    spoil(fresh, SCI=0.0)
    with pytest.raises(DataError, match="the sky has no noise"):
        clean(fresh, tmp_path / f"a{RATE}", CleanSettings())
    spoil(fresh, VAR_RNOISE=0.0)
    with pytest.raises(DataError, match="VAR_RNOISE"):
        clean(fresh, tmp_path / f"a{RATE}", CleanSettings())
    assert not list(tmp_path.glob(f"*{RATE}"))


def test_everything_under_traces(fresh, masks, tmp_path):
    masks.planned[:] = True
    with pytest.raises(DataError, match="trace 100%"):
        clean(fresh, tmp_path / f"a{RATE}", CleanSettings())


def test_no_slitlet_on_the_detector(fresh, masks, tmp_path):
    """It is cleaned all the same; its sources then find that it holds none of them."""
    masks.planned[:] = False
    masks.slitlets.clear()
    clean(fresh, tmp_path / f"a{RATE}", CleanSettings(n_iter=1, columns=False, surface=False))
    with fits.open(tmp_path / f"a{RATE}") as hdus:
        assert len(hdus["SLITLETS"].data) == 0
        assert np.isfinite(hdus["BKG"].data).all()


def test_all_components_off(fresh, masks, tmp_path):
    off = {"picture_frame": False, "surface": False, "columns": False, "rows": False}
    clean(fresh, tmp_path / f"a{RATE}", CleanSettings(mode="iterative", n_iter=1, **off))
    with fits.open(tmp_path / f"a{RATE}") as hdus:
        assert not hdus["BKG"].data.any() and "BKGPARTS" not in hdus


def test_a_masked_band_is_bridged(fresh, masks, tmp_path):
    masks.planned[512:1024] = True
    clean(fresh, tmp_path / f"a{RATE}", CleanSettings())
    found = planes(tmp_path / f"a{RATE}")
    assert np.isfinite(found["BKG"]).all()
    assert abs(np.median(found["BKG"][512:900])) < 0.1
    with fits.open(tmp_path / f"a{RATE}") as hdus:
        assert hdus[0].header["NFVSCAL2"] == hdus[0].header["NFVSCALE"]


def test_a_region_with_a_typo(fresh, masks, tmp_path):
    with pytest.raises(DataError, match="mask regions"):
        clean(fresh, tmp_path / f"a{RATE}", CleanSettings(), "image\npolygoon(1,2,3,4,5,6)\n")
