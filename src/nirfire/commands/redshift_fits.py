"""Fits of many spectra: those on one grid together, in this process or in several."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nirfire.core.zscan import RedshiftResult, fit_redshifts
from nirfire.pipeline.environment import thread_environment
from nirfire.pipeline.executors import belong_to
from nirfire.products.any_spectrum import Spectrum1D
from nirfire.products.provenance import Provenance, recording
from nirfire.products.redshift_table import RedshiftRow
from nirfire.products.template_store import load_templates
from nirfire.tasks.redshift import fit_of, options_of
from nirfire.tasks.settings import RedshiftSettings

BATCH = 64
DIED = "the process that fitted it died, most likely for want of memory: use fewer with -j"


@dataclass(frozen=True)
class Item:
    """A spectrum to be fitted.

    Attributes
    ----------
    place : tuple of 2 int
        Number of its file, and its number in it.
    file : str
        Its file, as the user named it.
    zfit : Path
        Where its fit goes.
    spectrum : Spectrum1D
    """

    place: tuple[int, int]
    file: str
    zfit: Path
    spectrum: Spectrum1D


Rows = dict[tuple[int, int], RedshiftRow]
Fitter = Callable[[Sequence[Sequence[Item]]], Iterator[Rows]]


def batches(items: Sequence[Item], size: int = BATCH) -> list[list[Item]]:
    """Group spectra of one disperser and one grid, at most `size` in each group."""
    grids: dict[tuple[str, bytes], list[Item]] = {}
    for item in items:
        grids.setdefault((item.spectrum.grating, item.spectrum.wave.tobytes()), []).append(item)
    return [group[k : k + size] for group in grids.values() for k in range(0, len(group), size)]


@contextmanager
def fitter(processes: int, settings: RedshiftSettings) -> Iterator[Fitter]:
    """What fits groups of spectra and gives the rows of each as it is done, in any order.

    Parameters
    ----------
    processes : int
        1 fits in this process.
    settings : RedshiftSettings
    """
    if processes == 1:
        yield lambda groups: (fit_group(group, settings) for group in groups)
        return
    spawn, others = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, spawn, _begin, (thread_environment(), os.getpid()))
    done = False
    try:
        yield lambda groups: _in_pool(pool, groups, settings)
        done = True
    finally:
        for worker in () if done else multiprocessing.active_children():  # an interrupt does not wait for what is begun
            if worker not in others:
                worker.kill()
        pool.shutdown(cancel_futures=True)


def _in_pool(pool: ProcessPoolExecutor, groups: Sequence[Sequence[Item]], settings: RedshiftSettings) -> Iterator[Rows]:
    try:
        futures = {pool.submit(fit_group, group, settings): group for group in groups}
    except BrokenProcessPool:
        yield from ({item.place: _failed(item, DIED) for item in group} for group in groups)
        return
    for future in as_completed(futures):
        try:
            yield future.result()
        except BrokenProcessPool:
            yield {item.place: _failed(item, DIED) for item in futures[future]}


def _begin(environment: dict[str, str], parent: int) -> None:
    os.environ.update(environment)
    belong_to(parent)


def fit_group(items: Sequence[Item], settings: RedshiftSettings) -> Rows:
    """Fit spectra of one grid, and write their fits.

    Parameters
    ----------
    items : sequence of Item
        Of one disperser and one grid.
    settings : RedshiftSettings

    Returns
    -------
    dict of tuple to RedshiftRow
        By place; a spectrum that cannot be fitted has the reason in its row.
    """
    start = time.perf_counter()
    results = _results([item.spectrum for item in items], settings)
    each = (time.perf_counter() - start) * 1e3 / len(items)
    rows = {}
    for item, result in zip(items, results, strict=True):
        if isinstance(result, ValueError):
            rows[item.place] = _failed(item, str(result))
            continue
        try:
            with recording(_provenance(item, settings)):
                fit_of(result, item.spectrum, settings).write(item.zfit)
        except OSError as error:  # a full disk, or a folder that is not ours
            rows[item.place] = _failed(item, f"{item.zfit} cannot be written: {error.strerror or error}")
            continue
        rows[item.place] = _row(item, result, each)
    return rows


def _provenance(item: Item, settings: RedshiftSettings) -> Provenance:
    """How a fit is made: settings, and the content of its file."""
    path = Path(item.file)
    name, content = path.name, _content(path, path.stat().st_mtime_ns)
    told = {"source": item.spectrum.source, "grating": item.spectrum.grating}
    facts = {"task": "redshift", "settings": settings.model_dump(), "arguments": told, "inputs": {name: content}}
    text = json.dumps(facts)
    return Provenance(text, hashlib.sha256(text.encode()).hexdigest()[:16], "")


@functools.lru_cache(maxsize=1)
def _content(path: Path, _changed: int) -> str:
    """Hash of a file, computed once for all spectra in it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _results(spectra: Sequence[Spectrum1D], settings: RedshiftSettings) -> list[RedshiftResult | ValueError]:
    """The one place that calls the engine."""
    try:
        return fit_redshifts(
            spectra[0].wave,
            np.array([one.flux for one in spectra]),
            np.array([one.ivar for one in spectra]),
            grating=spectra[0].grating,
            templates=load_templates(settings.templates),
            options=options_of(settings),
            correlations=[one.correlation for one in spectra],
        )
    except ValueError as error:  # of their common grid
        return [error for _ in spectra]


def _row(item: Item, result: RedshiftResult, time_ms: float) -> RedshiftRow:
    return RedshiftRow(
        file=item.file,
        grating=item.spectrum.grating,
        z=result.z_best,
        z_err=result.z_err,
        zconf=result.confidence,
        zprob=result.probability,
        zwarn=result.warning,
        z2=result.z2,
        dchi2_12=result.dchi2,
        snr=result.snr,
        template_class=result.template_class,
        time_ms=time_ms,
        source=item.spectrum.source,
        product=str(item.zfit),
    )


def _failed(item: Item, reason: str) -> RedshiftRow:
    told = " ".join(reason.split())
    return RedshiftRow(item.file, item.spectrum.grating, source=item.spectrum.source, reason=told)
