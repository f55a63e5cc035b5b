"""Template columns at the whole shifts of a grid, kept for the next spectra while there is room."""

from __future__ import annotations

import functools

import numba
import numpy as np

from .zcolumns import Basis, Columns, Sampling, broad_columns, in_limits, lagrange, narrow_columns

ROOM = 250_000_000
"""Bytes."""
STENCIL = 6
"""Points that interpolation takes."""


def in_all(sets: list[np.ndarray]) -> np.ndarray:
    """What is in all of some sorted sets."""
    first = sets[0]
    if all(one.size == first.size and np.array_equal(one, first) for one in sets[1:]):
        return first
    return functools.reduce(functools.partial(np.intersect1d, assume_unique=True), sets)


@numba.njit(cache=True, fastmath=True)
def _add(values: np.ndarray, part: np.ndarray, weight: float) -> None:
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[i, j] += weight * part[i, j]


class Shelf:
    """Columns at whole shifts.

    Parameters
    ----------
    basis : Basis
    sampling : Sampling
    spacing : int
        Broad columns are computed at multiples of so many shifts, and interpolated between.

    Notes
    -----
    Columns do not depend on the spectra: those of a grid are computed once in a process.
    """

    def __init__(self, basis: Basis, sampling: Sampling, spacing: int = 1) -> None:
        self.basis, self.sampling, self.spacing = basis, sampling, spacing
        self._broad: dict[int, Columns] = {}
        self._narrow: dict[int, Columns] = {}
        self._room = ROOM

    def held(self, shift: int) -> Columns:
        """Broad columns at a multiple of the spacing, those alone that may be used there."""
        return self._allowed(self._lattice(shift), shift)

    def broad(self, shift: int) -> Columns:
        """Broad columns, whatever the limits of redshift say."""
        low, left = divmod(shift, self.spacing)
        if left == 0:
            return self._lattice(shift)
        around = [self._lattice((low + k) * self.spacing) for k in range(1 - STENCIL // 2, 1 + STENCIL // 2)]
        common = in_all([one.columns for one in around])
        values = np.zeros((around[0].rows.size, common.size))
        for weight, one in zip(lagrange(left / self.spacing, STENCIL), around, strict=True):
            same = one.columns.size == common.size
            part = one.values if same else one.values[:, np.searchsorted(one.columns, common)]
            _add(values, np.ascontiguousarray(part), weight)
        return Columns(common, around[0].rows, values)

    def narrow(self, shift: int, *, limits: bool = False) -> Columns:
        """Narrow columns."""
        if shift not in self._narrow:
            made = narrow_columns(self.basis, self.sampling.bins, float(shift), limits=False)
            self._keep(self._narrow, shift, made)
        else:
            made = self._narrow[shift]
        return self._allowed(made, shift) if limits else made

    def _allowed(self, kept: Columns, shift: int) -> Columns:
        alive = in_limits(self.basis, float(shift))[kept.columns]
        return kept if alive.all() else Columns(kept.columns[alive], kept.rows, kept.values[:, alive])

    def _lattice(self, shift: int) -> Columns:
        if shift in self._broad:
            return self._broad[shift]
        made = broad_columns(self.basis, self.sampling.blocks, float(shift), limits=False)
        self._keep(self._broad, shift, made)
        return made

    def _keep(self, where: dict[int, Columns], shift: int, made: Columns) -> None:
        if made.values.nbytes <= self._room:
            self._room -= made.values.nbytes
            where[shift] = made
