"""What a spectrum says of the exposures it is made of: a table with a row for each, and cards for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire import __version__
from nirfire.errors import DataError, NoWork
from nirfire.products.columns import Cards, Column
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import ExposureName
from nirfire.products.provenance import reference_cards
from nirfire.products.slitcal import shows_source

EXPOSURE_COLUMNS = {
    "filename": Column("", "meta.id;meta.file", "background-subtracted exposure"),
    "dither_type": Column("", "meta.code", "kind of dither pattern"),
    "nod_type": Column("", "meta.code", "kind of nod pattern"),
    "nod_number": Column("", "meta.number;obs.sequence", "points of the pattern (PRIDTPTS, else NUMDTHPT)"),
    "dither_number": Column("", "meta.number;obs.sequence", "place in the pattern, from 1 (PATT_NUM)"),
    "exptime": Column("s", "time.duration;obs.exposure", "effective exposure time"),
    "stuck_shutter_list": Column("", "meta.code;instr.param", "stuck-closed shutters of the slitlet, by ordinal"),
    "shutter_state": Column("", "meta.code;instr.param", "shutters of the slitlet; x marks the source"),
    "source_ra": Column("deg", "pos.eq.ra", "right ascension of the source"),
    "source_dec": Column("deg", "pos.eq.dec", "declination of the source"),
    "source_xpos": Column("", "pos.cartesian.x", "source in its shutter, dispersion; shutter pitch is 1"),
    "source_ypos": Column("", "pos.cartesian.y", "source in its shutter, cross-dispersion; shutter pitch is 1"),
    "v3pa": Column("deg", "pos.posAng", "position angle of the telescope's V3 axis"),
    "sky": Column("", "meta.code", "sky from the other nods, or global: from all blank shutters"),
    "nod_overlap": Column("", "phot.flux;arith.ratio", "share of the source's light that the other nods remove"),
    "group": Column("", "meta.id", "exposure group: visit, activity, sub-dither and MSA configuration"),
}
# by column: cards, of which the first that is there counts; type; what stands for none
_CARDS: dict[str, tuple[str, str, Any]] = {
    "dither_type": ("PATTTYPE", "S20", ""),
    "nod_type": ("NOD_TYPE", "S20", ""),
    "nod_number": ("PRIDTPTS NUMDTHPT", "i4", 0),
    "dither_number": ("PATT_NUM", "i4", 0),
    "exptime": ("EFFEXPTM", "f8", np.nan),
    "stuck_shutter_list": ("STKSHTRS", "S40", "N/A"),
    "shutter_state": ("SHUTSTA", "S40", ""),
    "source_ra": ("SRCRA", "f8", np.nan),
    "source_dec": ("SRCDEC", "f8", np.nan),
    "source_xpos": ("SRCXPOS", "f8", np.nan),
    "source_ypos": ("SRCYPOS", "f8", np.nan),
    "v3pa": ("PA_V3", "f8", np.nan),
    "sky": ("NFSKY", "S20", ""),
    "nod_overlap": ("NODOVLP", "f8", np.nan),
}
_COPIED = (
    *("TELESCOP", "INSTRUME", "PROGRAM", "OBSERVTN", "GRATING", "FILTER", "DATE-OBS", "CAL_VER"),
    *("SPECSYS", "VELOSYS"),
)


def cutout_header(path: Path) -> fits.Header:
    """Primary header of a cutout, with the cards of its SCI extension that it lacks."""
    with open_fits(path) as hdus:
        if "SCI" not in hdus:
            raise DataError("extension SCI is missing", file=path, key="SCI", remedy="redo nodsub")
        return merged_header(hdus[0].header, hdus["SCI"].header)


def merged_header(primary: fits.Header, own: fits.Header) -> fits.Header:
    """A primary header with those cards of an extension that it lacks."""
    header = primary.copy()
    header.update({key: own[key] for key in own if key and key not in header and key != "EXTNAME"})
    return header


def sub_dither(header: fits.Header) -> int:
    """Sub-pixel point of an exposure, 1 or 2: in patterns that nod at each of two points, the points take turns."""
    two_points = "NIRCAM" in str(header.get("PATTTYPE", "")).upper() and header.get("SUBPXPTS") == 2
    return 2 if two_points and int(header["PATT_NUM"]) % 2 == 0 else 1


def exposure_groups(headers: Mapping[Path, fits.Header]) -> dict[Path, str]:
    """Which exposures have the source in the same shutters: visit, activity, sub-dither and MSA configuration.

    Parameters
    ----------
    headers : mapping of Path to fits.Header
        All cutouts of a source and what `cutout_header` says of them.

    Returns
    -------
    dict of Path to str
        Both detectors of an exposure have one name; a file that is not named after an exposure is alone. The
        configuration is told where an activity has several.
    """
    roots = {path: getattr(ExposureName.from_path(path), "root", path.name.split(".")[0]) for path in headers}
    configurations: dict[str, set[int]] = defaultdict(set)
    for path, header in headers.items():
        configurations[roots[path]].add(int(header.get("MSAMETID", 0)))
    found = {}
    for path, header in headers.items():
        several = len(configurations[roots[path]]) > 1
        dither = f"_dither{point}" if (point := sub_dither(header)) > 1 else ""
        found[path] = roots[path] + dither + (f"_msa{int(header.get('MSAMETID', 0))}" if several else "")
    return found


def lit_headers(headers: Mapping[Path, fits.Header]) -> dict[Path, fits.Header]:
    """Headers (`cutout_header`) of those cutouts that have the source's light.

    Raises
    ------
    NoWork
        None has.
    """
    mine = {path: header for path, header in headers.items() if shows_source(header)}
    if not mine:
        raise NoWork("the source is in the open shutters of no exposure", key="SRCFLUX")
    return mine


def exposure_table(headers: Mapping[Path, fits.Header]) -> Table:
    """One row for each cutout that has the source's light, with what its header says.

    Parameters
    ----------
    headers : mapping of Path to fits.Header
        From `lit_headers`.

    Returns
    -------
    Table
        With the columns of `EXPOSURE_COLUMNS`.
    """
    groups = exposure_groups(headers)
    rows = [
        (path.name, *(_first(header, keys, default) for keys, _, default in _CARDS.values()), groups[path])
        for path, header in headers.items()
    ]
    kinds = ["S80", *(kind for _, kind, _ in _CARDS.values()), "S80"]
    return Table(rows=rows, names=list(EXPOSURE_COLUMNS), dtype=kinds)


def spectrum_cards(headers: Mapping[Path, fits.Header], source: int, method: str) -> Cards:
    """Cards of the primary header that spectra have, however they were extracted.

    Parameters
    ----------
    headers : mapping of Path to fits.Header
        From `lit_headers`.
    source : int
        Source number.
    method : str
        How it was extracted, ``model`` or ``horne``.

    Returns
    -------
    dict of str to (value, comment)
        References are those of the first exposure; EXPTIME is the sum over exposures, each counted once though it
        may be on both detectors.
    """
    first = next(iter(headers.values()))
    cards: Cards = {key: (first[key], "") for key in _COPIED if key in first}
    cards |= reference_cards(first)
    cards["SOURCEID"] = (source, "source number in the MSA metafile")
    for key, name in (("RA", "SRCRA"), ("DEC", "SRCDEC")):
        cards[key] = (first.get(name), "[deg] planned position of the source")
    cards["SRCNAME"] = (first.get("SRCNAME"), "")
    times = {str(getattr(ExposureName.from_path(p), "both", p.name)): h.get("EFFEXPTM") for p, h in headers.items()}
    known = [float(time) for time in times.values() if time is not None]
    cards["EXPTIME"] = (sum(known) if len(known) == len(times) else None, "[s] effective exposure time, all exposures")
    cards["NEXPOSUR"] = (len(times), "exposures, both detectors counted once")
    cards["NFGROUPS"] = (len(set(exposure_groups(headers).values())), "exposure groups")
    cards["NFMETHOD"] = (method, "how flux and err were extracted")
    cards["NFVERS"] = (__version__, "version of nirfire")
    return {key: card for key, card in cards.items() if card[0] is not None}


def _first(header: fits.Header, keys: str, default: Any) -> Any:
    return next((header[key] for key in keys.split() if key in header), default)
