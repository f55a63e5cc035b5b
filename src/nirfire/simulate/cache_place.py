"""Where the CRDS cache of the embedded instrument lies and how it is used; light to import."""

from __future__ import annotations

import ast
import hashlib
import os
from importlib.metadata import version
from pathlib import Path

VERSION = 1
"""Raise it when the content of a reference changes on purpose: it is the number of the CRDS context."""
CONTEXT = f"jwst_{VERSION:04d}.pmap"
_PACKAGES = ("jwst", "stdatamodels", "crds")
_INSTRUMENT = (
    "crds_cache",
    "detector_maps",
    "operability",
    "optics",
    "psf",
    "references",
    "response",
    "selection",
    "slit_references",
    "wcsrefs",
)
"""Modules that define the content of the references."""


def cache_environment(folder: Path) -> dict[str, str]:
    """Environment in which CRDS uses a cache and nothing else. Set it before ``jwst`` is imported.

    Parameters
    ----------
    folder : Path
        A cache, as `build_cache` returns it.

    Returns
    -------
    dict of str to str
        CRDS_SERVER_URL is a name that CRDS understands as "no server": it opens no connection.
    """
    return {
        "CRDS_PATH": str(folder),
        "CRDS_CONTEXT": CONTEXT,
        "CRDS_OBSERVATORY": "jwst",
        "CRDS_READONLY_CACHE": "1",
        "CRDS_SERVER_URL": "https://jwst-serverless.stsci.edu",
    }


def default_folder() -> Path:
    """Where `ensure_cache` keeps the cache of this version of the instrument."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "nirfire" / f"crds-{instrument_key()}"


def instrument_key() -> str:
    """Twelve hexadecimal digits that change with the instrument's code and data, and with the stock packages.

    Comments, docstrings and layout of the code do not matter.
    """
    digest = hashlib.sha256(str(VERSION).encode())
    for package in _PACKAGES:
        digest.update(f"{package} {version(package)}\n".encode())
    here = Path(__file__).parent
    for name in _INSTRUMENT:
        digest.update(_code_of(here / f"{name}.py").encode())
    digest.update((here / "data" / "optics.json").read_bytes())
    return digest.hexdigest()[:12]


def _code_of(path: Path) -> str:
    """Syntax tree of a module without its docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                x for x in body if not (isinstance(x, ast.Expr) and isinstance(x.value, ast.Constant))
            ]
    return ast.dump(tree)
