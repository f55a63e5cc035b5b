"""Who may ask: every request passes here before any other code.

What is held off: pages of other origins in the same browser (also by DNS rebinding, and those of other ports of this
machine), other users of this machine, and bodies without end. The token is a header that the page adds: a cookie would
be sent to all ports of this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nirfire.inspect.refusal import Refusal, told

API = "/api"
TOKEN, MARK = "x-nirfire-token", "x-nirfire"
LARGEST_BODY = 1_000_000  # bytes
LARGEST_READ = 8_000_000  # up to so many a larger one is read and dropped, so that its sender hears why
TOO_LARGE = f"a body of more than {LARGEST_BODY} bytes"
READING, WRITING = ("GET", "HEAD"), ("POST", "DELETE")
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?P<port>:[0-9]{1,5})?")
OPEN_AGAIN = "open the address that `nirfire inspect` printed"
SAID = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer."""


@dataclass(frozen=True)
class Hosts:
    """The names under which this server may be asked.

    Attributes
    ----------
    names : frozenset of str
        Names and numbers, in lower case.
    numbers : bool
        Any IP number will do: a name that an attacker points here is never one.
    """

    names: frozenset[str]
    numbers: bool = False

    @classmethod
    def of(cls, host: str) -> Hosts:
        """Those of a server that listens on `host`."""
        own = frozenset({"127.0.0.1", "::1", "localhost"})
        if is_loopback(host):
            return cls(own | {host.lower()})
        names = own | {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(names, numbers=host in ("", "0.0.0.0", "::"))

    def has(self, host: str) -> bool:
        """True for the value of a Host header that names this server; the port may be that of a tunnel."""
        match = HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match["name"].strip("[]")
        return name in self.names or (self.numbers and _is_number(name))


def is_loopback(host: str) -> bool:
    """True for names and numbers that only this machine can reach."""
    return host.lower() == "localhost" or (_is_number(host) and ipaddress.ip_address(host).is_loopback)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def same(given: str, token: str) -> bool:
    """True where a token is the right one; takes as long in either case."""
    return hmac.compare_digest(given.encode(), token.encode())


@dataclass
class Guard:
    """The gate before an application.

    Parameters
    ----------
    app : ASGIApp
        What is guarded.
    token : str
        That requests to `API` must carry.
    hosts : Hosts
        See `Hosts.of`.
    """

    app: ASGIApp
    token: str = field(repr=False)
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def speak(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SAID)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
            whole = await _body(scope, receive)
        except Refusal as refusal:
            # what is left of the body is not read: the connection ends with the answer
            answer = told(refusal.status, refusal.error, refusal.remedy, {"Connection": "close"})
            await answer(scope, receive, speak)
            return
        await self.app(scope, whole, speak)

    def _check(self, scope: Scope) -> None:
        headers, method = Headers(scope=scope), scope["method"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.hosts.has(hosts[0]):
            raise Refusal(403, "this server does not go by that name", OPEN_AGAIN)
        if method not in READING + WRITING:
            raise Refusal(405, f"{method} is not served")
        if not scope["path"].isprintable():
            raise Refusal(404, "not found")
        origins = headers.getlist("origin")
        if any(origin != f"{scope['scheme']}://{hosts[0].lower()}" for origin in origins):
            raise Refusal(403, "asked by a page of another origin", OPEN_AGAIN)
        if not _is_api(scope["path"]):
            if method not in READING:
                raise Refusal(405, f"{method} is not served here")
            return
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(403, "asked by a page of another site", OPEN_AGAIN)
        if not same(headers.get(TOKEN, ""), self.token):
            raise Refusal(403, "the token is missing, or of an earlier start of the server", OPEN_AGAIN)
        if method in WRITING:
            _check_writing(headers)


def _is_api(path: str) -> bool:
    return path == API or path.startswith(f"{API}/")


def _check_writing(headers: Headers) -> None:
    if headers.get(MARK) != "1":
        raise Refusal(403, "a request that changes something needs the header X-Nirfire: 1")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "the body must be application/json")


async def _body(scope: Scope, receive: Receive) -> Receive:
    """Take a request's body in, up to `LARGEST_BODY` bytes, and give what hands it on.

    Raises
    ------
    Refusal
        There is more.
    """
    promised = Headers(scope=scope).get("content-length", "0")
    if not (promised.isdecimal() and len(promised) < 12 and int(promised) <= LARGEST_READ):
        raise Refusal(413, TOO_LARGE)
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the request ended before its body did")
        piece = message.get("body", b"")
        size += len(piece)
        if size <= LARGEST_BODY:
            pieces.append(piece)
        if not message.get("more_body", False) or size > LARGEST_READ:
            break
    if size > LARGEST_BODY:
        raise Refusal(413, TOO_LARGE)
    left = [{"type": "http.request", "body": b"".join(pieces), "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again
