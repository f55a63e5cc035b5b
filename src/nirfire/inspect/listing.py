"""What the list view shows of all sources: the redshifts, and what this person and others say of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nirfire.inspect.index import Index
from nirfire.inspect.people import ballots_of
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Consensus, Seen, Vote, is_stale, said

SECONDS = 0.2  # for reading fingerprints at one call
MOST_VOTERS = 127  # that the array can tell


@dataclass(frozen=True)
class Reader:
    """Who looks.

    Attributes
    ----------
    user : str
        Name.
    blind : bool
        Votes of others are hidden until an own grade is saved.
    """

    user: str
    blind: bool


def listing(
    index: Index, store: Store, reader: Reader, now: Callable[[int], Seen]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Meta and arrays of the list of all sources.

    Parameters
    ----------
    index : Index
        The sources.
    store : Store
        The votes.
    reader : Reader
        Who looks.
    now : callable
        Fingerprints of the products of a source.

    Returns
    -------
    meta : dict
        `spectra` names the bits of the array `gratings`; `comments` (own), `remarks` (of others, with their names) and
        `tags` are those of sources that have some; `complete` is False while products are still being read.
    arrays : dict of str to ndarray, shape (n_source,)
        One value per source, as the columns of the list have them.

    Notes
    -----
    `stale` is that of one's own vote; where there is none, that of any other that one may see.
    """
    arrays = _blank(index)
    comments: dict[str, str] = {}
    remarks: dict[str, str] = {}
    tags: dict[str, list[str]] = {}
    complete, end = index.complete, time.monotonic() + SECONDS
    consensus = store.consensus()
    for source, votes in store.latest_by_source().items():
        row = index.row(source)
        if row is None:  # a source whose products are gone: its votes stay in the store
            continue
        found = ballots_of(votes, reader.user, blind=reader.blind)
        if found.own:
            _put_own(arrays, row, found.own)
        if not found.hidden:
            _put_consensus(arrays, row, consensus[source])
        if found.own and found.own.comment:
            comments[str(source)] = found.own.comment
        if text := said(found.others):
            remarks[str(source)] = text
        if labels := sorted({tag for vote in found.shown for tag in vote.tags}):
            tags[str(source)] = labels
        judged = [found.own] if found.own else found.others
        if any(vote.seen for vote in judged):
            if time.monotonic() < end:
                products = now(source)
                arrays["stale"][row] = any(is_stale(vote.seen, products) for vote in judged)
            else:
                complete = False
    meta = {
        "spectra": list(index.spectra),
        "comments": comments,
        "remarks": remarks,
        "tags": tags,
        "complete": complete,
    }
    return meta, arrays


def _blank(index: Index) -> dict[str, np.ndarray]:
    """Columns of the products, and those of the votes without any."""
    size = index.source.size
    products = ("source", "ra", "dec", "z", "z_err", "zprob", "zwarn", "snr", "n_lines", "gratings", "origin")
    votes = {
        "quality": "i1",
        "flags": "i4",
        "stale": "u1",
        "conflict": "u1",
        "n_voters": "i1",
        "consensus_quality": "i1",
    }
    arrays = {name: np.asarray(getattr(index, name)) for name in products}
    arrays |= {name: np.zeros(size, dtype=kind) for name, kind in votes.items()}
    return arrays | {name: np.full(size, np.nan) for name in ("z_own", "consensus_z")}


def _put_own(arrays: dict[str, np.ndarray], row: int, vote: Vote) -> None:
    arrays["quality"][row] = vote.quality
    arrays["flags"][row] = vote.bits
    if vote.z is not None:
        arrays["z_own"][row] = vote.z


def _put_consensus(arrays: dict[str, np.ndarray], row: int, agreed: Consensus) -> None:
    arrays["conflict"][row] = agreed.conflict
    arrays["n_voters"][row] = min(agreed.n_voters, MOST_VOTERS)
    arrays["consensus_quality"][row] = agreed.quality
    if agreed.z is not None:
        arrays["consensus_z"][row] = agreed.z
