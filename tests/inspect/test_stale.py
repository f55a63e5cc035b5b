"""From a mark in the page to the run that follows it: what is written, what is stale, what is redone."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from starlette.testclient import TestClient

from nirfire.inspect.app import create_app
from nirfire.inspect.context import Context
from nirfire.inspect.payload import unpack
from nirfire.inspect.stale import Watch
from nirfire.inspect.store import Store
from nirfire.pipeline.jobs import DONE
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.run import look_at
from nirfire.pipeline.select import Selection
from nirfire.products.atomic import write_fits
from nirfire.products.naming import RATE, ExposureName
from nirfire.products.nod_lists import read_nod_lists
from nirfire.products.regions import mask_of_regions
from nirfire.tasks.stuck import read_stuck

from ..pipeline import survey
from ..pipeline.survey import CARDS, ROOT, Bench
from ..pipeline.toy import descendants, those, write
from ..products import cutouts as painted

FIRST, SECOND = f"{ROOT}_00001_nrs1", f"{ROOT}_00002_nrs1"
SOURCE = 101
BOX = [[10, 20], [19, 20], [19, 24], [10, 24]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An observation of three sources and three nods that was run, with real cutouts; the rest are stand-ins."""
    folder = tmp_path_factory.mktemp("bench")
    cals = {path.name: path for path in painted.write_cals(folder, painted.nods(), source=SOURCE, others={103: 1.0})}

    def calibrate(cal, **_):
        if cal.name not in cals:
            return write(cal)
        with fits.open(cals[cal.name]) as hdus:
            return write_fits(cal, hdus)

    def clean(rateraw, rate, settings, regions=""):
        planes = [fits.ImageHDU(np.ones((32, 32), np.float32), name="SCI")]
        write_fits(rate, fits.HDUList([fits.PrimaryHDU(), *planes]))

    def shutters(inputs, table, settings):
        names = ("source", "ordinal", "shutter_column", "state", "level", "error", "chance", "closed")
        marks = [(s, k, s + k == 108) for s in (101, 103, 105) for k in (1, 2, 3)]
        found = [(s, k, 48 + k, "closed" if shut else "open", 1.0, 0.1, 0.5, shut) for s, k, shut in marks]
        rows = fits.BinTableHDU(Table(rows=found, names=names), name="VERDICTS")
        write_fits(table, fits.HDUList([fits.PrimaryHDU(), rows]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr("nirfire.inspect.stale.REST", 0.0)
        for task in (calibrate, clean, shutters):
            patch.setattr(survey, task.__name__, task)
        bench = Bench(folder, patch, nods=3)
        bench.run()
        yield bench


@pytest.fixture
def bench(finished):
    """The same, and as it was when the test is over."""
    place = finished.place
    yield finished
    for path in (place.stuck_list, place.nod_list, *place.masks.glob("*.reg")):
        path.unlink(missing_ok=True)


@contextmanager
def served(bench):
    """The page of a workspace."""
    bench.place.folder.mkdir(exist_ok=True)
    with Store.open(bench.place.inspection) as store:
        app = create_app(Context(bench.observation, store, "ada"), "secret")
        headers = {"X-Nirfire-Token": "secret", "X-Nirfire": "1", "Content-Type": "application/json"}
        yield TestClient(app, base_url="http://127.0.0.1:8000", headers=headers)


@pytest.fixture(scope="module")
def server(finished):
    with served(finished) as page:
        yield page


@pytest.fixture
def page(bench, server):
    return server


def states(bench):
    plan = look_at(bench.observation, Ledger.open(bench.place, read_only=True), Selection()).plan
    return {" ".join(job.id): state.status for job, state in zip(plan.jobs, plan.states, strict=True)}, plan


def test_a_stuck_shutter_makes_its_source_stale_and_a_run_redoes_that(bench, page):
    assert page.get("/api/stale").json()["jobs"] == 0
    answer = page.post("/api/shutters", json={"root": ROOT, "source": SOURCE, "closed": [3, 2]})
    assert answer.status_code == 200 and answer.json()["written"] == "stuck_closed_shutters.toml"
    assert read_stuck(bench.place.stuck_list) == {ROOT: {SOURCE: (2, 3)}}
    now, plan = states(bench)
    hit = descendants(plan.jobs, lambda job: job.stage == "calibrate" and job.source == SOURCE)
    assert those(now, "stale") == hit
    assert {job.source for job in plan.jobs if " ".join(job.id) in hit} == {SOURCE, None}, (
        "and the offsets of the visit"
    )
    stale = answer.json()["stale"]
    assert stale["sources"] == [SOURCE] and stale["jobs"] == len(hit)
    assert stale["stages"] == {"calibrate": 3, "nodsub": 1, "offsets": 1, "extract": 1, "redshift": 1}
    assert stale["why"][0] == [f"calibrate {FIRST} {SOURCE}", "arguments closed [] -> [2, 3]"]
    assert stale["command"] == f"nirfire run {bench.place.folder} --rerun stale" and stale["problem"] is None
    assert page.get("/api/stale").json() == stale
    done = bench.run(rerun="stale").outcomes
    assert those({f"{o.task} {o.key}": o.status for o in done}, DONE) == hit
    again = Watch(bench.observation).stale()
    assert (again.jobs, again.sources, again.why) == (0, [], [])
    page.post("/api/shutters", json={"root": ROOT, "source": SOURCE, "closed": None})
    assert those({f"{o.task} {o.key}": o.status for o in bench.run(rerun="stale").outcomes}, DONE) == hit, "and back"


def test_what_was_found_is_said_by_hand_and_taken_back(bench, page):
    meta, _ = unpack(page.get("/api/cutouts/105").content)
    slit = meta["slits"][ROOT]
    assert (slit["closed"], slit["found"], slit["by_hand"], slit["editable"]) == ([3], [3], False, True)
    body = {"root": ROOT, "source": 105}
    assert page.post("/api/shutters", json={**body, "closed": []}).json()["stale"]["sources"] == [105]
    assert unpack(page.get("/api/cutouts/105").content)[0]["slits"][ROOT]["by_hand"]
    assert page.post("/api/shutters", json={**body, "closed": [3]}).json()["stale"]["jobs"] == 0, "as was found"
    assert page.post("/api/shutters", json={**body, "closed": None}).json()["stale"]["jobs"] == 0
    assert read_stuck(bench.place.stuck_list) == {}


def test_nods(bench, page):
    body = {"root": ROOT, "source": SOURCE, "nods": {"1": [2], "03101_00002": []}, "left_out": ["03101_00003"]}
    answer = page.post("/api/nods", json=body).json()
    assert answer["written"] == "nods.toml" and answer["stale"]["sources"] == [SOURCE]
    assert "calibrate" not in answer["stale"]["stages"]
    assert "101 = {1 = [2], 2 = [], left_out = [3]}" in bench.place.nod_list.read_text()
    meta, arrays = unpack(page.get(f"/api/cutouts/{SOURCE}").content)
    first, second, third = meta["exposures"]
    assert (first["backgrounds"], first["usual"], first["left_out"]) == ([2], [2, 3], False)
    assert second["background_only"] and third["left_out"]
    assert arrays[f"{FIRST}/cal"].shape == (21, 60) and arrays[f"{FIRST}/edges"].shape == (3, 2, 60)
    answer = page.post("/api/nods", json={"root": ROOT, "source": SOURCE, "nods": None}).json()
    assert answer["stale"]["jobs"] == 0 and read_nod_lists(bench.place.nod_list) == {}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("shutters", {"source": SOURCE, "closed": [4]}, 422, "no shutter 4"),
        ("shutters", {"source": SOURCE, "closed": [0]}, 422, ""),
        ("shutters", {"source": SOURCE, "closed": ["3"]}, 422, ""),
        ("shutters", {"source": SOURCE, "closed": [True]}, 422, ""),
        ("shutters", {"source": SOURCE}, 422, ""),
        ("shutters", {"source": SOURCE, "closed": [1], "more": 1}, 422, ""),
        ("shutters", {"source": 999, "closed": [1]}, 404, "no exposure"),
        ("shutters", {"source": SOURCE, "closed": [1], "root": "jw01345062001_09101"}, 404, "no exposure"),
        ("shutters", {"source": SOURCE, "closed": [1], "root": "../../etc/passwd"}, 422, ""),
        ("nods", {"source": SOURCE, "nods": {"1": [1]}}, 422, "own background"),
        ("nods", {"source": SOURCE, "nods": {"1": [9]}}, 422, "no nod 9"),
        ("nods", {"source": SOURCE, "left_out": [7]}, 422, "no nod 7"),
        ("nods", {"source": SOURCE, "nods": {"x": [2]}}, 422, ""),
        ("nods", {"source": SOURCE, "left_out": ["05101_00001"]}, 422, "no nod 05101_00001"),
    ],
)
def test_what_makes_no_sense_is_refused(bench, page, path, body, status, said):
    answer = page.post(f"/api/{path}", json={"root": ROOT, **body})
    assert answer.status_code == status and said in answer.json()["error"]
    assert not bench.place.stuck_list.exists() and not bench.place.nod_list.exists()


