"""Offsets: how far the sources of a visit and activity are from their planned places, file ``_offsets.fits``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.columns import Column, primary_hdu, table_hdu
from nirfire.products.fitsfile import open_fits, require

COLUMNS = {
    "source": Column("", "meta.id", "source number"),
    "offset": Column("arcsec", "pos.cartesian.y", "place along the slitlet, from the planned one"),
    "offset_err": Column("arcsec", "stat.error;pos.cartesian.y", "its standard error"),
    "size": Column("arcsec", "phys.angSize", "standard deviation of a round Gaussian"),
    "size_err": Column("arcsec", "stat.error;phys.angSize", "its standard error"),
    "snr": Column("", "stat.snr", "signal-to-noise ratio of all the light"),
    "used": Column("", "meta.code", "true where it counts for the mean"),
}
CARDS = ("ROOT", "OFFSET", "SCATTER")
PLACES = 3
"""Decimals of an answer [arcsec]: what depends on it is not made anew for less."""


@dataclass(frozen=True)
class Offsets:
    """Measured offsets.

    Attributes
    ----------
    root : str
        Visit and activity.
    offset, scatter : float [arcsec]
        Mean along the slitlets, and the scatter of single sources.
    table : Table
        The sources, with the columns of `COLUMNS`.
    """

    root: str
    offset: float
    scatter: float
    table: Table

    def write(self, path: Path) -> None:
        """Write the file."""
        hdu = table_hdu(self.table, "OFFSETS", COLUMNS)
        hdu.header["ROOT"] = (self.root, "visit and activity")
        hdu.header["OFFSET"] = (self.offset, "[arcsec] mean along the slitlets, from the plan")
        hdu.header["SCATTER"] = (self.scatter, "[arcsec] scatter of single sources")
        write_fits(path, fits.HDUList([primary_hdu({}), hdu]))

    @classmethod
    def read(cls, path: Path) -> Offsets:
        """Read the file.

        Raises
        ------
        DataError
            It is damaged, or another kind of file.
        """
        with open_fits(path) as hdus:
            if "OFFSETS" not in hdus:
                raise DataError("no table of offsets", file=path, key="OFFSETS", remedy="redo offsets")
            header = hdus["OFFSETS"].header
            root, offset, scatter = (str(require(header, key, file=path, why="offset of a visit")) for key in CARDS)
            return cls(root, float(offset), float(scatter), Table(hdus["OFFSETS"].data))


def read_offset(path: Path) -> dict[str, tuple[float, float]]:
    """Visit and activity to offset and scatter [arcsec], as the file says it.

    Raises
    ------
    DataError
        The file is damaged, or another kind of file.
    """
    found = Offsets.read(path)
    return {found.root: (round(found.offset, PLACES), max(round(found.scatter, PLACES), 10.0**-PLACES))}
