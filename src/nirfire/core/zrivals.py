"""What else a spectrum may be: a star, or nothing but a smooth curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .continuum import fill_continua
from .templates import GridTemplates
from .zcolumns import Columns, Sampling
from .zgram import Spectra, broad_normal

SMOOTH_ORDER = 5
"""Order of the polynomial of ln(wavelength) that stands for a spectrum without features."""


class Rivals(NamedTuple):
    """chi2 of what else may fit."""

    null: float  # a smooth curve
    null_by_pixel: np.ndarray  # (n_pix,)
    star: float  # the best star
    name: str  # which


def rivals_of(spectra: Spectra, grid: GridTemplates, sampling: Sampling) -> list[Rivals]:
    """Fit each spectrum with a smooth curve, and with stars one at a time.

    Parameters
    ----------
    spectra : Spectra
    grid : GridTemplates
    sampling : Sampling

    Returns
    -------
    list of Rivals
        Stars are fitted with the calibration polynomials, as galaxies are; the curve, which needs none, without.
    """
    n, pixels = grid.stars.shape[1], sampling.blocks
    values = np.zeros((pixels.low.size, n))
    rest, use = (grid.stars, grid.stars), np.arange(n)
    fill_continua(values, rest, use, 0.0, pixels.response.start, (np.empty((1, 0)), use), pixels.response, 1.0)
    normal = broad_normal(spectra, Columns(use, np.arange(pixels.low.size), values))
    own = np.arange(n)
    square = normal.pairs[:, own * (own + 1) // 2 + own] - np.sum(normal.moments[:, 1:] ** 2, axis=1)
    rhs = normal.moments[:, 0] - np.einsum("sk,skn->sn", spectra.inner, normal.moments[:, 1:])
    gain = np.where(square > 0, np.maximum(rhs, 0.0) ** 2 / np.where(square > 0, square, 1.0), 0.0)
    best = np.argmax(gain, axis=1)
    log_wave = np.log(0.5 * (sampling.bins.low + sampling.bins.high))
    x = 2.0 * (log_wave - log_wave[0]) / (log_wave[-1] - log_wave[0]) - 1.0
    curve = np.polynomial.legendre.legvander(x, SMOOTH_ORDER)
    out = []
    for i, weight in enumerate(spectra.weight):
        data = np.divide(spectra.moments[i, 0], weight, out=np.zeros(weight.size), where=weight > 0)
        root = np.sqrt(weight)
        coefficients = np.linalg.lstsq(curve * root[:, None], data * root, rcond=None)[0]
        null = weight * (data - curve @ coefficients) ** 2
        out.append(
            Rivals(float(null.sum()), null, float(spectra.total[i] - gain[i, best[i]]), grid.star_names[best[i]])
        )
    return out
