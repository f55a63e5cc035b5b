"""Where in the sky a shutter is, and where in the shutters a place in the sky, from the sources of the same exposure.

The catalogue gives the sky position of each source and the planning tool its place in the shutters. Between both a
polynomial is fitted for each quadrant and dither point, of second degree where there are enough sources: flight
metafiles follow it to 1 mas (standard deviation 0.3 to 1.6 mas in four of them), a linear one only to 25 to 50 mas.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nirfire.products.msa_rows import X, Y, holds_source, is_own

QUADRATIC, LINEAR = 9, 4  # sources that a fit of this degree needs at least
FAR = {QUADRATIC: 100.0, LINEAR: 5.0}  # leverage: squared error of the fit at a place, in units of that of one source
N_ROUNDS, N_SIGMA = 4, 5.0
FLOOR = 1e-3  # pitches or arcsec: residuals below are never clipped

Sky = Mapping[int, tuple[float, float]]


def sky_of(rows: np.ndarray, source: int, sky: Sky) -> tuple[float, float] | None:
    """Sky position of a source from those of the others.

    Parameters
    ----------
    rows : structured ndarray, shape (n,)
        Open shutters of a configuration.
    source : int
        The source, in an open shutter at one dither point at least.
    sky : mapping
        RA, Dec [deg] of the others, by number.

    Returns
    -------
    (ra, dec) [deg], or None
        The median over the dither points; None where too few sources share quadrant and dither point with it, or they
        are all in a line or far away.
    """
    found = []
    for row in rows[is_own(rows, source)]:
        others, places, where = _others(rows, row, source, sky)
        if len(others) < LINEAR:
            continue
        origin = where[0]
        at = np.array([row["shutter_row"] + row[X], row["shutter_column"] + row[Y]], float)
        offset = _fitted(places, _to_plane(where, origin), at)
        if offset is not None:
            found.append(_from_plane(offset, origin))
    if not found:
        return None
    ra, dec = _from_plane(np.median(_to_plane(np.array(found), np.array(found[0])), axis=0), np.array(found[0]))
    return float(ra % 360), float(dec)


def place_of(rows: np.ndarray, row: np.void, sky: Sky) -> tuple[float, float] | None:
    """Position (x, y) [pitch] of a row's source in the shutter of this row, from the places of the others.

    Returns
    -------
    (x, y), or None
        None where the sky position of the source is unknown, too few others are, or it lies outside this shutter.
    """
    source = int(row["source_id"])
    others, places, where = _others(rows, row, source, sky)
    if source not in sky or len(others) < LINEAR:
        return None
    origin = np.array(sky[source])
    place = _fitted(_to_plane(where, origin), places, np.zeros(2))
    if place is None:
        return None
    x, y = place - [row["shutter_row"], row["shutter_column"]]
    return (float(x), float(y)) if 0 <= x <= 1 and 0 <= y <= 1 else None


def separation(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Small angle [arcsec] between two places (RA, Dec) [deg]; NaN where one is unknown."""
    return float(np.hypot(*_to_plane(np.array([second]), np.array(first))[0]))


def _others(rows: np.ndarray, row: np.void, source: int, sky: Sky) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Sources in the quadrant and at the dither point of a row: numbers, places (n, 2) [pitch], sky (n, 2) [deg]."""
    near = holds_source(rows) & np.isin(rows["source_id"], [k for k in sky if k != source])
    for key in ("shutter_quadrant", "dither_point_index"):
        near &= np.asarray(rows[key] == row[key])
    chosen = rows[near]
    numbers = [int(k) for k in chosen["source_id"]]
    places = np.column_stack([chosen["shutter_row"] + chosen[X], chosen["shutter_column"] + chosen[Y]]).astype(float)
    return numbers, places, np.array([sky[k] for k in numbers]).reshape(-1, 2)


def _to_plane(where: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Offsets [arcsec] of places (n, 2) [deg] from an origin (2,)."""
    across = (where[:, 0] - origin[0] + 180) % 360 - 180
    return 3600 * np.column_stack([across * np.cos(np.radians(origin[1])), where[:, 1] - origin[1]])


def _from_plane(offset: np.ndarray, origin: np.ndarray) -> tuple[float, float]:
    return origin[0] + offset[0] / 3600 / np.cos(np.radians(origin[1])), origin[1] + offset[1] / 3600


def _fitted(given: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray | None:
    """A polynomial through values (n, 2) at given (n, 2), without outliers, evaluated at one point (2,).

    Of first degree where there are few, or where the point lies too far from them for the second; None where it does so
    for the first, as when they are all in a line.
    """
    centre, scale = given.mean(axis=0), max(float(np.ptp(given)), 1.0)
    for quadratic, least in ((True, QUADRATIC), (False, LINEAR)):
        terms = _terms((given - centre) / scale, quadratic)
        good = _good(terms, values, least)
        here = _terms((at[None] - centre) / scale, quadratic)[0]
        leverage = here @ np.linalg.pinv(terms[good].T @ terms[good]) @ here
        if good.sum() >= least and np.linalg.matrix_rank(terms[good]) == len(here) and leverage < FAR[least]:
            result: np.ndarray = here @ np.linalg.lstsq(terms[good], values[good], rcond=None)[0]
            return result
    return None


def _good(terms: np.ndarray, values: np.ndarray, least: int) -> np.ndarray:
    """Points that are no outliers, shape (n,)."""
    good = np.ones(len(values), bool)
    for _ in range(N_ROUNDS):
        off = np.hypot(*(values - terms @ np.linalg.lstsq(terms[good], values[good], rcond=None)[0]).T)
        kept = off <= max(N_SIGMA * 1.4826 * float(np.median(off)), FLOOR)
        if kept.sum() < least or (kept == good).all():
            break
        good = kept
    return good


def _terms(points: np.ndarray, quadratic: bool) -> np.ndarray:
    x, y = points.T
    return np.column_stack([np.ones(len(points)), x, y, *((x * x, x * y, y * y) if quadratic else ())])
