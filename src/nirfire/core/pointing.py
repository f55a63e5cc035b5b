"""One offset and one rotation that explain where all bright sources of a visit lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nirfire.core.background import MAD_TO_SIGMA

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

X, Y, ROLL = 0, 1, 2
REJECT = 4.0  # sigma
CATALOGUE = 0.005
"""[arcsec] Scatter between sources that no fit rejects: positions in catalogues are no better."""
FLOOR = 0.001
"""[arcsec] Error that no measured shift is better than."""
LEAST_OFFSET, LEAST_ROLL = 3, 5
"""Sources needed for an offset, and for a rotation besides."""
SIGMAS, LEAST_MOVE = 3.0, 0.005
"""A part of the pointing is significant beyond so many sigma, if it moves sources by more than this [arcsec]."""


@dataclass(frozen=True)
class Shifts:
    """How far sources lie from where they should be.

    Attributes
    ----------
    place : ndarray, shape (n, 2) [arcsec]
        V2, V3 of each source.
    per_pitch : ndarray, shape (n, 2, 2) [arcsec]
        Change of V2, V3 (second index) for one pitch along x, y (third index).
    shift, err : ndarray, shape (n, 2) [pitch]
        Measured less planned place along x and y; the error is infinite where it was not measured.
    """

    place: Array
    per_pitch: Array
    shift: Array
    err: Array

    @property
    def pitch(self) -> Array:
        """Pitch of the shutters at each source, shape (n, 2) [arcsec]."""
        return np.hypot(self.per_pitch[:, 0], self.per_pitch[:, 1])


@dataclass(frozen=True)
class Frame:
    """Axes in which a pointing error is told.

    Attributes
    ----------
    pivot : ndarray, shape (2,) [arcsec]
        V2, V3 of the point about which sources rotate.
    axes : ndarray, shape (2, 2)
        Unit vectors along x and y of the shutters (columns), in V2, V3; at right angles.
    """

    pivot: Array
    axes: Array

    @classmethod
    def of(cls, per_pitch: Array, pivot: Array) -> Frame:
        """Axes along the mean y of the shutters, and at right angles to it on the side of x."""
        mean = np.mean(per_pitch, axis=0)
        y = mean[:, 1] / np.hypot(*mean[:, 1])
        x = np.array([y[1], -y[0]])
        return cls(np.asarray(pivot, dtype=float), np.column_stack([x * np.sign(x @ mean[:, 0]), y]))

    def coordinates(self, place: Array) -> Array:
        """Distance of V2, V3 from the pivot along x and y, shape (n, 2) [arcsec]."""
        return (place - self.pivot) @ self.axes

    def moves(self, place: Array, per_pitch: Array) -> Array:
        """Shift of sources [pitch] for an offset of one arcsec along x, along y, and a turn of one radian.

        Parameters
        ----------
        place : ndarray, shape (n, 2) [arcsec]
        per_pitch : ndarray, shape (n, 2, 2) [arcsec]

        Returns
        -------
        ndarray, shape (n, 2, 3)
            Of x and y (second index), for each parameter (third index). The turn is from +V2 towards +V3.
        """
        away = place - self.pivot
        turned = np.column_stack([-away[:, 1], away[:, 0]])
        sky = np.stack([np.broadcast_to(self.axes[:, k], away.shape) for k in (X, Y)] + [turned], axis=-1)
        return np.asarray(np.linalg.solve(per_pitch, sky), dtype=float)


@dataclass(frozen=True)
class PointingFit:
    """A fitted pointing error: how far sources lie from where they were planned.

    Attributes
    ----------
    frame : Frame
    value : ndarray, shape (3,)
        Offset along x and y [arcsec] and turn [rad]; zero where not fitted.
    covariance : ndarray, shape (3, 3)
        Zero where not fitted.
    fitted : ndarray of bool, shape (3,)
    used : ndarray of bool, shape (n, 2)
        Measured shifts along x and y that the fit rests on.
    residual : ndarray, shape (n, 2) [arcsec]
        Measured less fitted; NaN where not measured.
    scatter : ndarray, shape (2,) [arcsec]
        Scatter of sources beyond their errors, along x and y (catalogue, shape of sources).
    chi2_drop : float
        By how much the fit lowers chi2 from that without any pointing error.
    """

    frame: Frame
    value: Array
    covariance: Array
    fitted: Mask
    used: Mask
    residual: Array
    scatter: Array
    chi2_drop: float

    @property
    def error(self) -> Array:
        """Standard errors, shape (3,); infinite where not fitted."""
        return np.where(self.fitted, np.sqrt(np.diag(self.covariance)), np.inf)

    @property
    def n_used(self) -> Array:
        """Number of sources used along x and y, shape (2,)."""
        return self.used.sum(axis=0)

    @property
    def rms(self) -> Array:
        """Root mean square of the residuals of the sources used, along x and y [arcsec]; NaN where there is none."""
        found = [self.residual[self.used[:, k], k] for k in (X, Y)]
        return np.array([np.sqrt(np.mean(r**2)) if r.size else np.nan for r in found])

    def shift(self, place: Array, per_pitch: Array) -> tuple[Array, Array]:
        """Shift of any source and its standard error, each (n, 2) [pitch]; parameters not fitted count as zero."""
        moves = self.frame.moves(place, per_pitch)
        variance = np.einsum("nip,pq,niq->ni", moves, self.covariance, moves)
        return moves @ self.value, np.sqrt(np.maximum(variance, 0.0))


def fit_pointing(shifts: Shifts, frame: Frame, parts: tuple[int, ...] = (X, Y, ROLL)) -> PointingFit:
    """Fit an offset and a rotation, weighted and robust.

    Parameters
    ----------
    shifts : Shifts
    frame : Frame
    parts : tuple of int
        Which of `X`, `Y` and `ROLL` to fit. Those for which there are not enough sources are left out.

    Returns
    -------
    PointingFit

    Notes
    -----
    Model: displacement = offset + turn x (distance from the pivot), in the plane of V2 and V3, brought to the shutters
    by the local pitch, so distortion is in it. Starts from the fit of least absolute deviations; sources further off
    than `REJECT` sigma are dropped until nothing changes. Sigma is the measured error and, in quadrature, the scatter
    between sources, at least `CATALOGUE`. In the errors of the result it is the scatter with which chi2 is the number
    of degrees of freedom, along each axis.
    """
    scale = shifts.pitch
    data = shifts.shift * scale
    err = np.hypot(shifts.err * scale, FLOOR)
    known = np.isfinite(err) & np.isfinite(data)
    design = frame.moves(shifts.place, shifts.per_pitch) * scale[:, :, None]
    fitted = _determined(known, parts)
    data = np.where(known, data, 0.0)
    value = _least_absolute(design, data, np.where(known, 1 / err, 0.0), fitted)
    used = known
    for _ in range(20):
        residual = data - design @ value
        sigma = np.hypot(err, max(_extra(residual[used], err[used], int(fitted.sum())), CATALOGUE))
        kept = known & (np.abs(residual) < REJECT * sigma)
        if not _determined(kept, parts)[fitted].all():
            kept = used
        value, _ = _solve(design, data, np.where(kept, 1 / sigma, 0.0), fitted)
        if (kept == used).all():
            break
        used = kept
    residual = np.where(known, data - design @ value, np.nan)
    scatter, covariance, drop = _final(design, data, err, used, (value, fitted))
    return PointingFit(frame, value, covariance, fitted, used, residual, scatter, drop)


def _determined(known: Mask, parts: tuple[int, ...]) -> Mask:
    """Which parameters the sources can tell, shape (3,)."""
    n_x, n_y = known.sum(axis=0)
    can = np.array([n_x >= LEAST_OFFSET, n_y >= LEAST_OFFSET, max(n_x, n_y) >= LEAST_ROLL])
    return can & np.isin(np.arange(3), parts)


def _solve(design: Array, data: Array, weight: Array, fitted: Mask) -> tuple[Array, Array]:
    """Weighted least squares: parameters (3,) and covariance (3, 3), zero where not fitted."""
    value, covariance = np.zeros(3), np.zeros((3, 3))
    rows = (design * weight[:, :, None]).reshape(-1, 3)[:, fitted]
    if not rows.shape[1]:
        return value, covariance
    scale = np.maximum(np.sqrt(np.sum(rows**2, axis=0)), 1e-30)  # the turn's column is larger than the offsets'
    inverse = np.linalg.pinv((rows / scale).T @ (rows / scale)) / np.outer(scale, scale)
    value[fitted] = inverse @ rows.T @ (data * weight).ravel()
    covariance[np.ix_(fitted, fitted)] = inverse
    return value, covariance


def _least_absolute(design: Array, data: Array, weight: Array, fitted: Mask) -> Array:
    """Parameters of least absolute deviation, by weights that are iterated."""
    now, value = weight, np.zeros(3)
    for _ in range(30):
        value, _ = _solve(design, data, now, fitted)
        off = np.abs(data - design @ value) * weight
        now = weight / np.sqrt(np.maximum(off, 0.1))
    return value


def _extra(residual: Array, err: Array, parameters: int) -> float:
    """Scatter beyond the errors, robust, of both axes together: each alone has few sources."""
    if residual.size <= parameters:
        return 0.0
    width = MAD_TO_SIGMA * float(np.median(np.abs(residual))) * np.sqrt(residual.size / (residual.size - parameters))
    return float(np.sqrt(max(width**2 - float(np.median(err)) ** 2, 0.0)))


def _final(design: Array, data: Array, err: Array, used: Mask, found: tuple[Array, Mask]) -> tuple[Array, Array, float]:
    """Scatter with which chi2 of each axis is its degrees of freedom, the covariance with it, and the drop of chi2."""
    value, fitted = found
    residual = data - design @ value
    scatter = np.zeros(2)
    turn = fitted[ROLL] / max(int(used.any(axis=0).sum()), 1)  # the turn is shared by the axes that are measured
    for k in (X, Y):
        mine, parameters = used[:, k], fitted[k] + turn
        scatter[k] = _scatter_of(residual[mine, k], err[mine, k], max(mine.sum() - parameters, 1.0))
    weight = np.where(used, 1 / np.hypot(err, scatter), 0.0)
    _, covariance = _solve(design, data, weight, fitted)
    drop = float(np.sum((data * weight) ** 2) - np.sum((residual * weight) ** 2))
    return scatter, covariance, drop


def _scatter_of(residual: Array, err: Array, freedom: float) -> float:
    """Scatter s with sum(residual^2 / (err^2 + s^2)) = freedom; zero if the errors suffice."""
    low, high = 0.0, float(np.max(np.abs(residual), initial=0.0)) * 3
    if np.sum((residual / err) ** 2) <= freedom:
        return 0.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.sum(residual**2 / (err**2 + middle**2)) > freedom else (low, middle)
    return 0.5 * (low + high)


def significant_pointing(shifts: Shifts, frame: Frame) -> PointingFit | None:
    """The pointing error that is worth applying: parts that are not significant are left out, and the rest fitted anew.

    Returns
    -------
    PointingFit or None
        None when no part is.

    Notes
    -----
    A part is kept if it is beyond `SIGMAS` standard errors and moves sources by more than `LEAST_MOVE`: an offset by
    itself, a turn by its value times the rms distance of the sources from the pivot.
    """
    parts: tuple[int, ...] = (X, Y, ROLL)
    arm = float(np.sqrt(np.mean(np.sum((shifts.place - frame.pivot) ** 2, axis=1))))
    for weighed in ((ROLL,), (X, Y)):
        fit = fit_pointing(shifts, frame, parts)
        move = np.abs(fit.value) * np.array([1.0, 1.0, arm])
        keep = fit.fitted & (np.abs(fit.value) > SIGMAS * fit.error) & (move > LEAST_MOVE)
        parts = tuple(k for k in parts if k not in weighed or keep[k])
    return fit_pointing(shifts, frame, parts) if parts else None
