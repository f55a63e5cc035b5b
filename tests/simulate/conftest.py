"""Fixtures of the embedded instrument."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nirfire.simulate.cache_place import cache_environment
from tests.forked import run_forked


@pytest.fixture(scope="session")
def run_with_cache(local_cache: Path) -> Callable[..., str]:
    """Run python in a process of its own on the local cache; give its standard output."""

    def run(*arguments: str, cwd: Path | None = None) -> str:
        environment = {**os.environ, **cache_environment(local_cache)}
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def run_stock(local_cache: Path) -> Callable[..., str]:
    """The same, with the stock pipeline imported already."""

    def run(*arguments: str, cwd: Path | None = None) -> str:
        done = run_forked(*arguments, env={**os.environ, **cache_environment(local_cache)}, cwd=cwd)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run
