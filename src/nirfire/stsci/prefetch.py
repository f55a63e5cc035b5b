"""Fetch, once, every CRDS reference that a run will read, before its workers start.

Left to themselves, N workers on a fresh cache download the same hundreds of megabytes N times, and a reference that is
missing shows after minutes. Here one process selects the references of all exposures and downloads each file once.

CRDS reads its environment when it is imported, so this belongs in a process of its own: `prefetch_apart`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nirfire.errors import DataError, NirfireError
from nirfire.stsci.crds_check import cache_folder, offline_context
from nirfire.stsci.crds_server import WAITS, Cache, Progress, connect, crds_session, patiently, server_context
from nirfire.stsci.pipelines import Steps
from nirfire.stsci.reference_needs import needed_types, selection_parameters


@dataclass(frozen=True)
class PrefetchReport:
    """What `prefetch` found and fetched; picklable.

    Attributes
    ----------
    context : str
        The CRDS context, to be pinned for all workers through CRDS_CONTEXT; empty where no stage reads references.
    references : dict of Path to (dict of str to Path)
        For each exposure, reference type to file in the cache. Types that are not applicable are left out.
    downloaded : dict of str to int
        Files downloaded now, mappings included, and their sizes [bytes].
    problems : list of DataError
        One for each exposure and reference type that cannot be had; `file` is the exposure, `key` the type (or the
        keyword at fault). A `TransientError` may be gone at the next attempt.
    """

    context: str = ""
    references: dict[Path, dict[str, Path]] = field(default_factory=dict)
    downloaded: dict[str, int] = field(default_factory=dict)
    problems: list[DataError] = field(default_factory=list)

    def problems_of(self, exposure: Path) -> list[DataError]:
        """Problems that concern one exposure."""
        return [problem for problem in self.problems if problem.file == exposure]


def resolve_context(waits: Sequence[float] = WAITS) -> str:
    """The CRDS context that a run will use.

    CRDS_CONTEXT if it names one; else what the server gives for the installed jwst; else `offline_context`.

    Parameters
    ----------
    waits : sequence of float
        Seconds to wait before each further attempt to reach the server.

    Raises
    ------
    DataError
        Neither the environment, a server nor the cache names a context.
    """
    named = os.environ.get("CRDS_CONTEXT", "")
    if named.endswith(".pmap"):
        return named
    with crds_session():
        return _context(connect(waits, _silent), waits)


def _context(online: bool, waits: Sequence[float]) -> str:
    named = os.environ.get("CRDS_CONTEXT", "")
    if online and not named.endswith(".pmap"):
        return patiently(server_context, waits, _silent, "the CRDS context")
    found = offline_context()
    if found is None:
        raise DataError(
            "no CRDS context",
            file=cache_folder(),
            key="CRDS_CONTEXT",
            remedy="set CRDS_CONTEXT to a context of the cache (jwst_NNNN.pmap), or CRDS_SERVER_URL to a server",
        )
    return found


def _silent(message: str) -> None:
    """Progress that nobody wants to hear."""


def prefetch(
    exposures: Sequence[Path],
    stages: Iterable[str],
    progress: Progress,
    *,
    steps: Mapping[str, Steps] | None = None,
    waits: Sequence[float] = WAITS,
) -> PrefetchReport:
    """Select the references of all exposures for some stages, and download those that the cache lacks.

    Parameters
    ----------
    exposures : sequence of Path
        ``_uncal``, ``_rateraw`` or ``_rate`` files.
    stages : iterable of str
        Stages that will run.
    progress : callable
        Called with a line of text.
    steps : mapping, optional
        For each stage, step parameters passed through to the stock pipeline.
    waits : sequence of float
        Seconds to wait before each further attempt after network trouble.

    Returns
    -------
    PrefetchReport

    Raises
    ------
    DataError
        There is no cache, no context, or its mappings cannot be had (`TransientError` if the network is to blame).
    """
    required, optional = needed_types(stages, steps)
    if not required:
        return PrefetchReport()
    with crds_session():
        online = connect(waits, progress)
        report = PrefetchReport(_context(online, waits))
        cache = Cache(report.context, online, waits, progress, report.downloaded)
        cache.obtain_mappings()
        chosen = _select_all(exposures, required, optional, report)
        names = dict.fromkeys(name for types in chosen.values() for name in types.values())
        got: dict[str, Path | DataError] = {}
        for number, name in enumerate(names, start=1):
            try:
                got[name] = cache.obtain(name, f"reference {number}/{len(names)}: {name}")
            except DataError as error:
                got[name] = error
    for exposure, types in chosen.items():
        paths = report.references[exposure] = {}
        for reftype, name in types.items():
            what = got[name]
            if isinstance(what, Path):
                paths[reftype] = what
            else:
                report.problems.append(type(what)(what.message, file=exposure, key=reftype, remedy=what.remedy))
    return report


def prefetch_apart(
    exposures: Sequence[Path],
    stages: Iterable[str],
    progress: Progress,
    *,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> PrefetchReport:
    """`prefetch` in a process of its own, with `environment` added to ours.

    Raises
    ------
    NirfireError
        As `prefetch`.
    RuntimeError
        The process died.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    arguments = (there, dict(environment or {}), list(exposures), set(stages), options)
    process = spawn.Process(target=_child, args=arguments, name="nirfire prefetch")
    process.start()
    there.close()
    message: str | PrefetchReport | NirfireError = ""
    try:
        while isinstance(message := here.recv(), str):
            progress(message)
    except EOFError:
        raise RuntimeError("the process that fetches the CRDS references died") from None
    finally:
        if isinstance(message, str):  # cut short
            process.terminate()
            process.join(5)
            process.kill()
        process.join()
    if isinstance(message, NirfireError):
        raise message
    return message


