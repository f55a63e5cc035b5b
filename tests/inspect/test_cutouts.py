"""Cutouts for the page: pixels, shutters and nods are those of the products and of what people say."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.inspect.cutouts import cutouts
from nirfire.inspect.edits import choose_nods, mark_shutters
from nirfire.inspect.slits import read_cutout
from nirfire.pipeline.target import Observation
from nirfire.products.naming import BKGSUB, CAL, ExposureName, Workspace
from nirfire.products.shutters import IMAGE_COLUMNS, LEVEL_COLUMNS, VERDICT_COLUMNS, ShutterTable
from nirfire.products.slitcal import SlitCal, source_rows

from ..products import cutouts as painted

ROOT, SOURCE = painted.ROOT, painted.SOURCE
NAMES = [ExposureName(f"{ROOT}_{k:05d}_nrs1") for k in (1, 2, 3)]
pytestmark = pytest.mark.usefixtures("quick_disk")


def write_found(place, rows):
    """A `_shutters.fits` with (source, ordinal, column, state, closed)."""
    verdicts = Table(rows=rows, names=("source", "ordinal", "shutter_column", "state", "closed"))
    for name in VERDICT_COLUMNS.keys() - set(verdicts.colnames):
        verdicts[name] = np.zeros(len(rows), int if name in ("slitlet", "quadrant", "shutter_row") else float)
    empty = [Table({name: np.zeros(0) for name in columns}) for columns in (LEVEL_COLUMNS, IMAGE_COLUMNS)]
    ShutterTable(verdicts[list(VERDICT_COLUMNS)], *empty).write(place.shutters(ROOT))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three nods of a source, with and without sky."""
    folder = tmp_path_factory.mktemp("cutouts")
    cals = painted.write_cals(folder, painted.nods(), others={8: 1.0})
    return [*cals, *painted.without_sky(cals)]


@pytest.fixture
def observation(tmp_path, made):
    place = Workspace(tmp_path, "ws")
    for folder in (place.exposures, place.source_folder(SOURCE)):
        folder.mkdir(parents=True)
    painted.copied(made, place.source_folder(SOURCE))
    return Observation(place, tmp_path)


def by_name(meta):
    return {shown["exposure"]: shown for shown in meta["exposures"]}


def test_pixels_are_those_of_the_files(observation):
    meta, arrays = cutouts(observation, SOURCE)
    assert [shown["exposure"] for shown in meta["exposures"]] == [str(n) for n in NAMES] and not meta["problems"]
    for name in NAMES:
        cal, bkgsub = (SlitCal.read(observation.workspace.slit(name, SOURCE, suffix)) for suffix in (CAL, BKGSUB))
        for key, slit in (("cal", cal), ("bkgsub", bkgsub)):
            found = arrays[f"{name}/{key}"]
            assert found.dtype == np.float32 and found.shape == slit.shape
            assert np.array_equal(np.isnan(found), slit.dq & 1 > 0)
            assert np.allclose(found, slit.sci * 1e12, equal_nan=True, rtol=1e-6, atol=0)
        assert np.allclose(arrays[f"{name}/wave"], np.median(cal.wave, axis=0), atol=0.02)
        assert np.allclose(arrays[f"{name}/source"], source_rows(cal), atol=0.01)


def test_shutters_lie_where_their_pixels_are(observation):
    meta, arrays = cutouts(observation, SOURCE)
    for shown in meta["exposures"]:
        name = ExposureName(shown["exposure"])
        slit = SlitCal.read(observation.workspace.slit(name, SOURCE, CAL))
        assert [s["column"] for s in shown["shutters"]] == [49, 50, 51]
        assert [s["ordinal"] for s in shown["shutters"]] == [1, 2, 3]
        rows, shutter = np.arange(slit.shape[0])[:, None], np.rint(slit.slit_y)
        edges = arrays[f"{name}/edges"]
        for k, s in enumerate(shown["shutters"]):
            low, high = np.sort(edges[k], axis=0)
            clear = np.minimum(abs(rows - low), abs(rows - high)) > 0.02
            assert np.array_equal(((rows > low) & (rows < high))[clear], (shutter == s["column"])[clear])
            assert s["y_low"] < s["y_high"] and s["y_low"] == pytest.approx(np.median(low), abs=0.01)
        own = [s["column"] for s in shown["shutters"] if s["has_source"]]
        assert own == [round(slit.planned[SOURCE][1])], "of every nod another"
        assert shown["source_row"] == pytest.approx(np.nanmedian(source_rows(slit)), abs=0.01)
    assert meta["slits"][ROOT]["neighbours"] == [8]


def test_states_of_shutters(observation):
    place = observation.workspace
    found = [(0, 1, 49, "closed", True), (7, 1, 49, "unknown", False), (7, 2, 50, "vignetted", False)]
    write_found(place, [*found, (7, 3, 52, "closed", True), (9, 1, 49, "closed", True)])

    def states():
        meta, _ = cutouts(observation, SOURCE)
        (shown, *others) = (m["shutters"] for m in meta["exposures"])
        assert all([s["state"] for s in other] == [s["state"] for s in shown] for other in others)
        return [(s["ordinal"], s["column"], s["state"]) for s in shown], meta["slits"][ROOT]

    shown, slit = states()
    assert shown == [(1, 49, "unknown"), (2, 50, "open"), (3, 52, "stuck"), (0, 51, "closed")]
    assert (slit["closed"], slit["found"], slit["by_hand"]) == ([3], [3], False)
    mark_shutters(place, ROOT, SOURCE, [1])
    shown, slit = states()
    assert shown == [(1, 49, "stuck"), (2, 50, "open"), (3, 52, "open"), (0, 51, "closed")]
    assert (slit["closed"], slit["found"], slit["by_hand"]) == ([1], [3], True)
    mark_shutters(place, ROOT, SOURCE, [])
    assert states()[1]["closed"] == [] and states()[1]["by_hand"], "an empty list is a word too"
    mark_shutters(place, ROOT, SOURCE, None)
    assert states()[1]["closed"] == [3]


