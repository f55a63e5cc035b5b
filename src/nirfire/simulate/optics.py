"""Compact optical model of NIRSpec's multi-object mode: MSA plane, detector and sky.

The physical chain is MSA plane (quadrant metrology) -> collimator -> disperser (grating equation, or Snell's law in the
prism) -> camera -> focal plane -> pixels, and MSA plane <-> fore optics (chromatic) <-> telescope <-> V2, V3 <-> sky.
Collimator, camera, fore optics and telescope are polynomials in normalised coordinates, in both directions. The
coefficients in ``data/optics.json`` are nirfire's own, fitted by ``scripts/fit_optics.py``; ``docs/optics.md`` has the
parametrisation and the residuals.

Units: MSA plane [m], wavelength [um, vacuum], V2/V3 [arcsec], sky [deg], pixels 0-indexed, full frame, science (DMS)
orientation as the stock pipeline uses. Everything broadcasts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nirfire.errors import DataError
from nirfire.simulate.elements import ORDER, Array, Disperser, PolyMap, turn

DETECTORS = ("NRS1", "NRS2")
MODES: dict[tuple[str, str], tuple[float, float]] = {
    ("CLEAR", "PRISM"): (0.6, 5.3),
    ("F070LP", "G140M"): (0.7, 1.27),
    ("F100LP", "G140M"): (0.97, 1.89),
    ("F070LP", "G140H"): (0.7, 1.27),
    ("F100LP", "G140H"): (0.97, 1.89),
    ("F170LP", "G235M"): (1.66, 3.17),
    ("F170LP", "G235H"): (1.66, 3.17),
    ("F290LP", "G395M"): (2.87, 5.27),
    ("F290LP", "G395H"): (2.87, 5.27),
}
FIXED_SLITS = ("S200A1", "S200A2", "S400A1", "S1600A1", "S200B1")
N_ROW, N_COLUMN = 365, 171  # shutters of a quadrant along and across the dispersion
PRISM_TEMPERATURE = 35.0  # [K] reference temperature of the prism's glass: the value to give in GWA_TILT
_DATA = Path(__file__).parent / "data" / "optics.json"


@dataclass(frozen=True)
class Pointing:
    """Where the reference point (V2, V3) of the aperture lies on the sky.

    Attributes
    ----------
    ra_ref, dec_ref : float
        Sky position of the reference point [deg].
    roll_ref : float
        Position angle of the V3 axis there, north through east [deg].
    v2_ref, v3_ref : float
        The reference point [arcsec].
    """

    ra_ref: float
    dec_ref: float
    roll_ref: float
    v2_ref: float = 378.5632
    v3_ref: float = -428.40283

    @cached_property
    def matrix(self) -> Array:
        """3 x 3 rotation from V2/V3 unit vectors to equatorial unit vectors."""
        v2, v3 = np.deg2rad(self.v2_ref / 3600.0), np.deg2rad(self.v3_ref / 3600.0)
        ra, dec, roll = np.deg2rad([self.ra_ref, self.dec_ref, self.roll_ref])
        to_reference = turn(-v3, "y") @ turn(v2, "z")
        return (turn(-dec, "y") @ turn(ra, "z")).T @ turn(roll, "x") @ to_reference


@dataclass(frozen=True)
class Optics:
    """The optical model. Use :func:`load_optics`.

    Attributes
    ----------
    camera, collimator, ote : dict of PolyMap
        Keys ``to_sky`` and ``to_detector``.
    fore : dict
        The same for each filter.
    fpa : dict
        Per detector: ``matrix`` and ``offset`` [m] from raw (SCA) pixels to the focal plane.
    dispersers, quadrants, fixed_slits, reference, residuals : dict
        As in ``optics.json``; dispersers as :class:`Disperser`.
    """

    camera: Mapping[str, PolyMap]
    collimator: Mapping[str, PolyMap]
    ote: Mapping[str, PolyMap]
    fore: Mapping[str, Mapping[str, PolyMap]]
    fpa: Mapping[str, Any]
    dispersers: Mapping[str, Disperser]
    quadrants: Mapping[int, Any]
    fixed_slits: Mapping[str, Any]
    reference: Mapping[str, float]
    residuals: Mapping[str, Any]

    # ---- MSA plane
    def shutter_to_msa(
        self, quadrant: int, xcen: ArrayLike, ycen: ArrayLike, dx: ArrayLike = 0.0, dy: ArrayLike = 0.0
    ) -> tuple[Array, Array]:
        """Position in the MSA plane of a point in a shutter.

        Parameters
        ----------
        quadrant : int
            1 to 4.
        xcen, ycen : array_like
            Shutter along (1..365) and across (1..171) the dispersion: ``shutter_row`` and ``shutter_column`` of the
            MSA metafile.
        dx, dy : array_like
            Offset from the shutter's centre in units of the pitch (``estimated_source_in_shutter - 0.5``).

        Returns
        -------
        x, y : ndarray [m]

        Raises
        ------
        DataError
            For a quadrant other than 1 to 4.
        """
        q = _get(self.quadrants, int(quadrant), "quadrant")
        px = (np.asarray(xcen, float) - 1.0 + np.asarray(dx, float)) * q["pitch"][0]
        py = (np.asarray(ycen, float) - 1.0 + np.asarray(dy, float)) * q["pitch"][1]
        c, s = np.cos(q["rotation"]), np.sin(q["rotation"])
        return c * px - s * py + q["origin"][0], s * px + c * py + q["origin"][1]

    def msa_to_shutter(self, quadrant: int, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Inverse of :meth:`shutter_to_msa`: fractional shutter indices (xcen, ycen), whole at shutter centres."""
        q = _get(self.quadrants, int(quadrant), "quadrant")
        px, py = np.asarray(x, float) - q["origin"][0], np.asarray(y, float) - q["origin"][1]
        c, s = np.cos(q["rotation"]), np.sin(q["rotation"])
        return (c * px + s * py) / q["pitch"][0] + 1.0, (c * py - s * px) / q["pitch"][1] + 1.0

    def fixed_slit_to_msa(self, name: str, dx: ArrayLike = 0.0, dy: ArrayLike = 0.0) -> tuple[Array, Array]:
        """Position [m] of a point of a fixed slit; dx, dy from its centre in units of the slit's width and height."""
        slit = _get(self.fixed_slits, name, "fixed slit")
        return slit["x"] + np.asarray(dx, float) * slit["width"], slit["y"] + np.asarray(dy, float) * slit["height"]

    # ---- detector
    def gwa(self, grating: str) -> tuple[float, float, float]:
        """Zero readings of the tilt sensors and the prism temperature: values of GWA_XTIL, GWA_YTIL, GWA_TILT."""
        tilt = _get(self.dispersers, grating, "grating").tilt
        return float(tilt["xtilt"]["zero"]), float(tilt["ytilt"]["zero"]), PRISM_TEMPERATURE

    def msa_to_detector(
        self,
        x: ArrayLike,
        y: ArrayLike,
        wave: ArrayLike,
        *,
        grating: str,
        detector: str,
        readings: tuple[float, float] | None = None,
        order: int = ORDER,
    ) -> tuple[Array, Array]:
        """Pixel on which light of one wavelength from a point of the MSA plane falls.

        Parameters
        ----------
        x, y : array_like [m]
        wave : array_like [um]
        grating : str
            PRISM, G140M, ...
        detector : str
            NRS1 or NRS2. Points that miss it have pixels outside 0..2047; nothing is NaN.
        readings : tuple of 2 floats, optional
            Tilt-sensor readings (GWA_XTIL, GWA_YTIL); default the zero readings.
        order : int
            Spectral order of a grating; the modes use -1.

        Returns
        -------
        col, row : ndarray [pixel]

        Raises
        ------
        DataError
            For an unknown grating or detector.
        """
        disperser = _get(self.dispersers, grating, "grating")
        wave = np.asarray(wave, float)
        rotation = disperser.rotation(readings)
        u, v = self.collimator["to_detector"](x, y)
        norm = 1.0 / np.sqrt(1.0 + u**2 + v**2)
        alpha = (rotation[0, 0] * u + rotation[0, 1] * v + rotation[0, 2]) * norm
        beta = (rotation[1, 0] * u + rotation[1, 1] * v + rotation[1, 2]) * norm
        a, b = disperser.diffract(alpha, beta, wave, order)
        c = np.sqrt(np.clip(1.0 - a**2 - b**2, 1e-12, None))
        ax, ay, az = (rotation[0, k] * a + rotation[1, k] * b + rotation[2, k] * c for k in range(3))
        az = np.clip(az, 1e-3, None)
        fx, fy = self.camera["to_detector"](ax / az, ay / az)
        fpa = _get(self.fpa, detector, "detector")
        inverse = np.linalg.inv(fpa["matrix"])
        fx, fy = fx - fpa["offset"][0], fy - fpa["offset"][1]
        col, row = inverse[0, 0] * fx + inverse[0, 1] * fy, inverse[1, 0] * fx + inverse[1, 1] * fy
        return (col, row) if detector == "NRS1" else (2047.0 - col, 2047.0 - row)

    def detector_to_wave(
        self,
        col: ArrayLike,
        row: ArrayLike,
        x_msa: ArrayLike,
        *,
        grating: str,
        detector: str,
        readings: tuple[float, float] | None = None,
    ) -> tuple[Array, Array]:
        """Invert :meth:`msa_to_detector` by Newton's method: (wave [um], y_msa [m]) of light entering at x_msa [m]."""
        col, row, x_msa = np.broadcast_arrays(*(np.asarray(a, float) for a in (col, row, x_msa)))
        low, high = (f([w[k] for (_, g), w in MODES.items() if g == grating]) for k, f in ((0, min), (1, max)))
        wave, y = self._first_guess(col, row, x_msa, (low, high), grating, detector)
        keys: dict[str, Any] = {"grating": grating, "detector": detector, "readings": readings}
        for _ in range(12):
            c0, r0 = self.msa_to_detector(x_msa, y, wave, **keys)
            cw, rw = self.msa_to_detector(x_msa, y, wave + 1e-5, **keys)
            cy, ry = self.msa_to_detector(x_msa, y + 1e-7, wave, **keys)
            a, b, c, d = (cw - c0) / 1e-5, (cy - c0) / 1e-7, (rw - r0) / 1e-5, (ry - r0) / 1e-7
            det = a * d - b * c
            dc, dr = col - c0, row - r0
            wave = np.clip(wave + np.clip((d * dc - b * dr) / det, -0.5, 0.5), 0.35, 8.0)
            y = np.clip(y + (a * dr - c * dc) / det, -0.1, 0.1)
            if np.all(np.abs(dc) + np.abs(dr) < 1e-9):
                break
        return wave, y

    def _first_guess(
        self, col: Array, row: Array, x: Array, wave_range: tuple[float, float], grating: str, detector: str
    ) -> tuple[Array, Array]:
        """Nearest node of a coarse (wave, y) grid at the mean x."""
        mesh = np.meshgrid(np.linspace(*wave_range, 40), np.linspace(-0.0435, 0.0435, 20), indexing="ij")
        wave, y = mesh[0].ravel(), mesh[1].ravel()
        c, r = self.msa_to_detector(x.mean(), y, wave, grating=grating, detector=detector)
        best = np.argmin((col[..., None] - c) ** 2 + (row[..., None] - r) ** 2, axis=-1)
        return wave[best], y[best]

    # ---- sky
    def msa_to_v2v3(self, x: ArrayLike, y: ArrayLike, wave: ArrayLike, *, filter: str) -> tuple[Array, Array]:
        """(V2, V3) [arcsec] of a point of the MSA plane [m]; the fore optics are chromatic (wave [um])."""
        return self.ote["to_sky"](*_get(self.fore, filter, "filter")["to_sky"](x, y, wave))

    def v2v3_to_msa(self, v2: ArrayLike, v3: ArrayLike, wave: ArrayLike, *, filter: str) -> tuple[Array, Array]:
        """Inverse of :meth:`msa_to_v2v3`."""
        return _get(self.fore, filter, "filter")["to_detector"](*self.ote["to_detector"](v2, v3), wave)

    def sky(self, v2: ArrayLike, v3: ArrayLike, pointing: Pointing) -> tuple[Array, Array]:
        """Right ascension (0..360) and declination [deg] of V2, V3 [arcsec]."""
        x, y, z = np.tensordot(pointing.matrix, _vector(v2, v3, 3600.0), 1)
        return np.rad2deg(np.arctan2(y, x)) % 360.0, np.rad2deg(np.arctan2(z, np.hypot(x, y)))

    def sky_to_v2v3(self, ra: ArrayLike, dec: ArrayLike, pointing: Pointing) -> tuple[Array, Array]:
        """Inverse of :meth:`sky`: V2, V3 [arcsec]."""
        x, y, z = np.tensordot(pointing.matrix.T, _vector(ra, dec, 1.0), 1)
        return 3600.0 * np.rad2deg(np.arctan2(y, x)), 3600.0 * np.rad2deg(np.arctan2(z, np.hypot(x, y)))

    # ---- facts
    @cached_property
    def pitch_arcsec(self) -> tuple[float, float]:
        """Mean shutter pitch on the sky along and across the dispersion [arcsec]."""
        sizes = []
        for q in self.quadrants:
            for i, j in ((90, 43), (275, 128)):
                x, y = self.shutter_to_msa(q, [i - 0.5, i + 0.5, i, i], [j, j, j - 0.5, j + 0.5])
                v2, v3 = self.msa_to_v2v3(x, y, 2.5, filter="CLEAR")
                sizes.append([np.hypot(v2[k + 1] - v2[k], v3[k + 1] - v3[k]) for k in (0, 2)])
        mean = np.mean(sizes, axis=0)
        return float(mean[0]), float(mean[1])

    @cached_property
    def open_fraction(self) -> tuple[float, float]:
        """Open size of a shutter over its pitch, along and across the dispersion (mean of the quadrants)."""
        share = np.mean([np.divide(q["open"], q["pitch"]) for q in self.quadrants.values()], axis=0)
        return float(share[0]), float(share[1])

    def camera_round_trip(self, n: int = 65) -> float:
        """Largest difference [pixel] between a detector position and its image by the camera there and back."""
        worst = 0.0
        for detector in DETECTORS:
            fpa = self.fpa[detector]
            pixel = np.stack(np.meshgrid(*[np.linspace(0, 2047, n)] * 2))
            x, y = np.tensordot(fpa["matrix"], pixel, 1) + np.reshape(fpa["offset"], (2, 1, 1))
            bx, by = self.camera["to_detector"](*self.camera["to_sky"](x, y))
            worst = max(worst, float(np.hypot(bx - x, by - y).max()) / abs(fpa["matrix"][0][0]))
        return worst


