"""Any 1D spectrum of NIRSpec, whoever wrote it: arrays in um and uJy, with the disperser.

Read are our ``_spec.fits``; x1d and c1d files of the stock pipeline, with one table per slit or one row per source;
``.spec.fits`` of msaexp (DJA); x1d files of JADES; FITS tables and 1D images with names and units; tables in ECSV, CSV
and plain text; and, if it is installed, whatever else specutils can read. Wavelengths are taken to be those of vacuum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nirfire.core.grids import RANGES
from nirfire.errors import DataError
from nirfire.products.columns import Cards
from nirfire.products.foreign_files import COPIED, SOURCES, Raw, raw_spectra
from nirfire.products.provenance import tells_references
from nirfire.products.spectrum_roles import Named, Roles, find_roles
from nirfire.products.spectrum_units import Units, is_flux, is_wavelength, read_unit, to_ujy, to_um

GRATINGS = tuple(dict.fromkeys(grating for grating, _ in RANGES))
FILTERS = tuple(dict.fromkeys(name for _, name in RANGES))
DO_NOT_USE = 1  # bit of JWST data quality
UNIT_REMEDY = "give the column a unit, or use --wave-unit and --flux-unit"


@dataclass(frozen=True, eq=False)
class Spectrum1D:
    """A 1D spectrum.

    Attributes
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Vacuum wavelength, rising.
    flux : ndarray, shape (n_wave,) [uJy]
        f_nu; 0 where there is no information.
    ivar : ndarray, shape (n_wave,) [uJy^-2]
        Inverse variance; 0 where there is no information.
    grating, filter : str
        Disperser, one of `GRATINGS`; filter, empty where it is not known.
    source : str
        Number or name of the source; the name of the file where it has neither.
    correlation : ndarray, shape (n_band, n_wave), or None
        As in `nirfire.products.spectrum.Spectrum`, where it is known.
    meta : dict of str to (value, comment)
        Cards for what is made from it: SOURCEID, GRATING, FILTER, ... .
    """

    wave: np.ndarray = field(repr=False)
    flux: np.ndarray = field(repr=False)
    ivar: np.ndarray = field(repr=False)
    grating: str
    filter: str = ""
    source: str = ""
    correlation: np.ndarray | None = field(default=None, repr=False)
    meta: Cards = field(default_factory=dict, repr=False)

    @property
    def references(self) -> Cards:
        """Cards that name the CRDS context and references."""
        return {key: card for key, card in self.meta.items() if tells_references(key)}


class Found(NamedTuple):
    """One of the spectra of a file.

    Attributes
    ----------
    label : str
        What tells it from the others of its file, fit for a file name; empty where it is the only one.
    source, grating : str
        Number or name of its source, and its disperser, as far as they are known.
    spectrum : Spectrum1D or DataError
        The error says why it cannot be used.
    """

    label: str
    source: str
    grating: str
    spectrum: Spectrum1D | DataError


def read_any(path: Path, grating: str | None = None, units: Units | None = None) -> Spectrum1D:
    """Read a file of one spectrum; parameters and errors as of `read_each`.

    Raises
    ------
    DataError
        There are several spectra in it, or the one cannot be used.
    """
    found = read_all(path, grating, units)
    if len(found) > 1:
        raise DataError(f"{len(found)} spectra, not one", file=path, remedy="read them with read_all")
    return found[0]


def read_all(path: Path, grating: str | None = None, units: Units | None = None) -> list[Spectrum1D]:
    """Read all spectra of a file, of which each must be good; parameters and errors as of `read_each`."""
    spectra = []
    for found in read_each(path, grating, units):
        if isinstance(found.spectrum, DataError):
            raise found.spectrum
        spectra.append(found.spectrum)
    return spectra


def read_each(path: Path, grating: str | None = None, units: Units | None = None) -> list[Found]:
    """Read all spectra of a file.

    Parameters
    ----------
    path : Path
    grating : str, optional
        Disperser, if neither the headers nor the name of the file tell it.
    units : Units, optional
        Units of columns that have none.

    Returns
    -------
    list of Found
        At least one. Spectra that cannot be used are `DataError` there, so that the others can.

    Raises
    ------
    DataError
        The file as a whole cannot be read, or holds no spectrum.

    Notes
    -----
    Falling wavelengths are turned round. Pixels without a finite wavelength are left out; those without a finite flux
    or a positive, finite error, and those that a mask or DO_NOT_USE marks, get ``ivar = 0``.
    """
    raws = raw_spectra(path)
    sources = [_source(raw) for raw in raws]
    labels = [re.sub(r"[^A-Za-z0-9.+-]+", "-", source) for source in sources]
    unique = len({label.lower() for label in labels}) == len(labels) and all(labels)
    found = []
    for k, (raw, source) in enumerate(zip(raws, sources, strict=True), start=1):
        label = "" if len(raws) == 1 else labels[k - 1] if unique else str(k)
        try:
            spectrum: Spectrum1D | DataError = _made(raw, path, grating, units or Units())
        except DataError as error:
            spectrum = error
        found.append(Found(label, source, _known_grating(raw, path, grating), spectrum))
    return found


def _made(raw: Raw, path: Path, given: str | None, units: Units) -> Spectrum1D:
    grating = _grating(raw, path, given)
    wave, flux, ivar = _numbers(raw, path, units)
    low = min(blue for (g, _), (blue, _) in RANGES.items() if g == grating)
    high = max(red for (g, _), (_, red) in RANGES.items() if g == grating)
    if wave[-1] < low or wave[0] > high:
        text = f"wavelengths from {wave[0]:.4g} to {wave[-1]:.4g} um: {grating} has {low:g} to {high:g} um"
        raise DataError(
            text, file=path, key=raw.where or None, remedy="check the unit of the wavelengths, and the grating"
        )
    filter_ = _said(raw.header, ("FILTER",), FILTERS) or _one_of(path.name, FILTERS)
    source = _source(raw) or path.name.partition(".")[0]
    whole = raw.correlation is not None and raw.correlation.shape[1] == wave.size  # no row is left out
    correlation = raw.correlation if whole else None
    told = [key for key in raw.header if key in COPIED or tells_references(key)]
    cards: Cards = {key: _card(raw.header, key) for key in told if _text(raw.header[key])}
    cards |= {"GRATING": (grating, "disperser")} | ({"FILTER": (filter_, "filter")} if filter_ else {})
    if "SRCNAME" not in cards:
        cards["SRCNAME"] = (_printable(source), "name of the source")
    return Spectrum1D(wave, flux, ivar, grating, filter_, source, correlation, cards)


def _numbers(raw: Raw, path: Path, units: Units) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength [um], rising, flux [uJy] and inverse variance."""
    roles = find_roles(raw.columns)
    if roles is None:
        text = f"no columns of wavelength, flux and error among: {', '.join(list(raw.columns)[:12])}"
        raise DataError(text, file=path, key=raw.where or None, remedy="name the columns wave, flux and err (or ivar)")
    values = {name: _array(raw, name, path) for name in (roles.wave.column, roles.flux.column, roles.error.column)}
    size = {v.size for v in values.values()}
    if size == {0}:
        raise DataError("the spectrum is empty: it has no rows", file=path, key=raw.where or None)
    if len(size) > 1:
        raise DataError("wavelengths, fluxes and errors differ in number", file=path, key=raw.where or None)
    unit = _unit(raw, roles.wave, units.wave or raw.published.wave, path)
    if not is_wavelength(unit):
        raise _wrong(raw, roles.wave, unit, "wavelength: um, nm, Angstrom or m", path)
    wave = to_um(values[roles.wave.column], unit)
    kept = _rising(wave, path, raw.where)
    wave = wave[kept]
    flux, ivar = _fluxes(raw, roles, values, (wave, kept), (units, path))
    if not ivar.any():
        text = f"none of {wave.size} pixels has a finite flux with a finite, positive error"
        raise DataError(text, file=path, key=raw.key(roles.error.column), remedy="look at its fluxes and errors")
    return wave, flux, ivar


