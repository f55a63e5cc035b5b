"""Line-spread function and the matrix that takes a log-wavelength spectrum to the pixels of a real one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

C_KMS = 299792.458
FWHM_TO_SIGMA = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
N_SIGMA = 4.0
LSF_FLOOR_PX = 0.25  # an LSF narrower than this share of a pixel is not distinguishable from none

_PIVOT_UM = 2.0
# ln R = sum_k c_k ln(lambda / 2 um)^k, fitted by us to the R column of the public JWST dispersion tables
# (jwst_nirspec_*_disp.fits, slit of one shutter width); largest deviation 0.4 % (PRISM), 0.65 % (H), 0.05 % (M).
_LN_R = {
    "PRISM": (3.88321, 1.59626, 0.84096, -0.90062, 0.22754, 0.42371, -0.13042, -0.10895),
    "G140M": (7.26893, 1.01649, 0.00887),
    "G235M": (6.74548, 1.00624, 0.01235),
    "G395M": (6.22598, 0.99318, 0.01262),
    "G140H": (8.30218, 1.14657, 0.08002),
    "G235H": (7.72938, 1.05150, 0.11666),
    "G395H": (7.21995, 0.91095, 0.13271),
}
_FIT_RANGE_UM = {"P": (0.50, 5.70), "1": (0.60, 2.00), "2": (1.50, 3.40), "3": (2.60, 5.70)}
GRATINGS = tuple(_LN_R)


class Response(NamedTuple):
    """Banded matrix from log-wavelength cells to pixels; pixel p = sum_j weights[p, j] cell[first[p] + j]."""

    first: np.ndarray  # (n_pix,) int64, index of the first cell
    length: np.ndarray  # (n_pix,) int64, number of cells
    weights: np.ndarray  # (n_pix, n_max), n_max a multiple of 4, 0 from length on
    start: int  # absolute index of cell 0: its centre is wave_zero exp(start step)
    n_cells: int


def default_lsf_factor(grating: str) -> float:
    """Resolving power in flight over the tabulated one: 1.3 (PRISM), 1.5 (gratings).

    Sources smaller than the shutter are not smeared by its whole width: de Graaff et al. 2024 (A&A 684, A87),
    Shajib et al. 2025; the two numbers are those of the published CAMPFIRE settings.
    """
    return 1.3 if grating.upper() == "PRISM" else 1.5


def resolving_power(grating: str, wave: np.ndarray, factor: float | None = None) -> np.ndarray:
    """R = lambda / FWHM of the line-spread function.

    Parameters
    ----------
    grating : str
        One of `GRATINGS`.
    wave : ndarray
        Wavelengths [um]; outside the range of the fit the value at its end is used.
    factor : float, optional
        Multiplies the tabulated R; default `default_lsf_factor`.

    Raises
    ------
    KeyError
        Unknown grating.
    """
    name = grating.upper()
    coefficients = _LN_R[name]
    low, high = _FIT_RANGE_UM["P" if name == "PRISM" else name[1]]
    log_wave = np.log(np.clip(np.asarray(wave, dtype=float), low, high) / _PIVOT_UM)
    scale = default_lsf_factor(name) if factor is None else factor
    return scale * np.exp(np.polynomial.polynomial.polyval(log_wave, coefficients))


def pixel_edges(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edges [um] of pixels with increasing centres `wave`, half-way between neighbours."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    low = np.concatenate([[wave[0] - (middle[0] - wave[0])], middle])
    high = np.concatenate([middle, [wave[-1] + (wave[-1] - middle[-1])]])
    return low, high


def _normal_integral(u: np.ndarray) -> np.ndarray:
    """Antiderivative of the normal distribution function: u Phi(u) + phi(u)."""
    return u * ndtr(u) + np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi)


def response_matrix(low: np.ndarray, high: np.ndarray, sigma: np.ndarray, *, step: float, wave_zero: float) -> Response:
    """Gaussian LSF times exact pixel integration, for cells uniform in ln(wavelength).

    Parameters
    ----------
    low, high : ndarray, shape (n_pix,) [um]
        Pixel edges, increasing.
    sigma : ndarray, shape (n_pix,) [um]
        Width of the LSF at each pixel.
    step : float
        Cell size in ln(wavelength).
    wave_zero : float [um]
        Cell i is centred on wave_zero exp(i step).

    Returns
    -------
    Response
        Rows add up to 1 (the mean flux density over the pixel of a flat spectrum is that spectrum).

    Notes
    -----
    Weight of cell [c0, c1] in pixel [a, b]: (1/(b-a)) int_c0^c1 [Phi((b-x)/s) - Phi((a-x)/s)] dx, with the closed
    form int Phi = u Phi(u) + phi(u): nothing is sampled.
    """
    width = np.maximum(sigma, LSF_FLOOR_PX * (high - low) / 10.0)
    first = np.floor(np.log((low - N_SIGMA * width) / wave_zero) / step + 0.5).astype(np.int64)
    last = np.floor(np.log((high + N_SIGMA * width) / wave_zero) / step + 0.5).astype(np.int64)
    count = last - first + 1
    index = first[:, None] + np.arange(4 * ((int(count.max()) + 3) // 4))[None, :]
    left = wave_zero * np.exp((index - 0.5) * step)
    right = wave_zero * np.exp((index + 0.5) * step)
    weights = np.zeros(index.shape)
    for edge, sign in ((high, 1.0), (low, -1.0)):
        upper = _normal_integral((edge[:, None] - left) / width[:, None])
        weights += sign * (upper - _normal_integral((edge[:, None] - right) / width[:, None]))
    weights *= width[:, None]
    weights[np.arange(index.shape[1])[None, :] >= count[:, None]] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    start = int(first.min())
    return Response(first - start, count, weights, start, int(last.max()) - start + 1)


def apply_response(response: Response, cells: np.ndarray) -> np.ndarray:
    """Pixels of a spectrum given on the cells, shape (n_cells,) -> (n_pix,) (slow reference form)."""
    index = response.first[:, None] + np.arange(response.weights.shape[1])[None, :]
    return np.sum(response.weights * cells[np.minimum(index, response.n_cells - 1)], axis=1)
