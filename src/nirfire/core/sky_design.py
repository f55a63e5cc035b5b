"""The linear algebra of the sky model: pixels in a row, nodes of its functions, derivatives of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.sparse import csr_matrix

from nirfire.core.sky_slit import SkySlit

Array = NDArray[np.float64]
Ints = NDArray[np.int_]

OPEN_HEIGHT = 0.8745
"""Open share of the pitch along the slitlet (1 / 1.1435, as the stock WCS has it)."""
PIXEL = 0.2
"""[pitch] Height of a pixel to which brightness refers."""
PER_NODE = 40
"""Blank pixels for each node of the spectrum, at least: their noise then adds 2.5 per cent to a pixel's variance."""
PHASES = np.linspace(-0.5, 0.5, 21)
DISTANCES = np.array([0.5, 0.75, 1.0, 1.25, 1.5, 1.8, 2.2, 2.8, 3.5])
KINDS = 3  # open beside open, open beside closed, closed beside open
SLOPE_STEP = 12  # pixels between nodes of the slope of the calibration
CORE_REACH = 0.5  # [pitch] what counts as the light of a source
SMOOTH = 21  # pixels over which a source's light is averaged
FIELD_ORDERS = ((12, 5), (5, 2))  # slitlets at least, terms of the field


class Grids(NamedTuple):
    """Nodes of the functions, and scales.

    Attributes
    ----------
    nodes : ndarray, shape (n_nodes,) [um]
        Of the spectrum.
    native : ndarray, shape (n_nodes,) [um]
        Wavelength step of a pixel there.
    coarse : ndarray, shape (n_coarse,) [um]
        Nodes of the slope of the calibration.
    n_terms : int
        Terms of the polynomial over the field.
    centre, half : ndarray, shape (2,) [arcsec]
        Centre and half width of the field.
    """

    nodes: Array
    native: Array
    coarse: Array
    n_terms: int
    centre: Array
    half: Array


class Blocks(NamedTuple):
    """Where each part of the model lies among the parameters."""

    spectrum: slice
    slope_of_calibration: slice
    bars: slice
    wings: slice
    field: slice
    own: slice
    slope: slice
    brightness: slice

    @classmethod
    def of(cls, grids: Grids, n_slits: int) -> Blocks:
        """Lay out the parameters."""
        sizes = (len(grids.nodes), len(grids.coarse), 2 * KINDS * len(PHASES), 3 * len(DISTANCES), grids.n_terms)
        ends = np.cumsum([0, *sizes, n_slits, n_slits, n_slits]).tolist()
        return cls(*(slice(a, b) for a, b in pairwise(ends)))

    @property
    def size(self) -> int:
        return self.brightness.stop

    @property
    def rest(self) -> int:
        """Where the parameters after the spectrum begin."""
        return self.spectrum.stop

    def parts(self) -> dict[str, slice]:
        """By name."""
        return self._asdict()


@dataclass(frozen=True)
class Pixels:
    """Pixels of all slitlets in a row, n of them.

    Attributes
    ----------
    flux, ivar, wave, u, shift : ndarray, shape (n,)
        `u` is the scaled logarithm of the wavelength, -1 to 1; `shift` is in pixels.
    open : ndarray, shape (n,)
        Open share of a pixel, by geometry.
    kind, phase : ndarray, shape (n,)
        Which of the bars' tables holds (-1: none), and the place in the shutter [pitch].
    distance : ndarray, shape (n,) [pitch]
    slit, shutter, column : ndarray of int, shape (n,)
        Running numbers.
    blank, core : ndarray of bool, shape (n,)
        Sky only, apart from wings; light of a source.
    beside : ndarray of bool, shape (n_shutters,)
        The shutter is next to that of a source.
    terms : ndarray, shape (n_slits, n_terms)
        Polynomial of the field.
    """

    flux: Array
    ivar: Array
    wave: Array
    u: Array
    shift: Array
    open: Array
    kind: Ints
    phase: Array
    distance: Array
    slit: Ints
    shutter: Ints
    column: Ints
    blank: NDArray[np.bool_]
    core: NDArray[np.bool_]
    beside: NDArray[np.bool_]
    terms: Array
    starts: Ints

    @property
    def n_shutters(self) -> int:
        return len(self.beside)


