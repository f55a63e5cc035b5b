"""The inspection page in a process of its own, as a user starts it, and the browser that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = "NIRFIRE_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\?token=\S+")


def find_chromium() -> str | None:
    """The program: as the environment names it, else the first of the usual names."""
    return os.environ.get(CHROMIUM) or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def serving(workspace: Path, *options: str) -> Iterator[str]:
    """Run ``nirfire inspect``; gives the address that it prints, with the token."""
    command = [sys.executable, "-m", "nirfire", "inspect", str(workspace), "--no-browser", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        yield _address(process)
    finally:
        early = process.poll()
        process.terminate()
        said, _ = process.communicate(timeout=120)
    assert early is None, f"the server ended before it was told to: {early}\n{said}"


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if found := ADDRESS.search(line):
            return found.group()
    raise AssertionError(f"it did not start: {''.join(printed)}")
