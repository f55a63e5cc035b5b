"""Photometry that people supply: a table of bands per source, and the factor that brings a spectrum to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table

from nirfire.core.rescale import Band, fit_scale, top_hat
from nirfire.errors import DataError
from nirfire.products.columns import Cards
from nirfire.products.spectrum import Spectrum

NEEDED = ("source", "band", "flux", "err")
FLUX_UNIT, WAVE_UNIT = u.uJy, u.um
LONGEST = 100.0  # um; curves without unit that go beyond are in another unit
NUMBER = re.compile(r"\s*[-+]?\.?\d")
REMEDY = (
    "give ECSV, or CSV with a line of names: source, band, flux, err [uJy], and wave, width [um] of a top hat "
    "or curve, the name of a file of two columns (wave [um], transmission per photon)"
)


class NoBandError(DataError):
    """No band lies within the valid pixels of a spectrum."""


def read_photometry(path: Path, only: int | None = None) -> dict[int, list[Band]]:
    """Read a table of photometry.

    Parameters
    ----------
    path : Path
        ECSV, or CSV with a line of names; columns ``source, band, flux, err`` [uJy], and ``wave, width`` [um] of a
        top hat or ``curve``, a file beside the table with wavelength and transmission per photon. Units of
        columns count where they are given. Rows without a flux are left out.
    only : int, optional
        Look at the rows of this source alone.

    Returns
    -------
    dict of int to list of Band
        By source, in the order of the table.

    Raises
    ------
    DataError
        The table or a curve cannot be read, lacks a column, has a unit of another kind, or a row that cannot be: no
        positive error, a band twice, neither top hat nor curve.
    """
    table = _read_table(path)
    missing = [name for name in NEEDED if name not in table.colnames]
    if missing:
        raise DataError(f"columns missing: {', '.join(missing)}", file=path, key=missing[0], remedy=REMEDY)
    if "curve" not in table.colnames and not {"wave", "width"} <= set(table.colnames):
        raise DataError("neither columns wave and width, nor curve", file=path, key="wave", remedy=REMEDY)
    factors = {name: _factor(table, name, FLUX_UNIT, path) for name in ("flux", "err")}
    factors |= {name: _factor(table, name, WAVE_UNIT, path) for name in ("wave", "width") if name in table.colnames}
    found: dict[int, list[Band]] = {}
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def curve_of(name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in curves:
            curves[name] = read_curve(path.parent / name)
        return curves[name]

    for number, row in enumerate(table, start=1):
        if only is not None and str(row["source"]) != str(only):
            continue
        band = _band(row, number, path, factors, curve_of)
        if band is None:
            continue
        mine = found.setdefault(int(row["source"]), [])
        if any(band.name == other.name for other in mine):
            raise _problem(path, number, f"band {band.name} of source {row['source']} is there twice", "band")
        mine.append(band)
    return found


def read_curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a curve of transmission.

    Parameters
    ----------
    path : Path
        ECSV, CSV or text of two columns: wavelength (um, if it has no unit) and transmission per photon.

    Returns
    -------
    wave, transmission : ndarray, shape (n,) [um, none]
        By increasing wavelength.

    Raises
    ------
    DataError
        The file cannot be read or is no curve.
    """
    table = _read_table(path)
    remedy = "give two columns, wavelength [um] and transmission per photon; as ECSV for another unit"
    if len(table.colnames) < 2 or len(table) < 2:
        raise DataError("fewer than two columns or lines", file=path, remedy=remedy)
    first = table.colnames[0]
    try:
        wave, passed = (np.asarray(table[name], dtype=float) for name in table.colnames[:2])
    except (ValueError, TypeError) as error:
        raise DataError(f"not numbers: {error}", file=path, key=first, remedy=remedy) from error
    order = np.argsort(wave)
    wave, passed = wave[order] * _factor(table, first, WAVE_UNIT, path), passed[order]
    if wave[-1] > LONGEST:
        raise DataError(f"wavelength {wave[-1]:g} um: another unit?", file=path, key=first, remedy=remedy)
    good = np.isfinite(wave).all() and np.isfinite(passed).all() and wave[0] > 0 and np.diff(wave).min() > 0
    if not good or passed.min() < -0.01 * passed.max() or passed.max() <= 0:
        raise DataError(
            "not a curve of transmission (NaN, negative, or a wavelength twice)", file=path, key=first, remedy=remedy
        )
    return wave, np.maximum(passed, 0.0)


