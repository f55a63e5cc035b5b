"""Optical elements of which :mod:`nirfire.simulate.optics` is composed: polynomial maps, gratings, the prism."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
ORDER = -1  # spectral order in which the gratings are used
_NORMALISATION = ("in_centre", "in_scale", "out_centre", "out_scale")


def triangle(degree: int) -> list[tuple[int, int]]:
    """Exponents (i, j) with i + j <= degree, i slowest: the order of the coefficients of every polynomial here."""
    return [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]


@dataclass(frozen=True)
class PolyMap:
    """Polynomial map of a plane to a plane, optionally linear in wavelength.

    Inputs are normalised to [-1, 1] over the fitted domain, outputs are scaled back from it. Beyond the domain the
    map continues with its linear terms, so that it neither folds nor diverges.

    Attributes
    ----------
    degree : int
    in_centre, in_scale, out_centre, out_scale : tuple of 2 floats
    coeffs : ndarray, shape (2, 1 or 2, degree + 1, degree + 1)
        ``coeffs[k, p, i, j]`` multiplies ``u**i v**j wave**p`` [um] in output k.
    """

    degree: int
    in_centre: tuple[float, float]
    in_scale: tuple[float, float]
    out_centre: tuple[float, float]
    out_scale: tuple[float, float]
    coeffs: Array

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PolyMap:
        """Build from the form in which ``optics.json`` keeps it."""
        degree = int(data["degree"])
        powers = 2 if "x_wave" in data else 1
        coeffs = np.zeros((2, powers, degree + 1, degree + 1))
        rows, columns = np.array(triangle(degree)).T
        for k, axis in enumerate("xy"):
            coeffs[k, 0, rows, columns] = data[axis]
            if powers == 2:
                coeffs[k, 1, rows, columns] = data[f"{axis}_wave"]
        coeffs.setflags(write=False)
        two = {key: (float(data[key][0]), float(data[key][1])) for key in _NORMALISATION}
        return cls(degree=degree, coeffs=coeffs, **two)

    def __call__(self, x: ArrayLike, y: ArrayLike, wave: ArrayLike = 0.0) -> tuple[Array, Array]:
        """Map (x, y); `wave` [um] matters for chromatic maps only."""
        u = (np.asarray(x, float) - self.in_centre[0]) / self.in_scale[0]
        v = (np.asarray(y, float) - self.in_centre[1]) / self.in_scale[1]
        cu, cv = np.clip(u, -1.0, 1.0), np.clip(v, -1.0, 1.0)
        result = []
        for k in range(2):
            total = _horner(self.coeffs[k, 0], cu, cv)
            if self.coeffs.shape[1] == 2:
                total = total + np.asarray(wave, float) * _horner(self.coeffs[k, 1], cu, cv)
            total = total + self.coeffs[k, 0, 1, 0] * (u - cu) + self.coeffs[k, 0, 0, 1] * (v - cv)
            result.append(total * self.out_scale[k] + self.out_centre[k])
        return result[0], result[1]


def _horner(c: Array, u: Array, v: Array) -> Array:
    """Sum of c[i, j] u**i v**j for i + j <= degree."""
    degree = c.shape[0] - 1
    total: Any = c[degree, 0]
    for i in range(degree - 1, -1, -1):
        inner: Any = c[i, degree - i]
        for j in range(degree - i - 1, -1, -1):
            inner = inner * v + c[i, j]
        total = total * u + inner
    return np.asarray(total, float)


@dataclass(frozen=True)
class Disperser:
    """A grating or the prism in the grating wheel.

    Attributes
    ----------
    theta : tuple of 3 floats
        Alignment angles about x, y, z [deg] at the zero readings of the tilt sensors.
    tilt_y : float
        Design tilt [deg].
    tilt : dict
        For ``xtilt`` (corrects theta y) and ``ytilt`` (corrects theta x): zero reading, coefficients [arcsec],
        temperature [K].
    grooves : float or None
        Groove density [1/m]; None for the prism.
    glass : dict or None
        For the prism: angle [deg], kcoef, lcoef [um^2], tcoef, tref [K], pref.
    """

    theta: tuple[float, float, float]
    tilt_y: float
    tilt: Mapping[str, Any]
    grooves: float | None
    glass: Mapping[str, Any] | None

    def rotation(self, readings: tuple[float, float] | None = None) -> Array:
        """Return the 3 x 3 matrix into the frame of the disperser; `readings` (GWA_XTIL, GWA_YTIL), None = zero."""
        theta = list(self.theta)
        if readings is not None:
            for axis, key, reading in ((1, "xtilt", readings[0]), (0, "ytilt", readings[1])):
                slope = self.tilt[key]["coeffs"]
                zero = self.tilt[key]["zero"]
                shift = np.polynomial.polynomial.polyval(reading, slope) - np.polynomial.polynomial.polyval(zero, slope)
                theta[axis] += 0.5 * float(shift) / 3600.0
        total = np.eye(3)
        for angle, axis_name in zip(np.deg2rad([*theta, self.tilt_y]), "xyzy", strict=True):
            total = turn(angle, axis_name) @ total
        return total

    def diffract(self, alpha: Array, beta: Array, wave: Array, order: int = ORDER) -> tuple[Array, Array]:
        """Direction cosines leaving the disperser, in its own frame.

        Gratings: alpha' = -m d lambda - alpha in order m, beta' = -beta. Prism: refraction at the front face,
        reflection at the back face inclined by the prism angle, refraction at the front face (Snell); `order` has no
        meaning.
        """
        if self.grooves is not None:
            return -self.grooves * order * wave * 1e-6 - alpha, np.broadcast_to(-beta, (alpha + wave).shape)
        assert self.glass is not None
        index = refraction_index(wave, self.glass)
        a, b = alpha / index, beta / index
        c = np.sqrt(np.clip(1.0 - a**2 - b**2, 1e-12, None))
        wedge = turn(np.deg2rad(self.glass["angle"]), "y")
        a, c = -(wedge[0, 0] * a + wedge[0, 2] * c), wedge[2, 0] * a + wedge[2, 2] * c  # reflected: x, y change sign
        return index * (wedge[0, 0] * a + wedge[2, 0] * c), -index * b


def turn(angle: float, axis: str) -> Array:
    """Rotation of the coordinate frame by `angle` [rad] about one axis."""
    c, s = np.cos(angle), np.sin(angle)
    matrices = {
        "x": [[1, 0, 0], [0, c, s], [0, -s, c]],
        "y": [[c, 0, -s], [0, 1, 0], [s, 0, c]],
        "z": [[c, s, 0], [-s, c, 0], [0, 0, 1]],
    }
    return np.array(matrices[axis], float)


def refraction_index(wave: ArrayLike, glass: Mapping[str, Any]) -> Array:
    """Sellmeier index n(wave) of the prism at its operating temperature: n^2 = 1 + sum K w^2 / (w^2 - L), w [um]."""
    w2 = np.asarray(wave, float) ** 2
    terms = [k * w2 / (w2 - l) for k, l in zip(glass["kcoef"], glass["lcoef"], strict=True)]
    return np.sqrt(1.0 + sum(terms))
