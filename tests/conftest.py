"""Shared fixtures."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nirfire.products.naming import Workspace


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
def small_demo(shared_folder: Path) -> Ran:
    """The small demo: three sources, three nods, one detector, raw ramps to redshifts; made once in a test run."""
    folder = shared_folder / "line"
    folder.mkdir(exist_ok=True)
    told = folder / "told.json"
    with one_at_a_time(folder):
        if not told.exists():
            done = nirfire("demo", "--size", "small", "-w", "demo", "-j", 2, cwd=folder)
            told.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    return Ran(*json.loads(told.read_text()), Workspace(folder / "demo", "demo"))
