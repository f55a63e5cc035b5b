"""The linear fit of lines and local continuum, the width that all lines share, and broad components."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from .line_blends import Blends
from .lsf import C_KMS, FWHM_TO_SIGMA, N_SIGMA

UNIT = 1e11 / (C_KMS * 1e9)  # f_nu [uJy] of 1e-18 erg/s/cm2 per um at 1 um
SIGMA_V = {True: 150.0, False: 60.0}  # km/s, least width of a line, PRISM or not
SIGMA_START, SIGMA_MOST = 150.0, 600.0  # km/s, in gratings
STEP = 0.2  # of ln(width)
LOWEST, PRISM_MOST = -2, 3  # steps from the expected LSF
SEEN = 5.0  # S/N of a line from which the width is fitted
RIDGE = 1e-10
BROAD_FWHM = (1100.0, 1700.0, 2700.0, 4200.0, 6600.0)  # km/s
PERMITTED = {"Lya", "CIV", "CIII]", "MgII2796", "MgII2803", "Ha", "Hb", "Hg", "Hd", "Heps", "HeI5877", "HeI7067",
             "HeI10833", "OI8449", "P10", "P9", "Pae", "Pad", "Pag", "Pab", "Paa", "Brg", "Brb", "Bra"}  # fmt: skip
SHIFT_SNR, SHIFT_STEP, SHIFT_MOST = 15.0, 0.1, 1.0  # S/N of lines that may be shifted; a small and the largest shift
BROAD_SNR, BROAD_LEAST = 10.0, 3.0  # of one line, for a broad component to be looked for; of all that may have one
BROAD_GAIN = 25.0  # least fall of chi-squared
BROAD_SHARE = 0.2  # least share of the line's flux


class Data(NamedTuple):
    """A whitened spectrum on increasing wavelengths."""

    wave: np.ndarray  # (n_wave,) um
    low: np.ndarray
    high: np.ndarray
    residual: np.ndarray  # (n_wave,) flux minus continuum over error; 0 where not used
    root: np.ndarray  # (n_wave,) 1 / error [1/uJy]; 0 where not used
    local: np.ndarray  # (n_wave, n_local) local continuum, whitened
    n_prior: int  # the last of these have a standard normal prior, the others none


class Width(NamedTuple):
    """Width of all lines: that of the LSF times `scale`, and a velocity dispersion, in quadrature."""

    scale: float
    sigma_v: float  # km/s

    def relative(self, lsf: np.ndarray) -> np.ndarray:
        """Sigma over wavelength, for the LSF's own."""
        return np.sqrt((self.scale * lsf) ** 2 + (self.sigma_v / C_KMS) ** 2)


class Profiles(NamedTuple):
    """Gaussians of the lines, and how they go into amplitudes."""

    center: np.ndarray  # (n_lines,) um
    lsf: np.ndarray  # (n_lines,) sigma over wavelength
    prism: bool
    blends: Blends
    names: tuple[str, ...]


class Solution(NamedTuple):
    """Least squares of amplitudes, broad amplitudes, knots, in this order."""

    chi2: float
    x: np.ndarray  # (n_par,) 1e-18 erg/s/cm2, uJy
    factor: np.ndarray  # Cholesky factor of the Gram matrix of columns of norm 1
    norm: np.ndarray  # (n_par,) of the columns


class Fit(NamedTuple):
    """The solution at the best width."""

    solution: Solution
    design: np.ndarray  # (n_wave, n_par), whitened
    width: Width
    change: np.ndarray  # (n, n_par) of x, for one standard error of the width and of the broad width
    broad: tuple[int, ...] = ()  # lines with a broad amplitude
    fwhm_broad: float = 0.0  # km/s


def expected_width(lsf: np.ndarray, *, prism: bool) -> Width:
    """Width with which the search starts: the expected LSF, and 150 km/s."""
    return width_at(first_step(lsf, prism=prism), lsf, prism=prism)


def first_step(lsf: np.ndarray, *, prism: bool, sigma_v: float = SIGMA_START) -> int:
    """Steps of ln(width) from the expected LSF to a velocity dispersion [km/s]; 0 for PRISM."""
    return 0 if prism else round(0.5 * math.log1p((sigma_v / _middle(lsf)) ** 2) / STEP)


