"""Templates as columns: what they give in the pixels of a spectrum at one redshift.

Columns are of two kinds. Broad ones, continua and broad lines, change slowly with redshift; narrow lines are sharp and
fill few pixels.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numba
import numpy as np

from .continuum import fill_continua
from .lines import LineTable, fill_lines, find_rows, line_table
from .lsf import FWHM_TO_SIGMA, Response, pixel_edges, resolving_power, response_matrix
from .templates import GridTemplates, uv_stride

BROAD_KMS = 400.0
"""Lines of a larger sigma count as broad."""
FAINT = 1e-4
"""A continuum whose brightest pixel has less than this share of its peak does not enter the fit."""


class Pixels(NamedTuple):
    """The pixels of a spectrum (or of all spectra on one grid) as templates see them; or blocks of them."""

    low: np.ndarray  # (n_pix,) um
    high: np.ndarray
    lsf: np.ndarray  # (n_pix,) sigma / wavelength
    response: Response


class Sampling(NamedTuple):
    """Where templates are sampled: narrow lines on bins of pixels, continua and broad lines on blocks of bins."""

    bins: Pixels
    blocks: Pixels
    block: int  # bins in a block


class Basis(NamedTuple):
    """Templates as the compiled code takes them."""

    rest: np.ndarray  # (n_bins, n_rest, n_continua)
    z_nodes: np.ndarray  # (n_bins,)
    uv: np.ndarray  # (n_wings, n_uv_shifts, n_uv)
    wing: np.ndarray  # (n_continua,) int64
    uv_stride: int
    step: float
    peak: np.ndarray  # (n_continua,)
    broad: LineTable
    narrow: LineTable
    order: np.ndarray  # (n_columns,) place in GridTemplates.names of each column: continua, broad lines, narrow lines
    z_min: np.ndarray  # (n_columns,)
    z_max: np.ndarray

    @property
    def n_broad(self) -> int:
        """Continua and broad lines, which come first."""
        return self.rest.shape[2] + self.broad.n_groups


class Columns(NamedTuple):
    """Columns of one kind at one redshift, those that have light in some pixel."""

    columns: np.ndarray  # (n,) int64, in the order of Basis
    rows: np.ndarray  # (n_rows,) int64, pixels that have light
    values: np.ndarray  # (n_rows, n)


@functools.lru_cache(maxsize=3)
def basis_of(grid: GridTemplates) -> Basis:
    """Sort the templates of a grid into broad and narrow ones."""
    groups = grid.groups
    is_broad = np.array([one.sigma_v > BROAD_KMS for one in groups], dtype=bool)
    n = grid.n_continua
    order = np.concatenate([np.arange(n), n + np.flatnonzero(is_broad), n + np.flatnonzero(~is_broad)])
    return Basis(
        grid.rest,
        grid.z_nodes,
        grid.uv,
        grid.wing,
        uv_stride(grid.step),
        grid.step,
        grid.rest.max(axis=(0, 1)),
        line_table(tuple(one for one, yes in zip(groups, is_broad, strict=True) if yes)),
        line_table(tuple(one for one, yes in zip(groups, is_broad, strict=True) if not yes)),
        order,
        grid.z_min[order],
        grid.z_max[order],
    )


def sampling_of(
    wave: np.ndarray,
    grating: str,
    grid: GridTemplates,
    *,
    lsf_factor: float | None = None,
    width: int = 1,
    block: int = 1,
) -> Sampling:
    """Bins of `width` pixels with centres `wave` [um, increasing] of a disperser, and blocks of `block` bins."""
    low, high = pixel_edges(wave)
    lsf = FWHM_TO_SIGMA / resolving_power(grating, wave, lsf_factor)

    def runs(width: int) -> Pixels:
        first = np.arange(0, low.size, width)
        last = np.minimum(first + width, low.size) - 1
        left, right, sigma = low[first], high[last], lsf[(first + last) // 2]
        scale = sigma * 0.5 * (left + right)
        return Pixels(left, right, sigma, response_matrix(left, right, scale, step=grid.step, wave_zero=grid.wave_min))

    return Sampling(runs(width), runs(width * block), block)


@numba.njit(cache=True)
def lagrange(offset: float, size: int) -> np.ndarray:
    """Weights of `size` equidistant points for a place `offset` (0 to 1) behind the middle one, shape (size,)."""
    out = np.ones(size)
    for k in range(size):
        for other in range(size):
            if other != k:
                out[k] *= (offset + size // 2 - 1 - other) / (k - other)
    return out


def in_limits(basis: Basis, shift: float | np.ndarray) -> np.ndarray:
    """Which columns may be used at ln(1+z) = shift * step: bool, (n_columns,), or (n, n_columns) of (n, 1) shifts."""
    z = np.expm1(shift * basis.step)
    return (z <= basis.z_max) & (z >= basis.z_min)


def broad_columns(basis: Basis, pixels: Pixels, shift: float, *, limits: bool = True) -> Columns:
    """Continua and broad lines at ln(1+z) = shift * step; between whole shifts by four-point interpolation."""
    n, m, stretch = basis.rest.shape[2], basis.broad.n_groups, np.exp(shift * basis.step)
    allowed = in_limits(basis, shift)[: n + m] if limits else np.ones(n + m, dtype=bool)
    use = np.flatnonzero(allowed[:n])
    values = np.zeros((pixels.low.size, use.size + m))
    whole = int(np.floor(shift + 1e-9))
    t = shift - whole
    if abs(t) < 1e-9:
        _continua(values, basis, pixels.response, use, whole, 1.0)
    else:
        for k, weight in enumerate(lagrange(t, 4)):
            _continua(values, basis, pixels.response, use, whole - 1 + k, weight)
    fill_lines(values, use.size, stretch, basis.broad, pixels.low, pixels.high, pixels.lsf, np.empty(0, dtype=np.int64))
    floor = np.concatenate([FAINT * basis.peak[use], np.zeros(m)])
    index = np.concatenate([use, np.arange(n, n + m)])
    alive = (values.max(axis=0) > floor) & allowed[index]
    return Columns(index[alive], np.arange(pixels.low.size), np.ascontiguousarray(values[:, alive]))


def narrow_columns(basis: Basis, pixels: Pixels, shift: float, *, limits: bool = True) -> Columns:
    """Narrow lines at ln(1+z) = shift * step, on the pixels they reach."""
    stretch = np.exp(shift * basis.step)
    reach = np.empty(pixels.low.size, dtype=np.int64)
    n_rows = find_rows(reach, stretch, basis.narrow, pixels.low, pixels.high, pixels.lsf)
    rows = np.flatnonzero(reach >= 0)
    values = np.zeros((n_rows, basis.narrow.n_groups))
    fill_lines(values, 0, stretch, basis.narrow, pixels.low, pixels.high, pixels.lsf, reach)
    alive = (values.max(axis=0) > 0) if n_rows else np.zeros(basis.narrow.n_groups, dtype=bool)
    if limits:
        alive &= in_limits(basis, shift)[basis.n_broad :]
    index = np.flatnonzero(alive)
    return Columns(basis.n_broad + index, rows, np.ascontiguousarray(values[:, index]))


def dense_columns(basis: Basis, pixels: Pixels, shift: float) -> np.ndarray:
    """All columns on all pixels in the order of GridTemplates.names, shape (n_pix, n_columns); 0 where not alive."""
    parts = broad_columns(basis, pixels, shift), narrow_columns(basis, pixels, shift)
    return on_pixels(basis, parts, pixels.low.size)


def on_pixels(basis: Basis, parts: tuple[Columns, Columns], n_pix: int) -> np.ndarray:
    """Columns of both kinds as one matrix, shape (n_pix, n_columns), in the order of GridTemplates.names."""
    out = np.zeros((n_pix, basis.order.size))
    for part in parts:
        out[np.ix_(part.rows, basis.order[part.columns])] = part.values
    return out


@numba.njit(cache=True)
def _continua(values: np.ndarray, basis: Basis, response: Response, use: np.ndarray, node: int, weight: float) -> None:
    z = np.exp(node * basis.step) - 1.0
    upper = np.searchsorted(basis.z_nodes, z)
    low = min(max(upper - 1, 0), basis.z_nodes.size - 1)
    high = min(upper, basis.z_nodes.size - 1)
    share = 0.0
    if high > low:
        share = (z - basis.z_nodes[low]) / (basis.z_nodes[high] - basis.z_nodes[low])
    near = (max(node, 0) + basis.uv_stride // 2) // basis.uv_stride
    uv = basis.uv[:, min(near, basis.uv.shape[1] - 1)]
    rest = (basis.rest[low], basis.rest[high])
    fill_continua(values, rest, use, share, response.start - node, (uv, basis.wing), response, weight)
