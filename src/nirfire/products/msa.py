"""The MSA metafile: which shutters are open, and which sources lie in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits

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
    "estimated_source_in_shutter_x",
    "estimated_source_in_shutter_y",
    "dither_point_index",
    "primary_source",
)
LARGEST_GAP = 3  # shutters; groups further apart than this are separate slits


@dataclass(frozen=True)
class Metafile:
    """An MSA metafile.

    Attributes
    ----------
    path : Path
        Where it was read from.
    shutters : Table
        SHUTTER_INFO, one row per open shutter and dither point.
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
                    raise DataError(f"table {name} is missing", file=path, key=name, remedy="fetch the metafile anew")
            shutters, sources = (_table(hdus[name]) for name in (SHUTTERS, SOURCES))
        missing = set(SHUTTER_COLUMNS) - set(shutters.colnames)
        if missing:
            raise DataError(
                f"columns missing: {', '.join(sorted(missing))}",
                file=path,
                key=SHUTTERS,
                remedy="fetch the metafile anew",
            )
        return cls(path=path, shutters=shutters, sources=sources)

    def configuration(self, metadata_id: int) -> Table:
        """Rows of one MSA configuration.

        Raises
        ------
        DataError
            The metafile does not hold this configuration.
        """
        chosen = self.shutters["msa_metadata_id"] == metadata_id
        if not chosen.any():
            known = sorted({int(i) for i in self.shutters["msa_metadata_id"]})
            raise DataError(
                f"the metafile has no MSAMETID {metadata_id} (it has {known})",
                file=self.path,
                key="MSAMETID",
                remedy="use the metafile that belongs to the exposure, or correct MSAMETID in the exposure",
            )
        return self.shutters[chosen]

    def source_ids(self, metadata_id: int) -> list[int]:
        """Every source in a slitlet of this configuration, primary or not, in increasing order."""
        ids = self.configuration(metadata_id)["source_id"]
        return sorted({int(i) for i in ids if i > 0})

    def primaries(self, metadata_id: int) -> set[int]:
        """Sources that are the primary of their slitlet."""
        rows = self.configuration(metadata_id)
        return {int(r["source_id"]) for r in rows if r["primary_source"] == "Y" and r["source_id"] > 0}

    def slitlets_of(self, source: int, metadata_id: int) -> set[int]:
        """Slitlets of a configuration that hold a source."""
        rows = self.configuration(metadata_id)
        return {int(s) for s in rows["slitlet_id"][rows["source_id"] == source]}

    def name(self, source: int) -> str:
        """The catalogue name of a source; its number where the catalogue has none."""
        match = self.sources["source_id"] == source
        return str(self.sources["source_name"][match][0]).strip() if match.any() else str(source)

    def for_source(self, source: int, metadata_id: int, closed: tuple[int, ...] = ()) -> Metafile:
        """The metafile in which `source` alone is primary, as a point source.

        Parameters
        ----------
        source : int
            Source to keep.
        metadata_id : int
            MSA configuration (MSAMETID).
        closed : tuple of int
            Ordinals (1 = lowest ``shutter_column`` of the slitlet) of shutters that are stuck closed: their rows
            are dropped, since the stock pipeline ignores ``shutter_state``.

        Raises
        ------
        DataError
            The source is in no slitlet of the configuration, or in more than one, or no open shutter is left.

        Notes
        -----
        Stellarity is set to 1, so the stock pipeline treats the source as a point: one calibration for all.
        Groups of shutters further than `LARGEST_GAP` from the source are not part of its slit and are dropped.
        """
        rows = self.configuration(metadata_id)
        slitlets = self.slitlets_of(source, metadata_id)
        if len(slitlets) != 1:
            raise DataError(
                f"source {source} is in {len(slitlets)} slitlets of configuration {metadata_id}, expected one",
                file=self.path,
                key="slitlet_id",
                remedy="correct the metafile",
            )
        rows = rows[rows["slitlet_id"] == slitlets.pop()].copy()
        rows = _attached(rows, source)
        columns = np.unique(rows["shutter_column"])
        dropped = [columns[k - 1] for k in closed if 1 <= k <= len(columns)]
        rows = rows[~np.isin(rows["shutter_column"], dropped)]
        if len(rows) == 0:
            raise DataError(f"all shutters of source {source} are stuck closed", file=self.path, key="shutter_column")
        mine = (rows["source_id"] == source) & (rows["estimated_source_in_shutter_x"] > 0)
        rows["primary_source"] = np.where(mine, "Y", "N")
        rows["background"] = np.where(mine, "N", "Y")
        rows["source_id"] = np.where(mine, source, 0)
        rows = _one_row_per_shutter(rows)
        mine = rows["source_id"] == source
        for axis in ("x", "y"):
            column = rows[f"estimated_source_in_shutter_{axis}"]
            rows[f"estimated_source_in_shutter_{axis}"] = np.where(mine, column, np.nan)
        sources = self.sources[self.sources["source_id"] == source].copy()
        sources["stellarity"] = 1.0
        return Metafile(path=self.path, shutters=rows, sources=sources)

    def n_shutters(self) -> int:
        """Number of different shutters in the table."""
        keys = ("shutter_quadrant", "shutter_row", "shutter_column")
        return len({tuple(int(r[k]) for k in keys) for r in self.shutters})

    def write(self, path: Path) -> None:
        """Write with the original's other extensions."""
        with open_fits(self.path) as hdus:
            for name, rows in ((SHUTTERS, self.shutters), (SOURCES, self.sources)):
                hdus[name] = fits.BinTableHDU(rows, name=name)
            write_fits(path, hdus)


def _table(hdu: fits.BinTableHDU) -> Table:
    table = Table(hdu.data)
    table.convert_bytestring_to_unicode()
    table.rename_columns(table.colnames, [name.lower() for name in table.colnames])
    return table


def _one_row_per_shutter(rows: Table) -> Table:
    """Where several sources share a shutter, keep one row per shutter and dither point, the primary's first."""
    order = np.argsort(rows["primary_source"] != "Y", kind="stable")
    keys = np.column_stack([rows["shutter_column"], rows["dither_point_index"]])[order]
    _, first = np.unique(keys, axis=0, return_index=True)
    return rows[np.sort(order[first])]


def _attached(rows: Table, source: int) -> Table:
    """Drop the shutters that a gap larger than `LARGEST_GAP` parts from the source's own."""
    columns = np.unique(rows["shutter_column"])
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > LARGEST_GAP) + 1)
    own = set(rows["shutter_column"][rows["source_id"] == source])
    kept = np.concatenate([g for g in groups if own & set(g)])
    return rows[np.isin(rows["shutter_column"], kept)]
