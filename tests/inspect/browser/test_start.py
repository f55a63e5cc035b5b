"""The first moment: from the printed address to the page."""

FULL = """Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }"""


def test_a_browser_that_keeps_nothing_says_so(person):
    ann = person()
    ann.page.add_init_script(FULL)
    ann.page.goto(f"{ann.base}/?token={ann.token}#/object/101")
    said = ann.page.get_by_text("keeps nothing")
    said.wait_for()
    assert "QuotaExceededError" in said.inner_text() and "open the printed address again" in said.inner_text()
