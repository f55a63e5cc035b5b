"""A slow factor of wavelength between two measurements that both have noise; and that of a spectrum to photometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from nirfire.core.lsf import pixel_edges

PASSES = 20
SETTLED = 1e-9
LOPSIDED = 1.5  # more than this between the two halves of a pixel is a gap
TAIL = 0.01  # share of a band at each end that does not count for its range
WIDE = 10.0  # standard deviation of the level of a spectrum against photometry: not known
BENT = 0.3  # of its higher coefficients, over the level
LEAST_LEVEL = 0.1


class Band(NamedTuple):
    """One measured band.

    Attributes
    ----------
    name : str
    flux, err : float [uJy]
        Mean of f_nu over the band, and its standard error.
    wave : ndarray, shape (n,) [um]
        Where the transmission is given, increasing; it is zero outside.
    transmission : ndarray, shape (n,)
        Per photon, in any unit; linear between the points.
    """

    name: str
    flux: float
    err: float
    wave: np.ndarray
    transmission: np.ndarray


class Scale(NamedTuple):
    """A factor that is a low-order polynomial of wavelength.

    Attributes
    ----------
    scale, scale_err : ndarray, shape (n_wave,)
        The factor and its standard error, which is common to neighbours.
    order : int
        Order of the polynomial.
    chi2 : float
        What is left, prior not counted.
    n_used : int
        Number of values that were fitted (for photometry: of bands).
    """

    scale: np.ndarray
    scale_err: np.ndarray
    order: int
    chi2: float
    n_used: int


class Target(NamedTuple):
    """Means of a spectrum that are to be reached.

    Attributes
    ----------
    value, variance : ndarray, shape (n,) [uJy, uJy2]
        What is to be reached, and its variance.
    shares : ndarray, shape (n, n_wave)
        Weights of the pixels of the spectrum in each mean.
    """

    value: np.ndarray
    variance: np.ndarray
    shares: np.ndarray


class Solution(NamedTuple):
    """Coefficients of one order: values, covariance, chi2, and minus twice the logarithm of the evidence."""

    values: np.ndarray  # (n_par,)
    covariance: np.ndarray  # (n_par, n_par)
    chi2: float
    criterion: float


def top_hat(name: str, flux: float, err: float, wave: float, width: float) -> Band:
    """A band that passes everything from `wave` - `width` / 2 to `wave` + `width` / 2 [um]."""
    edges = np.array([wave - width / 2, wave + width / 2])
    return Band(name, flux, err, edges, np.ones(2))


def capped_edges(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges [um] of pixels, half-way between their centres, but at a gap no further off than on the other side."""
    low, high = pixel_edges(wave)
    left, right = wave - low, high - wave
    return wave - np.minimum(left, LOPSIDED * right), wave + np.minimum(right, LOPSIDED * left)


def band_shares(low: np.ndarray, high: np.ndarray, band: Band) -> np.ndarray:
    """Share of a band in each pixel.

    Parameters
    ----------
    low, high : ndarray, shape (n_wave,) [um]
        Edges of the pixels.
    band : Band

    Returns
    -------
    ndarray, shape (n_wave,)
        Integral of T / wave over the pixel, over that of the whole band; the sum is below 1 where the band
        reaches beyond the pixels. The mean of f_nu over the band is the sum of share times f_nu (photon counting:
        Bessell & Murphy 2012, PASP 124, 140, eq. A12).
    """
    first, last = band.wave[0], band.wave[-1]
    inside = np.clip(np.concatenate([low, high]), first, last)
    nodes = np.unique(np.concatenate([band.wave, inside, np.linspace(first, last, 200)]))
    value = np.interp(nodes, band.wave, band.transmission) / nodes
    total = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]) * np.diff(nodes))])
    ends = np.interp(inside, nodes, total) / total[-1]
    return ends[len(low) :] - ends[: len(low)]


