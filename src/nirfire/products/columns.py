"""What a table tells other tools of its columns: unit, UCD (IVOA UCD1+) and a line of text; and common cards.

FITS has no word for the last two; TUCDn and TCOMMn are the ones that TOPCAT reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from astropy.io import fits
from astropy.table import Table

Cards = dict[str, tuple[Any, str]]


class Column(NamedTuple):
    """What is said of a column."""

    unit: str
    ucd: str
    text: str


def table_hdu(table: Table, name: str, columns: Mapping[str, Column]) -> fits.BinTableHDU:
    """Make a binary table that describes its columns.

    Parameters
    ----------
    table : Table
        The data.
    name : str
        EXTNAME.
    columns : mapping of str to Column
        What is said of each column; columns without an entry are written as they are.

    Returns
    -------
    BinTableHDU
    """
    said = {column: columns[column] for column in table.colnames if column in columns}
    shown = Table(table, copy=False)
    for column, (unit, _, _) in said.items():
        shown[column].unit = unit or None
    hdu = fits.BinTableHDU(shown, name=name)
    for k, column in enumerate(table.colnames, 1):
        if column in said:
            _, hdu.header[f"TUCD{k}"], hdu.header[f"TCOMM{k}"] = said[column]
    return hdu


def describe(table: Table, columns: Mapping[str, Column]) -> None:
    """Set unit, description and ``meta["ucd"]`` of a table's columns, for ECSV and VOTable."""
    for name, (unit, ucd, text) in columns.items():
        if name in table.colnames:
            table[name].unit = unit or None
            table[name].description = text
            table[name].meta["ucd"] = ucd


def primary_hdu(cards: Cards) -> fits.PrimaryHDU:
    """A primary HDU with `cards` and, where they lack them, the cards that other tools look for."""
    primary = fits.PrimaryHDU()
    standard: Cards = {
        "TELESCOP": ("JWST", "telescope"),
        "INSTRUME": ("NIRSPEC", "instrument"),
    }
    if "SRCNAME" in cards:
        standard["OBJECT"] = (cards["SRCNAME"][0], "name of the source")
    if "RA" in cards:
        standard["RADESYS"] = ("ICRS", "frame of RA and DEC")
    for key, card in (standard | cards).items():
        primary.header[key] = card
    return primary
