"""What the embedded instrument does to light and to signal: throughput, flats, shutter losses, detector maps.

These functions are the only truth. The scene painter applies them, and ``references`` tabulates them for the
stock pipeline, so a calibration that is right returns the input, and one that is wrong shows a wrong flux
or wavelength. Every number is ours: smooth analytic shapes whose size and character follow the public
throughput curves and reference files of NIRSpec, and seeded noise for what varies from pixel to pixel.

Wavelengths are in um, detector pixels are 0-indexed in the full frame in science (DMS) orientation, maps have
shape (2048, 2048), are cached, and are read-only.

Counts of a source of flux density ``f`` [uJy] in a pixel row::

    rate [DN/s] = f / photom / T0 * row_fractions * dflat * sflat * fflat,   T0 = transmission(wave, 0, 0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nirfire.simulate import psf
from nirfire.simulate.detector_maps import (
    N_PIX,
    apply_nonlinearity,
    bad_pixels,
    dark_rate,
    frozen,
    gain,
    linearity_coeffs,
    picture_frame,
    read_noise,
    reference_pixels,
    saturation,
    seeded,
    superbias,
    unit_grid,
)
from nirfire.simulate.operability import msa_operability
from nirfire.simulate.optics import load_optics

__all__ = [
    "apply_nonlinearity",
    "bad_pixels",
    "bar_shadow",
    "dark_rate",
    "dflat",
    "fflat",
    "gain",
    "linearity_coeffs",
    "msa_operability",
    "pathloss_point",
    "pathloss_uniform",
    "photom",
    "picture_frame",
    "pixel_area",
    "read_noise",
    "reference_pixels",
    "saturation",
    "sflat",
    "superbias",
    "throughput",
    "wavelength_offset",
]

Array = NDArray[np.float64]
Map = NDArray[np.float32]

FLAT_WAVES = (0.4, 6.0)
"""Wavelengths [um] of the two planes between which the D-flat and F-flat vary linearly."""


# --- throughput ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Blaze:
    """Efficiency of a grating: a peak with a blue and a red width in ln(wave), and its dispersion."""

    peak: float
    wave: float  # um
    blue: float
    red: float
    dispersion: float  # um per pixel


_BLAZE = {
    "G140M": _Blaze(0.52, 1.25, 0.215, 0.42, 0.00064),
    "G235M": _Blaze(0.53, 2.50, 0.330, 0.36, 0.00107),
    "G395M": _Blaze(0.61, 3.78, 0.230, 0.30, 0.00179),
    "G140H": _Blaze(0.49, 1.25, 0.210, 0.40, 0.00024),
    "G235H": _Blaze(0.50, 2.45, 0.320, 0.34, 0.00039),
    "G395H": _Blaze(0.57, 3.72, 0.225, 0.29, 0.00066),
}
_CUT_ON = {"CLEAR": 0.30, "F070LP": 0.67, "F100LP": 0.94, "F170LP": 1.63, "F290LP": 2.82}  # um
_CUT_WIDTH = 0.012  # um
_LEAK = 0.02

_UJY_TO_RATE = 1e-32 * 25.0 / 6.62607e-34
"""Photons per second and unit ln(wave) from 1 uJy on 25 m^2 (10^-32 W m^-2 Hz^-1 / h)."""
_SLIT_AND_GAIN = 0.75  # mean transmission of the shutter over the gain [DN per photo-electron]


def _prism_dispersion(wave: Array) -> Array:
    """The prism's um per pixel, a rational shape of ours: 0.002 at 0.5 um, 0.02 at 1.7, 0.008 at 5.2."""
    return 0.0144 * wave**2.6 / (1.0 + (wave / 1.45) ** 3.8)


