"""Which files of a program are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from astropy.table import Row

from nirfire.archive.checksum import parse_checksum
from nirfire.archive.link import Link
from nirfire.archive.mast import EXP_TYPE, Mast
from nirfire.archive.options import DownloadOptions
from nirfire.errors import DataError
from nirfire.products.naming import CAL, EXPOSURE_PATTERN, METAFILE_PATTERN, RATE, UNCAL

SUFFIX = {"uncal": UNCAL, "rate": RATE, "cal": CAL}
FILESET = re.compile(r"jw(?P<program>\d{5})(?P<observation>\d{3})\d{3}_\d{5}_\d{5}")
CHECKSUM_COLUMNS = ("sha256", "sha1", "md5", "checksum")


@dataclass(frozen=True)
class RemoteFile:
    """A file at the archive.

    Attributes
    ----------
    name : str
        File name, without a folder.
    uri : str
        What the archive calls it.
    size : int or None
        Size that the archive lists [bytes].
    checksum : str or None
        Checksum that the archive lists, as ``algorithm:hex``.
    """

    name: str
    uri: str
    size: int | None = None
    checksum: str | None = None

    @property
    def is_metafile(self) -> bool:
        return METAFILE_PATTERN.fullmatch(self.name) is not None


@dataclass(frozen=True)
class Exposure:
    """An exposure at the archive, both detectors together.

    Attributes
    ----------
    fileset : str
        ``jwPPPPPOOOVVV_GGSAA_EEEEE``.
    elements : tuple of str
        Disperser and filter, for example ``("F170LP", "G235M")``.
    """

    fileset: str
    elements: tuple[str, ...]

    @property
    def observation(self) -> int:
        """Number of the observation."""
        return int(self.fileset[7:10])

    @property
    def grating(self) -> str:
        """The disperser; the archive lists it beside the filter."""
        return next((e for e in self.elements if e == "PRISM" or re.fullmatch(r"G\d{3}[MH]", e)), "unknown")


@dataclass(frozen=True)
class Listing:
    """What is wanted of a program.

    Attributes
    ----------
    exposures : tuple of Exposure
        The exposures.
    files : tuple of RemoteFile
        Their files: MSA metafiles first, then by name.
    without : tuple of str
        Exposures of which the archive lists no file of the wanted level.
    """

    exposures: tuple[Exposure, ...]
    files: tuple[RemoteFile, ...]
    without: tuple[str, ...] = ()


def find_files(options: DownloadOptions, link: Link) -> Listing:
    """Ask the archive which files the options mean.

    Parameters
    ----------
    options : DownloadOptions
        Program, observations, gratings and level.
    link : Link
        The way to the archive.

    Returns
    -------
    Listing

    Raises
    ------
    DataError
        The archive does not answer, or has nothing like that.
    """
    mast = Mast(link)
    exposures = _choose(read_exposures(mast.exposures(options.program)), options)
    suffix = SUFFIX[options.level]
    files = choose_files(mast.products([e.fileset for e in exposures]), exposures, suffix)
    having = {match["exposure"].rpartition("_")[0] for f in files if (match := EXPOSURE_PATTERN.match(f.name))}
    if not having:
        message = f"program {options.program}: the archive lists no *{suffix} for {len(exposures)} exposures"
        raise DataError(message, key="level", remedy="try another level, or look the program up at the archive")
    without = tuple(e.fileset for e in exposures if e.fileset not in having)
    return Listing(exposures, files, without)


def read_exposures(rows: Iterable[Row]) -> list[Exposure]:
    """Exposures among the rows of a search, each once; other types and combined products are left out."""
    found = {}
    for row in rows:
        fileset = _text(row, "fileSetName")
        if FILESET.fullmatch(fileset) and _text(row, "exp_type") in ("", EXP_TYPE):
            elements = re.split(r"[;,/\s]+", _text(row, "opticalElements").upper())
            found[fileset] = Exposure(fileset, tuple(filter(None, elements)))
    return sorted(found.values(), key=lambda e: e.fileset)


def _choose(exposures: list[Exposure], options: DownloadOptions) -> tuple[Exposure, ...]:
    """Keep the observations and gratings that are asked for; each must be there."""
    if not exposures:
        message = f"program {options.program} has no {EXP_TYPE} exposures at the archive"
        raise DataError(message, key="program", remedy="check the number; planned visits have no data yet")
    _all_there("observation", options.observations, {e.observation for e in exposures})
    chosen = [e for e in exposures if not options.observations or e.observation in options.observations]
    gratings = tuple(g.upper() for g in options.gratings)
    _all_there("grating", gratings, {e.grating for e in chosen})
    return tuple(e for e in chosen if not gratings or e.grating in gratings)


def _all_there(what: str, asked: tuple, there: set) -> None:
    absent = [str(a) for a in asked if a not in there]
    if absent:
        has = ", ".join(str(t) for t in sorted(there))
        raise DataError(f"no exposures with {what} {', '.join(absent)}", key=what, remedy=f"there are: {has}")


def choose_files(rows: Iterable[Row], exposures: Iterable[Exposure], suffix: str) -> tuple[RemoteFile, ...]:
    """Files of the exposures with a suffix, and the MSA metafiles that the archive lists with them, each once.

    Only names of the known forms are taken, so that a name never leads out of the folder.
    """
    filesets = {e.fileset for e in exposures}
    found: dict[str, RemoteFile] = {}
    for row in rows:
        name = _text(row, "filename")
        match = EXPOSURE_PATTERN.match(name)
        wanted = match and name == match["exposure"] + suffix and match["exposure"].rpartition("_")[0] in filesets
        if wanted or METAFILE_PATTERN.fullmatch(name):
            size = _number(row, "size")
            checksum = next(filter(None, (parse_checksum(_text(row, c)) for c in CHECKSUM_COLUMNS)), None)
            found.setdefault(name, RemoteFile(name, _text(row, "uri") or name, size, checksum))
    return tuple(sorted(found.values(), key=lambda f: (not f.is_metafile, f.name)))


def _text(row: Row, column: str) -> str:
    """A cell as text; empty when it or its column is absent."""
    value = row[column] if column in row.colnames else None
    return "" if value is None or value is np.ma.masked else str(value).strip()


def _number(row: Row, column: str) -> int | None:
    """A cell as a positive integer; None when it is none."""
    text = _text(row, column).removesuffix(".0")
    return int(text) if text.isdigit() and int(text) > 0 else None
