"""Check a product: is it FITS to the letter, does it say how it was made, do its columns say what they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from astropy import units
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products import provenance
from nirfire.products.columns import Column
from nirfire.products.fitsbytes import CHECKSUM, DATASUM, Unit, ones_complement_sum, read_units
from nirfire.products.fitsfile import open_fits
from nirfire.products.line_table import LINE_COLUMNS
from nirfire.products.offsets import COLUMNS as OFFSET_COLUMNS
from nirfire.products.shutters import LEVEL_COLUMNS, VERDICT_COLUMNS
from nirfire.products.spectrum import EXPOSURE_COLUMNS, profile_columns, spectrum_columns
from nirfire.products.zfit import MODEL_COLUMNS, PEAK_COLUMNS, SCAN_COLUMNS

DEMANDED = ("TELESCOP", "INSTRUME")
STAMPED = (provenance.VERSION, *provenance.OWN_CARDS)
REPEATABLE = {"", "COMMENT", "HISTORY", "CONTINUE", "HIERARCH"}
KEYWORD = re.compile(r"[A-Z0-9_-]{0,8} *")
NOT_A_NUMBER = re.compile(r"[+-]?(nan|inf(inity)?)\b", re.IGNORECASE)
OUTSIDE_STANDARD = {"DN", "DN/s"}  # units of the stock pipeline that every reader knows
COLUMNS: dict[str, dict[str, Column]] = {
    "PROF1D": profile_columns([]),
    "EXPOSURES": EXPOSURE_COLUMNS,
    "MODEL": MODEL_COLUMNS,
    "CHI2": SCAN_COLUMNS,
    "PEAKS": PEAK_COLUMNS,
    "LINES": LINE_COLUMNS,
    "VERDICTS": VERDICT_COLUMNS,
    "LEVELS": LEVEL_COLUMNS,
    "OFFSETS": OFFSET_COLUMNS,
}
CUTOUT_ARRAYS = ("SCI", "ERR", "DQ", "WAVELENGTH", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")


def verify_product(path: Path, *, stamped: bool = True) -> list[str]:
    """Check a FITS product.

    Parameters
    ----------
    path : Path
        The file.
    stamped : bool
        Whether it must carry its provenance, as all products of a run do.

    Returns
    -------
    list of str
        What is wrong, one line each with the HDU at fault; empty for a good file.
    """
    problems = []
    try:
        with read_units(path) as found:
            for k, unit in enumerate(found):
                label = unit.name or ("PRIMARY" if k == 0 else f"HDU {k}")
                problems += [f"{label}: {text}" for text in (*_card_problems(unit), *_sum_problems(unit))]
        with open_fits(path) as hdus:
            for check in (_standard_problems, _name_problems, _unit_problems):
                problems += check(hdus)
            problems += _provenance_problems(hdus, stamped)
            for name, look in CONTENT.items():
                if name in hdus:
                    problems += [f"{name}: {text}" for text in look(hdus)]
    except DataError as error:
        problems.append(error.message)
    return problems


def _card_problems(unit: Unit) -> Iterator[str]:
    """Characters, keywords and numbers that the standard forbids in a header."""
    keys = Counter(text[:8].rstrip() for text in unit.cards)
    for key, count in keys.items():
        if count > 1 and key not in REPEATABLE:
            yield f"{key} stands {count} times"
    for text in unit.cards:
        key = text[:8].rstrip()
        if not text.isascii() or not text.isprintable():
            yield f"{key} holds a character that is not printable ASCII"
        if not KEYWORD.fullmatch(text[:8]):
            yield f"{text[:8]!r} is no FITS keyword"
        if text[8:10] == "= " and NOT_A_NUMBER.match(text[10:].lstrip()):
            yield f"{key} is not a number"


def _sum_problems(unit: Unit) -> Iterator[str]:
    """Checksums that are missing or wrong."""
    values = {key: unit.value(key) for key in (DATASUM, CHECKSUM)}
    for key, value in values.items():
        if value is None:
            yield f"{key} is missing"
    data = ones_complement_sum(unit.data)
    if values[DATASUM] is not None and str(values[DATASUM]).strip() != str(data):
        yield f"{DATASUM} is wrong"
    total = ones_complement_sum(np.frombuffer(unit.header(), dtype=np.uint8), data)
    if values[CHECKSUM] is not None and total not in (0, 0xFFFFFFFF):
        yield f"{CHECKSUM} is wrong"


def _standard_problems(hdus: fits.HDUList) -> Iterator[str]:
    """What astropy's verification finds, and cards that every product needs."""
    try:
        hdus.verify("exception")
    except fits.VerifyError as error:
        yield " ".join(str(error).split())
    for key in DEMANDED:
        if key not in hdus[0].header:
            yield f"PRIMARY: {key} is missing"


def _name_problems(hdus: fits.HDUList) -> Iterator[str]:
    counts = Counter((hdu.name, hdu.ver) for hdu in hdus)
    for (name, version), count in counts.items():
        if count > 1:
            yield f"{name or 'an unnamed extension'}, version {version}, stands {count} times"


