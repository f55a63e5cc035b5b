"""The exported tables of sources and spectra: what was measured, and what people say of it."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, Protocol

from astropy.table import Table

from nirfire.products.catalogue_columns import (
    LINE_TABLE_COLUMNS,
    SOURCE_COLUMNS,
    SPECTRUM_COLUMNS,
    SPECTRUM_FILES,
    Kind,
    as_table,
    make_table,
)
from nirfire.products.line_table import CATALOGUED, FLUX_COLUMNS
from nirfire.products.naming import SOURCES

NAN = float("nan")
SAME_Z = 0.005  # |dz| / (1 + z) below which two redshifts are one, as for votes
IMPOSSIBLE, TENTATIVE = 1, 2
CARDS = {
    "program": "PROGRAM",
    "name": "SRCNAME",
    "date_obs": "DATE-OBS",
    "version": "NFVERS",
    "cal_version": "CAL_VER",
    "crds_context": "CRDS_CTX",
    "fingerprint": "NFFPRINT",
}
"""What is read of the primary header of a spectrum."""
INSPECTION = "inspection"
Row = dict[str, Any]


class Automatic(Protocol):
    """The automatic redshift of a source."""

    @property
    def z(self) -> float: ...
    @property
    def z_err(self) -> float: ...
    @property
    def probability(self) -> float: ...
    @property
    def warning(self) -> int: ...
    @property
    def origin(self) -> str: ...


@dataclass(frozen=True)
class Inspection:
    """What people say of a source; by default nobody has looked at it.

    Attributes
    ----------
    quality : int
        0 where nobody graded it, or where the inspectors do not agree.
    z : float or None
        On which they agree.
    conflict, stale : bool
        They do not agree; a product changed after the latest vote.
    n_voters, n_agree : int
        People who graded it, and those of them who agree.
    users : sequence of str
        Their names.
    flags : mapping of str to int
        Bits, by spectrum.
    comment : str
    tags : sequence of str
    time : str
        Of the latest vote, UTC.
    """

    quality: int = 0
    z: float | None = None
    conflict: bool = False
    stale: bool = False
    n_voters: int = 0
    n_agree: int = 0
    users: Sequence[str] = ()
    flags: Mapping[str, int] = field(default_factory=dict)
    comment: str = ""
    tags: Sequence[str] = ()
    time: str = ""


@dataclass(frozen=True)
class Results:
    """What there is of an observation.

    Attributes
    ----------
    observation : str
    summary : Table
        One row per source and grating, columns of `nirfire.tasks.summary.COLUMNS`.
    columns : mapping
        Type and description of these.
    lines : Table
        All emission lines, columns of `LINE_TABLE_COLUMNS` but the first.
    spectra : sequence of dict
        Of each row of the summary: ``key`` (grating_filter), `CARDS`, and ``fit_fingerprint``.
    automatic : mapping of int to Automatic
        By source; those without a fit are left out.
    people : mapping of int to Inspection
        By source.
    flag_words : mapping of int to str
        Bits to words.
    """

    observation: str
    summary: Table
    columns: Mapping[str, Kind]
    lines: Table
    spectra: Sequence[Mapping[str, str]]
    automatic: Mapping[int, Automatic]
    people: Mapping[int, Inspection]
    flag_words: Mapping[int, str]


def source_table(results: Results) -> Table:
    """The table of sources, by number."""
    rows = _rows(results.summary)
    mine: dict[int, list[int]] = defaultdict(list)
    for k, row in enumerate(rows):
        mine[row["source_id"]].append(k)
    return make_table((_source(results, source, rows, mine[source]) for source in sorted(mine)), SOURCE_COLUMNS)


def spectrum_table(results: Results) -> Table:
    """The table of spectra, in the order of the summary: its columns, with what people say and how they were made."""
    nobody = Inspection()
    said: list[Row] = []
    for source, cards in zip(results.summary["source_id"].tolist(), results.spectra, strict=True):
        seen = results.people.get(source, nobody)
        flags = seen.flags.get(cards["key"], 0)
        z, _ = _best(seen, results.automatic.get(source))
        said.append(
            {name: cards.get(name, "") for name in ("program", *SPECTRUM_FILES)}
            | {"observation": results.observation, "source_id": source, "spectrum": cards["key"]}
            | {"quality": seen.quality, "redshift": z, "flags": flags, "flags_said": _words(flags, results)}
        )
    for row, file in zip(said, results.summary["file"].tolist(), strict=True):
        row["path"] = _path(row["source_id"], file)
    columns = spectrum_columns(results.columns)
    known = {name: results.summary[name] for name in results.columns}
    return as_table(
        {name: [row[name] for row in said] if name not in known else known[name] for name in columns}, columns
    )


def spectrum_columns(summary: Mapping[str, Kind]) -> dict[str, Kind]:
    """All columns of the table of spectra; the summary's describe themselves."""
    return SPECTRUM_COLUMNS | {n: kind for n, kind in summary.items() if n not in SPECTRUM_COLUMNS} | SPECTRUM_FILES


def line_table(results: Results) -> Table:
    """The table of emission lines."""
    found = {name: results.lines[name] for name in LINE_TABLE_COLUMNS if name in results.lines.colnames}
    return as_table({"observation": [results.observation] * len(results.lines), **found}, LINE_TABLE_COLUMNS)


