"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
