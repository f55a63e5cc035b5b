"""What the page is told of a session and of an object; and how the server starts and stops."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from starlette.requests import Request

from nirfire.commands import inspect as command
from nirfire.commands.inspect import InspectOptions, inspect, one_observation, open_store
from nirfire.core.lines import WAVE
from nirfire.errors import DataError
from nirfire.inspect import serve as serving
from nirfire.inspect.app import STATIC, warm
from nirfire.inspect.facts import _with_error
from nirfire.inspect.line_list import STRONG, label_of
from nirfire.inspect.pages import Pages
from nirfire.inspect.payload import unpack
from nirfire.inspect.points import points_of
from nirfire.inspect.quickfits import QuickFits
from nirfire.inspect.refusal import Refusal
from nirfire.pipeline.target import Observation
from nirfire.products.naming import SPEC, Workspace, zfit_of
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit

from . import served


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return served.made_workspace(tmp_path_factory.mktemp("ws"))


@pytest.fixture
def own(place, tmp_path):
    """A workspace that a test may change."""
    return Workspace(Path(shutil.copytree(place.folder, tmp_path / "own")), place.observation)


@pytest.fixture
def page(place):
    made = served.client(place)
    yield made
    served.closed(made)


def get(page, source, **headers):
    found = page.get(f"/api/object/{source}", headers=headers)
    assert found.status_code == 200, found.text
    return unpack(found.content)


def vote(page, source, z=2.345, user="ann", **more):
    body = {"uuid": str(uuid4()), "source": source, "z": z, "quality": 3, "flags": {}, "comment": "", "tags": []}
    found = page.post("/api/votes", json=body | {"seen": {}} | more, headers=served.CHANGE | {"X-Nirfire-User": user})
    assert found.status_code == 200, found.text


def test_session_tells_what_the_page_needs(page, place):
    told = page.get("/api/session").json()
    assert (told["observation"], told["user"], told["blind"], told["read_only"]) == ("ws", "ann", False, False)
    assert told["rerun"] == f"nirfire run {place.folder} --rerun stale"
    assert [grade["value"] for grade in told["quality"]] == [0, 1, 2, 3, 4]
    offered = {flag["bit"]: flag["for"] for flag in told["flags"]}
    assert offered == {**dict.fromkeys((1, 2, 4, 8, 16, 32, 64), "all"), 128: "prism", 256: "grating"}
    assert told["z_max"] == 20.0
    assert {line["name"]: line["wave"] for line in told["lines"]} == WAVE
    assert {line["name"] for line in told["lines"] if line["strong"]} == set(STRONG)


def test_lines_are_called_as_astronomers_call_them():
    said = {
        "Ha": "Hα", "Lya": "Lyα", "OIII5008": "[O III] 5008", "CIII]": "C III]", "CIV": "C IV", "Pab": "Paβ",
        "P9": "Pa9", "H8": "H8", "Heps": "Hε", "HeI10833": "He I 10833", "MgII2796": "Mg II 2796",
        "OIII]1663": "O III] 1663", "FeII12570": "[Fe II] 12570", "NeV": "[Ne V]", "Bra": "Brα", "OI8449": "O I 8449",
    }  # fmt: skip
    assert {name: label_of(name) for name in said} == said
    assert len({label_of(name) for name in WAVE}) == len(WAVE)


def test_an_object_has_what_its_files_have(page, place):
    meta, arrays = get(page, 7)
    path = place.combined(7, "PRISM", "CLEAR", SPEC)
    spec, fit = Spectrum.read(path), RedshiftFit.read(zfit_of(path))
    (told,) = meta["spectra"]
    assert (meta["source"], meta["name"], meta["ra"], meta["dec"], meta["joint"]) == (7, "1234_7", 53.1, -27.8, None)
    assert (meta["z"], meta["z_err"], meta["zprob"], meta["origin"]) == (2.345, 0.001, 0.97, "prism_clear")
    assert (told["key"], told["grating"], told["filter"], told["file"]) == ("prism_clear", "PRISM", "CLEAR", path.name)
    assert (told["spec"], told["fit"]) == ("5pec000000000007", "f170000000000007")
    assert (told["z"], told["zconf"], told["chi2"], told["dof"], told["class"]) == (2.345, 0.9, 300.0, 360, "galaxy")
    assert told["z2"] is None and told["dchi2"] is None and told["error"] is None
    assert told["zwarn"] == ["rests on a single line"]
    signal_to_noise = np.median((spec.flux / spec.err)[~spec.mask])  # as in list and catalogue
    assert told["snr"] == pytest.approx(signal_to_noise) and ["median S/N", f"{signal_to_noise:.3g}"] in told["facts"]
    assert told["peaks"][1] == {"z": 5.1, "z_err": None, "dchi2": 80.0}
    assert told["lines"][0]["name"] == "Ha" and told["lines"][0]["ew_rest"] is None
    assert ["exposure time", "1.50 h"] in told["facts"] and ["stuck shutters", "3"] in told["facts"]
    expected = {"wave": spec.wave, "flux": spec.flux, "err": spec.err, "model": fit.model, "sci": spec.sci}
    expected |= {
        "shared": spec.correlation,
        "err2d": spec.err2d,
        "box3": spec.boxes[3][0],
        "box5_err": spec.boxes[5][1],
    }
    expected |= {"prof_y": spec.profiles["ypos"], "prof_opt": spec.profiles["opt"]}
    for name, values in expected.items():
        found = arrays[f"prism_clear/{name}"]
        assert found.dtype == np.float32 and found.shape == values.shape, name
        np.testing.assert_array_equal(found, values.astype(np.float32), err_msg=name)
    assert np.isnan(arrays["prism_clear/flux"][[0, 100]]).all(), "masked"


def test_chi2_and_density_of_redshift(page, place):
    _, arrays = get(page, 7)
    fit = RedshiftFit.read(zfit_of(place.combined(7, "PRISM", "CLEAR", SPEC)))
    z, dchi2, p = (arrays[f"prism_clear/{name}"] for name in ("z", "dchi2", "p"))
    assert z.dtype == np.float64 and dchi2.dtype == p.dtype == np.float32
    np.testing.assert_array_equal(z, fit.z_grid)
    np.testing.assert_allclose(dchi2, fit.chi2 - fit.chi2.min(), rtol=1e-6)
    assert dchi2.min() == 0.0 and np.trapezoid(p, z) == pytest.approx(1.0, rel=2e-3)
    assert abs(z[np.argmax(p)] - served.Z) < 0.02


def test_several_gratings_and_their_joint_redshift(page):
    meta, arrays = get(page, 8)
    assert [one["key"] for one in meta["spectra"]] == ["prism_clear", "g395m_f290lp"], "PRISM first"
    assert (meta["z"], meta["origin"]) == (2.3456, "joint")
    assert meta["joint"]["zprob"] == 0.999 and meta["joint"]["error"] is None
    assert arrays["joint/z"].size == arrays["joint/p"].size == 50
    assert {"g395m_f290lp/flux", "prism_clear/flux"} <= set(arrays)


def test_without_a_fit(page):
    meta, arrays = get(page, 9)
    (told,) = meta["spectra"]
    assert meta["z"] is None and told["fit"] is None and told["peaks"] == [] and told["spec"] == "5pec000000000009"
    assert "prism_clear/flux" in arrays and "prism_clear/model" not in arrays
    assert page.get("/api/object/10").status_code == 404


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(own):
    grating, prism = own.combined(8, "G395M", "F290LP", SPEC), own.combined(8, "PRISM", "CLEAR", SPEC)
    grating.write_bytes(grating.read_bytes()[:-2880])
    zfit_of(prism).write_bytes(b"no FITS at all")
    own.joint_zfit(8).write_bytes(b"SIMPLE  = nothing")
    page = served.client(own)
    meta, arrays = get(page, 8)
    first, second = meta["spectra"]
    assert "shorter than its headers promise" in second["error"] and grating.name in second["error"]
    assert "not a FITS file" in first["error"] and zfit_of(prism).name in first["error"]
    assert "prism_clear/flux" in arrays and "g395m_f290lp/flux" not in arrays
    assert meta["z"] is None and "not a FITS file" in meta["joint"]["error"]
    served.closed(page)


def test_an_unchanged_object_is_not_sent_again(own):
    page = served.client(own)
    first = page.get("/api/object/7")
    tag = first.headers["etag"]
    again = page.get("/api/object/7", headers={"If-None-Match": tag})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == tag
    assert page.get("/api/object/7", headers={"If-None-Match": '"other"'}).status_code == 200
    vote(page, 7)
    voted = page.get("/api/object/7", headers={"If-None-Match": tag})
    assert voted.status_code == 200, "a vote changes it"
    seen = {"If-None-Match": voted.headers["etag"]}
    assert page.get("/api/object/7", headers=seen).status_code == 304
    assert page.get("/api/object/7", headers=seen | {"X-Nirfire-User": "bob"}).status_code == 200, "others see another"
    paths = {path: path.stat() for path in own.source_folder(7).iterdir()}
    served.write_source(own, 7)
    for path, before in paths.items():
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert page.get("/api/object/7", headers=seen).status_code == 200, "a product that is new changes it, in any tick"
    served.closed(page)


def test_votes_of_oneself_and_of_others(own):
    page = served.client(own)
    now = {"prism_clear": {"spec": "5pec000000000007", "fit": "f170000000000007"}}
    vote(page, 7, seen=now)
    vote(page, 7, z=1.0, user="bob", seen={"prism_clear": {"spec": "older", "fit": None}})
    told = get(page, 7)[0]["votes"]
    assert told["own"]["z"] == 2.345 and not told["stale"] and told["n_history"] == 2 and told["hidden"] == 0
    assert [(one["user"], one["stale"]) for one in told["others"]] == [("bob", True)]
    assert get(page, 7, **{"X-Nirfire-User": "bob"})[0]["votes"]["stale"]
    served.closed(page)


def test_blind_people_do_not_see_the_votes_of_others_first(own):
    page = served.client(own, blind=True)
    vote(page, 7, user="bob")
    raw = page.get("/api/object/7").content
    told = unpack(raw)[0]["votes"]
    assert told["others"] == [] and told["hidden"] == 1 and b"bob" not in raw
    assert told["n_history"] == 0, "how often others changed their minds is theirs"
    vote(page, 7)
    assert [one["user"] for one in get(page, 7)[0]["votes"]["others"]] == ["bob"]
    served.closed(page)


def test_the_fast_reader_reads_as_the_product_does(place):
    path = place.combined(8, "G395M", "F290LP", SPEC)
    spec, points = Spectrum.read(path), points_of(QuickFits(path))
    np.testing.assert_array_equal(points.ivar, spec.ivar)
    np.testing.assert_array_equal(points.known, ~spec.mask)
    header = QuickFits(path).primary
    assert {key: header.get(key) for key in spec.meta} == {key: value for key, (value, _) in spec.meta.items()}
    assert QuickFits(path).table("EXPOSURES")["stuck_shutter_list"].tolist() == ["N/A", "3", "N/A"]
    np.testing.assert_array_equal(QuickFits(path).image("COVAR"), spec.correlation)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw.replace(b"SPEC1D", b"SPEC9X"), "no SPEC1D"),
        (lambda raw: raw.replace(b"'flux    '", b"'flax    '"), "column flux is missing"),
        (lambda raw: raw.replace(b"NFSCHEMA= '2.0", b"NFSCHEMA= '9.0"), "format 9.0"),
        (lambda raw: raw.replace(b"TFORM1  = 'D", b"TFORM1  = 'C"), "unknown kind C"),
        (lambda raw: raw.replace(b"BITPIX  ", b"BUTPIX  "), "cannot be read as FITS"),
        (lambda raw: b"", "not a FITS file"),
    ],
)
def test_files_that_are_not_what_they_should_be(place, tmp_path, spoil, said):
    path = tmp_path / "x.fits"
    path.write_bytes(spoil(place.combined(7, "PRISM", "CLEAR", SPEC).read_bytes()))
    with pytest.raises(DataError, match=said) as caught:
        points_of(QuickFits(path))
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        QuickFits(tmp_path / "absent.fits")


def test_a_port_of_its_own_else_a_free_one_else_an_error(tmp_path):
    assert serving.own_port(tmp_path) == serving.own_port(tmp_path) != serving.own_port(tmp_path / "other")
    with serving.listen("127.0.0.1", None, tmp_path) as first, serving.listen("127.0.0.1", None, tmp_path) as second:
        assert first.proto == socket.IPPROTO_TCP  # else asyncio leaves Nagle's algorithm on
        taken = first.getsockname()[1]
        assert second.getsockname()[1] != taken
        assert first.getsockname()[0] == "127.0.0.1"
        with pytest.raises(DataError, match=f"port {taken} is in use"):
            serving.listen("127.0.0.1", taken, tmp_path)
    with pytest.raises(DataError, match="no address of this machine"):
        serving.listen("192.0.2.1", None, tmp_path)
    with pytest.raises(DataError, match="there is no host"):
        serving.listen("no.such.host.invalid", None, tmp_path)


def test_addresses():
    assert serving.address_of("127.0.0.1", 80, "x") == "http://127.0.0.1:80/?token=x"
    assert serving.address_of("::1", 80, "x") == "http://[::1]:80/?token=x"
    assert serving.address_of("0.0.0.0", 80, "x") == f"http://{socket.gethostname()}:80/?token=x"


def test_the_browser_gets_a_private_file_and_no_token(monkeypatch):
    asked = []
    monkeypatch.setattr(serving.webbrowser, "open", asked.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    with serving.opened("http://127.0.0.1:80/?token=sesame") as done:
        while not asked:
            pass
        path = Path(asked[0].removeprefix("file://"))
        assert done and "sesame" not in asked[0] and "token=sesame" in path.read_text()
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with serving.opened("http://127.0.0.1:80/?token=sesame") as done:
        assert not done and len(asked) == 1


def test_what_there_is_nothing_to_see_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no products to inspect"):
        one_observation(tmp_path / "empty")
    with pytest.raises(DataError, match="not a name for a person"):
        (tmp_path / "empty-nirfire" / "sources").mkdir(parents=True)
        inspect(tmp_path / "empty", InspectOptions(user="\n"))


def test_a_workspace_that_cannot_be_written_is_only_looked_at(place, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with open_store(Observation(place, place.folder)) as store:
        assert store.read_only


RUN = """
import sys
from pathlib import Path
from nirfire.commands import inspect as command
from nirfire.commands.inspect import InspectOptions, inspect
if __name__ == "__main__":
    inspect(Path(sys.argv[1]), InspectOptions(browser=False, user="ann"))
