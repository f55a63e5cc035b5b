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


def test_a_list_that_is_still_being_read_is_asked_for_again(person):
    """Also while an object is shown: its place among all, and the next one, hang on it."""
    cat = person()
    asked = []

    def answer(route):
        found = route.fetch()
        body = found.body() if asked else found.body().replace(b'"complete":true', b'"complete":null')
        asked.append(body)
        route.fulfill(response=found, body=body)

    cat.page.route("**/api/objects", answer)
    cat.open(101)
    while len(asked) < 2:
        cat.page.wait_for_timeout(20)
    assert asked[0] != asked[1], "the first was not whole"
    cat.page.wait_for_timeout(1500)
    assert len(asked) == 2


def test_nothing_of_another_object_is_seen_beside_a_message(person):
    dan = person()
    dan.expects = "404"
    dan.open(101)
    dan.page.evaluate("location.hash = '#/object/99999'")
    dan.page.get_by_text("there is no spectrum of source 99999").wait_for()
    for part in (".spec-flux", ".spec-residual", ".spec-image", "[data-testid=z]"):
        at = dan.page.locator(part).first.evaluate(
            "(node) => { const box = node.getBoundingClientRect();"
            " return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).className; }"
        )
        assert at == "failed", part
