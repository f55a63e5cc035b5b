"""No key, late answer, reload or other person makes a vote that nobody meant, or loses one."""

from __future__ import annotations

from nirfire.inspect.store import Store

from .conftest import wait_for_object


def test_a_key_that_is_held_grades_one_object(person):
    ann = person()
    ann.open(101)
    for _ in range(6):
        ann.page.keyboard.down("4")
        ann.page.wait_for_timeout(30)
    ann.page.keyboard.up("4")
    ann.sees(103)
    ann.waits_until_saved()
    assert [vote.source for vote in ann.votes()] == [101]


def test_flags_end_with_the_object_they_were_asked_for(person):
    ben = person()
    ben.open(103)
    ben.press("f")
    ben.page.evaluate("location.hash = '#/object/105'")
    ben.sees(105)
    ben.press("s")
    ben.press("f")
    ben.page.get_by_text("list", exact=True).first.click()
    ben.page.wait_for_selector("body[data-route=list]")
    ben.press("s")
    assert ben.page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('nirfire.vote')).length") == 0
    assert ben.has_no_vote()


def test_votes_on_their_way_are_own_after_a_reload_and_nobody_elses(person):
    cat = person()
    votes = cat.gate("/api/votes")
    cat.open(103)
    cat.page.on("dialog", lambda asked: asked.accept())
    votes.holds()
    cat.press("3")
    cat.sees(105)
    cat.page.goto(f"{cat.base}/?token={cat.token}#/object/103")
    cat.sees(103)
    assert "probable" in cat.reads("saved") and "not saved yet" in cat.reads("saved")
    votes.passes()
    cat.page.evaluate("localStorage.setItem('nirfire.user', 'dora')")
    cat.page.goto(f"{cat.base}/?token={cat.token}#/object/103")
    cat.sees(103)
    cat.waits_until_saved()
    assert cat.reads("user") == "dora" and "not graded by you" in cat.reads("saved")
    assert [(vote.source, vote.quality) for vote in cat.votes()] == [(103, 3)]


def test_a_fit_that_is_late_leaves_the_redshift_that_was_typed(person):
    eve = person()
    fits = eve.gate("/api/refit")
    fits.holds()
    eve.open(103)
    eve.press("u", "z")
    eve.type("2.5")
    eve.press("Enter")
    fits.first().continue_()
    eve.hears("you have chosen another since")
    assert eve.z == 2.5


def test_a_comment_goes_to_the_object_it_was_written_for(person):
    fay = person()
    object_1017 = fay.gate("/api/object/1017")
    fay.open(103)
    fay.page.on("dialog", lambda asked: asked.accept())
    fay.press("c")
    fay.type("of 103")
    fay.press("Enter")
    object_1017.holds()
    fay.page.evaluate("location.hash = '#/object/1017'")
    fay.page.wait_for_selector(".loading")
    fay.page.get_by_test_id("comment").click()
    fay.type("x")
    late = object_1017.first()
    object_1017.passes()
    late.continue_()
    fay.sees(1017)
    fay.press("c")
    fay.type("written when the page was left")
    fay.reloads()
    fay.waits_until_saved()
    said = {vote.source: vote.comment for vote in fay.votes()}
    assert said == {103: "of 103", 1017: "written when the page was left"}


def test_a_failure_of_an_object_left_long_ago_is_not_shown(person):
    gil = person()
    object_999 = gil.gate("/api/object/999")
    object_999.holds()
    gil.open(101)
    gil.page.evaluate("location.hash = '#/object/999'")
    gil.page.wait_for_selector(".loading")
    gil.page.evaluate("location.hash = '#/object/105'")
    gil.sees(105)
    with gil.page.expect_response("**/api/object/999") as answer:
        object_999.first().fulfill(json={"meta": {}})  # no payload
    assert answer.value.finished() is None
    gil.settles()
    assert gil.page.locator(".failed").is_hidden()


def test_the_same_person_in_two_windows(person):
    hal = person()
    hal.open(101)
    other, answers = hal.opens_a_window_more(101)
    hal.press("4")
    hal.waits_until_saved()
    answers.passes()
    other.evaluate("dispatchEvent(new Event('focus'))")  # what a browser with windows does
    other.get_by_text("your grade: secure").wait_for()
    other.keyboard.press("f")
    other.keyboard.press("c")
    other.wait_for_selector("[data-testid=pending]", state="hidden")
    (vote,) = hal.votes()
    assert (vote.quality, vote.flags) == (4, {"prism_clear": 2})


def saved(page):
    page.wait_for_selector("[data-testid=pending]", state="hidden")


