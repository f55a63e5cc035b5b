"""Which CRDS references a run uses; set before the stock pipeline is imported."""

from __future__ import annotations

import os
from collections.abc import Callable

from nirfire.errors import DataError
from nirfire.simulate.crds_cache import CONTEXT, cache_environment, ensure_cache
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
        folder = ensure_cache(progress)
        check_cache(folder, CONTEXT)
        return cache_environment(folder)
    if "CRDS_PATH" not in os.environ:
        raise DataError(
            "real exposures need the JWST reference files",
            key="CRDS_PATH",
            remedy="export CRDS_PATH=$HOME/crds_cache CRDS_SERVER_URL=https://jwst-crds.stsci.edu",
        )
    return {k: v for k, v in os.environ.items() if k.startswith("CRDS_")}


def thread_environment() -> dict[str, str]:
    """One numerical thread and one memory arena per worker, unless the user says otherwise."""
    return {name: os.environ.get(name, "1") for name in (*THREAD_CAPS, "MALLOC_ARENA_MAX")}
