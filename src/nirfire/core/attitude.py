"""Where in the sky the telescope's focal plane looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
ARCSEC = np.radians(1.0) / 3600.0


@dataclass(frozen=True)
class Attitude:
    """How the telescope is turned during an exposure.

    Attributes
    ----------
    ra, dec : float [deg]
        Sky position of the reference point, ICRS.
    roll : float [deg]
        Position angle of the V3 axis at the reference point, north through east.
    v2, v3 : float [arcsec]
        The reference point in the focal plane.
    scale : float
        Plate scale that velocity aberration leaves over the true one (card VA_SCALE).
    """

    ra: float
    dec: float
    roll: float
    v2: float
    v3: float
    scale: float = 1.0

    def sky(self, v2: ArrayLike, v3: ArrayLike) -> tuple[Array, Array]:
        """Sky positions of places in the focal plane.

        Parameters
        ----------
        v2, v3 : array_like, of one shape [arcsec]

        Returns
        -------
        ra, dec : ndarray, of this shape [deg]
            RA in 0 to 360.

        Notes
        -----
        Aberration scales distances from the reference point, as in stock jwst. Then the unit vector of (V2, V3) is
        turned: Rz(ra) Ry(-dec) Rx(-roll) Ry(v3) Rz(-v2), so that the reference point comes to (ra, dec) and V3 there to
        the angle `roll`. STScI, JWST-STScI-001550, section 5.
        """
        a, b = (
            np.asarray(value, dtype=float) * self.scale + (1.0 - self.scale) * at
            for value, at in ((v2, self.v2), (v3, self.v3))
        )
        a, b = a * ARCSEC, b * ARCSEC
        vector = np.stack([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)])
        x, y, z = np.tensordot(self._matrix, vector, axes=1)
        return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))

    @property
    def _matrix(self) -> Array:
        ra, dec, roll = np.radians([self.ra, self.dec, self.roll])
        return _z(ra) @ _y(-dec) @ _x(-roll) @ _y(self.v3 * ARCSEC) @ _z(-self.v2 * ARCSEC)


def separation(ra: ArrayLike, dec: ArrayLike, to_ra: ArrayLike, to_dec: ArrayLike) -> Array:
    """Angle between places in the sky [arcsec], all given in deg; arrays are broadcast. Haversine formula."""
    a, d, a2, d2 = (np.radians(np.asarray(value, dtype=float)) for value in (ra, dec, to_ra, to_dec))
    half = np.sin((d2 - d) / 2) ** 2 + np.cos(d) * np.cos(d2) * np.sin((a2 - a) / 2) ** 2
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))) / ARCSEC, dtype=float)


def position_angle(ra: ArrayLike, dec: ArrayLike, to_ra: ArrayLike, to_dec: ArrayLike) -> Array:
    """Direction in which one place sees another [deg], north through east, 0 to 360; all places in deg."""
    a, d, a2, d2 = (np.radians(np.asarray(value, dtype=float)) for value in (ra, dec, to_ra, to_dec))
    east = np.cos(d2) * np.sin(a2 - a)
    north = np.cos(d) * np.sin(d2) - np.sin(d) * np.cos(d2) * np.cos(a2 - a)
    return np.asarray(np.degrees(np.arctan2(east, north)) % 360.0, dtype=float)


def mean_direction(ra: ArrayLike, dec: ArrayLike) -> tuple[float, float]:
    """Mean of places in the sky, RA and Dec [deg], by their unit vectors: right across RA = 0 and at the poles."""
    a, d = (np.radians(np.asarray(value, dtype=float)) for value in (ra, dec))
    x, y, z = (float(np.mean(part)) for part in (np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)))
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def mean_angle(angles: ArrayLike) -> float:
    """Mean of angles [deg], 0 to 360: that of 359 and 1 is 0."""
    turned = np.radians(np.asarray(angles, dtype=float))
    return float(np.degrees(np.arctan2(np.mean(np.sin(turned)), np.mean(np.cos(turned)))) % 360.0)


def _x(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _y(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _z(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
