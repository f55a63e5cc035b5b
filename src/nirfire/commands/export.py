"""`export`: the results of workspaces as tables for other tools."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from astropy.table import Table

from nirfire.commands.aim import BAD_JOBS
from nirfire.commands.export_geometry import geometry
from nirfire.commands.export_summary import measurements
from nirfire.commands.output import say
from nirfire.errors import DataError, NoWork
from nirfire.inspect.index import Redshift, best_redshift, fingerprints, spectrum_key
from nirfire.inspect.quality import FLAG_SAID
from nirfire.inspect.store import Store
from nirfire.inspect.votes import is_stale
from nirfire.pipeline.target import Layers, Observation, observations
from nirfire.products.catalogue import join_tables, write_catalogue
from nirfire.products.catalogue_columns import LINES, SOURCES, SPECTRA, TABLES
from nirfire.products.catalogue_formats import FORMATS
from nirfire.products.catalogue_sources import (
    CARDS,
    Inspection,
    Results,
    line_table,
    source_table,
    spectrum_table,
)
from nirfire.products.naming import EXPORT, Workspace
from nirfire.products.primary_cards import read_cards
from nirfire.products.provenance import FINGERPRINT
from nirfire.tasks.summary import COLUMNS

JOINT = "joint"  # origin of a redshift from all gratings


@dataclass(frozen=True)
class ExportOptions:
    """What is exported.

    Attributes
    ----------
    folder : Path or None
        Where it goes; by default the folder ``catalogue`` of the workspace, or of the working directory.
    formats : sequence of str
        Of `catalogue_formats.FORMATS`.
    tables : sequence of str
        Of `catalogue_columns.TABLES`.
    """

    folder: Path | None = None
    formats: Sequence[str] = tuple(FORMATS)
    tables: Sequence[str] = tuple(TABLES)


def listed(text: str, known: Sequence[str], key: str) -> tuple[str, ...]:
    """Words parted by commas, in the order of `known`.

    Raises
    ------
    DataError
        One is not known, or there is none.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        what = ", ".join(unknown) or "nothing"
        raise DataError(f"{what} cannot be exported", key=key, remedy=f"choose from {','.join(known)}")
    return tuple(word for word in known if word in words)


def export(targets: Sequence[Path], options: ExportOptions) -> int:
    """Write the tables of one or several observations.

    Parameters
    ----------
    targets : sequence of Path
        Workspaces, or an ``observations.toml``.
    options : ExportOptions

    Returns
    -------
    int
        3 where a source is left out since its products cannot be read, or shutters and pointings are asked for and
        cannot be had though there are exposures; else 0.

    Raises
    ------
    DataError
        There is nothing to export, or two observations have one name.
    """
    found = _observations(targets)
    parts, complete = [], True
    for observation in found:
        part, left_out = measured(observation.workspace, options.tables)
        complete = complete and not left_out
        try:
            part |= geometry(observation, options.tables)
        except DataError as error:
            complete = complete and isinstance(error, NoWork)
            say(f"{observation.workspace.observation}: shutters and pointings are LEFT OUT: {error}")
        parts.append(part)
    single = found[0].workspace if len(found) == 1 else None
    folder = options.folder or (single.catalogue if single else Path(EXPORT))
    tables = join_tables(parts)
    write_catalogue(tables, folder, single.observation if single else EXPORT, options.formats)
    for name, table in tables.items():
        say(f"{len(table):>8} {name:<10} {TABLES[name]}")
    say(f"written to {folder} as {', '.join(options.formats)}")
    return 0 if complete else BAD_JOBS


def _observations(targets: Sequence[Path]) -> list[Observation]:
    found = [one for target in targets for one in observations(target, layers=Layers())]
    seen: dict[str, Path] = {}
    for one in found:
        name, folder = one.workspace.observation, one.workspace.folder
        if not folder.is_dir():
            raise DataError("not run yet", file=folder, remedy="give a workspace")
        if name in seen:
            both = f"{seen[name]} and {folder} are both of the observation {name}"
            raise DataError(both, key="observation", remedy="export them one by one")
        seen[name] = folder
    return found


def measured(place: Workspace, wanted: Sequence[str], say: Callable[[str], None] = say) -> tuple[dict[str, Table], int]:
    """Make the tables of sources, spectra and lines, as far as they are wanted.

    Parameters
    ----------
    place : Workspace
    wanted : sequence of str
        Of `catalogue_columns.TABLES`.
    say : callable
        Told what is read anew, and what cannot be.

    Returns
    -------
    tables : dict of str to Table
    left_out : int
        Sources with a product that cannot be read.

    Raises
    ------
    DataError
        There is no spectrum that can be read.
    """
    makers = {SOURCES: source_table, SPECTRA: spectrum_table, LINES: line_table}
    chosen = [name for name in makers if name in wanted]
    if not chosen:
        return {}, 0
    pairs, table, lines, left_out = measurements(place, say)
    spectra = [_cards(spec, zfit, row) for (spec, zfit), row in zip(pairs, table, strict=True)]
    automatic = _automatic(table, [cards["key"] for cards in spectra])
    results = Results(
        place.observation,
        table,
        COLUMNS,
        lines,
        spectra,
        automatic,
        _people(place),
        {int(flag): said for flag, said in FLAG_SAID.items()},
    )
    return {name: makers[name](results) for name in chosen}, left_out


def _cards(spec: Path, zfit: Path | None, row: Table.Row) -> dict[str, str]:
    """What is known of a spectrum besides the summary."""
    cards = read_cards(spec, CARDS.values())
    found = {name: cards.get(card, "") for name, card in CARDS.items()}
    fit = read_cards(zfit, (FINGERPRINT,)).get(FINGERPRINT, "") if zfit else ""
    return found | {"fit_fingerprint": fit, "key": spectrum_key(str(row["grating"]), str(row["filter"]))}


def _automatic(table: Table, keys: Sequence[str]) -> dict[int, Redshift]:
    """The automatic redshift of each source, by the rule that the inspection page follows too."""
    fits: dict[int, dict[str, Redshift]] = {}
    joint: dict[int, Redshift] = {}
    names = ("source_id", "redshift_auto", "redshift_error", "redshift_probability", "redshift_warning")
    more = ("redshift_joint", "redshift_joint_error", "redshift_joint_probability", "redshift_joint_warning")
    rows = zip(*(table[name].tolist() for name in (*names, *more)), strict=True)
    for (source, z, z_err, probability, warning, *of_all), key in zip(rows, keys, strict=True):
        joint_z, joint_error, joint_probability, joint_warning = of_all
        fits.setdefault(source, {})[key] = Redshift(z, z_err, probability, warning, key)
        if not math.isnan(joint_z):
            joint[source] = Redshift(joint_z, joint_error, joint_probability, joint_warning, JOINT)
    found = {source: best_redshift(mine, joint.get(source)) for source, mine in fits.items()}
    return {source: best for source, best in found.items() if best is not None}


def _people(place: Workspace) -> dict[int, Inspection]:
    """What people say of each source."""
    with Store.open(place.inspection, read_only=True) as store:
        agreed = store.consensus()
    return {
        source: Inspection(
            quality=c.quality,
            z=c.z,
            conflict=c.conflict,
            stale=is_stale(c.seen, fingerprints(place, source)),
            n_voters=c.n_voters,
            n_agree=c.n_agree,
            users=c.users,
            flags=c.flags,
            comment=c.comment,
            tags=c.tags,
            time=c.time,
        )
        for source, c in agreed.items()
    }
