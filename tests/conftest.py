"""Shared fixtures."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from nirfire import cli
from nirfire.products.naming import Workspace

# the same examples at each run, on a machine that is busy too, so that a run says what changed; `make test-all` looks
# for new ones
ANY_MACHINE = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeatable", derandomize=True, **ANY_MACHINE)
hypothesis.settings.load_profile("repeatable")


FOREIGN = re.compile(
    r"CRDS_|NIRFIRE_(?!TEST|CHROMIUM)|MAST_API_TOKEN|.*COLOR|TTY_|GITHUB_ACTIONS|COLUMNS|TERMINAL_WIDTH"
)


def pytest_configure(config: pytest.Config) -> None:
    """Run as on any other machine, whatever the terminal and the user's settings say.

    Interrupts are let in: what a script starts in the background ignores them, and so would all that the tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in filter(FOREIGN.match, list(os.environ)):
        del os.environ[name]
    if "PYTEST_XDIST_WORKER" not in os.environ:  # which has that of its parent
        settings = tempfile.TemporaryDirectory(prefix="no-settings-")
        config.add_cleanup(settings.cleanup)
        os.environ["XDG_CONFIG_HOME"] = settings.name


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real JWST data; tests that need it skip where it is absent."""
    named = os.environ.get("NIRFIRE_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip("real data not here: set NIRFIRE_TEST_DATA to the folder that holds it")
    return folder


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk after every tiny product."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@dataclass(frozen=True)
class Ran:
    """A command that ended: its exit code, what it printed, and the workspace it filled."""

    code: int
    out: str
    err: str
    place: Workspace


def nirfire(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command ``nirfire``."""
    command = [sys.executable, "-m", "nirfire", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def nirfire_here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command ``nirfire`` in this process, where the second that it takes to import is not spent again."""

    def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["nirfire", *map(str, arguments)])
        monkeypatch.chdir(cwd)
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        capfd.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        assert isinstance(code, int), code
        return subprocess.CompletedProcess(sys.argv, code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of one test run have in common (``pytest -n 2``), for what is costly to make."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process of the test run in, the others wait."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def local_cache(shared_folder: Path) -> Path:
    """The CRDS cache of the embedded instrument, in the user's cache folder; one process builds it if it is absent."""
    from nirfire.simulate.crds_cache import ensure_cache  # a second, which most tests can do without

    folder = shared_folder / "cache"
    folder.mkdir(exist_ok=True)
    with one_at_a_time(folder):
        return ensure_cache()


@pytest.fixture(scope="session")
def small_demo(shared_folder: Path, local_cache: Path) -> Ran:
    """The small demo: three sources, three nods, one detector, raw ramps to redshifts; made once in a test run."""
    folder = shared_folder / "line"
    folder.mkdir(exist_ok=True)
    told = folder / "told.json"
    with one_at_a_time(folder):
        if not told.exists():
            done = nirfire("demo", "--size", "small", "-w", "demo", "-j", 2, cwd=folder)
            told.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    return Ran(*json.loads(told.read_text()), Workspace(folder / "demo", "demo"))


def link_tree(source: Path, target: Path, without: str = "") -> None:
    """Copy a folder; of FITS files, which nothing edits in place, links will do."""

    def copy(old: str, new: str) -> None:
        if old.endswith(".fits"):
            os.link(old, new)
        else:
            shutil.copy2(old, new)

    ignore = (lambda folder, names: {without} & set(names)) if without else None
    shutil.copytree(source, target, symlinks=True, copy_function=copy, ignore=ignore)
