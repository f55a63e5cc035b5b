"""Votes on their way from the page to the server, and what the page takes for its own; run by node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import nirfire.inspect

STATIC = Path(nirfire.inspect.__file__).parent / "static"
SETUP = """
const kept = new Map();
globalThis.localStorage = {
  get length() { return kept.size; },
  key: (k) => [...kept.keys()][k],
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, text) => kept.set(name, text),
  removeItem: (name) => kept.delete(name),
};
let now = 1e12;
Date.now = () => now;
globalThis.setTimeout = () => 0; // a retry comes when the test asks for it, however slow the machine is
const sent = [], events = [];
let away = true;
async function send(vote) {
  if (away) throw Object.assign(new Error("away"), { status: 0 });
  sent.push({ ...vote.body, user: vote.user });
  return { saved: vote.body, own: { ...vote.body, uuid: "head", user: vote.user, n_votes: sent.length } };
}
const soon = () => new Promise((done) => setImmediate(done));
function made() {
  const queue = createQueue(send);
  queue.on((event) => events.push(event));
  return queue;
}
"""
STORE = """
function appOf(own, told) {
  const put = [];
  let state = { source: 7, own: new Map(own ? [[7, own]] : []), z: 3,
    object: { meta: { source: 7, spectra: [{ key: "p_c", spec: "s", fit: "f" }], votes: { own: told } } } };
  const app = { session: { user: "ann" }, said: [], say: (text) => app.said.push(text), put,
    state: { get: () => state, set: (patch) => (state = { ...state, ...patch }) },
    api: { queue: { put: (user, body) => put.push(body) } } };
  return app;
}
const told = { uuid: "b", quality: 4, z: 2, flags: { p_c: 1 }, comment: "x", tags: ["t"],
  seen: { p_c: { spec: "old" } }, heads: ["a", "b"], rivals: [], n_votes: 3 };
const twice = { ...told, quality: 0, z: null, seen: {}, rivals: [{}, {}] };
"""


@pytest.fixture(scope="module")
def run():
    """Run a script that uses queue.js and draft.js; what it puts into ``found``."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")

    def found(script: str) -> dict:
        imports = f'import {{ createQueue }} from "{(STATIC / "queue.js").as_uri()}";\n'
        imports += f'import * as draft from "{(STATIC / "draft.js").as_uri()}";\n'
        text = f"{imports}{SETUP}{STORE}const found = {{}};\n{script}\nprocess.stdout.write(JSON.stringify(found));"
        text += "\nprocess.exit(0);"
        command = [node, "--input-type=module", "--eval", text]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return found


def test_a_chain_goes_out_in_its_order_after_a_reload_and_with_its_age(run):
    """Made while the server was away; the clock was set back between the key presses."""
    found = run("""
        const first = made();
        first.start("w");
        first.put("ann", { uuid: "1", builds_on: [] });
        now -= 60000;
        first.put("ann", { uuid: "2", builds_on: ["1"] });
        first.put("ann", { uuid: "3", builds_on: ["2"] });
        await soon();
        found.before = sent.length;
        kept.set("nirfire.vote.other.9", JSON.stringify({ user: "ann", body: { uuid: "9" }, at: 0 }));
        kept.set("nirfire.vote.w.0", JSON.stringify({ user: "bob", body: { uuid: "0" }, at: now + 5000 }));
        now += 3 * 86400e3;
        away = false;
        const second = made();
        second.start("w");
        await soon();
        found.sent = sent;
        found.left = [...kept.keys()];
        found.told = events.filter(({ kind }) => kind === "saved").map(({ vote }) => [vote.uuid, vote.n_votes]);
    """)
    assert found["before"] == 0
    assert [one["uuid"] for one in found["sent"]] == ["0", "1", "2", "3"]
    ages = [one["age"] for one in found["sent"]]
    assert ages == [3 * 86400 - 5, 3 * 86400 - 60, 3 * 86400, 3 * 86400]
    assert found["left"] == ["nirfire.vote.other.9"], "of another workspace"
    assert found["told"] == [["0", 1], ["1", 2], ["2", 3], ["3", 4]], "by the names that the page gave them"


