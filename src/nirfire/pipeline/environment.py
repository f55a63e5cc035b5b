"""Which CRDS references a run uses; set before the stock pipeline is imported."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from nirfire.errors import DataError
from nirfire.simulate.crds_cache import CONTEXT, cache_environment, default_folder, ensure_cache
from nirfire.stsci.crds_check import check_cache

THREAD_CAPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def references_environment(*, simulated: bool, needed: bool, progress: Callable[[str], None]) -> dict[str, str]:
    """Environment variables that point the stock pipeline to its references.

    Parameters
    ----------
    simulated : bool
        The exposures come from the embedded instrument, so its own references belong to them.
    needed : bool
        A stage that reads references will run. Later stages read none, and any CRDS context serves.
    progress : callable
        Called with a line of text when the embedded cache is built.

    Returns
    -------
    dict

    Raises
    ------
    DataError
        Real exposures need references and CRDS_PATH is not set, or the embedded cache lacks a file.
    """
    if simulated or not needed:
        folder = default_folder()
        if not folder.is_dir():
            progress("building the reference files of the embedded instrument, once: some 15 s")
            _in_own_process(ensure_cache)
        ensure_cache()
        check_cache(folder, CONTEXT)
        return cache_environment(folder)
    if "CRDS_PATH" not in os.environ:
        raise DataError(
            "real exposures need the JWST reference files",
            key="CRDS_PATH",
            remedy="export CRDS_PATH=$HOME/crds_cache CRDS_SERVER_URL=https://jwst-crds.stsci.edu",
        )
    return {k: v for k, v in os.environ.items() if k.startswith("CRDS_")}


def _in_own_process(make: Callable[[], object]) -> None:
    """Call a function in a process of its own, so that the memory it took is given back."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        executor.submit(make).result()


def thread_environment() -> dict[str, str]:
    """One numerical thread and one memory arena per worker, unless the user says otherwise."""
    return {name: os.environ.get(name, "1") for name in (*THREAD_CAPS, "MALLOC_ARENA_MAX")}
