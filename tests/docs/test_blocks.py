"""Every shell block of the README and of the pages runs, and ends as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from .blocks import BadBlock, Block, Case, cases, find_blocks
from .conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW_SETTINGS = frozenset({"clone", "cluster"})
SETTINGS = SLOW_SETTINGS | {"env", "observation", "archive", "realdata"}


def blocks_of(path: Path) -> list[Block]:
    return find_blocks(path.read_text(), str(path.relative_to(ROOT)))


def found() -> list:
    """What is to be run; pages that cannot be read are left to the first test."""
    params = []
    for path in PAGES:
        try:
            blocks = blocks_of(path)
        except BadBlock:
            continue
        for case in cases(blocks, SLOW_SETTINGS):
            params.append(pytest.param(case, id=str(case), marks=[pytest.mark.slow] if case.fresh else []))
    return params


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_names_its_setting(path: Path) -> None:
    for block in blocks_of(path):
        assert block.setting in SETTINGS, f"{block.page}:{block.line}: no setting is called {block.setting}"


@pytest.mark.parametrize("case", found())
def test_blocks_run_as_the_page_says(case: Case, request: pytest.FixtureRequest) -> None:
    sandbox = request.getfixturevalue(case.setting)(case)
    for block in case.blocks:
        sandbox.run(block)