def test_a_vote_at_which_the_server_fails_does_not_hold_up_the_others(run):
    found = run("""
        const queue = createQueue(async (vote) => {
          if (vote.body.uuid === "1") throw Object.assign(new Error("an error inside the server"), { status: 500 });
          away = false;
          return send(vote);
        });
        queue.start("w");
        for (const uuid of ["1", "2", "3"]) queue.put("ann", { uuid, builds_on: [] });
        for (let k = 0; k < 3; k++) { await soon(); queue.retry(); }
        await soon();
        found.sent = sent.map(({ uuid }) => uuid);
        found.left = queue.pending().map(({ body }) => body.uuid);
        found.kept = [...kept.keys()];
    """)
    assert found == {"sent": ["2", "3"], "left": ["1"], "kept": ["nirfire.vote.w.1"]}


def test_what_cannot_be_read_does_not_hold_back_what_was_kept(run):
    found = run("""
        kept.set("nirfire.vote.w.0", "{half");
        kept.set("nirfire.vote.w.1", JSON.stringify({ user: "ann", body: { uuid: "1" }, at: now }));
        away = false;
        made().start("w");
        await soon();
        found.sent = sent.map(({ uuid }) => uuid);
        found.left = [...kept.keys()];
    """)
    assert found == {"sent": ["1"], "left": ["nirfire.vote.w.0"]}


def test_an_age_is_never_negative(run):
    found = run("""
        const queue = made();
        queue.start("w");
        queue.put("ann", { uuid: "1", builds_on: ["elsewhere"] });
        await soon();
        now -= 5000;
        away = false;
        queue.retry();
        await soon();
        found.sent = sent;
    """)
    assert [one["age"] for one in found["sent"]] == [0]


def test_a_vote_builds_on_all_that_the_page_showed(run):
    found = run("""
        let app = appOf(null, null);
        draft.grade(app, 4);
        found.first = app.put[0];
        app = appOf(null, told);
        draft.toggleFlag(app, "p_c", 4);
        draft.grade(app, 1);
        draft.clearGrade(app);
        found.chain = app.put;
        found.own = draft.ownVote(app);
    """)
    first, (flag, grade, clear) = found["first"], found["chain"]
    assert (first["builds_on"], first["regrades"], first["quality"], first["z"]) == ([], True, 4, 3)
    assert (flag["builds_on"], flag["regrades"], flag["flags"]) == (["a", "b"], False, {"p_c": 5})
    assert (flag["quality"], flag["z"], flag["seen"], flag["comment"]) == (4, 2, {"p_c": {"spec": "old"}}, "x")
    assert (grade["builds_on"], grade["regrades"], grade["z"], grade["tags"]) == ([flag["uuid"]], True, None, ["t"])
    assert (clear["builds_on"], clear["regrades"], clear["quality"]) == ([grade["uuid"]], True, 0)
    assert clear["flags"] == {"p_c": 5} and found["own"]["uuid"] == clear["uuid"]


def test_two_grades_of_one_person_are_not_settled_by_a_comment(run):
    found = run("""
        let app = appOf(null, twice);
        draft.note(app, { comment: "y" });
        found.note = app.put[0];
        app = appOf(null, twice);
        draft.clearGrade(app);
        found.clear = app.put[0];
    """)
    note, clear = found["note"], found["clear"]
    assert (note["builds_on"], note["regrades"], note["quality"], note["z"]) == (["a", "b"], False, 0, None)
    assert (clear["builds_on"], clear["regrades"], clear["quality"], clear["z"]) == (["a", "b"], True, 0, None)


def test_a_comment_builds_on_what_was_shown_when_its_writing_began(run):
    found = run("""
        const app = appOf(null, { ...told, heads: ["later"], comment: "of elsewhere" });
        draft.note(app, { comment: "mine" }, told);
        found.note = app.put[0];
    """)
    assert (found["note"]["builds_on"], found["note"]["comment"]) == (["a", "b"], "mine")


def test_what_is_newer_is_shown(run):
    """By the number of votes that it takes into account, since clocks differ."""
    found = run("""
        const own = { ...told, quality: 2, n_votes: 4, time: "2000" };
        found.saved = draft.ownVote(appOf(own, { ...told, time: "2030" })).quality;
        found.fresh = draft.ownVote(appOf({ ...own, n_votes: 3 }, { ...told, time: "1990" })).quality;
        const waiting = draft.unsaved("ann", { uuid: "w", quality: 1 }, 0);
        found.waiting = draft.ownVote(appOf(waiting, told)).quality;
        found.heads = waiting.heads;
        found.none = draft.ownVote(appOf(null, null));
    """)
    assert found == {"saved": 2, "fresh": 4, "waiting": 1, "heads": ["w"], "none": None}
