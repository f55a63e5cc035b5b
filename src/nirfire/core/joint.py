"""One robust least-squares solution for all components of the background of a count-rate image.

The image is modelled, for row y in band b (one detector output) and column x, as

    a_b T(y, x) + p_b + S(y, x) + sum_k c_bk(x) phi_k(y) + r(y)

with the picture frame T, a pedestal for each band, a smooth surface S (bicubic B-spline), the correlated readout noise
of every column and band (a few cosines phi_k along the fast readout direction) and row offsets r. Coefficients c, S and
r are random effects: zero on average, with variances, and for c the covariances between bands, that the data themselves
tell (empirical Bayes; MacKay 1992, Neural Computation 4, 415). A component that is not there is thus shrunk to nothing,
instead of being fitted to noise or to another component.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from nirfire.core.background import (
    BANDS,
    Background,
    BackgroundOptions,
    band_rows,
    line_medians,
    robust_width,
    spread_sample,
)

Array = NDArray[np.float64]

BLOCK = 8
"""Rows that are averaged before the solve; columns, surface and bands hardly change over them."""
MODES = 5
"""Cosines along y for the noise of a column in a band; with twice as many, residuals under traces shrink by 0.3 %."""
CLIP = 3.0
"""Pixels further off the model than this, in units of the noise, are left out."""
SETTLED = 5e-3
"""A pass that changes the background by less than this, in units of the noise, is the last."""
STEPS = 6
"""Updates of the variances in the first pass; later ones need one."""
LEAST_TOLD, TINY = 1e-6, 1e-9
BAND_SPREAD = 1.0
"""Prior scatter of pedestals between bands [noise of a pixel]; matters only in bands without sky."""
SCALE_SPREAD = 0.5
"""Prior scatter of the picture frame's scale between bands."""


class _Blocks(NamedTuple):
    """Sums over blocks of rows, each of shape (n_block, n_x)."""

    weight: Array
    data: Array
    template: Array
    square: Array
    cross: Array


class _Fixed(NamedTuple):
    """What does not change between passes."""

    template: Array
    phi: Array  # (n_block_band, n_mode)
    along_y: Array  # (n_block, n_s)
    along_x: Array  # (n_x, n_s)
    options: BackgroundOptions


class _State(NamedTuple):
    """Variances of the random effects, in units of the pixel noise squared."""

    columns: Array  # (n_mode, BANDS, BANDS)
    surface: float
    rows: float


class _Solution(NamedTuple):
    bands: Array  # (2, BANDS): scales, pedestals
    bands_err: Array
    surface: Array  # (n_s, n_s)
    columns: Array  # (n_x, BANDS, n_mode)
    n_effective: float