def _vector(longitude: ArrayLike, latitude: ArrayLike, per_degree: float) -> Array:
    lon, lat = (np.deg2rad(np.asarray(a, float) / per_degree) for a in (longitude, latitude))
    return np.stack(np.broadcast_arrays(np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))


def _get(table: Mapping[Any, Any], key: Any, what: str) -> Any:
    if key not in table:
        raise DataError(f"no such {what}: {key!r}", key=what, remedy=f"use one of {', '.join(map(str, table))}")
    return table[key]


@cache
def load_optics(path: Path = _DATA) -> Optics:
    """Return the shipped model (or another one of the same form); cached.

    Raises
    ------
    DataError
        If the file lacks a part of the model.
    """
    data = json.loads(Path(path).read_text())
    try:
        pairs = {name: _pair(data[name]) for name in ("camera", "collimator", "ote")}
        return Optics(
            **pairs,
            fore={name: _pair(value) for name, value in data["fore"].items()},
            fpa=data["fpa"],
            dispersers={name: _disperser(value) for name, value in data["dispersers"].items()},
            quadrants={int(q): value for q, value in data["quadrants"].items()},
            fixed_slits=data["fixed_slits"],
            reference=data["reference"],
            residuals=data.get("residuals", {}),
        )
    except KeyError as error:
        raise DataError("incomplete optical model", file=path, key=str(error), remedy="refit it") from error


def _pair(data: Mapping[str, Any]) -> dict[str, PolyMap]:
    return {direction: PolyMap.from_dict(data[direction]) for direction in ("to_sky", "to_detector")}


def _disperser(data: Mapping[str, Any]) -> Disperser:
    glass = {k: data[k] for k in ("angle", "kcoef", "lcoef", "tcoef", "tref", "pref")} if "angle" in data else None
    return Disperser(tuple(data["theta"]), data["tilt_y"], data["tilt"], data.get("grooves"), glass)
