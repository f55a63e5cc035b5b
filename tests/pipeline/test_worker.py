"""The one place that runs jobs: whatever they do becomes an outcome with a reason, and a log with context."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import warnings

import pytest

from nirfire import __version__
from nirfire.errors import DataError, NoWork, TransientError
from nirfire.pipeline import worker
from nirfire.pipeline.jobs import BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, SKIPPED, Order, Outcome, worst
from nirfire.products.provenance import Provenance, current, read_fingerprint, read_provenance

from .toy import write

pytestmark = pytest.mark.filterwarnings("ignore:said as a warning")
HERE = __name__
MADE = Provenance(json.dumps({"task": "clean 1", "inputs": {}}), "0123456789abcdef", "logs/clean/1.log")
TRIES: list[int] = []


def say(out):
    """A task that says things in every way there is."""
    sys.stdout.write("said on standard output\n")
    sys.stderr.write("said on standard error\n")
    logging.getLogger("some.library").info("said to the log")
    warnings.warn("said as a warning", stacklevel=1)
    write(out)


def end(error):
    TRIES.append(1)
    raise error


def succeed_at_last(error, attempts):
    TRIES.append(1)
    if len(TRIES) < attempts:
        raise error


@pytest.fixture
def do(tmp_path, monkeypatch):
    """Run a task of this module; gives the outcome."""
    monkeypatch.setattr(worker, "PAUSE_SECONDS", 0.0)
    TRIES.clear()

    def run(function, retries=0, provenance=None, log="logs/clean/1.log", **arguments):
        order = Order("clean", "1", f"{HERE}:{function}", arguments, tmp_path / log, provenance, retries)
        return worker.run(order)

    return run


def test_the_log_has_context_and_all_that_was_said(do, tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.resetwarnings()
        worker.prepare({})
        outcome = do("say", provenance=MADE, out=tmp_path / "out.fits")
        logging.captureWarnings(False)
    assert outcome.status == DONE
    text = (tmp_path / "logs/clean/1.log").read_text()
    for words in (
        "job clean 1",
        f"nirfire {__version__}",
        "fingerprint 0123456789abcdef of",
        f"argument out = {tmp_path / 'out.fits'}",
        "said on standard output",
        "said on standard error",
        "INFO    some.library: said to the log",
        "said as a warning",
    ):
        assert words in text
    assert capfd.readouterr() == ("", "")


def test_products_are_stamped_while_the_job_runs_and_no_longer(do, tmp_path):
    assert do("say", provenance=MADE, out=tmp_path / "out.fits").fingerprint == MADE.fingerprint
    assert read_fingerprint(tmp_path / "out.fits") == MADE.fingerprint
    assert "logs/clean/1.log" in read_provenance(tmp_path / "out.fits")["value"]
    assert current() is None
    assert do("say", out=tmp_path / "plain.fits").fingerprint == ""
    assert read_fingerprint(tmp_path / "plain.fits") is None


def test_an_outcome_tells_what_it_cost_and_where(do, tmp_path):
    outcome = do("say", out=tmp_path / "out.fits")
    assert (outcome.task, outcome.key) == ("clean", "1")
    assert outcome.log == str(tmp_path / "logs/clean/1.log")
    assert outcome.seconds >= 0
    assert 0.01 < outcome.memory < 50
    assert outcome.worker.endswith(f":{os.getpid()}")


ENDINGS = [
    (NoWork("nothing here"), NO_WORK, "nothing here"),
    (DataError("bad", file="a.fits", key="K", remedy="mend it"), DATA_ERROR, "bad\n  file: a.fits\n  key: K\n  remedy"),
    (TransientError("no network"), DATA_ERROR, "no network"),
    (ValueError("a bug"), FAILED, "ValueError: a bug"),
    (MemoryError(), FAILED, "MemoryError"),
    (SystemExit(3), DATA_ERROR, "exit 3"),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), FAILED, "No space left on device\n  file: /x\n  remedy"),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), FAILED, "Permission denied\n  file: /x"),
]


@pytest.mark.parametrize(("error", "status", "words"), ENDINGS, ids=lambda value: getattr(value, "__name__", None))
def test_every_way_to_end(do, tmp_path, error, status, words):
    outcome = do("end", error=error)
    assert outcome.status == status
    assert words in outcome.reason
    assert len(TRIES) == 1
    if status == FAILED:
        assert "Traceback" in (tmp_path / "logs/clean/1.log").read_text()


@pytest.mark.parametrize("error", [TransientError("no network"), OSError(errno.EIO, "i/o"), ConnectionResetError()])
def test_what_may_pass_is_tried_again(do, error):
    assert do("succeed_at_last", retries=2, error=error, attempts=3).status == DONE
    assert len(TRIES) == 3
    TRIES.clear()
    assert do("succeed_at_last", retries=1, error=error, attempts=3).status in (DATA_ERROR, FAILED)
    assert len(TRIES) == 2


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), DataError("bad"), ValueError("bug"), NoWork("none")])
def test_what_will_not_pass_is_not(do, error):
    do("end", retries=5, error=error)
    assert len(TRIES) == 1


def test_an_unknown_task_is_a_failure_not_a_crash(do):
    assert do("no_such_task").status == FAILED


def test_a_log_that_cannot_be_written_fails_the_job(do, tmp_path):
    (tmp_path / "logs").write_text("a file in the place of the folder")
    outcome = do("say", out=tmp_path / "out.fits")
    assert outcome.status == FAILED
    assert "the log cannot be written" in outcome.reason


def test_logging_is_left_as_it_was(do, tmp_path):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    do("end", error=ValueError("x"))
    assert (root.level, list(root.handlers)) == before


def test_the_worst_of_the_endings_is_the_exit_code():
    def code(*endings):
        return worst(Outcome("clean", "1", status) for status in endings)

    assert code() == code(DONE, SKIPPED, NO_WORK) == 0
    assert code(DONE, DATA_ERROR) == code(FAILED) == code(DONE, BLOCKED) == 3
