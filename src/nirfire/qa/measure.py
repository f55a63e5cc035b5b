"""Comparisons of one spectrum with the truth: flux ratio in bins, signal-to-noise of lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nirfire.products.spectrum import Spectrum
from nirfire.qa.canvas import step_edges
from nirfire.qa.truth import TrueSource
from nirfire.simulate.lsf import sigma as lsf_sigma

BIN_PIXELS = 20
BIN_SIGNAL_TO_NOISE = 10.0
EDGE = 5
LINE_HALF_WIDTH = 2.0  # sigma
LINE_SHARE = 0.9545  # of a Gaussian within that
C_UM_PER_S, C_KMS = 2.99792458e14, 2.99792458e5
UJY_HZ_TO_LINE = 1e-29 * 1e18  # uJy Hz to 1e-18 erg / (s cm2)


@dataclass(frozen=True)
class RatioBins:
    """Flux over truth in bins of wavelength.

    Attributes
    ----------
    wave, ratio, error : ndarray, shape (n_bin,)
        Mean wavelength [um], mean flux over mean truth, and the standard error of that from the error column.
    used : ndarray of bool, shape (n_bin,)
        Bins where the truth is at least `BIN_SIGNAL_TO_NOISE` times the error of the mean flux.
    n_pixels : int
        Pixels per bin.
    """

    wave: np.ndarray
    ratio: np.ndarray
    error: np.ndarray
    used: np.ndarray
    n_pixels: int = BIN_PIXELS

    @property
    def median_deviation(self) -> float:
        """Median of abs(ratio - 1) over the bins used; NaN when there is none."""
        return float(np.median(np.abs(self.ratio[self.used] - 1.0))) if self.used.any() else float("nan")

    @property
    def median_ratio(self) -> float:
        """Median ratio over the bins used; NaN when there is none."""
        return float(np.median(self.ratio[self.used])) if self.used.any() else float("nan")


def ratio_bins(spectrum: Spectrum, truth: np.ndarray) -> RatioBins:
    """Compare a spectrum with the truth in bins of `BIN_PIXELS` valid pixels.

    Parameters
    ----------
    spectrum : Spectrum
    truth : ndarray, shape (n_wave,) [uJy]
        True f_nu on the spectrum's grid.

    Returns
    -------
    RatioBins

    Notes
    -----
    Plain means of flux and truth over the same pixels, so that an imperfect LSF only moves light within a bin.
    Bins are chosen by the truth over the error, never by the flux itself, which would favour upward noise. The
    first and last `EDGE` valid pixels are left out.
    """
    good = ~spectrum.mask & np.isfinite(spectrum.flux) & np.isfinite(spectrum.err) & np.isfinite(truth)
    index = np.flatnonzero(good)
    index = index[EDGE : index.size - EDGE]
    n_bin = index.size // BIN_PIXELS
    chosen = index[: n_bin * BIN_PIXELS].reshape(n_bin, BIN_PIXELS)
    mean_truth = truth[chosen].mean(axis=1)
    error = np.sqrt((spectrum.err[chosen] ** 2).sum(axis=1)) / BIN_PIXELS
    positive = mean_truth > 0
    safe = np.where(positive, mean_truth, 1.0)
    return RatioBins(
        wave=spectrum.wave[chosen].mean(axis=1),
        ratio=np.where(positive, spectrum.flux[chosen].mean(axis=1) / safe, np.nan),
        error=np.where(positive, error / safe, np.nan),
        used=positive & (mean_truth >= BIN_SIGNAL_TO_NOISE * error),
    )


def line_signal_to_noise(spectrum: Spectrum, source: TrueSource) -> tuple[float, str]:
    """Signal-to-noise of the best-measured emission line.

    Parameters
    ----------
    spectrum : Spectrum
    source : TrueSource
        Its line list.

    Returns
    -------
    signal_to_noise : float
        0 when no line lies on valid pixels.
    name : str
        The line; empty when there is none.

    Notes
    -----
    F_true 0.9545 / sqrt(sum (err c dlambda / lambda^2)^2), over the pixels within 2 sigma (LSF and intrinsic
    width in quadrature; at least the nearest pixel) of the line's true wavelength: what the error column promises for
    a line of known flux, hence free of the noise itself. Lines with a masked pixel in this window do not count.
    """
    wave, err = spectrum.wave, spectrum.err
    width = np.diff(step_edges(wave))
    per_pixel = err * C_UM_PER_S * width / wave**2 * UJY_HZ_TO_LINE
    best, name = 0.0, ""
    table = zip(source.line_wave, source.line_flux, source.line_sigma, source.line_name, strict=True)
    for line_wave, flux, sigma_v, line in table:
        if not wave[0] < line_wave < wave[-1]:
            continue
        half = LINE_HALF_WIDTH * float(np.hypot(lsf_sigma(line_wave, spectrum.grating), sigma_v / C_KMS * line_wave))
        near = np.abs(wave - line_wave) <= max(half, 0.5 * width[np.argmin(np.abs(wave - line_wave))])
        if not near.any() or spectrum.mask[near].any():
            continue
        error = float(np.sqrt(np.sum(per_pixel[near] ** 2)))
        ratio = LINE_SHARE * float(flux) / error if error > 0 else 0.0
        if ratio > best:
            best, name = ratio, line
    return best, name