@njit(cache=True)
def _sum_blocks(image, weight, rows, template, block):  # type: ignore[no-untyped-def]
    n_y, n_x = image.shape
    out = np.zeros((5, n_y // block, n_x))
    for y in range(n_y):
        j = y // block
        for x in range(n_x):
            w = weight[y, x]
            if w > 0.0:
                d, t = image[y, x] - rows[y], template[y, x]
                out[0, j, x] += w
                out[1, j, x] += w * d
                out[2, j, x] += w * t
                out[3, j, x] += w * t * t
                out[4, j, x] += w * t * d
    return out


@njit(cache=True)
def _row_sums(residual, weight):  # type: ignore[no-untyped-def]
    n_y, n_x = residual.shape
    total, norm = np.zeros(n_y), np.zeros(n_y)
    for y in range(n_y):
        for x in range(n_x):
            total[y] += weight[y, x] * residual[y, x]
            norm[y] += weight[y, x]
    return total, norm


def cosines(n: int, n_mode: int) -> Array:
    """Cosines of unit mean square on `n` equal blocks, shape (n, n_mode); the first is constant."""
    phase = np.pi * (np.arange(n) + 0.5) / n
    modes = np.cos(phase[:, None] * np.arange(n_mode))
    modes[:, 1:] *= np.sqrt(2.0)
    return modes


def spline_basis(at: Array, cells: int) -> Array:
    """Cubic B-splines on `cells` equal intervals of 0 ... 1, at given places; shape (n, cells + 3)."""
    knots = np.arange(-3, cells + 4) / cells
    return np.asarray(BSpline.design_matrix(np.clip(at, 0.0, 1.0 - 1e-12), knots, 3).toarray())


def fit_joint(
    image: Array, usable: NDArray[np.bool_], variance: Array, template: Array | None, options: BackgroundOptions
) -> Background:
    """Fit all components of the background at once.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x) [DN/s]
        Count rates, finite everywhere; n_y a multiple of 32.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels free of traces and defects.
    variance : ndarray, shape (n_y, n_x) [(DN/s)^2]
        Variance of the readout noise; only its ratios between pixels matter.
    template : ndarray, shape (n_y, n_x), or None
        Picture frame [DN/s].
    options : BackgroundOptions
        Components and the largest number of passes.

    Returns
    -------
    Background
        All components.

    Raises
    ------
    ValueError
        No usable pixel, or n_y is no multiple of 32.
    """
    n_y = len(image)
    if n_y % (BANDS * BLOCK):
        raise ValueError(f"{n_y} rows are no multiple of {BANDS * BLOCK}")
    good = usable & (variance > 0)
    if not good.any():
        raise ValueError("no pixel is free of traces and defects")
    fixed = _prepare(image.shape, template if options.picture_frame else None, options)
    unit = float(np.median(variance[good]))
    relative = np.where(good, unit / np.where(good, variance, 1.0), 0.0)
    root = np.sqrt(relative)
    kept, sigma = _first_clip(image, good, root)
    state = _State(np.tile(0.05 * np.eye(BANDS), (fixed.phi.shape[1], 1, 1)), 0.01, 0.01)
    rows, total = np.zeros(n_y), np.zeros(image.shape)
    changes = []
    for k in range(options.n_iter):
        weight = np.where(kept, relative, 0.0)
        solution, state = _solve(image, weight, rows, fixed, state, sigma, STEPS if k == 0 else 1)
        parts = _evaluate(solution, fixed, image.shape)
        flat = sum(parts.values(), np.zeros(image.shape))
        if options.rows:
            rows, state = _fit_rows(image - flat, weight, state, sigma)
            parts["rows"] = np.broadcast_to(rows[:, None], image.shape)
        before, total = total, flat + rows[:, None]
        changes.append(float(np.std(total - before)))
        if k + 1 == options.n_iter or (k and changes[-1] < SETTLED * sigma):
            break
        kept, sigma = _clip(image - total, good, root)
    names = [n for n in ("picture_frame", "surface", "columns", "rows") if n in parts]
    n_rows = _effective_rows(weight, state) if options.rows else 0.0
    return Background(
        parts={n: parts[n] for n in names},
        scale=solution.bands[0],
        scale_err=solution.bands_err[0],
        pedestal=solution.bands[1],
        pedestal_err=solution.bands_err[1],
        changes=np.array(changes),
        n_effective=solution.n_effective + n_rows,
    )


def _prepare(shape: tuple[int, int], template: Array | None, options: BackgroundOptions) -> _Fixed:
    n_y, n_x = shape
    n_block = n_y // BLOCK
    cells = options.boxes
    return _Fixed(
        template=np.zeros(shape) if template is None else np.ascontiguousarray(template, dtype=float),
        phi=cosines(n_block // BANDS, MODES if options.columns else 0),
        along_y=spline_basis((np.arange(n_block) + 0.5) / n_block, cells),
        along_x=spline_basis((np.arange(n_x) + 0.5) / n_x, cells),
        options=options,
    )


def _first_clip(image: Array, good: NDArray[np.bool_], root: Array) -> tuple[NDArray[np.bool_], float]:
    """Clip about the medians of the bands' columns, before anything is fitted; every fourth row tells them."""
    start = np.zeros(image.shape)
    for band in np.array_split(np.arange(len(image)), BANDS):
        part = slice(band[0], band[-1] + 1)
        start[part] = line_medians(image[part][::4], good[part][::4], axis=0, n_least=5)
    return _clip(image - start, good, root)


def _clip(residual: Array, good: NDArray[np.bool_], root: Array) -> tuple[NDArray[np.bool_], float]:
    """Pixels within `CLIP` of the model, symmetrically, and the noise of a pixel of median variance."""
    pull = residual * root
    _, sigma = robust_width(spread_sample(pull, good))
    return good & (np.abs(pull) < CLIP * sigma), sigma


def _solve(
    image: Array, weight: Array, rows: Array, fixed: _Fixed, state: _State, sigma: float, steps: int
) -> tuple[_Solution, _State]:
    """Coefficients and variances in turns; all in units of the pixel noise."""
    sums = _sum_blocks(image / sigma, weight, rows / sigma, fixed.template / sigma, BLOCK)
    blocks = _Blocks(*sums)
    normal = _Normal(blocks, fixed)
    for _ in range(steps):
        solution, state = normal.step(state, sigma)
    return solution, state


class _Normal:
    """Normal equations of the fixed effects (bands), the surface, and the columns."""

    def __init__(self, blocks: _Blocks, fixed: _Fixed) -> None:
        self.fixed = fixed
        n_block = len(blocks.weight)
        self.n_mode, self.n_s = fixed.phi.shape[1], fixed.along_x.shape[1] if fixed.options.surface else 0
        self.band = np.repeat(np.arange(BANDS), n_block // BANDS)
        self.in_band = self.band[None, :] == np.arange(BANDS)[:, None]
        self.weight = blocks.weight
        self._global(blocks)
        self._columns(blocks)

    def _global(self, b: _Blocks) -> None:
        """Equations of scales, pedestals and surface coefficients, in this order."""
        x, y, n_s = self.fixed.along_x[:, : self.n_s], self.fixed.along_y[:, : self.n_s], self.n_s
        n = 2 * BANDS + n_s * n_s
        matrix, right = np.zeros((n, n)), np.zeros(n)
        per_band = {name: self.in_band @ getattr(b, name).sum(axis=1) for name in b._fields}
        k, p = np.arange(BANDS), np.arange(BANDS) + BANDS
        matrix[k, k], matrix[p, p] = per_band["square"], per_band["weight"]
        matrix[k, p] = matrix[p, k] = per_band["template"]
        right[k], right[p] = per_band["cross"], per_band["data"]
        if n_s:
            s = slice(2 * BANDS, n)
            for rows, sums in ((k, b.template), (p, b.weight)):
                mixed = np.einsum("bj,ji,jk->bik", self.in_band * 1.0, y, sums @ x, optimize=True)
                matrix[rows, s] = mixed.reshape(BANDS, -1)
                matrix[s, rows] = matrix[rows, s].T
            squares = np.einsum("jx,xk,xl->jkl", b.weight, x, x, optimize=True)
            matrix[s, s] = np.einsum("ji,jm,jkl->ikml", y, y, squares, optimize=True).reshape(n_s**2, n_s**2)
            right[s] = (y.T @ (b.data @ x)).ravel()
        self.matrix, self.right = matrix, right

    def _columns(self, b: _Blocks) -> None:
        """Equations of the columns, shape (n_x, BANDS n_mode, ...), and their coupling to the global parameters."""
        phi, n_mode, n_x = self.fixed.phi, self.n_mode, b.weight.shape[1]
        split = {name: getattr(b, name).reshape(BANDS, len(phi), n_x) for name in ("weight", "data", "template")}
        blocks = np.einsum("bjx,jk,jl->xbkl", split["weight"], phi, phi, optimize=True)
        inner = np.zeros((n_x, BANDS, n_mode, BANDS, n_mode))
        for band in range(BANDS):
            inner[:, band, :, band, :] = blocks[:, band]
        self.inner = inner.reshape(n_x, BANDS * n_mode, BANDS * n_mode)
        self.inner_right = np.einsum("bjx,jk->xbk", split["data"], phi).reshape(n_x, -1)
        coupling = np.zeros((n_x, BANDS, n_mode, len(self.right)))
        for band in range(BANDS):
            coupling[:, band, :, band] = split["template"][band].T @ phi
            coupling[:, band, :, BANDS + band] = split["weight"][band].T @ phi
        if self.n_s:
            y = self.fixed.along_y.reshape(BANDS, len(phi), -1)
            seen = np.einsum("bjx,jk,bji->xbki", split["weight"], phi, y, optimize=True)
            product = seen[..., :, None] * self.fixed.along_x[:, None, None, None, :]
            coupling[..., 2 * BANDS :] = product.reshape(n_x, BANDS, n_mode, self.n_s**2)
        self.coupling = coupling.reshape(n_x, BANDS * n_mode, len(self.right))

    def _penalty(self, state: _State) -> Array:
        """Prior precision of the global parameters."""
        apart = np.eye(BANDS) - 1.0 / BANDS
        penalty = np.zeros_like(self.matrix)
        penalty[:BANDS, :BANDS] = apart / SCALE_SPREAD**2 + np.eye(BANDS) * 1e-4
        penalty[BANDS : 2 * BANDS, BANDS : 2 * BANDS] = apart / BAND_SPREAD**2 + np.eye(BANDS) * 1e-6
        s = np.arange(2 * BANDS, len(penalty))
        penalty[s, s] = 1.0 / state.surface
        return penalty

    def step(self, state: _State, sigma: float) -> tuple[_Solution, _State]:
        """Best coefficients for these variances, and the variances that they suggest."""
        n_x, n_c = self.inner_right.shape
        prior = np.zeros((self.n_mode, BANDS, self.n_mode, BANDS))
        for k in range(self.n_mode):
            prior[k, :, k, :] = np.linalg.inv(state.columns[k])
        precision = prior.transpose(1, 0, 3, 2).reshape(n_c, n_c)
        inverse = np.asarray(np.linalg.inv(self.inner + precision), dtype=float)
        folded = inverse @ self.coupling
        flat, back = self.coupling.reshape(-1, len(self.right)), folded.reshape(-1, len(self.right))
        penalty = self._penalty(state)
        matrix = self.matrix + penalty - flat.T @ back
        covariance = np.linalg.inv(0.5 * (matrix + matrix.T))
        wide = covariance @ (self.right - back.T @ self.inner_right.ravel())
        alone = np.einsum("xij,xj->xi", inverse, self.inner_right)
        columns = alone - folded @ wide
        state = self._variances(state, columns, inverse, wide, np.diag(covariance))
        bands = wide[: 2 * BANDS].reshape(2, BANDS).copy()
        errors = np.sqrt(np.diag(covariance)[: 2 * BANDS]).reshape(2, BANDS)
        bands[1] *= sigma
        errors[1] *= sigma
        solution = _Solution(
            bands=bands,
            bands_err=errors,
            surface=sigma * wide[2 * BANDS :].reshape(self.n_s, self.n_s),
            columns=sigma * columns.reshape(n_x, BANDS, self.n_mode),
            n_effective=float(
                np.einsum("xij,xji->", inverse, self.inner) + np.trace(np.eye(len(wide)) - covariance @ penalty)
            ),
        )
        return solution, state

    def _variances(self, state: _State, columns: Array, inverse: Array, wide: Array, diagonal: Array) -> _State:
        """Variances that make the coefficients as large as they are expected to be after shrinkage."""
        n_x = len(columns)
        coefficients = columns.reshape(n_x, BANDS, self.n_mode)
        uncertain = inverse.reshape(n_x, BANDS, self.n_mode, BANDS, self.n_mode).mean(axis=0)
        seen = np.einsum("xbk,xck->kbc", coefficients, coefficients) / n_x
        new = [
            _covariance(old, s, uncertain[:, k, :, k])
            for k, (old, s) in enumerate(zip(state.columns, seen, strict=True))
        ]
        surface = state.surface
        if self.n_s:
            surface = _variance(surface, wide[2 * BANDS :], diagonal[2 * BANDS :])
        return state._replace(columns=np.array(new).reshape(state.columns.shape), surface=surface)


def _variance(old: float, coefficients: Array, uncertain: Array) -> float:
    """MacKay's (1992) update: sum of squares over the effective number of parameters."""
    told = max(float(np.mean(1.0 - uncertain / old)), LEAST_TOLD)
    return float(np.mean(coefficients**2)) / told + TINY


def _covariance(old: Array, seen: Array, uncertain: Array) -> Array:
    """The same for a covariance matrix, along the axes of the old one."""
    values, axes = np.linalg.eigh(old)
    told = np.maximum(1.0 - np.einsum("ji,jk,ki->i", axes, uncertain, axes) / values, LEAST_TOLD)
    stretch = axes / np.sqrt(told) @ axes.T
    return stretch @ seen @ stretch + TINY * np.eye(len(old))


def _evaluate(solution: _Solution, fixed: _Fixed, shape: tuple[int, int]) -> dict[str, Array]:
    """Images of the components."""
    n_y, size = shape[0], shape[0] // BANDS
    scale, pedestal = (band_rows(v, n_y) for v in solution.bands)
    parts = {"picture_frame": scale * fixed.template + pedestal}
    if solution.surface.size:
        y = spline_basis((np.arange(n_y) + 0.5) / n_y, fixed.options.boxes)
        parts["surface"] = y @ solution.surface @ fixed.along_x.T
    if solution.columns.size:
        phi = cosines(size, solution.columns.shape[2])
        parts["columns"] = np.concatenate([phi @ solution.columns[:, band].T for band in range(BANDS)])
    return parts


def _fit_rows(residual: Array, weight: Array, state: _State, sigma: float) -> tuple[Array, _State]:
    """Row offsets about zero, shrunk by their own variance."""
    total, norm = _row_sums(residual / sigma, weight)
    variance = state.rows
    for _ in range(STEPS):
        spread = 1.0 / (norm + 1.0 / variance)
        found = total * spread
        variance = _variance(variance, found, spread)
    return sigma * found, state._replace(rows=variance)


def _effective_rows(weight: Array, state: _State) -> float:
    norm = weight.sum(axis=1)
    return float(np.sum(norm / (norm + 1.0 / state.rows)))