class Prediction(NamedTuple):
    """The model in each pixel: spectrum, even light in a slitlet of scale one, scale, their product, and wings."""

    spectrum: Array
    even: Array
    scale: Array
    sky: Array
    wings: Array


def make_grids(slits: Sequence[SkySlit], n_blank: int) -> Grids:
    """Choose nodes for the spectrum: as far apart as pixels, or further where pixels are few."""
    wave, step = zip(*map(_steps, slits), strict=True)
    at, size = np.concatenate(wave), np.concatenate(step)
    edges = np.linspace(at.min(), at.max(), 61)
    middle = 0.5 * (edges[1:] + edges[:-1])
    groups = [size[(at >= low) & (at <= high)] for low, high in pairwise(edges)]
    found = np.array([np.median(g) if len(g) else np.nan for g in groups])
    have = np.isfinite(found)
    fine = np.linspace(at.min(), at.max(), 20001)
    native = np.interp(fine, middle[have], found[have])
    count = np.concatenate([[0.0], np.cumsum(np.diff(fine) / native[1:])])
    spacing = max(1.0, PER_NODE * count[-1] / n_blank)
    nodes = np.interp(np.linspace(0, count[-1], max(8, int(count[-1] / spacing) + 1)), count, fine)
    coarse = np.interp(np.linspace(0, count[-1], max(4, int(count[-1] / SLOPE_STEP))), count, fine)
    places = np.array([s.place for s in slits])
    half = np.maximum(0.5 * np.ptp(places, axis=0), 1.0)
    n_terms = next((n for least, n in FIELD_ORDERS if len(slits) >= least), 0)
    centre = 0.5 * (places.min(axis=0) + places.max(axis=0))
    return Grids(nodes, np.interp(nodes, fine, native), coarse, n_terms, centre, half)


def _steps(slit: SkySlit) -> tuple[Array, Array]:
    """Wavelengths along the row with most blank pixels, and the steps from pixel to pixel there."""
    row = slit.wave[int(np.argmax(np.sum(slit.blank, axis=1)))]
    step, known = np.abs(np.gradient(row)), np.pad(row > 0, 1, mode="edge")
    good = known[:-2] & known[1:-1] & known[2:] & (step > 0) & slit.blank.any(axis=0)
    return row[good], step[good]


def own_place(place: Array, grids: Grids) -> Array:
    """Place in the field, -1 to 1, shape (2,)."""
    return (place - grids.centre) / grids.half


def place_terms(at: Array, n_terms: int) -> Array:
    """Terms of the polynomial over the field, shape (n_terms,)."""
    x, y = float(at[0]), float(at[1])
    return np.array([x, y, x * x - 1 / 3, x * y, y * y - 1 / 3])[:n_terms]


def open_share(edges: Array, shutters: Sequence[int]) -> Array:
    """Open length of pixels along the slitlet over `PIXEL`, shape (n_spat, n_wave)."""
    half = OPEN_HEIGHT / 2
    parts = [np.abs(np.diff(np.clip(edges, k - half, k + half), axis=0)) for k in shutters]
    return np.sum(parts, axis=0) / PIXEL if parts else np.zeros(edges[1:].shape)


def _kinds(y: Array, shutters: Sequence[int]) -> tuple[Ints, Array]:
    """Which table of the bars holds, and the place in the shutter."""
    shutter = np.rint(y)
    phase = y - shutter
    here = np.isin(shutter, shutters)
    beyond = np.isin(shutter + np.where(phase >= 0, 1, -1), shutters)
    return np.select([here & beyond, here, beyond], [0, 1, 2], -1), phase


