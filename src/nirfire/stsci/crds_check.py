"""Is the CRDS cache whole? Asked before the stock pipeline runs, because its own answers mislead.

A reference that is missing from a cache without a server shows as a network error ("Configured for server-less
mode"), and a missing configuration ends the process with SystemExit. Here each is a `DataError` that names the file.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nirfire.errors import DataError

REBUILD = "delete the folder of the cache and let nirfire build it anew, or copy the file into it"
_NAME = re.compile(r"['\"]([a-z0-9_-]+\.(?:imap|rmap|fits|asdf|json))['\"]")


def check_cache(folder: Path, context: str | None = None) -> list[Path]:
    """Check that every file which the mappings of a cache name is there.

    Parameters
    ----------
    folder : Path
        The cache (CRDS_PATH).
    context : str, optional
        Name of the ``.pmap``; default CRDS_CONTEXT, then the operational context of the cache's configuration.

    Returns
    -------
    list of Path
        All mappings and references.

    Raises
    ------
    DataError
        For the first file that is missing, empty or unreadable.
    """
    folder = Path(folder)
    config = folder / "config" / "jwst" / "server_config"
    operational = _operational_context(config)
    context = context or os.environ.get("CRDS_CONTEXT") or operational
    mappings = folder / "mappings" / "jwst"
    found: list[Path] = []
    waiting = [mappings / context]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        _require(path)
        found.append(path)
        if path.suffix in (".pmap", ".imap", ".rmap"):
            waiting += [_place(folder, name) for name in _names_in(path) if name != path.name]
    return found


def check_exposure(parameters: Mapping[str, str], types: Iterable[str]) -> dict[str, Path]:
    """Find the references of one exposure in the cache of the environment, and check that they are there.

    Parameters
    ----------
    parameters : mapping of str to str
        CRDS's selection parameters (``META.INSTRUMENT.NAME``, ...).
    types : iterable of str
        Reference types; those that are not applicable are left out of the result.

    Returns
    -------
    dict of str to Path

    Raises
    ------
    DataError
        No cache, no match, or a missing file.
    """
    root = os.environ.get("CRDS_PATH")
    if not root:
        raise DataError(
            "no CRDS cache", key="CRDS_PATH", remedy="set CRDS_PATH to a cache, or use the embedded instrument's"
        )
    _operational_context(Path(root) / "config" / "jwst" / "server_config")
    import crds
    from crds.core.exceptions import CrdsError

    try:
        names = crds.getrecommendations(dict(parameters), reftypes=list(types), observatory="jwst", fast=True)
    except (CrdsError, OSError) as error:
        raise DataError(f"CRDS cannot select references: {error}", file=root, remedy=REBUILD) from error
    result = {}
    for reftype, name in names.items():
        if name.upper().startswith("NOT FOUND N/A"):
            continue
        if name.startswith("NOT FOUND"):
            wanted = ", ".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in parameters.items())
            raise DataError(
                f"no reference of type {reftype} for this exposure ({name.removeprefix('NOT FOUND').strip()})",
                file=root,
                key=wanted,
                remedy="use a mode that the cache covers, or a newer CRDS context",
            )
        result[reftype] = Path(crds.locate_file(name, "jwst"))
        _require(result[reftype])
    return result


@contextmanager
def crds_said_plainly(given: Path) -> Iterator[None]:
    """Turn what CRDS raises into a `DataError` about the exposure `given`."""
    from crds.core.exceptions import CrdsError

    try:
        yield
    except CrdsError as error:
        raise DataError(
            f"CRDS has no reference for this exposure, or its file is missing: {error}",
            file=given,
            key="CRDS_PATH",
            remedy="complete the CRDS cache, or give the stock pipeline a CRDS server (CRDS_SERVER_URL)",
        ) from error


def _operational_context(config: Path) -> str:
    """Context named by the configuration, which must be readable or CRDS ends the process."""
    if not config.is_file():
        raise DataError("the CRDS cache has no configuration", file=config, key="CRDS_PATH", remedy=REBUILD)
    try:
        return str(ast.literal_eval(config.read_text())["operational_context"])
    except (SyntaxError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the CRDS configuration is damaged: {error!r}", file=config, remedy=REBUILD) from error


def _names_in(path: Path) -> list[str]:
    """Files that a mapping selects: those named after its header."""
    body = path.read_text().partition("selector")[2]
    return sorted(set(_NAME.findall(body)))


def _place(folder: Path, name: str) -> Path:
    """Where a cache keeps a file."""
    if name.endswith(("map",)):
        return folder / "mappings" / "jwst" / name
    return folder / "references" / "jwst" / name.split("_")[1] / name


def _require(path: Path) -> None:
    if not path.is_file():
        raise DataError("a file is missing from the CRDS cache", file=path, key=path.name, remedy=REBUILD)
    if path.stat().st_size == 0:
        raise DataError("a file of the CRDS cache is empty", file=path, key=path.name, remedy=REBUILD)
