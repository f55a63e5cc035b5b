"""One browser and one server for all tests here; each test is a person of its own."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote
from nirfire.products.naming import Workspace
from tests.conftest import Ran

from .server import ARGUMENTS, CHROMIUM, find_chromium, serving

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SOURCES = 20
SIZE = {"width": 1440, "height": 900}
PATIENCE = 120_000  # ms; where the other tests take the machine, too
FITTING = 600  # s; after an installation the code of the fits is compiled first
SHOWN = """
source => document.body.dataset.painted === source &&
  document.querySelector(".view-object:not(.loading) [data-testid=source]")?.textContent === source
"""
WHO = "localStorage.getItem('nirfire.user') ?? localStorage.setItem('nirfire.user', {name!r})"
HEARD = """
window.heard = [];
new MutationObserver((changes) => {
  for (const { target, addedNodes } of changes)
    if (target.id === "messages") heard.push(...[...addedNodes].map((line) => line.textContent));
}).observe(document, {childList: true, subtree: true});
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[api.Browser]:
    """For one module only: while it is open, playwright's event loop runs in this thread, and asyncio.run fails."""
    program = find_chromium()
    if program is None:
        pytest.skip(f"no Chromium here: set {CHROMIUM} to its program")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def place(small_demo: Ran, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The small demo as it is, and sources more that are like its own; nothing is copied that can be linked.

    Each process of the test run has its own: what one test does to masks and products, no other sees in its midst.
    """
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "_inspect_workspace.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    maker = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = maker
    spec.loader.exec_module(maker)
    folder = tmp_path_factory.mktemp("inspected") / "demo"
    maker.make_workspace(small_demo.place.folder, folder, SOURCES)
    return Workspace(folder, "demo")


@pytest.fixture(scope="session")
def address(place: Workspace) -> Iterator[str]:
    """What a user opens: the page's address with its token; fits are ready."""
    with serving(place.folder) as printed:
        wait_for_fits(printed)
        yield printed


def wait_for_fits(address: str) -> None:
    """Ask for a fit until there is one: before, the server refuses those that it was asked for too long ago."""
    base, _, token = address.partition("/?token=")
    body, end = {"source": 101, "key": "prism_clear", "z": 1.0}, time.monotonic() + FITTING
    with httpx.Client(base_url=base, headers={"X-Nirfire-Token": token, "X-Nirfire": "1"}, timeout=FITTING) as client:
        while (answer := client.post("/api/refit", json=body)).status_code == 409 and time.monotonic() < end:
            pass
    assert answer.status_code == 200, answer.text


def wait_for_list(page: api.Page) -> None:
    """Wait until the list is here: before, no object has a next one."""
    page.wait_for_selector("[data-testid=progress]:not(:empty)", state="attached")


def wait_for_object(page: api.Page, source: int) -> None:
    """Wait until an object is shown, also where it was shown before and another view since."""
    page.wait_for_function(SHOWN, arg=str(source))


class Gate:
    """Requests for one path: they pass, fail (the server is away) or are held (it is slow), as a test says.

    It stands before the page is opened: what a browser is told later may miss the next request.
    """

    def __init__(self, page: api.Page, path: str) -> None:
        self._page, self._held = page, list[api.Route]()
        self._meet: Callable[[api.Route], None] = api.Route.continue_
        page.route(f"**{path}", lambda route: self._meet(route))

    def passes(self) -> None:
        self._meet = api.Route.continue_

    def fails(self) -> None:
        self._meet = api.Route.abort

    def holds(self) -> None:
        self._meet = self._held.append

    def first(self) -> api.Route:
        """The request that was held first, when it has come."""
        for _ in range(PATIENCE // 20):
            if self._held:
                return self._held[0]
            self._page.wait_for_timeout(20)
        raise AssertionError("nothing was asked for")


class Person:
    """Somebody at a browser of their own, who uses keys."""

    def __init__(self, page: api.Page, address: str, name: str, place: Workspace) -> None:
        self.page, self.name, self.place = page, name, place
        self.base, _, self.token = address.partition("/?token=")
        self.troubles: list[str] = []
        self.expects = ""  # part of those troubles that are meant to come, until the end of the test
        self.hosts: set[str | None] = set()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda said: self.troubles.append(said.text) if said.type == "error" else None)
        page.on("request", lambda one: self.hosts.add(urlsplit(one.url).hostname))
        page.context.add_init_script(WHO.format(name=name))
        page.context.add_init_script(HEARD)

    def gate(self, path: str) -> Gate:
        """Before the page is opened: what stops requests for a path on their way."""
        assert self.page.url == "about:blank"
        return Gate(self.page, path)

    def open(self, source: int | None = None) -> None:
        """Go to the list, or to an object, as from the printed address."""
        self.page.goto(f"{self.base}/?token={self.token}#/{'' if source is None else f'object/{source}'}")
        if source is None:
            self.page.wait_for_selector("body[data-listed]")
        else:
            self.sees(source)
        wait_for_list(self.page)

    def opens_a_window_more(self, source: int) -> tuple[api.Page, Gate]:
        """Another window of the same browser, which hears nothing more of its object until the gate is opened."""
        other = self.page.context.new_page()
        other.set_default_timeout(PATIENCE)
        gate = Gate(other, f"/api/object/{source}")
        other.goto(f"{self.base}/?token={self.token}#/object/{source}")
        wait_for_object(other, source)
        wait_for_list(other)
        gate.fails()
        return other, gate

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def sees(self, source: int) -> None:
        """Wait until an object is shown."""
        wait_for_object(self.page, source)

    def goes_to_the_list(self) -> None:
        """Before the list is there, keys are still for what was shown."""
        self.press("L")
        self.page.wait_for_selector("[data-testid=list-table]:focus")

    def hears(self, text: str) -> None:
        """Wait until the page has said something; its messages go away again."""
        self.page.wait_for_function("text => heard.some((one) => one.includes(text))", arg=text)

    def reloads(self) -> None:
        """Load the page again, once the address is that of the object shown, which it is a little later."""
        source = int(self.reads("source"))
        self.page.wait_for_url(f"**/#/object/{source}")
        self.page.reload()
        self.sees(source)
        wait_for_list(self.page)

    def settles(self) -> None:
        """Wait until the page has taken up what has come to it."""
        self.page.evaluate("() => new Promise((done) => requestIdleCallback(done))")

    def has_no_vote(self) -> bool:
        """True where no vote is on its way, as each is from the key press on, or saved."""
        return self.page.get_by_test_id("pending").is_hidden() and not self.votes()

    def waits_until_saved(self) -> None:
        self.page.wait_for_selector("[data-testid=pending]", state="hidden")

    def reads(self, name: str) -> str:
        """Text of what has this test id."""
        return self.page.get_by_test_id(name).first.inner_text()

    @property
    def z(self) -> float:
        return float(self.reads("z"))

    def votes(self, source: int | None = None) -> list[Vote]:
        """What the store holds of this person: the latest on each source."""
        with Store.open(self.place.inspection, read_only=True) as store:
            return [vote for vote in store.latest(source) if vote.user == self.name]


@pytest.fixture
def person(browser: api.Browser, address: str, place: Workspace, request: pytest.FixtureRequest) -> Iterator[Callable]:
    """Make somebody by name; at the end nothing was asked of other machines, and no script has failed."""
    made: list[Person] = []

    def make(name: str = "", **options: object) -> Person:
        context = browser.new_context(viewport=SIZE, **options)
        known = name or re.sub(r"\W+", "-", request.node.name)[:40]
        made.append(Person(context.new_page(), address, known, place))
        return made[-1]

    yield make
    for one in made:
        one.page.context.close()
        assert one.hosts <= {"127.0.0.1"}
        assert not [said for said in one.troubles if not one.expects or one.expects not in said]
