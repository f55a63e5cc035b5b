"""The columns, units and headers of the spectra in a file, as they are written there."""

from __future__ import annotations

import gzip
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.io.registry import IORegistryError
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

from nirfire.errors import DataError
from nirfire.products.fitsfile import REMEDY_DAMAGED, open_fits
from nirfire.products.provenance import tells_references
from nirfire.products.spectrum import REMEDY, SCHEMA
from nirfire.products.spectrum_roles import find_roles, find_wave_flux
from nirfire.products.spectrum_units import Units

FITS_START, GZIP_START = b"SIMPLE  =", b"\x1f\x8b"
SPEC1D, COVAR, SCHEMA_CARD = "SPEC1D", "COVAR", "NFSCHEMA"
SCALAR = re.compile(r"1?[A-OR-Z]")  # format of a FITS column with one number in each row
FITS_NAMES = (".fits", ".fit", ".fits.gz", ".fit.gz")
JADES = {"EXTRACT5PIX1D", "EXTRACT3PIX1D"}
JADES_UNITS = Units("um", "erg s-1 cm-2 Angstrom-1")
"""Units of the JADES x1d files by the notes of the data release (DR3, DR4), where their columns name none."""
COPIED = ("SOURCEID", "SRCNAME", "TELESCOP", "INSTRUME", "PROGRAM", "RA", "DEC", "CAL_VER")
"""Cards that go on to what is made from a spectrum."""
SOURCES = ("SOURCEID", "SRCNAME", "SRCID", "SOURCE_ID", "SOURCE", "TARGET", "OBJECT", "SLTNAME")
"""Cards that may say which source it is, the best first."""
KEYS = {*COPIED, *SOURCES, "GRATING", "DISPERSR", "FILTER", "BUNIT"}
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    IORegistryError,
    VerifyError,
)
TABLE_REMEDY = "give a table with columns of wavelength, flux and err (or ivar), with their units"


class Raw(NamedTuple):
    """A spectrum as it is written.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (n_wave,)
        By name.
    units : dict of str to str
        By name of the column, as they are written; empty where there is none.
    header : Mapping of str to object
        Cards `KEYS` and those of references: of the table's header, else of the file's.
    where : str
        Place in the file, for errors.
    published : Units
        Units that the notes of a data release tell.
    correlation : ndarray, shape (n_band, n_wave), or None
        As in `nirfire.products.spectrum.Spectrum`, of our own files.
    """

    columns: Mapping[str, np.ndarray]
    units: Mapping[str, str]
    header: Mapping[str, Any]
    where: str = ""
    published: Units = Units()
    correlation: np.ndarray | None = None

    def key(self, column: str) -> str:
        """Name of a column for errors."""
        return f"{self.where}.{column}" if self.where else column


def raw_spectra(path: Path) -> list[Raw]:
    """Find the spectra of a file.

    Raises
    ------
    DataError
        The file is absent, empty or damaged, or holds nothing like a spectrum.
    """
    if path.is_dir():
        raise DataError("a folder, not a spectrum", file=path, remedy="name the files in it")
    try:
        with path.open("rb") as stream:
            start = stream.read(len(FITS_START))
    except FileNotFoundError:
        raise DataError("file not found", file=path, remedy="check the folder and the name") from None
    if not start:
        raise DataError("the file is empty", file=path, remedy=REMEDY_DAMAGED)
    if start == FITS_START or path.name.lower().endswith(FITS_NAMES):
        return _from_fits(path, packed=start.startswith(GZIP_START)) or _from_specutils(path)
    table = _text_table(path)
    return _from_specutils(path) if table is None else [_from_table(table)]


def _from_fits(path: Path, *, packed: bool) -> list[Raw]:
    """Spectra of the tables, or of the 1D images; none where there is nothing that looks like one."""
    try:
        if packed:
            gzip.decompress(path.read_bytes())  # which fails if it is cut
        with _damage_is_an_error(), open_fits(path) as hdus:
            _check_schema(hdus[0].header, path)
            return list(_tables(hdus)) or list(_images(hdus))
    except AstropyUserWarning as error:
        raise DataError(f"truncated ({error})", file=path, remedy=REMEDY_DAMAGED) from error
    except (*UNREADABLE, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read as FITS ({error})", file=path, remedy=REMEDY_DAMAGED) from error


@contextmanager
def _damage_is_an_error() -> Iterator[None]:
    with warnings.catch_warnings():
        for text in (".*truncated.*", "Error validating header"):
            warnings.filterwarnings("error", message=text, category=AstropyUserWarning)
        yield


def _check_schema(header: fits.Header, path: Path) -> None:
    """Refuse a ``_spec.fits`` of another format than that of this version."""
    found = str(header.get(SCHEMA_CARD, SCHEMA))
    if found.split(".")[0] != SCHEMA.split(".")[0]:
        raise DataError(f"format {found} of _spec.fits, expected {SCHEMA}", file=path, key=SCHEMA_CARD, remedy=REMEDY)


def _tables(hdus: fits.HDUList) -> Iterator[Raw]:
    """Spectra of the first table that has wavelengths and fluxes, and of all others of its name, as slits are."""
    name = None
    for hdu in hdus:
        if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU) or name not in (None, hdu.name):
            continue
        units = {c.name: c.unit or "" for c in hdu.columns}
        wave, flux = find_wave_flux(units)
        if wave is None or flux is None:
            continue
        name = hdu.name
        header = _cards(hdu.header, hdus[0].header)
        units[flux.column] = units[flux.column] or str(header.get("BUNIT", ""))
        jades = name in JADES or (name == "EXTRACT1D" and "FLUX_ERR" in units)
        where = f"{name or 'table'}" + (f",{hdu.ver}" if hdu.ver > 1 else "")
        one = SCALAR.fullmatch(hdu.columns[wave.column].format) is not None
        wanted = _wanted(units) if one else list(units)
        correlation = (
            np.array(hdus[COVAR].data, dtype=float) if SCHEMA_CARD in hdus[0].header and COVAR in hdus else None
        )
        for columns, row in _spectra_of({c: np.asarray(hdu.data.field(c)) for c in wanted}, wave.column):
            yield Raw(columns, units, row | header, where, JADES_UNITS if jades else Units(), correlation)
        if name == SPEC1D:
            return  # it is alone


