"""Shared fixtures."""

from __future__ import annotations

import os
import subprocess
import sys
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
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The small demo: three sources, three nods, one detector, raw ramps to redshifts."""
    folder = tmp_path_factory.mktemp("line")
    done = nirfire("demo", "--size", "small", "-w", "demo", "-j", 2, cwd=folder)
    return Ran(done.returncode, done.stdout, done.stderr, Workspace(folder / "demo", "demo"))
