"""Where a point source lies along its slitlet, from the light that passes the shutters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtr

Array = NDArray[np.float64]

CORE_SLOPE = 0.0139
"""[arcsec per um] Standard deviation of the core of a diffraction-limited image: FWHM = 1.03 wavelength / 6.5 m."""
MODEL_ERROR = 0.02
"""Relative error of the model of the profile, in each pixel."""
OUTLIER = 5.0  # sigma
FAINT = 3.0  # sigma: columns with less light have no say
REACH = 0.75  # pitch: how far from the planned place a source is looked for
LEAST_COLUMNS = 5
_START = (0.03, 0.1, 0.15)  # floor of the core's width [arcsec], width of the wings [arcsec], share of the wings
_LOW, _HIGH = (0.005, 0.03, 0.0), (0.30, 0.60, 0.60)


@dataclass(frozen=True)
class Trace:
    """The cutout of a source, and where its pixels lie along the slitlet.

    Attributes
    ----------
    flux, ivar : ndarray, shape (n_spat, n_wave)
        Flux per pixel with the sky still in, not corrected for slit loss; ``ivar = 0`` where nothing is known.
    wave : ndarray, shape (n_wave,) [um]
    edges : ndarray, shape (n_spat + 1, n_wave) [pitch]
        Slit coordinate of the lower and upper edges of the pixels, from the centre of the source's planned shutter.
    shutters : sequence of int
        Open shutters, relative to the planned one.
    open_height : float
        Open share of the pitch along the slitlet.
    pitch : float [arcsec]
        Along the slitlet.
    """

    flux: Array
    ivar: Array
    wave: Array
    edges: Array
    shutters: Sequence[int]
    open_height: float
    pitch: float


@dataclass(frozen=True)
class Place:
    """A measured place.

    Attributes
    ----------
    y, err : float [pitch]
        From the centre of the planned shutter, towards larger ``shutter_column``.
    snr : float
        Signal-to-noise ratio of all the light.
    chi2 : float
        Per degree of freedom, with `MODEL_ERROR` allowed for.
    floor : float [arcsec]
        Standard deviation of the core beyond diffraction: large for an extended source.
    passed, passed_err : ndarray, shape (n_wave,)
        Light of the source that passes the shutters, in the unit of the flux; infinite error where there is none.
    """

    y: float
    err: float
    snr: float
    chi2: float
    floor: float
    passed: Array
    passed_err: Array


def profile(trace: Trace, y: float, floor: float, wing_width: float, wing: float) -> Array:
    """Share of a point's light in each pixel, behind the bars.

    Parameters
    ----------
    trace : Trace
        Its flux is not used.
    y : float [pitch]
        Place of the source.
    floor : float [arcsec]
        Added in quadrature to the diffraction-limited width of the core.
    wing_width : float [arcsec]
        Half width at half maximum of the wings.
    wing : float
        Share of the light in the wings.

    Returns
    -------
    ndarray, shape (n_spat, n_wave)

    Notes
    -----
    Across the dispersion a point's image is a Gaussian plus a Lorentzian: the line spread function of any aperture with
    a sharp edge falls off as the inverse square. Each pixel gets the integral over what of it no bar covers.
    """
    sigma = np.hypot(CORE_SLOPE * trace.wave, floor) / trace.pitch
    gamma = wing_width / trace.pitch
    half = trace.open_height / 2
    total = np.zeros(trace.flux.shape)
    for k in trace.shutters:
        at = np.clip(trace.edges, k - half, k + half) - y
        share = (1 - wing) * ndtr(at / sigma) + wing * np.arctan(at / gamma) / np.pi
        total += np.abs(np.diff(share, axis=0))
    return total


def open_length(trace: Trace) -> Array:
    """Open length of each pixel along the slitlet [pitch], shape (n_spat, n_wave): the profile of even light."""
    half = trace.open_height / 2
    return np.sum([np.abs(np.diff(np.clip(trace.edges, k - half, k + half), axis=0)) for k in trace.shutters], axis=0)


def _amplitudes(trace: Trace, ivar: Array, shape: Array, even: Array) -> tuple[Array, Array, Array]:
    """Light of source and sky in each column that fit best, and the variance of the first, each (n_wave,)."""
    ss, se, ee = (np.sum(ivar * a * b, axis=0) for a, b in ((shape, shape), (shape, even), (even, even)))
    ds, de = np.sum(ivar * trace.flux * shape, axis=0), np.sum(ivar * trace.flux * even, axis=0)
    det = ss * ee - se**2
    good = det > 1e-9 * ss * ee
    safe = np.where(good, det, 1.0)
    source, sky = (np.where(good, v / safe, 0.0) for v in (ee * ds - se * de, ss * de - se * ds))
    return source, sky, np.where(good, ee / safe, np.inf)


def measure_place(trace: Trace, planned: float) -> Place | None:
    """Fit the place of a point source along its slitlet.

    Parameters
    ----------
    trace : Trace
    planned : float [pitch]
        Where it should be; the fit looks no further than `REACH` from there.

    Returns
    -------
    Place or None
        None when fewer than `LEAST_COLUMNS` columns have light of it.

    Notes
    -----
    One place and one shape for the whole trace; the light of source and sky of each column are linear and solved for
    within (variable projection). Since the bars are in the model, the light that they take does not move the result.
    Pixels off by more than `OUTLIER` sigma are dropped, once. The error is that of the fit, times the root of chi2 per
    degree of freedom where that is larger than one.
    """
    even = open_length(trace)
    ivar, start = trace.ivar, np.array([planned, *_START])
    bounds = ([planned - REACH, *_LOW], [planned + REACH, *_HIGH])
    for final in (False, True):

        def residuals(p: Array, ivar: Array = ivar) -> Array:
            shape = profile(trace, *p)
            source, sky, _ = _amplitudes(trace, ivar, shape, even)
            return ((trace.flux - source * shape - sky * even) * np.sqrt(ivar)).ravel()

        fit = least_squares(residuals, start, bounds=bounds, x_scale=(0.05, 0.02, 0.1, 0.1), max_nfev=60)
        shape = profile(trace, *fit.x)
        source, sky, variance = _amplitudes(trace, ivar, shape, even)
        bright = source > FAINT * np.sqrt(variance)
        if bright.sum() < LEAST_COLUMNS:
            return None
        if not final:
            ivar = _trusted(trace, source * shape, sky * even) * bright
            start = fit.x
    # pixels that only the two amplitudes of their column describe are no degrees of freedom
    freedom = max(int((ivar > 0).sum()) - 2 * int(bright.sum()) - len(start), 1)
    chi2 = float(2 * fit.cost / freedom)
    err = _first_error(fit.jac) * max(1.0, np.sqrt(chi2))
    source, _, variance = _amplitudes(trace, trace.ivar, shape, even)
    through = shape.sum(axis=0)
    snr = float(np.sqrt(np.sum(np.where(np.isfinite(variance), source**2 / variance, 0.0) * bright)))
    return Place(float(fit.x[0]), err, snr, chi2, float(fit.x[1]), source * through, np.sqrt(variance) * through)


def _trusted(trace: Trace, light: Array, sky: Array) -> Array:
    """Inverse variance with the error of the model, without outliers."""
    safe = np.where(trace.ivar > 0, trace.ivar, 1.0)
    ivar = np.where(trace.ivar > 0, 1.0 / (1.0 / safe + (MODEL_ERROR * light) ** 2), 0.0)
    wrong = np.abs(trace.flux - light - sky) * np.sqrt(ivar) > OUTLIER
    return np.where(wrong, 0.0, ivar)


def _first_error(jac: Array) -> float:
    """Standard error of the first parameter, the others free."""
    others, *_ = np.linalg.lstsq(jac[:, 1:], jac[:, 0], rcond=None)
    left = jac[:, 0] - jac[:, 1:] @ others
    return float(1.0 / np.sqrt(max(float(left @ left), 1e-30)))
