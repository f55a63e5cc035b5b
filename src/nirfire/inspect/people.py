"""Who votes, and what they may see of the votes of others."""

from __future__ import annotations

import getpass
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from fastapi import Request

from nirfire.errors import DataError
from nirfire.inspect.context import context
from nirfire.inspect.refusal import Refusal
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote

HEADER = "X-Nirfire-User"
LONGEST = 40
UNNAMED = "anonymous"


@dataclass(frozen=True)
class Ballots:
    """What people say of a source, as one person may see it.

    Attributes
    ----------
    own : Vote or None
        What that person says, usually a `Standing`.
    others : list of Vote
        What others say, by name.
    hidden : int
        How many there are that are not shown yet.
    """

    own: Vote | None
    others: list[Vote]
    hidden: int

    @property
    def shown(self) -> list[Vote]:
        """All that may be seen, the own one first."""
        return ([self.own] if self.own else []) + self.others


def ballots(store: Store, source: int, user: str, *, blind: bool) -> Ballots:
    """The latest votes on a source; blind people see those of others once they have graded it themselves."""
    return ballots_of(store.latest(source), user, blind=blind)


def ballots_of(latest: Iterable[Vote], user: str, *, blind: bool) -> Ballots:
    """The same of the latest votes on a source."""
    latest = list(latest)
    own = next((vote for vote in latest if vote.user == user), None)
    others = [vote for vote in latest if vote.user != user]
    if blind and not (own and own.graded):
        return Ballots(own, [], len(others))
    return Ballots(own, others, 0)


def checked_name(name: str) -> str:
    """A name as it is kept: composed letters, single blanks of the usual kind, and none about it.

    Raises
    ------
    DataError
        It is not 1 to 40 printable characters.
    """
    kept = re.sub(r"[^\S\n\r\v\f]+", " ", unicodedata.normalize("NFC", name)).strip(" ")
    if not 1 <= len(kept) <= LONGEST or not kept.isprintable():
        remedy = f"1 to {LONGEST} printable characters"
        raise DataError(f"not a name for a person: {name[:80]!r}", key="user", remedy=remedy)
    return kept


def default_user() -> str:
    """The name of the login; "anonymous" where the system has none."""
    try:
        return checked_name(getpass.getuser())
    except (OSError, KeyError, DataError):
        return UNNAMED


def user_of(request: Request) -> str:
    """Who sends a request: its header, or the one whom the server was started for; for `fastapi.Depends`.

    Raises
    ------
    Refusal
        400: the header is no name.
    """
    said = request.headers.get(HEADER)
    if said is None:
        return context(request).user
    try:
        return checked_name(unquote(said, errors="strict"))
    except (DataError, UnicodeDecodeError) as error:
        raise Refusal(
            400, f"the header {HEADER} is no name", f"1 to {LONGEST} printable characters, in UTF-8"
        ) from error
