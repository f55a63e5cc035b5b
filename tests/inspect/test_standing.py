"""What one person's votes come to that do not know of each other: nothing is undone that nobody meant to undo."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nirfire.inspect.ballot import LONGEST_COMMENT
from nirfire.inspect.standing import enough_of, in_order, latest_of, standing_of
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Standing, Vote, consensus_of
from tests.inspect.votes import SEEN, at, vote

GRADE = {"quality": 2, "z": 1.0, "builds_on": (), "regrades": True, "seen": SEEN}


MADE: dict[str, Vote] = {}


def after(*known: Vote, **said) -> Vote:
    """A vote made where these were shown; what it does not say is as it was there."""
    MADE.update((one.uuid, one) for one in known)
    before = standing_of([MADE[name] for name in with_all(one.uuid for one in known)])
    kept = {name: getattr(before, name) for name in ("quality", "z", "flags", "comment", "tags", "seen")}
    told = {"builds_on": tuple(one.uuid for one in known), "regrades": "quality" in said}
    return vote(**(kept | told | said))


def with_all(wanted) -> set[str]:
    """Votes and all that they build on."""
    found = set(wanted)
    return found | {name for one in found for name in with_all(MADE[one].builds_on or ())}


def names(votes) -> set[str]:
    return {one.uuid for one in votes}


def test_a_chain_says_what_its_last_vote_says():
    first = vote(**GRADE, time=at(1))
    second = after(first, quality=4, z=3.0, time=at(2))
    last = after(second, flags={"p_c": 4}, time=at(3))
    for some in permutations([first, second, last]):
        found = standing_of(some)
        assert found == Standing(**last.__dict__, heads=(last,), n_votes=3)


@pytest.mark.parametrize("flag_first", [True, False])
def test_a_flag_set_on_an_old_grade_elsewhere_does_not_undo_a_new_one(flag_first):
    old = vote(**GRADE, time=at(1))
    new = after(old, quality=4, z=3.0, time=at(5))
    flag = after(old, flags={"p_c": 4}, time=at(4 if flag_first else 6))
    assert (flag.quality, flag.z) == (2, 1.0)
    for some in permutations([old, new, flag]):
        found = standing_of(some)
        assert (found.quality, found.z, found.flags, found.rivals) == (4, 3.0, {"p_c": 4}, ())
        assert names(found.heads) == names([new, flag]) and found.n_votes == 3
    more = after(new, flag, comment="both seen", time=at(7))
    found = standing_of([old, new, flag, more])
    assert (found.quality, found.z, found.flags, found.comment) == (4, 3.0, {"p_c": 4}, "both seen")
    assert found.heads == (more,)


def test_two_grades_of_one_person_stand_until_one_is_chosen():
    old = vote(**GRADE, time=at(1))
    here, there = after(old, quality=4, z=3.0, time=at(2)), after(old, quality=3, z=5.0, time=at(3))
    found = standing_of([old, here, there])
    assert (found.quality, found.z, found.seen, found.rivals, found.graded) == (0, None, {}, (here, there), True)
    said = consensus_of([found, vote(user="bob", quality=4, z=3.0)])
    assert (said.conflict, said.quality, said.z, said.twice, said.users) == (True, 0, None, ("ada",), ("ada", "bob"))
    note = after(here, there, comment="which?", flags={"p_c": 1}, time=at(4))
    noted = standing_of([old, here, there, note])
    assert (noted.rivals, noted.comment, noted.flags, noted.heads) == ((here, there), "which?", {"p_c": 1}, (note,))
    for last in (
        after(note, quality=4, z=3.0, time=at(5)),  # the same as one of them
        after(note, quality=0, z=None, time=at(5)),
        after(note, quality=1, z=None, time=at(5)),
    ):
        chosen = standing_of([old, here, there, note, last])
        assert (chosen.quality, chosen.z, chosen.rivals, chosen.comment) == (last.quality, last.z, (), "which?")


def test_the_same_grade_twice_is_no_conflict():
    here, there = vote(**GRADE, time=at(1)), vote(**GRADE | {"seen": {}}, time=at(2))
    found = standing_of([here, there])
    assert (found.quality, found.z, found.rivals, found.seen) == (2, 1.0, (), {})
    assert names(found.heads) == names([here, there])


def test_redshifts_of_one_person_that_agree_are_no_conflict():
    """As after a fit was made anew on one of two machines."""
    old = vote(**GRADE, time=at(1))
    here, there = after(old, quality=4, z=3.0, time=at(2)), after(old, quality=4, z=3.0001, time=at(3))
    for some in permutations([old, here, there]):
        found = standing_of(some)
        assert (found.quality, found.z, found.rivals) == (4, 3.0001, ())
        assert names(found.heads) == names([here, there])
    note = after(here, there, comment="fine", time=at(4))
    assert (note.z, note.regrades) == (3.0001, False)
    other = after(old, quality=4, z=3.0201, time=at(5))
    assert len(standing_of([old, here, there, other]).rivals) == 3, "more than 0.005 (1 + z)"
    lower = after(old, quality=3, z=3.0, time=at(6))
    assert standing_of([old, here, lower]).rivals == (here, lower)
    placeless = [after(old, quality=1, z=None, time=at(k)) for k in (7, 8)]
    assert (standing_of(placeless).quality, standing_of(placeless).rivals) == (1, ())


def test_a_grade_that_was_confirmed_is_one_that_was_given():
    old = vote(**GRADE, time=at(1))
    again, other = after(old, quality=2, z=1.0, time=at(2)), after(old, quality=4, z=3.0, time=at(3))
    assert standing_of([old, again, other]).rivals == (again, other)


def test_flags_and_tags_stand_one_by_one():
    old = vote(**GRADE, flags={"p_c": 1 + 2, "g_f": 8}, tags=("LRD", "odd"), time=at(1))
    here = after(old, flags={"p_c": 2 + 4, "g_f": 8}, tags=("LRD", "new"), time=at(2))
    there = after(old, flags={"p_c": 1 + 2 + 16}, tags=("LRD", "odd", "faint"), time=at(3))
    found = standing_of([old, here, there])
    assert found.flags == {"p_c": 2 + 4 + 16} and found.tags == ("LRD", "faint", "new")


def test_a_flag_that_one_sets_and_another_removes_stays():
    old = vote(**GRADE, time=at(1))
    set_here = after(old, flags={"p_c": 4}, time=at(2))
    set_there = after(old, flags={"p_c": 4}, time=at(3))
    removed = after(set_there, flags={}, time=at(4))
    assert standing_of([old, set_here, set_there, removed]).flags == {"p_c": 4}


def test_comments_are_put_together():
    old = vote(**GRADE, comment="a line?", time=at(1))
    here, there = after(old, comment="Hα", time=at(2)), after(old, comment="[O III]", time=at(3))
    found = standing_of([old, here, there])
    assert found.comment == "Hα\n[O III]"
    mended = after(here, there, comment="Hα and [O III]", time=at(4))
    assert standing_of([old, here, there, mended]).comment == "Hα and [O III]"
    emptied = after(old, comment="", time=at(5))
    assert standing_of([old, here, emptied]).comment == "Hα"
    assert standing_of([old, after(old, quality=4, z=2.0), emptied]).comment == ""
    long = [after(old, comment=letter * LONGEST_COMMENT, time=at(6)) for letter in "xy"]
    assert len(standing_of([old, *long]).comment) == LONGEST_COMMENT, "the next vote must hold it"


def test_comments_that_were_put_together_are_carried_along_whatever_the_clocks_say():
    here, there = vote(**GRADE, comment="x", time=at(1)), vote(**GRADE, comment="y", time=at(2))
    grade = after(here, there, quality=4, z=3.0, time=at(3))
    emptied = after(there, comment="", time=at(4))
    assert grade.comment == "x\ny"
    late = replace(here, time=at(9))
    for one in (here, late):
        assert standing_of([one, there, grade, emptied]).comment == "x"


def test_votes_of_earlier_versions_count_as_they_did():
    """They do not tell what they build on: the latest is that of the latest time."""
    votes = [vote(quality=2, z=1.0, time=at(1)), vote(quality=4, z=3.0, time=at(3)), vote(quality=3, time=at(2))]
    found = standing_of(votes)
    assert (found.quality, found.z, found.rivals, found.heads) == (4, 3.0, (), (votes[1],))
    note = vote(quality=0, z=None, comment="look", time=at(1))
    grade = vote(quality=4, z=3.0, builds_on=(), regrades=True, time=at(2))
    found = standing_of([note, grade])  # of a page that had not heard of it
    assert (found.quality, found.comment, found.rivals) == (4, "look", ())


def test_a_vote_whose_base_is_not_here_builds_on_all_that_is_earlier():
    old, lost = vote(**GRADE, time=at(1)), vote(**GRADE, time=at(2))
    last = after(lost, quality=4, z=3.0, time=at(3))
    found = standing_of([old, last])
    assert (found.quality, found.heads, found.rivals) == (4, (last,), ())
    note = after(lost, flags={"p_c": 1}, time=at(4))  # carries a grade along that nobody here gave
    assert (standing_of([note]).quality, standing_of([note]).flags) == (2, {"p_c": 1})
    newer = vote(**GRADE | {"quality": 3, "z": 5.0}, time=at(3))
    assert (standing_of([newer, note]).quality, standing_of([newer, note]).rivals) == (2, ())


def test_a_forged_circle_ends():
    one, two = vote(uuid="a", builds_on=("b",), time=at(1)), vote(uuid="b", builds_on=("a",), time=at(2))
    self_made = vote(uuid="c", builds_on=("c",), time=at(3))
    assert standing_of([two, self_made, one]).n_votes == 3
    assert in_order([two, one]) == [one, two]


@st.composite
def histories(draw):
    """Votes of a person in three windows, each of which has heard of what it has."""
    votes: list[Vote] = []
    heard: list[list[Vote]] = [[], [], []]
    for k in range(draw(st.integers(1, 8))):
        window = draw(st.integers(0, 2))
        if votes and draw(st.booleans()):
            heard[window] = list(votes)
        known = heard[window]
        before = standing_of(known) if known else vote(quality=0, z=None)
        part = draw(st.sampled_from(["grade", "flags", "comment", "tags"]))
        said = {name: getattr(before, name) for name in ("quality", "z", "flags", "comment", "tags")}
        if part == "grade":
            said |= draw(
                st.sampled_from([{"quality": q, "z": z} for q, z in ((0, None), (2, 1.0), (4, 1.0), (4, 3.0))])
            )
        elif part == "flags":
            bits = before.flags.get("p_c", 0) ^ draw(st.sampled_from([1, 2]))
            said["flags"] = {"p_c": bits} if bits else {}
        elif part == "tags":
            said["tags"] = draw(st.sampled_from([(), ("a",), ("a", "b"), ("b",)]))
        else:
            said["comment"] = draw(st.sampled_from(["", "x", "y"]))
        heads = tuple(one.uuid for one in before.heads) if known else ()
        made = vote(**said, builds_on=heads, regrades=part == "grade", time=at(k), uuid=f"{k}")
        votes.append(made)
        heard[window] = [*known, made]
    return votes


def told(found: Standing) -> tuple:
    rivals = {(one.quality, one.z) for one in found.rivals}
    return found.quality, found.z, found.flags, set(found.comment.split("\n")), found.tags, rivals


@settings(max_examples=300, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_neither_order_nor_clocks_change_what_stands(votes, random):
    found = standing_of(votes)
    shuffled = random.sample(votes, len(votes))
    assert standing_of(shuffled) == found
    other = [replace(one, time=at(random.randrange(100))) for one in shuffled]
    assert told(standing_of(other)) == told(found)
    assert names(standing_of(other).heads) == names(found.heads)
    assert latest_of(enough_of(votes))[0].as_json() | {"n_votes": 0} == found.as_json() | {"n_votes": 0}


@settings(max_examples=300, deadline=None)
@given(histories())
def test_no_grade_is_undone_by_who_did_not_know_it(votes):
    """A grade counts unless a later one was given by who knew it, directly or not."""
    MADE.update((one.uuid, one) for one in votes)
    grades = [one for one in votes if one.regrades]
    undone = {name for one in grades for name in with_all(one.builds_on)}
    counts = {(one.quality, one.z) for one in grades if one.uuid not in undone}
    found = standing_of(votes)
    if len(counts) > 1:
        assert {(one.quality, one.z) for one in found.rivals} == counts and found.quality == 0
    else:
        assert not found.rivals and {(found.quality, found.z)} == (counts or {(0, None)})


@settings(max_examples=200, deadline=None)
@given(histories())
def test_who_knows_all_says_all(votes):
    """The next vote of a page that shows all builds on all, and changes only what it says."""
    found = standing_of(votes)
    MADE.update((one.uuid, one) for one in votes)
    last = after(*found.heads, **{"comment": "z"} if found.rivals else {"quality": 3, "z": 9.0})
    last = replace(last, time=at(200))
    then = standing_of([*votes, last])
    assert then.heads == (last,) and (then.flags, then.tags) == (found.flags, found.tags)
    if found.rivals:
        assert (then.rivals, then.comment) == (found.rivals, "z")
    else:
        assert (then.quality, then.z, then.comment) == (3, 9.0, found.comment)


@settings(max_examples=25, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_a_store_says_the_same_while_votes_come_and_when_it_is_opened_anew(tmp_path_factory, votes, random):
    path = tmp_path_factory.mktemp("store") / "inspection.sqlite"
    with Store.open(path) as store, Store.open(path) as other:
        for k, one in enumerate(come := random.sample(votes, len(votes))):
            random.choice([store, other]).add(one)
            if random.random() < 0.5:
                assert store.latest() == [standing_of(come[: k + 1])]
        assert store.latest() == other.latest() == [standing_of(votes)]
        assert store.consensus() == {101: consensus_of([standing_of(votes)])}
    with Store.open(path, read_only=True) as store:
        assert store.latest() == [standing_of(votes)]
