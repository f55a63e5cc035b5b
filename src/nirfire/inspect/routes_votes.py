"""Votes over HTTP: saving, the history of a source, and what is in conflict."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from nirfire.errors import DataError
from nirfire.inspect.asked import Source
from nirfire.inspect.ballot import Ballot
from nirfire.inspect.context import Context, context
from nirfire.inspect.index import catalogue_of, fingerprints
from nirfire.inspect.people import ballots, user_of
from nirfire.inspect.refusal import Refusal
from nirfire.inspect.votes import is_stale

router = APIRouter(prefix="/api")
Asked = Annotated[Context, Depends(context)]
User = Annotated[str, Depends(user_of)]


@router.post("/votes")
def save(ballot: Ballot, asked: Asked, user: User) -> dict[str, Any]:
    """Save a vote; it is on disk when the answer comes, which also tells what this person says now.

    That is another thing where the page did not know of the latest vote; what it knew is in the vote.
    """
    if asked.store.read_only:
        raise Refusal(
            403, "votes cannot be saved: the workspace is read only", "copy it, or ask for the right to write"
        )
    if not _is_known(asked, ballot.source):
        raise Refusal(404, f"source {ballot.source} has no products", "it may have been removed: load the list again")
    vote = ballot.vote(user)
    try:
        known = asked.store.find(vote.uuid)
        if known is not None and not vote.same_content(known):
            raise Refusal(409, f"another vote has the uuid {vote.uuid}", "give every vote a uuid of its own")
        saved = asked.store.add(vote, age=ballot.age)
        (own,) = [one for one in asked.store.latest(saved.source) if one.user == user]
    except DataError as error:  # a full disk, or a store that others keep busy: the page tries again
        raise Refusal(503, error.message, error.remedy or "") from error
    now = fingerprints(asked.place, saved.source)
    return {name: one.as_json(stale=is_stale(one.seen, now)) for name, one in (("saved", saved), ("own", own))}


def _is_known(asked: Context, source: int) -> bool:
    """True for a source that has products, or that the catalogue lists."""
    return asked.place.source_folder(source).is_dir() or catalogue_of(asked.place).index().row(source) is not None


@router.get("/votes/{source}")
def history(source: Source, asked: Asked, user: User) -> dict[str, Any]:
    """All votes on a source, newest first, as far as this person may see them."""
    found = ballots(asked.store, source, user, blind=asked.blind)
    now = fingerprints(asked.place, source)
    shown = [vote for vote in reversed(asked.store.votes(source)) if vote.user == user or not found.hidden]
    return {
        "source": source,
        "votes": [vote.as_json(stale=is_stale(vote.seen, now)) for vote in shown],
        "hidden": found.hidden,
    }


@router.get("/conflicts")
def conflicts(asked: Asked, user: User) -> dict[str, Any]:
    """Sources on which people do not agree, or one gave two grades that do not know of each other.

    ``votes`` are those that do not agree, with all grades of who is in ``twice``; blind people see what they graded.
    """
    found = []
    for source, said in sorted(asked.store.consensus().items()):
        if said.conflict and not ballots(asked.store, source, user, blind=asked.blind).hidden:
            now = fingerprints(asked.place, source)
            given = [vote for one in asked.store.latest(source) if one.graded for vote in one.rivals or (one,)]
            votes = [vote.as_json(stale=is_stale(vote.seen, now)) for vote in given]
            told = {"source": source, "votes": votes, "twice": list(said.twice)}
            found.append(told | {"n_voters": said.n_voters, "n_agree": said.n_agree})
    return {"conflicts": found}
