"""The MSA metafile of a simulated visit, as flight ones are.

One row per open shutter and dither point. Shutters without a source carry the number of the slitlet's source with
``background = Y``, as the planning tool writes them; blank slitlets are planned on a virtual source (negative number)
or are plain background (number 0, no primary).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.products.atomic import write_fits
from nirfire.products.msa import SHUTTERS, SOURCES
from nirfire.simulate.optics import N_COLUMN, N_ROW
from nirfire.simulate.paint import Placement
from nirfire.simulate.scene import NOD_SHUTTERS, Scene, Slitlet, Source

_SHUTTER_TYPE = np.dtype(
    [
        ("slitlet_id", ">i2"),
        ("msa_metadata_id", ">i2"),
        ("shutter_quadrant", ">i2"),
        ("shutter_row", ">i2"),
        ("shutter_column", ">i2"),
        ("source_id", ">i4"),
        ("background", "S1"),
        ("shutter_state", "S6"),
        ("estimated_source_in_shutter_x", ">f4"),
        ("estimated_source_in_shutter_y", ">f4"),
        ("dither_point_index", ">i2"),
        ("primary_source", "S1"),
        ("fixed_slit", "S7"),
    ]
)
_SOURCE_TYPE = np.dtype(
    [
        ("program", ">i4"),
        ("source_id", ">i4"),
        ("source_name", "S20"),
        ("alias", "S31"),
        ("ra", ">f8"),
        ("dec", ">f8"),
        ("preimage_id", "S30"),
        ("stellarity", ">f8"),
    ]
)
_QUADRANT_ORIGIN = {1: (0, N_COLUMN), 2: (N_ROW, N_COLUMN), 3: (N_ROW, 0), 4: (0, 0)}  # in SHUTTER_IMAGE


@dataclass(frozen=True)
class DitherPoint:
    """One value of ``dither_point_index``.

    Attributes
    ----------
    index : int
    nod : int
        Shutter into which the telescope moves a source planned in shutter 0.
    offset : tuple of 2 floats [pitch]
        Further displacement of the sources along x and y.
    places : dict
        Placement of each source, by number.
    """

    index: int
    nod: int
    offset: tuple[float, float]
    places: dict[int, Placement]


@dataclass(frozen=True)
class MetafileContent:
    """What a metafile is made of.

    Attributes
    ----------
    scene : Scene
    n_nods : int
    points : sequence of DitherPoint
    sky : dict
        RA, Dec [deg] of each source, by number; virtual sources included.
    program, observation, visit : int
    """

    scene: Scene
    n_nods: int
    points: Sequence[DitherPoint]
    sky: dict[int, tuple[float, float]]
    program: int
    observation: int
    visit: int


def virtual_id(slitlet: Slitlet) -> int:
    """Source number of a blank slitlet: negative if virtual, 0 if plain background."""
    return -slitlet.slitlet_id if slitlet.blank == "virtual" else 0


def shutter_rows(content: MetafileContent, metadata_id: int) -> np.ndarray:
    """SHUTTER_INFO of one configuration, ordered as flight files are: slitlet, shutter, dither point."""
    rows = []
    for slitlet in content.scene.slitlets:
        for k in sorted(set(NOD_SHUTTERS[content.n_nods])):
            column = slitlet.ycen + k
            for point in content.points:
                key = (slitlet.slitlet_id, metadata_id, slitlet.quadrant, slitlet.xcen, column)
                rows.append((*key, *_occupant(slitlet, k, point)))
    return np.array(rows, dtype=_SHUTTER_TYPE)


def _occupant(slitlet: Slitlet, shutter: int, point: DitherPoint) -> tuple:
    """Columns from source_id on, for one shutter of a slitlet at one dither point."""
    column = slitlet.ycen + shutter
    catalogued = [s for s in slitlet.sources if s.catalogued]
    here = [s for s in catalogued if _in_shutter(point.places[s.source_id], column)]
    here.sort(key=lambda s: not s.primary)
    if here:
        place = point.places[here[0].source_id]
        x, y = (round(v + 0.5, 4) for v in (place.dx, place.dy))
        return here[0].source_id, "N", "OPEN", x, y, point.index, "Y" if here[0].primary else "N", "NONE"
    owner = next((s.source_id for s in catalogued if s.primary), None)
    if owner is None and not slitlet.sources:
        owner = virtual_id(slitlet)
        if owner < 0 and shutter == point.nod:
            x, y = (round(v + 0.5, 4) for v in point.offset)
            return owner, "N", "OPEN", x, y, point.index, "Y", "NONE"
    return owner or 0, "Y", "OPEN", np.nan, np.nan, point.index, "N", "NONE"


def _in_shutter(place: Placement, column: int) -> bool:
    return place.shutter == column and abs(place.dx) <= 0.5


def source_rows(content: MetafileContent) -> np.ndarray:
    """SOURCE_INFO: virtual sources first, then the catalogued ones."""
    rows = []
    for slitlet in content.scene.slitlets:
        number = virtual_id(slitlet)
        if not slitlet.sources and number < 0:
            ra, dec = content.sky[number]
            rows.append((content.program, number, f"{content.program}_{number}", "virtual", ra, dec, "None", 0.0))
    for _, source in sorted(content.scene.sources(), key=lambda pair: pair[1].source_id):
        if source.catalogued:
            name, number = f"{content.program}_{source.source_id}", source.source_id
            ra, dec = content.sky[number]
            rows.append((content.program, number, name, str(number), ra, dec, "None", stellarity(source)))
    return np.array(rows, dtype=_SOURCE_TYPE)


def stellarity(source: Source) -> float:
    """Star-galaxy index as an imaging catalogue would give it: 1 for a point, falling with size."""
    return round(float(np.exp(-((source.size / 0.05) ** 2))), 3)


def shutter_image(rows: np.ndarray) -> np.ndarray:
    """SHUTTER_IMAGE: slitlet number of each shutter, shape (730, 342)."""
    image = np.zeros((2 * N_ROW, 2 * N_COLUMN), dtype=">i2")
    for quadrant, (first, second) in _QUADRANT_ORIGIN.items():
        part = rows[rows["shutter_quadrant"] == quadrant]
        image[first + part["shutter_row"] - 1, second + part["shutter_column"] - 1] = part["slitlet_id"]
    return image


def write_metafile(path: Path, content: MetafileContent, metadata_ids: Sequence[int] = (1,)) -> None:
    """Write the metafile of one visit.

    Parameters
    ----------
    path : Path
    content : MetafileContent
    metadata_ids : sequence of int
        Configurations (MSAMETID); all have the same shutters here, as when a visit repeats one with several gratings.
    """
    tables = [shutter_rows(content, number) for number in metadata_ids]
    primary = fits.PrimaryHDU()
    primary.header.update(
        ORIGIN="STSCI",
        TELESCOP="JWST",
        INSTRUME="NIRSPEC",
        DATE="2026-01-01T00:00:00",
        FILENAME=path.name,
        PPSDBVER="PPSDB100",
        PROGRAM=f"{content.program:05d}",
        VISIT=f"{content.visit:03d}",
        OBSERVTN=f"{content.observation:03d}",
        VISIT_ID=f"{content.program:05d}{content.observation:03d}{content.visit:03d}",
        MSACFG10=1,
        MSACFG36="01",
    )
    hdus = fits.HDUList(
        [
            primary,
            fits.ImageHDU(shutter_image(np.concatenate(tables)), name="SHUTTER_IMAGE"),
            fits.BinTableHDU(np.concatenate(tables), name=SHUTTERS),
            fits.BinTableHDU(source_rows(content), name=SOURCES),
        ]
    )
    write_fits(path, hdus)
