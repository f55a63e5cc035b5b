"""Catalogue: the tables that leave a workspace, in the formats that other tools read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from astropy.table import Table, vstack

from nirfire import __version__
from nirfire.products.catalogue_columns import TABLES
from nirfire.products.catalogue_formats import FORMATS
from nirfire.products.naming import exported

VERSION_CARD = "NFVERS"


def join_tables(parts: Sequence[Mapping[str, Table]]) -> dict[str, Table]:
    """The tables of several observations, one after the other; each row says of which observation it is."""
    found: dict[str, Table] = {}
    for name in TABLES:
        tables = [part[name] for part in parts if name in part]
        filled = [table for table in tables if len(table)] or tables[:1]
        if filled:
            found[name] = vstack(filled, join_type="exact", metadata_conflicts="silent") if filled[1:] else filled[0]
    return found


def write_catalogue(
    tables: Mapping[str, Table], folder: Path, stem: str, formats: Sequence[str] = tuple(FORMATS)
) -> list[Path]:
    """Write tables, each in each format.

    Parameters
    ----------
    tables : mapping of str to Table
        By name, from `catalogue_columns.TABLES`.
    folder : Path
        Made where absent.
    stem : str
        With which the file names begin.
    formats : sequence of str
        Some of `catalogue_formats.FORMATS`.

    Returns
    -------
    list of Path
        ``<stem>_<table>.<ending>``, each complete or not there.
    """
    written = []
    for name, table in tables.items():
        shown = Table(table, copy=False)
        shown.meta = {VERSION_CARD: __version__}
        for form in formats:
            ending, write = FORMATS[form]
            written.append(exported(folder, stem, name, ending))
            write(shown, written[-1], name)
    return written
