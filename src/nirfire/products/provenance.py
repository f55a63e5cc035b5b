"""How a product was made, stored in the product itself.

A file that is finished while a `Provenance` is current gets four cards in its primary header (NFVERS, NFTASK,
NFFPRINT, NFLOG), a table PROVENANCE and checksums on every HDU. It is done on the bytes of the file: the data of all
other HDUs, the stock pipeline's ASDF tree among them, stay as they were written.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from nirfire import __version__
from nirfire.errors import DataError
from nirfire.products.fitsbytes import Unit, card, read_units, write_units

if TYPE_CHECKING:
    from astropy.table import Table

EXTENSION = "PROVENANCE"
VERSION, TASK, FINGERPRINT, LOG = "NFVERS", "NFTASK", "NFFPRINT", "NFLOG"
OWN_CARDS = (TASK, FINGERPRINT, LOG)
PACKAGES = ("nirfire", "jwst", "numpy", "scipy", "astropy", "numba")
CONTEXT_CARDS = ("CRDS_CTX", "CRDS_VER")
REFERENCE_CARD = "R_"
KINDS = {"settings": "setting", "arguments": "argument", "inputs": "input"}
COLUMNS = {
    "kind": ("meta.code.class", "version, setting, argument, input, fact, reference, crds or log"),
    "name": ("meta.id", "package, setting, input file, reference type"),
    "value": ("meta", "its version, value, fingerprint or file"),
}
LONGEST_IN_CARD = 68  # characters of a string that one card holds

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Provenance:
    """How the product that is being made is made.

    Attributes
    ----------
    facts : str
        JSON of all that the result depends on: ``task, settings, arguments, inputs, jwst, crds``.
    fingerprint : str
        Hash of the facts, 16 hexadecimal digits.
    log : str
        The job's log, relative to the workspace.
    """

    facts: str
    fingerprint: str
    log: str

    @property
    def task(self) -> str:
        """Task and its version, for example ``clean 1``."""
        return str(json.loads(self.facts).get("task", ""))

    def rows(self) -> list[Row]:
        """Kind, name and value of everything known before the product is: versions, facts and the log.

        Settings, arguments and facts are JSON, so that they can be read back; inputs are bare fingerprints.
        """
        rows = [("version", name, value) for name, value in versions().items()]
        for name, value in json.loads(self.facts).items():
            kind = KINDS.get(name)
            if kind is None:
                rows.append(("fact", name, json.dumps(value)))
            else:
                rows += [(kind, key, one if kind == "input" else json.dumps(one)) for key, one in value.items()]
        return [*rows, ("log", "log", self.log)]


_current: ContextVar[Provenance | None] = ContextVar("provenance", default=None)


@contextmanager
def recording(provenance: Provenance | None) -> Iterator[None]:
    """Stamp every FITS product that is finished inside the block; None stamps nothing."""
    token = _current.set(provenance)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Provenance | None:
    """The provenance that products get now."""
    return _current.get()


@cache
def versions() -> dict[str, str]:
    """Versions of nirfire and of what the numbers depend on; packages that are not installed are left out."""
    found = {"nirfire": __version__}
    for name in PACKAGES[1:]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {"python": platform.python_version()}


def stamp(path: Path) -> None:
    """Write the current provenance into a finished FITS file; without a current provenance do nothing.

    Parameters
    ----------
    path : Path
        The file. An inherited PROVENANCE table and inherited cards are replaced.

    Raises
    ------
    DataError
        The file is no FITS file.

    Notes
    -----
    References are the R_* cards of the primary header. Where there are none, those of an inherited PROVENANCE table
    are kept: so a writer may bring references along that do not fit into cards.
    """
    provenance = _current.get()
    if provenance is None:
        return
    with read_units(path) as units:
        primary = units[0]
        header = fits.Header.fromstring("".join(primary.cards))
        rows = provenance.rows() + _context(header) + (_references(header) or _inherited(units))
        for name, value, comment in _own_cards(provenance):
            primary.set(card(name, value, comment))
        kept = [unit for unit in units if unit.name != EXTENSION]
        write_units(path, [*kept, _table(rows)])


def read_fingerprint(path: Path) -> str | None:
    """The fingerprint in a product's primary header; None where the file is absent or has none.

    Only the first blocks of the file are read.
    """
    key = f"{FINGERPRINT:8}= '".encode()
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return None
    with stream:
        while len(block := stream.read(2880)) == 2880:
            for start in range(0, 2880, 80):
                if block.startswith(key, start):
                    return block[start + len(key) : start + 80].split(b"'")[0].decode().strip() or None
                if block.startswith(b"END     ", start):
                    return None
    return None


def read_provenance(path: Path) -> Table | None:
    """The PROVENANCE table of a product (columns ``kind, name, value``); None where the file has none.

    Raises
    ------
    DataError
        The file is absent or no FITS file.
    """
    from astropy.table import Table  # here, since a fingerprint is read by commands that must start fast

    with read_units(path) as units:
        rows = [row for unit in units if unit.name == EXTENSION for row in _rows_of(unit)]
    return Table(rows=rows, names=list(COLUMNS)) if rows else None


def read_facts(path: Path) -> dict[str, Any] | None:
    """The facts that a product's fingerprint was made from, as they were given; None where the file has none."""
    table = read_provenance(path)
    if table is None or not (table["kind"] == "fact").any():
        return None
    facts: dict[str, Any] = {name: {} for name in KINDS}
    sections = {kind: name for name, kind in KINDS.items()}
    for kind, name, value in table.iterrows():
        if kind == "fact":
            facts[str(name)] = json.loads(value)
        elif kind in sections:
            facts[sections[kind]][str(name)] = str(value) if kind == "input" else json.loads(value)
    return facts


