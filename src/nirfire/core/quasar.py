"""Spectrum of an unobscured quasar: a power law, the Balmer continuum, iron, and broad lines of usual strength."""

from __future__ import annotations

import numpy as np

from .continuum import blackbody
from .lines import calzetti
from .lsf import C_KMS, FWHM_TO_SIGMA

# Rest wavelength [um], equivalent width [um], FWHM [km/s]. Round numbers of composite spectra: Vanden Berk et al. 2001
# (ultraviolet and optical), Glikman et al. 2006 (infrared). The narrow lines are left to the line templates.
_LINES = (
    (0.121567, 0.0080, 5000.0), (0.124080, 0.0015, 5000.0), (0.130500, 0.0002, 4000.0), (0.139800, 0.0008, 5000.0),
    (0.154948, 0.0024, 5000.0), (0.164042, 0.0004, 6000.0), (0.190873, 0.0021, 6000.0), (0.279912, 0.0032, 4000.0),
    (0.410289, 0.0006, 4000.0), (0.434168, 0.0014, 4000.0), (0.486268, 0.0046, 4000.0), (0.587725, 0.0006, 4000.0),
    (0.656461, 0.0195, 3500.0), (0.844868, 0.0015, 3000.0), (1.083321, 0.0040, 3500.0), (1.094109, 0.0020, 3500.0),
    (1.282158, 0.0035, 3000.0), (1.875613, 0.0060, 3000.0),
)  # fmt: skip
# Blends of Fe II: centre, equivalent width and half-width (sigma) [um]; after Boroson & Green 1992 (optical) and
# Vestergaard & Wilkes 2001 (ultraviolet), smoothed.
_IRON = (
    (0.2250, 0.0030, 0.0090), (0.2420, 0.0035, 0.0060), (0.2500, 0.0025, 0.0045), (0.2600, 0.0020, 0.0050),
    (0.2750, 0.0020, 0.0060), (0.2900, 0.0015, 0.0070), (0.3200, 0.0020, 0.0110),
    (0.4570, 0.0028, 0.0065), (0.5200, 0.0018, 0.0045), (0.5310, 0.0014, 0.0050),
)  # fmt: skip
_BALMER_EDGE_UM = 0.3646
_BALMER_SHARE = 0.12  # of the power law at the edge
_BALMER_KELVIN = 15000.0
_DUST_KELVIN = 1250.0
_DUST_SHARE = 1.0  # of the power law at 2 um


def composite(wave: np.ndarray, a_v: float = 0.0) -> np.ndarray:
    """f_nu of a quasar, 1 at 0.3 um before dust; zero below the Lyman limit.

    Parameters
    ----------
    wave : ndarray [um]
    a_v : float [mag]
        Dust (Calzetti et al. 2000).

    Notes
    -----
    f_nu proportional to wave^0.44 (Vanden Berk et al. 2001); Balmer continuum B_nu (1 - exp(-(wave / edge)^3)) below
    its edge (Grandi 1982), which blended high Balmer lines make smooth; hot dust of 1250 K.
    """
    power = (wave / 0.3) ** 0.44
    out = power.copy()
    for centre, width, fwhm in _LINES:
        sigma = centre * fwhm * FWHM_TO_SIGMA / C_KMS
        out += power * width * _gaussian(wave - centre, sigma)
    for centre, width, sigma in _IRON:
        out += power * width * _gaussian(wave - centre, sigma)
    edge = (_BALMER_EDGE_UM / 0.3) ** 0.44 * _BALMER_SHARE
    body = blackbody(wave, _BALMER_KELVIN) * (1.0 - np.exp(-((wave / _BALMER_EDGE_UM) ** 3)))
    step = 0.5 * (1.0 - np.tanh((wave - 0.370) / 0.006))
    out += edge * step * body / np.interp(_BALMER_EDGE_UM, wave, body)
    dust = blackbody(wave, _DUST_KELVIN)
    out += _DUST_SHARE * (2.0 / 0.3) ** 0.44 * dust / np.interp(2.0, wave, dust)
    out *= 10.0 ** (-0.4 * a_v * calzetti(wave))
    return np.where(wave < 0.0912, 0.0, out)


def _gaussian(offset: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of area 1."""
    return np.exp(-0.5 * (offset / sigma) ** 2) / (np.sqrt(2.0 * np.pi) * sigma)
