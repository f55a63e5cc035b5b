"""Compiled heart of the redshift scan: the design matrix at one redshift, and its non-negative fit."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from . import nnls
from .continuum import fill_continua
from .lines import LineTable, fill_lines
from .lsf import Response


class Problem(NamedTuple):
    """Data and instrument of one spectrum, valid pixels only, whitened."""

    data: np.ndarray  # (n_pix,) flux / err
    root_ivar: np.ndarray  # (n_pix,) 1 / uJy
    low: np.ndarray  # (n_pix,) um
    high: np.ndarray
    lsf: np.ndarray  # (n_pix,) sigma / wavelength
    response: Response
    poly: np.ndarray  # (n_pix, n_poly) whitened
    poly_inverse: np.ndarray  # (n_poly, n_poly) inverse of prior + Gram


class Basis(NamedTuple):
    """Templates as the compiled code takes them."""

    rest: np.ndarray
    uv: np.ndarray
    table: LineTable
    z_max: np.ndarray
    step: float


class Workspace(NamedTuple):
    """Arrays of one scan: design columns are data, polynomials, continua, lines; rows padded to a multiple of 4."""

    design: np.ndarray  # (n_rows, n_columns)
    blocks: np.ndarray  # (4, n_pix, 1 + n_poly + n_continua): continua at the last whole shifts
    held: np.ndarray  # (4,) int64: which shifts those are
    gram: np.ndarray  # (n_columns, n_columns)
    x: np.ndarray  # (n_templates,)


def _workspace(problem: Problem, basis: Basis) -> Workspace:
    n_pix, n_poly, n = problem.data.size, problem.poly.shape[1], basis.rest.shape[1]
    n_templates = n + basis.table.n_groups
    design = np.zeros((4 * ((n_pix + 3) // 4), 1 + n_poly + n_templates))
    design[:n_pix, 0] = problem.data
    design[:n_pix, 1 : 1 + n_poly] = problem.poly
    held = np.full(4, -(2**40), dtype=np.int64)
    gram = np.zeros((design.shape[1], design.shape[1]))
    return Workspace(design, np.empty((4, n_pix, 1 + n_poly + n)), held, gram, np.zeros(n_templates))


def scan_grid(problem: Problem, basis: Basis, shifts: np.ndarray) -> np.ndarray:
    """chi2 at each ln(1+z) = shifts * step, shape (n_z,). Whole numbers need no interpolation and are fastest."""
    chi2 = np.empty(shifts.size)
    _scan(problem, basis, np.ascontiguousarray(shifts, dtype=float), _workspace(problem, basis), chi2)
    return chi2


def design_at(problem: Problem, basis: Basis, shift: float) -> np.ndarray:
    """Whitened templates at ln(1+z) = shift * step, shape (n_pix, n_templates); continua by 4-point interpolation."""
    space = _workspace(problem, basis)
    _scan(problem, basis, np.array([shift], dtype=float), space, np.empty(1))
    return space.design[: problem.data.size, 1 + problem.poly.shape[1] :].copy()


def solve_at(problem: Problem, basis: Basis, shift: float) -> tuple[float, np.ndarray, np.ndarray]:
    """chi2, template coefficients and polynomial coefficients at ln(1+z) = shift * step."""
    space = _workspace(problem, basis)
    chi2 = np.empty(1)
    _scan(problem, basis, np.array([shift], dtype=float), space, chi2)
    design = space.design[: problem.data.size, 1 + problem.poly.shape[1] :]
    poly = problem.poly_inverse @ (problem.poly.T @ (problem.data - design @ space.x))
    return float(chi2[0]), space.x, poly


@numba.njit(cache=True)
def _scan(problem: Problem, basis: Basis, shifts: np.ndarray, space: Workspace, chi2: np.ndarray) -> None:
    for i in range(shifts.size):
        _fill_design(problem, basis, shifts[i], space)
        chi2[i] = _solve(problem, basis, shifts[i], space)


@numba.njit(cache=True)
def _fill_design(problem: Problem, basis: Basis, shift: float, space: Workspace) -> None:
    n_pix, n, start = problem.data.size, basis.rest.shape[1], 1 + problem.poly.shape[1]
    design, blocks = space.design, space.blocks
    for p in range(n_pix):
        for j in range(start + n, design.shape[1]):
            design[p, j] = 0.0
    whole = int(np.floor(shift + 1e-9))
    t = shift - whole
    if abs(t) < 1e-9:
        _continuum_at(problem, basis, whole, design, start)
    else:
        for k in range(4):
            node = whole - 1 + k
            if space.held[node % 4] != node:
                _continuum_at(problem, basis, node, blocks[node % 4], start)
                space.held[node % 4] = node
        f0, f1 = -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2
        f2, f3 = -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6
        b0, b1, b2, b3 = blocks[(whole - 1) % 4], blocks[whole % 4], blocks[(whole + 1) % 4], blocks[(whole + 2) % 4]
        for p in range(n_pix):
            for j in range(start, start + n):
                design[p, j] = f0 * b0[p, j] + f1 * b1[p, j] + f2 * b2[p, j] + f3 * b3[p, j]
    stretch = np.exp(shift * basis.step)
    fill_lines(design, start + n, stretch, basis.table, problem.low, problem.high, problem.lsf, problem.root_ivar)


@numba.njit(cache=True)
def _continuum_at(problem: Problem, basis: Basis, node: int, out: np.ndarray, first_column: int) -> None:
    uv = basis.uv[min(max(node, 0), basis.uv.shape[0] - 1)]
    lowest = problem.response.start - node
    fill_continua(out, first_column, basis.rest, lowest, uv, problem.response, problem.root_ivar)


@numba.njit(cache=True)
def _solve(problem: Problem, basis: Basis, shift: float, space: Workspace) -> float:
    """Non-negative fit with the polynomial eliminated; writes space.x, returns chi2."""
    m = 1 + problem.poly.shape[1]
    nnls.gram_into(space.design, m + basis.rest.shape[1], space.gram)
    n = space.x.size
    gram, rhs = np.empty((n, n)), np.empty(n)
    for i in range(n):
        rhs[i] = space.gram[0, m + i]
        for j in range(n):
            gram[i, j] = space.gram[m + i, m + j]
    total = space.gram[0, 0]
    for a in range(1, m):
        for c in range(1, m):
            u = problem.poly_inverse[a - 1, c - 1]
            total -= u * space.gram[a, 0] * space.gram[c, 0]
            for i in range(n):
                v = u * space.gram[a, m + i]
                rhs[i] -= v * space.gram[c, 0]
                for j in range(n):
                    gram[i, j] -= v * space.gram[c, m + j]
    z = np.exp(shift * basis.step) - 1.0
    for j in range(n):
        if z > basis.z_max[j]:
            gram[j, j] = 0.0
    x = space.x
    nnls.solve_into(gram, rhs, x)
    value = total
    for i in range(n):
        if x[i] > 0.0:
            inner = 0.0
            for j in range(n):
                if x[j] > 0.0:
                    inner += gram[i, j] * x[j]
            value += x[i] * (inner - 2.0 * rhs[i])
    return value
