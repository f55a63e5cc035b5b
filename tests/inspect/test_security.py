"""The gate: a page of another site, another user of the machine, and bodies that do not end get nothing."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser

import pytest

from nirfire.inspect.app import STATIC, create_app
from nirfire.inspect.security import API, LARGEST_BODY, LARGEST_READ, SAID, Guard, Hosts, is_loopback, same

from . import served

HOST, OURS = f"127.0.0.1:{served.PORT}", served.HERE
OK = {"host": HOST, "x-nirfire-token": served.TOKEN}
WRITE = OK | {"x-nirfire": "1", "content-type": "application/json"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    made = served.client(served.made_workspace(tmp_path_factory.mktemp("ws")))
    yield made
    served.closed(made)


class Got:
    """An answer, as the server sends it."""

    def __init__(self, sent):
        start = next(m for m in sent if m["type"] == "http.response.start")
        self.status = start["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")


def ask(app, path, headers=OK, *, method="GET", body=(b"",)):
    """One request, with nothing made tidy on its way: headers are a dict or a list, the body comes in pieces."""
    pairs = headers.items() if isinstance(headers, dict) else headers
    query = b""
    if "?" in path:
        path, _, text = path.partition("?")
        query = text.encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode("utf-8")) for name, value in pairs],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", served.PORT),
    }
    left, sent = list(body), []

    async def receive():
        if not left:
            await asyncio.Event().wait()  # the connection stays
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return Got(sent)


def test_every_route_needs_the_token(page):
    paths = page.app.openapi()["paths"]
    guarded = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert {"/api/session", "/api/object/{source}", "/api/refit", "/api/votes"} <= {path for _, path in guarded}
    for method, path in guarded:
        for token in ({}, {"x-nirfire-token": ""}, {"x-nirfire-token": served.TOKEN[:-1]}, {"x-nirfire-token": "é☃"}):
            headers = {name: value for name, value in WRITE.items() if name != "x-nirfire-token"} | token
            found = ask(page.app, re.sub(r"\{\w+\}", "7", path), headers, method=method)
            assert found.status == 403, (method, path)
            assert set(json.loads(found.body)) == {"error", "remedy"}
    assert all(path.startswith(f"{API}/") for path in paths), "nothing else is open but the page"


@pytest.mark.parametrize("given", [{"cookie": f"nirfire={served.TOKEN}"}, {"authorization": f"Bearer {served.TOKEN}"}])
def test_the_token_is_taken_from_its_header_alone(page, given):
    assert ask(page.app, "/api/session", {"host": HOST} | given).status == 403
    assert ask(page.app, f"/api/session?token={served.TOKEN}", {"host": HOST}).status == 403


def test_the_address_with_the_token_leads_to_the_page(page):
    found = ask(page.app, f"/?token={served.TOKEN}", {"host": HOST})
    assert found.status == 200 and b"/enter.js" in found.body and served.TOKEN.encode() not in found.body
    assert found.headers["cache-control"] == "no-store" and "set-cookie" not in found.headers
    for wrong in ("x", "", served.TOKEN + "x", "%F0%9F%98%80", served.TOKEN.upper()):
        refused = ask(page.app, f"/?token={wrong}", {"host": HOST})
        assert refused.status == 403 and b"enter.js" not in refused.body, "a wrong token does not replace the kept one"
    assert b"main.js" in ask(page.app, "/", {"host": HOST}).body


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{served.PORT}", "127.0.0.1.evil.example", "localhost.evil.example", "", "10.0.0.1",
     f"127.0.0.1:{served.PORT}@evil.example", "127.0.0.1/x", "127.0.0.1 evil", "[::2]", "127.0.0.1:", "0.0.0.0"],
)  # fmt: skip
def test_other_hosts_are_refused(page, host):
    for path in ("/api/session", "/", "/main.js"):
        assert ask(page.app, path, OK | {"host": host}).status == 403


def test_exactly_one_host(page):
    token = ("x-nirfire-token", served.TOKEN)
    assert ask(page.app, "/api/session", [token]).status == 403
    assert ask(page.app, "/api/session", [token, ("host", HOST), ("host", "evil.example")]).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9", "localhost:4000", "LOCALHOST", "[::1]:8000"])
def test_own_names_and_tunnels_are_served(page, host):
    assert ask(page.app, "/api/session", OK | {"host": host}).status == 200


def test_hosts_of_a_server_on_the_network():
    assert not is_loopback("0.0.0.0") and not is_loopback("192.168.1.2") and not is_loopback("example.org")
    assert is_loopback("127.3.2.1") and is_loopback("::1") and is_loopback("localhost")
    every = Hosts.of("0.0.0.0")
    assert every.has("192.168.1.2:80") and every.has("[fe80::1]:80") and every.has("localhost")
    assert not every.has("evil.example")
    one = Hosts.of("192.168.1.2")
    assert one.has("192.168.1.2:80") and not one.has("192.168.1.3:80")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1", f"https://{HOST}", "",
               f"http://localhost:{served.PORT}", f"http://{HOST}.evil.example"],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(page, origin):
    for method, path in (("GET", "/api/session"), ("POST", "/api/votes"), ("DELETE", "/api/masks/x"), ("GET", "/")):
        assert ask(page.app, path, WRITE | {"origin": origin}, method=method).status == 403


def test_the_own_origin_is_served(page):
    assert ask(page.app, "/api/session", OK | {"origin": OURS, "sec-fetch-site": "same-origin"}).status == 200
    assert ask(page.app, "/api/session", OK | {"host": "localhost:4", "origin": "http://localhost:4"}).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_requests_that_a_browser_calls_foreign_are_refused(page, site):
    assert ask(page.app, "/api/session", OK | {"sec-fetch-site": site}).status == 403
    assert ask(page.app, "/", {"host": HOST, "sec-fetch-site": site}).status == 200, (
        "a link to the page may be followed"
    )


@pytest.mark.parametrize("path", ["/api/votes", "/api/refit"])
def test_changes_need_a_mark_and_json(page, path):
    plain = {name: value for name, value in WRITE.items() if name not in ("x-nirfire", "content-type")}
    kind = {"content-type": "application/json"}
    assert ask(page.app, path, plain | kind, method="POST", body=[b"{}"]).status == 403
    for wrong in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        found = ask(page.app, path, plain | {"x-nirfire": "1", "content-type": wrong}, method="POST", body=[b"{}"])
        assert found.status == 415
    found = ask(
        page.app, path, WRITE | {"content-type": "application/json; charset=utf-8"}, method="POST", body=[b"{}"]
    )
    assert found.status == 422


def test_large_bodies_are_refused(page):
    promised = WRITE | {"content-length": str(LARGEST_READ + 1)}
    assert ask(page.app, "/api/votes", promised, method="POST", body=[]).status == 413
    assert ask(page.app, "/api/votes", WRITE | {"content-length": "9" * 5000}, method="POST", body=[]).status == 413
    found = ask(page.app, "/api/votes", WRITE, method="POST", body=[b"x" * 100_000] * 11)
    assert found.status == 413 and found.headers["connection"] == "close"
    exact = b'"' + b"x" * (LARGEST_BODY - 2) + b'"'
    assert ask(page.app, "/api/votes", WRITE, method="POST", body=[exact[:7], exact[7:]]).status == 422
    assert ask(page.app, "/api/session", body=[b"x" * 600_000] * 2).status == 413, "where none is expected, too"


def test_a_body_without_end_is_cut_off(page):
    class Endless(list):
        taken = 0

        def __bool__(self):
            return True

        def pop(self, _):
            self.taken += 1
            return b"x" * 65_536

    left = Endless()
    sent = []

    async def receive():
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    async def send(message):
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in WRITE.items()]
    scope = {"type": "http", "method": "POST", "path": "/api/votes", "scheme": "http", "headers": headers}
    asyncio.run(Guard(None, served.TOKEN, Hosts.of("127.0.0.1"))(scope, receive, send))
    assert Got(sent).status == 413 and left.taken == LARGEST_READ // 65_536 + 1


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"", 422), (b"\xff\xfe", 400), (b"[" * 100_000, 400), (b"[]", 422), (b'"x"', 422), (b"null", 422),
     (b'{"source": 7}', 422), (b'{"source": "7", "key": "prism_clear", "z": 1}', 422),
     (b'{"source": 7, "key": "../x", "z": 1}', 422), (b'{"source": 7, "key": "prism_clear", "z": NaN}', 422),
     (b'{"source": 7, "key": "prism_clear", "z": 1e999}', 422), (b'{"source": 7, "key": "prism_clear", "z": -1}', 422),
     (b'{"source": 7, "key": "prism_clear", "z": 1, "window": 9}', 422),
     (b'{"source": 7, "key": "prism_clear", "z": 1, "path": "/etc/passwd"}', 422),
     (b'{"source": 1e30, "key": "prism_clear", "z": 1}', 422),
     (b'{"source": true, "key": "prism_clear", "z": 1}', 422)],
)  # fmt: skip
def test_bodies_that_are_no_request(page, body, status):
    found = ask(page.app, "/api/refit", WRITE, method="POST", body=[body])
    assert found.status == status and set(json.loads(found.body)) == {"error", "remedy"}


@pytest.mark.parametrize(
    "name", ["07", "-7", "+7", "7 ", "7.0", "7e0", "1_0", "٧", "x", "99999999999", "3000000000", "7\n", ""]
)
def test_sources_are_numbers(page, name):
    for path in ("object", "model/{}/prism_clear", "votes", "cutouts"):
        whole = f"/api/{path}".format(name) if "{}" in path else f"/api/{path}/{name}"
        assert ask(page.app, f"{whole}?z=1").status in (404, 405, 422), whole


@pytest.mark.parametrize(
    "key", ["..", "prism", "prism_clear.fits", "PRISM_CLEAR", "a_b/c", "*_clear", "prism_clear\0", "x" * 300]
)
def test_keys_are_names_of_spectra(page, key):
    assert ask(page.app, f"/api/model/7/{key}?z=1").status in (404, 422)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "jw0", "jw01345062001_03101_00001_nrs3", "jw01345062001_03101_00001_nrs1/..", "*"]
)
def test_exposures_are_names_of_exposures(page, name):
    assert ask(page.app, f"/api/rate/{name}").status in (404, 422)
    assert ask(page.app, f"/api/masks/{name}", WRITE, method="DELETE").status in (404, 405, 422)
    assert ask(page.app, f"/api/masks/{name}", WRITE, method="POST", body=[b'{"polygons": []}']).status in (
        404,
        405,
        422,
    )


@pytest.mark.parametrize(
    "path",
    ["/../app.py", "/vendor/../../app.py", "/..\\app.py", "//etc/passwd", "/.", "/..", "/vendor/", "/vendor",
     "/%2e%2e/app.py", "/main.js\0.css", "/\n", "/enter.js/../../context.py", "/api", "/api/", "/apix",
     "/" + "x" * 5000, "/docs", "/redoc", "/openapi.json", "/inspection.sqlite"],
)  # fmt: skip
def test_only_the_files_of_the_page_are_served(page, path):
    found = ask(page.app, path)
    assert found.status == 404 and b"import" not in found.body and b"root:" not in found.body


def test_a_link_out_of_the_folder_is_not_followed(page, tmp_path, monkeypatch):
    folder = tmp_path / "static"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    monkeypatch.setattr("nirfire.inspect.app.STATIC", folder)
    app = create_app(page.app.state.context, served.TOKEN, fitter=page.app.state.fitter)
    assert ask(app, "/link").status == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "FOO"])
def test_other_methods_are_refused(page, method):
    preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    for headers in (WRITE, WRITE | preflight):
        found = ask(page.app, "/api/votes", headers, method=method)
        assert found.status in (403, 405) and not any(name.startswith("access-control") for name in found.headers)
    assert ask(page.app, "/main.js", WRITE, method="POST").status == 405


@pytest.mark.parametrize(
    "path", ["/", "/main.js", "/api/session", "/api/object/7", "/api/object/10", "/nothing", "/api/nothing"]
)
def test_every_answer_is_closed_to_other_sites(page, path):
    for headers in (OK, {"host": HOST}, {"host": "evil.example"}):
        found = ask(page.app, path, headers)
        assert SAID.items() <= {name: found.headers.get(name.lower()) for name in SAID}.items()
        assert found.headers["cache-control"] in ("no-store", "no-cache", "private, no-cache")
        assert not any(name.startswith("access-control") or name == "set-cookie" for name in found.headers)


def test_a_bug_tells_nothing_and_is_closed_too(page, monkeypatch):
    monkeypatch.setattr("nirfire.inspect.routes_objects.line_list", lambda: 1 / 0)
    found = page.get("/api/session")
    assert found.status_code == 500 and set(found.json()) == {"error", "remedy"} and "ZeroDivision" not in found.text
    assert SAID.items() <= {name: found.headers.get(name) for name in SAID}.items()


def test_no_websockets(page):
    sent = []

    async def run():
        async def send(message):
            sent.append(message)

        await page.app({"type": "websocket", "path": "/", "headers": [], "query_string": b""}, None, send)

    asyncio.run(run())
    assert [m["type"] for m in sent] == ["websocket.close"]


class Inline(HTMLParser):
    """Finds what the content security policy forbids."""

    def __init__(self):
        super().__init__()
        self.found, self.within = [], ""

    def handle_starttag(self, tag, attrs):
        self.within = tag if tag in ("script", "style") else ""
        self.found += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        self.found += [value for name, value in attrs if name in ("src", "href") and "//" in (value or "")]

    def handle_endtag(self, tag):
        self.within = ""

    def handle_data(self, data):
        if self.within and data.strip():
            self.found.append(data)


def test_the_page_obeys_its_own_policy():
    for path in STATIC.rglob("*.html"):
        parser = Inline()
        parser.feed(path.read_text())
        assert not parser.found, path.name


def test_tokens_are_compared_whole():
    assert same("abc", "abc") and not same("ab", "abc") and not same("", "abc") and not same("é", "abc")
