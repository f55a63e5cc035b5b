"""The inspection page in headless Chromium: how long after a key the next object is there, and what the page weighs.

    python benchmarks/inspection.py [--json FILE] [--workspace FOLDER]

Needs Chromium (NIRFIRE_CHROMIUM, or on the PATH). Works on the standard demo (some minutes, unless --workspace has a
finished one, which stays as it is), on a workspace of 2,000 sources and on a catalogue of 50,000 that are made from it.
A time is that from the key, or from the opening of the address, to the end of the frame that shows what was asked for.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, sync_playwright

from _inspect_workspace import make_catalogue, make_workspace
from _rows import entry, parser, save

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.inspect.browser.server import ARGUMENTS, find_chromium, serving

SOURCES, ROWS, PRESSES, JUMPS = 2000, 50_000, 120, 30
COLUMNS, FILTER = 10, "z>4 zprob<0.9"  # of the list
PAUSE = 0.12  # s between keys: nobody looks at a spectrum for less
READY = 15.0  # s after the start of a server in which it gets its fits ready
SIZE = {"width": 1600, "height": 1000}
WATCH = """
window.timing = {key: 0, painted: []};
addEventListener("keydown", (event) => { timing.key = event.timeStamp; }, true);
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  const frame = new MessageChannel();
  frame.port1.onmessage = () => timing.painted.push(performance.now() - timing.key);
  frame.port2.postMessage(0);
}).observe(document.body, {attributeFilter: ["data-painted", "data-listed"]}));
"""
PAINTED = """
n => new Promise((done) => {
  const look = () => timing.painted.length >= n ? done(timing.painted.at(-1)) : setTimeout(look, 5);
  look();
})
"""


class Looker:
    """A page that counts what it asks for."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.base = address.partition("/?")[0]
        context = browser.new_context(viewport=SIZE)
        context.add_init_script(WATCH)
        self.page = context.new_page()
        self.foreign: list[str] = []
        self.weight = 0
        self.page.on("request", self._look)
        self.page.on("requestfinished", self._weigh)
        self.page.goto(address)
        self.page.wait_for_selector("body[data-listed]")

    def _look(self, request: Request) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1" and not request.url.startswith(("data:", "blob:")):
            self.foreign.append(request.url)

    def _weigh(self, request: Request) -> None:
        if "/api/" not in request.url:
            sizes = request.sizes()
            self.weight += sizes["responseBodySize"] + sizes["responseHeadersSize"]

    def open(self, source: int) -> None:
        """Show an object, and wait until what comes next is there too."""
        self.page.goto(f"{self.base}/#/object/{source}")
        self.page.wait_for_selector(f"body[data-painted='{source}']")
        time.sleep(1.0)

    def press(self, key: str, pause: float = PAUSE) -> float:
        """Milliseconds from the key to the next object."""
        before = self.page.evaluate("timing.painted.length")
        self.page.keyboard.press(key)
        taken = float(self.page.evaluate(PAINTED, before + 1))
        time.sleep(pause)
        return taken

    def jump(self, source: int) -> float:
        """Milliseconds to an object that nothing foresaw."""
        self.page.keyboard.press("/")
        self.page.keyboard.type(str(source))
        return self.press("Enter")


def judged(name: str, taken: list[float]) -> list[dict]:
    """Median and 95th percentile against the goals."""
    middle, late = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    return [
        entry(f"{name}: median", middle, "ms", "< 50", middle < 50),
        entry(f"{name}: 95th percentile", late, "ms", "< 100", late < 100),
    ]


def walk(browser: Browser, place: Path, name: str, presses: int) -> list[dict]:
    """From object to object: forwards, and with a grade each."""
    with serving(place) as address:
        look = Looker(browser, address)
        first = int(look.page.evaluate("[...document.querySelectorAll('.list-row')].map(r => r.dataset.source)[0]"))
        look.open(first)
        rows = judged(f"{name}: key n to the next object", [look.press("n") for _ in range(presses)])
        look.open(first)
        rows += judged(f"{name}: grade, saved, next object", [look.press("3") for _ in range(presses)])
        start = time.perf_counter()
        look.page.wait_for_selector("[data-testid=pending]", state="hidden")
        rows.append(entry(f"{name}: until the last grade is saved", time.perf_counter() - start, "s"))
        rows.append(entry(f"{name}: page without data", look.weight / 1e3, "kB", "< 300", look.weight < 300e3))
        rows.append(entry(f"{name}: requests to other machines", len(look.foreign), "", "0", not look.foreign))
    return rows


