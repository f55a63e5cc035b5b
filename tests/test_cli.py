"""The command is light to start, and its exit codes mean what they say."""

from __future__ import annotations

import errno
import os
import resource
import signal
import statistics
import subprocess
import sys
import time

import pytest

from nirfire import __version__, cli
from nirfire.errors import DataError

HEAVY = ("jwst", "stdatamodels", "stpipe", "stcal", "crds", "numpy", "astropy", "scipy", "matplotlib", "numba")
STOCK = HEAVY[:5]
LOADED = "import json, sys; sys.stderr.write(json.dumps([m for m in {names} if m in sys.modules]))"
RUN = """
import sys
sys.argv = ["nirfire", *{arguments}]
from nirfire.cli import main
try:
    main()
except SystemExit:
    pass
"""


def loaded_by(code, names):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED.format(names=names)}"], capture_output=True, text=True, check=True
    )
    return done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["status", "--help"], ["version"]])
def test_help_imports_nothing_heavy(arguments):
    assert loaded_by(RUN.format(arguments=arguments), HEAVY) == "[]"


def test_help_answers_at_once():
    """Half a second on a quiet machine; here the time of the processor counts, and twice as much of it is allowed."""
    used = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "nirfire", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert statistics.median(used) < 1.0, used


def test_what_needs_no_stock_pipeline_never_imports_it():
    """Neither does the parent of a run, which stays small beside its workers."""
    modules = (
        *("nirfire.tasks.redshift", "nirfire.commands.run", "nirfire.commands.look", "nirfire.commands.config"),
        *("nirfire.commands.aim", "nirfire.demo", "nirfire.pipeline.worker", "nirfire.qa.report"),
    )
    assert loaded_by("import " + ", ".join(modules), STOCK) == "[]"


def ends(monkeypatch, capsys, error):
    """Exit code and last words of the command when something raises."""

    def app():
        raise error

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(cli.signal, "signal", lambda *arguments: None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, capsys.readouterr().err


def test_errors_of_the_user_are_exit_2_without_traceback(monkeypatch, capsys):
    code, said = ends(monkeypatch, capsys, DataError("no such thing", key="-w", remedy="give another"))
    assert (code, said) == (2, "error: no such thing\n  key: -w\n  remedy: give another\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_exit_2_without_traceback(monkeypatch, capsys, number):
    code, said = ends(monkeypatch, capsys, OSError(number, "refused", "/some/file"))
    assert code == 2
    assert said.startswith("error: refused\n  file: /some/file\n  remedy: check free space and permissions")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupt_of_a_command_is_exit_130(number, monkeypatch, capsys):
    """Of a real one: typer would take KeyboardInterrupt for itself."""

    def look(*arguments, **keys):
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr("nirfire.commands.look.status", look)
    monkeypatch.setattr(sys, "argv", ["nirfire", "status", "."])
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as caught:
            cli.main()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert caught.value.code == 130
    assert "interrupted; run the same command again to go on" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.ENOENT, "gone", "/x")])
def test_bugs_are_shown_in_full(monkeypatch, capsys, error):
    with pytest.raises(type(error)):
        ends(monkeypatch, capsys, error)


def test_version():
    done = subprocess.run([sys.executable, "-m", "nirfire", "version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{__version__}\n"