def fit_orders(
    target: Target,
    wave: np.ndarray,
    flux: np.ndarray,
    variance: np.ndarray,
    domain: tuple[float, float],
    prior: np.ndarray,
) -> list[Solution]:
    """Fit polynomials of rising order by which a spectrum is to be multiplied.

    Parameters
    ----------
    target : Target
    wave, flux, variance : ndarray, shape (n_wave,) [um, uJy, uJy2]
        The spectrum.
    domain : (float, float) [um]
        Wavelengths that are -1 and 1 of the Chebyshev polynomials.
    prior : ndarray, shape (n_order,)
        Standard deviation of the coefficients about (1, 0, 0, ...); its length gives the orders.

    Returns
    -------
    list of Solution
        By order, from 0.
    """
    shape = basis(wave, domain, len(prior) - 1)
    design = target.shares @ (flux[:, None] * shape)
    pairs = (shape[:, :, None] * shape[:, None, :]).reshape(len(wave), -1)
    spread = (target.shares**2 @ (variance[:, None] * pairs)).reshape(len(design), len(prior), len(prior))
    return [solve_noisy(target, design[:, :n], spread[:, :n, :n], prior[:n]) for n in range(1, len(prior) + 1)]


def solve_noisy(target: Target, design: np.ndarray, spread: np.ndarray, prior: np.ndarray) -> Solution:
    """Fit value = design @ coefficients when the design has noise, too.

    Parameters
    ----------
    target : Target
    design : ndarray, shape (n, n_par)
        One column per coefficient, as measured.
    spread : ndarray, shape (n, n_par, n_par)
        Covariance of each row of the design.
    prior : ndarray, shape (n_par,)
        Standard deviation of the coefficients about (1, 0, 0, ...).

    Returns
    -------
    Solution

    Notes
    -----
    With V = variance + c' spread c, the normal equations of least squares, from whose matrix the noise of the design
    is taken away (corrected score; Fuller 1987, "Measurement error models"): otherwise factors of faint
    sources come out too small. The covariance is that of the score between two inverses of the matrix, so that it
    holds without much signal too; there the prior stays. The evidence is Laplace's: likelihood and prior at the
    best coefficients, and the share of the prior's volume that the data leave.
    """
    value, variance, _ = target
    start = np.eye(design.shape[1])[0]
    precision = np.diag(1.0 / prior**2)
    c, total = start, variance
    for _ in range(PASSES):
        total = variance + np.einsum("nij,i,j->n", spread, c, c)
        score = np.einsum("ni,nj,n->ij", design, design, 1.0 / total)
        signal = _positive(score - np.einsum("nij,n->ij", spread, 1.0 / total))
        left = design.T @ ((value - design @ start) / total) + np.einsum("nij,j,n->i", spread, start, 1.0 / total)
        new = start + np.linalg.solve(signal + precision, left)
        done = np.max(np.abs(new - c)) < SETTLED
        c = new
        if done:
            break
    inverse = np.linalg.inv(signal + precision)
    chi2 = float(np.sum((value - design @ c) ** 2 / total))
    occam = np.linalg.slogdet(np.eye(len(c)) + signal * prior**2)[1]
    criterion = chi2 + float(np.sum(np.log(total)) + np.sum(((c - start) / prior) ** 2) + occam)
    return Solution(c, inverse @ (score + precision) @ inverse, chi2, criterion)


