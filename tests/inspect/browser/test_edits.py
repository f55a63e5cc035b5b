"""What people say of shutters and masks reaches the observation's files, and the page says what is stale."""

from __future__ import annotations

import shutil
import tomllib

from astropy.io import fits

from nirfire.products.naming import SPEC

ROOT = "jw09999001001_02101"


def test_a_shutter_marked_stuck_makes_its_source_stale(person, place):
    ken = person()
    with ken.page.expect_response("**/api/stale") as answer:
        ken.open(103)
    assert answer.value.json()["jobs"] == 0 and ken.page.get_by_test_id("stale").is_hidden()
    ken.press("f", "s", "Enter", "v")
    shutter = ken.page.get_by_test_id("shutter-3")
    shutter.wait_for()
    assert shutter.get_attribute("data-state") == "open"
    while not shutter.evaluate("one => one === document.activeElement"):
        ken.press("ArrowDown")
    with ken.page.expect_response("**/api/shutters") as answer:
        ken.press("Enter")
    assert answer.value.ok
    ken.page.wait_for_selector("[data-testid=shutter-3][data-state=stuck]")
    assert tomllib.loads(place.stuck_list.read_text())[ROOT]["103"] == [3]
    badge = ken.page.get_by_test_id("stale")
    badge.wait_for()
    badge.press("Enter")
    dialog = ken.page.locator("dialog[open]")
    assert "of 1 source" in dialog.inner_text()
    assert f"nirfire run {place.folder} --rerun stale" in dialog.inner_text()
    ken.press("Escape")
    ken.waits_until_saved()
    assert ken.votes(103)[0].flags == {"prism_clear": 4}
    shutter.focus()
    with ken.page.expect_response("**/api/shutters") as answer:
        ken.press("Backspace")
    assert answer.value.ok
    badge.wait_for(state="hidden")
    assert "103" not in tomllib.loads(place.stuck_list.read_text()).get(ROOT, {})


def test_a_mask_is_drawn_by_keys(person, place):
    lea = person()
    name = place.find_exposures("_rate.fits")[0]
    lea.open()
    lea.page.goto(f"{lea.base}/#/rate/{name}")
    lea.page.get_by_test_id("rate-image").wait_for()
    lea.page.wait_for_selector("[data-testid=rate-readout]:not(:empty)")
    for arrow in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        lea.press(" ", arrow, arrow)
    with lea.page.expect_response(f"**/api/masks/{name}") as answer:
        lea.press("Enter")
    assert answer.value.ok
    text = place.mask(name).read_text()
    assert text.count("polygon(") == 1
    lea.page.get_by_test_id("stale").wait_for()
    lea.page.get_by_text("1 region", exact=True).wait_for()
    lea.press("X", "X")
    lea.page.get_by_test_id("stale").wait_for(state="hidden")


def test_a_vote_on_a_product_that_was_made_anew_is_stale_and_kept(person, place):
    mia = person()
    mia.open(1017)
    mia.press("4")
    mia.waits_until_saved()
    (path,) = place.find_combined(1017, SPEC)
    anew = path.with_name("anew")
    shutil.copy(path, anew)
    fits.setval(anew, "NFFPRINT", value="0123456789abcdef")
    anew.replace(path)
    mia.reloads()
    mia.page.wait_for_selector("[data-testid=saved] .badge.stale")
    assert mia.votes(1017)[0].quality == 4
    mia.goes_to_the_list()
    mia.press("/")
    mia.type("is:stale")
    mia.page.wait_for_selector("body[data-listed='1']")
    assert mia.page.locator(".list-row").get_attribute("data-source") == "1017"
    mia.press("Enter", "Enter")
    mia.page.wait_for_selector("[data-testid=saved] .badge.stale")
    mia.press("3")
    mia.waits_until_saved()
    mia.page.wait_for_selector("[data-testid=saved] .badge.stale", state="detached")