def throughput(wave: ArrayLike, *, filter: str, grating: str) -> Array:
    """Photon conversion efficiency of telescope, spectrograph and detector.

    Parameters
    ----------
    wave : array_like [um]
    filter, grating : str

    Returns
    -------
    ndarray, shape of `wave`
        Between 0 and 1; never zero, so that its inverse exists everywhere.
    """
    lam = np.asarray(wave, dtype=float)
    cut = _LEAK + (1.0 - _LEAK) / (1.0 + np.exp(-(lam - _CUT_ON[filter]) / _CUT_WIDTH))
    if grating == "PRISM":
        rise = 1.0 - np.exp(-((lam / 0.95) ** 2.2))
        fall = 1.0 / (1.0 + np.exp((lam - 5.6) / 0.25))
        return 0.62 * cut * rise * fall
    shape = _BLAZE[grating]
    step = np.log(lam / shape.wave)
    return shape.peak * cut * np.exp(-0.5 * (step / np.where(step < 0.0, shape.blue, shape.red)) ** 2)


def photom(wave: ArrayLike, *, filter: str, grating: str) -> Array:
    """Flux density per count rate of a point source centred in its shutter, before flat fields.

    Parameters
    ----------
    wave : array_like [um]
    filter, grating : str

    Returns
    -------
    ndarray [uJy per (DN/s)], shape of `wave`
    """
    lam = np.asarray(wave, dtype=float)
    step = _prism_dispersion(lam) if grating == "PRISM" else _BLAZE[grating].dispersion
    efficiency = throughput(lam, filter=filter, grating=grating)
    return 1.0 / (_UJY_TO_RATE * efficiency * step / lam * _SLIT_AND_GAIN)


# --- flat fields -----------------------------------------------------------------------------------------


def _wave_share(wave: ArrayLike) -> Array:
    """Position between the two flat planes: 0 at the first, 1 at the second, clipped outside."""
    low, high = FLAT_WAVES
    return np.clip((np.asarray(wave, dtype=float) - low) / (high - low), 0.0, 1.0)


@lru_cache(maxsize=2)
def dflat_planes(detector: str) -> Map:
    """Detector flat at the two `FLAT_WAVES`.

    Parameters
    ----------
    detector : str

    Returns
    -------
    ndarray, shape (2, 2048, 2048)
        2 % rms from pixel to pixel, of which a quarter changes from blue to red, on a slope across the chip
        that also does. One in the reference-pixel frame.
    """
    rng = seeded(detector, 1)
    u, v = unit_grid()
    pixel = np.clip(rng.standard_normal((2, N_PIX, N_PIX), dtype=np.float32), -4, 4)
    sign = 1.0 if detector == "NRS1" else -1.0
    blue = 1.0 + 0.020 * pixel[0] + sign * 0.015 * u + 0.010 * u * v - 0.008 * v**2
    red = 1.0 + 0.019 * pixel[0] + 0.006 * pixel[1] - sign * 0.010 * u + 0.012 * v
    planes = np.stack([blue, red]).astype(np.float32)
    planes[:, reference_pixels()] = 1.0
    return frozen(planes)


def dflat(col: ArrayLike, row: ArrayLike, wave: ArrayLike, *, detector: str) -> Array:
    """Pixel response of the detector.

    Parameters
    ----------
    col, row : array_like [px]
        Rounded to the nearest pixel, clipped to the frame.
    wave : array_like [um]
    detector : str

    Returns
    -------
    ndarray, broadcast shape; around 1
    """
    i = np.clip(np.rint(row), 0, N_PIX - 1).astype(int)
    j = np.clip(np.rint(col), 0, N_PIX - 1).astype(int)
    planes = dflat_planes(detector)
    share = _wave_share(wave)
    return (1.0 - share) * planes[0, i, j] + share * planes[1, i, j]