def _wanted(units: Mapping[str, str]) -> list[str]:
    """The columns of a spectrum, where they can be told apart."""
    roles = find_roles(units)
    if roles is None:
        return list(units)
    return [c for c in (roles.wave.column, roles.flux.column, roles.error.column, roles.mask) if c]


def _spectra_of(whole: Mapping[str, np.ndarray], wave: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """The columns of a table that is a spectrum; or of each row, if a row is one, with what else the row says."""
    if whole[wave].ndim == 1 and whole[wave].dtype != object:
        yield dict(whole), {}
        return
    for k in range(len(whole[wave])):
        cells = {name: np.asarray(values[k]) for name, values in whole.items()}
        columns = {name: cell for name, cell in cells.items() if cell.ndim == 1}
        yield columns, {name.upper(): cell.item() for name, cell in cells.items() if cell.ndim == 0}


def _images(hdus: fits.HDUList) -> Iterator[Raw]:
    """The spectrum of which wavelength, flux and error are 1D images named so."""
    images = {h.name: h for h in hdus if h.is_image and h.name and len(h.shape) == 1}
    if find_roles(images) is not None:
        units = {name: str(hdu.header.get("BUNIT", "")) for name, hdu in images.items()}
        columns = {name: np.asarray(hdu.data) for name, hdu in images.items()}
        yield Raw(columns, units, _cards(hdus[0].header))


def _cards(*headers: fits.Header) -> dict[str, Any]:
    """The cards that count, those of the first header before those of the next; damaged ones are as if not there."""
    cards: dict[str, Any] = {}
    for header in headers:
        for key in header:
            if key not in cards and (key in KEYS or tells_references(key)):
                with suppress(VerifyError):
                    cards[key] = header[key]
    return {key: value for key, value in cards.items() if not isinstance(value, fits.card.Undefined)}


def _text_table(path: Path) -> Table | None:
    """A table in ECSV, CSV or plain text; None where the file is no text."""
    raw = path.read_bytes()
    if b"\0" in raw:
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if text.startswith("# %ECSV"):
        how = {"format": "ascii.ecsv"}
    else:
        how = {"format": "ascii.csv", "comment": "#"} if path.suffix.lower() == ".csv" else {"format": "ascii"}
    try:
        return Table.read(text.splitlines(), **how)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"not a table in ECSV, CSV or plain text: {first}", file=path, remedy=TABLE_REMEDY) from error


def _from_table(table: Table) -> Raw:
    columns = {name: np.ma.asarray(table[name]) for name in table.colnames}
    units = {name: str(table[name].unit or "") for name in table.colnames}
    return Raw(columns, units, _flat(table.meta))


def _flat(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What the head of a table says, and what a header in it says."""
    inner = meta.get("header", {})
    cards = dict(inner) if isinstance(inner, Mapping | fits.Header) else {}
    return {str(key).upper(): value for key, value in (cards | dict(meta)).items() if np.isscalar(value)}


def _from_specutils(path: Path) -> list[Raw]:
    """What specutils finds in a file.

    Raises
    ------
    DataError
        specutils is not installed, or cannot read the file either.
    """
    try:
        from specutils import SpectrumList
    except ModuleNotFoundError as error:
        remedy = f"{TABLE_REMEDY}; or install specutils, which reads more formats: pip install nirfire[specutils]"
        raise DataError("no spectrum in any form that is known", file=path, remedy=remedy) from error
    try:
        return [raw for one in SpectrumList.read(str(path)) for raw in _of_specutils(one)]
    except UNREADABLE as error:
        first = str(error).strip().partition("\n")[0]
        text = f"no spectrum in any form that is known (specutils: {first})"
        raise DataError(text, file=path, remedy=TABLE_REMEDY) from error


def _of_specutils(spectrum: Any) -> Sequence[Raw]:
    from astropy.nddata import StdDevUncertainty

    fluxes = np.atleast_2d(spectrum.flux.value)
    said, marks = spectrum.uncertainty, spectrum.mask
    errors = None if said is None else np.atleast_2d(said.represent_as(StdDevUncertainty).array)
    masks = None if marks is None else np.broadcast_to(np.atleast_2d(marks), fluxes.shape)
    unit = str(spectrum.flux.unit)
    raws = []
    for k, flux in enumerate(fluxes):
        columns = {"wave": np.asarray(spectrum.spectral_axis.value), "flux": flux}
        columns |= {} if errors is None else {"err": errors[k]}
        columns |= {} if masks is None else {"mask": np.asarray(masks[k], dtype=bool)}
        units = {"wave": str(spectrum.spectral_axis.unit), "flux": unit, "err": unit}
        raws.append(Raw(columns, units, _flat(spectrum.meta), "specutils"))
    return raws
