"""The MSA metafile: which shutters are open, and which sources lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError, NoWork
from nirfire.products import msa_rows, msa_sky
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa_rows import LARGEST_GAP, STELLARITY, SourceOptions, X, Y

__all__ = ["LARGEST_GAP", "SHUTTERS", "SHUTTER_COLUMNS", "SOURCES", "Metafile", "SourceOptions"]

SHUTTERS, SOURCES = "SHUTTER_INFO", "SOURCE_INFO"
SHUTTER_COLUMNS = (
    "slitlet_id",
    "msa_metadata_id",
    "shutter_quadrant",
    "shutter_row",
    "shutter_column",
    "source_id",
    "background",
    "shutter_state",
    X,
    Y,
    "dither_point_index",
    "primary_source",
)
SAME_PLACE = 0.1  # arcsec; in flight catalogues duplicates are up to 0.095 apart, real pairs at least 0.158
UNKNOWN_STELLARITY = -1.0  # written where the catalogue has none; the stock pipeline takes a point (jwst issue 4623)
ANEW = "fetch the metafile anew"


@dataclass(frozen=True)
class Metafile:
    """An MSA metafile.

    Attributes
    ----------
    path : Path
        Where it was read from.
    shutters : Table
        SHUTTER_INFO, one row per open shutter and dither point; per source, where sources share a shutter.
    sources : Table
        SOURCE_INFO, one row per source.
    """

    path: Path
    shutters: Table
    sources: Table

    @classmethod
    def read(cls, path: Path) -> Metafile:
        """Read a metafile.

        Raises
        ------
        DataError
            The file is absent or damaged, or a table or column is missing.
        """
        if not path.is_file():
            raise DataError(
                "MSA metafile not found",
                file=path,
                key="MSAMETFL",
                remedy="put the metafile (jw..._msa.fits, from the archive) beside the exposures",
            )
        with open_fits(path) as hdus:
            for name in (SHUTTERS, SOURCES):
                if name not in hdus:
                    raise DataError(f"table {name} is missing", file=path, key=name, remedy=ANEW)
            shutters, sources = (_table(hdus[name]) for name in (SHUTTERS, SOURCES))
        for name, table, columns in ((SHUTTERS, shutters, SHUTTER_COLUMNS), (SOURCES, sources, ("source_id",))):
            missing = set(columns) - set(table.colnames)
            if missing:
                raise DataError(f"columns missing: {', '.join(sorted(missing))}", file=path, key=name, remedy=ANEW)
        return cls(path=path, shutters=shutters, sources=_with_optional(sources))

    @property
    def metadata_ids(self) -> list[int]:
        """Numbers of its configurations (MSAMETID), in increasing order."""
        return [int(k) for k in np.unique(self.shutters["msa_metadata_id"])]

    def configuration(self, metadata_id: int) -> Table:
        """Open shutters of one MSA configuration, and fixed slits; without rows marked CLOSED.

        Raises
        ------
        DataError
            The metafile does not hold this configuration.
        """
        rows = self.rows(metadata_id)
        return Table(rows[~msa_rows.is_closed(rows)])

    def open_rows(self, metadata_id: int) -> np.ndarray:
        """As `configuration`, without fixed slits, as a structured array that must not be written to."""
        if metadata_id not in self._opened:
            rows = self.rows(metadata_id)
            rows = rows[~(msa_rows.is_fixed_slit(rows) | msa_rows.is_closed(rows))]
            rows.flags.writeable = False
            self._opened[metadata_id] = rows
        return self._opened[metadata_id]

    def rows(self, metadata_id: int) -> np.ndarray:
        """Rows of one MSA configuration as the file has them, as a structured array.

        Raises
        ------
        DataError
            The metafile does not hold this configuration.
        """
        chosen = self._array["msa_metadata_id"] == metadata_id
        if not chosen.any():
            raise DataError(
                f"the metafile has no MSAMETID {metadata_id} (it has {self.metadata_ids})",
                file=self.path,
                key="MSAMETID",
                remedy="use the metafile that belongs to the exposure, or correct MSAMETID in the exposure",
            )
        return self._array[chosen]

    @cached_property
    def _opened(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _array(self) -> np.ndarray:
        return self.shutters.as_array()

    def source_ids(self, metadata_id: int) -> list[int]:
        """Every source in a slitlet of this configuration, primary or not, in increasing order; without duplicates.

        Numbers below 1 are no sources: 0 is background, and a negative one stands for a blank piece of sky that was
        planned as if there were a source (a virtual source).
        """
        kept: dict[int, int] = {}
        for i in np.unique(self.open_rows(metadata_id)["source_id"]).tolist():
            if i > 0:
                kept.setdefault(self.duplicates.get(i, i), i)
        return list(kept.values())

    def virtual_ids(self, metadata_id: int) -> list[int]:
        """The virtual sources of this configuration, negative numbers: pieces of sky planned like sources."""
        return [i for i in np.unique(self.open_rows(metadata_id)["source_id"]).tolist() if i < 0]

    @cached_property
    def duplicates(self) -> dict[int, int]:
        """Sources that stand twice in the catalogue: the number that is dropped where both are, and the lower one.

        Two numbers are one source when they share a slitlet of any configuration and are less than `SAME_PLACE` apart.
        """
        rows = self._array[self._array["source_id"] > 0]
        keys = np.column_stack([rows[name] for name in ("msa_metadata_id", "slitlet_id", "source_id")])
        keys = np.unique(keys.reshape(-1, 3).astype(int), axis=0)
        _, counts = np.unique(keys[:, :2], axis=0, return_counts=True)
        pairs = set()
        for ids in np.split(keys[:, 2], np.cumsum(counts)[:-1]):
            pairs |= {(int(a), int(b)) for a, b in combinations(ids, 2)}
        same: dict[int, int] = {}
        for low, high in sorted(pairs):
            if {low, high} <= self.sky.keys() and msa_sky.separation(self.sky[low], self.sky[high]) < SAME_PLACE:
                same.setdefault(high, same.get(low, low))
        return same

    def primaries(self, metadata_id: int) -> set[int]:
        """Sources that are the primary of their slitlet."""
        rows = self.open_rows(metadata_id)
        return {int(i) for i in rows["source_id"][(rows["primary_source"] == "Y") & (rows["source_id"] > 0)]}

    def slitlets_of(self, source: int, metadata_id: int) -> set[int]:
        """Slitlets of a configuration that hold a source."""
        rows = self.open_rows(metadata_id)
        return {int(s) for s in rows["slitlet_id"][rows["source_id"] == source]}

    def name(self, source: int) -> str:
        """The catalogue name of a source; its number where the catalogue has none."""
        match = self.sources["source_id"] == source
        return str(self.sources["source_name"][match][0]).strip() if match.any() else str(source)

    @cached_property
    def sky(self) -> Mapping[int, tuple[float, float]]:
        """RA, Dec [deg] of the sources whose coordinates the catalogue has; where it has two, the first."""
        columns = (self.sources[name] for name in ("source_id", "ra", "dec"))
        rows = reversed(list(zip(*(c.tolist() for c in columns), strict=True)))
        return {int(k): (ra, dec) for k, ra, dec in rows if np.isfinite(ra) and np.isfinite(dec)}

    def for_source(self, source: int, metadata_id: int, options: SourceOptions | None = None) -> Metafile:
        """The metafile in which `source` alone is primary.

        Parameters
        ----------
        source : int
            Source to keep.
        metadata_id : int
            MSA configuration (MSAMETID).
        options : SourceOptions
            What is to differ from the plan. By default the source is a point in the slit as it was planned.

        Raises
        ------
        DataError
            The source is in no slitlet of the configuration, or in two shutters at one dither point; a measured
            position is given where none was planned; or its sky position is not known and cannot be had from the other
            sources.
        NoWork
            No open shutter is left.

        Notes
        -----
        One slit, of all shutters that are one for this source (`msa_rows.slit_of`); at each dither point the shutter in
        which the source lies is primary, and all others are background. At dither points at which it lies in none, all
        are. SOURCE_INFO has the row of this source, with a sky position from the other sources (`msa_sky.sky_of`) where
        the catalogue has none: the stock pipeline would set RA = Dec = 0.
        """
        options = options or SourceOptions()
        rows = self._slit_of(source, metadata_id)
        rows = msa_rows.with_one_source(rows, source)
        self._check_places(rows, source)
        try:
            rows = msa_rows.moved(rows, source, options.position)
        except KeyError as error:
            message = (
                f"source {source} has a measured position at dither point {error}, but is planned in no shutter there"
            )
            raise DataError(message, file=self.path, key="position", remedy="leave this dither point out") from None
        rows = msa_rows.without(rows, options.closed)
        if len(rows) == 0:
            raise NoWork(f"all shutters of source {source} are stuck closed", file=self.path)
        if options.length:
            rows = msa_rows.shortened(rows, source, options.length)
        rows = msa_rows.padded(rows, options.pad)
        return Metafile(self.path, Table(rows), self._catalogue_row(source, metadata_id, options.source_type))

    def places(self, source: int, metadata_id: int, dither_point: int) -> dict[int, tuple[float, float]]:
        """Where the sources of the slit of a source are at a dither point; see `msa_rows.places`."""
        return msa_rows.places(self._slit_of(source, metadata_id), dither_point)

    def n_shutters(self) -> int:
        """Number of different shutters in the table."""
        keys = ("shutter_quadrant", "shutter_row", "shutter_column")
        return len(np.unique(np.column_stack([self.shutters[k] for k in keys]), axis=0))

    def write(self, path: Path) -> None:
        """Write with the original's other extensions."""
        with open_fits(self.path) as hdus:
            for name, rows in ((SHUTTERS, self.shutters), (SOURCES, self.sources)):
                hdus[name] = fits.BinTableHDU(rows, name=name)
            write_fits(path, hdus)

    def _slit_of(self, source: int, metadata_id: int) -> np.ndarray:
        rows = self.open_rows(metadata_id)
        if not (rows["source_id"] == source).any():
            raise DataError(
                f"source {source} is in no open slitlet of configuration {metadata_id}",
                file=self.path,
                key="source_id",
                remedy="choose one of those that `nirfire sources` lists",
            )
        return msa_rows.slit_of(rows, source)

    def _check_places(self, rows: np.ndarray, source: int) -> None:
        points, counts = np.unique(rows["dither_point_index"][msa_rows.is_own(rows, source)], return_counts=True)
        if (counts > 1).any():
            raise DataError(
                f"source {source} is in {counts.max()} shutters at dither point {points[np.argmax(counts)]}",
                file=self.path,
                key="source_id",
                remedy="delete the rows that are wrong from SHUTTER_INFO",
            )

    def _catalogue_row(self, source: int, metadata_id: int, source_type: str) -> Table:
        """SOURCE_INFO of one source."""
        chosen = self.sources[self.sources["source_id"] == source][:1].copy()
        if source not in self.sky:
            where = msa_sky.sky_of(self.open_rows(metadata_id), source, self.sky)
            if where is None:
                raise DataError(
                    f"SOURCE_INFO has no coordinates for source {source}, and too few other sources to derive them",
                    file=self.path,
                    key="source_id",
                    remedy="add a row for it to SOURCE_INFO",
                )
            chosen = catalogue_row(self.sources, source, where) if len(chosen) == 0 else chosen
            chosen["ra"], chosen["dec"] = where
        if source_type in STELLARITY:
            chosen["stellarity"] = STELLARITY[source_type]
        return chosen


