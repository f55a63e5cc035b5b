"""The background of a count-rate image: picture frame, smooth surface, column and row medians."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from astropy.stats import SigmaClip
from photutils.background import Background2D, MedianBackground

BANDS = 4  # outputs of the detector, 512 rows each in science orientation
FIXED_SLIT_ROWS = (924, 1124)


class BackgroundOptions(NamedTuple):
    """Which components are fitted, and how often.

    Attributes
    ----------
    n_iter : int
        Passes over all components.
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


def clip_sky(image: np.ndarray, usable: np.ndarray, *, low: float = 3.0, high: float = 2.0) -> np.ndarray:
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
    """
    values = image[usable]
    if values.size == 0:
        return usable
    centre = np.median(values)
    sigma = 1.4826 * np.median(np.abs(values - centre))
    return usable & (image > centre - low * sigma) & (image < centre + high * sigma)


def fit_template(image: np.ndarray, template: np.ndarray, usable: np.ndarray, *, n_reject: int = 5) -> np.ndarray:
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
    ndarray, shape (n_y, n_x)
        The fitted a template + b; zero in a band with fewer than 100 usable pixels.
    """
    model = np.zeros(image.shape)
    for band in np.array_split(np.arange(len(image)), BANDS):
        part = slice(band[0], band[-1] + 1)
        good = usable[part].copy()
        if good.sum() < 100:
            continue
        slope = level = 0.0
        for _ in range(n_reject):
            x, y = template[part][good], image[part][good]
            centred = x - x.mean()
            spread = np.dot(centred, centred)
            slope = np.dot(centred, y) / spread if spread > 0 else 0.0
            level = y.mean() - slope * x.mean()
            residual = image[part] - slope * template[part] - level
            sigma = 1.4826 * np.median(np.abs(residual[good]))
            kept = usable[part] & (np.abs(residual) < 3 * sigma)
            if kept.sum() < 100 or np.array_equal(kept, good):
                break
            good = kept
        model[part] = slope * template[part] + level
    return model


def line_medians(image: np.ndarray, usable: np.ndarray, *, axis: int, n_least: int = 20) -> np.ndarray:
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
        Shape (n_x,) or (n_y,).
    """
    values = np.sort(np.where(usable, image, np.inf), axis=axis)
    n = usable.sum(axis=axis)
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, image.shape[axis] - 1)
    pick = [np.take_along_axis(values, np.expand_dims(k, axis), axis=axis).squeeze(axis) for k in (low, high)]
    enough = n >= n_least
    medians = np.where(enough, 0.5 * (pick[0] + pick[1]), 0.0)
    rest = np.median(medians[enough]) if enough.any() else 0.0
    return np.where(enough, medians, rest)


def smooth_surface(image: np.ndarray, usable: np.ndarray, *, boxes: int) -> np.ndarray:
    """Sigma-clipped medians in boxes, interpolated (photutils Background2D).

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Count rates.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels to use.
    boxes : int
        Boxes per axis; a box with less than 10 % usable pixels is filled from its neighbours.

    Returns
    -------
    ndarray, shape (n_y, n_x)
    """
    size = tuple(-(-n // boxes) for n in image.shape)
    surface = Background2D(
        np.where(usable, image, 0.0),
        size,
        mask=~usable,
        filter_size=(3, 3),
        sigma_clip=SigmaClip(3.0, maxiters=5),
        bkg_estimator=MedianBackground(),
        exclude_percentile=90.0,
    )
    return np.asarray(surface.background)


def fit_background(
    image: np.ndarray, usable: np.ndarray, template: np.ndarray | None, options: BackgroundOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Iterate over the components on the running residual, as the CAMPFIRE description has it.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x) [DN/s]
        Count rates, finite everywhere.
    usable : ndarray of bool, shape (n_y, n_x)
        Pixels free of traces and defects.
    template : ndarray, shape (n_y, n_x), or None
        Picture frame; its component is left out when there is none.
    options : BackgroundOptions
        Components and passes.

    Returns
    -------
    background : ndarray, shape (n_y, n_x) [DN/s]
        Sum of all components.
    changes : ndarray, shape (n_iter,) [DN/s]
        Standard deviation of what each pass added, a measure of convergence.

    Raises
    ------
    ValueError
        No usable pixel.
    """
    if not usable.any():
        raise ValueError("no pixel is free of traces and defects")
    background = np.zeros(image.shape)
    changes = np.zeros(options.n_iter)
    for k in range(options.n_iter):
        before = background.copy()
        if options.picture_frame and template is not None:
            residual = image - background
            background += fit_template(residual, template, clip_sky(residual, usable))
        if options.surface:
            residual = image - background
            background += smooth_surface(residual, clip_sky(residual, usable), boxes=options.boxes)
        if options.columns:
            residual = image - background
            background += line_medians(residual, clip_sky(residual, usable), axis=0)[np.newaxis, :]
        if options.rows:
            residual = image - background
            background += line_medians(residual, clip_sky(residual, usable), axis=1)[:, np.newaxis]
        changes[k] = np.std(background - before)
    return background, changes


def noise_scale(image: np.ndarray, read_variance: np.ndarray, usable: np.ndarray) -> float:
    """Factor by which the read-noise variance must grow to explain the scatter of the sky.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x) [DN/s]
        Background-subtracted count rates.
    read_variance : ndarray, shape (n_y, n_x) [(DN/s)^2]
        VAR_RNOISE.
    usable : ndarray of bool, shape (n_y, n_x)
        Sky pixels, not clipped.

    Returns
    -------
    float
        (1.4826 MAD of image / sqrt(read_variance))^2; the MAD needs no clipping, so none biases it.

    Raises
    ------
    ValueError
        No usable pixel with a positive variance.
    """
    good = usable & (read_variance > 0)
    if not good.any():
        raise ValueError("no sky pixel with a positive read-noise variance")
    pull = image[good] / np.sqrt(read_variance[good])
    return float((1.4826 * np.median(np.abs(pull - np.median(pull)))) ** 2)