"""


@pytest.fixture
def running(own, tmp_path):
    """`nirfire inspect` in a process of its own: the process, and the line that it prints."""
    own.origin.write_text(f'{{"observation": "ws", "folder": "{tmp_path}", "file": "", "crds": ""}}')
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, str(tmp_path / "run.py"), str(own.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_it_serves_until_ctrl_c(running, own):
    process, line = running
    found = re.search(r"as ann: (http://127\.0\.0\.1:\d+)/\?token=([\w-]{43}) ", line)
    assert found, line
    url, token = found.groups()
    with httpx.Client(base_url=url, headers=served.CHANGE | {"X-Nirfire-Token": token}, timeout=20) as page:
        assert page.get("/api/session").json()["observation"] == "ws"
        assert page.get("/api/object/7").headers.get("server") is None
        endless = (b"x" * 65_536 for _ in range(90))  # in chunks, of no length that is told
        assert page.post("/api/votes", content=endless).status_code == 413
        assert page.get("/api/votes/7").status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    assert not own.inspection.with_name(f"{own.inspection.name}-wal").exists(), "closed in order"
    with pytest.raises(OSError, match=os.strerror(errno.ECONNREFUSED)):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))


def test_files_are_packed_where_the_client_takes_it(page):
    packed, plain = (page.get("/main.js", headers={"Accept-Encoding": kind}) for kind in ("br, gzip;q=0.5", "identity"))
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.content == plain.content == (STATIC / "main.js").read_bytes()
    assert int(packed.headers["content-length"]) < 0.6 * int(plain.headers["content-length"])
    assert packed.headers["vary"] == "Accept-Encoding" and packed.headers["content-type"].startswith("text/javascript")
    for refused in ("gzip;q=0", "gzip; q=0.0, br", "xgzip", ""):
        assert "content-encoding" not in page.get("/", headers={"Accept-Encoding": refused}).headers
    again = page.get("/main.js", headers={"If-None-Match": packed.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    head = page.head("/main.js")
    assert head.status_code == 200 and head.content == b""


def test_files_are_read_again_when_they_change(tmp_path):
    (tmp_path / "a.js").write_text("1;")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "secret.py").write_text("secret")
    pages, request = Pages(tmp_path), Request({"type": "http", "headers": []})
    assert pages.answer(request, "a.js").body == b"1;"
    (tmp_path / "a.js").write_text("22;")
    assert pages.answer(request, "a.js").body == b"22;"
    (tmp_path / "new.css").write_text("b {}")
    assert pages.answer(request, "new.css").body == b"b {}"
    (tmp_path / "a.js").unlink()
    for name in ("a.js", "sub/secret.py", "sub", ""):
        with pytest.raises(Refusal, match="not found"):
            pages.answer(request, name)


def test_warming_reads_and_does_not_fail(own):
    page = served.client(own)
    own.catalogue.mkdir()
    own.summary("fits").write_bytes(b"damaged")
    warm(page.app)
    assert page.get("/api/objects").status_code == 400, "told when it is asked for"
    served.closed(page)


ANGLES = [
    (0.0503, 0.0004, "0.05030 ± 0.00040″"),
    (0.0003, 0.0004, "0.30 ± 0.40 mas"),
    (-0.00001, 0.00065, "-0.01 ± 0.65 mas"),
    (1.25, 0.31, "1.25 ± 0.31″"),
    (12.0, 25.0, "12 ± 25″"),
    (0.2, None, "0.2″"),
    (None, 0.1, ""),
    (0.004, 0.0, "4 mas"),
]


@pytest.mark.parametrize(("value", "error", "said"), ANGLES)
def test_angles_have_the_digits_of_their_errors(value, error, said):
    assert _with_error(value, error) == said


def test_a_server_on_the_network_is_warned_of(own, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(command, "serve", lambda app, made, ending: seen.append((app, made.getsockname()[0])))
    monkeypatch.setattr(command.Fitter, "start", lambda self: None)
    monkeypatch.setattr(command, "observations", lambda target: [Observation(own, own.folder)])
    for host in ("127.0.0.1", "0.0.0.0"):
        inspect(own.folder, InspectOptions(host=host, user="zoë", blind=True, browser=False))
    printed = capsys.readouterr()
    assert [host for _, host in seen] == ["127.0.0.1", "0.0.0.0"]
    assert printed.err.count("can be reached from other machines") == 1
    first, second = printed.out.splitlines()
    assert "as zoë: http://127.0.0.1:" in first and f"http://{socket.gethostname()}:" in second
    contexts = [app.state.context for app, _ in seen]
    assert [(c.user, c.blind) for c in contexts] == [("zoë", True)] * 2
    with pytest.raises(DataError, match="closed"):
        contexts[0].store.votes()
