"""What a person says of a source now, worked out of all votes of that person on it.

Every vote names the votes that it builds on: those that the page showed. Usually they are a chain, and the last one
counts. In two windows, or on two machines, one person can make votes that do not know of each other; no clock tells
which of them is meant. Each part of what was said then stands as those votes left it that changed it and that no later
change builds on:

- a grade with its redshift by the vote that gave it; a vote on flags or a comment carries it along and changes nothing.
  Several that differ, in quality or in a redshift that does not agree, are rivals: none stands until the person grades
  the source again, having been shown both; of those that do not differ it is the last one;
- each flag and tag by itself; where one vote sets it and another removes it, it stays set;
- comments are put together.

Nothing is stored of this: it is the same in every store that holds the same votes, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from nirfire.inspect.ballot import LONGEST_COMMENT, MOST_TAGS
from nirfire.inspect.votes import Standing, Vote, all_agree

Mark = tuple[str, int]
"""A flag, by spectrum and bit, or a tag, with 0."""


def standing_of(votes: Sequence[Vote]) -> Standing:
    """What a person says of a source now.

    Parameters
    ----------
    votes : sequence of Vote
        All votes of one person on one source, in any order; at least one.

    Returns
    -------
    Standing
    """
    ordered = sorted(votes, key=lambda vote: vote.order)
    if is_chain((vote.uuid, vote.builds_on) for vote in ordered):
        return last_of_chain(ordered[-1], len(votes))
    history = _History(votes)
    among = (1 << len(votes)) - 1
    heads = tuple(history.votes[k] for k in history.last(among))
    given = tuple(history.votes[k] for k in history.grades(among))
    said = {name: getattr(given[-1], name) for name in ("quality", "z", "seen")}
    if len(given) > 1:
        said = {"quality": 0, "z": None, "seen": {}, "rivals": given}
    marks = sorted(history.marks(among))
    flags: dict[str, int] = {}
    for key, bit in marks:
        if bit:
            flags[key] = flags.get(key, 0) | bit
    tags = tuple(text for text, bit in marks if not bit)[:MOST_TAGS]
    said |= {"flags": flags, "tags": tags, "comment": history.comment(among)}
    return Standing(**heads[-1].__dict__ | said, heads=heads, n_votes=len(votes))


def is_chain(links: Iterable[tuple[str, Sequence[str] | None]]) -> bool:
    """True where each vote builds on the one before it, as usual; of each, by time: uuid, and what it builds on."""
    return all(bases is None or before in bases for (before, _), (_, bases) in pairwise(links))


def last_of_chain(vote: Vote, number: int) -> Standing:
    """What a chain of votes says: what its last one does."""
    return Standing(**vote.__dict__, heads=(vote,), n_votes=number)


def latest_of(votes: Iterable[Vote]) -> list[Standing]:
    """What each person says now on each source, by source and name."""
    return [standing_of(some) for some in _by_person(votes)]


def enough_of(votes: Iterable[Vote]) -> list[Vote]:
    """The votes that `latest_of` says the same of: the last one of each person, or all where they are no chain."""
    found = []
    for some in map(in_order, _by_person(votes)):
        found += some[-1:] if is_chain((vote.uuid, vote.builds_on) for vote in some) else some
    return found


def in_order(votes: Iterable[Vote]) -> list[Vote]:
    """Votes by time, each after those that it builds on, whatever the clocks say."""
    left = {vote.uuid: vote for vote in sorted(votes, key=lambda vote: vote.order)}
    found = []
    while left:
        ready = (vote for vote in left.values() if not any(uuid in left for uuid in vote.builds_on or ()))
        first = next(ready, None) or next(iter(left.values()))  # a circle is forged: by time then
        found.append(left.pop(first.uuid))
    return found


def _by_person(votes: Iterable[Vote]) -> list[list[Vote]]:
    found: dict[tuple[int, str], list[Vote]] = {}
    for vote in votes:
        found.setdefault((vote.source, vote.user), []).append(vote)
    return [found[key] for key in sorted(found)]


class _History:
    """All votes of one person on one source; a set of them is an integer with a bit for each.

    Parameters
    ----------
    votes : sequence of Vote
        In any order.
    """

    def __init__(self, votes: Sequence[Vote]) -> None:
        self.votes = in_order(votes)
        self.before: list[int] = []  # what each builds on, directly or not
        places = {vote.uuid: k for k, vote in enumerate(self.votes)}
        for k, vote in enumerate(self.votes):
            named = [places.get(uuid, k) for uuid in vote.builds_on or ()]
            if vote.builds_on is None or any(one >= k for one in named):  # not told, or not here: all earlier ones
                self.before.append((1 << k) - 1)
            else:
                self.before.append(_union(self.before[one] | 1 << one for one in named))
        self.changes: list[tuple[bool, bool, frozenset[Mark]]] = []  # of the grade, the comment, which marks
        for k in range(len(self.votes)):
            self.changes.append(self._changes(k))

    def _changes(self, k: int) -> tuple[bool, bool, frozenset[Mark]]:
        """What a vote says that those it builds on do not."""
        vote, before = self.votes[k], self.before[k]
        given = [self.votes[one] for one in self.grades(before)]
        known = (given[0].quality, given[0].z) if len(given) == 1 else (0, None)
        regrades = bool(vote.regrades) or (vote.quality, vote.z) != known
        writes = set(vote.comment.split("\n")) != set(self.comment(before).split("\n"))  # their order is one of clocks
        return regrades, writes, _marks(vote) ^ self.marks(before)

    def last(self, among: int, saying: Iterable[int] | None = None) -> list[int]:
        """Of a set, or of those in it that say something, the votes that no other of them builds on."""
        chosen = [k for k in (range(len(self.votes)) if saying is None else saying) if among >> k & 1]
        known = _union(self.before[k] for k in chosen)
        return [k for k in chosen if not known >> k & 1]

    def grades(self, among: int) -> list[int]:
        """The votes whose grades stand, the latest for each grade; where none is here that gave it, the last vote."""
        last = self.last(among, [k for k, (regrades, _, _) in enumerate(self.changes) if regrades])
        found = sorted({(self.votes[k].quality, self.votes[k].z): k for k in last}.values())
        if _say_the_same([self.votes[k] for k in found]):  # also where a fit was made anew between them
            return found[-1:]
        return found or [among.bit_length() - 1] * bool(among)

    def marks(self, among: int) -> frozenset[Mark]:
        """Flags and tags that are set; where one vote sets and another removes one, it is."""
        heads = self.last(among)
        if len(heads) < 2:
            return _marks(self.votes[heads[0]]) if heads else frozenset()
        found = set()
        for mark in frozenset[Mark]().union(*(_marks(self.votes[k]) for k in range(len(self.votes)) if among >> k & 1)):
            last = self.last(among, [k for k, (_, _, marks) in enumerate(self.changes) if mark in marks])
            if any(mark in _marks(self.votes[k]) for k in last):
                found.add(mark)
        return frozenset(found)

    def comment(self, among: int) -> str:
        """The comment; where several stand all of them, one to a line, cut off where that is too long for one."""
        heads = self.last(among)
        if len(heads) > 1:
            heads = self.last(among, [k for k, (_, writes, _) in enumerate(self.changes) if writes])
        texts = dict.fromkeys(self.votes[k].comment for k in heads)
        return "\n".join(text for text in texts if text)[:LONGEST_COMMENT]


def _say_the_same(votes: Sequence[Vote]) -> bool:
    """True for grades of one quality whose redshifts agree."""
    return len({vote.quality for vote in votes}) == 1 and all_agree(votes)


def _marks(vote: Vote) -> frozenset[Mark]:
    flags = {(key, 1 << k) for key, bits in vote.flags.items() for k in range(bits.bit_length()) if bits >> k & 1}
    return frozenset(flags | {(tag, 0) for tag in vote.tags})


def _union(sets: Iterable[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found
