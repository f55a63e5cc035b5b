"""What a spectrum needs before a redshift scan: valid pixels, honest errors, no spikes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter
from scipy.special import ndtr

from .grids import RANGES
from .lsf import FWHM_TO_SIGMA, pixel_edges, resolving_power

_NOISE_WINDOW = 15
_LOCAL_WINDOW = 61
_UNTRUSTED = 0.5  # of the flux: error where the flux calibration is an extrapolation


def usable_pixels(wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, *, edge: int) -> np.ndarray:
    """Pixels with finite data and ivar > 0, without the first and last `edge` of them.

    Returns
    -------
    ndarray of bool, shape (n_pix,)
    """
    good = np.isfinite(wave) & np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
    index = np.flatnonzero(good)
    out = np.zeros(good.shape, dtype=bool)
    out[index[edge : index.size - edge]] = True
    return out


def floored_errors(flux: np.ndarray, err: np.ndarray, *, floor: float) -> np.ndarray:
    """Errors not below `floor` |flux|, nor below the running median of 15 pixels.

    Parameters
    ----------
    flux, err : ndarray, shape (n_pix,) [uJy]
        Valid pixels only.
    floor : float
        Fraction of the flux: template and calibration error.
    """
    raised = np.maximum(err, floor * np.abs(flux))
    return np.maximum(raised, median_filter(err, size=min(_NOISE_WINDOW, err.size), mode="nearest"))


def fit_errors(wave: np.ndarray, flux: np.ndarray, err: np.ndarray, grating: str, *, floor: float) -> np.ndarray:
    """Errors for the fit, from the quoted ones: scatter, calibration at the ends, then the floors.

    Parameters
    ----------
    wave, flux, err : ndarray, shape (n_pix,) [um, uJy, uJy]
        Valid pixels only.
    grating : str
    floor : float
        Fraction of the flux.

    Returns
    -------
    ndarray, shape (n_pix,) [uJy]
    """
    honest = untrusted_errors(wave, flux, scatter_errors(flux, err), grating)
    return floored_errors(flux, honest, floor=floor)


def pixel_sigma(wave: np.ndarray, grating: str, lsf_factor: float | None = None) -> np.ndarray:
    """Width of the line-spread function in pixels, shape (n_pix,)."""
    low, high = pixel_edges(wave)
    return FWHM_TO_SIGMA / resolving_power(grating, wave, lsf_factor) * wave / (high - low)


def untrusted_errors(wave: np.ndarray, flux: np.ndarray, err: np.ndarray, grating: str) -> np.ndarray:
    """Errors outside the nominal range of a disperser, where calibration is extrapolated and flux may blow up.

    Parameters
    ----------
    wave, flux, err : ndarray, shape (n_pix,) [um, uJy, uJy]
        Valid pixels only.
    grating : str

    Returns
    -------
    ndarray, shape (n_pix,) [uJy]
        In quadrature with half of the local level, fully so 2 % of the wavelength beyond the range. The level is a
        running median: a line on a faint continuum keeps its significance.
    """
    blue, red = zip(*(ends for (name, _), ends in RANGES.items() if name == grating), strict=True)
    beyond = np.clip(np.maximum(min(blue) - wave, wave - max(red)) / (0.02 * wave), 0.0, 1.0)
    if not beyond.any():
        return err
    level = smooth_level(flux, window=_LOCAL_WINDOW)
    return np.hypot(err, _UNTRUSTED * beyond * level)


def scatter_errors(flux: np.ndarray, err: np.ndarray) -> np.ndarray:
    """Errors raised to the scatter of the flux from pixel to pixel where that is larger; never lowered.

    The scatter is a running median of absolute second differences, over that of white noise; lines are too few
    to matter, and neighbours that correlate lower it, not raise it.
    """
    if flux.size < _LOCAL_WINDOW:
        return err
    ratio = np.zeros(flux.size)
    second = np.abs(flux[1:-1] - 0.5 * (flux[2:] + flux[:-2]))
    ratio[1:-1] = second / np.sqrt(err[1:-1] ** 2 + 0.25 * (err[2:] ** 2 + err[:-2] ** 2))
    ratio[0], ratio[-1] = ratio[1], ratio[-2]
    return err * np.maximum(1.0, median_filter(ratio, size=_LOCAL_WINDOW, mode="nearest") / 0.6745)


def find_spikes(
    flux: np.ndarray, err: np.ndarray, sigma_px: np.ndarray, *, n_sigma: float, share: float = 0.5
) -> np.ndarray:
    """Single pixels that stand out more than the line-spread function allows.

    Parameters
    ----------
    flux, err : ndarray, shape (n_pix,) [uJy]
        Valid pixels, contiguous or nearly so.
    sigma_px : ndarray, shape (n_pix,)
        Width of the line-spread function in pixels.
    n_sigma : float
        Significance from which a pixel is looked at.
    share : float
        A spike's larger neighbour is below this share of what the LSF would give it (allowing 2 sigma of noise).

    Returns
    -------
    ndarray of bool

    Notes
    -----
    The neighbour-to-peak ratio of a line centred on a pixel is [Phi(1.5/s) - Phi(0.5/s)] / [2 Phi(0.5/s) - 1]; off
    centre the larger neighbour only gets brighter.
    """
    if flux.size < 7:
        return np.zeros(flux.shape, dtype=bool)
    padded = np.pad(flux, 3, mode="edge")
    around = np.stack([padded[k : k + flux.size] for k in (0, 1, 5, 6)])
    excess = flux - np.median(around, axis=0)
    left = padded[2 : 2 + flux.size] - np.median(around, axis=0)
    right = padded[4 : 4 + flux.size] - np.median(around, axis=0)
    s = np.maximum(sigma_px, 0.2)
    ratio = (ndtr(1.5 / s) - ndtr(0.5 / s)) / (2.0 * ndtr(0.5 / s) - 1.0)
    sign = np.sign(excess)
    neighbour = np.maximum(sign * left, sign * right)
    return (np.abs(excess) > n_sigma * err) & (neighbour + 2.0 * err < share * ratio * np.abs(excess))


def smooth_level(flux: np.ndarray, *, window: int) -> np.ndarray:
    """Running median of the absolute level, the scale of a multiplicative calibration error [uJy]."""
    size = max(min(window, flux.size), 1)
    return np.abs(median_filter(flux, size=size, mode="nearest"))


def legendre_columns(position: np.ndarray, level: np.ndarray, order: int) -> np.ndarray:
    """Legendre polynomials 1..order over `position` (0..1) times `level`, shape (n_pix, order)."""
    x = 2.0 * position - 1.0
    columns = [np.polynomial.legendre.legval(x, np.eye(order + 1)[k]) * level for k in range(1, order + 1)]
    return np.array(columns).T.reshape(position.size, order)
