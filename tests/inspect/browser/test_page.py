"""The page as such: light, alone on this machine, usable by keys, readable in light and dark, and safe to break."""

from __future__ import annotations

import pytest

from nirfire.products.naming import SPEC

LARGEST = 300_000  # bytes of the page without data
CONTRAST = """
() => {
  const parse = (text) => {
    const all = (text.replace("srgb", "").match(/[\\d.]+/g) ?? []).map(Number);
    return text.startsWith("color(") ? all.map((v, k) => k < 3 ? v * 255 : v) : all;
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const over = (top, [r, g, b]) => {
    const a = top[3] ?? 1;
    return [top[0] * a + r * (1 - a), top[1] * a + g * (1 - a), top[2] * a + b * (1 - a)];
  };
  const ground = (one) => {
    const layers = [];
    for (; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
    return layers.reverse().filter((c) => c.length).reduce((below, c) => over(c, below), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !one.checkVisibility({opacityProperty: true}) || one.disabled) continue;
    const below = ground(one);
    const [a, b] = [light(over(parse(getComputedStyle(one).color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return found;
}
"""


def test_the_page_is_light_and_asks_nobody_else(person):
    nia = person()
    weights = {}

    def weigh(request):
        if "/api/" not in request.url:
            sizes = request.sizes()
            weights[request.url] = sizes["responseBodySize"] + sizes["responseHeadersSize"]

    nia.page.on("requestfinished", weigh)
    nia.open()
    nia.press("Home", "Enter")
    nia.sees(101)
    nia.press("v")
    nia.page.get_by_test_id("shutter-2").wait_for()
    nia.press("?")
    nia.page.wait_for_timeout(200)
    assert len(weights) > 20
    assert sum(weights.values()) < LARGEST
    assert nia.hosts == {"127.0.0.1"}
    assert "token" not in nia.page.url


def test_the_sheet_lists_every_key_once(person):
    ole = person()
    ole.open(101)
    ole.press("?")
    sheet = ole.page.locator("#sheet[open]")
    shown = sheet.locator("kbd").all_inner_texts()
    for key in "12340npz,.oiulmsfct/?gbwxaervqL[]d":
        assert key in shown
    assert len(shown) == len(set(shown))
    ole.press("4")
    ole.press("Escape")
    sheet.wait_for(state="hidden")
    ole.page.wait_for_timeout(100)
    assert not ole.votes(101)


def test_every_key_works_without_a_mouse(person):
    """All of them, one after another, on an object of two gratings."""
    pam = person()
    pam.open(1001)
    for key in (*"lmssewwxxxxkk[[]]yygbbg+-r", "Shift+ArrowLeft", "Shift+ArrowRight", *"vvdd"):
        pam.press(key)
    pam.press("c")
    pam.type("keys n4zq? are letters here")
    pam.press("Escape", "n")
    pam.sees(1002)
    pam.press("p", "ArrowRight", "ArrowLeft")
    pam.sees(1001)
    pam.press("/")
    pam.type("105")
    pam.press("Enter")
    pam.sees(105)
    pam.press("L")
    pam.page.wait_for_selector("[data-testid=list-table]:focus")
    pam.press("/")
    pam.type("source>1001 -q=4")
    pam.press("Enter", "j", "ArrowDown", "k", "End", "Home", "Enter")
    pam.sees(1002)
    assert not pam.votes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(person, scheme):
    quy = person(color_scheme=scheme)
    quy.open(105)
    assert quy.page.evaluate("document.documentElement.dataset.theme") == scheme
    faint = quy.page.evaluate(CONTRAST)
    quy.press("v")
    quy.page.get_by_test_id("shutter-2").wait_for()
    faint += quy.page.evaluate(CONTRAST)
    quy.press("L")
    quy.page.wait_for_selector(".list-row")
    faint += quy.page.evaluate(CONTRAST)
    quy.press("?")
    assert faint + quy.page.evaluate(CONTRAST) == []


def test_a_damaged_spectrum_is_said_and_the_others_go_on(person, place):
    (path,) = place.find_combined(1016, SPEC)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    try:
        rob = person()
        rob.open(1015)
        rob.press("n")
        rob.sees(1016)
        assert path.name in rob.reads("sidebar")
        rob.press("p")
        rob.sees(1015)
    finally:
        path.write_bytes(whole)


def test_without_the_token_nothing_is_told(browser, address):
    page = browser.new_context().new_page()
    page.goto(address.partition("?")[0])
    page.wait_for_selector("#messages .bad")
    assert "nirfire inspect" in page.inner_text("#messages")
    page.context.close()
