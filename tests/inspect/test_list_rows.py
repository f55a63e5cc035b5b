"""The filter language and the order of the list, which live in the page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import nirfire.inspect

STATIC = Path(nirfire.inspect.__file__).parent / "static"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, to run the page's scripts without a browser")
def test_filter_order_and_progress_of_the_list():
    script = Path(__file__).with_name("list_rows.mjs")
    done = subprocess.run(["node", script, STATIC], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "36 filters\n"
