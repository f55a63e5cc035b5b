"""From the coarse scan of one spectrum to its redshift."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import posterior, zprob, zverdict
from .line_fluxes import Lines, measure_lines
from .lsf import C_KMS
from .templates import GridTemplates
from .zcolumns import Basis, Sampling, on_pixels
from .zgram import Spectra
from .zresult import GratingScan, RedshiftResult, ScanOptions
from .zrivals import Rivals
from .zsearch import Memo, Solution, fine_scan, solve_at
from .zshelf import Shelf

_CLEAR = 50.0
"""chi2 above the best, in units of s^2, from which a minimum need not be known exactly."""
_WIDE_KMS = 1500.0
"""Errors from which a parabola says little."""
_STRIDES = 6
"""Errors that the lowest fit may be away from where interpolation has it, and one more."""


class Prepared(NamedTuple):
    """A spectrum on its finite wavelengths, with the errors the fit will use."""

    wave: np.ndarray
    flux: np.ndarray  # 0 where not used
    ivar: np.ndarray  # 0: not used
    poly: np.ndarray  # (n_poly, n_pix) uJy


class Field(NamedTuple):
    """What all spectra of a batch share."""

    name: str
    scan: GratingScan
    grid: GridTemplates
    basis: Basis
    exact: Sampling
    shelf: Shelf  # of the scans
    shifts: np.ndarray


class Single(NamedTuple):
    """One spectrum of a batch."""

    prepared: Prepared
    exact: Spectra
    scanned: Spectra  # as the scans take it
    rivals: Rivals
    finite: np.ndarray
    ivar: np.ndarray  # as quoted
    correlation: np.ndarray | None


def finish(shared: Field, one: Single, coarse: np.ndarray, settings: ScanOptions) -> RedshiftResult:
    """Refine one spectrum's scan, and judge it."""
    coarse_z = np.expm1(shared.grid.step * shared.shifts)
    (z, chi2), peaks, best = _refine(shared, one, coarse_z, coarse, settings)
    z_best, z_err = float(peaks[0, 0]), float(peaks[0, 1])
    design = on_pixels(shared.basis, best.columns, one.prepared.wave.size)
    model, continuum = model_of(shared, one, best, design)
    weight = one.prepared.ivar
    use = weight > 0
    used = np.zeros(one.finite.size, dtype=bool)
    used[np.flatnonzero(one.finite)[use]] = True
    lines = _lines(shared, one, (z_best, continuum), settings) if settings.lines else None
    evidence = zprob.Evidence(
        z=z_best,
        chi2=best.chi2,
        dof=max(int(use.sum()) - int(np.count_nonzero(best.x)) - settings.polynomial, 1),
        chi2_null=one.rivals.null,
        chi2_star=one.rivals.star,
        n_lines=lines.n_detected if lines else 0,
        gain=(one.rivals.null_by_pixel - weight * (one.prepared.flux - model) ** 2)[use],
        residual=(np.sqrt(weight) * (one.prepared.flux - model))[use],
        line_snr=lines.snr if lines else np.zeros(0),
    )
    z2, chi2_next = posterior.next_distinct(z_best, peaks, z, chi2)
    dchi2 = max(chi2_next - best.chi2, 0.0)  # NaN stays
    ends = float(coarse_z[0]), float(coarse_z[-1])
    warning = zverdict.warnings_of(zverdict.Fitted(z_best, z_err, evidence, dchi2, ends, int(use.sum())))
    features = zprob.features(z, chi2, evidence)
    kind = zverdict.class_of(shared.grid, design, best.x, weight)
    return RedshiftResult(
        z_best=z_best,
        z_err=z_err,
        chi2_min=best.chi2,
        n_pix=int(use.sum()),
        dof=evidence.dof,
        confidence=posterior.probability_within(z, chi2, z_best, window=settings.confidence_window),
        probability=zprob.probability(features, shared.name),
        warning=int(warning),
        z=z,
        chi2=chi2,
        peaks=peaks,
        z2=z2,
        dchi2=dchi2,
        chi2_null=one.rivals.null,
        chi2_star=one.rivals.star,
        star=one.rivals.name,
        snr=float(np.median(np.abs(one.prepared.flux[use]) * np.sqrt(weight[use]))),
        template_class="star" if zverdict.Warn.STAR in warning else kind,
        names=shared.grid.names,
        coefficients=best.x,
        model=_spread(model, one.finite),
        continuum=_spread(continuum, one.finite),
        used=used,
        lines=lines,
        features=features,
        z_coarse=float(coarse_z[np.argmin(coarse)]),
    )


