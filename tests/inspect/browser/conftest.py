"""One browser and one server for all tests here; each test is a person of its own."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote
from nirfire.products.naming import Workspace
from tests.conftest import Ran, one_at_a_time

from .server import ARGUMENTS, CHROMIUM, find_chromium, serving

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SOURCES = 20
SIZE = {"width": 1440, "height": 900}
PATIENCE = 40_000  # ms; where the other tests take the machine, too


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
def place(small_demo: Ran, shared_folder: Path) -> Workspace:
    """The small demo as it is, and sources more that are like its own; nothing is copied that can be linked."""
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "_inspect_workspace.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    maker = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = maker
    spec.loader.exec_module(maker)
    folder = shared_folder / "inspected"
    folder.mkdir(exist_ok=True)
    with one_at_a_time(folder):
        if not (folder / "demo").exists():
            maker.make_workspace(small_demo.place.folder, folder / "demo", SOURCES)
    return Workspace(folder / "demo", "demo")


@pytest.fixture(scope="session")
def address(place: Workspace) -> Iterator[str]:
    """What a user opens: the page's address with its token."""
    with serving(place.folder) as printed:
        yield printed


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
        self.hosts: set[str | None] = set()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda said: self.troubles.append(said.text) if said.type == "error" else None)
        page.on("request", lambda one: self.hosts.add(urlsplit(one.url).hostname))
        page.add_init_script(f"localStorage.setItem('nirfire.user', {name!r})")

    def gate(self, path: str) -> Gate:
        """Before the page is opened: what stops requests for a path on their way."""
        assert self.page.url == "about:blank"
        return Gate(self.page, path)

    def open(self, source: int | None = None) -> None:
        """Go to the list, or to an object, as from the printed address."""
        self.page.goto(f"{self.base}/?token={self.token}#/{'' if source is None else f'object/{source}'}")
        self.page.wait_for_selector("body[data-listed]" if source is None else f"body[data-painted='{source}']")
        self.page.wait_for_selector("[data-testid=progress]:not(:empty)", state="attached")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def sees(self, source: int) -> None:
        """Wait until an object is shown."""
        self.page.wait_for_selector(f"body[data-painted='{source}']")

    def reloads(self) -> None:
        """Load the page again, once the address is that of the object shown, which it is a little later."""
        source = self.page.get_attribute("body", "data-painted")
        self.page.wait_for_url(f"**/#/object/{source}")
        self.page.reload()

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
        assert not one.troubles
