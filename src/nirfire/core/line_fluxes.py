"""Fluxes of emission lines at a known redshift: linear least squares of line profiles and a local continuum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .line_blends import NAMES, REST, find_blends
from .line_widths import Data, Fit, Profiles, coverage_of, expected_width, fit_lines, inverse
from .lines import WAVE
from .lsf import C_KMS, FWHM_TO_SIGMA, pixel_edges, resolving_power

FLUX_UNIT = 1e-18  # erg/s/cm2, of the amplitudes inside
C_UM = C_KMS * 1e9  # um/s
KNOT_FWHM, KNOT_KMS = 8.0, 15000.0  # spacing of the local continuum's knots: the larger of the two
COVERED = 0.3  # share of a line's light in valid pixels below which it is not measured
LIMIT_SIGMA = 3.0
LEVEL_SIGMA = 3.0  # significance of the continuum from which there is an equivalent width
DETECTED = 5.0
BREAK_FWHM, BREAK_KMS = 5.0, 8000.0  # about Lyman-alpha, where the continuum's break may be off; the larger of the two
BREAK_SHIFT, BREAK_SHIFT_KMS, BREAK_BLUR = (
    0.25,
    400.0,
    0.3,
)  # standard errors: place in FWHM, at least km/s; blur in FWHM
NOISE_TAIL = 3.0  # sigma of chi-squared beyond which the errors are raised


class Lines(NamedTuple):
    """Emission lines of one spectrum, by wavelength; every array of shape (n_lines,) but for the last two."""

    name: np.ndarray  # names joined by +, where only the sum can be told
    line: np.ndarray  # the line it is called after, key of core.lines.WAVE
    blended_with: np.ndarray  # the others of the sum, by comma
    wave_rest: np.ndarray  # um, vacuum, of `line`
    wave_obs: np.ndarray  # um
    flux: np.ndarray  # erg/s/cm2; negative values are noise or absorption
    flux_err: np.ndarray
    snr: np.ndarray
    limit: np.ndarray  # erg/s/cm2, max(flux, 0) + 3 flux_err
    ew_rest: np.ndarray  # Angstrom; NaN where the continuum is below 3 of its errors
    ew_err: np.ndarray
    flux_broad: np.ndarray  # erg/s/cm2, share of flux in a broad component; 0 without
    sigma_v: np.ndarray  # km/s, width of the narrow profile without the instrument
    chi2_dof: np.ndarray  # of the pixels within 3 widths
    coverage: np.ndarray  # share of the line's light in valid pixels
    n_pix: np.ndarray  # valid pixels within 2 widths
    lsf_scale: float = 1.0  # width of the LSF over the expected
    fwhm_broad: float = 0.0  # km/s; 0 without broad component

    @property
    def n_detected(self) -> int:
        """Lines above 5 sigma."""
        return int(np.count_nonzero(self.snr > DETECTED))


def measure_lines(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    z: float,
    *,
    grating: str,
    lsf_factor: float | None = None,
    continuum: np.ndarray | None = None,
    correlation: np.ndarray | None = None,
) -> Lines:
    """Measure all lines of a spectrum at redshift `z`.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um, vacuum]
        Pixel centres, increasing.
    flux : ndarray, shape (n_wave,) [uJy]
        f_nu.
    ivar : ndarray, shape (n_wave,) [uJy^-2]
        0 where there is no information.
    z : float
        Redshift.
    grating : str
        Disperser, one of `core.lsf.GRATINGS`.
    lsf_factor : float, optional
        Resolving power over the tabulated one; default that of the grating.
    continuum : ndarray, shape (n_wave,), optional [uJy]
        Continuum without lines, of a template fit; without it the local one is all there is.
    correlation : ndarray, shape (n_band, n_wave), optional
        Of the noise in pixels i and i + k in ``[k - 1, i]``; default none.

    Returns
    -------
    Lines
        Rows only for lines of which at least 0.3 of the light falls on valid pixels; possibly none.

    Raises
    ------
    KeyError
        Unknown grating.

    Notes
    -----
    The spectrum minus the continuum is fitted by ``sum_k F_k P_k + sum_j c_j hat_j``, free of sign: P_k are Gaussians
    integrated over pixels (erf), of the LSF and the velocity width in quadrature, with the amplitudes of
    `core.line_blends`; hat_j is a piecewise linear function of ln(wavelength) with knots 8 FWHM, and at least
    15000 km/s, apart. One width common to all lines but Lyman-alpha, in steps of ln(width) with a parabola through the
    lowest chi-squared, if any line is above 5 sigma; permitted lines above 10 sigma may have a broad component.
    Errors: covariance of the solution with that of neighbouring pixels, plus that of the width; multiplied by
    ``sqrt(chi2 / dof)`` of the line's pixels where this is more than noise gives. Equivalent widths are
    ``flux / (f_lambda (1 + z))`` with continuum plus hats at the line (for Lyman-alpha just redward).
    Near Lyman-alpha two further terms with a prior stand for a break of the continuum that is a little elsewhere or
    less sharp: what could be that is no line, and the errors say so.
    """
    finite = np.isfinite(wave)
    wave, flux, ivar = (np.asarray(one, dtype=float)[finite] for one in (wave, flux, ivar))
    smooth = np.zeros(wave.size) if continuum is None else np.asarray(continuum, dtype=float)[finite]
    hats = _hats(wave, resolving_power(grating, wave, lsf_factor))
    edge = np.array(WAVE["Lya"] * (1.0 + z))
    breaks = _break_errors(wave, smooth, float(edge), 1.0 / float(resolving_power(grating, edge, lsf_factor)))
    local = np.concatenate([hats, breaks], axis=1)
    data = _whitened(wave, flux - smooth, ivar, local, breaks.shape[1])
    center = REST * (1.0 + z)
    lsf = FWHM_TO_SIGMA / resolving_power(grating, center, lsf_factor)
    prism = grating.upper() == "PRISM"
    sigma = center * expected_width(lsf, prism=prism).relative(lsf)
    coverage = coverage_of(center, sigma, data.low, data.high, data.root > 0)
    line = np.flatnonzero(coverage >= COVERED)
    blends = find_blends(line, center[line], sigma[line])
    profiles = Profiles(center[line], lsf[line], prism, blends, tuple(NAMES[i] for i in line))
    fit = fit_lines(data, profiles)
    bands = np.zeros((0, wave.size)) if correlation is None else np.asarray(correlation, dtype=float)[:, finite]
    return _lines(data, profiles, fit, local=(smooth, local), bands=bands, z=z, coverage=coverage[line])


def _hats(wave: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Piecewise linear functions with knots at the chosen distance, shape (n_wave, n_knots)."""
    spacing = np.maximum(KNOT_FWHM / power, KNOT_KMS / C_KMS)
    place = np.cumsum(np.diff(np.log(wave), prepend=np.log(wave[:1])) / spacing)
    n = max(round(place[-1]), 1)
    place *= n / place[-1]
    knot = np.minimum(place.astype(np.int64), n - 1)
    hats = np.zeros((wave.size, n + 1))
    hats[np.arange(wave.size), knot + 1] = place - knot
    hats[np.arange(wave.size), knot] = 1.0 + knot - place
    return hats


