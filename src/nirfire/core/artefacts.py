"""Suspicious blobs on the sky of a cleaned count-rate image: optical shorts, snowball residues, other glows.

The image is averaged in blocks, smoothed at several widths and divided by its noise. At each width, from the narrowest
on, what exceeds the threshold is found and taken out before the next; what touches is one blob.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from nirfire.core.background import MAD_TO_SIGMA, robust_width

BLOCK = 8  # pixels
LEAST = 16  # good pixels of a block that counts, of 64
OUTLIER = 3.0  # pixels further from the median of their block, in units of its scatter, are left out
CEILING = 4.0  # what one block may contribute to a detection, in units of its error: fewer than four make none
TRACE = 129  # columns: what is masked over fewer is no trace
FOOT = 2.5  # a blob reaches down to this significance, ...
FOOT_SHARE = 0.05  # ... or to this share of its peak, whichever is higher


@dataclass(frozen=True)
class SearchOptions:
    """How blobs are searched for.

    Attributes
    ----------
    widths : tuple of float [pixel]
        Standard deviations of the Gaussians that the image is smoothed with.
    threshold : float
        Least significance of a blob's peak; `false_alarms` tells how many noise peaks reach it.
    guard : (int, int) [pixel]
        Rows and columns around traces that are not searched: wings and ends of bright traces are no artefacts.
    at_most : int
        The most significant ones are kept.
    """

    widths: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0)
    threshold: float = 5.5
    guard: tuple[int, int] = (4, 48)
    at_most: int = 50


@dataclass(frozen=True)
class Artefact:
    """A suspicious blob; rows and columns count from 0.

    Attributes
    ----------
    row, column : float [pixel]
        Centre, weighted with the surface brightness.
    height, width : int [pixel]
        Extent in rows and in columns.
    area : int [pixel]
        Sky pixels in it.
    significance : float
        Of its peak at the width where that is highest, in units of the smoothed image's noise; negative for a hole.
    flux : float [DN/s]
        Sum over its sky pixels.
    outline : ndarray, shape (n, 2) [pixel]
        Column and row of the corners of a convex polygon that covers it and a rim of 8 pixels.
    """

    row: float
    column: float
    height: int
    width: int
    area: int
    significance: float
    flux: float
    outline: NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """An image averaged in square blocks: mean, inverse variance (0 = no information) and pixels, shape (n_y, n_x)."""

    mean: NDArray[np.float64]
    ivar: NDArray[np.float64]
    count: NDArray[np.int64]


def find_artefacts(
    sci: NDArray[np.floating],
    err: NDArray[np.floating],
    sky: NDArray[np.bool_],
    options: SearchOptions | None = None,
) -> list[Artefact]:
    """Find blobs, brighter or darker than the sky, that are wider than a few pixels.

    Parameters
    ----------
    sci, err : ndarray, shape (n_y, n_x) [DN/s]
        Cleaned count rate and its error; what is not finite is not used.
    sky : ndarray of bool, shape (n_y, n_x)
        True off traces and bad pixels.
    options : SearchOptions, optional
        How to search.

    Returns
    -------
    list of Artefact
        The most significant first. An image without sky has none.

    Notes
    -----
    Smoothed with a Gaussian k, the significance is sum(k w d) / sqrt(sum(k^2 w)) with w = 1 / err^2, less its median
    and divided by its own robust scatter where that exceeds 1: correlated noise that cleaning has left raises the
    threshold by itself. Cosmic rays and hot pixels do not count: outliers of a block are left out, and a block
    adds at most `CEILING` to a detection, so that a blob must fill some 16 x 16 pixels.
    """
    options = options or SearchOptions()
    blocks = average(sci, err, sky & ~near_traces(sky, *options.guard))
    found = {+1: np.zeros(blocks.mean.shape, bool), -1: np.zeros(blocks.mean.shape, bool)}
    for width in options.widths:
        for foot, sign in _exceeding(blocks, width / BLOCK, found[1] | found[-1], options.threshold):
            found[sign] |= foot
    seen = [_significance(blocks.mean, blocks.ivar, width / BLOCK)[0] for width in options.widths]
    artefacts = [a for sign, region in found.items() for a in _describe(region, blocks, sign, np.array(seen))]
    sure = [a for a in artefacts if abs(a.significance) > options.threshold]  # not what is left of another's wings
    return sorted(sure, key=lambda a: -abs(a.significance))[: options.at_most]


def false_alarms(n_pixel: int, options: SearchOptions | None = None) -> float:
    """Expected number of blobs in an image of white noise.

    Parameters
    ----------
    n_pixel : int
        Sky pixels.
    options : SearchOptions, optional
        How is searched.

    Returns
    -------
    float
        Maxima above the threshold t of a Gaussian field, of both signs: the sum over the widths s of
        2 n / (2 s^2) (2 pi)^(-3/2) t exp(-t^2 / 2) (Adler 1981, The Geometry of Random Fields, section 6.9).
    """
    options = options or SearchOptions()
    t = options.threshold
    peaks = (2 * np.pi) ** -1.5 * t * np.exp(-0.5 * t**2)
    return float(sum(n_pixel / width**2 * peaks for width in options.widths))


def near_traces(sky: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels in or close to traces: whatever is not sky over 3 rows and `TRACE` columns, unlike snowballs.

    Parameters
    ----------
    sky : ndarray of bool, shape (n_y, n_x)
    rows, columns : int [pixel]
        How close.

    Returns
    -------
    ndarray of bool, shape (n_y, n_x)
        Traces that leave the image go on beyond its edge.
    """
    trace = (~sky).astype(np.uint8)
    for axis, size in ((0, 3), (1, TRACE)):
        trace = ndimage.minimum_filter1d(trace, size, axis=axis, mode="nearest")
    for axis, size in ((0, 2 * rows + 3), (1, 2 * columns + TRACE)):
        trace = ndimage.maximum_filter1d(trace, size, axis=axis, mode="constant")
    return trace.astype(bool)


