"""The background of a count-rate image: what it is fitted to, which components it has, and what a fit gives."""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BANDS = 4  # outputs of the detector, 512 rows each in science orientation
MAD_TO_SIGMA = 1.482602218505602
SAMPLE = 100_000
"""Pixels that a level or a scatter for clipping is taken of: known to 0.4 % of the scatter then."""


class Sky(IntFlag):
    """Bits of BKGMASK: the first for pixels of the fit, the others say why a pixel is none of it."""

    FITTED = 1
    TRACE = 2
    FAILED_OPEN = 4
    FIXED_SLIT = 8
    BAD = 16
    ORDER = 32
    HALO = 64
    MANUAL = 128


class BackgroundOptions(NamedTuple):
    """Which components are fitted, and how often.

    Attributes
    ----------
    n_iter : int
        Passes over all components; the joint solution stops earlier when it has settled.
    boxes : int
        The smooth surface is measured in `boxes` x `boxes` boxes.
    picture_frame, surface, columns, rows : bool
        Switches of the components.
    """

    n_iter: int = 5
    boxes: int = 8
    picture_frame: bool = True
    surface: bool = True
    columns: bool = True
    rows: bool = False


class Background(NamedTuple):
    """A fitted background.

    Attributes
    ----------
    parts : dict of ndarray, shape (n_y, n_x) [DN/s]
        Components by name, among picture_frame (band pedestals included), surface, columns, rows.
    scale, scale_err : ndarray, shape (BANDS,)
        Factor on the picture frame in each band, and its standard error (NaN where none is known).
    pedestal, pedestal_err : ndarray, shape (BANDS,) [DN/s]
        Level of each band.
    changes : ndarray, shape (n_pass,) [DN/s]
        Standard deviation of what each pass changed, a measure of convergence.
    n_effective : float
        Effective number of fitted parameters.
    """

    parts: dict[str, NDArray]
    scale: NDArray
    scale_err: NDArray
    pedestal: NDArray
    pedestal_err: NDArray
    changes: NDArray
    n_effective: float

    @property
    def total(self) -> NDArray:
        """Sum of all components, shape (n_y, n_x) [DN/s]; the number 0 when there is none."""
        return np.asarray(sum(self.parts.values(), np.zeros(())))


def spread_sample(image: NDArray, keep: NDArray, size: int = SAMPLE) -> NDArray:
    """About `size` of the pixels to keep, spread over the image; all when there are fewer.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
    keep : ndarray of bool, shape (n_y, n_x)
    size : int

    Returns
    -------
    ndarray, shape (n,)
    """
    step = int(np.count_nonzero(keep)) // size | 1  # odd, so that it walks through the columns
    return np.asarray(image.ravel()[::step][keep.ravel()[::step]])


def robust_width(values: NDArray) -> tuple[float, float]:
    """Median, and the standard deviation of a Gaussian with the same median absolute deviation.

    Parameters
    ----------
    values : ndarray
        Any distribution; it needs no clipping.

    Returns
    -------
    centre, sigma : float
    """
    centre = np.median(values)
    return float(centre), float(MAD_TO_SIGMA * np.median(np.abs(values - centre)))


def band_rows(values: NDArray, n_y: int) -> NDArray:
    """One value for each band as a column for each row of an image, shape (n_y, 1)."""
    sizes = [len(part) for part in np.array_split(np.arange(n_y), BANDS)]
    return np.repeat(values, sizes)[:, np.newaxis]


def block_means(image: NDArray, size: tuple[int, int]) -> NDArray:
    """Means of blocks of size[0] rows and size[1] columns; an incomplete block at the edge counts what it has."""
    starts = [np.arange(0, n, s) for n, s in zip(image.shape, size, strict=True)]
    total = np.add.reduceat(np.add.reduceat(image, starts[0], axis=0, dtype=float), starts[1], axis=1)
    counts = [np.diff(np.append(s, n)) for s, n in zip(starts, image.shape, strict=True)]
    return total / np.outer(*counts)


def line_medians(image: NDArray, usable: NDArray, *, axis: int, n_least: int = 20) -> NDArray:
    """Median of the usable pixels of every column (axis 0) or row (axis 1).

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Count rates.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels to use.
    axis : int
        Axis along which the median runs.
    n_least : int
        A line with fewer usable pixels gets the median of all lines.

    Returns
    -------
    ndarray
        Shape (n_x,) or (n_y,); ranked in single precision.
    """
    values = np.sort(np.where(usable, image, np.inf).astype(np.float32), axis=axis)
    n = usable.sum(axis=axis)
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, image.shape[axis] - 1)
    pick = [np.take_along_axis(values, np.expand_dims(k, axis), axis=axis).squeeze(axis) for k in (low, high)]
    enough = n >= n_least
    medians = np.zeros(n.shape)
    medians[enough] = 0.5 * (pick[0] + pick[1])[enough]
    return np.where(enough, medians, np.median(medians[enough]) if enough.any() else 0.0)