def flatten(slits: Sequence[SkySlit], grids: Grids, *, everything: bool = False) -> Pixels:
    """Put the pixels of all slitlets in a row; those that tell nothing are left out unless `everything` is wanted."""
    rows: dict[str, list[NDArray[Any]]] = {}
    beside: list[bool] = []
    starts = [0]
    for k, slit in enumerate(slits):
        y = slit.y
        kind, phase = _kinds(y, slit.shutters)
        shutter = np.rint(y).astype(int)
        lowest = min(slit.shutters, default=0) - 1
        n = max(slit.shutters, default=0) - lowest + 2
        homes = {round(s) for s in slit.sources}
        number = len(beside) + np.clip(shutter - lowest, 0, n - 1)
        beside += [any(abs(lowest + j - home) <= 1 for home in homes) for j in range(n)]
        native = np.interp(slit.wave, grids.nodes, grids.native)
        everywhere = np.ones(y.shape, dtype=bool)
        keep = everywhere if everything else (slit.ivar > 0) & (slit.wave > 0)
        column = starts[-1] + np.broadcast_to(np.arange(y.shape[1]), y.shape)
        starts.append(starts[-1] + y.shape[1])
        arrays = {
            **{"flux": slit.flux, "ivar": slit.ivar, "wave": slit.wave, "shift": slit.shift / native},
            **{"u": _scaled(slit.wave, grids), "open": open_share(slit.edges, slit.shutters)},
            **{"kind": kind, "phase": phase, "distance": slit.distance, "slit": np.full(y.shape, k)},
            **{"shutter": number, "column": column, "blank": slit.blank},
            "core": np.isfinite(slit.distance) & (slit.distance <= CORE_REACH),
        }
        for name, array in arrays.items():
            rows.setdefault(name, []).append(array[keep])
    joined: dict[str, Any] = {name: np.concatenate(parts) for name, parts in rows.items()}
    terms = np.array([place_terms(own_place(s.place, grids), grids.n_terms) for s in slits])
    return Pixels(
        **joined, beside=np.array(beside), terms=terms.reshape(len(slits), grids.n_terms), starts=np.array(starts)
    )


def _scaled(wave: Array, grids: Grids) -> Array:
    low, high = np.log(grids.nodes[0]), np.log(grids.nodes[-1])
    return np.clip(2 * (np.log(np.maximum(wave, 1e-6)) - low) / (high - low) - 1, -1, 1)


def _hats(nodes: Array, at: Array) -> tuple[Ints, Array]:
    """Left node and weight of the right one, for linear interpolation; constant beyond the ends."""
    k = np.clip(np.searchsorted(nodes, at) - 1, 0, len(nodes) - 2)
    return k, np.clip((at - nodes[k]) / (nodes[k + 1] - nodes[k]), 0.0, 1.0)


def _interpolate(values: Array, hats: tuple[Ints, Array]) -> Array:
    k, t = hats
    return (1 - t) * values[k] + t * values[k + 1]


def profile(p: Pixels, values: Array, grids: Grids, variance: Array | None = None) -> tuple[Array, Array]:
    """Even light in each pixel behind the bars, relative to an open one, and the variance of its measured part."""
    n = len(PHASES)
    bars = values[Blocks.of(grids, 0).bars].reshape(2, KINDS, n)
    spread = np.zeros(bars.shape) if variance is None else variance.reshape(bars.shape)
    hats = _hats(PHASES, p.phase)
    total, error = p.open.copy(), np.zeros(p.open.shape)
    for kind in range(KINDS):
        mine = p.kind == kind
        some = (hats[0][mine], hats[1][mine])
        total[mine] += _interpolate(bars[0, kind], some) + p.u[mine] * _interpolate(bars[1, kind], some)
        error[mine] = _interpolate(spread[0, kind], some) + p.u[mine] ** 2 * _interpolate(spread[1, kind], some)
    return total, error


def _wing_shape(p: Pixels, values: Array, grids: Grids) -> Array:
    """Light of a source of unit flux per column in each pixel, shape (n,)."""
    table = values[Blocks.of(grids, 0).wings].reshape(3, -1)
    hats = _hats(DISTANCES, np.minimum(p.distance, DISTANCES[-1]))
    shape = sum(_interpolate(row, hats) * p.u**power for power, row in enumerate(table))
    return np.where(p.distance < DISTANCES[-1], shape * p.open, 0.0)


