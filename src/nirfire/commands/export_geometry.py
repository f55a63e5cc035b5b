"""Where the shutters and pointings of a workspace are, worked out in a process that has the references' environment."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

from astropy.table import Table

from nirfire.commands.output import say
from nirfire.errors import DataError, NoWork
from nirfire.pipeline.environment import CACHE_REMEDY, context_name, reference_environment, thread_environment
from nirfire.pipeline.executors import belong_to
from nirfire.pipeline.target import Observation, read_origin
from nirfire.products.catalogue_columns import POINTINGS, SHUTTERS
from nirfire.products.catalogue_exposures import Pointed, read_exposures
from nirfire.products.catalogue_shutters import Verdicts, pointing_table, shutter_table
from nirfire.products.naming import Workspace
from nirfire.products.shutters import ShutterTable
from nirfire.tasks.stuck import read_stuck


def geometry(observation: Observation, wanted: Sequence[str]) -> dict[str, Table]:
    """Make the tables of shutters and pointings, as far as they are wanted.

    Raises
    ------
    NoWork
        There is no exposure with count rates.
    DataError
        A file cannot be used, or the references cannot be had.
    """
    if not {SHUTTERS, POINTINGS} & set(wanted):
        return {}
    place = observation.workspace
    exposures = read_exposures(place)
    if not exposures:
        raise NoWork("no exposure with count rates: its cutouts do not say which shutters are open")
    embedded = all(one.simulated for one in exposures)
    if not embedded and "CRDS_PATH" not in os.environ:
        message = "where shutters are in the sky follows from the JWST reference files, and CRDS_PATH is not set"
        raise DataError(message, key="CRDS_PATH", remedy=CACHE_REMEDY)
    environment = reference_environment(_context(observation, embedded), embedded=embedded, say=say)
    verdicts = _verdicts(place, exposures) if SHUTTERS in wanted else {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, _begin, (environment | thread_environment(), os.getpid())) as pool:
        return pool.submit(_tables, place.observation, exposures, verdicts, tuple(wanted)).result()


def _context(observation: Observation, embedded: bool) -> str:
    """Name of the references with which the products were made; where that is not known, of those that a run takes."""
    last = read_origin(observation.workspace).get("crds", "")
    if last and not embedded:
        return last
    pinned = observation.resolved.configuration.execution.crds_context
    return context_name(embedded=embedded, pinned=pinned, last=last, online=True)


def _verdicts(place: Workspace, exposures: Sequence[Pointed]) -> dict[str, Verdicts]:
    """What is found and said of the shutters of each visit and activity."""
    said, found = read_stuck(place.stuck_list), {}
    for root in sorted({one.name.root for one in exposures}):
        path = place.shutters(root)
        found[root] = Verdicts(ShutterTable.read(path) if path.is_file() else None, said.get(root, {}))
    return found


def _begin(environment: Mapping[str, str], parent: int) -> None:
    os.environ.update(environment)
    logging.disable(logging.WARNING)
    belong_to(parent)


def _tables(
    observation: str, exposures: Sequence[Pointed], verdicts: Mapping[str, Verdicts], wanted: Sequence[str]
) -> dict[str, Table]:
    from nirfire.stsci.shutter_sky import FocalPlane

    planes: dict[tuple[str, str, float], FocalPlane] = {}
    places = {}
    for one in exposures:
        key = one.name.visit, one.filter, one.wave
        planes[key] = planes.get(key) or FocalPlane.of_exposure(one.path, one.wave)
        places[one.name.both] = planes[key].places
    found = {}
    if SHUTTERS in wanted:
        found[SHUTTERS] = shutter_table(observation, exposures, places, verdicts)
    if POINTINGS in wanted:
        found[POINTINGS] = pointing_table(observation, exposures, places)
    return found
