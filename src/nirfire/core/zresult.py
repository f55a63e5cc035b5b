"""Settings of the redshift fit, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .line_fluxes import Lines
from .zprob import Features

MIN_PIXELS = 20


class GratingScan(NamedTuple):
    """Steps of the scan for a disperser."""

    coarse: float  # km/s
    fine: float  # km/s
    z_max: float
    hold: int = 1  # coarse steps for which continua and broad lines stay where they are
    width: int = 1  # pixels over which the scans take narrow lines as constant,
    block: int = 1  # and so many times that, continua and broad lines
    spacing: int = 1  # coarse steps between which these are interpolated


_MEDIUM = GratingScan(100.0, 10.0, 15.0, hold=5, block=4, spacing=5)
_HIGH = GratingScan(30.0, 5.0, 15.0, hold=15, width=3, block=4, spacing=15)
SCANS = {
    "PRISM": GratingScan(500.0, 30.0, 20.0, hold=3),
    **dict.fromkeys(("G140M", "G235M", "G395M"), _MEDIUM),
    **dict.fromkeys(("G140H", "G235H", "G395H"), _HIGH),
}


@dataclass(frozen=True)
class ScanOptions:
    """Settings of `fit_redshift`; every default of the redshift fit stands here."""

    z_min: float = 0.0
    z_max: float | None = None  # default: that of the grating
    lsf_factor: float | None = None  # default: that of the grating
    error_floor: float = 0.03  # of the flux
    edge_pixels: int = 5
    spike_sigma: float = 6.0  # 0: no spike rejection
    n_minima: int = 5
    window_kms: float = 3000.0
    polynomial: int = 4  # Legendre orders 1..n; 0: none
    polynomial_prior: float = 0.10  # of the flux
    confidence_window: float = 0.03
    lines: bool = True  # measure emission lines at the best redshift

    @property
    def least_pixels(self) -> int:
        """Valid pixels that a spectrum needs."""
        return MIN_PIXELS + 2 * self.edge_pixels


@dataclass(frozen=True, eq=False)
class RedshiftResult:
    """Outcome of one scan (arrays are not to be changed)."""

    z_best: float
    z_err: float
    chi2_min: float
    n_pix: int
    dof: int
    confidence: float  # published metric, 0..1
    probability: float  # that the redshift is right, 0..1: core.zprob
    warning: int  # bits of zverdict.Warn
    z: np.ndarray = field(repr=False)  # (n_z,) merged coarse and fine grid
    chi2: np.ndarray = field(repr=False)
    peaks: np.ndarray = field(repr=False)  # (n_peaks, 3): z, z_err, chi2; best first
    z2: float  # the next distinct minimum, NaN if there is none
    dchi2: float  # its chi2 above the best
    chi2_null: float  # of the best smooth curve
    chi2_star: float  # of the best star
    star: str  # its name
    snr: float  # median signal-to-noise of the pixels used
    template_class: str
    names: tuple[str, ...] = field(repr=False)
    coefficients: np.ndarray = field(repr=False)  # (n_templates,)
    model: np.ndarray = field(repr=False)  # (n_wave,) uJy, NaN where the wavelength is not finite
    continuum: np.ndarray = field(repr=False)  # (n_wave,) uJy
    used: np.ndarray = field(repr=False)  # (n_wave,) bool: pixels that entered the fit
    lines: Lines | None = field(repr=False)
    features: Features = field(repr=False)  # what the probability is made of
    z_coarse: float = float("nan")
