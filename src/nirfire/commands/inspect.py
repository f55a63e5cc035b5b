"""`inspect`: the page on which people vet redshifts."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from nirfire.commands.output import say
from nirfire.errors import DataError
from nirfire.inspect.app import create_app, warm
from nirfire.inspect.context import Context
from nirfire.inspect.fitter import Fitter
from nirfire.inspect.people import checked_name, default_user
from nirfire.inspect.security import Hosts, is_loopback
from nirfire.inspect.serve import address_of, listen, opened, serve
from nirfire.inspect.store import Store
from nirfire.pipeline.target import Observation, observations

HOME = "127.0.0.1"
HEAD_START = 4.0  # seconds for the page to open in, before the fits get ready beside it
OPEN_TO_ALL = (
    "warning: {host} can be reached from other machines. What is sent can be read on the network, the token in the "
    "address too, and who has the token can vote and change masks and shutter lists. Safer: leave --host out, and on "
    "the other machine run `ssh -L {port}:127.0.0.1:{port}` to this one"
)
NETWORK_DISK = (
    "note: the workspace is on a network file system ({kind}): votes are saved without a write-ahead log, which "
    "machines cannot share"
)
TUNNEL = "from another machine: ssh -L {port}:127.0.0.1:{port} {name}, then open this address there"


@dataclass(frozen=True)
class InspectOptions:
    """How the page is served.

    Attributes
    ----------
    host : str
        Interface to listen on.
    port : int or None
        None: the workspace's own, or a free one.
    user : str or None
        Who votes; None: the login name.
    blind : bool
        Hide the votes of others on an object until one's own is saved.
    browser : bool
        Open the page in the user's browser.
    """

    host: str = HOME
    port: int | None = None
    user: str | None = None
    blind: bool = False
    browser: bool = True


def inspect(target: Path, options: InspectOptions) -> None:
    """Serve the inspection page of a workspace until Ctrl-C.

    Raises
    ------
    DataError
        There is nothing to inspect, the votes cannot be used, or the port is taken.
    """
    observation = one_observation(target)
    place = observation.workspace
    user = default_user() if options.user is None else checked_name(options.user)
    with ExitStack() as stack:
        made = stack.enter_context(listen(options.host, options.port, place.folder))
        store = stack.enter_context(open_store(observation))
        fitter = stack.enter_context(closing(Fitter()))
        token, port = secrets.token_urlsafe(32), made.getsockname()[1]
        context = Context(observation, store, user, options.blind)
        app = create_app(context, token, hosts=Hosts.of(options.host), fitter=fitter)
        ready = threading.Timer(HEAD_START, fitter.start)
        ready.start()
        stack.callback(ready.cancel)
        threading.Thread(target=warm, args=(app,), daemon=True).start()
        if not is_loopback(options.host):
            say(OPEN_TO_ALL.format(host=options.host or "every interface", port=port))
        if store.read_only:
            say(f"note: votes cannot be saved: {place.folder} is read only")
        elif store.network:
            say(NETWORK_DISK.format(kind=store.network))
        url = address_of(options.host, port, token)
        sys.stdout.write(f"inspecting {place.observation} as {user}: {url} (Ctrl-C ends)\n")
        sys.stdout.flush()
        if options.browser and not stack.enter_context(opened(url)) and os.environ.get("SSH_CONNECTION"):
            say(TUNNEL.format(port=port, name=os.uname().nodename))
        serve(app, made, fitter.close)


def one_observation(target: Path) -> Observation:
    """The observation that a target stands for.

    Raises
    ------
    DataError
        It stands for several, or for one that has no products yet.
    """
    found = observations(target)
    if len(found) > 1:
        listed = ", ".join(str(one.workspace.folder) for one in found)
        text = f"{len(found)} observations: one is inspected at a time"
        raise DataError(text, file=target, remedy=f"give one of {listed}")
    place = found[0].workspace
    if not (place.sources.is_dir() or place.catalogue.is_dir()):
        remedy = f"give a workspace, or make one: `nirfire run {target}` (its products would be in {place.folder})"
        raise DataError("no products to inspect", file=target, remedy=remedy)
    return found[0]


def open_store(observation: Observation) -> Store:
    """The votes of an observation; only to be read where its folder is."""
    place = observation.workspace
    file = place.inspection if place.inspection.exists() else place.folder
    writable = os.access(place.folder, os.W_OK) and os.access(file, os.W_OK)
    return Store.open(place.inspection, read_only=not writable, observation=place.observation)