def sflat_image(col: ArrayLike, row: ArrayLike, *, grating: str, detector: str) -> Array:
    """Smooth 2D part of the spectrograph flat, peak to peak about 10 %."""
    order = sorted([*_BLAZE, "PRISM"]).index(grating)
    phase = 0.9 * order + (0.4 if detector == "NRS2" else 0.0)
    u = np.asarray(col, dtype=float) / (0.5 * (N_PIX - 1)) - 1.0
    v = np.asarray(row, dtype=float) / (0.5 * (N_PIX - 1)) - 1.0
    wave_like = 0.025 * np.cos(2.2 * u + phase) * np.cos(1.7 * v - phase)
    return 1.0 - 0.020 * u**2 - 0.015 * v**2 + wave_like + 0.010 * np.sin(2.6 * v + phase)


def sflat_curve(wave: ArrayLike, *, grating: str) -> Array:
    """Wavelength part of the spectrograph flat, amplitude 1.5 %."""
    order = sorted([*_BLAZE, "PRISM"]).index(grating)
    return 1.0 + 0.015 * np.sin(7.0 * np.log(np.asarray(wave, dtype=float)) + order)


def sflat(col: ArrayLike, row: ArrayLike, wave: ArrayLike, *, filter: str, grating: str, detector: str) -> Array:
    """Response of the spectrograph: `sflat_image` times `sflat_curve`.

    Parameters
    ----------
    col, row : array_like [px]
    wave : array_like [um]
    filter, grating, detector : str
        The response does not depend on the filter, which selects the reference file all the same.

    Returns
    -------
    ndarray, broadcast shape; around 1
    """
    return sflat_image(col, row, grating=grating, detector=detector) * sflat_curve(wave, grating=grating)


def fflat_shutter(wave: ArrayLike, quadrant: ArrayLike, xcen: ArrayLike, ycen: ArrayLike) -> Array:
    """Part of the fore-optics flat that varies over the shutters, linear in wavelength, up to 6 %."""
    q = np.asarray(quadrant, dtype=float)
    u = (np.asarray(xcen, dtype=float) - 183.0) / 182.0
    v = (np.asarray(ycen, dtype=float) - 86.0) / 85.0
    blue = 1.0 + 0.020 * u - 0.012 * v + 0.010 * np.cos(1.3 * q) * u * v
    red = 0.97 - 0.015 * u + 0.010 * v**2 + 0.008 * np.sin(1.1 * q + u)
    share = _wave_share(wave)
    return (1.0 - share) * blue + share * red


def fflat_curve(wave: ArrayLike, quadrant: ArrayLike, *, filter: str, grating: str) -> Array:
    """Part of the fore-optics flat that varies with wavelength, about 4 %, another in each quadrant."""
    log = np.log(np.asarray(wave, dtype=float))
    phase = 0.8 * np.asarray(quadrant, dtype=float) + list(_CUT_ON).index(filter)
    tilt = 0.5 if grating.endswith("H") else 0.0
    return 1.0 + 0.025 * np.sin(9.0 * log + phase + tilt) + 0.012 * np.cos(23.0 * log + 2.0 * phase)


def fflat(
    wave: ArrayLike, quadrant: ArrayLike, xcen: ArrayLike, ycen: ArrayLike, *, filter: str, grating: str
) -> Array:
    """Response of the fore optics and the shutter: `fflat_shutter` times `fflat_curve`.

    Parameters
    ----------
    wave : array_like [um]
    quadrant : array_like, 1..4
    xcen, ycen : array_like
        Shutter, 1..365 along the dispersion and 1..171 across it (of the slitlet's reference shutter).
    filter, grating : str

    Returns
    -------
    ndarray, broadcast shape; around 1
    """
    return fflat_shutter(wave, quadrant, xcen, ycen) * fflat_curve(wave, quadrant, filter=filter, grating=grating)


# --- shutters --------------------------------------------------------------------------------------------


def slitlet(n_shutters: int) -> tuple[int, ...]:
    """Open shutters of the reference apertures, relative to the source's: ``(0,)`` or ``(-1, 0, 1)``."""
    return (0,) if n_shutters == 1 else (-1, 0, 1)