def prediction(
    p: Pixels, values: Array, grids: Grids, blocks: Blocks | None = None, light: Array | None = None
) -> Prediction:
    """Evaluate the model; without `blocks` all slitlets have scale one, without `light` there are no wings."""
    shared = Blocks.of(grids, 0)
    spectrum = _interpolate(values[shared.spectrum], _hats(grids.nodes, p.wave))
    slope = _interpolate(values[shared.slope_of_calibration], _hats(grids.coarse, p.wave))
    even = spectrum * profile(p, values, grids)[0] * (1 + slope * p.shift)
    wings = np.zeros(len(p.wave))
    if blocks is None:
        return Prediction(spectrum, even, np.ones(len(p.wave)), even, wings)
    scale = (1 + values[blocks.own] + p.terms @ values[blocks.field])[p.slit] + values[blocks.slope][p.slit] * p.u
    if light is not None:
        wings = light * _wing_shape(p, values, grids) * (1 + values[blocks.brightness])[p.slit]
    return Prediction(spectrum, even, scale, scale * even, wings)


def source_light(p: Pixels, values: Array, grids: Grids, blocks: Blocks) -> Array:
    """Light of the sources in the column of each pixel, smoothed along the dispersion, shape (n,)."""
    at = prediction(p, values, grids, blocks)
    mine = p.core & (p.ivar > 0)
    total = np.bincount(p.column[mine], (p.flux - at.sky)[mine], minlength=p.starts[-1])
    smooth = np.concatenate(
        [uniform_filter1d(total[a:b], SMOOTH) for a, b in zip(p.starts[:-1], p.starts[1:], strict=True)]
    )
    return np.maximum(smooth, 0.0)[p.column]


def columns(p: Pixels, keep: Ints, values: Array, grids: Grids, blocks: Blocks, light: Array) -> csr_matrix:
    """Derivatives of the model by its parameters in some pixels, shape (n_keep, size)."""
    at = prediction(p, values, grids, blocks, light)
    bars = profile(p, values, grids)[0]
    even, spectrum, scale, wings = (a[keep] for a in (at.even, at.spectrum, at.scale, at.wings))
    u, slit, row = p.u[keep], p.slit[keep], np.arange(len(keep))
    rows, cols, data = [], [], []

    def add(first: int | Ints, number: int | Ints, value: Array) -> None:
        used = value != 0
        rows.append(row[used])
        cols.append(np.broadcast_to(first + number, used.shape)[used])
        data.append(value[used])

    def add_hats(first: int | Ints, hats: tuple[Ints, Array], value: Array) -> None:
        add(first, hats[0], (1 - hats[1]) * value)
        add(first, hats[0] + 1, hats[1] * value)

    add_hats(blocks.spectrum.start, _hats(grids.nodes, p.wave[keep]), scale * bars[keep])
    if np.any(p.shift[keep]):
        coarse = _hats(grids.coarse, p.wave[keep])
        add_hats(blocks.slope_of_calibration.start, coarse, scale * spectrum * bars[keep] * p.shift[keep])
    kind, phases = np.maximum(p.kind[keep], 0) * len(PHASES), _hats(PHASES, p.phase[keep])
    lit = np.where(p.kind[keep] >= 0, scale * spectrum, 0.0)
    for power in range(2):
        add_hats(blocks.bars.start + power * KINDS * len(PHASES) + kind, phases, lit * u**power)
    wing = light[keep] * p.open[keep] * (1 + values[blocks.brightness])[slit] * (p.distance[keep] < DISTANCES[-1])
    distances = _hats(DISTANCES, np.minimum(p.distance[keep], DISTANCES[-1]))
    for power in range(3):
        add_hats(blocks.wings.start + power * len(DISTANCES), distances, wing * u**power)
    for term in range(grids.n_terms):
        add(blocks.field.start, term, even * p.terms[slit, term])
    add(blocks.own.start, slit, even)
    add(blocks.slope.start, slit, even * u)
    add(blocks.brightness.start, slit, wings / (1 + values[blocks.brightness])[slit])
    shape = (len(keep), blocks.size)
    return csr_matrix((np.concatenate(data), (np.concatenate(rows), np.concatenate(cols))), shape=shape)