def scaled_to(
    spectrum: Spectrum, bands: Sequence[Band], table: Path, *, max_order: int = 2, floor: float = 0.03
) -> Spectrum:
    """The spectrum with the factor that brings it to photometry beside it.

    Parameters
    ----------
    spectrum : Spectrum
    bands : sequence of Band
        Photometry of the source.
    table : Path
        Where it is from.
    max_order : int
        Highest order of the factor as a polynomial of wavelength.
    floor : float
        Error of every band, at least this share of its flux.

    Returns
    -------
    Spectrum
        With `scale` and `scale_err`, not applied to the flux, and cards that tell order, chi2 and bands.

    Raises
    ------
    DataError
        No band lies within the valid pixels.
    """
    arrays = (spectrum.wave, spectrum.flux, spectrum.err, spectrum.mask)
    try:
        found = fit_scale(*arrays, bands, max_order, floor=floor)
    except ValueError as error:
        remedy = "give bands that lie within the spectrum, or none for this source"
        raise NoBandError(str(error), file=table, key="band", remedy=remedy) from error
    cards: Cards = {
        "NFSCFILE": (table.name, "photometry that SCALE brings the flux to"),
        "NFSCBAND": (found.n_used, "bands of it that were used"),
        "NFSCORD": (found.order, "order of SCALE as a polynomial"),
        "NFSCCHI2": (round(found.chi2, 4), "chi-squared of the bands"),
    }
    return replace(spectrum, scale=found.scale, scale_err=found.scale_err, meta=spectrum.meta | cards)


def _read_table(path: Path) -> Table:
    if not path.is_file():
        raise DataError("no such file", file=path, remedy=REMEDY)
    try:
        lines = path.read_text().splitlines()
        if lines and lines[0].startswith("# %ECSV"):
            return Table.read(lines, format="ascii.ecsv")
        kept = [line for line in lines if line.strip() and not line.startswith("#")]
        if not kept:
            raise ValueError("empty")
        if "," in kept[0]:
            return Table.read(kept, format="ascii.csv")
        return Table.read(kept, format="ascii.no_header" if NUMBER.match(kept[0]) else "ascii.basic")
    except (ValueError, TypeError, OSError) as error:  # UnicodeDecodeError and astropy's errors are ValueErrors
        first = str(error).partition("\n")[0]
        raise DataError(f"not a table in ECSV or CSV: {first}", file=path, remedy=REMEDY) from error


def _factor(table: Table, name: str, unit: u.Unit, path: Path) -> float:
    """What brings a column to `unit`; 1 if it has none."""
    given = table[name].unit
    try:
        return float(given.to(unit)) if given is not None else 1.0
    except u.UnitConversionError as error:
        remedy = f"give it in {unit}"
        raise DataError(f"{name} is in {given}", file=path, key=name, remedy=remedy) from error


def _band(
    row: Any,
    number: int,
    path: Path,
    factors: dict[str, float],
    curve_of: Callable[[str], tuple[np.ndarray, np.ndarray]],
) -> Band | None:
    """The band of a row; None where it has no flux."""
    try:
        int(row["source"])
        flux, err, wave, width = (
            _number(row, name) * factors.get(name, 1.0) for name in ("flux", "err", "wave", "width")
        )
    except (ValueError, TypeError) as error:
        raise _problem(path, number, f"not a number: {error}", "source, flux, err, wave, width") from error
    if np.isnan(flux):
        return None
    if not (np.isfinite(flux) and np.isfinite(err) and err > 0):
        raise _problem(path, number, f"flux {flux:g}, err {err:g}: the error must be positive", "err")
    name = str(row["band"])
    if "curve" in row.colnames and not np.ma.is_masked(row["curve"]) and str(row["curve"]).strip():
        return Band(name, flux, err, *curve_of(str(row["curve"]).strip()))
    if not (0 < width < 2 * wave < 2 * LONGEST):
        raise _problem(path, number, f"band {name} has no curve, and no wave and width in um", "wave")
    return top_hat(name, flux, err, wave, width)


def _number(row: Any, name: str) -> float:
    """Value of a cell, NaN where it is empty."""
    if name not in row.colnames or np.ma.is_masked(row[name]):
        return float("nan")
    return float(row[name])


def _problem(path: Path, number: int, text: str, key: str) -> DataError:
    return DataError(f"row {number}: {text}", file=path, key=key, remedy="correct or remove that row")


def with_photometry(spectrum: Spectrum, source: int, table: Path | None) -> Spectrum:
    """The spectrum with its factor to photometry (`scaled_to`), if there is a table that has its source.

    Raises
    ------
    DataError
        The table cannot be used, or a row of the source. Where none of its bands lies within the valid pixels, the
        spectrum gets no factor, and the card NFSCBAND is 0.
    """
    bands = read_photometry(table, only=source).get(source) if table else None
    if not bands or not table:
        return spectrum
    try:
        return scaled_to(spectrum, bands, table)
    except NoBandError:
        return replace(spectrum, meta=spectrum.meta | {"NFSCBAND": (0, "no band of the photometry lies within")})
