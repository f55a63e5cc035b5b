"""One row per spectrum for the list of sources: from the catalogue at once, or from the products of one source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products.fitsbytes import Unit, read_units
from nirfire.products.fitsfile import open_fits
from nirfire.products.line_table import DETECTED
from nirfire.products.line_table import EXTENSION as LINES
from nirfire.products.naming import SPEC, Workspace, zfit_of
from nirfire.products.zfit import UNKNOWN

ROW = np.dtype(
    [("source", "i8"), ("spectrum", "i4"), ("zwarn", "i4"), ("n_lines", "i4"), ("joint_warn", "i4")]
    + [(name, "f8") for name in ("ra", "dec", "z", "z_err", "zprob", "snr", "joint_z", "joint_err", "joint_prob")]
)
"""One spectrum: its source, the number of its key, its own fit, and the fit of all gratings of its source."""
NO_WARNING_TOLD = -1  # joint_warn of a catalogue of an earlier version
JOINT_WARNING = "redshift_joint_warning"
PRISM = "prism"
CATALOGUE = "CATALOGUE"
COLUMNS = {
    "source": "source_id",
    "ra": "ra",
    "dec": "dec",
    "z": "redshift_auto",
    "z_err": "redshift_error",
    "zprob": "redshift_probability",
    "zwarn": "redshift_warning",
    "snr": "signal_to_noise",
    "n_lines": "n_lines",
    "joint_z": "redshift_joint",
    "joint_err": "redshift_joint_error",
    "joint_prob": "redshift_joint_probability",
}
REMEDY = "`nirfire run` writes it anew; until then remove this file"


def spectrum_key(grating: str, filter_: str) -> str:
    """How a spectrum of a source is called: ``prism_clear``."""
    return f"{grating}_{filter_}".lower()


def is_prism(key: str) -> bool:
    """True for the key of a spectrum of PRISM."""
    return key.startswith(PRISM)


def catalogue_rows(path: Path) -> tuple[np.ndarray, list[str]]:
    """All rows of a ``_summary.fits``.

    Returns
    -------
    rows : ndarray of ROW, shape (n_row,)
        `spectrum` counts `keys`.
    keys : list of str
        Keys of spectra, in alphabetical order.

    Raises
    ------
    DataError
        The file cannot be read or lacks a column.
    """
    with open_fits(path) as hdus:
        if CATALOGUE not in hdus:
            raise DataError("no CATALOGUE table", file=path, key=CATALOGUE, remedy=REMEDY)
        table = np.asarray(hdus[CATALOGUE].data)
    names = set(table.dtype.names or ())
    missing = sorted({"grating", "filter", *COLUMNS.values()} - names)
    if missing:
        raise DataError(f"column {missing[0]} is missing", file=path, key=missing[0], remedy=REMEDY)
    rows = np.zeros(len(table), dtype=ROW)
    for name, column in COLUMNS.items():
        rows[name] = table[column]
    rows["joint_warn"] = table[JOINT_WARNING] if JOINT_WARNING in names else NO_WARNING_TOLD
    (gratings, grating), (filters, filter_) = (np.unique(table[c], return_inverse=True) for c in ("grating", "filter"))
    both, number = np.unique(grating * len(filters) + filter_, return_inverse=True)
    keys = [spectrum_key(_text(gratings[k // len(filters)]), _text(filters[k % len(filters)])) for k in both]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    rows["spectrum"] = np.argsort(order)[number] if keys else 0
    return rows, [keys[k] for k in order]


def product_rows(place: Workspace, source: int) -> tuple[np.ndarray, list[str]]:
    """Rows of the spectra of one source, from the products themselves.

    Returns
    -------
    rows : ndarray of ROW, shape (n_row,)
        Empty where there is no spectrum; one that cannot be read has a row without numbers.
    keys : list of str
        Key of each row.
    """
    specs = place.find_combined(source, SPEC)
    keys = [key_of(place, source, spec) for spec in specs]
    rows = np.zeros(len(specs), dtype=ROW)
    rows["source"], rows["spectrum"] = source, range(len(specs))
    for name in ("ra", "dec", "z", "z_err", "zprob", "snr", "joint_z", "joint_err", "joint_prob"):
        rows[name] = np.nan
    for row, spec in zip(rows, specs, strict=True):
        _read_into(row, spec, _read_spectrum)
        _read_into(row, zfit_of(spec), _read_fit)
        _read_into(row, place.joint_zfit(source), _read_joint)
    return rows, keys


def key_of(place: Workspace, source: int, spec: Path) -> str:
    """Key of the spectrum in this file."""
    return spec.name.removeprefix(f"{place.observation}_").removesuffix(f"_{source}{SPEC}")


def _read_into(row: np.void, path: Path, reader: Callable[[np.void, list[Unit]], None]) -> None:
    """Fill what a file says; a file that is absent or damaged says nothing: the page of the source tells why."""
    if not path.is_file():
        return
    try:
        with read_units(path) as units:
            reader(row, units)
    except DataError:
        return


def _read_spectrum(row: np.void, units: list[Unit]) -> None:
    row["ra"], row["dec"] = (_number(units[0].value(key)) for key in ("RA", "DEC"))
    table = _table(units, "SPEC1D")
    if table is not None:
        flux, err = (np.asarray(table[name], dtype=float) for name in ("flux", "err"))
        known = np.isfinite(flux) & (err > 0)
        row["snr"] = np.median(flux[known] / err[known]) if known.any() else np.nan


def _read_fit(row: np.void, units: list[Unit]) -> None:
    cards = units[0]
    row["z"] = _number(cards.value("ZBEST"))
    row["z_err"], row["zprob"] = (_number(cards.value(key), least=UNKNOWN) for key in ("ZERR", "ZPROB"))
    row["zwarn"] = int(str(cards.value("ZWARN") or 0))
    lines = _table(units, LINES)
    row["n_lines"] = 0 if lines is None else np.count_nonzero(np.asarray(lines["snr"]) > DETECTED)


def _read_joint(row: np.void, units: list[Unit]) -> None:
    cards = units[0]
    row["joint_z"], row["joint_err"], row["joint_prob"] = (_number(cards.value(k)) for k in ("ZBEST", "ZERR", "ZPROB"))
    row["joint_warn"] = int(str(cards.value("ZWARN") or 0))


def _table(units: list[Unit], name: str) -> fits.FITS_rec | None:
    found = next((unit for unit in units if unit.name == name), None)
    return None if found is None else fits.BinTableHDU.fromstring(found.tobytes()).data


def _number(value: object, least: float = -np.inf) -> float:
    """A card as a number; NaN where it is absent or holds the number that stands for unknown."""
    return float(value) if isinstance(value, int | float) and value > least else np.nan


def _text(value: bytes | str) -> str:
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip()
