"""The files of the inspection page: small, whole, and with nothing that a strict browser refuses."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

import nirfire.inspect
from nirfire.inspect.quality import FLAG_SAID

STATIC = Path(nirfire.inspect.__file__).parent / "static"
VENDORED = STATIC / "vendor"
SCRIPTS = sorted(STATIC.glob("*.js"))
PAGES = sorted(STATIC.glob("*.html"))
LAZY = {"./rate.js", "./cutouts.js"}  # modules that most visits never need
IMPORT = re.compile(r'^\s*(?:import|export)\b[^;"]*?from\s+"([^"]+)"|[^.\w]import\("([^"]+)"\)', re.M)
COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.S)
ROW = re.compile(r'^  row\("(\w+)", (\[.+?\]), (\w+), "([^"]+)"(?:, "(\w*)")?\),$', re.M)


def code(script: Path) -> str:
    """A script without its comments."""
    return COMMENT.sub("", script.read_text("utf-8"))


def imports(script: Path) -> set[str]:
    return {next(filter(None, found)) for found in IMPORT.findall(code(script))}


def test_whole_page_is_small() -> None:
    """Packed, as the server sends them; those that the first visit loads, and all together."""
    files = [path for path in STATIC.rglob("*") if path.is_file() and path.name != "LICENSE"]
    packed = {path.name: len(gzip.compress(path.read_bytes())) for path in files}
    assert sum(packed.values()) < 150_000
    assert sum(path.stat().st_size for path in files) < 400_000


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script(script: Path) -> None:
    text = script.read_text("utf-8")
    lines = text.splitlines()
    assert len(lines) <= 400
    assert len(max(lines, key=len)) <= 140, max(lines, key=len)
    assert not re.search(r"\b(eval|Function|document\.write|(inner|outer|insertAdjacent)HTML)\s*[(=]", code(script))
    assert not re.search(r"https?://", code(script)), "an address of another host"
    assert "console." not in code(script)
    for name in imports(script):
        assert name.startswith("./"), f"{name} is not of this folder"
        assert (STATIC / name).is_file(), f"{name} is missing"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_page_needs_no_exception_from_the_policy(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"\sstyle\s*=|\son\w+\s*=|<style", text)
    for opened, body in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.S):
        assert "src=" in opened
        assert not body.strip()
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert not re.match(r"[a-z]+:|//", address)
        assert (STATIC / address.lstrip("/")).is_file(), f"{address} is missing"


def test_styles_ask_for_nothing() -> None:
    for sheet in STATIC.glob("*.css"):
        assert not re.search(r"url\(|@import", sheet.read_text("utf-8"))


def needed(without: set[str]) -> set[str]:
    """The modules of a visit that never gets to some of them."""
    found, left = set(), {"./main.js"}
    while left:
        name = left.pop()
        found.add(name)
        left |= imports(STATIC / name) - found - without
    return found


def test_each_view_is_loaded_in_one_go() -> None:
    """Every module that a view needs is named in the page, so none waits for another; the list asks for no others."""
    text = (STATIC / "index.html").read_text("utf-8")
    named = {
        key: {f"./{name}" for name in re.findall(rf'{key}="modulepreload"[^>]*href="([^"]+)"', text)}
        for key in (" rel", "data-later")
    }
    listed = needed(LAZY | {"./object.js"})
    assert named[" rel"] == listed - {"./main.js", "./early.js"}
    assert named["data-later"] == needed(LAZY) - listed


def test_nothing_is_waited_for_before_the_list_is_asked_for() -> None:
    assert not imports(STATIC / "early.js")
    text = (STATIC / "index.html").read_text("utf-8")
    assert '<script src="early.js" type="module" async' in text
    assert text.index("early.js") < text.index("stylesheet")


def test_key_table() -> None:
    """No key does two things in one view, and every row says what it does."""
    rows = ROW.findall((STATIC / "keys.js").read_text("utf-8"))
    assert len(rows) > 35
    taken: dict[str, str] = {}
    for name, keys, _, does, _ in rows:
        assert does
        for key in json.loads(keys):
            assert taken.setdefault(key, name) == name, f"{key}: {taken[key]} and {name}"
    wanted = set("01234npzoiaulmsewxgbvfctrqLd?/kyjUNM[]") | {",", ".", "Shift+,", "Shift+.", "ArrowLeft", "ArrowRight"}
    assert wanted <= set(taken)


def test_every_flag_has_a_letter() -> None:
    text = (STATIC / "keys.js").read_text("utf-8")
    listed = re.search(r"FLAG_KEYS = \{([^}]+)\}", text)
    assert listed
    letters = dict(re.findall(r'(\d+): "(\w)"', listed[1]))
    assert set(map(int, letters)) == {int(flag) for flag in FLAG_SAID}
    alone = {letter for bit, letter in letters.items() if bit not in ("128", "256")}  # offered for PRISM, for gratings
    assert len(alone | {"x"}) == len(FLAG_SAID) - 1


def test_actions_have_keys() -> None:
    """What the object view can do and what the table names are the same."""
    rows = {name for name, *_, where in ROW.findall((STATIC / "keys.js").read_text("utf-8"))}
    text = (STATIC / "object.js").read_text("utf-8")
    body = text[text.index("const actions = {") : text.index("const guarded")]
    actions = set(re.findall(r"^    (\w+)(?::|,$)", body, re.M))
    everywhere = {"list", "conflicts", "masks", "theme", "sheet"}
    assert actions == rows - everywhere


def test_vendored_whole() -> None:
    assert "MIT License" in (VENDORED / "LICENSE").read_text("utf-8")
    assert "uPlot (v1.6.32)" in (VENDORED / "uPlot.iife.min.js").read_text("utf-8")[:200]