def _break_errors(wave: np.ndarray, smooth: np.ndarray, center: float, width: float) -> np.ndarray:
    """How a continuum changes near Lyman-alpha if its break is elsewhere or less sharp, shape (n_wave, 0 or 2).

    Half the difference of the continuum shifted there and back by `BREAK_SHIFT`, and half its second difference for
    `BREAK_BLUR`; a break that is off by a fraction of the LSF (damping wing, LSF, wavelengths) looks like a line.
    """
    near = np.abs(np.log(wave / center)) < max(BREAK_FWHM * width, BREAK_KMS / C_KMS)
    if not near.any() or not np.all(np.isfinite(smooth[near])):
        return np.zeros((wave.size, 0))
    shift, blur = max(BREAK_SHIFT * width, BREAK_SHIFT_KMS / C_KMS), BREAK_BLUR * width
    moved = [np.interp(wave * (1.0 + d), wave, smooth) for d in (shift, -shift, blur, -blur)]
    errors = np.array([0.5 * (moved[0] - moved[1]), 0.5 * (moved[2] + moved[3]) - smooth])
    return (errors * near).T


def _whitened(wave: np.ndarray, residual: np.ndarray, ivar: np.ndarray, local: np.ndarray, n_prior: int) -> Data:
    use = np.isfinite(residual) & np.isfinite(ivar) & (ivar > 0)
    root = np.sqrt(np.where(use, ivar, 0.0))
    low, high = pixel_edges(wave)
    return Data(wave, low, high, np.where(use, residual, 0.0) * root, root, local * root[:, None], n_prior)


