"""Checks: limits and verdicts, and that each measure says what it should of data that are made for it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.products.joint_redshift import JointFit
from nirfire.products.naming import CAL, RATE, SPEC, ExposureName
from nirfire.products.offsets import Offsets
from nirfire.products.spectrum import Spectrum
from nirfire.qa.checks import (
    CHECKS,
    FAIL,
    LOOK,
    PASS,
    SIGMAS,
    UNKNOWN,
    Check,
    Measured,
    as_json,
    counted,
    typical,
)
from nirfire.qa.exposure_checks import RAMP_STEPS, check_exposure, check_offsets, check_shutters, not_done
from nirfire.qa.spectrum_checks import (
    STOCK_STEPS,
    boxcar_ratio,
    check_joint,
    check_spectrum,
    error_width,
    negative,
)
from tests.products.test_shutters import shutter_table

from .conftest import ROOT

N_WAVE = 4000


def noisy(level, correlation=None, seed=1, scale=1.0):
    """A spectrum of constant flux with unit errors, of which the noise is `scale` times as large.

    With `correlation`, neighbours are correlated as a mean of two pixels makes them (0.5 at lag 1).
    """
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=N_WAVE + 1)
    noise = (noise[1:] + noise[:-1]) / np.sqrt(2) if correlation is not None else noise[1:]
    wave = np.linspace(1.0, 5.0, N_WAVE)
    flux = level + scale * noise
    boxes = {5: (level + rng.normal(size=N_WAVE) * 1.2, np.full(N_WAVE, 1.2))}
    bands = None if correlation is None else np.array([np.full(N_WAVE, c) for c in correlation])
    ones = np.ones(N_WAVE)
    return Spectrum(wave=wave, flux=flux, err=ones, mask=ones < 0, boxes=boxes, correlation=bands, meta={})


def test_every_check_says_what_it_is_and_why():
    for name, check in CHECKS.items():
        assert name == check.name
        assert check.about
        assert len(check.reason) > 20, "a limit needs a reason"
        assert check.outside in (LOOK, FAIL)
        assert check.per in ("exposure", "visit", "spectrum", "source", "observation")
        assert math.isfinite(check.low) or math.isfinite(check.high)
        assert check.limits


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (1.0, 0.0, PASS),
        (1.1, 0.0, PASS),
        (1.1001, 0.0, LOOK),
        (0.8999, 0.0, LOOK),
        (1.1 + 0.99 * SIGMAS * 0.1, 0.1, PASS),
        (1.1 + 1.01 * SIGMAS * 0.1, 0.1, LOOK),
        (math.nan, 0.0, UNKNOWN),
        (1.0, math.nan, UNKNOWN),
        (math.inf, 0.0, UNKNOWN),
    ],
)
def test_verdicts(value, error, verdict):
    assert Check("x", "s", "spectrum", "a", low=0.9, high=1.1).verdict(value, error) == verdict


def test_counts_and_json():
    found = [Measured("probability", 0.99, subject="1 PRISM"), Measured("probability", 0.2, subject="2 PRISM")]
    found += [Measured("probability", math.nan, subject="3 PRISM"), Measured("pixels", 10.0, subject="2 PRISM")]
    assert counted(found) == {PASS: 1, LOOK: 1, FAIL: 1, UNKNOWN: 1}
    told = json.loads(json.dumps(as_json(found), allow_nan=False))
    row = next(check for check in told["checks"] if check["name"] == "probability")
    assert (row["pass"], row["look"], row["fail"], row["unknown"]) == (1, 1, 0, 1)
    assert row["low"] == 0.95
    assert row["high"] is None
    assert row["median"] == pytest.approx(0.595)
    assert [(f["check"], f["subject"], f["verdict"]) for f in told["findings"]] == [
        ("probability", "2 PRISM", LOOK),
        ("pixels", "2 PRISM", FAIL),
    ]


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("correlation", [None, (0.5, 0.0)])
def test_error_width_finds_wrong_errors_of_correlated_pixels_too(scale, correlation):
    found = [error_width(noisy(0.5, correlation, seed, scale)) for seed in range(8)]
    pulls = [(m.value - scale) / m.error for m in found]
    assert abs(np.mean(pulls)) < 3 / np.sqrt(8)
    assert 0.3 < np.std(pulls) < 1.5, "its error is about right"
    assert {m.verdict for m in found} == {PASS if scale == 1.0 else LOOK}


def test_error_width_says_nothing_of_bright_spectra():
    assert math.isnan(error_width(noisy(100.0)).value)


def test_all_spectra_together_say_more_than_one():
    few = [replace(m, value=1.13, error=0.1) for m in [error_width(noisy(0.5))] * 400]
    assert {m.verdict for m in few} == {PASS}
    (whole,) = typical(few)
    assert whole.error == pytest.approx(1.25 * 0.1 / 20)
    assert Measured("typical_error_width", 1.14, whole.error).verdict == FAIL
    assert typical([])[0].verdict == UNKNOWN


def test_boxcar_ratio_is_free_of_bias_at_low_signal():
    """Noise that flux and boxcar share must not raise or lower the mean ratio."""
    values = []
    for seed in range(60):
        spectrum = noisy(0.3, seed=seed)
        shared = spectrum.flux - 0.3
        more = np.random.default_rng(1000 + seed).normal(size=N_WAVE) * 0.7
        spectrum = replace(spectrum, boxes={5: (0.3 * 0.8 + shared + more, np.full(N_WAVE, 1.22))})
        values.append(boxcar_ratio(spectrum).value)
    assert np.mean(values) == pytest.approx(0.8, abs=4 * np.std(values) / np.sqrt(60))


def test_boxcar_ratio_finds_flux_that_is_lost():
    spectrum = noisy(20.0)
    assert boxcar_ratio(spectrum).verdict == PASS
    box, err = spectrum.boxes[5]
    assert boxcar_ratio(replace(spectrum, boxes={5: (0.85 * box, err)})).verdict == LOOK
    assert boxcar_ratio(replace(spectrum, boxes={})).verdict == UNKNOWN


def test_negative_light_is_found():
    assert negative(noisy(0.0)).verdict == PASS
    assert negative(noisy(-0.5)).verdict == LOOK
    few = negative(noisy(-0.1))
    assert few.value == pytest.approx(-0.1 * np.sqrt(N_WAVE), abs=4)
    assert negative(noisy(-0.1, (0.5, 0.0))).value > few.value, "correlated pixels say less"
    assert negative(replace(noisy(0.0), mask=np.ones(N_WAVE, dtype=bool))).verdict == UNKNOWN


def test_steps_that_were_not_done():
    header = fits.Header(dict.fromkeys(STOCK_STEPS, "COMPLETE"))
    assert not_done(header, STOCK_STEPS) == 0
    header["S_FLAT"] = "SKIPPED"
    assert not_done(header, STOCK_STEPS) == 1
    assert math.isnan(not_done(fits.Header(), STOCK_STEPS)), "a file that does not tell"


def test_a_spectrum_of_the_workspace(workspace):
    spec = workspace.combined(103, "PRISM", "CLEAR", SPEC)
    cal = workspace.slit(ExposureName(f"{ROOT}_00001_nrs1"), 103, CAL)
    fits.setval(cal, "S_FLAT", value="SKIPPED")
    spectrum = Spectrum.read(spec)
    spectrum.meta["NFREJECT"] = (0.08, "")
    spectrum.meta["NFOFFSET"] = (0.3, "")
    found = {m.check: m for m in check_spectrum(spectrum, None, [cal], "103 PRISM")}
    assert {m.subject for m in found.values()} == {"103 PRISM"}
    assert found["stock_steps"].verdict == FAIL
    assert found["rejected"].verdict == LOOK
    assert found["place"].verdict == LOOK
    assert found["nod_overlap"].verdict == UNKNOWN
    assert found["pixels"].value == 397
    assert "probability" not in found, "there is no fit"


def test_an_exposure(workspace):
    rate = workspace.exposure(ExposureName(f"{ROOT}_00001_nrs1"), RATE)
    good = {m.check: m for m in check_exposure(rate)}
    assert good["noise_width"].value == pytest.approx(1.0, abs=0.02)
    assert good["sky_level"].verdict == good["stripes"].verdict == PASS
    assert good["ramp_steps"].verdict == good["bad_pixels"].verdict == UNKNOWN

    with fits.open(rate, mode="update") as hdus:
        for step in RAMP_STEPS:
            hdus[0].header[step] = "COMPLETE"
        hdus[0].header["S_DARK"] = "SKIPPED"
        hdus[0].header["NFBKGCHG"] = 0.01
        rng = np.random.default_rng(2)
        hdus["SCI"].data = 1.3 * hdus["SCI"].data + rng.normal(0, 0.01, 256).astype(np.float32) + np.float32(0.005)
        quality = np.zeros((256, 256), np.uint32)
        quality[:, :64] = 1
        quality[:4] = 2**31 + 1  # reference pixels see no light
        hdus.append(fits.ImageHDU(quality, name="DQ"))
    bad = {m.check: m for m in check_exposure(rate)}
    assert bad["ramp_steps"].value == 1
    assert bad["bad_pixels"].value == pytest.approx(0.25)
    assert bad["background_change"].value == pytest.approx(0.5)
    assert bad["stripes"].value == pytest.approx(0.01 / 0.026, rel=0.25), "columns are off by 0.01, noise is 0.026"
    assert {
        bad[name].verdict for name in ("bad_pixels", "background_change", "sky_level", "stripes", "noise_width")
    } == {LOOK}


def test_visits(tmp_path):
    table = Table({"source": [1, 2], "offset": [0.1, 0.1], "used": [True, True]})
    for name in ("offset_err", "size", "size_err", "snr"):
        table[name] = [0.01, 0.01]
    Offsets("jw09999001001_02101", 0.1, 0.01, table).write(tmp_path / "o.fits")
    (found,) = check_offsets(tmp_path / "o.fits")
    assert (found.subject, found.verdict) == ("jw09999001001_02101", LOOK)
    assert found.error == pytest.approx(0.01 / np.sqrt(2))
    Offsets("jw09999001001_02101", 0.1, 0.05, table).write(tmp_path / "o.fits")
    assert check_offsets(tmp_path / "o.fits")[0].verdict == PASS, "not known well enough"


def test_closed_shutters(tmp_path):
    shutter_table().write(tmp_path / "s.fits")
    found = {m.subject: m for m in check_shutters(tmp_path / "s.fits")}
    assert {subject: m.verdict for subject, m in found.items()} == {"7": PASS, "8": LOOK}


def test_gratings_that_contradict_each_other():
    gratings = Table({"z": [2.0, 4.0, 4.0], "probability": [0.99, 0.99, 0.5]})
    empty = np.array([0.0])
    fit = JointFit(2.0, 0.001, 0.9, 0, 2.0, "PRISM", gratings, Table(), empty, empty, {})
    (found,) = check_joint(fit, "103")
    assert (found.value, found.verdict) == (1.0, LOOK)


def test_the_page_of_the_docs_has_every_check_as_it_is():
    page = (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text()
    for check in CHECKS.values():
        row = (check.stage, f"`{check.name}`", check.about, check.limits, check.outside, check.reason)
        assert f"| {' | '.join(row)} |" in page, check.name
