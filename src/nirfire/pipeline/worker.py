"""The one place that runs jobs: catches what they raise, and keeps their logs apart."""

from __future__ import annotations

import logging
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from nirfire.errors import DataError, NoWork
from nirfire.pipeline.jobs import DATA_ERROR, DONE, FAILED, NO_WORK, Job, Outcome

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def prepare() -> None:
    """Start a worker process."""
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.captureWarnings(True)


def run(job: Job, log: Path) -> Outcome:
    """Run one job to its end, whatever that is.

    Parameters
    ----------
    job : Job
        What to run.
    log : Path
        Where its log goes.

    Returns
    -------
    Outcome
    """
    start, fingerprint = time.perf_counter(), job.fingerprint()
    with _log_to(log):
        status, reason = _attempt(job)
    return Outcome(
        task=job.task,
        key=job.key,
        status=status,
        reason=reason,
        seconds=round(time.perf_counter() - start, 3),
        fingerprint=fingerprint,
        log=str(log),
    )


def _attempt(job: Job) -> tuple[str, str]:
    try:
        job.function(**job.arguments)
    except NoWork as error:
        return NO_WORK, str(error)
    except DataError as error:
        logging.error("%s", error)
        return DATA_ERROR, str(error)
    except SystemExit as error:  # crds leaves so when its cache lacks server_config
        logging.error("%s", traceback.format_exc())
        return DATA_ERROR, f"the CRDS cache cannot be used (exit {error.code}): check CRDS_PATH"
    except Exception as error:  # noqa: BLE001  the frame is in the log; other jobs go on
        logging.error("%s", traceback.format_exc())
        return FAILED, f"{type(error).__name__}: {error}"
    return DONE, ""


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