def width_at(step: float, lsf: np.ndarray, *, prism: bool) -> Width:
    """Width a number of steps of ln(width) above that of the expected LSF.

    Narrower, and always for PRISM, the LSF is scaled; in the gratings a wider line has a larger velocity dispersion.
    """
    least = SIGMA_V[prism]
    if prism or step <= 0:
        return Width(math.exp(STEP * step), least)
    return Width(1.0, math.hypot(least, _middle(lsf) * math.sqrt(math.expm1(2.0 * STEP * step))))


def _middle(lsf: np.ndarray) -> float:
    """Median width of the LSF [km/s]."""
    return float(np.median(lsf)) * C_KMS if lsf.size else 1.0


@numba.njit(cache=True)
def _fill(
    design: np.ndarray,
    column: np.ndarray,
    share: np.ndarray,
    center: np.ndarray,
    sigma: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Add Gaussians of flux `share`, integrated over pixels [low, high], to columns: share / um x weight."""
    n_pix = low.size
    for k in range(center.size):
        norm = 1.0 / (sigma[k] * math.sqrt(2.0))
        p = np.searchsorted(high, center[k] - N_SIGMA * sigma[k])
        edge, cdf = -1.0, 0.0
        while p < n_pix and low[p] < center[k] + N_SIGMA * sigma[k]:
            left = cdf if low[p] == edge else math.erf((low[p] - center[k]) * norm)
            edge = high[p]
            cdf = math.erf((edge - center[k]) * norm)
            design[p, column[k]] += 0.5 * (cdf - left) / (edge - low[p]) * share[k] * weight[p]
            p += 1


@numba.njit(cache=True)
def coverage_of(
    center: np.ndarray, sigma: np.ndarray, low: np.ndarray, high: np.ndarray, use: np.ndarray
) -> np.ndarray:
    """Share of each line's light that falls on pixels in use, shape (n_lines,)."""
    out = np.zeros(center.size)
    for k in range(center.size):
        norm = 1.0 / (sigma[k] * math.sqrt(2.0))
        p = np.searchsorted(high, center[k] - N_SIGMA * sigma[k])
        while p < low.size and low[p] < center[k] + N_SIGMA * sigma[k]:
            if use[p]:
                out[k] += 0.5 * (math.erf((high[p] - center[k]) * norm) - math.erf((low[p] - center[k]) * norm))
            p += 1
    return out


@numba.njit(cache=True)
def _gram(design: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """design^T design and design^T data of a matrix that is mostly zeros."""
    n_pix, n_par = design.shape
    gram, right = np.zeros((n_par, n_par)), np.zeros(n_par)
    active = np.empty(n_par, dtype=np.int64)
    for p in range(n_pix):
        count = 0
        for k in range(n_par):
            if design[p, k] != 0.0:
                active[count] = k
                count += 1
        for i in range(count):
            value = design[p, active[i]]
            right[active[i]] += value * data[p]
            for j in range(i + 1):
                gram[active[i], active[j]] += value * design[p, active[j]]
    for i in range(n_par):
        for j in range(i):
            gram[j, i] = gram[i, j]
    return gram, right


class Trial:
    """The columns of one set of amplitudes, filled anew at each width."""

    def __init__(self, data: Data, profiles: Profiles, broad: tuple[int, ...] = ()) -> None:
        share = profiles.blends.share
        self.data, self.profiles, self.broad = data, profiles, broad
        self.column = np.argmax(share, axis=1) if share.size else np.zeros(0, dtype=np.int64)
        self.share = share[np.arange(self.column.size), self.column]
        self.n_narrow, self.n_lines = share.shape[1], share.shape[1] + len(broad)
        self.weight = UNIT * data.wave**2 * data.root
        start = expected_width(profiles.lsf, prism=profiles.prism)
        self.free = np.array([name != "Lya" for name in profiles.names], dtype=bool)  # a break must not set the width
        self.start = start.relative(profiles.lsf)
        self.total = float(data.residual @ data.residual)
        self.design = np.empty((data.wave.size, self.n_lines + data.local.shape[1]))
        self.design[:, self.n_lines :] = data.local

    def fill(self, width: Width, fwhm: float = 0.0) -> np.ndarray:
        """The design matrix at one width of the lines and of the broad components [km/s]."""
        data, lines, design = self.data, self.profiles, self.design
        design[:, : self.n_lines] = 0.0
        edges = (data.low, data.high, self.weight)
        sigma = lines.center * np.where(self.free, width.relative(lines.lsf), self.start)
        _fill(design, self.column, self.share, lines.center, sigma, *edges)
        if self.broad:
            index = np.array(self.broad)
            sigma = lines.center[index] * Width(1.0, fwhm * FWHM_TO_SIGMA).relative(lines.lsf[index])
            column = self.n_narrow + np.arange(index.size)
            _fill(design, column, np.ones(index.size), lines.center[index], sigma, *edges)
        return design

    def solve(self, width: Width, fwhm: float = 0.0) -> Solution:
        """Fit at one width of the lines and of the broad components [km/s]."""
        data, design = self.data, self.fill(width, fwhm)
        gram, right = _gram(design, data.residual)
        last = np.arange(design.shape[1] - data.n_prior, design.shape[1])
        gram[last, last] += 1.0
        norm = np.sqrt(np.diag(gram))
        norm[norm == 0] = 1.0  # a knot without pixels
        gram /= norm[:, None] * norm[None, :]
        gram[np.arange(norm.size), np.arange(norm.size)] = 1.0 + RIDGE
        factor, _ = dpotrf(gram)  # the ridge is far above rounding: always positive
        x = dpotrs(factor, right / norm)[0] / norm
        return Solution(self.total - float(x @ right), x, factor, norm)


def fit_lines(data: Data, profiles: Profiles) -> Fit:
    """Fit the lines with the best common width, and with broad components where they improve the fit much.

    If one line has a broad component, all permitted lines that are seen may have one, of any sign. Bright lines that
    are not at their wavelengths take those near them along.
    """
    fit = _fit_width(Trial(data, profiles))
    moved = _recentred(data, profiles, fit)
    if moved is not None:
        profiles = moved
        fit = _fit_width(Trial(data, profiles))
    wide = _candidates(profiles, fit.solution)
    if not wide:
        return fit
    trial = Trial(data, profiles, wide)
    widths = (fit.width, expected_width(profiles.lsf, prism=profiles.prism))  # the first may have followed the wings
    chi2, width = min((trial.solve(one, BROAD_FWHM[2]).chi2, one) for one in widths)
    if fit.solution.chi2 - chi2 < 0.5 * BROAD_GAIN:
        return fit
    fwhm, chi2, _ = _broad_width(trial, width)
    if fit.solution.chi2 - chi2 < BROAD_GAIN:
        return fit
    best = trial.solve(width, fwhm)
    n = trial.n_narrow
    x, error = best.x[n : n + len(wide)], _errors(best)[n : n + len(wide)]
    narrow = profiles.blends.share[list(wide)] @ best.x[:n]
    if not np.any((x > SEEN * error) & (x > BROAD_SHARE * (x + narrow)) & (narrow > -BROAD_SHARE * x)):
        return fit
    fwhm, _, change = _broad_width(trial, _fit_width(trial, fwhm).width)
    fit = _fit_width(trial, fwhm)
    return fit._replace(change=np.concatenate([fit.change, change[None]]))


def _broad_width(trial: Trial, width: Width) -> tuple[float, float, np.ndarray]:
    """Best width of the broad components [km/s], its chi2, and the change of x for its standard error."""
    found = [trial.solve(width, fwhm) for fwhm in BROAD_FWHM]
    k = int(np.argmin([one.chi2 for one in found]))
    if k in (0, len(found) - 1):
        return BROAD_FWHM[k], found[k].chi2, np.zeros(found[k].x.size)
    step = np.log(BROAD_FWHM)
    center, curvature = _parabola([(step[i], found[i].chi2) for i in (k - 1, k, k + 1)])
    slope = (found[k + 1].x - found[k - 1].x) / (step[k + 1] - step[k - 1])
    fwhm = math.exp(center)
    return fwhm, trial.solve(width, fwhm).chi2, slope * _error(curvature)


def _recentred(data: Data, profiles: Profiles, fit: Fit) -> Profiles | None:
    """Profiles at the wavelengths where bright lines are; None if they are where they should be.

    The shift of each, in units of its width, is the linear one that the residual asks for, taken twice; other lines
    follow by interpolation in wavelength. A source that is not centred in its shutter has such shifts with PRISM.
    """
    row, main = profiles.blends.row, profiles.blends.main
    snr = row @ fit.solution.x[: row.shape[1]] / np.sqrt(row**2 @ _errors(fit.solution)[: row.shape[1]] ** 2)
    bright = np.flatnonzero((snr > SHIFT_SNR) & np.array([profiles.names[i] != "Lya" for i in main], dtype=bool))
    if bright.size == 0:
        return None
    sigma = profiles.center * fit.width.relative(profiles.lsf)
    moved, solution, design = profiles, fit.solution, fit.design
    total = np.zeros(sigma.size)
    for k in range(2):
        residual = data.residual - design @ solution.x
        ahead = Trial(data, moved._replace(center=moved.center + SHIFT_STEP * sigma)).fill(fit.width)
        change = (ahead - design)[:, : row.shape[1]] * solution.x[: row.shape[1]] / SHIFT_STEP
        slope = change @ (row[bright] > 0).T
        norm = np.sum(slope**2, axis=0)
        shift = residual @ slope / norm
        if k == 0 and not np.any(np.abs(shift) * np.sqrt(norm) > SEEN):
            return None
        places = np.log(profiles.center)
        total = np.clip(total + np.interp(places, places[main[bright]], shift), -SHIFT_MOST, SHIFT_MOST)
        moved = profiles._replace(center=profiles.center + total * sigma)
        trial = Trial(data, moved)
        solution, design = trial.solve(fit.width), trial.design
    return moved if solution.chi2 < fit.solution.chi2 else None


def _candidates(profiles: Profiles, solution: Solution) -> tuple[int, ...]:
    """Permitted lines that are seen, the ones that rows are called after; none if none is bright."""
    row = profiles.blends.row
    snr = row @ solution.x[: row.shape[1]] / np.sqrt(row**2 @ _errors(solution)[: row.shape[1]] ** 2)
    main = profiles.blends.main
    permitted = np.array([profiles.names[i] in PERMITTED for i in main], dtype=bool)
    if not np.any(permitted & (snr > BROAD_SNR)):
        return ()
    return tuple(int(i) for i in main[permitted & (snr > BROAD_LEAST)])


def _errors(solution: Solution) -> np.ndarray:
    return np.sqrt(np.diag(inverse(solution)))


def inverse(solution: Solution, rows: np.ndarray | None = None) -> np.ndarray:
    """Inverse of the Gram matrix, or its product with rows^T; shape (n_par, n_par or n_rows)."""
    right = np.eye(solution.x.size) if rows is None else rows.T
    return np.asarray(dpotrs(solution.factor, right / solution.norm[:, None])[0]) / solution.norm[:, None]


def _fit_width(trial: Trial, fwhm: float = 0.0) -> Fit:
    """Go down in chi2 from the expected width in steps, then to the minimum of a parabola, twice."""
    prism, lsf = trial.profiles.prism, trial.profiles.lsf
    found: dict[float, Solution] = {}

    def at(step: float) -> Solution:
        found[step] = trial.solve(width_at(step, lsf, prism=prism), fwhm)
        return found[step]

    def done(step: float, slope: np.ndarray | None = None) -> Fit:
        solution = at(step)
        change = np.zeros((1, solution.x.size)) if slope is None else slope[None]
        return Fit(solution, trial.design, width_at(step, lsf, prism=prism), change, trial.broad, fwhm)

    best = first_step(lsf, prism=prism)
    most = PRISM_MOST if prism else first_step(lsf, prism=False, sigma_v=SIGMA_MOST)
    first = at(best)
    if not np.any(first.x[: trial.n_narrow] * first.norm[: trial.n_narrow] > SEEN):
        return done(best)
    while True:
        for step in (best - 1, best + 1):
            if LOWEST <= step <= most and step not in found:
                at(step)
        new = int(min(found, key=lambda step: found[step].chi2))
        if new == best:
            break
        best = new
    if best - 1 not in found or best + 1 not in found:
        return done(best)
    slope = (found[best + 1].x - found[best - 1].x) / (2.0 * STEP)
    center, curvature = _parabola([(k, found[k].chi2) for k in (best - 1, best, best + 1)])
    at(center)
    nearest = sorted(found, key=lambda step: abs(step - center))[:3]
    again, _ = _parabola(sorted((k, found[k].chi2) for k in nearest))
    return done(again, slope * _error(curvature / STEP**2))


def _error(curvature: float) -> float:
    """Standard error of a parameter from the second derivative of chi2, at most 0.3."""
    return min(math.sqrt(2.0 / max(curvature, 1e-30)), 0.3)


def _parabola(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Place of the minimum, kept between the points, and second derivative of the parabola through three points."""
    (x0, y0), (x1, y1), (x2, y2) = points
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    curvature = 2.0 * (right - left) / (x2 - x0)
    if curvature <= 0:
        return x1, 0.0
    return min(max(0.5 * (x0 + x1) - left / curvature, x0), x2), curvature