def test_a_shutter_that_calibration_left_out_keeps_its_place_and_ordinal(observation):
    """SHUTSTA of the cutout does not count it any more; what was found of it does."""
    place = observation.workspace
    write_found(place, [(7, 1, 48, "closed", True), *((7, k, 47 + k, "open", False) for k in (2, 3, 4))])
    meta, arrays = cutouts(observation, SOURCE)
    first = meta["exposures"][0]
    assert [first["shutters"][0][key] for key in ("ordinal", "column", "state")] == [1, 48, "stuck"]
    rows = arrays[f"{NAMES[0]}/edges"][0]
    assert (rows < 3).all() and (rows[0] < -1).all(), "mostly below the pixels of the cutout"


def test_cutouts_that_were_calibrated_with_an_unknown_slit_are_not_edited(observation):
    for name in NAMES:
        with fits.open(observation.workspace.slit(name, SOURCE, CAL), mode="update") as hdus:
            hdus[0].header["NFTASK"] = "calibrate 4"
    meta, _ = cutouts(observation, SOURCE)
    assert not meta["slits"][ROOT]["editable"] and meta["exposures"][0]["shutters"] == []


def test_nods(observation):
    def nods():
        meta, _ = cutouts(observation, SOURCE)
        keys = ("backgrounds", "usual", "background_only", "left_out", "left_out_for_all")
        return [tuple(shown[key] for key in keys) for shown in meta["exposures"]]

    place = observation.workspace
    free = [([2, 3], [2, 3]), ([1, 3], [1, 3]), ([1, 2], [1, 2])]
    assert nods() == [(*two, False, False, False) for two in free]
    choose_nods(place, ROOT, SOURCE, {"1": [2], "3": []}, [])
    assert nods() == [
        ([2], [2, 3], False, False, False),
        ([1, 3], [1, 3], False, False, False),
        ([], [1, 2], True, False, False),
    ]
    place.nod_list.write_text(f"[{ROOT}]\nall = {{ left_out = [2], 1 = [3] }}\n7 = {{ left_out = [3] }}\n")
    assert nods() == [
        ([3], [3], False, False, False),
        ([1, 3], [1, 3], False, True, True),
        ([1], [1], False, True, False),
    ]


def test_detectors_and_activities_are_groups_of_their_own(observation, made):
    folder = observation.workspace.source_folder(SOURCE)
    painted.renamed([p for p in made if BKGSUB in p.name], folder, "nrs1", "nrs2")
    painted.renamed([p for p in made if BKGSUB in p.name], folder, ROOT, ROOT.replace("03101", "05101"))
    shown = by_name(cutouts(observation, SOURCE)[0])
    assert len(shown) == 9
    assert shown[f"{ROOT}_00001_nrs2"]["together"] == [1, 2, 3]
    spec = type("Spec", (), {"config_groups": (("03101", "05101"),), "masks": {}})()
    joined = by_name(cutouts(replace(observation, spec=spec), SOURCE)[0])
    assert joined[f"{ROOT}_00001_nrs1"]["together"] == [1, 2, 3, "05101_00001", "05101_00002", "05101_00003"]


def test_without_a_cal_the_sky_is_put_back(observation):
    _, before = cutouts(observation, SOURCE)
    for name in NAMES:
        observation.workspace.slit(name, SOURCE, CAL).unlink()
    _, after = cutouts(observation, SOURCE)
    key = f"{NAMES[0]}/cal"
    good = np.isfinite(after[key])
    assert good.mean() > 0.9 and np.allclose(after[key][good], before[key][good], rtol=1e-4, atol=1e-3)


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(observation):
    place = observation.workspace
    path = place.slit(NAMES[1], SOURCE, CAL)
    path.write_bytes(path.read_bytes()[:5000])
    place.stuck_list.write_text("[nonsense")
    meta, arrays = cutouts(observation, SOURCE)
    shown = by_name(meta)
    assert path.name in shown[str(NAMES[1])]["error"] and f"{NAMES[1]}/bkgsub" in arrays
    assert shown[str(NAMES[0])]["error"] is None
    assert any("stuck_closed" in problem for problem in meta["problems"])
    place.stuck_list.unlink()
    assert cutouts(observation, 404) == ({"source": 404, "exposures": [], "slits": {}, "problems": []}, {})


def test_a_file_is_read_again_when_it_changed(observation):
    """Also by another of the same size, written in the same tick of the file system's clock."""
    path = observation.workspace.slit(NAMES[0], SOURCE, CAL)
    then = path.stat().st_mtime_ns
    first = read_cutout(path)
    assert read_cutout(path) is first
    with fits.open(path) as hdus:
        hdus["SCI"].data *= 2
        hdus.writeto(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    os.utime(path, ns=(then, then))
    assert np.allclose(read_cutout(path).sci, 2 * first.sci, equal_nan=True)
    assert read_cutout(path.with_name("absent.fits")) is None