def _lines(
    data: Data,
    profiles: Profiles,
    fit: Fit,
    *,
    local: tuple[np.ndarray, np.ndarray],
    bands: np.ndarray,
    z: float,
    coverage: np.ndarray,
) -> Lines:
    """Rows of the table from the solution."""
    blends, solution = profiles.blends, fit.solution
    n_rows, n_par = blends.row.shape[0], solution.x.size
    where = profiles.center[blends.main]
    sigma = where * fit.width.relative(profiles.lsf[blends.main])
    row, beside = np.zeros((2, n_rows, n_par))
    row[:, : blends.row.shape[1]] = blends.row
    broad = np.zeros((n_rows, n_par))
    for k, i in enumerate(fit.broad, blends.row.shape[1]):
        broad[[i in members for members in blends.members], k] = 1.0
    row += broad
    place = np.where(np.array(profiles.names)[blends.main] == "Lya", where * 1.01 + 4.0 * sigma, where)
    smooth, hats = local
    beside[:, n_par - hats.shape[1] :] = _between(place, data.wave, hats)
    flux, level = row @ solution.x, _between(place, data.wave, smooth[:, None])[:, 0] + beside @ solution.x
    back, aside = (inverse(solution, one) for one in (row, beside))
    of_row, of_level = fit.design @ back, fit.design @ aside
    flux_var = (
        _covariance(of_row, of_row, bands)
        + np.sum(back[n_par - data.n_prior :] ** 2, axis=0)
        + np.sum((row @ fit.change.T) ** 2, axis=1)
    )
    level_var, both = _covariance(of_level, of_level, bands), _covariance(of_row, of_level, bands)
    chi2_dof, raised, n_pix = _goodness(data, data.residual - fit.design @ solution.x, where, sigma)
    flux_err, level_err = raised * np.sqrt(flux_var), raised * np.sqrt(level_var)
    per_flux = C_UM / place**2 * 1e-33 * 1e18  # 1e-18 erg/s/cm2/A of 1 uJy
    with np.errstate(divide="ignore", invalid="ignore"):
        known = level > LEVEL_SIGMA * level_err
        width = flux / (level * per_flux)
        spread = flux_err**2 + (width * per_flux * level_err) ** 2 - 2.0 * width * per_flux * both * raised**2
        width_err = np.sqrt(np.maximum(spread, 0.0)) / np.abs(level * per_flux)
    names = [[profiles.names[i] for i in members] for members in blends.members]
    return Lines(
        name=np.array(["+".join(one) for one in names], dtype=str),
        line=np.array([one[0] for one in names], dtype=str),
        blended_with=np.array([",".join(one[1:]) for one in names], dtype=str),
        wave_rest=where / (1.0 + z),
        wave_obs=where,
        flux=flux * FLUX_UNIT,
        flux_err=flux_err * FLUX_UNIT,
        snr=flux / flux_err,
        limit=(np.maximum(flux, 0.0) + LIMIT_SIGMA * flux_err) * FLUX_UNIT,
        ew_rest=np.where(known, width / (1.0 + z), np.nan),
        ew_err=np.where(known, width_err / (1.0 + z), np.nan),
        flux_broad=broad @ solution.x * FLUX_UNIT,
        sigma_v=np.full(n_rows, fit.width.sigma_v),
        chi2_dof=chi2_dof,
        coverage=coverage[blends.main],
        n_pix=n_pix,
        lsf_scale=fit.width.scale,
        fwhm_broad=fit.fwhm_broad,
    )


def _between(place: np.ndarray, wave: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation of columns, shape (n_wave, n) -> (n_places, n)."""
    after = np.clip(np.searchsorted(wave, place), 1, wave.size - 1)
    share = np.clip((place - wave[after - 1]) / (wave[after] - wave[after - 1]), 0.0, 1.0)[:, None]
    return (1.0 - share) * values[after - 1] + share * values[after]


def _covariance(one: np.ndarray, other: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Covariance of sums of whitened pixels, weights (n_wave, n_rows) each, with correlated neighbours."""
    total = np.sum(one * other, axis=0)
    for k, band in enumerate(bands, 1):
        total += band[:-k] @ (one[:-k] * other[k:] + one[k:] * other[:-k])
    return total


def _goodness(
    data: Data, residual: np.ndarray, where: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """chi2/dof within 3 widths of each line, the factor that it asks of the errors, and pixels within 2 widths."""
    distance = np.abs(data.wave[:, None] - where) / np.maximum(sigma, (data.high - data.low)[:, None])
    valid = (data.root > 0)[:, None]
    near = valid & (distance < 3.0)
    dof = np.maximum(near.sum(axis=0) - 2, 1)
    chi2 = near.T @ residual**2
    raised = np.where(chi2 > dof + NOISE_TAIL * np.sqrt(2.0 * dof), np.sqrt(chi2 / dof), 1.0)
    return chi2 / dof, raised, (valid & (distance < 2.0)).sum(axis=0)