def _unit_problems(hdus: fits.HDUList) -> Iterator[str]:
    """Units that no reader can parse, and what known tables fail to say of their columns."""
    for hdu in hdus:
        is_table = isinstance(hdu, fits.BinTableHDU)
        named = {"BUNIT": hdu.header.get("BUNIT")} | {
            f"TUNIT{k}": hdu.header.get(f"TUNIT{k}") for k in range(1, 1 + hdu.header.get("TFIELDS", 0))
        }
        for key, unit in named.items():
            if unit and unit not in OUTSIDE_STANDARD and not _is_unit(unit):
                yield f"{hdu.name}: {key} = {unit!r} is no FITS unit"
        if is_table:
            for text in _column_problems(hdu):
                yield f"{hdu.name}: {text}"


def _is_unit(text: str) -> bool:
    try:
        units.Unit(text, format="fits")
    except ValueError:
        return False
    return True


def _column_problems(hdu: fits.BinTableHDU) -> Iterator[str]:
    names = hdu.columns.names
    known = spectrum_columns(_widths(names)) if hdu.name == "SPEC1D" else COLUMNS.get(hdu.name, {})
    for k, name in enumerate(names, 1):
        if name in known:
            said = (hdu.header.get(f"TUNIT{k}", ""), hdu.header.get(f"TUCD{k}", ""))
            if said != known[name][:2]:
                yield f"column {name} has unit and UCD {said}, expected {known[name][:2]}"
    silent = [name for k, name in enumerate(names, 1) if f"TUCD{k}" not in hdu.header]
    if 0 < len(silent) < len(names):
        yield f"columns without UCD: {', '.join(silent)}"


def _widths(names: list[str]) -> list[int]:
    return [int(name.removeprefix("flux_box")) for name in names if name.startswith("flux_box")]


def _provenance_problems(hdus: fits.HDUList, stamped: bool) -> Iterator[str]:
    """The cards and the table stand and fall together."""
    header = hdus[0].header
    present = [key for key in provenance.OWN_CARDS if key in header]
    has_table = provenance.EXTENSION in hdus
    if not (stamped or present or has_table):
        return
    for key in STAMPED:
        if not header.get(key):
            yield f"PRIMARY: {key} is missing"
    if not has_table:
        yield f"{provenance.EXTENSION} is missing"
        return
    kinds = set(np.char.strip(np.asarray(hdus[provenance.EXTENSION].data["kind"], dtype=str)))
    if "version" not in kinds:
        yield f"{provenance.EXTENSION}: no versions"
    if "reference" not in kinds and any(provenance.is_reference(key, header[key]) for key in header):
        yield f"{provenance.EXTENSION}: references are missing"


def _spectrum_problems(hdus: fits.HDUList) -> Iterator[str]:
    columns, data = hdus["SPEC1D"].columns, hdus["SPEC1D"].data
    missing = {"wave", "flux", "err", "mask"} - set(columns.names)
    if missing:
        yield f"columns missing: {', '.join(sorted(missing))}"
        return
    if columns["mask"].format != "L":
        yield "mask is not boolean"
        return
    if not _increases(data["wave"]):
        yield "wave does not increase"
    good = ~data["mask"]
    if not (data["err"][good] > 0).all():
        yield "err is not positive everywhere outside the mask"
    if not np.isfinite(data["flux"][good]).all():
        yield "flux is not finite everywhere outside the mask"
    for name in ("SCI", "ERR", "WAVELENGTH", "WHT"):
        if name in hdus and hdus[name].shape[-1] != len(data):
            yield f"{name} has {hdus[name].shape[-1]} columns for {len(data)} rows"


def _scan_problems(hdus: fits.HDUList) -> Iterator[str]:
    if not _increases(hdus["CHI2"].data["z"], strictly=False):
        yield "z does not increase"


def _cutout_problems(hdus: fits.HDUList) -> Iterator[str]:
    """Arrays of a cutout: one shape; errors not negative where the pixel may be used."""
    shape = hdus["SCI"].shape
    for name in CUTOUT_ARRAYS:
        if name in hdus and hdus[name].shape != shape:
            yield f"{name} has shape {hdus[name].shape}, SCI has {shape}"
    if "ERR" in hdus and "DQ" in hdus:
        used = hdus["DQ"].data & 1 == 0
        if used.shape == hdus["ERR"].shape and (hdus["ERR"].data[used] < 0).any():
            yield "ERR is negative in pixels that may be used"


def _increases(values: np.ndarray, *, strictly: bool = True) -> bool:
    steps = np.diff(values)
    return bool(np.isfinite(values).all() and ((steps > 0) if strictly else (steps >= 0)).all())


CONTENT: dict[str, Callable[[fits.HDUList], Iterator[str]]] = {
    "SPEC1D": _spectrum_problems,
    "CHI2": _scan_problems,
    "SCI": _cutout_problems,
}