def average(
    sci: NDArray[np.floating], err: NDArray[np.floating], use: NDArray[np.bool_], size: int = BLOCK, least: int = LEAST
) -> Blocks:
    """Average an image in blocks of `size` x `size`, without outliers; blocks with few good pixels have no weight.

    Within a block all pixels weigh the same: the Poisson error of a pixel follows its own noise, and weights from it
    would bias the mean.

    Parameters
    ----------
    sci, err : ndarray, shape (n_y, n_x) [DN/s]
    use : ndarray of bool, shape (n_y, n_x)
        Pixels to use.
    size, least : int [pixel]
        Side of a block; least number of good pixels.

    Returns
    -------
    Blocks
        Odd edges are cut.
    """
    n_y, n_x = (n // size for n in sci.shape)

    def cut(image: NDArray) -> NDArray:
        image = image[: n_y * size, : n_x * size].reshape(n_y, size, n_x, size)
        return image.swapaxes(1, 2).reshape(n_y, n_x, size * size)

    data, error, good = cut(np.asarray(sci, np.float32)), cut(np.asarray(err, np.float32)), cut(use)
    good = good & np.isfinite(data) & np.isfinite(error) & (error > 0)
    ranked = np.sort(np.where(good, data, np.inf), axis=-1)
    number = good.sum(axis=-1, keepdims=True)
    low, high = np.maximum(number - 1, 0) // 2, np.minimum(number // 2, size * size - 1)
    middle = 0.5 * (np.take_along_axis(ranked, low, -1) + np.take_along_axis(ranked, high, -1))
    with np.errstate(invalid="ignore"):
        away = np.where(good, np.abs(data - middle), np.inf)
        scatter = MAD_TO_SIGMA * np.take_along_axis(np.sort(away, axis=-1), high, -1)
        good &= away <= OUTLIER * scatter
    count = good.sum(axis=-1)
    number = np.maximum(count, 1)
    variance = np.where(good, error, 0).astype(float) ** 2
    ivar = number**2 / np.where(count > 0, variance.sum(axis=-1), np.inf)
    mean = np.where(good, data, 0).sum(axis=-1, dtype=float) / number
    full = count >= least
    return Blocks(np.where(full, mean, 0.0), np.where(full, ivar, 0.0), np.where(full, count, 0))


def smoothed_significance(mean: NDArray, ivar: NDArray, width: float) -> NDArray[np.float64]:
    """Significance of an image that is smoothed with a Gaussian over what is known of it.

    Parameters
    ----------
    mean, ivar : ndarray, shape (n_y, n_x)
        Values and their inverse variances; 0 = no information.
    width : float [elements]
        Standard deviation.

    Returns
    -------
    ndarray, shape (n_y, n_x)
        0 where less than a tenth of the usual information lies under the Gaussian.
    """
    reach = np.arange(-np.ceil(3 * width), np.ceil(3 * width) + 1)
    kernel = np.exp(-0.5 * (reach / width) ** 2)

    def smooth(image: NDArray, weights: NDArray) -> NDArray:
        rows = ndimage.convolve1d(image, weights, axis=0, mode="constant")
        return ndimage.convolve1d(rows, weights, axis=1, mode="constant")

    variance = smooth(ivar, kernel**2)
    usual = np.median(ivar[ivar > 0]) * (kernel**2).sum() ** 2 if (ivar > 0).any() else 1.0
    known = variance > 0.1 * usual
    return np.where(known, smooth(mean * ivar, kernel) / np.sqrt(np.where(known, variance, 1.0)), 0.0)


def _exceeding(
    blocks: Blocks, width: float, taken: NDArray[np.bool_], threshold: float
) -> Iterator[tuple[NDArray[np.bool_], int]]:
    """Footprints of the blobs at one width, and +1 for bright or -1 for dark ones."""
    ivar = np.where(taken, 0.0, blocks.ivar)
    known = ivar > 0
    if not known.any():
        return
    error = 1 / np.sqrt(np.where(known, ivar, 1.0))
    mean = blocks.mean - np.median(blocks.mean[known])
    limit = CEILING * max(1.0, robust_width((mean / error)[known])[1]) * error
    tamed, level, unit = _significance(np.clip(mean, -limit, limit), ivar, width)
    whole = np.where(known, (smoothed_significance(mean, ivar, width) - level) / unit, 0.0)
    for sign in (1, -1):
        labels, _ = ndimage.label(sign * tamed > FOOT, structure=np.ones((3, 3)))
        for k, box in enumerate(ndimage.find_objects(labels), 1):
            inside = labels[box] == k
            if (inside & (sign * tamed[box] > threshold)).any():
                peak = np.where(inside, sign * whole[box], 0.0)
                foot = np.zeros(labels.shape, bool)
                foot[box] = inside & (peak > FOOT_SHARE * peak.max())
                yield foot, sign


def _significance(mean: NDArray, ivar: NDArray, width: float) -> tuple[NDArray[np.float64], float, float]:
    """Smoothed significance less its median and over its scatter; the median, and the scatter, at least 1."""
    raw, known = smoothed_significance(mean, ivar, width), ivar > 0
    if not known.any():
        return raw, 0.0, 1.0
    level, scatter = robust_width(raw[known])
    unit = max(1.0, scatter)
    return np.where(known, (raw - level) / unit, 0.0), level, unit


def _describe(region: NDArray[np.bool_], blocks: Blocks, sign: int, seen: NDArray) -> Iterator[Artefact]:
    """Blobs of one sign, of footprints that lie at most two blocks apart; `seen` is the significance at all widths."""
    labels, _ = ndimage.label(ndimage.binary_dilation(region, np.ones((3, 3))), structure=np.ones((3, 3)))
    for k, box in enumerate(ndimage.find_objects(labels), 1):
        inside = (labels[box] == k) & region[box]
        y, x = np.nonzero(inside)
        row, column = y + box[0].start, x + box[1].start
        light = blocks.mean[row, column] * blocks.count[row, column]
        weight = np.abs(light) if np.any(light) else np.ones(light.shape)
        yield Artefact(
            row=float(np.average((row + 0.5) * BLOCK - 0.5, weights=weight)),
            column=float(np.average((column + 0.5) * BLOCK - 0.5, weights=weight)),
            height=int((np.ptp(row) + 1) * BLOCK),
            width=int((np.ptp(column) + 1) * BLOCK),
            area=int(blocks.count[row, column].sum()),
            significance=float(sign * (sign * seen[:, row, column]).max()),
            flux=float(light.sum()),
            outline=_outline(row, column, blocks.mean.shape),
        )


def _outline(row: NDArray, column: NDArray, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Corners (column, row) of the convex hull of blocks and one block around each, shape (n, 2) [pixel]."""
    corners = [(column + i, row + j) for i in (-1, 2) for j in (-1, 2)]
    points = np.concatenate([np.stack(corner, axis=1) for corner in corners])
    points = np.clip(points, 0, shape[::-1]) * BLOCK - 0.5
    return points[ConvexHull(points).vertices]
