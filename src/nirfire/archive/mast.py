"""Questions to the archive, put through astroquery's client of the MAST missions search."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from astropy.table import Row, Table
from requests.adapters import HTTPAdapter

from nirfire.archive.link import Link
from nirfire.archive.retry import Passing, check_status, persist, short_reason
from nirfire.errors import DataError

if TYPE_CHECKING:
    from astroquery.mast import MastMissionsClass

EXP_TYPE = "NRS_MSASPEC"
RAW = "1b"
PAGE = 5000
BATCH = 100
REMEDY_REPLY = "the archive's service may have changed or the address may be wrong: try again later, then report it"


class Mast:
    """The JWST collection of MAST.

    Queries are anonymous: the archive lists exclusive-access data to everyone, and so the token stays out of
    astroquery, which would write it to its debug log.

    Parameters
    ----------
    link : Link
        The way to the archive.
    """

    def __init__(self, link: Link) -> None:
        from astroquery.mast import MastMissionsClass

        self._link = link
        self._status = 0
        client = MastMissionsClass(mission="jwst")
        client._service_api_connection.SERVICE_URL = link.server
        client.mission = "jwst"  # makes the client build its addresses anew
        for scheme in ("http://", "https://"):
            client._session.mount(scheme, TimedAdapter(link.patience.connect, link.patience.query))
        client._session.hooks["response"].append(self._note_status)
        self._client: MastMissionsClass = client

    def exposures(self, program: int) -> list[Row]:
        """Rows of the search for raw multi-object exposures of a program, one per exposure.

        Raises
        ------
        DataError
            The archive does not answer, or not as expected.
        """
        query = partial(
            self._client.query_criteria, program=str(program), exp_type=EXP_TYPE, productLevel=RAW, limit=PAGE
        )
        rows: list[Row] = []
        while True:
            page = self._ask(partial(query, offset=len(rows)), f"program {program}")
            rows.extend(page)
            if len(page) < PAGE:
                return rows

    def products(self, filesets: list[str]) -> list[Row]:
        """Rows of the lists of files that belong to exposures; a file may come up several times.

        Raises
        ------
        DataError
            The archive does not answer, or not as expected.
        """
        rows: list[Row] = []
        for start in range(0, len(filesets), BATCH):
            batch = filesets[start : start + BATCH]
            rows.extend(self._ask(partial(self._client.get_product_list, batch), f"files of {len(batch)} exposures"))
        return rows

    def _ask(self, question: Callable[[], Table], what: str) -> Table:
        what = f"{self._link.server} ({what})"
        return persist(partial(self._attempt, question, what), self._link.patience, stop=self._link.stop, what=what)

    def _attempt(self, question: Callable[[], Table], what: str) -> Table:
        """Put a question once; astroquery's many kinds of error become `Passing` or `DataError`."""
        from astroquery.exceptions import InvalidQueryError, MaxResultsWarning, NoResultsWarning
        from astroquery.exceptions import TimeoutError as QueryTimeout
        from astroquery.mast import conf

        self._status = 0
        try:
            with warnings.catch_warnings(), conf.set_temp("server", self._link.server):
                warnings.simplefilter("ignore", NoResultsWarning)
                warnings.simplefilter("ignore", MaxResultsWarning)
                return question()
        except InvalidQueryError as error:
            if self._status >= 500:  # astroquery says "invalid" to an internal error of the archive also
                raise Passing(f"HTTP {self._status}") from error
            message = f"the archive does not take the question ({error})"
            raise DataError(message, file=what, remedy=REMEDY_REPLY) from error
        except QueryTimeout as error:
            raise Passing(str(error)) from error
        except (OSError, RuntimeError, TypeError, KeyError, ValueError) as error:
            cause = network_cause(error)
            if cause is None:
                message = f"the archive's answer is not understood ({type(error).__name__}: {error})"
                raise DataError(message, file=what, remedy=REMEDY_REPLY) from error
            if cause.response is not None:
                headers = cause.response.headers
                check_status(cause.response.status_code, headers, what=what, token=False, remedy=REMEDY_REPLY)
            raise Passing(f"no usable answer ({short_reason(cause)})") from error

    def _note_status(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        self._status = response.status_code


class TimedAdapter(HTTPAdapter):
    """Gives requests that come without a time limit one; astroquery sets none.

    Parameters
    ----------
    connect, read : float
        Time allowed for the connection and for the answer [s].
    """

    def __init__(self, connect: float, read: float) -> None:
        self._limits = (connect, read)
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or self._limits
        return super().send(request, *args, **kwargs)


def network_cause(error: BaseException | None) -> requests.RequestException | None:
    """Find the network error behind an error that another was raised from or during."""
    while error is not None and not isinstance(error, requests.RequestException):
        error = error.__cause__ or error.__context__
    return error
