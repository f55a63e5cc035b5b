"""The tutorial notebook: it holds its outputs, is small, says nothing of a machine, and runs."""

from __future__ import annotations

import ast
import base64
import json
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
NOTEBOOK = HERE / "docs" / "tutorial.ipynb"
LARGEST = 400_000  # bytes of all images


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text())["cells"]


def source_of(cell):
    return "".join(cell["source"])


def test_it_is_executed_from_top_to_bottom_without_errors(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert cell["outputs"], source_of(cell)
        assert all(out["output_type"] != "error" and out.get("name") != "stderr" for out in cell["outputs"])


def test_its_images_are_small(cells):
    outputs = [out for cell in cells if cell["cell_type"] == "code" for out in cell["outputs"]]
    images = [base64.b64decode(out["data"]["image/png"]) for out in outputs if "image/png" in out.get("data", {})]
    assert len(images) >= 3
    assert sum(map(len, images)) < LARGEST
    assert all(image.startswith(b"\x89PNG") for image in images)


def test_it_names_no_machine(cells):
    text = NOTEBOOK.read_text()
    assert not re.search(r"/(tmp|home|work|root|Users)/", text)


def test_what_it_links_to_is_there(cells):
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\(([\w-]+\.md)", source_of(cell)):
                assert (NOTEBOOK.parent / target).exists(), target


def test_its_code_is_tidy(cells):
    for cell in cells:
        if cell["cell_type"] == "code":
            ast.parse(source_of(cell))
            assert max(map(len, source_of(cell).splitlines())) <= 88, "longer lines are cut in a browser"


@pytest.mark.slow
def test_it_runs_on_a_demo_of_today(small_demo):
    from scripts.run_tutorial import execute

    assert execute(small_demo.place.folder).cells