def is_reference(key: str, value: object) -> bool:
    """True for a card that names a reference file."""
    return key.startswith(REFERENCE_CARD) and value not in ("N/A", "")


def tells_references(key: str) -> bool:
    """True for the cards of the CRDS context and of the references."""
    return key in CONTEXT_CARDS or key.startswith(REFERENCE_CARD)


def reference_cards(header: fits.Header) -> dict[str, tuple[Any, str]]:
    """CRDS context and references that a header names, as cards for the header of what is made from it."""
    told = {key: (header[key], header.comments[key]) for key in header if tells_references(key)}
    return {
        key: (value, comment[: max(0, LONGEST_IN_CARD - len(str(value)) - 3)]) for key, (value, comment) in told.items()
    }


def table_of_references(rows: list[tuple[str, str]]) -> fits.BinTableHDU:
    """A PROVENANCE table of reference types and files alone, for products whose references do not fit into cards."""
    unit = _table([("reference", name, value) for name, value in rows])
    return fits.BinTableHDU.fromstring(unit.tobytes())


def without_provenance(hdus: fits.HDUList) -> None:
    """Take the stamp of the file that `hdus` was read from off it."""
    for name in OWN_CARDS:
        hdus[0].header.remove(name, ignore_missing=True)
    for k in reversed([k for k, hdu in enumerate(hdus) if hdu.name == EXTENSION]):
        del hdus[k]


def _own_cards(provenance: Provenance) -> tuple[tuple[str, str, str], ...]:
    log = provenance.log if len(provenance.log) <= LONGEST_IN_CARD else Path(provenance.log).name[:LONGEST_IN_CARD]
    return (
        (VERSION, __version__, "version of nirfire"),
        (TASK, provenance.task, "task that wrote this, and its version"),
        (FINGERPRINT, provenance.fingerprint, "of how this was made"),
        (LOG, log, "log of the job"),
    )


def _context(header: fits.Header) -> list[Row]:
    return [("crds", key, str(header[key])) for key in CONTEXT_CARDS if key in header]


def _references(header: fits.Header) -> list[Row]:
    """Reference type and file of every R_* card that names a file."""
    return [("reference", key, str(header[key])) for key in header if is_reference(key, header[key])]


def _inherited(units: list[Unit]) -> list[Row]:
    return [row for unit in units if unit.name == EXTENSION for row in _rows_of(unit) if row[0] == "reference"]


def _rows_of(unit: Unit) -> list[Row]:
    data = fits.BinTableHDU.fromstring(unit.tobytes()).data
    if set(COLUMNS) - set(data.names):
        raise DataError("the PROVENANCE table lacks a column", key=EXTENSION)
    return [tuple(str(row[name]) for name in COLUMNS) for row in data]  # type: ignore[misc]


def _table(rows: list[Row]) -> Unit:
    """The PROVENANCE table as header and bytes."""
    plain = [tuple(text.encode("ascii", "backslashreplace") for text in row) for row in rows]
    widths = [max([1, *(len(row[k]) for row in plain)]) for k in range(len(COLUMNS))]
    data = np.array(plain, dtype=[(name, f"S{w}") for name, w in zip(COLUMNS, widths, strict=True)])
    cards = [
        card("XTENSION", "BINTABLE", "binary table extension"),
        card("BITPIX", 8),
        card("NAXIS", 2),
        card("NAXIS1", data.itemsize, "bytes in a row"),
        card("NAXIS2", len(data), "rows"),
        card("PCOUNT", 0),
        card("GCOUNT", 1),
        card("TFIELDS", len(COLUMNS), "columns"),
    ]
    for k, ((name, (ucd, text)), width) in enumerate(zip(COLUMNS.items(), widths, strict=True), 1):
        cards += [card(f"TTYPE{k}", name), card(f"TFORM{k}", f"{width}A")]
        cards += [card(f"TUCD{k}", ucd), card(f"TCOMM{k}", text)]
    cards.append(card("EXTNAME", EXTENSION, "how this product was made"))
    return Unit(cards, np.frombuffer(data.tobytes(), dtype=np.uint8))
