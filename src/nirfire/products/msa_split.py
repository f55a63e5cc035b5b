"""Long slits: each shutter a slitlet and a source of its own."""

from __future__ import annotations

import numpy as np
from astropy.table import Table, vstack

from nirfire.products.msa import Metafile, catalogue_row
from nirfire.products.msa_check import NOTE, Finding, Where
from nirfire.products.msa_rows import X, Y, is_closed, is_fixed_slit
from nirfire.products.msa_sky import sky_of

SHUTTER = ("shutter_quadrant", "shutter_row", "shutter_column")


def split_slitlets(metafile: Metafile, longest: int) -> tuple[Metafile, list[Finding]]:
    """Make each shutter of long slitlets a slitlet that holds a source, at all dither points.

    A slit is calibrated for the one shutter in which its source lies; wavelengths and flux of a long slit hold for one
    shutter at a time. STScI describes this way of processing one ("Long slit processing" of the page on MOS caveats).

    Parameters
    ----------
    metafile : Metafile
        It stays as it is, in memory and on disk.
    longest : int
        Slitlets of more open shutters than this are split.

    Returns
    -------
    Metafile
        The new sources have numbers above all others, the same in all configurations, are in the middle of their
        shutter and extended (stellarity 0). Their aliases name quadrant, row and column.
    list of Finding
        One for each slitlet that was split.

    Notes
    -----
    RA, Dec follow from the other sources (`msa_sky.sky_of`); where that cannot be, they are those of the first source
    of the slitlet, or else 0. The sources that the slitlet had are in it no longer.
    """
    rows, log = metafile.shutters.as_array().copy(), []
    highest = max(rows["source_id"].max(initial=0), np.max(metafile.sources["source_id"], initial=0))
    free = int(rows["slitlet_id"].max(initial=0)) + 1, int(highest) + 1
    usable = ~(is_fixed_slit(rows) | is_closed(rows))
    numbers: dict[tuple[int, ...], int] = {}
    kept = np.ones(len(rows), bool)
    where: dict[int, tuple[float, float]] = {}
    for metadata_id, slitlet in np.unique(rows[usable][["msa_metadata_id", "slitlet_id"]]).tolist():
        inside = usable & (rows["msa_metadata_id"] == metadata_id) & (rows["slitlet_id"] == slitlet)
        shutters = np.unique(rows[inside][list(SHUTTER)])
        if len(shutters) <= longest:
            continue
        fallback = next((metafile.sky[int(k)] for k in rows["source_id"][inside] if int(k) in metafile.sky), (0.0, 0.0))
        kept[inside] = False
        for shutter in shutters.tolist():
            number = numbers.setdefault(shutter, len(numbers))
            here = np.flatnonzero(inside & (rows[list(SHUTTER)] == np.array(shutter, shutters.dtype)))
            _, first = np.unique(rows["dither_point_index"][here], return_index=True)
            kept[here[first]] = True
            values = (("slitlet_id", free[0] + number), ("source_id", free[1] + number), (X, 0.5), (Y, 0.5))
            for name, value in (*values, ("background", "N"), ("primary_source", "Y")):
                rows[name][here] = value
            where[number] = fallback
        message = f"split into {len(shutters)} slitlets with a source each"
        log.append(Finding("split", NOTE, Where(metadata_id, slitlet), message))
    rows = rows[kept]
    return Metafile(metafile.path, Table(rows), _catalogue(metafile, rows, free[1], numbers, where)), log


def _catalogue(
    metafile: Metafile,
    rows: np.ndarray,
    first: int,
    numbers: dict[tuple[int, ...], int],
    fallback: dict[int, tuple[float, float]],
) -> Table:
    """SOURCE_INFO with the new sources."""
    added = []
    for shutter, number in numbers.items():
        source = int(first + number)
        metadata_id = rows["msa_metadata_id"][rows["source_id"] == source][0]
        sky = sky_of(rows[rows["msa_metadata_id"] == metadata_id], source, metafile.sky) or fallback[number]
        row = catalogue_row(metafile.sources, source, sky, alias="Q{}_{}_{}".format(*shutter))
        row["stellarity"] = 0.0
        added.append(row)
    return vstack([metafile.sources, *added], metadata_conflicts="silent") if added else metafile.sources
