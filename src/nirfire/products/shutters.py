"""Shutters: the sky level of each micro-shutter of a root's slitlets, and which of them are stuck closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.columns import Column, primary_hdu, table_hdu
from nirfire.products.fitsfile import open_fits

VERDICTS, LEVELS, IMAGES = "VERDICTS", "LEVELS", "IMAGES"
_ID = {
    "source": Column("", "meta.id;src", "source number; 0 for plain sky, negative for virtual sources"),
    "slitlet": Column("", "meta.id;instr", "slitlet number"),
}
_SHUTTER = _ID | {
    "ordinal": Column("", "meta.id;instr", "shutter of the slit, 1 = lowest shutter_column"),
    "quadrant": Column("", "meta.id;instr", "MSA quadrant, 0 if not known"),
    "shutter_row": Column("", "meta.id;instr", "shutter along the dispersion, 1 to 365, 0 if not known"),
    "shutter_column": Column("", "meta.id;instr", "shutter across the dispersion, 1 to 171"),
}
_EXPOSURE = {
    "exposure": Column("", "meta.id;obs.exposure", "exposure and detector"),
}
VERDICT_COLUMNS = _SHUTTER | {
    "level": Column("", "phot.count;arith.ratio", "sky through the shutter over that through an open one"),
    "error": Column("", "stat.error;phot.count;arith.ratio", "standard error of level"),
    "scatter": Column("", "stat.stdev;phot.count;arith.ratio", "scatter of the level of open shutters"),
    "chance": Column("", "stat.probability", "probability that an open shutter has a level as low as this"),
    "evidence": Column("", "stat.likelihood;arith.ratio", "ln of the likelihood of shut over that of open"),
    "state": Column("", "meta.code.status", "open, closed, vignetted or unknown"),
    "closed": Column("", "meta.code.status", "True: calibrate takes the shutter for closed"),
}
LEVEL_COLUMNS = (
    _EXPOSURE
    | _SHUTTER
    | {
        "sourced": Column("", "meta.code.status", "True: a source is planned in the shutter"),
        "level": VERDICT_COLUMNS["level"],
        "error": VERDICT_COLUMNS["error"],
    }
)
IMAGE_COLUMNS = (
    _EXPOSURE
    | _ID
    | {
        "first": Column("", "meta.id;instr", "shutter_column of the first shutter"),
        "step": Column("", "instr.scale;instr.pixel", "height of a row of the image, in pitches of the shutters"),
        "start": Column(
            "", "pos.cartesian.y;instr", "lower edge of the first row, in pitches from the middle of the first shutter"
        ),
        "rows": Column("", "meta.number", "rows of the image that are used"),
        "wave": Column("um", "em.wl", "edges of the columns of the image"),
        "sky": Column("", "phot.count", "light that an open shutter would show, in the unit of the image"),
        "image": Column("", "phot.count", "mean of the pixels in each box (DN/s, or MJy of cutouts)"),
    }
)


@dataclass(frozen=True)
class ShutterTable:
    """What is found of the shutters of one root.

    Attributes
    ----------
    verdicts : Table
        `VERDICT_COLUMNS`, one row per source and shutter of its slit; those of plain sky once per slitlet.
    levels : Table
        `LEVEL_COLUMNS`, one row per exposure and detector of each of these.
    images : Table
        `IMAGE_COLUMNS`, one row per slit, exposure and detector.
    meta : dict
        Cards of the primary header.
    """

    verdicts: Table
    levels: Table
    images: Table
    meta: dict[str, tuple[Any, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> ShutterTable:
        """Read a ``_shutters.fits``.

        Raises
        ------
        DataError
            The file is absent or damaged, or a table is missing.
        """
        with open_fits(path) as hdus:
            verdicts, levels, images = (_table(hdus, name, path) for name in (VERDICTS, LEVELS, IMAGES))
            meta = {c.keyword: (c.value, c.comment) for c in hdus[0].header.cards if c.keyword.startswith("NFSH")}
        return cls(verdicts, levels, images, meta)

    def write(self, path: Path) -> None:
        """Write a ``_shutters.fits``."""
        hdus = [
            primary_hdu(self.meta),
            table_hdu(self.verdicts, VERDICTS, VERDICT_COLUMNS),
            table_hdu(self.levels, LEVELS, LEVEL_COLUMNS),
            table_hdu(self.images, IMAGES, IMAGE_COLUMNS),
        ]
        write_fits(path, fits.HDUList(hdus))

    @property
    def sources(self) -> list[int]:
        """Sources of which there is a verdict, in increasing order."""
        return [int(s) for s in np.unique(self.verdicts["source"]) if s > 0]

    @property
    def odd(self) -> list[int]:
        """Sources with a shutter that is closed or vignetted, in increasing order."""
        state = np.asarray(self.verdicts["state"], dtype=str)
        found = np.unique(np.asarray(self.verdicts["source"])[(state == "closed") | (state == "vignetted")])
        return [int(s) for s in found if s > 0]


def _table(hdus: fits.HDUList, name: str, path: Path) -> Table:
    if name not in hdus:
        raise DataError(f"table {name} is missing", file=path, key=name, remedy="redo shutters")
    table = Table(hdus[name].data)
    table.convert_bytestring_to_unicode()
    return table


def read_closed(path: Path) -> dict[int, tuple[int, ...]]:
    """Read the ordinals of the shutters that were found closed, by source; those without are left out.

    Raises
    ------
    DataError
        The file is absent or damaged, or lacks the table.
    """
    with open_fits(path) as hdus:
        if VERDICTS not in hdus:
            raise DataError(f"table {VERDICTS} is missing", file=path, key=VERDICTS, remedy="redo shutters")
        rows = hdus[VERDICTS].data
        chosen = rows["closed"] & (rows["source"] != 0)
        pairs = sorted(zip(rows["source"][chosen].tolist(), rows["ordinal"][chosen].tolist(), strict=True))
    found: dict[int, tuple[int, ...]] = {}
    for source, ordinal in pairs:
        found[source] = (*found.get(source, ()), ordinal)
    return found