def _fluxes(
    raw: Raw,
    roles: Roles,
    values: Mapping[str, np.ndarray],
    grid: tuple[np.ndarray, np.ndarray],
    told: tuple[Units, Path],
) -> tuple[np.ndarray, np.ndarray]:
    """Flux [uJy] and inverse variance on the rows that are kept."""
    (wave, kept), (units, path) = grid, told
    unit = _unit(raw, roles.flux, units.flux or raw.published.flux, path)
    if not is_flux(unit):
        raise _wrong(raw, roles.flux, unit, "flux density: uJy, or erg/s/cm2/Angstrom", path)
    power = {"err": 1.0, "ivar": -0.5, "var": 0.5}[roles.kind]
    text = roles.error.unit or raw.units.get(roles.error.column, "")
    own = read_unit(text)
    own = unit if own is None else own**power
    if not is_flux(own):
        raise _wrong(raw, roles.error, own, "the flux, or its square for variances", path)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        err = np.power(values[roles.error.column][kept], power) * to_ujy(wave, own)
    flux = values[roles.flux.column][kept] * to_ujy(wave, unit)
    good = np.isfinite(flux) & np.isfinite(err) & (err > 0) & ~_masked(raw, roles, kept)
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        ivar = np.where(good, 1.0 / np.where(good, err, 1.0) ** 2, 0.0)
    good &= np.isfinite(ivar) & (ivar > 0)
    return np.where(good, flux, 0.0), np.where(good, ivar, 0.0)


