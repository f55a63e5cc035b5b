"""detector: parameters of the stock steps, exposures that cannot be used, what stock Detector1 makes of the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from pydantic import ValidationError
from scipy.stats import median_abs_deviation

from nirfire.errors import DataError
from nirfire.products.naming import RATE, RATERAW, UNCAL, Workspace
from nirfire.simulate import response, truth
from nirfire.simulate.cache_place import cache_environment
from nirfire.simulate.crds_cache import ensure_cache
from nirfire.simulate.detector import Noise
from nirfire.simulate.irs2_cache import ensure_irs2_cache
from nirfire.simulate.observation import Observation, Options
from nirfire.simulate.scene import demo_scene
from nirfire.tasks import detector as task
from nirfire.tasks.settings import CalibrateSettings, DetectorSettings, StackSettings
from tests.conftest import nirfire
from tests.forked import run_forked

PROBE = Path(__file__).with_name("step_probe.py")
DO_NOT_USE, SATURATED, JUMP, REFERENCE = 1, 2, 4, 1 << 31


def test_given_parameters_are_merged_into_ours_and_win():
    steps = DetectorSettings(steps={"jump": {"rejection_threshold": 5}, "dark_current": {"skip": True}}).all_steps()
    assert steps["jump"] == {"expand_large_events": True, "rejection_threshold": 5}
    assert steps["dark_current"] == {"skip": True}
    assert steps["picture_frame"]["skip"] and steps["clean_flicker_noise"]["skip"]
    on = DetectorSettings(picture_frame=True, clean_flicker_noise=True, steps={"picture_frame": {"skip": True}})
    assert on.all_steps()["clean_flicker_noise"] == {"skip": False, "mask_science_regions": True}
    assert on.all_steps()["picture_frame"]["skip"]


@pytest.mark.parametrize(
    ("model", "name", "hint"),
    [
        (DetectorSettings, "jmp", "did you mean jump"),
        (DetectorSettings, "clean_flickernoise", "did you mean clean_flicker_noise"),
        (CalibrateSettings, "flatfield", "did you mean flat_field"),
        (StackSettings, "something", "valid names: assign_mtwcs"),
    ],
)
def test_unknown_step_is_refused_with_the_nearest_name(model, name, hint):
    with pytest.raises(ValidationError, match=hint):
        model(steps={name: {"skip": True}})


def test_unknown_parameter_is_refused_with_the_nearest_name():
    cases = [
        ["detector", {"jmp": {"skip": True}}],
        ["detector", {"jump": {"rejection_treshold": 5.0}}],
        ["detector", {"jump": {"rejection_threshold": "a lot"}}],
        ["calibrate", {"pathloss": {"user_slit_lok": 0.0}}],
        ["stack", {"outlier_detection": {"whatever": 1}}],
        [
            "detector",
            {"jump": {"rejection_threshold": 5, "maximum_cores": "half"}, "ramp_fit": {"suppress_one_group": True}},
        ],
        ["detector", DetectorSettings(clean_flicker_noise=True, picture_frame=True).all_steps()],
        ["stack", {"outlier_detection": {"skip": True, "snr": "5.0 4.0"}, "resample_spec": {"pixfrac": 0.8}}],
    ]
    done = run_forked(PROBE, json.dumps(cases))
    assert done.returncode == 0, done.stderr[-2000:]
    step, parameter, value, other, none, *fine = json.loads(done.stdout.splitlines()[-1])
    assert step == ["detector.steps.jmp", "the stock Detector1Pipeline has no step jmp", "did you mean jump?"]
    assert parameter[0] == "detector.steps.jump.rejection_treshold"
    assert parameter[2] == "did you mean rejection_threshold?"
    assert "cannot use 'a lot'" in value[1] and "float(default=4.0,min=0)" in value[2]
    assert other[0] == "calibrate.steps.pathloss.user_slit_lok" and other[2] == "did you mean user_slit_loc?"
    assert "use one of" in none[2]
    assert fine == [None, None, None]


def rate_file(path: Path, sci: np.ndarray, dq: np.ndarray) -> Path:
    """The two extensions that are looked at."""
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(sci.astype(np.float32), name="SCI")]
    fits.HDUList([*hdus, fits.ImageHDU(dq.astype(np.uint32), name="DQ")]).writeto(path)
    return path


def unusable(flag: int) -> tuple[np.ndarray, np.ndarray]:
    """NaN wherever light falls, and a frame of good reference pixels."""
    dq = np.full((16, 16), REFERENCE, dtype=np.uint32)
    dq[2:-2, 2:-2] = DO_NOT_USE | flag
    return np.where(dq == REFERENCE, 0.1, np.nan), dq


@pytest.mark.parametrize(("flag", "said"), [(SATURATED, "100% are saturated"), (0, "empty or flagged")])
def test_an_exposure_without_a_usable_pixel_is_refused(tmp_path, flag, said):
    path = rate_file(tmp_path / f"x{RATE}", *unusable(flag))
    with pytest.raises(DataError, match="no usable pixel") as caught:
        task.check_rate(path, tmp_path / f"x{UNCAL}")
    assert said in caught.value.message
    assert caught.value.file == tmp_path / f"x{UNCAL}"
    assert "leave it out" in caught.value.remedy or "leave this exposure out" in caught.value.remedy


def test_one_usable_pixel_is_enough(tmp_path):
    sci, dq = unusable(SATURATED)
    sci[8, 8], dq[8, 8] = 1.0, 0
    task.check_rate(rate_file(tmp_path / f"x{RATE}", sci, dq), tmp_path / f"x{UNCAL}")


def test_a_finite_value_under_do_not_use_is_not_usable(tmp_path):
    sci, dq = unusable(0)
    sci[8, 8] = 1.0
    with pytest.raises(DataError, match="no usable pixel"):
        task.check_rate(rate_file(tmp_path / f"x{RATE}", sci, dq), tmp_path / f"x{UNCAL}")


def uncal_header(path: Path, **cards: object) -> Path:
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(path)
    return path


@pytest.mark.parametrize(
    ("cards", "skip", "key"),
    [
        ({"NGROUPS": 1, "READPATT": "NRSRAPID"}, False, "NGROUPS"),
        ({"NGROUPS": 9, "READPATT": "NRSIRS2"}, True, "detector.steps.refpix.skip"),
    ],
)
def test_ramps_that_cannot_be_fitted_are_refused(tmp_path, cards, skip, key):
    path = uncal_header(tmp_path / f"x{UNCAL}", **cards)
    with pytest.raises(DataError, match=r"no slope|without the step refpix") as caught:
        task.check_ramps(path, {"refpix": {"skip": skip}})
    assert (caught.value.file, caught.value.key) == (path, key)
    assert caught.value.remedy


@pytest.mark.parametrize(("pattern", "skip"), [("NRSRAPID", True), ("NRSIRS2", False)])
def test_ramps_that_can_be_fitted_are_not(tmp_path, pattern, skip):
    path = uncal_header(tmp_path / f"x{UNCAL}", NGROUPS=2, READPATT=pattern)
    task.check_ramps(path, {"refpix": {"skip": skip}})


def test_a_refused_exposure_leaves_nothing_behind(tmp_path, monkeypatch):
    """Neither the product nor the stock pipeline's folder."""
    folders = []

    def stock(uncal: Path, folder: Path, steps: dict) -> Path:
        folders.append(folder)
        return rate_file(folder / f"x{RATE}", *unusable(SATURATED))

    class Facts:
        metafile, metadata_id = tmp_path / "x_msa.fits", 1

        def configuration(self, number: int) -> None:
            pass

    monkeypatch.setattr(task, "run_detector1", stock)
    monkeypatch.setattr(task, "read_exposure_header", lambda path: Facts)
    monkeypatch.setattr(task.Metafile, "read", lambda path: Facts())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    uncal = uncal_header(tmp_path / f"x{UNCAL}", NGROUPS=5)
    with pytest.raises(DataError, match="no usable pixel"):
        task.detector(uncal, tmp_path / f"x{RATERAW}", DetectorSettings())
    assert [f.parent for f in folders] == [tmp_path] and not folders[0].exists()
    assert [p.name for p in tmp_path.iterdir()] == [uncal.name]


