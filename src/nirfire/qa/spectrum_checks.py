"""Checks of spectra and redshifts, without a truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nirfire.products.joint_redshift import JointFit
from nirfire.products.primary_cards import read_cards
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.canvas import robust_sigma
from nirfire.qa.checks import CHECKS, Measured
from nirfire.qa.exposure_checks import not_done

STOCK_STEPS = ("S_WCS", "S_EXTR2D", "S_FLAT", "S_PTHLOS", "S_PHOTOM")
BOX = 5  # width [pixel] of the boxcar that is held against the optimal extraction: the widest
SMOOTH = 15  # pixels over which a spectrum is smoothed to find where it is faint
FAINT = 5.0  # smoothed S/N of a pixel, up to which its noise can be told from structure
LEAST = 60  # pixels that say something of noise
MAD_ERROR = 1.17  # standard error of a width by the median absolute deviation, times the root of the number
APART = 0.01  # |dz| / (1 + z) of two redshifts that are not the same, as in the joint fit


def check_spectrum(spectrum: Spectrum, fit: RedshiftFit | None, cals: Sequence[Path], subject: str) -> list[Measured]:
    """Measure a spectrum, its redshift fit and the cutouts that it is made of.

    Parameters
    ----------
    spectrum : Spectrum
    fit : RedshiftFit or None
    cals : sequence of Path
        Its ``_cal.fits``.
    subject : str
        Source and grating.

    Returns
    -------
    list of Measured
        NaN where a product does not tell.

    Raises
    ------
    DataError
        A cutout cannot be read.
    """
    found = [Measured("stock_steps", max((_steps(path) for path in cals), default=math.nan))]
    found.append(Measured("pixels", float(np.count_nonzero(_good(spectrum)))))
    found += [Measured(name, _card(spectrum, key)) for name, key in (("rejected", "NFREJECT"), ("nod_overlap", ""))]
    place, error = _card(spectrum, "NFOFFSET"), _card(spectrum, "NFOFFERR")
    found.append(Measured("place", place, error if math.isfinite(error) else 0.0))
    found += [boxcar_ratio(spectrum), negative(spectrum), error_width(spectrum)]
    if fit is not None:
        found += [Measured("warnings", float(len(fit.warnings))), Measured("probability", fit.probability)]
    return [replace(one, subject=subject) for one in found]


def _steps(cal: Path) -> float:
    return not_done(read_cards(cal, STOCK_STEPS), STOCK_STEPS)


def _card(spectrum: Spectrum, key: str) -> float:
    """Number on a card; without a key, the largest share that nods remove."""
    if key:
        return float(spectrum.meta.get(key, (math.nan, ""))[0])
    table = spectrum.exposures
    if table is None or "nod_overlap" not in table.colnames:
        return math.nan
    shares = np.asarray(table["nod_overlap"], dtype=float)
    return float(np.nanmax(shares)) if np.isfinite(shares).any() else math.nan


def _good(spectrum: Spectrum) -> np.ndarray:
    return ~spectrum.mask & np.isfinite(spectrum.flux) & np.isfinite(spectrum.err) & (spectrum.err > 0)


def _correlation(spectrum: Spectrum, lag: int) -> np.ndarray:
    """Correlation of pixel i with i + lag, shape (n_wave,); 0 where it is not known."""
    bands = spectrum.correlation
    if bands is None or len(bands) < lag:
        return np.zeros(spectrum.wave.shape)
    return np.nan_to_num(np.asarray(bands[lag - 1], dtype=float))


def _inflation(spectrum: Spectrum, good: np.ndarray) -> float:
    """Variance of a sum of pixels over that of independent ones."""
    bands = 0 if spectrum.correlation is None else len(spectrum.correlation)
    return 1.0 + 2.0 * sum(float(np.mean(_correlation(spectrum, k)[good])) for k in range(1, bands + 1))


def boxcar_ratio(spectrum: Spectrum) -> Measured:
    """Boxcar flux over optimal flux.

    Notes
    -----
    r = sum w f_box f / sum w f^2 with w = 1 / err_box^2; its error takes the boxcar's noise alone, which is more than
    that of the difference. The noise that both have, taken to be that of the optimal flux, is subtracted from both
    sums: f_box f - err^2 and f^2 - err^2.
    """
    if BOX not in spectrum.boxes:
        return Measured("boxcar_ratio", math.nan)
    box, err = spectrum.boxes[BOX]
    good = _good(spectrum) & np.isfinite(box) & np.isfinite(err) & (err > 0)
    if not good.any():
        return Measured("boxcar_ratio", math.nan)
    weight, flux = 1.0 / err[good] ** 2, spectrum.flux[good]
    power = float(np.sum(weight * (flux**2 - spectrum.err[good] ** 2)))
    if power <= 0:
        return Measured("boxcar_ratio", math.nan)
    shared = spectrum.err[good] ** 2  # of noise that both have
    ratio = float(np.sum(weight * (flux * box[good] - shared))) / power
    return Measured("boxcar_ratio", ratio, math.sqrt(max(_inflation(spectrum, good), 0.0) / power))


def negative(spectrum: Spectrum) -> Measured:
    """Weighted mean flux over its error."""
    good = _good(spectrum)
    if not good.any():
        return Measured("negative", math.nan)
    weight = 1.0 / spectrum.err[good] ** 2
    error = math.sqrt(max(_inflation(spectrum, good), 1.0) * float(np.sum(weight)))
    return Measured("negative", float(np.sum(weight * spectrum.flux[good])) / error, 1.0)


def error_width(spectrum: Spectrum) -> Measured:
    """Scatter of second differences over what the errors promise.

    Notes
    -----
    d_i = f_{i-1} - 2 f_i + f_{i+1} takes out all that is straight over three pixels; its variance follows from the
    errors and the correlations at lags 1 and 2. Only pixels where the smoothed spectrum is fainter than `FAINT` times
    the error count, so that continuum and lines add nothing; the median absolute deviation spares the lines that are
    left.
    """
    good, flux, err = _good(spectrum), spectrum.flux, np.where(_good(spectrum), spectrum.err, np.nan)
    smooth = _smooth(np.where(good, flux, 0.0), good)
    used = good[1:-1] & good[:-2] & good[2:] & (np.abs(smooth[1:-1]) < FAINT * np.nan_to_num(err[1:-1]))
    if np.count_nonzero(used) < LEAST:
        return Measured("error_width", math.nan)
    first, second = _correlation(spectrum, 1), _correlation(spectrum, 2)
    low, middle, high = err[:-2], err[1:-1], err[2:]
    variance = low**2 + 4 * middle**2 + high**2 + 2 * second[:-2] * low * high
    variance = variance - 4 * middle * (first[:-2] * low + first[1:-1] * high)
    used &= np.nan_to_num(variance) > 0
    pull = (flux[:-2] - 2 * flux[1:-1] + flux[2:])[used] / np.sqrt(variance[used])
    independent = max(len(pull) / 2.0, 1.0)  # neighbouring differences share two of their three pixels
    width = robust_sigma(pull)
    return Measured("error_width", width, MAD_ERROR * width / math.sqrt(independent))


def _smooth(flux: np.ndarray, good: np.ndarray) -> np.ndarray:
    kernel = np.ones(SMOOTH)
    number = np.convolve(good.astype(float), kernel, mode="same")
    return np.convolve(flux, kernel, mode="same") / np.maximum(number, 1.0)


def check_joint(joint: JointFit, subject: str) -> list[Measured]:
    """Count the gratings that are sure of another redshift than the joint one."""
    z, sure = (np.asarray(joint.gratings[name], dtype=float) for name in ("z", "probability"))
    apart = np.abs(z - joint.z) / (1.0 + joint.z) > APART
    return [Measured("disagree", float(np.count_nonzero(apart & (sure >= CHECKS["probability"].low))), subject=subject)]
