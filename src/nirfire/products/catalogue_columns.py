"""The columns of the exported tables: type, unit, UCD and a line of text for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from astropy.table import Table

from nirfire.products.columns import Column, describe
from nirfire.products.line_table import FLUX_COLUMNS, LINE_COLUMNS, ROW_COLUMNS, TEXT

Kind = tuple[type, Column]
SOURCES, SPECTRA, LINES, SHUTTERS, POINTINGS = "sources", "spectra", "lines", "shutters", "pointings"
TABLES = {
    SOURCES: "one row per source",
    SPECTRA: "one row per source and grating",
    LINES: "one row per emission line of a spectrum",
    SHUTTERS: "one row per open micro-shutter and exposure",
    POINTINGS: "one row per configuration of the micro-shutters",
}
"""The tables, and what a row is."""

_ONE_OF = (str, Column("", "meta.id;obs", "observation, as nirfire names it"))
_PROGRAM = (str, Column("", "meta.id;obs.proposal", "JWST program"))
_FLAGS = (int, Column("", "meta.code", "sum of what inspectors flagged; 0 nothing"))
_FLAGS_SAID = (str, Column("", "meta.note", "the flags in words"))
_VERSIONS = {
    "version": (str, Column("", "meta.version;meta.software", "of nirfire")),
    "cal_version": (str, Column("", "meta.version;meta.software", "of the stock pipeline, jwst")),
    "crds_context": (str, Column("", "meta.version;instr.calib", "of the reference files")),
}
_QUALITY = (
    int,
    Column("", "meta.code.qual;src.redshift", "by people: 4 secure 3 probable 2 tentative 1 impossible 0 none"),
)
SOURCE_COLUMNS: dict[str, Kind] = {
    "observation": _ONE_OF,
    "program": _PROGRAM,
    "source_id": (int, Column("", "meta.id;meta.main", "source number in the MSA metafile")),
    "name": (str, Column("", "meta.id;src", "name in the MSA metafile")),
    "ra": (float, Column("deg", "pos.eq.ra;meta.main", "planned right ascension, ICRS")),
    "dec": (float, Column("deg", "pos.eq.dec;meta.main", "planned declination, ICRS")),
    "redshift": (float, Column("", "src.redshift;meta.main", "inspected, else automatic; NaN where impossible")),
    "redshift_error": (float, Column("", "stat.error;src.redshift", "of redshift; NaN where no fit agrees with it")),
    "redshift_from": (str, Column("", "meta.code;src.redshift", "inspection, joint, or the spectrum; empty: none")),
    "quality": _QUALITY,
    "redshift_inspected": (float, Column("", "src.redshift", "on which the inspectors agree; NaN where none")),
    "n_inspectors": (int, Column("", "meta.number;obs.observer", "people who graded it")),
    "n_agree": (int, Column("", "meta.number;obs.observer", "of them, those who agree")),
    "conflict": (bool, Column("", "meta.code.status;src.redshift", "the inspectors do not agree")),
    "vote_stale": (bool, Column("", "meta.code.status", "a spectrum or fit changed after the latest vote")),
    "flags": _FLAGS,
    "flags_said": _FLAGS_SAID,
    "comment": (str, Column("", "meta.note", "of the inspectors")),
    "tags": (str, Column("", "meta.code.member", "of the inspectors, by space")),
    "inspectors": (str, Column("", "meta.id;obs.observer", "who graded it, by comma")),
    "inspected": (str, Column("", "time.processing", "time of the latest vote, UTC")),
    "redshift_auto": (float, Column("", "src.redshift", "automatic: joint, else of the spectrum told next")),
    "redshift_auto_error": (float, Column("", "stat.error;src.redshift", "its standard error")),
    "redshift_auto_probability": (float, Column("", "stat.probability;src.redshift", "that redshift_auto is right")),
    "redshift_auto_warning": (int, Column("", "meta.code.qual;src.redshift", "bits of ZWARN of the fit; 0 none")),
    "redshift_auto_from": (str, Column("", "meta.code;src.redshift", "joint, or the spectrum; empty: no fit")),
    "n_spectra": (int, Column("", "meta.number", "spectra, one per grating and filter")),
    "spectra": (str, Column("", "meta.code;instr.setup", "grating_filter of each, by space")),
    "exposure_time": (float, Column("s", "time.duration;obs.exposure", "of all its spectra together")),
    "signal_to_noise": (float, Column("", "stat.snr;stat.median", "median of the pixels, of the best spectrum")),
    "n_lines": (int, Column("", "meta.number;spect.line", "lines above 5 sigma at redshift, of the best spectrum")),
    **{name: (float, column) for name, column in FLUX_COLUMNS.items()},
    "lines_from": (str, Column("", "meta.code;spect.line", "spectra that the fluxes are of; if several, with lines")),
    "lines_blended": (str, Column("", "meta.id.assoc;spect.line", "fluxes above that have other lines in them")),
    "files": (str, Column("", "meta.id;meta.file", "spectra, within the workspace, by space")),
    **_VERSIONS,
}
SPECTRUM_COLUMNS: dict[str, Kind] = {
    "observation": _ONE_OF,
    "program": _PROGRAM,
    "source_id": (int, Column("", "meta.id", "source number in the MSA metafile")),
    "spectrum": (str, Column("", "meta.code;instr.setup", "grating_filter, as the inspection names it")),
    "quality": _QUALITY,
    "redshift": (float, Column("", "src.redshift;meta.main", "of the source: inspected, else automatic")),
    "flags": _FLAGS,
    "flags_said": _FLAGS_SAID,
}
"""Before the columns of the summary, which follow, and `SPECTRUM_FILES`."""
SPECTRUM_FILES: dict[str, Kind] = {
    "path": (str, Column("", "meta.id;meta.file", "the spectrum, within the workspace")),
    "date_obs": (str, Column("", "time.start;obs.exposure", "day of its first exposure, UTC")),
    **_VERSIONS,
    "fingerprint": (str, Column("", "meta.checksum;meta.dataset", "of how the spectrum was made")),
    "fit_fingerprint": (str, Column("", "meta.checksum;meta.dataset", "of how the redshift fit was made")),
}
_LINE_KINDS = {name: str if name in TEXT else int if name == "n_pix" else float for name in LINE_COLUMNS}
_LINE_SOURCE = {
    "source_id": Column("", "meta.id", "source number in the MSA metafile"),
    "grating": Column("", "instr.setup", "disperser"),
    "filter": Column("", "instr.setup;instr.filter", "filter"),
    "redshift_auto": Column("", "src.redshift", "of this spectrum, with which the lines were measured"),
}
LINE_TABLE_COLUMNS: dict[str, Kind] = {
    "observation": _ONE_OF,
    **{name: (kind, _LINE_SOURCE[name]) for name, kind in ROW_COLUMNS.items()},
    **{name: (_LINE_KINDS[name], column) for name, column in LINE_COLUMNS.items()},
}
_METAFILE = (str, Column("", "meta.id;meta.file", "MSA metafile"))
_CONFIGURATION = (int, Column("", "meta.id;instr.setup", "number of the MSA configuration, MSAMETID"))
_REGION = "pos.outline;obs.field"
SHUTTER_COLUMNS: dict[str, Kind] = {
    "observation": _ONE_OF,
    "exposure": (str, Column("", "meta.id;obs.exposure", "exposure, both detectors")),
    "metafile": _METAFILE,
    "configuration": _CONFIGURATION,
    "dither_point": (int, Column("", "meta.number;obs.sequence", "place in the dither pattern, PATT_NUM")),
    "grating": (str, Column("", "instr.setup", "disperser")),
    "filter": (str, Column("", "instr.setup;instr.filter", "filter")),
    "exposure_time": (float, Column("s", "time.duration;obs.exposure", "effective exposure time")),
    "slitlet": (int, Column("", "meta.id;instr", "slitlet number")),
    "quadrant": (int, Column("", "meta.id;instr", "MSA quadrant, 1 to 4")),
    "shutter_row": (int, Column("", "meta.id;instr", "shutter along the dispersion, 1 to 365")),
    "shutter_column": (int, Column("", "meta.id;instr", "shutter across the dispersion, 1 to 171")),
    "source_id": (int, Column("", "meta.id;src", "main source of the slitlet; 0 sky, negative: virtual")),
    "sources": (str, Column("", "meta.id;src", "all planned sources of the slitlet, by space")),
    "source_here": (int, Column("", "meta.id;src", "source planned in this shutter in this exposure; 0 none")),
    "source_x": (float, Column("", "pos.cartesian.x;instr", "its place across the width, 0 to 1; NaN none")),
    "source_y": (float, Column("", "pos.cartesian.y;instr", "its place along the slitlet, 0 to 1; NaN none")),
    "ra": (float, Column("deg", "pos.eq.ra;meta.main", "right ascension of the middle of the opening, ICRS")),
    "dec": (float, Column("deg", "pos.eq.dec;meta.main", "declination of the middle of the opening, ICRS")),
    "width": (float, Column("arcsec", "phys.angSize;instr", "of the opening, along the dispersion")),
    "height": (float, Column("arcsec", "phys.angSize;instr", "of the opening, along the slitlet")),
    "pa": (float, Column("deg", "pos.posAng", "of the long axis, north through east, 0 to 180")),
    "state": (str, Column("", "meta.code.status;instr", "open, closed (stuck), vignetted, or unknown: not looked at")),
    "by_hand": (bool, Column("", "meta.code.status", "closed or open because people say so")),
    "level": (float, Column("", "phot.count;arith.ratio", "sky through it over that through an open one")),
    "level_error": (float, Column("", "stat.error;phot.count;arith.ratio", "standard error of level")),
    "s_region": (str, Column("", _REGION, "outline of the opening, STC-S")),
}
POINTING_COLUMNS: dict[str, Kind] = {
    "observation": _ONE_OF,
    "program": _PROGRAM,
    "visit": (str, Column("", "meta.id;obs", "visit, jwPPPPPOOOVVV")),
    "metafile": _METAFILE,
    "configuration": _CONFIGURATION,
    "ra": (float, Column("deg", "pos.eq.ra;meta.main", "right ascension of the MSA, mean of the exposures, ICRS")),
    "dec": (float, Column("deg", "pos.eq.dec;meta.main", "declination of the MSA, mean of the exposures, ICRS")),
    "pa_aper": (float, Column("deg", "pos.posAng;instr", "of the MSA's y axis, PA_APER, north through east")),
    "pa_v3": (float, Column("deg", "pos.posAng", "of the V3 axis at the MSA, ROLL_REF, north through east")),
    "n_exposures": (int, Column("", "meta.number;obs.exposure", "exposures, both detectors counted once")),
    "exposure_time": (float, Column("s", "time.duration;obs.exposure", "effective exposure time, all exposures")),
    "modes": (str, Column("", "meta.code;instr.setup", "grating_filter of the exposures, by space")),
    "date_obs": (str, Column("", "time.start;obs.exposure", "day of the first exposure, UTC")),
    "n_slitlets": (int, Column("", "meta.number;instr", "slitlets")),
    "n_shutters": (int, Column("", "meta.number;instr", "open shutters")),
    "n_sources": (int, Column("", "meta.number;src", "sources in them, main and others")),
    "n_sky": (int, Column("", "meta.number;instr.skyLevel", "slitlets without a source: sky, or virtual sources")),
    "s_region": (str, Column("", _REGION, "outlines of the four quadrants, STC-S")),
}


def make_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Kind]) -> Table:
    """A described table of rows; a row that lacks a column is an error, one that has more is not."""
    listed = list(rows)
    return as_table({name: [row[name] for row in listed] for name in columns}, columns)


def as_table(values: Mapping[str, Any], columns: Mapping[str, Kind]) -> Table:
    """A described table of columns, each of the type that is said of it; masked values become NaN, 0 or empty."""
    table = Table({name: _plain(values[name], kind) for name, (kind, _) in columns.items()})
    describe(table, {name: column for name, (_, column) in columns.items()})
    return table


def _plain(values: Any, kind: type) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(float), np.nan) if kind is float else np.ma.filled(values, kind())
    array = np.asarray(values)
    if kind is str:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array.astype(str)
    return np.asarray(array, dtype={int: np.int64, float: np.float64, bool: np.bool_}[kind])
