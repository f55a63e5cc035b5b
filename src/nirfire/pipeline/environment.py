"""Which CRDS references a run uses; set before the stock pipeline is imported."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from nirfire.errors import DataError
from nirfire.pipeline.executors import belong_to
from nirfire.simulate.cache_place import CONTEXT, cache_environment, default_folder
from nirfire.stsci.crds_check import check_cache, offline_context
from nirfire.stsci.prefetch import resolve_context

THREAD_CAPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
CACHE_REMEDY = "export CRDS_PATH=$HOME/crds_cache CRDS_SERVER_URL=https://jwst-crds.stsci.edu"


def context_name(*, embedded: bool, pinned: str | None, last: str, online: bool) -> str:
    """Name of the references that products are made with.

    Parameters
    ----------
    embedded : bool
        The references of the embedded instrument are used; their name changes with their content.
    pinned : str or None
        The context that the configuration sets.
    last : str
        That of the last run in this workspace.
    online : bool
        Ask the CRDS server, since references will be read; else be content with what is known here.

    Raises
    ------
    DataError
        Online: CRDS_PATH is not set, or no context can be found.
    """
    if embedded:
        return default_folder().name
    if not online:
        return pinned or offline_context() or last
    if "CRDS_PATH" not in os.environ:
        raise DataError("real exposures need the JWST reference files", key="CRDS_PATH", remedy=CACHE_REMEDY)
    return pinned or resolve_context()


def reference_environment(context: str, *, embedded: bool, say: Callable[[str], None]) -> dict[str, str]:
    """Environment variables that point the stock pipeline to its references, with the context held for the whole run.

    Parameters
    ----------
    context : str
        As `context_name` gave it.
    embedded : bool
        The references of the embedded instrument are used.
    say : callable
        Called with a line of text when they must be made first.
    """
    if embedded or "CRDS_PATH" not in os.environ:  # what comes later needs no reference of the flight instrument
        return embedded_environment(say)
    mine = {k: v for k, v in os.environ.items() if k.startswith("CRDS_")}
    return mine | {"CRDS_CONTEXT": context}


def embedded_environment(progress: Callable[[str], None]) -> dict[str, str]:
    """Environment variables for the references of the embedded instrument, which are made when they are absent.

    Raises
    ------
    DataError
        The cache lacks a file.
    """
    folder = default_folder()
    if not folder.is_dir():
        progress("building the reference files of the embedded instrument, once: some 15 s")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn, belong_to, (os.getpid(),)) as executor:  # gives its memory back
            executor.submit(_build).result()
    os.utime(folder)  # caches that nobody uses are removed
    check_cache(folder, CONTEXT)
    return cache_environment(folder)


def _build() -> None:
    from nirfire.simulate.crds_cache import ensure_cache

    ensure_cache()


def thread_environment() -> dict[str, str]:
    """One numerical thread and one memory arena per worker, unless the user says otherwise; the same hash seed in all.

    Sets of strings, which some products list, come in the order of their hashes.
    """
    caps = {name: os.environ.get(name, "1") for name in (*THREAD_CAPS, "MALLOC_ARENA_MAX")}
    return caps | {"PYTHONHASHSEED": "0"}
