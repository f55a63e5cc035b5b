"""The page as such: light, alone on this machine, usable by keys, readable in light and dark, and safe to break."""

from __future__ import annotations

import pytest
from astropy.io import fits

from nirfire.products.naming import SPEC, zfit_of

from .conftest import PATIENCE

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

PICTURE = "() => document.querySelector('.evidence canvas').toDataURL()"


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
    assert ole.has_no_vote()
    ole.press("v")
    ole.page.get_by_test_id("shutter-2").wait_for()
    ole.press("?")
    shown = sheet.locator("kbd").all_inner_texts()
    assert {"↓", "↑", "⌫", "h"} <= set(shown) and len(shown) == len(set(shown))


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
    pam.goes_to_the_list()
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


def test_a_damaged_fit_leaves_the_spectrum_to_look_at_and_to_fit(person, place):
    (path,) = place.find_combined(1004, SPEC)
    whole = zfit_of(path).read_bytes()
    zfit_of(path).write_bytes(whole.replace(b"PEAKS   ", b"PIQUES  "))
    try:
        sue = person()
        sue.open(1004)
        assert "no PEAKS in it" in sue.reads("sidebar") and zfit_of(path).name in sue.reads("sidebar")
        assert sue.page.locator(".spec-image").is_visible() and not sue.page.locator(".tab.broken").count()
        with sue.page.expect_response("**/api/refit") as answer:
            sue.press("U")
        assert answer.value.ok
        sue.page.wait_for_function("() => parseFloat(document.querySelector('[data-testid=z]').textContent) > 0")
        sue.press("p")
        sue.sees(1003)
        assert zfit_of(path).name not in sue.reads("sidebar")
    finally:
        zfit_of(path).write_bytes(whole)


def test_a_spectrum_that_vanishes_while_it_is_shown(person, place):
    """Somebody removes the products of the grating that is looked at; then those of the whole source."""
    paths = {path.name.split("_")[1]: path for path in place.find_combined(1001, SPEC)}
    aside = {path: path.with_suffix(".aside") for path in paths.values()}
    tom = person()
    tom.expects = "404"
    tom.open(1001)
    tom.press("g")
    assert tom.page.locator(".tab[aria-pressed=true]").inner_text() == "G395M"
    try:
        paths["g395m"].rename(aside[paths["g395m"]])
        tom.page.evaluate("dispatchEvent(new Event('focus'))")
        tom.page.wait_for_selector(".tab[data-key=g395m_f290lp]", state="detached")
        assert tom.page.locator("[data-testid=spectrum]").get_attribute("data-key") == "prism_clear"
        paths["prism"].rename(aside[paths["prism"]])
        tom.page.evaluate("dispatchEvent(new Event('focus'))")
        tom.hears("there is no spectrum of source 1001 any more")
        tom.press("n")
        tom.sees(1002)
    finally:
        for path, other in aside.items():
            if other.exists():
                other.rename(path)


