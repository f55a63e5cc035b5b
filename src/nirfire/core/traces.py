"""Masks of traces: the pixels between two curves on the detector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Band(NamedTuple):
    """The light of one aperture: what lies between the images of its two ends.

    Attributes
    ----------
    x_lower, lower : ndarray, shape (n,) [pixel]
        Columns and rows of points along the one edge, in order (columns rise or fall).
    x_upper, upper : ndarray, shape (n,) [pixel]
        The same for the other edge. Which of the two has the larger rows does not matter.
    """

    x_lower: Array
    lower: Array
    x_upper: Array
    upper: Array


def bands_mask(
    bands: Iterable[Band], shape: tuple[int, int], *, margin: int = 0, pad: float = 0.0
) -> NDArray[np.bool_]:
    """Pixels that lie in at least one band, if only in part.

    Parameters
    ----------
    bands : iterable of Band
        Positions are 0-indexed, whole at pixel centres; parts that miss the image are left out.
    shape : tuple of 2 int
        (n_y, n_x) of the image.
    margin : int
        Rows added above and below each band.
    pad : float
        Columns by which each band is continued at either end, along its last slope.

    Returns
    -------
    ndarray of bool, shape (n_y, n_x)

    Notes
    -----
    Between their points the edges are straight. The cost is that of one pass over the image, whatever the number of
    bands: the first and the last row of each column of each band are counted up and down, and summed along the columns.
    """
    n_y, n_x = shape
    steps = np.zeros((n_y + 1, n_x), dtype=np.int16)
    for band in bands:
        first = max(int(np.ceil(min(band.x_lower.min(), band.x_upper.min()) - pad - 0.5)), 0)
        last = min(int(np.floor(max(band.x_lower.max(), band.x_upper.max()) + pad + 0.5)), n_x - 1)
        columns = np.arange(first, last + 1)
        if not columns.size:
            continue
        edges = np.sort(
            [rows_at(columns, band.x_lower, band.lower), rows_at(columns, band.x_upper, band.upper)], axis=0
        )
        start = np.clip(np.ceil(edges[0] - 0.5).astype(int) - margin, 0, n_y)
        stop = np.clip(np.floor(edges[1] + 0.5).astype(int) + margin + 1, 0, n_y)
        steps[start, columns] += 1
        steps[stop, columns] -= 1
    for row in range(1, n_y):  # np.cumsum along the columns of an image takes ten times as long
        steps[row] += steps[row - 1]
    return steps[:-1] > 0


def rows_at(columns: NDArray[np.int_], x: Array, y: Array) -> Array:
    """Rows of a curve given by points, at some columns.

    Parameters
    ----------
    columns : ndarray of int, shape (n_columns,)
    x, y : ndarray, shape (n,) [pixel]
        Points in order, n >= 2; x rises or falls, and may stand still at the ends.

    Returns
    -------
    ndarray, shape (n_columns,) [pixel]
        Straight between the points; beyond the first and the last one, the straight line is continued (level where the
        two points at that end share a column).
    """
    if x[0] > x[-1]:
        x, y = x[::-1], y[::-1]
    rows = np.interp(columns, x, y)
    for end, inner in ((0, 1), (-1, -2)):
        run = x[inner] - x[end]
        slope = (y[inner] - y[end]) / run if run else 0.0
        beyond = columns < x[0] if end == 0 else columns > x[-1]
        rows[beyond] += slope * (columns[beyond] - x[end])
    return rows