def _source(results: Results, source: int, rows: Sequence[Row], mine: Sequence[int]) -> Row:
    seen, auto = results.people.get(source, Inspection()), results.automatic.get(source)
    own, cards = [rows[k] for k in mine], [results.spectra[k] for k in mine]
    keys = [c["key"] for c in cards]
    z, origin = _best(seen, auto)
    agreeing = [(key, row) for key, row in zip(keys, own, strict=True) if same_redshift(row["redshift_auto"], z)]
    flags = reduce(or_, seen.flags.values(), 0)
    files = [_path(source, row["file"]) for row in own]
    times = [row["exposure_time"] for row in own if math.isfinite(row["exposure_time"])]
    return {
        "observation": results.observation,
        "source_id": source,
        "ra": own[0]["ra"],
        "dec": own[0]["dec"],
        "redshift": z,
        "redshift_error": _error(z, auto, [row for _, row in agreeing]),
        "redshift_from": origin,
        "quality": seen.quality,
        "redshift_inspected": NAN if seen.z is None else seen.z,
        "n_inspectors": seen.n_voters,
        "n_agree": seen.n_agree,
        "conflict": seen.conflict,
        "vote_stale": seen.stale,
        "flags": flags,
        "flags_said": _words(flags, results),
        "comment": one_line(seen.comment),
        "tags": " ".join(seen.tags),
        "inspectors": ", ".join(seen.users),
        "inspected": seen.time,
        "redshift_auto": auto.z if auto else NAN,
        "redshift_auto_error": auto.z_err if auto else NAN,
        "redshift_auto_probability": auto.probability if auto else NAN,
        "redshift_auto_warning": auto.warning if auto else 0,
        "redshift_auto_from": auto.origin if auto else "",
        "n_spectra": len(own),
        "spectra": " ".join(keys),
        "exposure_time": sum(times) if times else NAN,
        "signal_to_noise": _highest(row["signal_to_noise"] for row in own),
        "n_lines": max((row["n_lines"] for _, row in agreeing), default=0),
        **_lines(agreeing),
        "files": " ".join(files),
        **{name: _agreed(c.get(name, "") for c in cards) for name in CARDS if name in SOURCE_COLUMNS},
    }


def _best(seen: Inspection, auto: Automatic | None) -> tuple[float, str]:
    """The redshift to work with, and where it is from."""
    if seen.quality == IMPOSSIBLE:
        return NAN, INSPECTION
    if seen.quality >= TENTATIVE and seen.z is not None:
        return seen.z, INSPECTION
    return (auto.z, auto.origin) if auto else (NAN, "")


def _error(z: float, auto: Automatic | None, agreeing: Sequence[Row]) -> float:
    """Standard error of a redshift: that of the automatic one where they agree, else of the best fit that does."""
    if auto and same_redshift(auto.z, z):
        return auto.z_err
    known = [row["redshift_error"] for row in agreeing if math.isfinite(row["redshift_error"])]
    return min(known, default=NAN)


def same_redshift(first: float, second: float) -> bool:
    """True for redshifts that are one within `SAME_Z`; false where one is NaN."""
    return abs(first - second) <= SAME_Z * (1.0 + min(first, second))


def _lines(agreeing: Sequence[tuple[str, Row]]) -> Row:
    """Of each line, the flux of the spectrum that has it alone and best, of those that were measured at the redshift.

    Lines are measured at the redshift of the fit: a fit that people disagree with has measured something else.
    """
    found: Row = dict.fromkeys(FLUX_COLUMNS, NAN)
    taken: dict[str, list[str]] = defaultdict(list)
    blended: set[str] = set()
    for line, wanted in CATALOGUED.items():
        name = f"flux_{line}"
        offers = []
        for order, (key, row) in enumerate(agreeing):
            if math.isfinite(row[name]) and math.isfinite(row[f"{name}_err"]):
                sums = [s for s in row["lines_blended"].split() if not set(wanted).isdisjoint(s.split("+"))]
                offers.append((bool(sums), row[f"{name}_err"], order, key, row[name], sums))
        if offers:
            _, found[f"{name}_err"], _, key, found[name], sums = min(offers)
            taken[key].append(line)
            blended |= set(sums)
    several = len(taken) > 1
    told = [f"{key}: {' '.join(lines)}" if several else key for key, lines in taken.items()]
    return found | {"lines_from": "; ".join(told), "lines_blended": " ".join(sorted(blended))}


def one_line(text: str) -> str:
    """Text without line breaks and control characters, which FITS and many readers of ECSV do not take."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", re.sub(r"\s*\n\s*", " / ", text.strip()))


def _words(flags: int, results: Results) -> str:
    return ", ".join(word for bit, word in results.flag_words.items() if flags & bit)


def _path(source: int, file: str) -> str:
    return f"{SOURCES}/{source}/{file}"


def _agreed(values: Iterable[str]) -> str:
    """Values, each once, by space."""
    return " ".join(dict.fromkeys(value for value in values if value))


def _highest(values: Iterable[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=NAN)


def _rows(table: Table) -> list[Row]:
    """Rows with plain values."""
    names = table.colnames
    return [dict(zip(names, values, strict=True)) for values in zip(*(table[n].tolist() for n in names), strict=True)]