def test_a_spectrum_without_a_valid_pixel(person, place):
    (path,) = place.find_combined(1005, SPEC)
    whole = path.read_bytes()
    with fits.open(path) as hdus:
        hdus["SPEC1D"].data["mask"] = True
        hdus.writeto(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    try:
        uma = person()
        uma.expects = "400"
        uma.open(1005)
        assert "no valid pixel" in uma.page.locator(".spec-title").inner_text()
        uma.press("z")
        uma.type("3.1")
        uma.press("Enter", *".,.u")
        uma.hears("0 usable pixels: at least 20 are needed")
        uma.press(*"lmswxkyjgb", "n")
        uma.sees(1006)
    finally:
        path.write_bytes(whole)


def test_the_ends_of_the_redshift_range(person):
    vic = person()
    vic.expects = "400"
    vic.open(1003)
    vic.press("z")
    vic.type("0")
    vic.press("Enter", *",.", "Shift+,", "Shift+.", "Shift+,", "Shift+,")
    assert vic.z == 0
    vic.press("z")
    vic.type("19.999")
    vic.press("Enter")
    said = "is not between 0 and 19.98"
    vic.hears(said)
    with vic.page.expect_response(lambda one: one.url.endswith("/api/model/1003/prism_clear?z=20")) as answer:
        vic.press(*"....")
    assert vic.z == 20
    assert answer.value.finished() is None
    vic.settles()
    assert vic.page.evaluate("said => heard.filter((one) => one.includes(said)).length", said) == 1, "not at every step"
    assert "no model" in vic.reads("redshift")
    for typed in ("20.001", "-0.1"):
        vic.press("z")
        vic.type(typed)
        vic.press("Enter")
        vic.hears("redshifts go from 0 to 20 here")
        vic.press("Escape")
        assert vic.z == 20
    vic.press("a")
    vic.page.wait_for_function("() => document.querySelector('.odds').textContent.startsWith('right')")


def test_a_capital_letter_is_typed_with_shift(person):
    """A keyboard sends Shift first; that is no key of its own, for whoever waits for the next one."""
    wes = person()
    wes.open(105)
    wes.press("j")
    title = wes.page.locator("[data-testid=identify] h2")
    first = title.inner_text()
    wes.press("j")
    assert title.inner_text() != first
    wes.press("Shift+J")
    assert title.is_visible() and title.inner_text() == first
    wes.press("Escape", "f", "Shift", "s", "Enter")
    wes.waits_until_saved()
    assert [vote.flags for vote in wes.votes(105)] == [{"prism_clear": 4}]


def test_a_key_that_is_held(person):
    xia = person()
    fits = xia.gate("/api/refit")
    fits.holds()
    xia.open(1007)
    xia.press("z")
    xia.press("Escape")
    for key, field in (("c", "comment"), ("t", "tags"), ("z", "z-input")):
        before = xia.page.get_by_test_id(field).input_value()
        for _ in range(4):
            xia.page.keyboard.down(key)
        xia.page.keyboard.up(key)
        assert xia.page.get_by_test_id(field).input_value() == (before if key != "z" else f"{xia.z:.4f}")
        xia.press("Escape")
    asked = []
    xia.page.on("request", lambda one: asked.append(one.url) if one.url.endswith("/api/refit") else None)
    for _ in range(4):
        xia.page.keyboard.down("u")
    xia.page.keyboard.up("u")
    fits.first().continue_()
    xia.page.wait_for_selector("[data-testid=redshift] .busy", state="detached")
    assert len(asked) == 1
    assert not xia.votes()


def test_evidence_by_mouse(person):
    """A click sets z, a drag looks closer until the next object, and other buttons do nothing."""
    yan = person()
    yan.open(1008)
    automatic = yan.z
    whole = yan.page.locator(".evidence canvas").first
    box = whole.bounding_box()
    middle = (box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    yan.page.mouse.click(*middle, button="right")
    assert yan.z == automatic
    yan.page.mouse.move(5, 5)
    pictures = [yan.page.evaluate(PICTURE)]
    yan.page.mouse.move(*middle)
    yan.page.mouse.down()
    yan.page.mouse.move(middle[0] + 60, middle[1], steps=3)
    yan.page.mouse.up()
    yan.page.mouse.move(5, 5)
    pictures.append(yan.page.evaluate(PICTURE))
    assert yan.z == automatic and pictures[0] != pictures[1]
    yan.press("n")
    yan.sees(1009)
    yan.press("p")
    yan.sees(1008)
    yan.page.wait_for_function(f"before => ({PICTURE})() === before", arg=pictures[0])
    yan.page.mouse.click(*middle)
    assert yan.z != automatic


def test_a_tab_does_what_its_key_does(person):
    """The model of the grating that is shown is one of the redshift that is shown."""
    zoe = person()
    zoe.open(1001)
    zoe.press("z")
    zoe.type("2.5")
    with zoe.page.expect_request("**/api/model/1001/prism_clear?z=2.5"):
        zoe.press("Enter")
    with zoe.page.expect_request("**/api/model/1001/g395m_f290lp?z=2.5"):
        zoe.page.locator(".tab[data-key=g395m_f290lp]").click()
    assert zoe.page.locator(".tab[aria-pressed=true]").inner_text() == "G395M"


def test_positions_are_copied_without_encryption_too(person):
    """Over a network without encryption browsers offer no clipboard to pages."""
    ada = person()
    ada.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    ada.open(101)
    ada.page.locator(".place-of").focus()
    ada.press("Enter")
    ada.hears("position copied")


def test_without_the_token_nothing_is_told(browser, address):
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address.partition("?")[0])
    page.wait_for_selector("#messages .bad")
    assert "nirfire inspect" in page.inner_text("#messages")
    page.context.close()


def test_an_address_that_is_no_text_shows_the_list(person):
    sam = person()
    sam.open(101)
    sam.page.goto(f"{sam.base}/#/object/%")
    sam.page.wait_for_selector("[data-testid=list-table]")
    sam.page.reload()
    sam.page.wait_for_selector("body[data-listed]")
