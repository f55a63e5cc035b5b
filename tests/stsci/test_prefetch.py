"""References are fetched once, before the workers start, from a stand-in CRDS server with faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nirfire.errors import DataError, TransientError
from nirfire.simulate.crds_cache import CONTEXT
from nirfire.stsci.crds_check import offline_context
from nirfire.stsci.crds_server import SERVERLESS
from nirfire.stsci.prefetch import PrefetchReport, prefetch, prefetch_apart, resolve_context
from tests.stsci.conftest import MIRI, WAITS
from tests.stsci.crds_server import StandIn

STAGES = {"detector", "clean", "calibrate"}
GAIN = "jwst_nirspec_gain_0002.fits"
BIAS = "jwst_nirspec_superbias_0001.fits"
RMAP = "jwst_nirspec_gain_0001.rmap"


class Setup:
    """An empty cache, a server with six exposures' needs, and the lines of progress that were heard."""

    def __init__(self, cache: Path, server: StandIn, exposures: list[Path]) -> None:
        self.cache, self.server, self.exposures = cache, server, exposures
        self.heard: list[str] = []

    def run(self, url: str | None = None, **environment: str) -> PrefetchReport:
        environment = {"CRDS_PATH": str(self.cache), "CRDS_SERVER_URL": url or self.server.url, **environment}
        return prefetch_apart(self.exposures, STAGES, self.heard.append, environment=environment, waits=WAITS)

    def of(self, detector: str) -> list[Path]:
        return [path for path in self.exposures if detector.lower() in path.name]


@pytest.fixture
def setup(cache: Path, server: StandIn, expose: Callable[..., Path]) -> Setup:
    return Setup(cache, server, [expose(n, detector) for n in (1, 2, 3) for detector in ("NRS1", "NRS2")])


def test_each_file_is_fetched_once_and_the_cache_then_needs_no_server(setup: Setup) -> None:
    first = setup.run()
    assert first.context == CONTEXT
    assert first.problems == []
    assert setup.server.files_asked() == dict.fromkeys(setup.server.files, 1)
    assert MIRI not in setup.server.asked
    assert first.downloaded == {name: len(data) for name, data in setup.server.files.items()}
    for path in setup.exposures:
        found = first.references[path]
        assert set(found) == {"gain", "superbias", "disperser", "pars-jumpstep"}
        number = 1 if path in setup.of("NRS1") else 2
        assert found["gain"].read_bytes() == setup.server.files[f"jwst_nirspec_gain_{number:04d}.fits"]
    assert any(line.startswith("reference 1/6: ") for line in setup.heard)

    second = setup.run()
    assert second.downloaded == {}
    assert set(setup.server.files_asked().values()) == {1}

    before = setup.server.asked.copy()
    offline = setup.run(SERVERLESS)
    assert offline.context == CONTEXT
    assert (offline.references, offline.problems) == (first.references, [])
    assert _stock_look_up(setup.cache) == str(first.references[setup.of("NRS2")[0]]["gain"])
    assert setup.server.asked == before