def test_a_file_that_is_broken_by_hand_is_named_and_left_alone(bench, page):
    bench.place.stuck_list.write_text(f"[{ROOT}]\n101 = [3\n")
    answer = page.post("/api/shutters", json={"root": ROOT, "source": SOURCE, "closed": [1]})
    assert answer.status_code == 409
    assert str(bench.place.stuck_list) in answer.json()["error"] and "correct the line" in answer.json()["remedy"]
    assert bench.place.stuck_list.read_text() == f"[{ROOT}]\n101 = [3\n"
    stale = page.get("/api/stale").json()
    assert "not valid TOML" in stale["problem"] and stale["jobs"] == 0
    meta, _ = unpack(page.get(f"/api/cutouts/{SOURCE}").content)
    assert "not valid TOML" in meta["problems"][0] and len(meta["exposures"]) == 3
    assert len(page.get("/api/exposures").json()["exposures"]) == 3, "these go on"


def test_two_people_who_say_different_things_of_one_source(bench, page):
    """The second is told, and has not undone what the first has said."""
    meta, _ = unpack(page.get("/api/cutouts/105").content)
    seen = meta["slits"][ROOT]["seen"]
    body = {"root": ROOT, "source": 105}
    first = page.post("/api/shutters", json={**body, "closed": [1, 3], "seen": seen["shutters"]}).json()
    second = page.post("/api/shutters", json={**body, "closed": [2, 3], "seen": seen["shutters"]})
    assert second.status_code == 409 and "somebody has changed" in second.json()["error"]
    assert read_stuck(bench.place.stuck_list) == {ROOT: {105: (1, 3)}}
    same = page.post("/api/shutters", json={**body, "closed": [1, 3], "seen": seen["shutters"]})
    assert same.status_code == 200, "an answer that was lost, and asked for again"
    assert page.post("/api/shutters", json={"root": ROOT, "source": 103, "closed": [2]}).status_code == 200
    answer = page.post("/api/shutters", json={**body, "closed": [2, 3], "seen": first["seen"]})
    assert answer.status_code == 200 and read_stuck(bench.place.stuck_list)[ROOT][105] == (2, 3)
    seen = unpack(page.get(f"/api/cutouts/{SOURCE}").content)[0]["slits"][ROOT]["seen"]
    nods = {"root": ROOT, "source": SOURCE, "left_out": [2], "seen": seen["nods"]}
    assert page.post("/api/nods", json=nods).status_code == 200
    assert page.post("/api/nods", json={**nods, "left_out": [3]}).status_code == 409


