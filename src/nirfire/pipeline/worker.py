"""The one place that runs jobs: catches what they raise, and keeps their logs apart."""

from __future__ import annotations

import importlib
import logging
import os
import platform
import resource
import socket
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from nirfire import __version__
from nirfire.errors import DataError, NoWork, TransientError
from nirfire.pipeline.jobs import DATA_ERROR, DONE, FAILED, NO_WORK, Order, Outcome
from nirfire.products.provenance import recording

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
PAUSE_SECONDS = 2.0
PERMANENT = (FileNotFoundError, PermissionError, NotADirectoryError, FileExistsError)


def prepare(environment: dict[str, str]) -> None:
    """Start a worker process.

    Parameters
    ----------
    environment : dict
        Environment variables, set before any numerical library is imported.
    """
    os.environ.update(environment)
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.captureWarnings(True)


def run(order: Order) -> Outcome:
    """Run one job to its end, whatever that is.

    Parameters
    ----------
    order : Order
        What to run.

    Returns
    -------
    Outcome
    """
    start = time.perf_counter()
    reset_peak_memory()
    try:
        with _log_to(order.log):
            _say_what(order)
            with ExitStack() as stack:
                if order.provenance:
                    stack.enter_context(recording(order.provenance))
                status, reason = _attempt(order)
    except OSError as error:  # the log itself cannot be written
        error.filename = str(order.log)
        status, reason = FAILED, f"the log cannot be written: {_io_advice(error)}"
    return Outcome(
        task=order.stage,
        key=order.key,
        status=status,
        reason=reason,
        seconds=round(time.perf_counter() - start, 3),
        fingerprint=order.provenance.fingerprint if order.provenance else "",
        log=str(order.log),
        memory=round(peak_memory(), 3),
        worker=f"{socket.gethostname()}:{os.getpid()}",
    )


def _attempt(order: Order) -> tuple[str, str]:
    """Call the task; what may pass by itself is tried again."""
    for left in range(order.retries, -1, -1):
        try:
            _function(order.call)(**order.arguments)
            return DONE, ""
        except NoWork as error:
            return NO_WORK, str(error)
        except (TransientError, OSError) as error:
            logging.error("%s", traceback.format_exc())
            if left == 0 or isinstance(error, PERMANENT):
                return (DATA_ERROR, str(error)) if isinstance(error, DataError) else (FAILED, _io_advice(error))
            logging.warning("trying again, %d times at most", left)
            time.sleep(PAUSE_SECONDS * (order.retries - left + 1))
        except DataError as error:
            logging.error("%s", error)
            return DATA_ERROR, str(error)
        except SystemExit as error:  # crds leaves so when its cache lacks server_config
            logging.error("%s", traceback.format_exc())
            return DATA_ERROR, f"the CRDS cache cannot be used (exit {error.code}): check CRDS_PATH"
        except Exception as error:  # noqa: BLE001  the frame is in the log; other jobs go on
            logging.error("%s", traceback.format_exc())
            return FAILED, f"{type(error).__name__}: {error}"
    return FAILED, "not tried"


def _io_advice(error: OSError) -> str:
    """What the system refused, and for which file."""
    where = error.filename or f"not told by the system; temporary files lie in {tempfile.gettempdir()}"
    return f"{error.strerror or error}\n  file: {where}\n  remedy: check free space and permissions, then run again"


def _function(call: str) -> Callable[..., object]:
    module, _, name = call.partition(":")
    return getattr(importlib.import_module(module), name)


def _say_what(order: Order) -> None:
    """Head of the log: what is about to be done, by what, and where."""
    logging.info("job %s %s", order.stage, order.key)
    logging.info("nirfire %s, python %s, host %s", __version__, platform.python_version(), socket.gethostname())
    if order.provenance:
        logging.info("fingerprint %s of %s", order.provenance.fingerprint, order.provenance.facts)
    for name, value in order.arguments.items():
        logging.info("argument %s = %s", name, value)


def reset_peak_memory() -> None:
    """Begin a new measurement of the largest resident memory, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux: the peak is then that of the whole process
        return


def peak_memory() -> float:
    """Largest resident memory of this process since the last reset [GB]."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    with path.open("w") as stream, redirect_stdout(stream), redirect_stderr(stream):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(LOG_FORMAT))
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(before)
