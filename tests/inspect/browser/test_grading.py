"""People vet redshifts by keys: what they press is shown, saved, and there again after a reload."""

from __future__ import annotations

import re

import pytest

DEMO, MADE = (101, 103, 105), range(1001, 1018)
ORDER = [*DEMO, *MADE]


def test_ten_objects_are_graded_by_keys(person):
    ann = person()
    ann.open()
    ann.press("Home", "Enter")
    given = "4321234432"
    for source, grade in zip(ORDER, given, strict=False):
        ann.sees(source)
        ann.press(grade)
    ann.sees(ORDER[10])
    ann.waits_until_saved()
    found = {vote.source: vote for vote in ann.votes()}
    assert [(source, str(found[source].quality)) for source in ORDER[:10]] == list(zip(ORDER, given, strict=False))
    for source in ORDER[:10]:
        assert (found[source].z is None) == (found[source].quality == 1)
        assert found[source].seen["prism_clear"]["spec"] and found[source].seen["prism_clear"]["fit"]
    assert ann.reads("progress") == "10 of 20 graded"
    ann.press("p", "0")
    ann.sees(ORDER[9])
    ann.waits_until_saved()
    assert {vote.source: vote.quality for vote in ann.votes()}[ORDER[9]] == 0


def test_a_redshift_is_changed_in_every_way(person):
    ben = person()
    ben.open(103)
    automatic = ben.z
    ben.press("z")
    ben.type("2.5")
    ben.press("Enter")
    assert ben.z == 2.5
    ben.press(".")
    small = ben.z - 2.5
    ben.press(",", "Shift+.")
    assert 0 < small < 0.05
    assert ben.z - 2.5 == pytest.approx(10 * small, abs=1e-3)
    ben.press("a")
    assert ben.z == automatic
    ben.press("o")
    assert abs(ben.z - automatic) > 0.01
    ben.press("i")
    assert ben.z == pytest.approx(automatic, abs=1e-4)
    ben.press("z")
    ben.type("7.25")
    ben.press("Escape")
    assert ben.z == pytest.approx(automatic, abs=1e-4)
    ben.press("z")
    ben.type("1,75")
    ben.press("Enter", "3")
    ben.sees(105)
    ben.waits_until_saved()
    (vote,) = ben.votes(103)
    assert (vote.z, vote.quality) == (1.75, 3)


def test_a_fit_anew_finds_the_redshift_back(person):
    cat = person()
    cat.open(103)
    automatic = cat.z
    cat.press("z")
    cat.type(f"{automatic + 0.05:.3f}")
    with cat.page.expect_response("**/api/refit") as answer:
        cat.press("Enter", "u")
    assert answer.value.ok
    cat.page.wait_for_selector("[data-testid=redshift] .busy", state="detached")
    assert cat.z == pytest.approx(automatic, abs=0.002)


def test_after_a_reload_all_is_there(person):
    dan = person()
    dan.open(1008)
    comment = 'two lines? <img src=x onerror="document.title=1"> Lyα'
    dan.press("f", "s", "l", "Enter", "c")
    dan.type(comment)
    dan.press("Enter", "t")
    dan.type("LRD odd")
    dan.press("Enter", "z")
    dan.type("3.14")
    dan.press("Enter", "2")
    dan.sees(1009)
    dan.waits_until_saved()
    dan.reloads()
    dan.press("p")
    dan.sees(1008)
    assert dan.z == 3.14
    assert "tentative" in dan.reads("saved")
    pressed = dan.page.locator("[data-testid=flags] [aria-pressed=true]").all_inner_texts()
    assert [re.split(r"\s{2,}|\n", text)[0].strip() for text in pressed] == ["stuck shutter", "low S/N"]
    assert dan.page.get_by_test_id("comment").input_value() == comment
    assert set(dan.page.get_by_test_id("tags").input_value().split()) == {"LRD", "odd"}
    dan.press("L")
    row = dan.page.locator(".list-row[data-source='1008']")
    row.wait_for()
    assert comment in row.inner_text() and "LRD" in row.inner_text()
    assert "demo" in dan.page.title()
    (vote,) = dan.votes(1008)
    assert (vote.flags, vote.tags) == ({"prism_clear": 4 + 32}, ("LRD", "odd"))


def test_two_people_who_disagree_are_in_conflict(person):
    eve, fay = person("eve"), person("fay")
    for one, z in ((eve, "1.5"), (fay, "4.75")):
        one.open(1012)
        one.press("z")
        one.type(z)
        one.press("Enter", "3")
        one.sees(1013)
        one.waits_until_saved()
    eve.press("q")
    row = eve.page.locator(".list-row[data-source='1012']")
    row.wait_for()
    assert eve.page.locator(".list-row[data-source='1013']").count() == 0
    eve.press("/")
    eve.type("1012")
    eve.press("Enter", "Enter")
    eve.sees(1012)
    others = eve.page.get_by_test_id("others")
    others.get_by_text("fay").wait_for()
    assert "4.75" in others.inner_text()
    eve.press("z")
    eve.type("4.7501")
    eve.press("Enter", "4")
    eve.waits_until_saved()
    eve.press("q")
    eve.page.wait_for_selector("body[data-listed='0']")


def test_two_browsers_that_save_at_once_lose_nothing(person):
    people = [person("gus"), person("hal")]
    for one in people:
        one.open(1006)
    for source in range(1006, 1011):
        for one in people:
            one.sees(source)
        for one in people:
            one.press("3" if source % 2 else "4")
    for one in people:
        one.sees(1011)
        one.waits_until_saved()
        assert [vote.source for vote in one.votes()] == list(range(1006, 1011))


def test_votes_wait_for_a_server_that_is_away(person):
    ian = person()
    ian.expects = "ERR_FAILED"
    votes = ian.gate("/api/votes")
    ian.open(1014)
    votes.fails()
    ian.press("4")
    ian.sees(1015)
    ian.page.get_by_test_id("pending").wait_for()
    assert "1 not saved" in ian.reads("pending")
    assert not ian.votes()
    ian.press("p")
    ian.sees(1014)
    assert "not saved yet" in ian.reads("saved")
    votes.passes()
    ian.page.on("dialog", lambda dialog: dialog.accept())
    ian.reloads()
    ian.waits_until_saved()
    assert [(vote.source, vote.quality) for vote in ian.votes()] == [(1014, 4)]


def test_a_grade_is_never_that_of_another_object(person):
    """Keys pressed while the next object is on its way must not save what is shown of the one before."""
    joy = person()
    asked, votes = joy.gate("/api/object/1016"), joy.gate("/api/votes")
    asked.holds()
    votes.holds()
    joy.open(101)
    joy.press("/")
    joy.type("1016")
    joy.press("Enter", "4", "f", "s", "Escape")
    assert joy.has_no_vote()
    asked.first().continue_()
    joy.sees(1016)
    assert joy.page.get_by_test_id("source").inner_text() == "1016"
    assert joy.has_no_vote()