# Whole exposures through the stock pipeline.

RUN = """
import json, sys
from pathlib import Path
from nirfire.tasks.clean import clean
from nirfire.tasks.detector import detector
from nirfire.tasks.settings import CleanSettings, DetectorSettings
uncal, rateraw, rate, settings = sys.argv[1:]
detector(Path(uncal), Path(rateraw), DetectorSettings(**json.loads(settings)))
if rate:
    clean(Path(rateraw), Path(rate), CleanSettings())
"""


def reduce(uncal: Path, cache: Path, name: str = "", *, cleaned: bool = False, **settings: object) -> Path:
    """Run detector, and clean if asked to, in a process of its own; gives the last product."""
    stem = str(uncal).removesuffix(UNCAL)
    rateraw, rate = f"{stem}{name}{RATERAW}", f"{stem}{name}{RATE}" if cleaned else ""
    environment = {**os.environ, **cache_environment(cache)}
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(uncal), rateraw, rate, json.dumps(settings)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(rate or rateraw)


def expose(folder: Path, detector: str = "NRS1", size: str = "standard", **options: object) -> Path:
    """Simulate the first exposure of a demo scene, its painted rate beside it."""
    wanted = Options(detectors=(detector,), keep_rates=True, **options)  # type: ignore[arg-type]
    plan = Observation(demo_scene(size), "PRISM", "CLEAR", 11, wanted)
    plan.write_tables(folder)
    return plan.write_exposure(plan.exposures[0], detector, folder)


