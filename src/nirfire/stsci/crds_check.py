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

from nirfire.errors import DataError, TransientError

REBUILD = "delete the folder of the cache and let nirfire build it anew, or copy the file into it"
COMPLETE = "complete the CRDS cache, or give the stock pipeline a CRDS server (CRDS_SERVER_URL)"
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
    operational = operational_context(config)
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
            waiting += [_place(folder, name) for name in names_in(path) if name != path.name]
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
    root = cache_folder()
    operational_context(root / "config" / "jwst" / "server_config")
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
    """Turn what CRDS raises into a `DataError` about the exposure `given`.

    Raises
    ------
    TransientError
        The server did not answer, or a download failed: it may work later.
    DataError
        CRDS has no reference for this exposure, or there is no server to ask for a file that is missing.

    Notes
    -----
    `crds` only logs a failed download; what the stock pipeline then raises is that the file is not in the cache.
    """
    from crds.core.exceptions import CrdsDownloadError, CrdsError, CrdsNetworkError, ServiceError

    try:
        yield
    except (CrdsNetworkError, CrdsDownloadError, ServiceError) as error:
        raise _unreached(given, error) from error
    except CrdsError as error:
        raise DataError(
            f"CRDS has no reference for this exposure, or its file is missing: {error}",
            file=given,
            key="CRDS_PATH",
            remedy=COMPLETE,
        ) from error
    except FileNotFoundError as error:
        if not _in_cache(error.filename):
            raise
        raise _unreached(given, error) from error


def _unreached(given: Path, error: Exception) -> DataError:
    """A reference that could not be had: for now if there is a server, for good otherwise."""
    if server_configured():
        server = os.environ["CRDS_SERVER_URL"]
        return TransientError(
            f"CRDS could not fetch a reference from {server}: {error}",
            file=given,
            key="CRDS_SERVER_URL",
            remedy="run again when the server can be reached; what is there already is kept",
        )
    return DataError(
        f"a reference is missing from the CRDS cache, and no server is set: {error}",
        file=given,
        key="CRDS_PATH",
        remedy=COMPLETE,
    )


def _in_cache(name: object) -> bool:
    """Is this the path of a file that belongs in the cache?"""
    root = os.environ.get("CRDS_PATH")
    return bool(root) and isinstance(name, str) and Path(name).is_relative_to(Path(str(root)))


def server_configured() -> bool:
    """Does the environment name a CRDS server? "serverless" in its name is CRDS's word for none."""
    url = os.environ.get("CRDS_SERVER_URL", "")
    return bool(url) and "serverless" not in url and "server-less" not in url


def cache_folder() -> Path:
    """The CRDS cache of the environment.

    Raises
    ------
    DataError
        CRDS_PATH is not set.
    """
    root = os.environ.get("CRDS_PATH")
    if not root:
        raise DataError(
            "no CRDS cache", key="CRDS_PATH", remedy="set CRDS_PATH to a cache, or use the embedded instrument's"
        )
    return Path(root)


def offline_context() -> str | None:
    """The CRDS context that a run without network would use; None where nothing says.

    CRDS_CONTEXT, else the context of the cache's configuration if its mapping is there, else the only one that is.
    """
    named, root = os.environ.get("CRDS_CONTEXT", ""), os.environ.get("CRDS_PATH")
    if named.endswith(".pmap"):
        return named
    if not root or named not in ("", "latest", "jwst-latest", "jwst-operational"):
        return None
    here = [path.name for path in (Path(root) / "mappings" / "jwst").glob("*.pmap")]
    try:
        default = operational_context(Path(root) / "config" / "jwst" / "server_config")
    except DataError:
        return None
    return default if default in here else here[0] if len(here) == 1 else None


def operational_context(config: Path) -> str:
    """Context that CRDS takes without a server: the one its configuration names.

    Raises
    ------
    DataError
        The configuration is absent or damaged. CRDS itself would end the process.
    """
    if not config.is_file():
        raise DataError("the CRDS cache has no configuration", file=config, key="CRDS_PATH", remedy=REBUILD)
    try:
        info = ast.literal_eval(config.read_text())
        return str(info["latest_context"] if "latest_context" in info else info["operational_context"])
    except (SyntaxError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the CRDS configuration is damaged: {error!r}", file=config, remedy=REBUILD) from error


def names_in(path: Path) -> list[str]:
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