def jumps(browser: Browser, place: Path) -> list[dict]:
    """What nothing foresaw, and fits anew."""
    with serving(place) as address:
        look = Looker(browser, address)
        look.open(1001)
        taken = [look.jump(1005 + 61 * k) for k in range(JUMPS)]
        rows = [entry(f"{SOURCES} sources: jump to any object, median", statistics.median(taken), "ms")]
        rows.append(entry("the same, longest", max(taken), "ms"))
        look.open(1001)
        for name in ("PRISM", "G395M"):
            taken = [refit(look.page) for _ in range(6)][1:]
            middle = statistics.median(taken)
            rows.append(entry(f"refit {name}, key u to the new model", middle, "s", "< 0.5", middle < 0.5))
            look.page.keyboard.press("g")
            time.sleep(0.3)
    return rows


def refit(page: Page) -> float:
    """Seconds of one local refit."""
    start = time.perf_counter()
    with page.expect_response("**/api/refit") as answer:
        page.keyboard.press("u")
    assert answer.value.ok
    page.wait_for_selector("[data-testid=redshift] .busy", state="detached")
    return time.perf_counter() - start


def open_list(browser: Browser, place: Path) -> list[dict]:
    """The list from its address to its rows; each time as a browser that was never here."""
    taken = []
    with serving(place) as address:
        base, token = re.fullmatch(r"(http://[^/]*)/\?token=(.*)", address).groups()
        for k in range(6):
            if k == 1:
                time.sleep(READY)
            context = browser.new_context(viewport=SIZE)
            context.add_init_script(WATCH)
            if k > 0:  # the first time one comes by the address that was printed
                context.add_init_script(f"localStorage.setItem('nirfire-token', '{token}')")
            page = context.new_page()
            start = time.time()
            page.goto(base if k > 0 else address)
            page.wait_for_selector("body[data-listed]")
            page.evaluate(PAINTED, 1)
            taken.append(page.evaluate("(performance.timeOrigin + timing.painted[0]) / 1e3") - start)
            context.close()
    middle = statistics.median(taken[1:])
    return [
        entry(f"list of {ROWS}, the first after the start of the server", taken[0], "s", "< 1", taken[0] < 1),
        entry(f"list of {ROWS}, opened again", middle, "s", "< 1", middle < 1),
    ]


def use_list(browser: Browser, place: Path) -> list[dict]:
    """The list in another order, and filtered."""
    with serving(place) as address:
        look = Looker(browser, address)
        time.sleep(READY)
        ordered = [look.press(key, 0.3) for key in [">", "r"] * 2 * COLUMNS]
        look.page.keyboard.press("/")
        filtered = [look.press(letter, 0.3) for letter in FILTER]
    rows = []
    for name, taken in (("in another order", ordered[2:]), ("letter of a filter", filtered)):
        middle, longest = statistics.median(taken), max(taken)
        rows.append(entry(f"list of {ROWS}, {name}: median", middle, "ms", "< 100", middle < 100))
        rows.append(entry("the same, longest", longest, "ms"))
    return rows


@contextmanager
def finished(given: Path | None, folder: Path) -> Iterator[Path]:
    """The standard demo, made where none is given."""
    place = given or folder / "demo"
    if given is None:
        subprocess.run([sys.executable, "-m", "nirfire", "demo", "-w", str(place), "-j", "2"], check=True)
    yield place


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--workspace", type=Path, help="a finished standard demo")
    options = made.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit("no Chromium: set NIRFIRE_CHROMIUM")
    with tempfile.TemporaryDirectory(prefix="nirfire-bench-") as name:
        folder = Path(name)
        with finished(options.workspace, folder) as demo, sync_playwright() as playwright:
            small = make_workspace(demo, folder / "small", 0).folder
            many = make_workspace(demo, folder / "many", SOURCES).folder
            rows = make_catalogue(demo, folder / "rows", ROWS).folder
            browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
            found = walk(browser, small, "demo", 12)
            found += walk(browser, many, f"{SOURCES} sources", PRESSES)
            found += jumps(browser, many)
            found += open_list(browser, rows) + use_list(browser, rows)
            browser.close()
    save(found, options.json)


if __name__ == "__main__":
    main()