def painted(uncal: Path) -> np.ndarray:
    """The rate that was painted [DN/s]."""
    return fits.getdata(uncal.parent / truth.FOLDER / uncal.name.replace(UNCAL, truth.RATE_SUFFIX)).astype(float)


def planes(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count rate, its error, and the light-sensitive pixels that may be used."""
    with fits.open(path) as hdus:
        sci, err, dq = (np.array(hdus[n].data) for n in ("SCI", "ERR", "DQ"))
    return sci, err, np.isfinite(sci) & (dq & DO_NOT_USE == 0) & ~response.reference_pixels()


def columns_over_white(sci: np.ndarray, err: np.ndarray, sky: np.ndarray) -> float:
    """Scatter of the column medians of a band of 512 rows over that of white noise."""
    band = slice(100, 500), slice(8, -8)
    image, used = np.where(sky, sci, np.nan)[band], sky[band]
    spread = median_abs_deviation(np.nanmedian(image, axis=0), scale="normal")
    return spread / (1.2533 * np.median(err[band][used]) / np.sqrt(np.median(used.sum(axis=0))))


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_irs2_exposure_gives_the_painted_rates(tmp_path, detector):
    """A raw frame of 3200 rows comes out as an image that lies where it was painted, its 1/f noise mostly gone."""
    uncal = expose(tmp_path, detector, n_groups=5, pattern="NRSIRS2RAPID")
    assert fits.getdata(uncal, "SCI").shape == (1, 5, 3200, 2048)
    cache = ensure_irs2_cache()
    rate = reduce(uncal, cache, cleaned=True)
    sci, _, good = planes(rate)
    true = painted(uncal)
    bright = good & (true > 10)
    assert bright.sum() > 100
    assert abs(np.median(sci[bright] / true[bright]) - 1) < 0.015
    raw, err, good = planes(rate.with_name(rate.name.replace(RATE, RATERAW)))
    assert columns_over_white(raw, err, good & (true < 0.01)) < 1.7  # 3.5 without reference output
    with fits.open(rate) as hdus:
        assert hdus[0].header["S_REFPIX"] == "COMPLETE"
        assert {"BKG", "BKGMASK"} <= {hdu.name for hdu in hdus}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["NRS", "NRSIRS2"])
def test_averaged_frames_give_the_painted_rates(tmp_path, pattern):
    uncal = expose(tmp_path, n_groups=3, pattern=pattern)
    sci, _, good = planes(reduce(uncal, ensure_irs2_cache()))
    true = painted(uncal)
    bright = good & (true > 10)
    assert abs(np.median(sci[bright] / true[bright]) - 1) < 0.015


@pytest.mark.slow
def test_integrations_are_averaged(tmp_path):
    """Three integrations: the rate stays, errors and scatter shrink by the root of three."""
    noise = replace(Noise.none(), photons=True, read=1.0)
    found = []
    for n in (1, 3):
        uncal = expose(tmp_path / str(n), n_groups=4, n_integrations=n, noise=noise)
        sci, err, good = planes(reduce(uncal, ensure_cache()))
        true = painted(uncal)
        sky, bright = good & (true < 0.01), good & (true > 5)
        assert abs(np.median(sci[bright] / true[bright]) - 1) < 0.005
        pull = (sci - true)[sky] / err[sky]
        assert median_abs_deviation(pull, scale="normal") == pytest.approx(1.0, abs=0.06)
        found.append(np.median(err[sky]))
    assert found[0] / found[1] == pytest.approx(np.sqrt(3.0), rel=0.02)


@pytest.mark.slow
def test_halos_of_snowballs_are_flagged(tmp_path):
    """Charge between two and three core radii, below the threshold of a jump, no longer enters the slope."""
    uncal = expose(tmp_path, size="small", n_groups=5, noise=replace(Noise(), snowballs=0.4))
    (table,) = (tmp_path / truth.FOLDER).glob(f"*{truth.NOISE_SUFFIX}")
    row = truth.read_noise_table(table.parent)[0]
    events = [tuple(map(float, text.split(","))) for text in row["snowballs"].split(";")]
    y, x = np.mgrid[:2048, :2048]
    halo = np.zeros(x.shape, dtype=bool)
    for group, row, col, radius in events:
        distance = np.hypot(y - row, x - col)
        if group > 0:  # what came before the first group is in no difference
            halo |= (distance > 2 * radius) & (distance < 3 * radius)
    assert halo.sum() > 1000
    flagged, excess = {}, {}
    for name, wanted in (("with", True), ("without", False)):
        rate = reduce(uncal, ensure_cache(), name, expand_large_events=wanted)
        sci, _, good = planes(rate)
        flagged[name] = np.mean(fits.getdata(rate, "DQ")[halo] & JUMP > 0)
        difference = sci - painted(uncal)
        excess[name] = np.median(difference[halo & good]) - np.median(
            difference[~halo & good & (painted(uncal) < 0.01)]
        )
    assert flagged["with"] > 0.95 and flagged["without"] < 0.7
    assert abs(excess["with"]) < 0.03 and excess["without"] > 0.1


@pytest.mark.slow
def test_stock_cleaning_is_an_option(tmp_path):
    """The stock steps find the MSA metafile and the WCS in Detector1, and lessen the stripes."""
    uncal = expose(tmp_path, n_groups=4)
    sky = painted(uncal) < 0.01
    plain, stock = (
        reduce(uncal, ensure_cache(), name, clean_flicker_noise=on, picture_frame=on)
        for name, on in (("plain", False), ("stock", True))
    )
    before, after = (columns_over_white(sci, err, good & sky) for sci, err, good in (planes(plain), planes(stock)))
    assert after < 0.75 * before
    header = fits.getheader(stock)
    assert (header["S_CLNFNS"], header["S_PCTFRM"]) == ("COMPLETE", "COMPLETE")


@pytest.mark.slow
def test_the_run_goes_on_without_bad_exposures(tmp_path):
    """Of four exposures one is empty, one saturated and one has a single group; the fourth is reduced."""
    folder = tmp_path / "given"
    plan = Observation(
        demo_scene("small"), "PRISM", "CLEAR", 3, Options(n_nods=5, n_groups=3, detectors=("NRS1",), noise=Noise.none())
    )
    plan.write_tables(folder)
    shutil.rmtree(folder / truth.FOLDER)
    made = [plan.write_exposure(e, "NRS1", folder) for e in plan.exposures[:4]]
    shutil.rmtree(folder / truth.FOLDER)
    fills: list[Callable[[np.ndarray], np.ndarray]] = [
        np.zeros_like,
        lambda data: np.full_like(data, 65535),
        lambda data: data[:, :1],
    ]
    for path, fill in zip(made, fills, strict=False):
        with fits.open(path, mode="update") as hdus:
            hdus["SCI"].data = fill(hdus["SCI"].data)
            hdus[0].header["NGROUPS"] = hdus["SCI"].data.shape[1]
    done = nirfire("run", folder, "-w", "out", "--obs", "bad", "-j", 2, "--to", "detector", cwd=tmp_path)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 3
    for text in ("the ramps are empty", "saturated or flagged", "have no slope", "leave this exposure out"):
        assert text in said
    for path in made[:3]:
        assert path.name in said
    place = Workspace(tmp_path / "out", "bad")
    assert [str(name) for name in place.find_exposures(RATERAW)] == [made[3].name.removesuffix(UNCAL)]
