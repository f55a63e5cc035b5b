"""The redshift of one spectrum: non-negative template fits on a coarse, then a fine, grid of redshifts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from . import posterior, specprep
from .lsf import C_KMS, FWHM_TO_SIGMA, pixel_edges, resolving_power, response_matrix
from .templates import GridTemplates, TemplateSet, on_grid
from .zkernel import Basis, Problem, design_at, scan_grid, solve_at

MIN_PIXELS = 20


class GratingScan(NamedTuple):
    """Steps of the scan for a disperser."""

    coarse: float  # km/s
    fine: float  # km/s
    z_max: float


SCANS = {
    "PRISM": GratingScan(500.0, 30.0, 20.0),
    "G140M": GratingScan(100.0, 10.0, 15.0),
    "G235M": GratingScan(100.0, 10.0, 15.0),
    "G395M": GratingScan(100.0, 10.0, 15.0),
    "G140H": GratingScan(30.0, 5.0, 15.0),
    "G235H": GratingScan(30.0, 5.0, 15.0),
    "G395H": GratingScan(30.0, 5.0, 15.0),
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
    temperature: float = 2.0


@dataclass(frozen=True, eq=False)
class RedshiftResult:
    """Outcome of one scan (arrays are not to be changed)."""

    z_best: float
    z_err: float
    chi2_min: float
    n_pix: int
    confidence: float  # published metric, 0..1
    confidence_tempered: float  # exp(-dchi2 / (2 T s^2)), 0..1
    z: np.ndarray = field(repr=False)  # (n_z,) merged coarse and fine grid
    chi2: np.ndarray = field(repr=False)
    peaks: np.ndarray = field(repr=False)  # (n_peaks, 3): z, z_err, chi2; best first
    names: tuple[str, ...] = field(repr=False)
    coefficients: np.ndarray = field(repr=False)  # (n_templates,)
    model: np.ndarray = field(repr=False)  # (n_wave,) uJy, NaN where the wavelength is not finite
    continuum: np.ndarray = field(repr=False)  # (n_wave,) uJy
    used: np.ndarray = field(repr=False)  # (n_wave,) bool: pixels that entered the fit
    z_coarse: float = float("nan")


def fit_redshift(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    grating: str,
    templates: TemplateSet,
    options: ScanOptions | None = None,
) -> RedshiftResult:
    """Redshift of one 1D spectrum on its own wavelength grid.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um, vacuum]
        Pixel centres, increasing.
    flux : ndarray, shape (n_wave,) [uJy]
        f_nu.
    ivar : ndarray, shape (n_wave,) [uJy^-2]
        0 (or not finite) where there is no information.
    grating : str
        Disperser, key of `SCANS`.
    templates : TemplateSet
        See products.template_store.load_templates.
    options : ScanOptions, optional

    Returns
    -------
    RedshiftResult

    Raises
    ------
    ValueError
        Shapes differ, wavelengths do not increase, unknown grating, or fewer than 20 usable pixels.

    Notes
    -----
    chi2(z) = min over x >= 0 and c of |W^1/2 (f - A(z) x - L c)|^2 + |c / prior|^2; A from an LSF-times-pixel response
    matrix, L low-order Legendre polynomials times the smoothed spectrum, eliminated in closed form (Woodbury).
    """
    settings = options or ScanOptions()
    name = grating.upper()
    if name not in SCANS:
        raise ValueError(f"unknown grating {grating!r}: one of {', '.join(SCANS)}")
    wave, flux, ivar = (np.asarray(one, dtype=float) for one in (wave, flux, ivar))
    if not wave.shape == flux.shape == ivar.shape or wave.ndim != 1:
        raise ValueError("wave, flux and ivar must be one-dimensional and of one length")
    scan = SCANS[name]
    z_max = scan.z_max if settings.z_max is None else settings.z_max
    prepared, used = _prepare(wave, flux, ivar, name, settings)
    shortest = float(np.floor(prepared.wave[0] * 50.0) / 50.0)
    grid = on_grid(templates, name, scan.coarse, z_max, shortest)
    problem = _problem(prepared, grid, settings)
    basis = Basis(grid.rest, grid.uv, grid.table, grid.z_max, grid.step)
    low, high = int(np.ceil(np.log1p(settings.z_min) / grid.step)), int(np.log1p(z_max) / grid.step)
    coarse_z = np.expm1(grid.step * np.arange(low, high + 1))
    coarse = scan_grid(problem, basis, np.arange(low, high + 1, dtype=float))
    z, chi2, peaks = _refine(problem, basis, coarse_z, coarse, scan, settings)
    z_best, z_err, _ = peaks[0]
    chi2_min, coefficients, poly = solve_at(problem, basis, np.log1p(z_best) / grid.step)
    model, continuum = _model(prepared, grid, basis, np.log1p(z_best) / grid.step, (coefficients, poly))
    dof = problem.data.size - int(np.count_nonzero(coefficients)) - poly.size
    warm = posterior.tempered_scale(chi2_min, dof, temperature=settings.temperature)
    window = settings.confidence_window
    return RedshiftResult(
        z_best=float(z_best),
        z_err=float(z_err),
        chi2_min=float(chi2_min),
        n_pix=problem.data.size,
        confidence=posterior.probability_within(z, chi2, z_best, window=window),
        confidence_tempered=posterior.probability_within(z, chi2, z_best, window=window, scale=warm),
        z=z,
        chi2=chi2,
        peaks=peaks,
        names=grid.names,
        coefficients=coefficients,
        model=_spread(model, prepared.finite),
        continuum=_spread(continuum, prepared.finite),
        used=used,
        z_coarse=float(coarse_z[np.argmin(coarse)]),
    )


class Prepared(NamedTuple):
    """A spectrum on its finite wavelengths, with the errors the fit will use."""

    wave: np.ndarray
    flux: np.ndarray
    root_ivar: np.ndarray  # 0: not used
    low: np.ndarray
    high: np.ndarray
    lsf: np.ndarray
    level: np.ndarray
    finite: np.ndarray  # which of the input's pixels these are


def _prepare(
    wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grating: str, settings: ScanOptions
) -> tuple[Prepared, np.ndarray]:
    finite = np.isfinite(wave)
    wave, flux, ivar = wave[finite], flux[finite], ivar[finite]
    if wave.size < MIN_PIXELS or np.any(np.diff(wave) <= 0):
        raise ValueError(f"a spectrum needs at least {MIN_PIXELS} pixels of increasing wavelength")
    use = specprep.usable_pixels(wave, flux, ivar, edge=settings.edge_pixels)
    if use.sum() < MIN_PIXELS:
        raise ValueError(f"{int(use.sum())} usable pixels: at least {MIN_PIXELS} are needed")
    low, high = pixel_edges(wave)
    lsf = FWHM_TO_SIGMA / resolving_power(grating, wave, settings.lsf_factor)
    err = specprep.floored_errors(flux[use], ivar[use] ** -0.5, floor=settings.error_floor)
    index = np.flatnonzero(use)
    if settings.spike_sigma > 0:
        width = (lsf * wave / (high - low))[use]
        index, err = _without(index, err, specprep.find_spikes(flux[use], err, width, n_sigma=settings.spike_sigma))
    root = np.zeros(wave.size)
    root[index] = 1.0 / err
    smooth = specprep.smooth_level(flux[index], window=max(index.size // 10, 21))
    level = np.interp(wave, wave[index], smooth)
    used = np.zeros(finite.size, dtype=bool)
    used[np.flatnonzero(finite)[index]] = True
    safe = np.where(root > 0, flux, 0.0)
    return Prepared(wave, safe, root, low, high, lsf, level, finite), used


def _without(index: np.ndarray, err: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (index, err) if index.size - bad.sum() < MIN_PIXELS else (index[~bad], err[~bad])


def _problem(spec: Prepared, grid: GridTemplates, settings: ScanOptions, *, whiten: bool = True) -> Problem:
    use = spec.root_ivar > 0 if whiten else np.ones(spec.wave.size, dtype=bool)
    root = spec.root_ivar[use] if whiten else np.ones(spec.wave.size)
    low, high, lsf = spec.low[use], spec.high[use], spec.lsf[use]
    response = response_matrix(low, high, lsf * spec.wave[use], step=grid.step, wave_zero=grid.wave_min)
    chosen = spec.wave[spec.root_ivar > 0]
    position = np.log(spec.wave[use] / chosen[0]) / np.log(chosen[-1] / chosen[0])
    poly = specprep.legendre_columns(np.clip(position, 0, 1), spec.level[use], settings.polynomial) * root[:, None]
    poly = np.ascontiguousarray(poly)
    prior = np.eye(settings.polynomial) / max(settings.polynomial_prior, 1e-9) ** 2
    inverse = np.linalg.inv(prior + poly.T @ poly)
    data = spec.flux[use] * root
    return Problem(data, root, low, high, lsf, response, poly, inverse)


def _refine(
    problem: Problem,
    basis: Basis,
    coarse_z: np.ndarray,
    coarse: np.ndarray,
    scan: GratingScan,
    settings: ScanOptions,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fine grids about the best minima, merged into the coarse one; peaks (z, z_err, chi2), best first."""
    best = posterior.separate_minima(coarse_z, coarse, separation=settings.window_kms, count=settings.n_minima)
    z, chi2, peaks = coarse_z, coarse, []
    half = int(settings.window_kms / scan.fine)
    offsets = np.arange(-half, half + 1) * scan.fine / C_KMS
    for i in best:
        log_z = np.log1p(coarse_z[i]) + offsets
        log_z = log_z[(log_z >= np.log1p(coarse_z[0])) & (log_z <= np.log1p(coarse_z[-1]))]
        fine = scan_grid(problem, basis, log_z / basis.step)
        fine_z = np.expm1(log_z)
        peaks.append(posterior.refine_minimum(fine_z, fine))
        keep = (z < fine_z[0]) | (z > fine_z[-1])
        z, chi2 = np.concatenate([z[keep], fine_z]), np.concatenate([chi2[keep], fine])
        order = np.argsort(z)
        z, chi2 = z[order], chi2[order]
    return z, chi2, np.array(sorted(peaks, key=lambda peak: peak[2]))


def _model(
    spec: Prepared, grid: GridTemplates, basis: Basis, shift: float, solution: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Model and continuum [uJy] on all finite wavelengths."""
    coefficients, poly = solution
    whole = _problem(spec, grid, ScanOptions(polynomial=poly.size), whiten=False)
    design = design_at(whole, basis, shift)
    smooth = whole.poly @ poly
    n = basis.rest.shape[1]
    return design @ coefficients + smooth, design[:, :n] @ coefficients[:n] + smooth


def _spread(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    out = np.full(where.size, np.nan)
    out[where] = values
    return out