def test_a_flag_set_in_a_window_that_shows_an_old_grade_does_not_undo_the_new_one(person):
    ida = person()
    ida.open(103)
    ida.press("2")
    ida.waits_until_saved()
    other, _ = ida.opens_a_window_more(103)
    other.get_by_text("your grade: tentative").wait_for()
    ida.press("p", "z")
    ida.type("2.5")
    ida.press("Enter", "4")
    ida.waits_until_saved()
    for key in ("f", "c", "Escape"):
        other.keyboard.press(key)
    saved(other)
    other.get_by_text("your grade: secure, z 2.5").wait_for()  # what the answer tells
    (vote,) = ida.votes()
    assert (vote.quality, vote.z, vote.flags, vote.rivals) == (4, 2.5, {"prism_clear": 2}, ())
    other.keyboard.press("1")
    saved(other)
    (vote,) = ida.votes()
    assert (vote.quality, vote.flags, vote.rivals) == (1, {"prism_clear": 2}, ())


def test_two_grades_given_in_two_windows_are_told_and_one_is_chosen(person):
    jon = person()
    jon.open(105)
    other, _ = jon.opens_a_window_more(105)
    jon.press("z")
    jon.type("1.5")
    jon.press("Enter", "3")
    jon.waits_until_saved()
    other.keyboard.press("4")
    saved(other)
    other.wait_for_function("text => heard.some((one) => one.includes(text))", arg="105: you graded it elsewhere too")
    other.keyboard.press("p")
    other.get_by_text("two votes of yours").wait_for()
    said = other.get_by_test_id("saved").inner_text()
    assert "probable z 1.5" in said and "secure z" in said and "grade it again" in said
    (vote,) = jon.votes()
    assert (vote.quality, [one.quality for one in vote.rivals]) == (0, [3, 4])
    other.keyboard.press("c")
    other.keyboard.type("which?")
    other.keyboard.press("Enter")
    saved(other)
    assert len(jon.votes()[0].rivals) == 2, "a comment chooses none"
    other.keyboard.press("q")
    row = other.locator(".list-row[data-source='105']")
    row.get_by_text("two votes of").wait_for()
    row.click()
    other.keyboard.press("Enter")
    wait_for_object(other, 105)
    other.keyboard.press("3")
    saved(other)
    (vote,) = jon.votes()
    assert (vote.quality, vote.comment, vote.rivals) == (3, "which?", ())


def test_a_comment_that_is_being_written_does_not_undo_one_from_elsewhere(person):
    kim = person()
    kim.open(1003)
    other, answers = kim.opens_a_window_more(1003)
    other.keyboard.press("c")
    other.keyboard.type("half")
    kim.press("c")
    kim.type("from here")
    kim.press("Enter")
    kim.waits_until_saved()
    answers.passes()
    with other.expect_response("**/api/object/1003"):
        other.evaluate("dispatchEvent(new Event('focus'))")
    other.keyboard.type(" done")
    other.keyboard.press("Enter")
    saved(other)
    assert [vote.comment for vote in kim.votes()] == ["from here\nhalf done"]
    kim.press("c", "Escape")  # written nothing
    kim.press("t")
    kim.type("LRD")
    kim.press("Enter")
    kim.waits_until_saved()
    assert [(vote.comment, vote.tags) for vote in kim.votes()] == [("from here\nhalf done", ("LRD",))]


def test_a_chain_made_while_the_server_is_away_applies_in_its_order(person, place):
    leo = person()
    leo.expects = "ERR_FAILED"
    votes = leo.gate("/api/votes")
    leo.open(1005)
    leo.page.on("dialog", lambda asked: asked.accept())
    votes.fails()
    leo.press("f", "s", "Escape", "c")
    leo.type("faint")
    leo.press("Enter", "4")
    leo.sees(1006)
    leo.press("p", "z")
    leo.type("2.25")
    leo.press("Enter", "3", "p")
    leo.sees(1005)
    leo.reloads()
    assert "probable, z 2.25" in leo.reads("saved") and "not saved yet" in leo.reads("saved")
    leo.press("t")
    leo.type("LRD")
    leo.press("Enter")
    assert leo.reads("pending").startswith("5 not saved")
    votes.passes()
    leo.waits_until_saved()
    (vote,) = leo.votes()
    assert (vote.quality, vote.z, vote.comment, vote.tags) == (3, 2.25, "faint", ("LRD",))
    assert (vote.flags, vote.rivals) == ({"prism_clear": 4}, ())
    with Store.open(place.inspection, read_only=True) as store:
        given = [one for one in store.votes(1005) if one.user == leo.name]
    assert [one.builds_on for one in given] == [(), *((one.uuid,) for one in given[:-1])]
    assert all(one.saved > one.time for one in given)
