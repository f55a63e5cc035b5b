"""The first moment: from the printed address to the page."""

from .conftest import wait_for_list

FULL = """Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }"""


def test_a_browser_that_keeps_nothing_says_so(person):
    ann = person()
    ann.page.add_init_script(FULL)
    ann.page.goto(f"{ann.base}/?token={ann.token}#/object/101")
    said = ann.page.get_by_text("keeps nothing")
    said.wait_for()
    assert "QuotaExceededError" in said.inner_text() and "open the printed address again" in said.inner_text()
    ann.page.wait_for_load_state("networkidle")  # until the browser has asked for all that it wants, as an icon


def test_no_object_is_the_last_one_before_the_list_is_here(person):
    ben = person()
    lists = ben.gate("/api/objects")
    lists.holds()
    ben.page.goto(f"{ben.base}/?token={ben.token}#/object/101")
    ben.sees(101)
    ben.press("n", "N")
    ben.hears("the list is still on its way")
    assert not ben.page.evaluate("heard.some((one) => one.includes('of the list'))")
    lists.first().continue_()
    wait_for_list(ben.page)
    ben.press("n")
    ben.sees(103)