def catalogue_row(sources: Table, source: int, where: tuple[float, float], alias: str = "") -> Table:
    """A row of SOURCE_INFO for a source that is not in it.

    Parameters
    ----------
    sources : Table
        SOURCE_INFO.
    source : int
    where : (float, float)
        RA, Dec [deg].
    alias : str
        By default its number.
    """
    row = Table(sources[:0], copy=True)
    program = int(sources["program"][0]) if "program" in sources.colnames and len(sources) else 0
    values = {
        "program": program,
        "source_id": source,
        "source_name": f"{program}_{source}",
        "alias": alias or str(source),
        "ra": where[0],
        "dec": where[1],
        "preimage_id": "None",
        "stellarity": UNKNOWN_STELLARITY,
    }
    for name in ("source_name", "alias", "preimage_id"):
        if name in row.colnames:
            row[name] = row[name].astype(f"U{max(row[name].dtype.itemsize // 4, len(str(values[name])))}")
    row.add_row([values.get(name, row[name].dtype.type()) for name in row.colnames])
    return row


def _table(hdu: fits.BinTableHDU) -> Table:
    table = Table(hdu.data)
    table.convert_bytestring_to_unicode()
    table.rename_columns(table.colnames, [name.lower() for name in table.colnames])
    return table


def _with_optional(sources: Table) -> Table:
    """Add the columns that are asked for and a catalogue may lack."""
    numbers = sources["source_id"].astype(str)
    defaults = {"source_name": numbers, "alias": numbers, "ra": np.nan, "dec": np.nan, "stellarity": UNKNOWN_STELLARITY}
    for name, value in defaults.items():
        if name not in sources.colnames:
            sources[name] = np.broadcast_to(value, len(sources)).copy()
    unknown = ~np.isfinite(np.asarray(sources["stellarity"], float))
    sources["stellarity"][unknown] = UNKNOWN_STELLARITY
    return sources
