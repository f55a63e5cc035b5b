"""Non-negative least squares on a Gram matrix: Lawson and Hanson's active set with a growing Cholesky factor."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

RIDGE = 1e-12
TOLERANCE = 1e-11
DEPENDENT = 1e-13


def solve(gram: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Minimise x'Gx - 2 b'x subject to x >= 0.

    Parameters
    ----------
    gram : ndarray, shape (n, n)
        A'A. Columns of A that are zero get x = 0.
    rhs : ndarray, shape (n,)
        A'y.

    Returns
    -------
    ndarray, shape (n,)

    Notes
    -----
    Lawson & Hanson 1974, Solving Least Squares Problems, chapter 23, in the Gram form of Bro & de Jong 1997.
    The columns are scaled to unit norm first: without it template norms that span seven decades leave the
    solution unconverged.
    """
    x = np.zeros(rhs.size)
    solve_into(np.ascontiguousarray(gram, dtype=float), np.ascontiguousarray(rhs, dtype=float), x)
    return x


@numba.njit(cache=True)
def solve_into(gram: np.ndarray, rhs: np.ndarray, x: np.ndarray) -> int:
    """Compiled form of `solve`; writes x and returns the number of outer iterations."""
    n = rhs.size
    scale = np.zeros(n)
    for i in range(n):
        if gram[i, i] > 0.0:
            scale[i] = 1.0 / np.sqrt(gram[i, i])
    g = np.empty((n, n))
    b = np.empty(n)
    peak = 0.0
    for i in range(n):
        b[i] = rhs[i] * scale[i]
        peak = max(peak, abs(b[i]))
        for j in range(n):
            g[i, j] = gram[i, j] * scale[i] * scale[j]
        g[i, i] += RIDGE
    iterations = _active_set(g, b, scale, TOLERANCE * peak, x)
    for i in range(n):
        x[i] *= scale[i]
    return iterations


class _State(NamedTuple):
    """The passive set: its members in order of entry, their Cholesky factor, the solution and work space."""

    order: np.ndarray
    passive: np.ndarray
    chol: np.ndarray
    x: np.ndarray
    trial: np.ndarray
    work: np.ndarray
    keep: np.ndarray


@numba.njit(cache=True)
def _append(g: np.ndarray, state: _State, size: int, column: int) -> bool:
    """Append one column to the Cholesky factor of the passive set; False if it depends on the others."""
    chol, order = state.chol, state.order
    total = 0.0
    for r in range(size):
        value = g[order[r], column]
        for k in range(r):
            value -= chol[r, k] * chol[size, k]
        value /= chol[r, r]
        chol[size, r] = value
        total += value * value
    pivot = g[column, column] - total
    if pivot <= DEPENDENT:
        return False
    chol[size, size] = np.sqrt(pivot)
    order[size] = column
    return True


@numba.njit(cache=True)
def _back_solve(b: np.ndarray, state: _State, size: int) -> None:
    """Unconstrained solution of the passive set into state.trial."""
    chol, work, trial = state.chol, state.work, state.trial
    for r in range(size):
        value = b[state.order[r]]
        for k in range(r):
            value -= chol[r, k] * work[k]
        work[r] = value / chol[r, r]
    for r in range(size - 1, -1, -1):
        value = work[r]
        for k in range(r + 1, size):
            value -= chol[k, r] * trial[k]
        trial[r] = value / chol[r, r]


@numba.njit(cache=True)
def _drop(g: np.ndarray, state: _State, size: int) -> int:
    """Remove the members of the passive set with keep False and factorise what is left; returns the new size."""
    members = np.empty(size, dtype=np.int64)
    for r in range(size):
        members[r] = state.order[r]
    new = 0
    for r in range(size):
        i = members[r]
        if state.keep[r] and _append(g, state, new, i):
            new += 1
        else:
            state.x[i] = 0.0
            state.passive[i] = False
    return new


