"""What several votes come to."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nirfire.errors import DataError
from nirfire.inspect.people import ballots_of, checked_name
from nirfire.inspect.standing import latest_of
from nirfire.inspect.votes import consensus_of, is_stale
from tests.inspect.votes import SEEN, at, vote


def test_latest_is_by_time_then_uuid_whatever_the_order():
    votes = [vote(time=at(1), comment="first"), vote(time=at(3), comment="last"), vote(time=at(2))]
    votes += [vote(user="bob", time=at(5), uuid=name) for name in ("b", "c", "a")]
    for some in permutations(votes, len(votes)):
        ada, bob = latest_of(some)
        assert (ada.comment, bob.uuid) == ("last", "c")


def test_one_voter_is_the_consensus():
    said = consensus_of([vote(z=3.1, quality=4, flags={"prism_clear": 4}, comment="Hα", tags=("LRD",), seen=SEEN)])
    assert (said.quality, said.z, said.conflict, said.n_voters, said.n_agree) == (4, 3.1, False, 1, 1)
    assert (said.flags, said.comment, said.tags, said.seen) == ({"prism_clear": 4}, "ada: Hα", ("LRD",), SEEN)


def test_two_who_agree():
    said = consensus_of(
        [vote(z=3.000, quality=4, flags={"p_c": 4}), vote(user="bob", z=3.019, quality=3, flags={"p_c": 1})]
    )
    assert (said.quality, said.conflict, said.n_agree, said.flags) == (3, False, 2, {"p_c": 5})
    assert said.z == pytest.approx(3.0095)


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ((3.0, 4), (3.0199, 4), False),  # just within 0.005 (1 + z)
        ((3.0, 4), (3.021, 4), True),
        ((3.0, 4), (3.0, 2), True),  # two grades apart
        ((None, 1), (3.0, 2), False),
        ((None, 1), (3.0, 3), True),
        ((None, 1), (None, 1), False),
        ((3.0, 0), (5.0, 4), False),  # the first took the grade back
    ],
)
def test_limits_of_agreement(first, second, conflict):
    votes = [vote(user=name, z=z, quality=quality) for name, (z, quality) in zip("ab", (first, second), strict=True)]
    for some in (votes, votes[::-1]):
        said = consensus_of(some)
        assert said.conflict is conflict
        if conflict:
            assert (said.quality, said.z) == (0, None)


def test_a_third_vote_settles_a_conflict():
    votes = [vote(user="a", z=2.0, quality=4), vote(user="b", z=5.0, quality=3)]
    assert consensus_of(votes).conflict
    said = consensus_of([*votes, vote(user="c", z=5.001, quality=4)])
    assert (said.conflict, said.n_voters, said.n_agree, said.quality) == (False, 3, 2, 3)
    assert said.z == pytest.approx(5.0005)
    assert consensus_of([*votes, vote(user="c", z=8.0, quality=4)]).conflict


def test_a_chain_is_no_agreement():
    """a and b agree, b and c agree, a and c do not: the two tightest count, which is more than half of three."""
    votes = [vote(user=name, z=z, quality=4) for name, z in (("a", 0.0), ("b", 0.004), ("c", 0.006))]
    said = consensus_of(votes)
    assert (said.n_agree, said.conflict, said.z) == (2, False, pytest.approx(0.005))
    votes.append(vote(user="d", z=1.0, quality=4))
    assert consensus_of(votes).conflict


def _agree(a, b) -> bool:
    if abs(a.quality - b.quality) > 1:
        return False
    return a.z is None or b.z is None or abs(a.z - b.z) <= 0.005 * (1 + min(a.z, b.z))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.004, 0.006, 0.009, 3.0]), st.integers(0, 4)), max_size=6))
def test_the_consensus_is_of_the_largest_group_that_agrees(said):
    votes = [vote(user=f"u{k}", z=z, quality=quality) for k, (z, quality) in enumerate(said)]
    graded = [one for one in votes if one.graded]
    groups = [some for n in range(len(graded) + 1) for some in combinations(graded, n)]
    largest = max(len(some) for some in groups if all(_agree(a, b) for a, b in combinations(some, 2)))
    found = {repr(consensus_of(some)) for some in (votes, votes[::-1], votes[2:] + votes[:2])}
    assert len(found) == 1  # whatever the order
    together = consensus_of(votes)
    if together is None:
        assert not votes
        return
    assert (together.n_voters, together.n_agree) == (len(graded), largest)
    assert together.conflict == (0 < 2 * largest <= len(graded))
    assert (together.z is None) == (together.quality < 2)
    assert (together.quality == 0) == (together.conflict or not graded)


def test_impossible_has_no_redshift_and_the_lower_grade_wins_a_tie():
    said = consensus_of([vote(user="a", quality=1), vote(user="b", z=2.0, quality=2)])
    assert (said.quality, said.z) == (1, None)
    grades = [vote(user=name, z=2.0, quality=quality) for name, quality in (("a", 2), ("b", 3), ("c", 4))]
    assert consensus_of(grades).quality == 2  # {2, 3} and {3, 4} are as large: the cautious one


def test_nobody_graded():
    said = consensus_of([vote(quality=0, z=None, comment="look again", tags=("faint",))])
    assert (said.quality, said.n_voters, said.conflict, said.comment) == (0, 0, False, "ada: look again")
    assert consensus_of([]) is None


def test_stale():
    assert not is_stale({}, SEEN)  # it does not tell
    assert not is_stale(SEEN, {"prism_clear": {"fit": "f1", "spec": "s1"}})
    assert is_stale(SEEN, {"prism_clear": {"spec": "s2", "fit": "f1"}})
    assert is_stale(SEEN, {"prism_clear": {"spec": "s1", "fit": None}})
    assert is_stale(SEEN, {})  # the products are gone
    assert is_stale(SEEN, SEEN | {"g395m_f290lp": {"spec": "x", "fit": None}})  # there is more to see


def test_blind_people_see_others_once_they_have_graded():
    others = [vote(user="bob"), vote(user="cy")]
    assert ballots_of(others, "ada", blind=True).hidden == 2
    assert ballots_of([vote(quality=0), *others], "ada", blind=True).others == []
    seen = ballots_of([vote(quality=2), *others], "ada", blind=True)
    assert (seen.others, seen.hidden, seen.own.quality) == (others, 0, 2)
    assert ballots_of(others, "ada", blind=False).others == others


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\nb", "a\x00", "\u202eabc"])
def test_names_that_are_none(name):
    with pytest.raises(DataError, match="not a name"):
        checked_name(name)


def test_names_are_kept_composed():
    assert checked_name("  Zoe\u0308 Müller ") == "Zoë Müller"
    assert checked_name("Zoë\u00a0\u3000 Müller\u2009") == "Zoë Müller"
