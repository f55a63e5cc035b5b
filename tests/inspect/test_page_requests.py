"""How the page asks the server: what is asked for before its modules are there, how answers are read; run by node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import nirfire.inspect
from nirfire.inspect.payload import pack

API = (Path(nirfire.inspect.__file__).parent / "static" / "api.js").as_uri()
BROWSER = """
const asked = [];
globalThis.location = {hash: given.hash};
globalThis.localStorage = {getItem: (name) => ({"nirfire-token": "sesame", "nirfire.user": given.user})[name] ?? null};
globalThis.document = {querySelectorAll: () => []};
globalThis.fetch = async (path, {headers}) => {
  asked.push([path, headers]);
  if (given.away) throw new TypeError("Failed to fetch");
  return new Response(given.body, {status: given.status, headers: {"content-type": "application/json"}});
};
const {createApi, decode} = await import(given.api);
const api = createApi(() => given.user);
const tell = (found) => process.stdout.write(JSON.stringify(found));
const failed = ({status, message, remedy}) => [status, message, remedy];
"""


def page(script: str, sent: bytes = b"", **more):
    """What a script tells that has the little of a browser that requests need."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")
    given = {"api": API, "hash": "", "user": "Zoë", "body": "{}", "status": 200} | more
    code = f"const given = {json.dumps(given)};\n{BROWSER}{script}"
    done = subprocess.run([node, "--input-type=module", "--eval", code], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_page_reads_what_the_server_packs():
    arrays = {"z": np.array([1.5, 2.25]), "none": np.zeros(0, "f4"), "same": np.full((2, 3), 7, "u2")}
    script = """
    import { readFileSync } from "node:fs";
    const {meta, arrays} = decode(new Uint8Array(readFileSync(0)).buffer);
    const told = Object.entries(arrays).map(([name, {data, shape}]) => [name, data.constructor.name, [...data], shape]);
    tell([meta, told]);
    """
    meta, told = page(script, pack({"said": "Hα"}, arrays))
    assert meta == {"said": "Hα"}
    assert told == [
        ["z", "Float64Array", [1.5, 2.25], [2]],
        ["none", "Float32Array", [], [0]],
        ["same", "Uint16Array", [7] * 6, [2, 3]],
    ]


@pytest.mark.parametrize(("address", "more"), [("", []), ("#/object/0101", ["/api/object/101"]), ("#/conflicts", [])])
def test_the_first_view_is_asked_for_at_once_and_once(address, more):
    script = """
    const early = asked.length;
    await Promise.all([api.session(), api.objects(), given.hash.includes("object") && api.object(101)]);
    const more = asked.length - early;
    await api.objects();
    tell([asked, early, more]);
    """
    asked, early, more_asked = page(script, hash=address)
    assert [path for path, _ in asked[:early]] == ["/api/session", *more, "/api/objects"]
    assert more_asked == 0 and len(asked) == early + 1, "the next time anew"
    assert all(sent == {"X-Nirfire-Token": "sesame", "X-Nirfire-User": "Zo%C3%AB"} for _, sent in asked)


def test_what_was_asked_for_early_is_for_the_same_person_alone():
    script = """
    await createApi(() => "bob").objects();
    tell(asked.filter(([path]) => path === "/api/objects").map(([, sent]) => sent["X-Nirfire-User"] ?? ""));
    """
    assert page(script, user="") == ["", "bob"]


def test_an_early_refusal_is_told_where_it_is_waited_for():
    script = "tell(await api.session().catch(failed));"
    body = json.dumps({"error": "the token is missing", "remedy": "open the address"})
    assert page(script, status=403, body=body) == [403, "the token is missing", "open the address"]
    assert page(script, away=True)[0] == 0