def pathloss_point(wave: ArrayLike, dx: ArrayLike, dy: ArrayLike, shutters: Sequence[int]) -> Array:
    """Light of a point source that passes, relative to the same source at the centre of its shutter.

    Parameters
    ----------
    wave : array_like [um]
    dx, dy : array_like [pitch]
    shutters : sequence of int

    Returns
    -------
    ndarray, broadcast shape; 1 at the centre (the convention of ``jwst_nirspec_pathloss_0002``)
    """
    centred = psf.transmission(wave, 0.0, 0.0, shutters)
    return psf.transmission(wave, dx, dy, shutters) / centred


def pathloss_uniform(wave: ArrayLike, n_shutters: int) -> Array:
    """What an evenly filled shutter gains over a centred point source, ``1 / T0``.

    Parameters
    ----------
    wave : array_like [um]
    n_shutters : int
        1 or 3.

    Returns
    -------
    ndarray, shape of `wave`; 1.2 to 1.8
    """
    return 1.0 / psf.transmission(wave, 0.0, 0.0, slitlet(n_shutters))


def bar_shadow(y: ArrayLike, shutters: Sequence[int], *, pixel_height: float) -> Array:
    """Share of a pixel that even light reaches between the bars.

    Parameters
    ----------
    y : array_like [pitch]
        Slit coordinate of the pixel's centre.
    shutters : sequence of int
    pixel_height : float [pitch]

    Returns
    -------
    ndarray, shape of `y`; 1 in the middle of an open shutter
    """
    centre = np.asarray(y, dtype=float)
    half = 0.5 * pixel_height
    return psf.open_share(centre - half, centre + half, shutters) / pixel_height


PIXELS_PER_PITCH_X = 2.605
"""Detector columns that a source moves by when it crosses one shutter pitch; +-2 % over all modes."""
PIXELS_PER_PITCH_Y = 5.02
"""Detector rows in one shutter pitch; +-1 % over all modes."""


def wavelength_offset(wave: ArrayLike, dx: ArrayLike) -> Array:
    """Wavelength of an off-centre point source minus that of the shutter's centre, in detector pixels.

    Parameters
    ----------
    wave : array_like [um]
    dx : array_like [pitch]
        Position of the source across its shutter.

    Returns
    -------
    ndarray [px], broadcast shape
        To be multiplied by the dispersion d(wave)/d(column) and added to the wavelength that the geometry gives
        for the centre of the shutter.

    Notes
    -----
    On both detectors a larger `dx` moves the light to smaller columns (the optical model: -2.6 px per pitch), so
    in a given column the light of a source at positive `dx` is redder. What counts is the mean position of the
    light that passes the shutter.
    """
    return PIXELS_PER_PITCH_X * psf.centroid_x(wave, dx)


def pixel_area(quadrant: int, xcen: ArrayLike, ycen: ArrayLike) -> Array:
    """Solid angle that a pixel sees of an evenly filled shutter: open width times the height of one pixel.

    Parameters
    ----------
    quadrant : int
    xcen, ycen : array_like

    Returns
    -------
    ndarray [arcsec^2], broadcast shape; about 0.021

    Notes
    -----
    The mean pitch on the sky, as in `psf`, with the magnification from shutters to detector rows at the place.
    """
    optics = load_optics()
    xcen, ycen = np.asarray(xcen)[..., None], np.asarray(ycen)[..., None]
    x, y = optics.shutter_to_msa(quadrant, xcen, ycen, 0.0, np.array([-0.5, 0.5]))
    detector = "NRS1" if quadrant > 2 else "NRS2"
    _, row = optics.msa_to_detector(x, y, 2.5, grating="PRISM", detector=detector)
    return psf.OPEN[0] * psf.PITCH[0] * psf.PITCH[1] / np.abs(row[..., 1] - row[..., 0])