def _stock_look_up(cache: Path) -> str:
    """What crds gives the stock pipeline, without a server."""
    code = """
import crds, json
parameters = {"META.INSTRUMENT.NAME": "NIRSPEC", "META.INSTRUMENT.DETECTOR": "NRS2",
              "META.OBSERVATION.DATE": "2026-01-01", "META.OBSERVATION.TIME": "00:00:00"}
print("ANSWER" + crds.getreferences(parameters, reftypes=["gain"], observatory="jwst")["gain"])
"""
    environment = {"CRDS_PATH": str(cache), "CRDS_CONTEXT": CONTEXT, "CRDS_READONLY_CACHE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.partition("ANSWER")[2].strip()


def test_what_the_server_lacks_concerns_only_the_exposures_that_need_it(
    setup: Setup, expose: Callable[..., Path]
) -> None:
    """Not in its catalogue, in its catalogue but gone, not selected by any rule, and a header without its detector."""
    del setup.server.files[GAIN]
    setup.server.hidden.add(BIAS)
    grism, headless = expose(4, "NRS2", "G395M"), expose(5, "NRS1", DETECTOR=None)
    setup.exposures += [grism, headless]
    report = setup.run()
    assert {(p.file, p.key) for p in report.problems} == {
        *((path, "gain") for path in [*setup.of("NRS2")]),
        *((path, "superbias") for path in setup.of("NRS1") if path != headless),
        (grism, "disperser"),
        (headless, "DETECTOR"),
    }
    assert all(problem.remedy and not isinstance(problem, TransientError) for problem in report.problems)
    assert {p.key for p in report.problems_of(grism)} == {"gain", "disperser"}
    assert setup.server.asked[BIAS] == 1, "a file that is not there is not asked for again"
    assert all("disperser" in report.references[path] for path in setup.exposures if path not in (grism, headless))


def test_faults_that_pass_are_waited_for(setup: Setup) -> None:
    faults = {GAIN: ["500", "ok"], BIAS: ["short", "wrong", "ok"], RMAP: ["broken", "503", "ok"]}
    setup.server.faults = {**faults, "get_server_info": ["500", "ok"], "get_build_context": ["502", "ok"]}
    asked = {name: len(orders) for name, orders in setup.server.faults.items()}
    setup.server.build = CONTEXT
    report = setup.run()
    assert report.problems == []
    assert {name: setup.server.asked[name] for name in asked} == asked
    for path in setup.cache.rglob("jwst_*.*"):
        assert path.read_bytes() == setup.server.files[path.name]
    assert any("trying again" in line for line in setup.heard)


def test_faults_that_stay_are_transient_errors_and_leave_no_half_file(setup: Setup) -> None:
    setup.server.faults = {GAIN: ["short"], BIAS: ["500"]}
    report = setup.run()
    assert {(p.file, p.key) for p in report.problems} == {
        *((path, "gain") for path in setup.of("NRS2")),
        *((path, "superbias") for path in setup.of("NRS1")),
    }
    assert all(isinstance(problem, TransientError) for problem in report.problems)
    assert not list(setup.cache.rglob(f"*{GAIN}*"))
    assert setup.server.asked[GAIN] + setup.server.asked[BIAS] == len(WAITS) + 2

    setup.server.faults = {}
    (setup.cache / "references/jwst/nirspec" / BIAS).write_bytes(b"half, as crds leaves it")
    again = setup.run()
    assert again.problems == []
    assert set(again.downloaded) == {GAIN, BIAS}


def test_missing_mapping_stops_the_prefetch(setup: Setup) -> None:
    del setup.server.files[RMAP]
    with pytest.raises(DataError, match=RMAP):
        setup.run()


def test_server_that_does_not_answer(setup: Setup) -> None:
    gone = "http://localhost:9"
    with pytest.raises(TransientError, match="CRDS server") as caught:
        setup.run(gone)
    assert caught.value.remedy
    setup.run()
    (setup.cache / "references/jwst/nirspec" / GAIN).unlink()
    report = setup.run(gone)
    assert {(p.file, p.key) for p in report.problems} == {(path, "gain") for path in setup.of("NRS2")}
    assert all(isinstance(p, TransientError) for p in report.problems)
    assert not any(isinstance(p, TransientError) for p in setup.run(SERVERLESS).problems)
    with pytest.raises(DataError, match="configuration"):
        setup.run(SERVERLESS, CRDS_PATH=str(setup.cache / "empty"))


def test_stages_without_references_ask_nothing(setup: Setup) -> None:
    assert prefetch(setup.exposures, {"nodsub", "redshift"}, setup.heard.append) == PrefetchReport()
    assert not setup.server.asked


RESOLVE = """
import json, os, sys
from nirfire.errors import DataError
from nirfire.stsci.prefetch import resolve_context
for environment in json.loads(sys.argv[1]):
    if os.fork() == 0:
        os.environ.update(environment)
        try:
            answer = resolve_context((0.01,))
        except DataError as error:
            answer = f"{type(error).__name__} {error.key}"
        os.write(1, f"ANSWER {answer} {'crds' in sys.modules}\\n".encode())
        os._exit(0)
    os.wait()
"""


def _resolve(cache: Path, *environments: dict[str, str]) -> list[str]:
    """Contexts that processes with these environments resolve, and whether they needed crds for it."""
    command = [sys.executable, "-c", RESOLVE, json.dumps(environments)]
    everything = {"CRDS_PATH": str(cache)}
    done = subprocess.run(command, env=everything, capture_output=True, text=True, check=True)
    return [line.removeprefix("ANSWER ") for line in done.stdout.splitlines() if line.startswith("ANSWER ")]


def test_context_of_a_run(setup: Setup) -> None:
    cache, server = setup.cache, setup.server
    online = {"CRDS_SERVER_URL": server.url}
    server.latest, server.build = "jwst_0009.pmap", "jwst_0008.pmap"
    named = [online | {"CRDS_CONTEXT": name} for name in ("jwst_0007.pmap", "jwst-latest", "nonsense")]
    assert _resolve(cache, online, *named) == [
        "jwst_0008.pmap True",
        "jwst_0007.pmap False",
        "jwst_0009.pmap True",
        "DataError CRDS_CONTEXT True",
    ]
    server.build = None
    server.faults = {"get_build_context": ["500", "ok"]}
    assert _resolve(cache, online) == ["jwst_0009.pmap True"]
    server.faults = {"get_build_context": ["500"]}
    no_server: dict[str, str] = {}  # and the cache's configuration names a mapping that is not there
    assert _resolve(cache, online, no_server) == ["TransientError CRDS_SERVER_URL True", "DataError CRDS_CONTEXT True"]


def test_context_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offline_context() is None
    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    assert offline_context() is None
    mappings, config = tmp_path / "mappings/jwst", tmp_path / "config/jwst"
    mappings.mkdir(parents=True)
    config.mkdir(parents=True)
    (config / "server_config").write_text("{'operational_context': 'jwst_0009.pmap'}")
    assert offline_context() is None
    (mappings / "jwst_0008.pmap").touch()
    assert offline_context() == "jwst_0008.pmap"
    (mappings / "jwst_0009.pmap").touch()
    assert offline_context() == "jwst_0009.pmap"
    monkeypatch.setenv("CRDS_CONTEXT", "jwst-edit")
    assert offline_context() is None
    monkeypatch.setenv("CRDS_CONTEXT", "jwst_0001.pmap")
    assert offline_context() == resolve_context() == "jwst_0001.pmap"
