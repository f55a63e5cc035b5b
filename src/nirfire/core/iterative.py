"""The background as the CAMPFIRE description has it: passes over the components, each on what the others leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from astropy.stats import SigmaClip
from numba import njit
from numpy.typing import NDArray
from photutils.background import Background2D, MedianBackground
from scipy.ndimage import zoom

from nirfire.core.background import (
    BANDS,
    SAMPLE,
    Background,
    BackgroundOptions,
    band_rows,
    block_means,
    line_medians,
    robust_width,
    spread_sample,
)

LEAST_BAND = 100
"""A band with fewer usable pixels is left without picture frame and pedestal."""
SETTLED = 1e-4
"""Rejection ends when it changes the number of pixels by less than this share."""
LEAST_SHARE = 0.1
"""Share of usable pixels that a box of the surface needs to have a value of its own."""


def clip_sky(image: NDArray, usable: NDArray, *, low: float = 3.0, high: float = 2.0) -> NDArray:
    """Drop usable pixels outside median - low sigma ... median + high sigma (sigma from the MAD).

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Count rates.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels free of traces and defects.

    Returns
    -------
    ndarray of bool, shape (n_y, n_x)

    Notes
    -----
    Asymmetric limits, as published, pull the level of Gaussian sky down by 0.03 sigma.
    """
    if not usable.any():
        return usable
    centre, sigma = robust_width(spread_sample(image, usable))
    return usable & (image > centre - low * sigma) & (image < centre + high * sigma)


def fit_template(image: NDArray, template: NDArray, usable: NDArray, *, n_reject: int = 5) -> tuple[NDArray, NDArray]:
    """Scale a template to each band of 512 rows: image = a template + b, robustly.

    Parameters
    ----------
    image, template : ndarray, shape (n_y, n_x)
        Count rates and the picture frame.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels to fit.
    n_reject : int
        Rejection passes at 3 sigma (from the MAD).

    Returns
    -------
    scale, level : ndarray, shape (BANDS,)
        a and b; zero in a band with fewer than 100 usable pixels.
    """
    scale, level = np.zeros(BANDS), np.zeros(BANDS)
    for k, band in enumerate(np.array_split(np.arange(len(image)), BANDS)):
        part = slice(band[0], band[-1] + 1)
        x, y = template[part][usable[part]], image[part][usable[part]]
        if x.size < LEAST_BAND:
            continue
        low, high = -np.inf, np.inf
        number = 0
        for _ in range(n_reject):
            found = _line(x, y, scale[k], level[k], low, high)
            if found[2] < LEAST_BAND or abs(found[2] - number) <= SETTLED * number:
                break
            scale[k], level[k], number = found
            step = max(1, x.size // SAMPLE)
            rest = y[::step] - scale[k] * x[::step] - level[k]
            centre, sigma = robust_width(rest[(rest > low) & (rest < high)])
            low, high = centre - 3 * sigma, centre + 3 * sigma
    return scale, level


@njit(cache=True)
def _line(x, y, slope, level, low, high):  # type: ignore[no-untyped-def]
    """Straight line through the points that lie between two limits about a former one; and their number."""
    n, sx, sy, sxx, sxy = 0, 0.0, 0.0, 0.0, 0.0
    for k in range(x.size):
        rest = y[k] - slope * x[k] - level
        if low < rest < high:
            n += 1
            sx += x[k]
            sy += y[k]
            sxx += x[k] * x[k]
            sxy += x[k] * y[k]
    if n == 0:
        return 0.0, 0.0, 0
    spread = sxx - sx * sx / n
    a = (sxy - sx * sy / n) / spread if spread > 1e-12 * sxx else 0.0
    return a, (sy - a * sx) / n, n


@cache
def _magnify(n: int, boxes: int) -> NDArray:
    """Cubic interpolation between box centres as a matrix, shape (n, boxes); an image's is the product of two."""
    size = -(-n // boxes)
    return zoom(np.eye(boxes), (size, 1), order=3, mode="reflect", grid_mode=True)[:n]


def smooth_surface(image: NDArray, usable: NDArray, *, boxes: int) -> NDArray:
    """Sigma-clipped medians in boxes (photutils Background2D), interpolated by cubic splines.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Count rates.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels to use.
    boxes : int
        Boxes per axis; a box with less than 10 % usable pixels (under traces) is filled from its neighbours.

    Returns
    -------
    ndarray, shape (n_y, n_x)
        Zero when no box has enough.
    """
    size = tuple(-(-n // boxes) for n in image.shape)
    shares = block_means(usable, size)
    if not (shares >= LEAST_SHARE).any():
        return np.zeros(image.shape)
    surface = Background2D(
        image,
        size,
        mask=~usable,
        filter_size=(3, 3),
        sigma_clip=SigmaClip(3.0, maxiters=5),
        bkg_estimator=MedianBackground(),
        exclude_percentile=100.0 * (1.0 - LEAST_SHARE),
    )
    mesh = np.asarray(surface.background_mesh)
    along_y, along_x = (_magnify(n, m) for n, m in zip(image.shape, mesh.shape, strict=True))
    return np.clip(along_y @ mesh @ along_x.T, mesh.min(), mesh.max())


def fit_iterative(
    image: NDArray, usable: NDArray, variance: NDArray, template: NDArray | None, options: BackgroundOptions
) -> Background:
    """Iterate over the components on the running residual.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x) [DN/s]
        Count rates, finite everywhere.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels free of traces and defects.
    variance : ndarray, shape (n_y, n_x)
        Not used: all pixels count the same.
    template : ndarray, shape (n_y, n_x), or None
        Picture frame; its component is left out when there is none.
    options : BackgroundOptions
        Components and passes.

    Returns
    -------
    Background
        Errors of scales and pedestals are NaN. The smooth surface is not done where boxes hold too few pixels.

    Raises
    ------
    ValueError
        No usable pixel.
    """
    if not usable.any():
        raise ValueError("no pixel is free of traces and defects")
    wanted = {
        "picture_frame": (options.picture_frame and template is not None, _fit_frame(template)),
        "surface": (options.surface, lambda rest, kept: smooth_surface(rest, kept, boxes=options.boxes)),
        "columns": (options.columns, lambda rest, kept: line_medians(rest, kept, axis=0)[np.newaxis, :]),
        "rows": (options.rows, lambda rest, kept: line_medians(rest, kept, axis=1)[:, np.newaxis]),
    }
    steps = {name: step for name, (on, step) in wanted.items() if on}
    found = {name: np.zeros(1) for name in steps}
    rest = np.array(image, dtype=float)
    changes = []
    for _ in range(options.n_iter):
        before = rest[::3, ::3].copy()
        for name, step in steps.items():
            new = step(rest, clip_sky(rest, usable))
            found[name] = found[name] + new
            rest -= _frame(new, template) if name == "picture_frame" else new
        changes.append(float(np.std(rest[::3, ::3] - before)))
    bands = found["picture_frame"] if "picture_frame" in found else np.zeros((2, BANDS))
    parts = {name: _frame(p, template) if name == "picture_frame" else p for name, p in found.items()}
    unknown = np.full(BANDS, np.nan)
    n_lines = image.shape[1] * options.columns + image.shape[0] * options.rows
    return Background(
        parts={name: np.broadcast_to(part, image.shape) for name, part in parts.items()},
        scale=bands[0],
        scale_err=unknown,
        pedestal=bands[1],
        pedestal_err=unknown,
        changes=np.array(changes),
        n_effective=2.0 * BANDS + options.boxes**2 + n_lines,
    )


def _fit_frame(template: NDArray | None) -> Callable[[NDArray, NDArray], NDArray]:
    return lambda rest, kept: np.array(fit_template(rest, template, kept))  # type: ignore[arg-type]


def _frame(bands: NDArray, template: NDArray | None) -> NDArray:
    """The picture frame, scaled, and the pedestals; `bands` has shape (2, BANDS)."""
    assert template is not None
    scale, level = (band_rows(values, len(template)) for values in bands)
    image = scale * template
    image += level
    return image
