"""Slit cutouts and their WCS, as the stock data models hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.stsci.slit_geometry import append_slit_y


@dataclass(frozen=True)
class Rectified:
    """A rectified 2D spectrum (the stock ``_s2d.fits``).

    Attributes
    ----------
    sci, err, weight : ndarray, shape (n_spat, n_wave)
        Flux per pixel, its error and the weight map, in the unit `unit`.
    wave : ndarray, shape (n_wave,) [um]
        Wavelength of each column.
    row : float
        0-indexed row of the source.
    unit : str
        Unit of `sci`.
    header : fits.Header
        Primary header, with the cards of the SCI extension added.
    """

    sci: np.ndarray
    err: np.ndarray
    weight: np.ndarray
    wave: np.ndarray
    row: float
    unit: str
    header: fits.Header


def read_rectified(path: Path) -> Rectified:
    """Read a stock ``_s2d.fits`` and find the source's row through its WCS.

    Parameters
    ----------
    path : Path
        Rectified, combined 2D spectrum of one source.

    Returns
    -------
    Rectified
    """
    from stdatamodels.jwst import datamodels

    with datamodels.open(path) as model:
        n_spat, n_wave = model.data.shape
        middle = np.full(n_wave, (n_spat - 1) / 2)
        _, _, wave = model.meta.wcs(np.arange(n_wave), middle)
        at = float(np.nanmedian(wave))
        _, row = model.meta.wcs.invert(model.source_ra, model.source_dec, at, with_bounding_box=False)
        sci, err, weight = (np.array(a, dtype=float) for a in (model.data, model.err, model.wht))
        unit = str(model.meta.bunit_data)
    with fits.open(path) as hdus:
        header = hdus[0].header.copy()
        header.update({k: v for k, v in hdus["SCI"].header.items() if k and k not in header and k != "EXTNAME"})
    return Rectified(sci=sci, err=err, weight=weight, wave=wave, row=float(row), unit=unit, header=header)


def adopt_cutout(path: Path, target: Path) -> None:
    """Turn a single-slit cutout (SlitModel, sky still in) into a one-slit ``_cal.fits`` in MJy.

    Parameters
    ----------
    path : Path
        A flux-calibrated cutout with a WCS, in MJy/sr; pathloss not applied.
    target : Path
        The ``_cal.fits`` to write.

    Notes
    -----
    Surface brightness times PIXAR_SR is flux density per pixel. Where the cutout brings a point-source pathloss
    correction that was not applied, it is applied here, so that the product means what a stock one means.
    """
    from stdatamodels.jwst import datamodels

    with datamodels.SlitModel(path) as cutout:
        slit = datamodels.SlitModel(cutout.data.shape)
        slit.update(cutout)
        _copy_slit(cutout, slit)
        out = datamodels.MultiSlitModel()
        out.update(cutout)
        out.meta.cal_step.photom = "COMPLETE"
        out.slits.append(slit)
        out.save(str(target))
        append_slit_y(target, out)
        out.close()


SLIT_ARRAYS = (
    "data",
    "err",
    "dq",
    "var_poisson",
    "var_rnoise",
    "var_flat",
    "wavelength",
    "pathloss_point",
    "pathloss_uniform",
)
SLIT_FACTS = (
    *(
        "name",
        "slitlet_id",
        "source_id",
        "source_name",
        "source_alias",
        "source_ra",
        "source_dec",
        "source_type",
    ),
    *("source_xpos", "source_ypos", "stellarity", "shutter_id", "shutter_state", "quadrant", "xcen", "ycen"),
    *("slit_xscale", "slit_yscale", "slit_ymin", "slit_ymax", "xstart", "ystart", "xsize", "ysize"),
)


def _copy_slit(cutout: object, slit: object) -> None:
    for name in (*SLIT_ARRAYS, *SLIT_FACTS):
        value = getattr(cutout, name, None)
        if value is not None:
            setattr(slit, name, value.copy() if isinstance(value, np.ndarray) else value)
    slit.meta.wcs = cutout.meta.wcs  # type: ignore[attr-defined]
    slit.meta.wcsinfo = cutout.meta.wcsinfo.instance  # type: ignore[attr-defined]
    area = cutout.meta.photometry.pixelarea_steradians  # type: ignore[attr-defined]
    scale = area / np.where(slit.pathloss_point > 0, slit.pathloss_point, np.nan)  # type: ignore[attr-defined]
    for name, power in (("data", 1), ("err", 1), ("var_poisson", 2), ("var_rnoise", 2), ("var_flat", 2)):
        setattr(slit, name, getattr(slit, name) * scale**power)
    slit.meta.bunit_data = slit.meta.bunit_err = "MJy"  # type: ignore[attr-defined]
    slit.pathloss_correction_type = "POINT"  # type: ignore[attr-defined]
    slit.source_type = "POINT"  # type: ignore[attr-defined]
