"""Two runs on one workspace: the second is refused or shares, and says with whom."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys

import pytest

from nirfire.errors import DataError
from nirfire.pipeline.lock import locked
from nirfire.products.naming import Workspace

HOLD = """
import sys
from pathlib import Path
from nirfire.pipeline.lock import locked
from nirfire.products.naming import Workspace
with locked(Workspace(Path(sys.argv[1]), "x"), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path):
    return Workspace(tmp_path / "ws", "x")


def hold(place, shard=""):
    """Another process that holds the workspace until it is killed."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, place.folder, shard], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    return other


def end(other):
    other.kill()
    other.communicate()


def test_a_second_run_is_refused_with_the_name_of_the_first(place):
    other = hold(place)
    try:
        for shard in ("", "1-of-2"):
            with pytest.raises(DataError, match="another run works in this workspace") as caught, locked(place, shard):
                pass
            assert f'"pid": {other.pid}' in str(caught.value)
            assert f'"host": "{socket.gethostname()}"' in str(caught.value)
            assert "wait until it ends" in str(caught.value)
            assert caught.value.file == place.lock()
    finally:
        end(other)
    with locked(place):
        pass


def test_shards_share_but_not_with_themselves_or_a_whole_run(place):
    with locked(place):
        pass  # what it leaves in its lock file must not be taken for a run that is under way
    one, two = hold(place, "1-of-3"), hold(place, "2-of-3")
    try:
        with locked(place, "3-of-3"):
            pass
        with pytest.raises(DataError) as caught, locked(place, "2-of-3"):
            pass
        assert f'"pid": {two.pid}' in str(caught.value)
        with pytest.raises(DataError) as caught, locked(place):
            pass
        assert f'"pid": {one.pid}' in str(caught.value)
        assert f'"pid": {two.pid}' in str(caught.value)
        assert f'"pid": {os.getpid()}' not in str(caught.value)
    finally:
        end(one)
        end(two)
    with locked(place):
        pass


def test_the_lock_is_let_go_after_an_error(place):
    with pytest.raises(ZeroDivisionError), locked(place):
        raise ZeroDivisionError
    with locked(place), pytest.raises(DataError), locked(place):
        pass


def test_a_workspace_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    place = Workspace(tmp_path / "file" / "ws", "x")
    with pytest.raises(DataError, match="the workspace cannot be written") as caught, locked(place):
        pass
    assert "give another workspace (-w)" in str(caught.value)


@pytest.mark.parametrize(("module", "name"), [(fcntl, "flock"), (os, "ftruncate")])
def test_a_disk_that_refuses_is_said(place, monkeypatch, module, name):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, name, refuse)
    with pytest.raises(DataError, match="No space left on device") as caught, locked(place):
        pass
    assert "remedy" in str(caught.value)