def _masked(raw: Raw, roles: Roles, kept: np.ndarray) -> np.ndarray:
    """True where a boolean mask is true, or data quality says DO_NOT_USE."""
    marks = np.asarray(raw.columns[roles.mask]) if roles.mask else np.zeros(0)
    if marks.ndim != 1 or marks.size <= kept.max():
        return np.zeros(kept.size, dtype=bool)
    if marks.dtype == bool:
        return np.asarray(marks[kept])
    if roles.mask.lower() == "dq" and marks.dtype.kind in "iu":
        return np.asarray((marks[kept] & DO_NOT_USE) > 0)
    return np.zeros(kept.size, dtype=bool)  # other masks: some mean good, some mean bad


def _rising(wave: np.ndarray, path: Path, where: str) -> np.ndarray:
    """Indices of the finite wavelengths, in the order in which they rise."""
    kept = np.flatnonzero(np.isfinite(wave) & (wave > 0))
    if kept.size == 0:
        raise DataError(
            "no finite, positive wavelength", file=path, key=where or None, remedy="look at its wavelengths"
        )
    steps = np.diff(wave[kept])
    if np.all(steps > 0):
        return kept
    if np.all(steps < 0):
        return kept[::-1]
    sign = 1.0 if np.count_nonzero(steps > 0) >= np.count_nonzero(steps < 0) else -1.0
    row = int(kept[np.argmax(steps * sign <= 0) + 1])
    text = f"wavelengths neither rise nor fall throughout: see row {row + 1}, {wave[row]:.6g} um"
    raise DataError(text, file=path, key=where or None, remedy="sort the spectrum, and leave doubled wavelengths out")


def _array(raw: Raw, name: str, path: Path) -> np.ndarray:
    values = np.ma.asarray(raw.columns[name])
    try:
        numbers = np.ma.filled(values.astype(float), np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {name} does not hold numbers: {error}", file=path, key=raw.key(name)) from error
    if numbers.ndim != 1:
        text = f"column {name} has an array of shape {numbers.shape[1:]} for each wavelength"
        raise DataError(text, file=path, key=raw.key(name), remedy="give a spectrum with one number for each")
    return np.asarray(numbers)


def _unit(raw: Raw, role: Named, otherwise: str, path: Path) -> Any:
    said = role.unit or raw.units.get(role.column, "").strip()
    if not said and not otherwise:
        text = f"column {role.column} has no unit"
        raise DataError(text, file=path, key=raw.key(role.column), remedy=UNIT_REMEDY)
    unit = read_unit(said or otherwise)
    if unit is None:
        text = f"{said or otherwise!r} of column {role.column} is no unit that is known"
        raise DataError(text, file=path, key=raw.key(role.column), remedy="write it as FITS does, such as uJy")
    return unit


def _wrong(raw: Raw, role: Named, unit: object, wanted: str, path: Path) -> DataError:
    text = f"column {role.column} in {unit}: not a unit of {wanted}"
    return DataError(text, file=path, key=raw.key(role.column), remedy="correct the unit, or convert the spectrum")


def _grating(raw: Raw, path: Path, given: str | None) -> str:
    """Disperser: that of the headers, else of the file's name, else the one given."""
    found = _known_grating(raw, path, given)
    if found:
        return found
    said = _text(raw.header.get("GRATING")) or given
    text = f"unknown grating {said!r}" if said else "neither the headers nor the file's name tell the grating"
    raise DataError(text, file=path, key="GRATING", remedy=f"give --grating, one of {', '.join(GRATINGS)}")


def _known_grating(raw: Raw, path: Path, given: str | None) -> str:
    found = _said(raw.header, ("GRATING", "DISPERSR"), GRATINGS) or _one_of(path.name, GRATINGS)
    return found or _one_of(given or "", GRATINGS)


def _said(header: Mapping[str, Any], keys: Sequence[str], known: Sequence[str]) -> str:
    return next((found for key in keys if (found := _one_of(_text(header.get(key)), known))), "")


def _one_of(text: str, known: Sequence[str]) -> str:
    """The one of the known words that a text has, as a word of its own; empty where it has none or several."""
    words = set(re.split(r"[^A-Z0-9]+", text.upper())) & set(known)
    return words.pop() if len(words) == 1 else ""


def _source(raw: Raw) -> str:
    return next((text for key in SOURCES if (text := _text(raw.header.get(key)))), "")


def _text(value: object) -> str:
    """A header's value as text; empty where it is blank or says that there is none."""
    text = "" if value is None else str(value).strip()
    return "" if text.upper() in ("", "N/A", "NONE", "NULL", "UNKNOWN") else text


def _card(header: Mapping[str, Any], key: str) -> tuple[Any, str]:
    value = header[key]
    return (_printable(value.strip()) if isinstance(value, str) else value, "")


def _printable(text: str) -> str:
    """Text as a FITS header can hold it: other characters become question marks."""
    return "".join(one if " " <= one <= "~" else "?" for one in text)
