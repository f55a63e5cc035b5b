"""The measurements of a workspace as they are now: from its summary where that is of these products, else from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from nirfire.commands.output import say
from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.products.joint_redshift import JointFit
from nirfire.products.line_table import EXTENSION as LINES
from nirfire.products.naming import SPEC, Workspace, zfit_of
from nirfire.products.provenance import read_facts, read_fingerprint
from nirfire.tasks.summary import CATALOGUE, COLUMNS, Measured, measure, tables_of

Pairs = list[tuple[Path, Path | None]]
MODE = ("source_id", "grating", "filter")


def measurements(place: Workspace, say: Callable[[str], None] = say) -> tuple[Pairs, Table, Table, int]:
    """Every spectrum with its redshift fit, and what was measured of them.

    Parameters
    ----------
    place : Workspace
    say : callable
        Told what is read anew, and what cannot be.

    Returns
    -------
    pairs : list of (Path, Path or None)
        ``_spec.fits`` and ``_zfit.fits``, by source.
    table : Table
        One row for each, columns of `nirfire.tasks.summary.COLUMNS`.
    lines : Table
        Emission lines, in the same order.
    left_out : int
        Sources with a product that cannot be read: what is wrong is said, and the others go on.

    Raises
    ------
    DataError
        There is no spectrum that can be read.

    Notes
    -----
    A summary says of which products it is, by fingerprints. Sources that it does not know as they are now are measured
    anew; all are where it does not say, or was written by a version that had fewer columns.
    """
    by_source = {source: _pairs(place, source) for source in place.find_sources()}
    joints = {source: place.joint_zfit(source) for source in by_source}
    written = place.summary("fits")
    known: Mapping[str, str | None] = (read_facts(written) or {}).get("inputs", {}) if written.is_file() else {}
    changed = [s for s, mine in by_source.items() if mine and not _is_known(mine, joints[s], known)]
    parts = [_read(written)] if len(changed) < sum(map(bool, by_source.values())) else []
    why = "changed after the summary was written" if written.is_file() else "have no summary"
    if parts and not set(COLUMNS) <= set(parts[0][0].colnames):
        parts, changed = [], [s for s, mine in by_source.items() if mine]
        why = "have a summary of an earlier version"
    anew, bad = _measured(place, {source: by_source[source] for source in changed}, say)
    pairs = [pair for source, mine in by_source.items() if source not in bad for pair in mine]
    if not pairs:
        raise DataError("no spectrum here", file=place.sources, remedy=f"nirfire run {place.folder}")
    if anew:
        say(f"{place.observation}: {len(changed) - len(bad)} sources {why}; they are read anew")
        parts.append(tables_of(anew))
    return pairs, *_merged(pairs, parts, changed), len(bad)


def _measured(
    place: Workspace, changed: Mapping[int, Pairs], say: Callable[[str], None]
) -> tuple[list[Measured], set[int]]:
    """Measure sources as the summary does; and those of which a product cannot be read, after saying what is wrong."""
    found, bad = [], set()
    for source, pairs in changed.items():
        joint = place.joint_zfit(source)
        try:
            joints = {source: JointFit.read(joint)} if joint.is_file() else {}
            found += [measure(spec, zfit, joints) for spec, zfit in pairs]
        except DataError as error:
            say(f"{place.observation}: source {source} is LEFT OUT: {error}")
            bad.add(source)
    return found, bad


def _pairs(place: Workspace, source: int) -> Pairs:
    specs = place.find_combined(source, SPEC)
    return [(spec, zfit if (zfit := zfit_of(spec)).is_file() else None) for spec in specs]


def _is_known(pairs: Pairs, joint: Path, known: Mapping[str, str | None]) -> bool:
    """True where a summary is of just these files, as they are now."""
    named = [*(path for spec, _ in pairs for path in (spec, zfit_of(spec))), joint]
    now = {path.name: read_fingerprint(path) for path in named if path.is_file()}
    gone = [path.name for path in named if path.name not in now and path.name in known]
    return not gone and all(mark is not None and known.get(name) == mark for name, mark in now.items())


def _read(path: Path) -> tuple[Table, Table]:
    with open_fits(path) as hdus:
        tables = Table(hdus[CATALOGUE].data), Table(hdus[LINES].data)
    for table in tables:
        table.convert_bytestring_to_unicode()
    return tables


def _merged(pairs: Pairs, parts: list[tuple[Table, Table]], changed: list[int]) -> tuple[Table, Table]:
    """Rows in the order of the spectra; of sources that were read anew only the new ones."""
    if len(parts) > 1:
        table, lines = parts[0]
        parts[0] = (table[~np.isin(table["source_id"], changed)], lines[~np.isin(lines["source_id"], changed)])
    table, lines = (
        vstack(list(both), join_type="exact", metadata_conflicts="silent") for both in zip(*parts, strict=True)
    )
    at = {str(file): k for k, file in enumerate(table["file"])}
    table = table[[at[spec.name] for spec, _ in pairs]]
    modes = zip(*(table[name].tolist() for name in MODE), strict=True)
    order = {mode: k for k, mode in enumerate(modes)}
    place = np.array([order.get(mode, -1) for mode in zip(*(lines[n].tolist() for n in MODE), strict=True)], dtype=int)
    kept = np.flatnonzero(place >= 0)
    return table, lines[kept[np.argsort(place[kept], kind="stable")]]