def test_two_pages_at_once(bench, page):
    def mark(source):
        assert page.post("/api/shutters", json={"root": ROOT, "source": source, "closed": [1]}).status_code == 200

    both = [threading.Thread(target=mark, args=(source,)) for source in (SOURCE, 103, 105)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert read_stuck(bench.place.stuck_list) == {ROOT: {101: (1,), 103: (1,), 105: (1,)}}
    assert page.get("/api/stale").json()["sources"] == [101, 103, 105]


def test_masks(bench, page):
    exposures = page.get("/api/exposures").json()["exposures"]
    assert [one["exposure"] for one in exposures] == [FIRST, SECOND, f"{ROOT}_00003_nrs1"]
    assert exposures[0]["n_sources"] == 3 and exposures[0]["image"] and exposures[0]["editable"]
    answer = page.post(f"/api/masks/{FIRST}", json={"polygons": [BOX]}).json()
    assert answer["written"] == f"{FIRST}.reg"
    assert answer["stale"]["stages"]["clean"] == 1 and answer["stale"]["sources"] == [101, 103, 105]
    assert mask_of_regions(bench.place.mask(ExposureName(FIRST)).read_text(), (2048, 2048))[22, 15]
    meta, arrays = unpack(page.get(f"/api/rate/{FIRST}").content)
    assert arrays["image"].shape == (32, 32) and (arrays["runs"][:, 0] >= 20).all()
    (region,) = meta["mask"]
    assert region["drawn"] and np.allclose(region["points"], BOX) and "{inspect ada}" in region["text"]
    assert page.get("/api/exposures").json()["exposures"][0]["n_regions"] == 1
    page.post(f"/api/masks/{FIRST}", json={"polygons": [], "removed": [region["text"]]})
    assert page.get("/api/stale").json()["jobs"] == 0
    page.post(f"/api/masks/{SECOND}", json={"polygons": [BOX]})
    assert page.delete(f"/api/masks/{SECOND}").json()["written"] == f"{SECOND}.reg"
    assert page.delete(f"/api/masks/{SECOND}").status_code == 404
    assert page.get(f"/api/rate/{FIRST}?view=sky").status_code == 422, "a stand-in has no background"


@pytest.mark.parametrize(
    ("exposure", "polygons", "status"),
    [
        (FIRST, [[[0, 0], [5, 5]]], 422),
        (FIRST, [[[0, 0], [5, 5], [9, 9]]], 422),
        (FIRST, [[[0, 0], [5, 5], ["9", None]]], 422),
        (FIRST, [[[0, 0, 1], [5, 5], [9, 0]]], 422),
        (FIRST, [[[0, 0], [1e9, 5], [9, 0]]], 422),
        (f"{ROOT}_00009_nrs1", [BOX], 404),
        ("..%2f..%2fsecret", [BOX], 405),
        ("jw01345062001_03101_00001_nrs3", [BOX], 422),
    ],
)
def test_masks_that_make_no_sense_are_refused(bench, page, exposure, polygons, status):
    assert page.post(f"/api/masks/{exposure}", json={"polygons": polygons}).status_code == status
    assert not list(bench.place.masks.glob("*.reg"))


def test_exposures_that_came_in_cleaned_are_shown_and_not_masked(tmp_path, monkeypatch):
    bench = Bench(tmp_path, monkeypatch)
    header = fits.Header(CARDS | {"DETECTOR": "NRS1", "NFVSCALE": 1.0})
    image = fits.ImageHDU(np.ones((8, 8), np.float32), name="SCI")
    fits.HDUList([fits.PrimaryHDU(header=header), image]).writeto(bench.raw / f"{FIRST}{RATE}")
    with served(bench) as page:
        meta, _ = unpack(page.get(f"/api/rate/{FIRST}").content)
        assert not meta["editable"] and "came in cleaned" in meta["reason"]
        answer = page.post(f"/api/masks/{FIRST}", json={"polygons": [BOX]})
        assert answer.status_code == 409 and "came in cleaned" in answer.json()["error"]
        assert page.get(f"/api/rate/{SECOND}").status_code == 404, "no count rates yet"


def test_the_watch_looks_again_only_when_something_changed(bench, monkeypatch):
    watch = Watch(bench.observation)
    looks = []
    plan = watch._plan
    monkeypatch.setattr(watch, "_plan", lambda: looks.append(1) or plan())
    for _ in range(3):
        assert watch.stale().jobs == 0
    assert len(looks) == 1
    spec = next(bench.place.source_folder(103).glob("*_spec.fits"))
    kept = spec.with_name("kept")
    spec.rename(kept)
    watch.stale()
    assert len(looks) == 2, "a product is gone"
    shutil.move(kept, spec)
    bench.place.stuck_list.write_text(f"[{ROOT}]\n103 = [1]\n")
    assert watch.stale().sources == [103], "another program wrote it"
    assert len(looks) == 3


def test_a_workspace_that_cannot_be_planned_is_told_and_nothing_else(bench):
    raw = bench.raw.rename(bench.raw.with_name("away"))
    try:
        watch = Watch(bench.observation)
        stale = watch.stale()
        assert stale.jobs == 0 and "folder not found" in stale.problem
    finally:
        raw.rename(bench.raw)
    assert watch.stale(at_once=True).problem is None