@numba.njit(cache=True)
def _active_set(g: np.ndarray, b: np.ndarray, scale: np.ndarray, tol: float, x: np.ndarray) -> int:
    n = b.size
    passive = np.zeros(n, dtype=np.bool_)
    keep = np.ones(n, dtype=np.bool_)
    state = _State(np.empty(n, dtype=np.int64), passive, np.zeros((n, n)), x, np.empty(n), np.empty(n), keep)
    banned = np.zeros(n, dtype=np.bool_)
    size = 0
    for j in range(n):
        x[j] = 0.0
    for iteration in range(10 * n + 10):
        best, gain = -1, tol
        for j in range(n):
            if passive[j] or banned[j] or scale[j] == 0.0:
                continue
            slope = b[j]
            for r in range(size):
                slope -= g[j, state.order[r]] * x[state.order[r]]
            if slope > gain:
                best, gain = j, slope
        if best < 0:
            return iteration
        banned[best] = True
        if not _append(g, state, size, best):
            continue
        _back_solve(b, state, size + 1)
        if state.trial[size] <= 0.0:
            continue
        passive[best] = True
        size = _to_feasible(g, b, state, size + 1)
        for j in range(n):
            banned[j] = False
    return -1


@numba.njit(cache=True)
def _to_feasible(g: np.ndarray, b: np.ndarray, state: _State, size: int) -> int:
    """Move towards the unconstrained solution, dropping the members that reach zero; returns the new size."""
    order, x, trial, keep = state.order, state.x, state.trial, state.keep
    while True:
        alpha, blocked = 1.0, -1
        for r in range(size):
            if trial[r] <= 0.0:
                old = x[order[r]]
                share = old / (old - trial[r]) if old > trial[r] else 0.0
                if share < alpha or blocked < 0:
                    alpha, blocked = share, r
        if blocked < 0:
            for r in range(size):
                x[order[r]] = trial[r]
            return size
        for r in range(size):
            i = order[r]
            x[i] += alpha * (trial[r] - x[i])
            keep[r] = r != blocked and (x[i] > 0.0 or trial[r] > 0.0)
        size = _drop(g, state, size)
        _back_solve(b, state, size)


@numba.njit(cache=True, fastmath=True)
def gram_into(design: np.ndarray, n_dense: int, gram: np.ndarray) -> None:
    """Gram matrix of a tall design whose columns from n_dense on are mostly zero.

    Parameters
    ----------
    design : ndarray, shape (n_rows, n_columns), C order
        n_rows a multiple of 4 (pad with zeros).
    n_dense : int
        Columns 0..n_dense-1 are never skipped.
    gram : ndarray, shape (n_columns, n_columns)
        Overwritten.

    Notes
    -----
    Rank-4 updates of the lower triangle; a block of four pixels without a line costs only the dense part. One
    thread and no BLAS: threaded BLAS is several times slower on matrices this narrow.
    """
    n_rows, n = design.shape
    for i in range(n):
        for j in range(n):
            gram[i, j] = 0.0
    for p in range(0, n_rows, 4):
        r0, r1, r2, r3 = design[p], design[p + 1], design[p + 2], design[p + 3]
        for i in range(0, n - 1, 2):
            a0, a1, a2, a3 = r0[i], r1[i], r2[i], r3[i]
            b0, b1, b2, b3 = r0[i + 1], r1[i + 1], r2[i + 1], r3[i + 1]
            if i >= n_dense and a0 == a1 == a2 == a3 == b0 == b1 == b2 == b3 == 0.0:
                continue
            upper, lower = gram[i], gram[i + 1]
            for j in range(i + 2):
                c0, c1, c2, c3 = r0[j], r1[j], r2[j], r3[j]
                upper[j] += a0 * c0 + a1 * c1 + a2 * c2 + a3 * c3
                lower[j] += b0 * c0 + b1 * c1 + b2 * c2 + b3 * c3
        if n % 2:
            last = gram[n - 1]
            a0, a1, a2, a3 = r0[n - 1], r1[n - 1], r2[n - 1], r3[n - 1]
            for j in range(n):
                last[j] += a0 * r0[j] + a1 * r1[j] + a2 * r2[j] + a3 * r3[j]
    for i in range(n):
        for j in range(i):
            gram[j, i] = gram[i, j]