def _child(there: Connection, environment: dict[str, str], exposures: list, stages: set, options: dict) -> None:
    """Body of that process. The parent ends it; then it leaves no half a file behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.update(environment)
    try:
        there.send(prefetch(exposures, stages, there.send, **options))
    except NirfireError as error:
        there.send(error)


def _select_all(
    exposures: Sequence[Path], required: set[str], optional: set[str], report: PrefetchReport
) -> dict[Path, dict[str, str]]:
    """Names of the references of every exposure; what cannot be selected becomes a problem of the report."""
    chosen: dict[Path, dict[str, str]] = {}
    known: dict[tuple, dict[str, str]] = {}
    for exposure in exposures:
        try:
            parameters = selection_parameters(exposure)
            key = tuple(parameters.items())
            if key not in known:
                known[key] = _select(parameters, [*sorted(required), *sorted(optional)], report.context)
        except DataError as error:
            report.problems.append(type(error)(error.message, file=exposure, key=error.key, remedy=error.remedy))
            continue
        chosen[exposure] = {t: name for t, name in known[key].items() if not name.startswith("NOT FOUND")}
        for reftype, name in known[key].items():
            if reftype in required and reftype not in chosen[exposure]:
                why = name.removeprefix("NOT FOUND").strip()
                report.problems.append(
                    DataError(
                        f"{report.context} has no {reftype} reference for this exposure ({why})",
                        file=exposure,
                        key=reftype,
                        remedy="set CRDS_CONTEXT to a context that covers this mode, or leave the exposure out",
                    )
                )
    return chosen


def _select(parameters: Mapping[str, str | bool], types: list[str], context: str) -> dict[str, str]:
    """Reference type to file name for one set of parameters; those that are not applicable are left out."""
    import crds
    from crds.core.exceptions import CrdsError

    try:
        names = crds.getrecommendations(dict(parameters), reftypes=types, context=context, observatory="jwst")
    except (CrdsError, OSError) as error:
        raise DataError(f"CRDS cannot select references: {error}", key="CRDS_CONTEXT") from error
    return {reftype: str(name) for reftype, name in names.items() if "N/A" not in str(name).upper()}
