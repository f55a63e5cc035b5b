"""No key, late answer, reload or other person makes a vote that nobody meant, or loses one."""

from __future__ import annotations


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
    ben.page.wait_for_timeout(100)
    assert ben.page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('nirfire.vote')).length") == 0
    assert ben.votes() == []


def test_votes_on_their_way_are_own_after_a_reload_and_nobody_elses(person):
    cat = person()
    cat.open(103)
    cat.page.on("dialog", lambda asked: asked.accept())
    cat.page.route("**/api/votes", lambda route: None)  # a server that does not answer
    cat.press("3")
    cat.sees(105)
    cat.page.goto(f"{cat.base}/?token={cat.token}#/object/103")
    cat.sees(103)
    assert "probable" in cat.reads("saved") and "not saved yet" in cat.reads("saved")
    cat.page.unroute("**/api/votes")
    cat.page.add_init_script("localStorage.setItem('nirfire.user', 'dora')")
    cat.page.goto(f"{cat.base}/?token={cat.token}#/object/103")
    cat.sees(103)
    cat.waits_until_saved()
    assert cat.reads("user") == "dora" and "not graded by you" in cat.reads("saved")
    assert [(vote.source, vote.quality) for vote in cat.votes()] == [(103, 3)]


def test_a_fit_that_is_late_leaves_the_redshift_that_was_typed(person):
    eve = person()
    eve.open(103)
    held = []
    eve.page.route("**/api/refit", lambda route: held.append(route))
    eve.press("u", "z")
    eve.type("2.5")
    eve.press("Enter")
    assert len(held) == 1
    held[0].continue_()
    eve.page.get_by_text("you have chosen another since").wait_for()
    assert eve.z == 2.5


def test_a_comment_goes_to_the_object_it_was_written_for(person):
    fay = person()
    fay.open(103)
    fay.page.on("dialog", lambda asked: asked.accept())
    held = []
    fay.press("c")
    fay.type("of 103")
    fay.press("Enter")
    fay.page.route("**/api/object/1017", lambda route: held.append(route))
    fay.page.evaluate("location.hash = '#/object/1017'")
    fay.page.wait_for_selector(".loading")
    fay.page.get_by_test_id("comment").click()
    fay.type("x")
    held[0].continue_()
    fay.sees(1017)
    fay.page.unroute("**/api/object/1017")
    fay.press("c")
    fay.type("written when the page was left")
    fay.reloads()
    fay.sees(1017)
    fay.waits_until_saved()
    said = {vote.source: vote.comment for vote in fay.votes()}
    assert said == {103: "of 103", 1017: "written when the page was left"}


def test_a_failure_of_an_object_left_long_ago_is_not_shown(person):
    gil = person()
    gil.open(101)
    held = []
    gil.page.route("**/api/object/999", lambda route: held.append(route))
    gil.page.evaluate("location.hash = '#/object/999'")
    gil.page.wait_for_selector(".loading")
    gil.page.evaluate("location.hash = '#/object/105'")
    gil.sees(105)
    held[0].fulfill(json={"meta": {}})  # no payload
    gil.page.wait_for_timeout(100)
    assert gil.page.locator(".failed").is_hidden()


def test_the_same_person_in_two_windows(person):
    hal = person()
    hal.open(101)
    other = hal.page.context.new_page()
    other.goto(f"{hal.base}/?token={hal.token}#/object/101")
    other.wait_for_selector("body[data-painted='101']")
    hal.press("4")
    hal.waits_until_saved()
    other.evaluate("dispatchEvent(new Event('focus'))")  # what a browser with windows does
    other.get_by_text("your grade: secure").wait_for()
    other.keyboard.press("f")
    other.keyboard.press("c")
    other.wait_for_selector("[data-testid=pending]", state="hidden")
    (vote,) = hal.votes()
    assert (vote.quality, vote.flags) == (4, {"prism_clear": 2})