def _lines(shared: Field, one: Single, at: tuple[float, np.ndarray], settings: ScanOptions) -> Lines:
    """Lines at a redshift over a continuum; with the quoted errors, without spikes and ends."""
    z, continuum = at
    quoted = np.where(one.prepared.ivar > 0, one.ivar[one.finite], 0.0)
    band = None if one.correlation is None else one.correlation[:, one.finite]
    return measure_lines(
        one.prepared.wave,
        one.prepared.flux,
        quoted,
        z,
        grating=shared.name,
        lsf_factor=settings.lsf_factor,
        continuum=continuum,
        correlation=band,
    )


def _refine(
    shared: Field, one: Single, coarse_z: np.ndarray, coarse: np.ndarray, settings: ScanOptions
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, Solution]:
    """Fine grids about the best minima, merged into the coarse one; peaks (z, z_err, chi2), best first; the best fit.

    Each minimum gets a coarse step to either side, the best of them the whole window. Those near the best one are then
    fitted without interpolation or blocks; what this changes at the best of the scans is added to all others. The place
    and the curvature of the best are found so, too.
    """
    basis, step = shared.basis, shared.grid.step
    curve, memo = (coarse_z, coarse), Memo()

    def look(z: float, half_kms: float) -> tuple[float, float, float]:
        nonlocal curve
        half = int(half_kms / shared.scan.fine)
        log_z = np.log1p(z) + np.arange(-half, half + 1) * shared.scan.fine / C_KMS
        log_z = log_z[(log_z >= np.log1p(coarse_z[0])) & (log_z <= np.log1p(coarse_z[-1]))]
        fine = (np.expm1(log_z), fine_scan(one.scanned, shared.shelf, memo, log_z / step))
        curve = posterior.merge(curve, fine)
        return posterior.refine_minimum(*fine)

    best = posterior.separate_minima(coarse_z, coarse, separation=settings.window_kms, count=settings.n_minima)
    peaks: list[tuple[float, float, float]] = [look(float(coarse_z[i]), shared.scan.coarse) for i in best]
    first = min(peaks, key=lambda peak: peak[2])
    peaks[peaks.index(first)] = look(first[0], settings.window_kms)
    lowest_z, _, lowest = min(peaks, key=lambda peak: peak[2])
    s2 = max(1.0, lowest / max(int(np.count_nonzero(one.prepared.ivar)), 1))
    exact = {
        z: solve_at(one.exact, basis, shared.exact, np.log1p(z) / step)
        for z, _, chi2 in peaks
        if chi2 <= lowest + _CLEAR * s2
    }
    top = min(exact, key=lambda z: exact[z].chi2)
    peak, fit = _polished(shared, one, next(peak for peak in peaks if peak[0] == top), exact[top])
    shift = (fit if top == lowest_z else exact[lowest_z]).chi2 - lowest
    others = ((z, err, exact[z].chi2 if z in exact else chi2 + shift) for z, err, chi2 in peaks if z != top)
    rows = [peak, *sorted(others, key=lambda row: row[2])]
    return (curve[0], curve[1] + shift), np.array(rows), fit


def _polished(
    shared: Field, one: Single, peak: tuple[float, float, float], fit: Solution
) -> tuple[tuple[float, float, float], Solution]:
    """A peak by a parabola through fits without interpolation or blocks, an error to either side of the lowest.

    Where there is no such minimum near by, or the error is unknown or larger than `_WIDE_KMS`, the peak as it is.
    """
    step, ends = shared.grid.step, shared.grid.step * shared.shifts[[0, -1]]
    half, middle, fits = peak[1] / (1.0 + peak[0]), float(np.log1p(peak[0])), {0: fit}
    if not 0.0 < half * C_KMS < _WIDE_KMS:
        return peak, fit
    for _ in range(_STRIDES):
        low = min(fits, key=lambda k: fits[k].chi2)
        new = [k for k in (low - 1, low + 1) if k not in fits]
        if not new:
            break
        for k in new:
            if not ends[0] <= middle + k * half <= ends[1]:
                return peak, fit
            fits[k] = solve_at(one.exact, shared.basis, shared.exact, (middle + k * half) / step)
    else:
        return peak, fit
    near = np.array([low - 1, low, low + 1])
    log_z, log_err, _ = posterior.refine_minimum(middle + half * near, np.array([fits[k].chi2 for k in near]))
    if not np.isfinite(log_err):
        return peak, fit
    best = solve_at(one.exact, shared.basis, shared.exact, log_z / step)
    if best.chi2 > fits[low].chi2:
        log_z, best = middle + half * low, fits[low]
    return (float(np.expm1(log_z)), float(log_err * np.exp(log_z)), best.chi2), best


def model_of(shared: Field, one: Single, best: Solution, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Model and continuum [uJy] on all finite wavelengths."""
    bare, n = design @ best.x, shared.grid.n_continua
    smooth = one.exact.polynomial(one.prepared.poly, one.prepared.flux - bare)
    return bare + smooth, design[:, :n] @ best.x[:n] + smooth


def _spread(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    out = np.full(where.size, np.nan)
    out[where] = values
    return out
