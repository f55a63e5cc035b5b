"""Where the pixels of cutouts look, and the sky of an exposure in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from nirfire.core.global_sky import sky_in
from nirfire.core.sky_slit import SkySlit
from nirfire.errors import DataError
from nirfire.products.sky import SHIFT_ORDER, Y_ORDER, CutoutPlace, SkyModel, on_grid, scaled
from nirfire.products.slitcal import SLIT_Y, SlitCal, shutter_column

Array = NDArray[np.float64]
COLUMN_STEP = 8  # every so many columns of the WCS are evaluated
POISSON_WINDOW = 21  # pixels along the dispersion over which Poisson variances are smoothed


def read_places(slits: Sequence[SlitCal]) -> list[CutoutPlace]:
    """Where the pixels of cutouts look; ``slitlet`` counts the cutouts.

    Raises
    ------
    DataError
        A file does not say it.
    """
    return [_place(slit, k) for k, slit in enumerate(slits)]


def _place(slit: SlitCal, index: int) -> CutoutPlace:
    number = slit.slit_header.get("SHUTTRID")
    if slit.slit_y is None or slit.slit_wave is None or slit.slit_place is None or number is None:
        raise DataError("it does not say where its pixels look", file=slit.path, key=SLIT_Y, remedy="redo calibrate")
    n_spat, n_wave = slit.shape
    at = np.unique(np.append(np.arange(0, n_wave, COLUMN_STEP), n_wave - 1))
    column, row = np.meshgrid(at.astype(float), np.arange(n_spat, dtype=float))
    y, wave = slit.slit_y[:, at] - shutter_column(int(number)), slit.slit_wave[:, at]
    good = np.isfinite(y) & np.isfinite(wave)
    if good.sum() < Y_ORDER[0] * Y_ORDER[1]:
        raise DataError("its WCS says nothing about its pixels", file=slit.path, key=SLIT_Y, remedy="redo calibrate")
    shift = slit.wave[:, at] - wave
    here = scaled(row, n_spat), scaled(column, n_wave)
    return CutoutPlace(
        name=slit.path.name,
        slitlet=index,
        shape=slit.shape,
        shutters=open_shutters(str(slit.slit_header.get("SHUTSTA", ""))),
        place=np.array(slit.slit_place),
        y=_series(here, y, good, Y_ORDER),
        shift=_series(here, shift, good & np.isfinite(shift), SHIFT_ORDER),
    )


def _series(at: tuple[Array, Array], value: Array, good: NDArray[np.bool_], order: tuple[int, int]) -> Array:
    """Chebyshev coefficients by least squares, shape (order + 1)."""
    design = np.polynomial.chebyshev.chebvander2d(at[0][good], at[1][good], order)
    found = np.asarray(np.linalg.lstsq(design, value[good], rcond=None)[0], dtype=float)
    return found.reshape(order[0] + 1, order[1] + 1)


def open_shutters(state: str) -> tuple[int, ...]:
    """Open shutters relative to the one from which slit coordinates count.

    Notes
    -----
    That is the source's, marked x; without a mark the middle one, the lower of two, as stock ``assign_wcs`` counts.
    """
    origin = state.find("x") if "x" in state else (len(state) - 1) // 2
    return tuple(k - origin for k, mark in enumerate(state) if mark != "0")


def sky_slit(slit: SlitCal, place: CutoutPlace, sources: tuple[float, ...] = ()) -> SkySlit:
    """The cutout as the sky model wants it: pathloss and bar shadow inverted, no NaN.

    Notes
    -----
    The Poisson variance of a pixel goes up and down with its own noise; weights by it would make means too small. It
    is smoothed along the dispersion.
    """
    correction = slit.correction
    poisson = np.where(np.isfinite(slit.var_poisson), slit.var_poisson, 0.0)
    smooth = median_filter(poisson, size=(1, POISSON_WINDOW))
    variance = (smooth + slit.var_rnoise + np.nan_to_num(slit.var_flat)) * correction**2
    wave = slit.wave - place.shifts()
    bad = slit.bad | ~np.isfinite(correction) | ~np.isfinite(wave) | ~(variance > 0)
    return SkySlit(
        flux=np.where(bad, 0.0, slit.sci * np.where(bad, 1.0, correction)),
        ivar=np.where(bad, 0.0, 1.0 / np.where(bad, 1.0, variance)),
        wave=np.where(np.isfinite(wave), wave, 0.0),
        shift=place.shifts(),
        edges=place.edges(),
        shutters=place.shutters,
        sources=sources,
        place=place.place,
    )


def same_origin(place: CutoutPlace, other: CutoutPlace, corners: tuple[tuple[int, int], tuple[int, int]]) -> int:
    """Shutters to add to slit coordinates of `other` to have those of `place`, two cutouts of one slitlet.

    Parameters
    ----------
    place, other : CutoutPlace
    corners : tuple of 2 tuples
        Detector (column, row) of the first pixel of each.
    """
    (column, row), (n_spat, n_wave) = corners[0], place.shape
    at = column + n_wave // 2, row + n_spat // 2
    found = []
    for cutout, corner in zip((place, other), corners, strict=True):
        rows, columns = (
            np.array([scaled(np.array(a - b), n)])
            for a, b, n in zip((at[1], at[0]), (corner[1], corner[0]), cutout.shape, strict=True)
        )
        found.append(float(on_grid(cutout.y, rows, columns)[0, 0]))
    return round(found[0] - found[1])


def global_backgrounds(slits: Sequence[SlitCal], models: Sequence[SkyModel]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The sky in the nods of one source.

    Parameters
    ----------
    slits : sequence of SlitCal
        Cutouts from one slitlet on one detector.
    models : sequence of SkyModel
        That of the exposure of each.

    Returns
    -------
    list of (ndarray, ndarray), shape (n_spat, n_wave) each [MJy, MJy2]
        Sky in the pixels of each, in the units of ``sci * correction``, and its variance; NaN where the model says
        nothing.
    """
    return [_background(slit, model) for slit, model in zip(slits, models, strict=True)]


def _background(slit: SlitCal, model: SkyModel) -> tuple[np.ndarray, np.ndarray]:
    place, index = model.cutouts.get(slit.path.name), None
    if place is None or place.shape != slit.shape:
        place = read_places([slit])[0]
    else:
        index = place.slitlet
    value, variance, known = sky_in(model.sky, sky_slit(slit, place), index)
    return np.where(known, value, np.nan), np.where(known, variance, np.nan)
