"""Non-negative least squares on a Gram matrix: Lawson and Hanson's active set with a growing Cholesky factor."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

RIDGE = 1e-12
TOLERANCE = 1e-11
DEPENDENT = 1e-13


class Scratch(NamedTuple):
    """Work space of `active_set`; the passive set is kept in order of entry with its Cholesky factor."""

    scale: np.ndarray  # (n,) what makes columns unit ones
    order: np.ndarray  # (n,) int64
    passive: np.ndarray  # (n,) bool
    banned: np.ndarray  # (n,) bool
    keep: np.ndarray  # (n,) bool
    chol: np.ndarray  # (n, n)
    trial: np.ndarray
    work: np.ndarray
    slope: np.ndarray
    members: np.ndarray  # (n,) int64


@numba.njit(cache=True)
def scratch(n: int) -> Scratch:
    """Work space for problems of up to n columns."""
    return Scratch(
        np.empty(n),
        np.empty(n, dtype=np.int64),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
        np.empty((n, n)),
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty(n, dtype=np.int64),
    )


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
    gram, rhs = np.ascontiguousarray(gram, dtype=float), np.ascontiguousarray(rhs, dtype=float)
    active_set(gram, rhs, x, scratch(rhs.size))
    return x


@numba.njit(cache=True)
def active_set(gram: np.ndarray, rhs: np.ndarray, x: np.ndarray, space: Scratch) -> int:
    """Compiled form of `solve`; writes x and returns the number of outer iterations, -1 where they do not end.

    Only the lower triangle of `gram` is read. Columns with x > 0 on entry are tried first: a guess of the solution
    saves time and changes nothing else.
    """
    n, scale = rhs.size, space.scale
    peak, size = 0.0, 0
    for i in range(n):
        scale[i] = 1.0 / np.sqrt(gram[i, i]) if gram[i, i] > 0.0 else 0.0
        peak = max(peak, abs(rhs[i] * scale[i]))
        space.passive[i] = False
    for i in range(n):
        if x[i] > 0.0 and scale[i] > 0.0 and _append(gram, space, size, i):
            size += 1
        x[i] = 0.0
    size = _only_positive(gram, rhs, x, space, size)
    iterations = _iterate(gram, rhs, size, TOLERANCE * peak, x, space)
    for i in range(n):
        x[i] *= scale[i]
    return iterations


@numba.njit(cache=True)
def _only_positive(gram: np.ndarray, rhs: np.ndarray, x: np.ndarray, space: Scratch, size: int) -> int:
    """Take members out of a guessed passive set until its solution is positive; returns the size."""
    while size > 0:
        _back_solve(rhs, space, size)
        worst = False
        for r in range(size):
            space.keep[r] = space.trial[r] > 0.0
            worst = worst or not space.keep[r]
        if not worst:
            break
        size = _drop(gram, space, x, size)
    for r in range(size):
        x[space.order[r]] = space.trial[r]
        space.passive[space.order[r]] = True
    return size


@numba.njit(cache=True)
def _append(gram: np.ndarray, space: Scratch, size: int, column: int) -> bool:
    """Append one column to the Cholesky factor of the passive set; False if it depends on the others."""
    chol, order = space.chol, space.order
    own, total = space.scale[column], 0.0
    for r in range(size):
        i = order[r]
        value = (gram[column, i] if column > i else gram[i, column]) * own * space.scale[i]
        for k in range(r):
            value -= chol[r, k] * chol[size, k]
        value /= chol[r, r]
        chol[size, r] = value
        total += value * value
    pivot = 1.0 + RIDGE - total
    if pivot <= DEPENDENT:
        return False
    chol[size, size] = np.sqrt(pivot)
    order[size] = column
    return True


@numba.njit(cache=True)
def _back_solve(rhs: np.ndarray, space: Scratch, size: int) -> None:
    """Unconstrained solution of the passive set into space.trial."""
    chol, work, trial = space.chol, space.work, space.trial
    for r in range(size):
        value = rhs[space.order[r]] * space.scale[space.order[r]]
        for k in range(r):
            value -= chol[r, k] * work[k]
        work[r] = value / chol[r, r]
    for r in range(size - 1, -1, -1):
        value = work[r]
        for k in range(r + 1, size):
            value -= chol[k, r] * trial[k]
        trial[r] = value / chol[r, r]


@numba.njit(cache=True)
def _drop(gram: np.ndarray, space: Scratch, x: np.ndarray, size: int) -> int:
    """Remove the members of the passive set with keep False and factorise what is left; returns the new size."""
    for r in range(size):
        space.members[r] = space.order[r]
    new = 0
    for r in range(size):
        i = space.members[r]
        if space.keep[r] and _append(gram, space, new, i):
            new += 1
        else:
            x[i] = 0.0
            space.passive[i] = False
    return new


@numba.njit(cache=True, fastmath=True)
def _slopes(gram: np.ndarray, rhs: np.ndarray, size: int, x: np.ndarray, space: Scratch) -> None:
    """Gradient of the fit by unit columns, b - Gx."""
    slope, n = space.slope, rhs.size
    for j in range(n):
        slope[j] = rhs[j]
    for r in range(size):
        i = space.order[r]
        value, row = x[i] * space.scale[i], gram[i]
        for j in range(i + 1):
            slope[j] -= value * row[j]
        for j in range(i + 1, n):
            slope[j] -= value * gram[j, i]
    for j in range(n):
        slope[j] *= space.scale[j]


@numba.njit(cache=True)
def _iterate(gram: np.ndarray, rhs: np.ndarray, size: int, tol: float, x: np.ndarray, space: Scratch) -> int:
    passive, banned, n = space.passive, space.banned, rhs.size
    for j in range(n):
        banned[j] = False
    for iteration in range(10 * n + 10):
        _slopes(gram, rhs, size, x, space)
        best, gain = -1, tol
        for j in range(n):
            if space.slope[j] > gain and not passive[j] and not banned[j] and space.scale[j] > 0.0:
                best, gain = j, space.slope[j]
        if best < 0:
            return iteration
        banned[best] = True
        if not _append(gram, space, size, best):
            continue
        _back_solve(rhs, space, size + 1)
        if space.trial[size] <= 0.0:
            continue
        passive[best] = True
        size = _to_feasible(gram, rhs, x, space, size + 1)
        for j in range(n):
            banned[j] = False
    return -1


@numba.njit(cache=True)
def _to_feasible(gram: np.ndarray, rhs: np.ndarray, x: np.ndarray, space: Scratch, size: int) -> int:
    """Move towards the unconstrained solution, dropping the members that reach zero; returns the new size."""
    order, trial, keep = space.order, space.trial, space.keep
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
        size = _drop(gram, space, x, size)
        _back_solve(rhs, space, size)
