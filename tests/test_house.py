"""The rules of the house (docs/architecture.md), checked on the source itself."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "nirfire"
MODULES = sorted(SRC.rglob("*.py"))
STOCK = {"jwst", "stdatamodels", "stpipe", "crds", "stcal"}
RUNS_JOBS = "pipeline/worker.py"
LINES, FUNCTION, ARGUMENTS = 400, 60, 8


def name(path: Path) -> str:
    return str(path.relative_to(SRC))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    """Absolute dotted names of everything a module imports, also inside functions."""
    package = ["nirfire", *path.relative_to(SRC).parts[:-1]]
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            found |= {f"{base}{node.module or ''}".rstrip(".")}
            if node.level and not node.module:
                found |= {f"{base}{a.name}" for a in node.names}
    return found


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0] if len(path.relative_to(SRC).parts) > 1 else ""


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_one_way(path):
    ours = {m.split(".")[1] for m in imported(path) if m.startswith("nirfire.")}
    stock = {m.split(".")[0] for m in imported(path)} & STOCK
    here = room(path)
    if here == "core":
        assert ours <= {"core"}, "core imports nothing of ours"
    if here == "pipeline":
        assert "core" not in ours, "pipeline has no numerics"
    if here == "tasks":
        tasks = {m for m in imported(path) if m.startswith("nirfire.tasks.")} - {"nirfire.tasks.settings"}
        assert not tasks, "tasks never import tasks"
        assert not ours & {"pipeline", "qa", "simulate"}
    assert not stock or here == "stsci", "stsci is the only importer of the stock packages"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_hidden_state(path):
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Global), f"global in line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr != "chdir", f"chdir in line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"print in line {node.lineno}"
        if isinstance(node, ast.ExceptHandler) and name(path) != RUNS_JOBS:
            caught = node.type.id if isinstance(node.type, ast.Name) else ""
            assert node.type is not None and caught not in ("Exception", "BaseException"), f"line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_small_rooms(path):
    assert len(path.read_text().splitlines()) <= LINES
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            names = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert not body or node.end_lineno - body[0].lineno < FUNCTION, f"{node.name} is too long"
            # the demo and run commands take one argument per command-line option
            assert len(names) <= ARGUMENTS or path.name in ("cli.py", "cli_files.py"), (
                f"{node.name} has too many arguments"
            )


def test_file_names_are_spelled_in_one_place():
    spelled = ("_uncal.fits", "_rateraw.fits", "_rate.fits", "_cal_bkgsub.fits", "_spec.fits", "_zfit.fits")
    for path in MODULES:
        if name(path) in ("products/naming.py",):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                docs = "\n" in node.value or "``" in node.value
                assert docs or not any(s == node.value for s in spelled), f"{name(path)}:{node.lineno} {node.value}"
