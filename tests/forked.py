"""Scripts in processes of their own, which find the stock pipeline imported, as that takes four seconds.

The processes are forks of one that has done nothing else; what a script does to its modules or its environment, nobody
else sees.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

import pytest

from nirfire.simulate.cache_place import cache_environment, default_folder

PRELOADED = ["jwst.pipeline"]


def run_forked(
    *arguments: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script as ``python`` does.

    Parameters
    ----------
    *arguments : object
        As after ``python``: ``-c CODE``, ``-m MODULE`` or a file, and what the script is told.
    env : mapping, optional
        All environment variables; by default ours.
    cwd : Path, optional
        Where it runs; by default here.

    Returns
    -------
    subprocess.CompletedProcess
        With what it said, as text.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:  # the stock pipeline is imported in it
        for key, value in cache_environment(default_folder()).items():
            patch.setenv(key, value)
        forkserver.ensure_running()
    words = [str(word) for word in arguments]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("out", "err")]
        told = (words, dict(os.environ if env is None else env), cwd or Path.cwd(), said)
        process = context.Process(target=_run, args=told)
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(words, process.exitcode, *(path.read_text() for path in said))


def _run(words: list[str], environment: dict[str, str], cwd: Path, said: list[Path]) -> None:
    for number, path in zip((1, 2), said, strict=True):
        with path.open("wb") as stream:
            os.dup2(stream.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    first, *rest = words
    if first in ("-c", "-m"):
        sys.path.insert(0, str(cwd))
        what, *rest = rest
        sys.argv = [first, *rest]
        if first == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<script>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        runpy.run_path(first, run_name="__main__")
    sys.stdout.flush()
