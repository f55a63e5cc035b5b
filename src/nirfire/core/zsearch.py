"""chi2 against redshift: a coarse grid for many spectra at once, fine grids about the best minima of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

from .nnls import active_set, scratch
from .zcolumns import Basis, Columns, Sampling, broad_columns, in_limits, lagrange, narrow_columns
from .zgram import Spectra, broad_normal, chi2_of, narrow_normal, reduce_one, solve_all
from .zshelf import STENCIL, Shelf, in_all


class Solution(NamedTuple):
    """A fit at one redshift."""

    chi2: float
    x: np.ndarray  # (n_columns,), in the order of GridTemplates.names
    columns: tuple[Columns, Columns]  # that were fitted: broad and narrow


class Nodes(NamedTuple):
    """Normal equations of one spectrum at consecutive whole shifts, of the columns that have light at all of them."""

    first: int
    columns: np.ndarray  # (n,) int64
    gram: np.ndarray  # (n_nodes, n, n)
    rhs: np.ndarray  # (n_nodes, n)


def coarse_scan(
    spectra: Spectra, shelf: Shelf, shifts: np.ndarray, *, hold: int = 1, tick: Callable[[float], None] | None = None
) -> np.ndarray:
    """chi2 of all spectra at whole shifts.

    Parameters
    ----------
    spectra : Spectra
    shelf : Shelf
    shifts : ndarray of int, shape (n_z,)
        ln(1+z) over the step of the grid, increasing.
    hold : int
        Continua and broad lines move in steps of so many shifts, a multiple of the shelf's spacing.
    tick : callable, optional
        Told the share that is done.

    Returns
    -------
    ndarray, shape (n_spec, n_z)
    """
    chi2 = np.empty((shifts.size, spectra.total.size))
    guess = np.zeros((spectra.total.size, shelf.basis.order.size))
    last = None
    for i, shift in enumerate(shifts.tolist()):
        place = held_at(shift, hold)
        if place != last:
            held, last = shelf.held(place), place
            broad = broad_normal(spectra, held)
        narrow = narrow_normal(spectra, held, shelf.narrow(shift, limits=True))
        solve_all(spectra.inner, spectra.total, broad, narrow, guess, chi2[i])
        if tick and i % 128 == 0:
            tick(i / shifts.size)
    return np.ascontiguousarray(chi2.T)


def held_at(shift: int, hold: int) -> int:
    """Where continua and broad lines are for a shift of the coarse scan: the next multiple of `hold`."""
    return hold * ((shift + hold // 2) // hold)


Memo = dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Normal equations of one spectrum by shift: columns, Gram matrix, right-hand side."""


def fine_scan(one: Spectra, shelf: Shelf, memo: Memo, shifts: np.ndarray) -> np.ndarray:
    """chi2 of one spectrum at increasing shifts close together, shape (n_z,), by interpolated normal equations."""
    nodes = _nodes_between(one, shelf, memo, float(shifts[0]), float(shifts[-1]))
    allowed = in_limits(shelf.basis, shifts[:, None])[:, nodes.columns]
    chi2 = np.empty(shifts.size)
    _scan_nodes(nodes, shifts - nodes.first, allowed, float(one.total[0]), chi2)
    return chi2


def _nodes_between(one: Spectra, shelf: Shelf, memo: Memo, low: float, high: float) -> Nodes:
    """Normal equations at all whole shifts that interpolation between `low` and `high` takes."""
    first, last = int(np.floor(low)) - STENCIL // 2 + 1, int(np.floor(high)) + STENCIL // 2
    for shift in range(first, last + 1):
        if shift not in memo:
            memo[shift] = normal_of(one, shelf.broad(shift), shelf.narrow(shift))
    found = [memo[shift] for shift in range(first, last + 1)]
    columns = in_all([one[0] for one in found])
    gram, rhs = np.empty((len(found), columns.size, columns.size)), np.empty((len(found), columns.size))
    for k, (index, part, moments) in enumerate(found):
        at = np.searchsorted(index, columns)
        gram[k], rhs[k] = (part, moments) if at.size == index.size else (part[at][:, at], moments[at])
    return Nodes(first, columns, gram, rhs)


def solve_at(one: Spectra, basis: Basis, sampling: Sampling, shift: float) -> Solution:
    """The fit of one spectrum at any shift, without interpolation but of continua between whole shifts."""
    held, sharp = broad_columns(basis, sampling.blocks, shift), narrow_columns(basis, sampling.bins, shift)
    index, gram, rhs = normal_of(one, held, sharp)
    x = np.zeros(rhs.size)
    active_set(gram, rhs, x, scratch(rhs.size))
    full = np.zeros(basis.order.size)
    full[basis.order[index]] = x
    return Solution(float(chi2_of(gram, rhs, x, float(one.total[0]))), full, (held, sharp))


def normal_of(one: Spectra, held: Columns, sharp: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, Gram matrix and right-hand side of the first spectrum, polynomials eliminated."""
    broad, narrow = broad_normal(one, held), narrow_normal(one, held, sharp)
    n = broad.columns.size + narrow.columns.size
    gram, rhs = np.zeros((n, n)), np.empty(n)
    reduce_one(0, one.inner, broad, narrow, gram, rhs)
    return np.concatenate([broad.columns, narrow.columns]), gram, rhs


@numba.njit(cache=True, fastmath=True)
def _blend(nodes: Nodes, position: float, gram: np.ndarray, rhs: np.ndarray) -> None:
    """Lagrange interpolation with STENCIL nodes about `position`, counted from the first."""
    whole = int(np.floor(position))
    start, weights = whole - STENCIL // 2 + 1, lagrange(position - whole, STENCIL)
    gram[:] = 0.0
    rhs[:] = 0.0
    for k in range(STENCIL):
        weight, node = weights[k], nodes.gram[start + k]
        for i in range(rhs.size):
            for j in range(i + 1):
                gram[i, j] += weight * node[i, j]
            rhs[i] += weight * nodes.rhs[start + k, i]


@numba.njit(cache=True)
def _scan_nodes(nodes: Nodes, positions: np.ndarray, allowed: np.ndarray, total: float, chi2: np.ndarray) -> None:
    n = nodes.columns.size
    gram, rhs, x = np.empty((n, n)), np.empty(n), np.zeros(n)
    space = scratch(n)
    for i in range(positions.size):
        _blend(nodes, positions[i], gram, rhs)
        for j in range(n):
            if not allowed[i, j]:
                gram[j, j] = 0.0
        active_set(gram, rhs, x, space)
        chi2[i] = chi2_of(gram, rhs, x, total)
