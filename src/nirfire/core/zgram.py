"""Normal equations of template fits, for many spectra on one grid of pixels at once.

For pixel weights w, data d and templates A the fit needs A' diag(w) A and A' diag(w) d. The first is linear in w: with
the products of all pairs of columns as a matrix of one row per pixel, the Gram matrices of all spectra are one matrix
product. The calibration polynomials, which differ from spectrum to spectrum, are eliminated (Schur complement).
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from .nnls import active_set, scratch
from .zcolumns import Columns

FEW = 6
"""With fewer spectra than this each one's own product is cheaper."""


class Spectra(NamedTuple):
    """Spectra on one grid, with their calibration polynomials whitened among themselves."""

    weight: np.ndarray  # (n_spec, n_pix) inverse variance; 0 where not used
    moments: np.ndarray  # (n_spec, 1 + n_poly, n_pix): weight times data, weight times polynomials
    inner: np.ndarray  # (n_spec, n_poly): polynomials with data
    total: np.ndarray  # (n_spec,): weighted sum of data^2, less what polynomials alone explain
    root: np.ndarray  # (n_spec, n_poly, n_poly): whitens the polynomials
    by_pixel: np.ndarray  # (n_pix, n_spec): weight again, for taking rows
    moments_by_pixel: np.ndarray  # (n_pix, n_spec (1 + n_poly))
    block: int  # pixels in a row over which broad columns are constant
    block_weight: np.ndarray  # (n_spec, n_block), summed
    block_moments: np.ndarray  # (n_spec, 1 + n_poly, n_block), summed

    def only(self, i: int) -> Spectra:
        """One of them."""
        at = slice(i, i + 1)
        return _spectra(self.weight[at], self.moments[at], self.inner[at], self.total[at], self.root[at], self.block)

    def binned(self, width: int, block: int) -> Spectra:
        """The same for templates that are constant over bins of so many pixels, the broad ones over so many bins."""
        weight, moments = (_summed(one, width) for one in (self.weight, self.moments))
        return _spectra(weight, moments, self.inner, self.total, self.root, block)

    def polynomial(self, poly: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Best calibration term [uJy], shape (n_pix,), of the first: from its polynomials and what templates leave."""
        return poly.T @ (self.root[0].T @ (self.root[0] @ (poly @ (self.weight[0] * residual))))


def gather(weight: np.ndarray, data: np.ndarray, poly: np.ndarray, prior: float) -> Spectra:
    """Prepare spectra for the fit.

    Parameters
    ----------
    weight, data : ndarray, shape (n_spec, n_pix)
        Inverse variance (0 where not used) and flux [uJy].
    poly : ndarray, shape (n_spec, n_poly, n_pix) [uJy]
        Shapes of free sign with prior N(0, prior) on their coefficients.
    prior : float

    Returns
    -------
    Spectra
    """
    n_poly = poly.shape[1]
    gram = np.einsum("skp,slp,sp->skl", poly, poly, weight, optimize=True) + np.eye(n_poly) / max(prior, 1e-9) ** 2
    root = np.linalg.inv(np.linalg.cholesky(gram)) if n_poly else gram
    white = root @ poly
    moments = np.concatenate([(weight * data)[:, None], weight[:, None] * white], axis=1)
    inner = np.einsum("skp,sp->sk", white, weight * data)
    total = np.einsum("sp,sp,sp->s", weight, data, data) - np.einsum("sk,sk->s", inner, inner)
    return _spectra(weight, np.ascontiguousarray(moments), inner, total, root, 1)


def _spectra(
    weight: np.ndarray, moments: np.ndarray, inner: np.ndarray, total: np.ndarray, root: np.ndarray, block: int
) -> Spectra:
    n_spec, n_rhs, n_pix = moments.shape
    flat = np.ascontiguousarray(moments.reshape(n_spec * n_rhs, n_pix).T)
    sums = (_summed(one, block) for one in (weight, moments))
    return Spectra(weight, moments, inner, total, root, np.ascontiguousarray(weight.T), flat, block, *sums)


def _summed(values: np.ndarray, width: int) -> np.ndarray:
    """Sums of so many neighbours, along the last axis; the last sum may be of fewer."""
    return values if width == 1 else np.add.reduceat(values, np.arange(0, values.shape[-1], width), axis=-1)


class Normal(NamedTuple):
    """Normal equations of one kind of columns, for each spectrum."""

    columns: np.ndarray  # (n,)
    pairs: np.ndarray  # (n_spec, n_pairs): lower triangle by rows; of narrow ones, products with the broad ones first
    moments: np.ndarray  # (n_spec, 1 + n_poly, n)


def broad_normal(spectra: Spectra, broad: Columns) -> Normal:
    """Products of broad columns with each other and with the data."""
    n_spec, n_rhs, n_pix = spectra.block_moments.shape
    n = broad.columns.size
    moments = (spectra.block_moments.reshape(n_spec * n_rhs, n_pix) @ broad.values).reshape(n_spec, n_rhs, n)
    if n_spec < FEW:
        pairs = np.zeros((n_spec, n * (n + 1) // 2))
        _add_own(spectra.block_weight, broad.values, pairs)
        return Normal(broad.columns, pairs, moments)
    products = np.empty((n_pix, n * (n + 1) // 2))
    _own_products(broad.values, products)
    return Normal(broad.columns, spectra.block_weight @ products, moments)


def narrow_normal(spectra: Spectra, broad: Columns, narrow: Columns) -> Normal:
    """Products of narrow columns with the broad ones, with each other and with the data."""
    n_spec, n_rhs, _ = spectra.moments.shape
    m, n = broad.columns.size, narrow.columns.size
    if n_spec < FEW:
        pairs, few = np.zeros((n_spec, n * m + n * (n + 1) // 2)), np.zeros((n_spec, n_rhs, n))
        _add_cross(spectra.weight, spectra.moments, spectra.block, broad.values, narrow, pairs, few)
        return Normal(narrow.columns, pairs, few)
    weight = spectra.by_pixel[narrow.rows]
    moments = (spectra.moments_by_pixel[narrow.rows].T @ narrow.values).reshape(n_spec, n_rhs, n)
    products = np.empty((narrow.rows.size, n * m + n * (n + 1) // 2))
    _cross_products(broad.values, narrow.rows // spectra.block, narrow.values, products)
    return Normal(narrow.columns, weight.T @ products, moments)


@numba.njit(cache=True, fastmath=True)
def _add_own(weight: np.ndarray, values: np.ndarray, pairs: np.ndarray) -> None:
    for s in range(weight.shape[0]):
        out = pairs[s]
        for p in range(values.shape[0]):
            row, w = values[p], weight[s, p]
            if w == 0.0:
                continue
            k = 0
            for i in range(row.size):
                a = w * row[i]
                for j in range(i + 1):
                    out[k + j] += a * row[j]
                k += i + 1


@numba.njit(cache=True, fastmath=True)
def _add_cross(
    weight: np.ndarray,
    moments: np.ndarray,
    block: int,
    broad: np.ndarray,
    narrow: Columns,
    pairs: np.ndarray,
    out: np.ndarray,
) -> None:
    m, n = broad.shape[1], narrow.values.shape[1]
    for s in range(weight.shape[0]):
        target = pairs[s]
        for r in range(narrow.rows.size):
            p = narrow.rows[r]
            w = weight[s, p]
            if w == 0.0:
                continue
            wide, sharp = broad[p // block], narrow.values[r]
            k = 0
            for i in range(n):
                if sharp[i] != 0.0:
                    a = w * sharp[i]
                    for j in range(m):
                        target[k + j] += a * wide[j]
                    for j in range(i + 1):
                        target[k + m + j] += a * sharp[j]
                    for c in range(out.shape[1]):
                        out[s, c, i] += moments[s, c, p] * sharp[i]
                k += m + i + 1


@numba.njit(cache=True, fastmath=True)
def _own_products(values: np.ndarray, out: np.ndarray) -> None:
    for p in range(values.shape[0]):
        k = 0
        row, target = values[p], out[p]
        for i in range(row.size):
            a = row[i]
            for j in range(i + 1):
                target[k + j] = a * row[j]
            k += i + 1


@numba.njit(cache=True, fastmath=True)
def _cross_products(broad: np.ndarray, rows: np.ndarray, narrow: np.ndarray, out: np.ndarray) -> None:
    m = broad.shape[1]
    for r in range(rows.size):
        k = 0
        wide, sharp, target = broad[rows[r]], narrow[r], out[r]
        for i in range(sharp.size):
            a = sharp[i]
            if a == 0.0:
                for j in range(m + i + 1):
                    target[k + j] = 0.0
            else:
                for j in range(m):
                    target[k + j] = a * wide[j]
                for j in range(i + 1):
                    target[k + m + j] = a * sharp[j]
            k += m + i + 1


@numba.njit(cache=True, fastmath=True)
def reduce_one(s: int, inner: np.ndarray, broad: Normal, narrow: Normal, gram: np.ndarray, rhs: np.ndarray) -> None:
    """Lower Gram matrix and right-hand side of spectrum s, polynomials eliminated; columns: broad, then narrow."""
    m, n = broad.columns.size, narrow.columns.size
    n_poly = inner.shape[1]
    k = 0
    for i in range(m):
        for j in range(i + 1):
            gram[i, j] = broad.pairs[s, k + j]
        k += i + 1
    k = 0
    for i in range(n):
        for j in range(m + i + 1):
            gram[m + i, j] = narrow.pairs[s, k + j]
        k += m + i + 1
    for i in range(m):
        rhs[i] = broad.moments[s, 0, i]
    for i in range(n):
        rhs[m + i] = narrow.moments[s, 0, i]
    one, two = np.empty(m + n), np.empty(m + n)
    for c in range(0, n_poly, 2):  # two at a time: half the passes
        for i in range(m + n):
            moments = broad.moments if i < m else narrow.moments
            k = i if i < m else i - m
            one[i] = moments[s, 1 + c, k]
            two[i] = moments[s, 2 + c, k] if c + 1 < n_poly else 0.0
        other = inner[s, c + 1] if c + 1 < n_poly else 0.0
        for i in range(m + n):
            a, b = one[i], two[i]
            rhs[i] -= a * inner[s, c] + b * other
            for j in range(i + 1):
                gram[i, j] -= a * one[j] + b * two[j]


@numba.njit(cache=True)
def chi2_of(gram: np.ndarray, rhs: np.ndarray, x: np.ndarray, total: float) -> float:
    """chi2 of a solution, total - 2 b'x + x'Gx; reads the lower triangle."""
    value = total
    for i in range(rhs.size):
        if x[i] > 0.0:
            row = 0.0
            for j in range(i):
                row += gram[i, j] * x[j]
            value += x[i] * (2.0 * (row - rhs[i]) + gram[i, i] * x[i])
    return value


@numba.njit(cache=True)
def solve_all(
    inner: np.ndarray, total: np.ndarray, broad: Normal, narrow: Normal, guess: np.ndarray, chi2: np.ndarray
) -> None:
    """Non-negative fits of all spectra at one redshift.

    Parameters
    ----------
    inner, total : ndarray
        Of `Spectra`.
    broad, narrow : Normal
    guess : ndarray, shape (n_spec, n_columns)
        Solutions at a redshift close by, overwritten by those found.
    chi2 : ndarray, shape (n_spec,)
        Overwritten.
    """
    m, n = broad.columns.size, broad.columns.size + narrow.columns.size
    gram, rhs, x = np.empty((n, n)), np.empty(n), np.empty(n)
    space = scratch(n)
    for s in range(total.size):
        reduce_one(s, inner, broad, narrow, gram, rhs)
        for i in range(n):
            x[i] = guess[s, broad.columns[i] if i < m else narrow.columns[i - m]]
        active_set(gram, rhs, x, space)
        chi2[s] = chi2_of(gram, rhs, x, total[s])
        guess[s, :] = 0.0
        for i in range(n):
            guess[s, broad.columns[i] if i < m else narrow.columns[i - m]] = x[i]
