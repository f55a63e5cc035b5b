"""Faults that pass by themselves: telling them from those that do not, and trying again."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import TypeVar

from nirfire.archive.options import Patience
from nirfire.errors import DataError, TransientError

logger = logging.getLogger(__name__)
T = TypeVar("T")

REFUSED = (401, 403)
PASSING = (408, 425, 429)
TOKEN_PAGE = "https://auth.mast.stsci.edu/token"
TOKEN_VARIABLE = "MAST_API_TOKEN"
REMEDY_NO_TOKEN = (
    f"data in their exclusive-access period need a token: make one at {TOKEN_PAGE} "
    f"and set the environment variable {TOKEN_VARIABLE} to it"
)
REMEDY_BAD_TOKEN = (
    f"the token in {TOKEN_VARIABLE} has run out or gives no access to this program: make a new one at {TOKEN_PAGE}"
)
REMEDY_ABSENT = "look the file up at the archive; it may have been withdrawn or renamed"
REMEDY_LATER = "run the same command again later: what is here is kept, and files that were begun go on"


class Passing(Exception):
    """A fault that may pass by itself.

    Parameters
    ----------
    reason : str
        What happened.
    wait : float, optional
        The pause that the archive asks for [s].
    moved : bool
        True when the attempt brought something new, so that patience begins anew.
    """

    def __init__(self, reason: str, *, wait: float | None = None, moved: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.moved = reason, wait, moved


class Stopped(Exception):
    """The download is being stopped."""


def check_status(
    status: int, headers: Mapping[str, str], *, what: str, token: bool, remedy: str = REMEDY_ABSENT
) -> None:
    """Sort an HTTP status.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : Mapping
        Headers of the reply.
    what : str
        The file or query that was asked for.
    token : bool
        True when a token was sent.
    remedy : str
        What to do when it cannot be had at all.

    Raises
    ------
    Passing
        Worth another attempt (408, 425, 429 and 5xx).
    DataError
        Not worth another attempt.
    """
    if status < 400:
        return
    if status in REFUSED:
        access = REMEDY_BAD_TOKEN if token else REMEDY_NO_TOKEN
        raise DataError(f"the archive refuses access (HTTP {status})", file=what, remedy=access)
    if status in PASSING or status >= 500:
        raise Passing(f"HTTP {status}", wait=retry_after(headers))
    raise DataError(f"the archive does not give it (HTTP {status})", file=what, remedy=remedy)


def short_reason(error: BaseException) -> str:
    """Name the innermost of a chain of network errors, in the operating system's words where it has some."""
    while True:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        inner = error.__cause__ or error.__context__
        if inner is None:
            return type(error).__name__
        error = inner


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read the pause that a reply asks for, given as seconds or as a date [s]; None when it asks for none."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def persist(attempt: Callable[[], T], patience: Patience, *, stop: Event, what: str) -> T:
    """Repeat an attempt until it succeeds or patience ends.

    Parameters
    ----------
    attempt : Callable
        Raises `Passing` when another attempt is worth it.
    patience : Patience
        How often and how slowly.
    stop : Event
        Ends the waiting.
    what : str
        Named in messages.

    Raises
    ------
    TransientError
        Patience ended.
    Stopped
        `stop` was set.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except Passing as fault:
            failures = 0 if fault.moved else failures + 1
            if failures >= patience.attempts:
                message = f"given up after {failures} attempts: {fault.reason}"
                raise TransientError(message, file=what, remedy=REMEDY_LATER) from fault
            pause = _pause(fault, failures, patience, what)
            logger.warning("%s: %s; next attempt in %.0f s", what, fault.reason, pause)
        if stop.wait(pause):
            raise Stopped


def _pause(fault: Passing, failures: int, patience: Patience, what: str) -> float:
    """Seconds to wait: what the archive asks for, else doubled each time and blurred so that files do not march."""
    if fault.wait is None:
        return min(patience.first_wait * 2 ** max(failures - 1, 0), patience.longest_wait) * random.uniform(0.75, 1.25)
    if fault.wait > patience.longest_asked:
        message = f"the archive asks to wait for {fault.wait / 60:.0f} minutes ({fault.reason})"
        raise TransientError(message, file=what, remedy=REMEDY_LATER)
    return fault.wait
