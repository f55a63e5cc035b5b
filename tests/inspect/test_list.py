"""Votes and the list over HTTP, as the page asks for them."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import pytest

from nirfire.inspect.index import Catalogue
from nirfire.inspect.listing import Reader, listing
from nirfire.inspect.payload import pack, unpack
from nirfire.inspect.store import Store
from nirfire.products.naming import Workspace
from tests.inspect import served
from tests.inspect.votes import at, big_catalogue, grows_old, vote, write_source

SEEN = {"prism_clear": {"spec": "s1", "fit": "f1"}}


@pytest.fixture
def place(tmp_path):
    made = Workspace(tmp_path, "ws")
    for source in (7, 8, 9):
        write_source(made, source)
    return made


@pytest.fixture
def client(place):
    made = served.client(place)
    yield made
    served.closed(made)


@pytest.fixture
def blind(place):
    made = served.client(place, blind=True)
    yield made
    served.closed(made)


def ballot(source: int = 7, z: float | None = 2.5, quality: int = 3, **more) -> dict:
    return {"uuid": str(uuid4()), "source": source, "z": z, "quality": quality, "seen": SEEN} | more


def post(client, body, user: str = ""):
    named = {"X-Nirfire-User": quote(user)} if user else {}
    return client.post("/api/votes", json=body, headers=served.CHANGE | named)


def listed(client, user: str = "") -> tuple[dict, dict]:
    answer = client.get("/api/objects", headers={"X-Nirfire-User": quote(user)} if user else {})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/octet-stream"
    return unpack(answer.content)


def test_a_vote_is_saved_and_told_back(client):
    said = ballot(
        flags={"prism_clear": 4, "g395m_f290lp": 0}, comment=" Hα\r\nand [N II] ", tags=["LRD", "faint", "LRD"]
    )
    answer = post(client, said, "Zoë")
    assert answer.status_code == 200
    saved = answer.json()["saved"]
    assert saved["time"].endswith("Z") and saved["stale"] is False and saved["user"] == "Zoë"
    assert (saved["flags"], saved["comment"], saved["tags"]) == ({"prism_clear": 4}, "Hα\nand [N II]", ["LRD", "faint"])
    assert post(client, said, "Zoë").json()["saved"] == saved  # once more: the same vote
    assert post(client, said | {"comment": "other"}, "Zoë").status_code == 409
    history = client.get("/api/votes/7").json()
    assert history == {"source": 7, "votes": [saved], "hidden": 0}
    assert client.get("/api/votes/8").json()["votes"] == []


def test_what_can_be_typed_or_pasted_is_kept(client):
    pasted = ballot(
        comment="Hα\u00a0: broad\u2028see \U0001f469\u200d\U0001f680\u00ad", tags=["\U0001f469\u200d\U0001f680"]
    )
    saved = post(client, pasted, "ann").json()["saved"]
    assert saved["comment"] == "Hα\u00a0: broad\nsee \U0001f469\u200d\U0001f680\u00ad"
    assert saved["tags"] == ["\U0001f469\u200d\U0001f680"]


def test_quality_1_has_no_redshift_and_0_takes_a_grade_back(client):
    assert post(client, ballot(quality=1, z=2.5)).json()["saved"]["z"] is None
    assert post(client, ballot(quality=0, z=None, comment="again")).status_code == 200
    meta, arrays = listed(client)
    assert arrays["quality"].tolist() == [0, 0, 0] and arrays["n_voters"].tolist() == [0, 0, 0]
    assert meta["comments"] == {"7": "again"}
    assert len(client.get("/api/votes/7").json()["votes"]) == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"z": None}, 422),
        ({"quality": 5}, 422),
        ({"quality": "3"}, 422),
        ({"z": 51.0}, 422),
        ({"z": -0.2}, 422),
        ({"z": True}, 422),
        ({"uuid": "1"}, 422),
        ({"source": -7}, 422),
        ({"source": 2**31}, 422),
        ({"source": 70}, 404),
        ({"flags": {"prism_clear": 512}}, 422),
        ({"flags": {"prism_clear": 256}}, 422),
        ({"flags": {"g395m_f290lp": 128}}, 422),
        ({"flags": {"../x": 1}}, 422),
        ({"comment": "x" * 4001}, 422),
        ({"comment": "\x00"}, 422),
        ({"tags": ["a,b"]}, 422),
        ({"tags": [""]}, 422),
        ({"tags": ["t"] * 21}, 422),
        ({"seen": {"prism_clear": {"spec": "<script>", "fit": None}}}, 422),
        ({"user": "eve"}, 422),
        ({"builds_on": ["x"]}, 422),
        ({"builds_on": "x"}, 422),
        ({"regrades": 1}, 422),
        ({"age": -1.0}, 422),
        ({"time": "2026-01-01T00:00:00.000000Z"}, 422),
        ({"saved": ""}, 422),
    ],
)
def test_what_is_no_vote_is_refused(client, change, status):
    answer = post(client, ballot() | change)
    assert answer.status_code == status and set(answer.json()) == {"error", "remedy"}
    assert client.app.state.context.store.votes() == []


def test_a_name_that_is_none_is_refused(client):
    for name in ("x" * 41, "a\nb", "   "):
        assert post(client, ballot(), name).status_code == 400
    assert client.get("/api/objects", headers={"X-Nirfire-User": "%ff"}).status_code == 400


def test_a_read_only_workspace_says_so(client, place):
    client.app.state.context.store.read_only = True
    answer = post(client, ballot())
    assert answer.status_code == 403 and "read only" in answer.json()["error"]


def test_a_busy_store_is_no_reason_to_drop_a_vote(client, place):
    """The page drops what is refused with 4xx, and sends again what is not."""
    store = client.app.state.context.store
    store._db.execute("PRAGMA busy_timeout = 50")
    said = ballot()
    with closing(sqlite3.connect(place.inspection, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = post(client, said)
        assert answer.status_code == 503 and "locked" in answer.json()["error"]
        other.execute("ROLLBACK")
    assert post(client, said).status_code == 200
    assert len(store.votes()) == 1


def test_on_a_network_disk_it_is_none_either_and_whole_chains_are_kept(place, monkeypatch):
    """There a reader waits for a writer."""
    monkeypatch.setattr("nirfire.inspect.store.network_type", lambda path: "nfs")
    client = served.client(place)
    client.app.state.context.store._db.execute("PRAGMA busy_timeout = 50")
    first = ballot(builds_on=[], regrades=True)
    second = ballot(quality=4, builds_on=[first["uuid"]], regrades=True)
    with closing(sqlite3.connect(place.inspection, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert [post(client, one).status_code for one in (first, first)] == [503, 503]
        other.execute("ROLLBACK")
    assert [post(client, one).status_code for one in (first, second)] == [200, 200]
    with closing(sqlite3.connect(place.inspection, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert post(client, second).status_code == 503, "it was saved, which the page hears when it sends it again"
        other.execute("ROLLBACK")
    assert post(client, second).json()["own"]["n_votes"] == 2
    served.closed(client)


def test_two_servers_that_save_at_once_lose_nothing(place):
    """The same person in two browsers, each at a server of its own."""

    def grade(number: int) -> None:
        for k in range(12):
            assert (
                post(clients[number], ballot(7 + k % 3, 1.0 + number, 3, comment=f"{number} {k}"), "ada").status_code
                == 200
            )

    clients = [served.client(place), served.client(place)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(grade, range(2)))
    for client in clients:
        kept = [one for source in (7, 8, 9) for one in client.get(f"/api/votes/{source}").json()["votes"]]
        assert {one["comment"] for one in kept} == {f"{number} {k}" for number in range(2) for k in range(12)}
    own = [listed(client, "ada")[1]["z_own"].tolist() for client in clients]
    assert own[0] == own[1]
    for client in clients:
        served.closed(client)


def test_the_list_tells_own_votes_and_consensus(client):
    post(client, ballot(7, 3.0, 4, flags={"prism_clear": 36}, tags=["LRD"], comment="mine"), "ada")
    post(client, ballot(7, 3.01, 3, tags=["faint"], comment="his"), "bob")
    post(client, ballot(8, 5.0, 4), "bob")
    meta, arrays = listed(client, "ada")
    assert arrays["source"].tolist() == [7, 8, 9] and meta["complete"] is True
    assert arrays["quality"].tolist() == [4, 0, 0] and arrays["flags"].tolist() == [36, 0, 0]
    np.testing.assert_array_equal(arrays["z_own"], [3.0, np.nan, np.nan])
    np.testing.assert_allclose(arrays["consensus_z"], [3.005, 5.0, np.nan])
    assert arrays["consensus_quality"].tolist() == [3, 4, 0] and arrays["n_voters"].tolist() == [2, 1, 0]
    assert meta["comments"] == {"7": "mine"} and meta["remarks"] == {"7": "bob: his"}
    assert meta["tags"] == {"7": ["LRD", "faint"]} and meta["spectra"] == ["prism_clear"]
    kinds = {name: str(array.dtype) for name, array in arrays.items()}
    assert kinds == {
        "source": "int32", "ra": "float64", "dec": "float64", "z": "float64", "z_err": "float32", "zprob": "float32",
        "zwarn": "int32", "snr": "float32", "n_lines": "int32", "gratings": "uint32", "origin": "int8",
        "quality": "int8", "flags": "int32", "stale": "uint8", "conflict": "uint8", "n_voters": "int8",
        "consensus_quality": "int8", "z_own": "float64", "consensus_z": "float64",
    }  # fmt: skip


def test_two_people_in_conflict_until_one_gives_way(client):
    post(client, ballot(8, 2.0, 4), "ada")
    post(client, ballot(8, 6.0, 4), "bob")
    assert listed(client, "ada")[1]["conflict"].tolist() == [0, 1, 0]
    (found,) = client.get("/api/conflicts").json()["conflicts"]
    assert (found["source"], found["n_voters"], found["n_agree"]) == (8, 2, 1)
    assert [(one["user"], one["z"]) for one in found["votes"]] == [("ada", 2.0), ("bob", 6.0)]
    post(client, ballot(8, 6.01, 4), "ada")
    assert client.get("/api/conflicts").json() == {"conflicts": []}
    assert listed(client, "cy")[1]["consensus_z"][1] == pytest.approx(6.005)


def told(client, user: str = "") -> dict:
    """What a page is told that shows source 8."""
    (entry,) = client.get("/api/conflicts", headers={"X-Nirfire-User": user}).json()["conflicts"]
    return entry


def test_two_windows_of_one_person_lose_nothing(client):
    """Both show the same grade; one changes it, the other sets a flag on it and hears of the change."""
    old = post(client, ballot(8, 1.0, 2, builds_on=[], regrades=True), "ada").json()["own"]
    assert (old["heads"], old["rivals"], old["n_votes"]) == ([old["uuid"]], [], 1)
    new = ballot(8, 3.0, 4, builds_on=old["heads"], regrades=True)
    flag = ballot(8, 1.0, 2, flags={"prism_clear": 4}, builds_on=old["heads"], regrades=False)
    assert post(client, new, "ada").json()["own"]["heads"] == [new["uuid"]]
    answer = post(client, flag, "ada").json()
    assert (answer["saved"]["quality"], answer["own"]["quality"], answer["own"]["z"]) == (2, 4, 3.0)
    assert answer["own"]["flags"] == {"prism_clear": 4} and answer["own"]["n_votes"] == 3
    assert set(answer["own"]["heads"]) == {new["uuid"], flag["uuid"]}
    arrays = listed(client, "ada")[1]
    assert (arrays["quality"][1], arrays["z_own"][1], arrays["flags"][1], arrays["conflict"][1]) == (4, 3.0, 4, 0)
    assert len(client.get("/api/votes/8").json()["votes"]) == 3


def test_two_grades_of_one_person_are_told_and_in_the_queue(client):
    old = ballot(8, 1.0, 2, builds_on=[], regrades=True)
    post(client, old, "ada")
    post(client, ballot(8, 3.0, 4), "bob")
    for z, quality in ((3.0, 4), (5.0, 3)):
        answer = post(client, ballot(8, z, quality, builds_on=[old["uuid"]], regrades=True), "ada").json()
    assert [(one["z"], one["quality"]) for one in answer["own"]["rivals"]] == [(3.0, 4), (5.0, 3)]
    assert (answer["own"]["quality"], answer["own"]["z"]) == (0, None)
    entry = told(client, "cy")
    assert (entry["twice"], entry["n_voters"]) == (["ada"], 2)
    assert [(one["user"], one["z"]) for one in entry["votes"]] == [("ada", 3.0), ("ada", 5.0), ("bob", 3.0)]
    arrays = listed(client, "ada")[1]
    assert (arrays["quality"][1], arrays["conflict"][1], arrays["n_voters"][1]) == (0, 1, 2)
    last = ballot(8, 3.0, 4, builds_on=answer["own"]["heads"], regrades=True)
    assert post(client, last, "ada").json()["own"]["rivals"] == []
    assert client.get("/api/conflicts").json() == {"conflicts": []}


def test_who_gave_two_grades_is_not_blind(blind):
    post(blind, ballot(8, 3.0, 4), "bob")
    for z in (1.0, 5.0):
        post(blind, ballot(8, z, 4, builds_on=[], regrades=True), "ada")
    assert told(blind, "ada")["twice"] == ["ada"]
    assert blind.get("/api/conflicts", headers={"X-Nirfire-User": "cy"}).json() == {"conflicts": []}


def test_votes_that_waited_apply_in_their_order_and_keep_their_times(client):
    """Three key presses while the server was away, sent one after another when it is back; the first one twice."""
    first = ballot(8, 1.0, 2, builds_on=[], regrades=True)
    second = ballot(8, 1.0, 2, flags={"prism_clear": 1}, builds_on=[first["uuid"]], regrades=False)
    third = ballot(8, 3.0, 4, flags={"prism_clear": 1}, builds_on=[second["uuid"]], regrades=True)
    post(client, ballot(8, 9.0, 3, builds_on=[], regrades=True, age=100.0), "ada")  # meanwhile, from elsewhere
    sent = [(first, 86400.0), (first, 86401.5), (second, 86390.0), (third, 86395.0)]  # the clock was set in between
    saved = [post(client, one | {"age": age}, "ada").json() for one, age in sent]
    assert saved[0]["saved"] == saved[1]["saved"]
    times = [saved[k]["saved"]["time"] for k in (0, 2, 3)]
    assert times == sorted(times)
    waited = [np.datetime64(one["saved"]["saved"][:-1]) - np.datetime64(one["saved"]["time"][:-1]) for one in saved]
    assert all(np.timedelta64(86380, "s") < one < np.timedelta64(86401, "s") for one in waited)
    own = saved[-1]["own"]
    assert [(one["z"], one["quality"]) for one in own["rivals"]] == [(3.0, 4), (9.0, 3)]
    assert own["flags"] == {"prism_clear": 1} and own["n_votes"] == 4


def test_blind_people_see_nothing_of_others_before_they_graded(blind):
    for name, z in (("bob", 2.0), ("cy", 6.0)):
        post(blind, ballot(8, z, 4, comment="look", tags=["LRD"]), name)
    meta, arrays = listed(blind, "ada")
    for name in ("conflict", "n_voters", "consensus_quality", "quality"):
        assert not arrays[name].any(), name
    assert np.isnan(arrays["consensus_z"]).all() and not meta["remarks"] and not meta["tags"]
    assert blind.get("/api/conflicts", headers={"X-Nirfire-User": "ada"}).json() == {"conflicts": []}
    assert blind.get("/api/votes/8", headers={"X-Nirfire-User": "ada"}).json() == {
        "source": 8,
        "votes": [],
        "hidden": 2,
    }
    post(blind, ballot(8, 2.0, 3), "ada")
    meta, arrays = listed(blind, "ada")
    assert arrays["n_voters"].tolist() == [0, 3, 0] and meta["remarks"] == {"8": "bob: look | cy: look"}
    assert len(blind.get("/api/votes/8", headers={"X-Nirfire-User": "ada"}).json()["votes"]) == 3


def test_a_vote_is_stale_when_products_change_and_is_kept(client, place):
    post(client, ballot(7))
    post(client, ballot(8), "bob")
    assert not listed(client, "ann")[1]["stale"].any()
    write_source(place, 7, fit="f2")
    write_source(place, 8, spec="s2")
    arrays = listed(client, "ann")[1]
    assert arrays["stale"].tolist() == [1, 1, 0] and arrays["quality"].tolist() == [3, 0, 0]
    assert listed(client, "bob")[1]["stale"].tolist() == [1, 1, 0]
    (kept,) = client.get("/api/votes/7").json()["votes"]
    assert kept["stale"] is True and kept["z"] == 2.5
    late = post(client, ballot(7), "late").json()["saved"]  # what was on the page is not what is there now
    assert late["stale"] is True
    again = post(client, ballot(7, seen={"prism_clear": {"spec": "s1", "fit": "f2"}})).json()["saved"]
    assert again["stale"] is False and listed(client, "ann")[1]["stale"].tolist() == [0, 1, 0]


def test_votes_on_sources_that_are_gone_stay(client, place):
    post(client, ballot(9))
    for file in place.source_folder(9).iterdir():
        file.unlink()
    place.source_folder(9).rmdir()
    assert listed(client)[1]["source"].tolist() == [7, 8]
    assert client.get("/api/votes/9").json()["votes"][0]["stale"] is True


def test_nothing_is_sent_again_when_nothing_changed(client, place):
    for source in (7, 8, 9):
        grows_old(place.source_folder(source))
    tag = client.get("/api/objects").headers["etag"]
    again = client.get("/api/objects", headers={"If-None-Match": tag})
    assert again.status_code == 304 and again.content == b""
    post(client, ballot())
    changed = client.get("/api/objects", headers={"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag
    other = client.get("/api/objects", headers={"If-None-Match": changed.headers["etag"], "X-Nirfire-User": "bob"})
    assert other.status_code == 200


def test_50_000_sources_with_votes_are_packed_in_half_a_second(tmp_path):
    place = Workspace(tmp_path, "ws")
    big_catalogue(place, 50_000)
    index = Catalogue(place).index()
    with Store.open(place.inspection) as store:
        store.add_many(vote(source, time=at(source % 3600), seen=SEEN) for source in range(1, 3001))
        store.consensus()
        start = time.process_time()
        raw = pack(*listing(index, store, Reader("ada", False), lambda source: SEEN))
        assert time.process_time() - start < 0.5
    arrays = unpack(raw)[1]
    assert int((arrays["quality"] == 3).sum()) == 3000 and not arrays["stale"].any()
