"""What a person says of a source, and what several people say together. No files here.

Two votes agree when their qualities differ by at most 1 and their redshifts by at most 0.005 (1 + z); quality 1 has no
redshift and agrees with any of quality 2. The consensus is that of the largest group of votes that all agree with each
other, if it is more than half of them: the median redshift, and the lower median of the qualities. Otherwise the source
is in conflict, and has none until somebody changes a vote or one more person votes. So it is when one person gave two
grades that do not know of each other (`nirfire.inspect.standing`), until that person grades it again.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from nirfire.inspect.quality import Quality

Seen = dict[str, dict[str, str | None]]
"""Fingerprints by spectrum: ``{"prism_clear": {"spec": "9f8b...", "fit": None}}``."""

DZ = 0.005  # redshifts agree within DZ (1 + z)
DQ = 1  # and qualities within this


@dataclass(frozen=True)
class Vote:
    """What one person said of one source at one time.

    Attributes
    ----------
    uuid : str
        Made by who votes; the same vote sent twice is one vote.
    user : str
        Who.
    source : int
        Number of the source.
    z : float or None
        Redshift; None for quality 1, and where none was given with quality 0.
    quality : int
        0 to 4, see `Quality`; 0 takes an earlier grade back, or holds a comment alone.
    flags : dict of str to int
        Bits of `Flag`, by spectrum.
    comment : str
        Free text.
    tags : tuple of str
        Free labels.
    seen : dict
        Fingerprints of the spectra and fits that were looked at.
    time : str
        When the key was pressed: ISO 8601, UTC, microseconds, so that text sorts as time does. The store sees to it
        that it is later than that of the votes it builds on, whatever the clocks say.
    builds_on : tuple of str or None
        Uuids of the votes of this person on this source that the page showed; empty where it showed none. None where
        that is not told (older versions, tables of others): then it builds on all that are earlier.
    regrades : bool or None
        True where the person gave this grade or took one back, False where flags, comment or tags were set and the
        grade is that of the votes it builds on. None where that is not told: as True.
    saved : str
        When a store first had it, likewise; empty where that is not told.
    """

    uuid: str
    user: str
    source: int
    z: float | None
    quality: int
    flags: dict[str, int]
    comment: str
    tags: tuple[str, ...]
    seen: Seen
    time: str
    builds_on: tuple[str, ...] | None = None
    regrades: bool | None = None
    saved: str = ""

    @property
    def order(self) -> tuple[str, str]:
        """What decides which of two votes is the later one where neither builds on the other, in every store."""
        return self.time, self.uuid

    @property
    def graded(self) -> bool:
        """True when it says more than "not inspected"."""
        return self.quality > Quality.NOT_INSPECTED

    @property
    def bits(self) -> int:
        """All flags of all spectra."""
        return any_bits(self.flags)

    def same_content(self, other: Vote) -> bool:
        """True for the same vote, whenever it was sent, also where only one of both tells what it builds on."""
        told = None not in (self.builds_on, other.builds_on)
        same = ("time", "saved") if told else ("time", "saved", "builds_on", "regrades")
        return self == replace(other, **{name: getattr(self, name) for name in same})

    def as_json(self, *, stale: bool = False) -> dict[str, Any]:
        """What is sent to the page."""
        told = {one.name: getattr(self, one.name) for one in fields(Vote)}
        builds_on = None if self.builds_on is None else list(self.builds_on)
        return told | {"tags": list(self.tags), "builds_on": builds_on, "stale": stale}


@dataclass(frozen=True)
class Standing(Vote):
    """What a person says of a source now: the latest vote, or several that do not know of each other taken together.

    Attributes
    ----------
    heads : tuple of Vote
        The votes that no other builds on, oldest first; the fields of a vote are those of the last of them, or what all
        say together.
    rivals : tuple of Vote
        Grades of this person given without knowing of each other, oldest first; then `quality` is 0 and `z` None.
        Empty where there is no more than one.
    n_votes : int
        Votes that it takes into account; the more, the newer.
    """

    heads: tuple[Vote, ...] = ()
    rivals: tuple[Vote, ...] = ()
    n_votes: int = 1

    @property
    def graded(self) -> bool:
        """True when the person gave a grade that was not taken back."""
        return super().graded or bool(self.rivals)

    def as_json(self, *, stale: bool = False) -> dict[str, Any]:
        """What is sent to the page."""
        more = {"heads": [vote.uuid for vote in self.heads], "rivals": [vote.as_json() for vote in self.rivals]}
        return super().as_json(stale=stale) | more | {"n_votes": self.n_votes}


@dataclass(frozen=True)
class Consensus:
    """What the latest votes of all people on one source come to.

    Attributes
    ----------
    source : int
        Number of the source.
    quality : int
        Lower median; 0 where nobody graded the source or the voters are in conflict.
    z : float or None
        Median; None likewise, and where the quality is 1.
    conflict : bool
        No more than half of the voters agree with each other, or one of them gave two grades.
    n_voters, n_agree : int
        People whose latest vote has a grade, and how many of them are in the largest group that agrees.
    users : tuple of str
        The voters, by name.
    flags : dict of str to int
        Bits that anybody set, by spectrum.
    comment : str
        All comments, each with its author.
    tags : tuple of str
        All tags.
    time : str
        Of the latest vote.
    seen : dict
        What the latest vote that has a grade looked at.
    twice : tuple of str
        Voters of whom there are several grades, given without knowing of each other.
    """

    source: int
    quality: int
    z: float | None
    conflict: bool
    n_voters: int
    n_agree: int
    users: tuple[str, ...]
    flags: dict[str, int]
    comment: str
    tags: tuple[str, ...]
    time: str
    seen: Seen
    twice: tuple[str, ...] = ()


def any_bits(flags: dict[str, int]) -> int:
    """Bits that any spectrum has."""
    found = 0
    for bits in flags.values():
        found |= bits
    return found


def is_stale(seen: Seen, now: Seen) -> bool:
    """True when the spectra and fits are not those that were looked at; a vote that does not tell is never stale."""
    if not seen:
        return False
    return seen.keys() != now.keys() or any(_pair(one) != _pair(now[key]) for key, one in seen.items())


def agree(votes: Sequence[Vote]) -> list[Vote]:
    """The largest group of graded votes that all agree; of equal ones that of the lower quality, then the tightest.

    Parameters
    ----------
    votes : sequence of Vote
        Of one source, one per person.

    Returns
    -------
    list of Vote
    """
    if all_agree(votes):
        return list(votes)
    best: tuple[tuple[int, int, float], list[Vote]] = ((0, 0, 0.0), [])
    for least in range(Quality.IMPOSSIBLE, Quality.SECURE):
        near = [vote for vote in votes if least <= vote.quality <= least + DQ]
        placed = sorted((vote.z, vote.user, vote) for vote in near if vote.z is not None)
        without = [vote for vote in near if vote.z is None]
        for window in [[one for one in placed if 0 <= one[0] - z <= DZ * (1 + z)] for z, _, _ in placed] or [[]]:
            group = [vote for _, _, vote in window] + without
            width = window[-1][0] - window[0][0] if window else 0.0
            best = max(best, ((len(group), -least, -width), group), key=lambda item: item[0])
    return best[1]


def consensus_of(votes: Iterable[Vote]) -> Consensus | None:
    """What the people who voted on a source say together.

    Parameters
    ----------
    votes : iterable of Vote
        Of one source, at most one per person, usually `Standing`.

    Returns
    -------
    Consensus or None
        None where there is no vote.
    """
    latest = sorted(votes, key=lambda vote: vote.user)
    if not latest:
        return None
    voters = [vote for vote in latest if vote.graded]
    twice = tuple(vote.user for vote in latest if isinstance(vote, Standing) and vote.rivals)
    group = agree([vote for vote in voters if vote.user not in twice])
    settled = 2 * len(group) > len(voters) and not twice
    quality = int(statistics.median_low(vote.quality for vote in group)) if settled else 0
    places = [vote.z for vote in group if vote.z is not None]
    flags: dict[str, int] = {}
    for vote in latest:
        for key, bits in vote.flags.items():
            flags[key] = flags.get(key, 0) | bits
    return Consensus(
        source=latest[0].source,
        quality=quality,
        z=statistics.median(places) if quality > Quality.IMPOSSIBLE and places else None,
        conflict=bool(voters) and not settled,
        n_voters=len(voters),
        n_agree=len(group),
        users=tuple(vote.user for vote in voters),
        flags=flags,
        comment=said(latest),
        tags=tuple(sorted({tag for vote in latest for tag in vote.tags})),
        time=max(latest, key=lambda vote: vote.order).time,
        seen=max(voters, key=lambda vote: vote.order).seen if voters else {},
        twice=twice,
    )


def all_agree(votes: Sequence[Vote]) -> bool:
    """True where all votes are one group that agrees: the usual case, told at once."""
    if len(votes) < 2:
        return True
    qualities = [vote.quality for vote in votes]
    places = [vote.z for vote in votes if vote.z is not None] or [0.0]
    return max(qualities) - min(qualities) <= DQ and max(places) - min(places) <= DZ * (1 + min(places))


def said(votes: Iterable[Vote]) -> str:
    """The comments of several people in one text."""
    return " | ".join(f"{vote.user}: {vote.comment}" for vote in votes if vote.comment)


def _pair(one: dict[str, str | None]) -> tuple[str | None, str | None]:
    return one.get("spec"), one.get("fit")
