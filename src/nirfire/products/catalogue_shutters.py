"""The exported tables of open shutters and of pointings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from nirfire.core.attitude import Attitude, mean_angle, mean_direction, position_angle, separation
from nirfire.errors import DataError
from nirfire.products.catalogue_columns import POINTING_COLUMNS, SHUTTER_COLUMNS, make_table
from nirfire.products.catalogue_exposures import Pointed, by_configuration
from nirfire.products.msa import Metafile
from nirfire.products.msa_rows import N_COLUMN, N_ROW, X, Y, holds_source, slit_of
from nirfire.products.shutters import ShutterTable

Array = NDArray[np.float64]
Shutter = tuple[int, int, int]
"""Quadrant, row, column."""
Row = dict[str, Any]
CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
POINTS = ((0.0, 0.0), *CORNERS, (0.0, -0.5), (0.0, 0.5))
"""What is asked of each shutter: the middle, the corners, and the middles of the short sides."""
ENDS = ((1, 1), (N_ROW, 1), (N_ROW, N_COLUMN), (1, N_COLUMN))
OPEN, CLOSED, UNKNOWN = "open", "closed", "unknown"


class Places(Protocol):
    """Where points of shutters lie in the focal plane; see `nirfire.stsci.shutter_sky.FocalPlane.places`."""

    def __call__(
        self, quadrant: ArrayLike, row: ArrayLike, column: ArrayLike, at: ArrayLike
    ) -> tuple[Array, Array]: ...


@dataclass(frozen=True)
class Verdicts:
    """What is known of the shutters of a visit and activity.

    Attributes
    ----------
    found : ShutterTable or None
        By their sky.
    listed : mapping of int to tuple of int
        What people say: source to ordinals of closed shutters. It wins.
    """

    found: ShutterTable | None = None
    listed: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @cached_property
    def measured(self) -> dict[Shutter, tuple[str, float, float]]:
        """State, level and its error of each shutter."""
        if self.found is None:
            return {}
        table = self.found.verdicts
        keys = zip(*(table[name].tolist() for name in ("quadrant", "shutter_row", "shutter_column")), strict=True)
        values = zip(*(table[name].tolist() for name in ("state", "level", "error")), strict=True)
        return dict(zip(keys, values, strict=True))

    def said(self, opened: np.ndarray) -> dict[Shutter, str]:
        """State of the shutters of listed sources, from the open rows of the configuration."""
        states: dict[Shutter, str] = {}
        for source, ordinals in self.listed.items():
            if (opened["source_id"] == source).any():
                rows = slit_of(opened, source)
                line = int(rows["shutter_quadrant"][0]), int(rows["shutter_row"][0])
                for ordinal, column in enumerate(np.unique(rows["shutter_column"]).tolist(), 1):
                    states[(*line, column)] = CLOSED if ordinal in ordinals else OPEN
        return states


def shutter_table(
    observation: str,
    exposures: Sequence[Pointed],
    places: Mapping[str, Places],
    verdicts: Mapping[str, Verdicts],
) -> Table:
    """The table of open shutters.

    Parameters
    ----------
    observation : str
    exposures : sequence of Pointed
    places : mapping of str to callable
        Of each exposure, by name without detector.
    verdicts : mapping of str to Verdicts
        By visit and activity.

    Returns
    -------
    Table
        By exposure, slitlet and shutter. Fixed slits and shutters that are marked CLOSED are left out.

    Raises
    ------
    DataError
        A metafile cannot be used, or has no shutter for an exposure.
    """
    metafiles: dict[Path, Metafile] = {}
    rows: list[Row] = []
    for one in exposures:
        metafile = metafiles.setdefault(one.metafile, metafiles.get(one.metafile) or Metafile.read(one.metafile))
        opened = metafile.open_rows(one.configuration)
        known = verdicts.get(one.name.root, Verdicts())
        states, slitlets = known.said(opened), _slitlets(opened, metafile)
        here = _occupied(opened, one)
        shape = _Outlines(places[one.name.both], list(here), one.attitude)
        common = _of_exposure(observation, one)
        for k, (shutter, row) in enumerate(here.items()):
            rows.append(common | slitlets[int(row["slitlet_id"])] | _shutter(row) | shape.row(k))
            rows[-1] |= _state(shutter, known, states)
    return make_table(rows, SHUTTER_COLUMNS)


def _of_exposure(observation: str, one: Pointed) -> Row:
    return {
        "observation": observation,
        "exposure": one.name.both,
        "metafile": one.metafile.name,
        "configuration": one.configuration,
        "dither_point": one.dither_point,
        "grating": one.grating,
        "filter": one.filter,
        "exposure_time": one.exposure_time,
    }


def _slitlets(opened: np.ndarray, metafile: Metafile) -> dict[int, Row]:
    """The main source of each slitlet, and all of them."""
    found: dict[int, Row] = {}
    primary = (opened["primary_source"] == "Y") & (opened["source_id"] != 0)
    for number in np.unique(opened["slitlet_id"]).tolist():
        mine = opened["slitlet_id"] == number
        sources = sorted(s for s in set(opened["source_id"][mine].tolist()) if s)
        sources = [s for s in sources if metafile.duplicates.get(s, s) == s or metafile.duplicates[s] not in sources]
        main = opened["source_id"][mine & primary].tolist() or [s for s in sources if s > 0] or sources or [0]
        found[number] = {"source_id": main[0], "sources": " ".join(str(s) for s in sources if s > 0)}
    return found


def _occupied(opened: np.ndarray, one: Pointed) -> dict[Shutter, np.void]:
    """The row of each shutter at the dither point of an exposure, that of a source where one is in it; in order."""
    rows = opened[opened["dither_point_index"] == one.dither_point]
    if len(rows) == 0:
        raise DataError(
            f"the metafile has no open shutter at dither point {one.dither_point} of MSAMETID {one.configuration}",
            file=one.metafile,
            key="PATT_NUM",
            remedy="use the metafile that belongs to the exposure, or correct PATT_NUM in the exposure",
        )
    order = np.lexsort((rows["primary_source"] != "Y", ~holds_source(rows), rows["shutter_column"], rows["slitlet_id"]))
    found: dict[Shutter, np.void] = {}
    for row in rows[order]:
        found.setdefault((int(row["shutter_quadrant"]), int(row["shutter_row"]), int(row["shutter_column"])), row)
    return found


def _shutter(row: np.void) -> Row:
    held = bool(np.isfinite(row[X]) and np.isfinite(row[Y])) and int(row["source_id"]) != 0
    return {
        "slitlet": int(row["slitlet_id"]),
        "quadrant": int(row["shutter_quadrant"]),
        "shutter_row": int(row["shutter_row"]),
        "shutter_column": int(row["shutter_column"]),
        "source_here": int(row["source_id"]) if held else 0,
        "source_x": float(row[X]) if held else np.nan,
        "source_y": float(row[Y]) if held else np.nan,
    }


def _state(shutter: Shutter, known: Verdicts, said: Mapping[Shutter, str]) -> Row:
    """State of a shutter: people say which are closed, and so which are not; else what was found."""
    state, level, error = known.measured.get(shutter, (UNKNOWN, np.nan, np.nan))
    hand = shutter in said and CLOSED in (said[shutter], state)
    return {"state": said[shutter] if hand else state, "by_hand": hand, "level": level, "level_error": error}


class _Outlines:
    """Where the openings of shutters are in the sky in an exposure."""

    def __init__(self, places: Places, shutters: Sequence[Shutter], attitude: Attitude) -> None:
        quadrant, row, column = np.array(shutters, dtype=int).reshape(-1, 3).T
        self.ra, self.dec = attitude.sky(*places(quadrant, row, column, POINTS))
        ra, dec = self.ra.T, self.dec.T
        sides = [separation(ra[a], dec[a], ra[b], dec[b]) for a, b in ((1, 2), (4, 3), (2, 3), (1, 4))]
        self.width, self.height = (sides[0] + sides[1]) / 2, (sides[2] + sides[3]) / 2
        self.angle = position_angle(ra[5], dec[5], ra[6], dec[6]) % 180.0

    def row(self, k: int) -> Row:
        return {
            "ra": self.ra[k, 0],
            "dec": self.dec[k, 0],
            "width": self.width[k],
            "height": self.height[k],
            "pa": self.angle[k],
            "s_region": polygon(self.ra[k, 1:5], self.dec[k, 1:5]),
        }


def pointing_table(observation: str, exposures: Sequence[Pointed], places: Mapping[str, Places]) -> Table:
    """The table of pointings: one row for each visit and configuration of the micro-shutters.

    Parameters
    ----------
    observation, exposures, places
        See `shutter_table`.

    Raises
    ------
    DataError
        A metafile cannot be used.
    """
    rows = []
    for (visit, path, number), mine in by_configuration(exposures).items():
        metafile, attitude = Metafile.read(path), _mean_attitude(mine)
        opened = metafile.open_rows(number)
        slitlets = np.unique(opened["slitlet_id"])
        sourced = {int(s) for s in opened["slitlet_id"][opened["source_id"] > 0]}
        times = [one.exposure_time for one in mine]
        rows.append(
            {
                "observation": observation,
                "program": mine[0].program,
                "visit": visit,
                "metafile": path.name,
                "configuration": number,
                "ra": attitude.ra,
                "dec": attitude.dec,
                "pa_aper": mean_angle([one.pa_aper for one in mine]),
                "pa_v3": attitude.roll,
                "n_exposures": len(mine),
                "exposure_time": float(np.sum(times)),
                "modes": " ".join(sorted({one.mode for one in mine})),
                "date_obs": min(one.date for one in mine),
                "n_slitlets": len(slitlets),
                "n_shutters": len(np.unique(opened[["shutter_quadrant", "shutter_row", "shutter_column"]])),
                "n_sources": len(metafile.source_ids(number)),
                "n_sky": len(slitlets) - len(sourced),
                "s_region": footprint(places[mine[0].name.both], attitude),
            }
        )
    return make_table(rows, POINTING_COLUMNS)


def _mean_attitude(exposures: Sequence[Pointed]) -> Attitude:
    first = exposures[0].attitude
    ra, dec = mean_direction(*zip(*((one.attitude.ra, one.attitude.dec) for one in exposures), strict=True))
    return Attitude(ra, dec, mean_angle([one.attitude.roll for one in exposures]), first.v2, first.v3, first.scale)


def footprint(places: Places, attitude: Attitude) -> str:
    """Outlines of the four quadrants as STC-S: from outer corner to outer corner of the openings at their ends."""
    outlines = []
    for quadrant in range(1, 5):
        row, column = np.array(ENDS).T
        v2, v3 = places(np.full(4, quadrant), row, column, CORNERS)
        far = np.argmax(np.hypot(v2 - v2.mean(), v3 - v3.mean()), axis=1)
        outlines.append(polygon(*attitude.sky(v2[range(4), far], v3[range(4), far])))
    return f"UNION ICRS ({' '.join(text.replace('POLYGON ICRS', 'POLYGON') for text in outlines)})"


def polygon(ra: Array, dec: Array) -> str:
    """A polygon [deg] as STC-S, its corners anticlockwise as they are seen in the sky; empty where one is unknown."""
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        return ""
    east = ((ra - ra[0] + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec))
    area = np.sum(east * np.roll(dec, -1) - np.roll(east, -1) * dec)  # twice, positive from north through east
    step = -1 if area > 0 else 1
    corners = zip(ra[::step], dec[::step], strict=True)
    return "POLYGON ICRS " + " ".join(f"{a:.7f} {d:+.7f}" for a, d in corners)