def _positive(matrix: np.ndarray) -> np.ndarray:
    """The symmetric matrix without its negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def choose_order(solutions: Sequence[Solution]) -> tuple[int, np.ndarray]:
    """The most likely order, and the chances of all, shape (n_order,), from their evidence."""
    criterion = np.array([s.criterion for s in solutions])
    chances = np.exp(-0.5 * (criterion - criterion.min()))
    return int(criterion.argmin()), chances / chances.sum()


def curve(wave: np.ndarray, domain: tuple[float, float], solutions: Sequence[Solution], n_values: int) -> Scale:
    """Evaluate the chosen polynomial.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um]
    domain : (float, float) [um]
        Wavelengths that are -1 and 1 of the Chebyshev polynomials.
    solutions : sequence of Solution
        By order, from 0.
    n_values : int
        Number of values fitted.

    Returns
    -------
    Scale
        Beyond the domain the factor stays as it is at the end. The variance is the mean over all orders, weighted
        with their chances, of the variance of that order and its squared distance from the chosen curve; beyond the
        domain it is that of the polynomials going on.
    """
    order, chances = choose_order(solutions)
    scale = basis(wave, domain, order) @ solutions[order].values
    free = [basis(wave, domain, k, held=False) for k in range(len(solutions))]
    variance = np.zeros(len(wave))
    for chance, solution, design in zip(chances, solutions, free, strict=True):
        own = np.einsum("ni,ij,nj->n", design, solution.covariance, design)
        variance += chance * (own + (design @ solution.values - scale) ** 2)
    return Scale(scale, np.sqrt(variance), order, solutions[order].chi2, n_values)


def basis(wave: np.ndarray, domain: tuple[float, float], order: int, *, held: bool = True) -> np.ndarray:
    """Chebyshev polynomials up to an order, shape (n_wave, order + 1); `held` at their ends beyond the domain."""
    low, high = domain
    x = (2.0 * np.asarray(wave) - low - high) / max(high - low, 1e-12)
    return chebvander(np.clip(x, -1.0, 1.0) if held else x, order)


def fit_scale(
    wave: np.ndarray,
    flux: np.ndarray,
    err: np.ndarray,
    mask: np.ndarray,
    bands: Sequence[Band],
    max_order: int = 2,
    *,
    floor: float = 0.03,
    least_coverage: float = 0.8,
) -> Scale:
    """Find the factor that brings a spectrum to photometry.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Increasing.
    flux, err : ndarray, shape (n_wave,) [uJy]
        The spectrum.
    mask : ndarray of bool, shape (n_wave,)
        True where it has no information.
    bands : sequence of Band
        The photometry.
    max_order : int
        Highest order of the polynomial; at least one band more than coefficients is asked for from order 1 on.
    floor : float
        Error of every band, at least this share of its flux (in quadrature to its own).
    least_coverage : float
        Bands of which less lies in valid pixels are left out.

    Returns
    -------
    Scale
        On `wave`.

    Raises
    ------
    ValueError
        No band is covered by the spectrum.

    Notes
    -----
    Mean flux of a band as in `band_shares`, over what valid pixels cover of it. The spectrum's own noise counts
    (`solve_noisy`). Higher coefficients have a prior of 0.3 of the level. Domain of the polynomial: all that the
    bands cover, 1 % of each at its ends left out.
    """
    valid = ~mask & np.isfinite(flux) & np.isfinite(err) & (err > 0)
    shares = np.array([band_shares(*capped_edges(wave), band) for band in bands]).reshape(len(bands), len(wave))
    shares *= valid
    covered = shares.sum(axis=1)
    used = np.flatnonzero(covered >= least_coverage)
    if used.size == 0:
        raise ValueError("no band is covered by the spectrum")
    shares = shares[used] / covered[used, None]
    value = np.array([band.flux for band in bands])[used]
    variance = np.array([band.err for band in bands])[used] ** 2 + (floor * value) ** 2
    clean, noise = np.where(valid, flux, 0.0), np.where(valid, err, 0.0) ** 2
    passed = np.cumsum(shares, axis=1)
    domain = (float(wave[(passed > TAIL).argmax(axis=1).min()]), float(wave[(passed > 1 - TAIL).argmax(axis=1).max()]))
    target = Target(value, variance, shares)
    (level,) = fit_orders(target, wave, clean, noise, domain, np.array([WIDE]))
    prior = np.full(max(0, min(max_order, used.size - 2)) + 1, BENT * max(abs(level.values[0]), LEAST_LEVEL))
    prior[0] = WIDE
    solutions = fit_orders(target, wave, clean, noise, domain, prior)
    return curve(wave, domain, solutions, used.size)
