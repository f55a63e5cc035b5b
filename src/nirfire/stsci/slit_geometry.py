"""Where the pixels of a calibrated cutout lie in its slitlet, and the slitlet in the telescope's focal plane."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.products.slitcal import SLIT_WAVE, SLIT_Y, shutter_column

Array = NDArray[np.float64]
METRE, IN_METRES = 1e6, 1e-3
"""A metre in um; wavelengths below the second number are in metres, as those of the stock WCS are."""


@dataclass(frozen=True)
class SlitGeometry:
    """What the WCS of a cutout says.

    Attributes
    ----------
    edges : ndarray, shape (n_spat + 1, n_wave) [pitch]
        Slit coordinate of the edges of the pixels, from the centre of the source's shutter, towards larger
        ``shutter_column``; NaN where the WCS says nothing.
    shutters : tuple of int
        Open shutters, relative to the source's.
    open_height : float
        Open share of the pitch along the slitlet.
    place : ndarray, shape (2,) [arcsec]
        V2, V3 of the centre of the source's shutter.
    per_pitch : ndarray, shape (2, 2) [arcsec]
        Change of V2, V3 (first index) for one pitch along x, y (second index).
    """

    edges: Array
    shutters: tuple[int, ...]
    open_height: float
    place: Array
    per_pitch: Array

    @property
    def pitch(self) -> Array:
        """Pitch of the shutters along x and y, shape (2,) [arcsec]."""
        return np.hypot(*self.per_pitch)


def read_geometry(cal: Path) -> SlitGeometry:
    """Read the geometry of the first slit of a ``_cal.fits``.

    Raises
    ------
    DataError
        The file holds no slit, no WCS or no source.

    Notes
    -----
    The slit frame of the stock WCS counts in open widths and heights, its origin is the centre of the primary shutter.
    Only the ASDF extension is read, and not held against its schema: half of the time of a stock data model.
    """
    import asdf

    with open_fits(cal) as hdus, asdf.config_context() as config:
        if "ASDF" not in hdus:
            raise DataError("extension ASDF is missing", file=cal, key="ASDF", remedy="redo calibrate")
        shape = hdus["SCI"].data.shape
        config.validate_on_read = False
        with asdf.open(io.BytesIO(hdus["ASDF"].data["ASDF_METADATA"][0].tobytes())) as content:
            slits = content.tree.get("slits", [])
            if not slits or slits[0]["meta"].get("wcs") is None or "x" not in str(slits[0].get("shutter_state", "")):
                raise DataError("no slit with a WCS and a source", file=cal, key="SHUTSTA", remedy="redo calibrate")
            return _geometry(slits[0], shape)


def append_slit_y(path: Path, model: Any) -> None:
    """Add to a ``_cal.fits`` of one slit where its pixels lie along the slitlet, so that nobody need read its WCS.

    Parameters
    ----------
    path : Path
        The file.
    model : MultiSlitModel
        What was saved in it; without a slit nothing is added.

    Notes
    -----
    The extension SLIT_Y holds, for the centre of every pixel, the ``shutter_column`` of the MSA as a continuous
    coordinate: whole numbers are the centres of shutters, and all nods of a slitlet have the same. The origin of the
    stock slit frame is the centre of the shutter that the slit's ``shutter_id`` stands for; its cards SLITV2 and SLITV3
    say where that is in the focal plane [arcsec]. SLIT_WAVE holds the wavelengths [um] of light that fills the shutter,
    which those of a point source are shifted from.
    """
    for slit in model.slits[:1]:
        column, row = np.meshgrid(*(np.arange(n, dtype=float) for n in slit.data.shape[::-1]))
        _, y, wave = slit.meta.wcs.get_transform("detector", "slit_frame")(column, row)
        middle = float(np.nanmedian(wave))
        v2, v3, *_ = slit.meta.wcs.get_transform("slit_frame", "v2v3")(0.0, 0.0, middle)
        place = np.asarray(y, dtype=float) / _scale(slit)[1] + shutter_column(int(slit.shutter_id))
        header = fits.Header({"EXTNAME": SLIT_Y, "SLITV2": float(v2), "SLITV3": float(v3)})
        fits.append(path, place.astype(np.float32), header)
        wave = np.asarray(wave, dtype=float) * (METRE if middle < IN_METRES else 1.0)
        fits.append(path, wave.astype(np.float32), fits.Header({"EXTNAME": SLIT_WAVE, "BUNIT": "um"}))


def _geometry(slit: Mapping[str, Any], shape: tuple[int, int]) -> SlitGeometry:
    scale = _scale(slit)
    column, row = np.meshgrid(np.arange(shape[1], dtype=float), np.arange(shape[0] + 1) - 0.5)
    wcs, state = slit["meta"]["wcs"], str(slit["shutter_state"])
    _, y, wave = wcs.get_transform("detector", "slit_frame")(column, row)
    x_at, y_at = np.array([0.0, -0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, -0.5, 0.5])
    middle = np.full(5, np.nanmedian(wave))
    v2, v3, *_ = wcs.get_transform("slit_frame", "v2v3")(x_at * scale[0], y_at * scale[1], middle)
    found = np.array([v2, v3], dtype=float)
    per_pitch = np.column_stack([found[:, 2] - found[:, 1], found[:, 4] - found[:, 3]])
    shutters = tuple(k - state.find("x") for k, mark in enumerate(state) if mark != "0")
    return SlitGeometry(np.asarray(y, dtype=float) / scale[1], shutters, 1.0 / scale[1], found[:, 0], per_pitch)


def _scale(slit: Any) -> tuple[float, float]:
    """Pitch over open size, along x and y; cutouts of older pipelines do not say it."""
    from jwst.assign_wcs.nirspec import MSA_SLIT_SCALES

    x, y = MSA_SLIT_SCALES
    given = slit.get if isinstance(slit, Mapping) else partial(getattr, slit)
    return float(given("slit_xscale", None) or x), float(given("slit_yscale", None) or y)
