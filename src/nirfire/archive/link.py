"""The way to the archive: its address, the token, and what a request carries."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from nirfire import __version__
from nirfire.archive.options import DownloadOptions, Patience
from nirfire.archive.retry import TOKEN_VARIABLE
from nirfire.errors import DataError

SERVER_VARIABLE = "NIRFIRE_MAST_URL"
RETRIEVE = "/search/jwst/api/v0.1/retrieve_product?product_name="
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TokenAuth(AuthBase):
    """Adds the token to requests that go to the archive's own address.

    `requests` drops the header when it follows a redirect to another host, and being an explicit authentication this
    also keeps entries of a ``.netrc`` file out of the requests.

    Parameters
    ----------
    server : str
        Address of the archive.
    token : str, optional
        The token.
    """

    def __init__(self, server: str, token: str | None) -> None:
        self._origin, self._token = origin(server), token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token and origin(request.url or "") == self._origin:
            request.headers["Authorization"] = f"token {self._token}"
        return request

    def __repr__(self) -> str:
        return f"TokenAuth({self._origin}, token {'set' if self._token else 'not set'})"


@dataclass(frozen=True)
class Link:
    """The way to the archive, shared by all transfers.

    Attributes
    ----------
    server : str
        Address of the archive, without a slash at the end.
    token : str, optional
        Token for data in their exclusive-access period; never shown.
    patience : Patience
        When to try again and when to give up.
    stop : Event
        Set to end all transfers.
    """

    server: str
    token: str | None = field(repr=False)
    patience: Patience
    stop: Event = field(default_factory=Event, compare=False)

    @classmethod
    def from_options(cls, options: DownloadOptions) -> Link:
        """Take the address from the options or the environment, and the token from the environment only."""
        server = options.server or os.environ.get(SERVER_VARIABLE, "").strip() or _astroquery_server()
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            remedy = f"give it as https://host, in {SERVER_VARIABLE} or as an option"
            raise DataError(f"not an address of an archive: {server!r}", key=SERVER_VARIABLE, remedy=remedy)
        token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
        if token and parts.scheme != "https" and parts.hostname not in LOOPBACK:
            remedy = f"use an https address, or unset {TOKEN_VARIABLE}"
            raise DataError(f"a token is not sent unencrypted to {server}", key=TOKEN_VARIABLE, remedy=remedy)
        return cls(server=server.rstrip("/"), token=token, patience=options.patience)

    def session(self) -> requests.Session:
        """Start a session for the transfer of one file."""
        session = requests.Session()
        session.auth = TokenAuth(self.server, self.token)
        session.headers.update({"User-Agent": f"nirfire/{__version__}", "Accept-Encoding": "identity"})
        return session

    def address(self, uri: str) -> str:
        """Address of a file."""
        return f"{self.server}{RETRIEVE}{quote(uri, safe='')}"


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _astroquery_server() -> str:
    from astroquery.mast import conf

    return str(conf.server)
