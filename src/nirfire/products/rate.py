"""Uncal, RawRate and Rate: whole-detector exposures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.core.background import BANDS, Sky, band_rows
from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.exposures import sub_dither
from nirfire.products.fitsfile import check_complete, open_fits, require
from nirfire.products.naming import UNCAL
from nirfire.products.slitcal import DO_NOT_USE

REQUIRED = {
    "INSTRUME": "which instrument",
    "EXP_TYPE": "which kind of exposure",
    "DETECTOR": "which detector",
    "FILTER": "which filter",
    "GRATING": "which disperser",
    "PROGRAM": "the name of background slits is made from it",
    "DATE-OBS": "CRDS chooses references by date",
    "TIME-OBS": "CRDS chooses references by date",
    "MSAMETFL": "which MSA metafile describes the open shutters",
    "MSAMETID": "which configuration of the metafile was used",
    "PATT_NUM": "which dither point of the metafile was used",
    "SUBSTRT1": "origin of the readout",
    "SUBSTRT2": "origin of the readout",
    "V2_REF": "the stock WCS needs it",
    "V3_REF": "the stock WCS needs it",
    "RA_REF": "the stock WCS needs it",
    "DEC_REF": "without it the stock pipeline gives NaN sky positions and says nothing",
    "ROLL_REF": "without it the stock pipeline gives NaN sky positions and says nothing",
}
RAMP_REQUIRED = {"NGROUPS": "ramp fit", "NFRAMES": "ramp fit", "GROUPGAP": "ramp fit", "TFRAME": "ramp fit"}
EXP_TYPE = "NRS_MSASPEC"
BKG, BKGMASK, BKGPARTS, BKGBANDS, SLITLETS = "BKG", "BKGMASK", "BKGPARTS", "BKGBANDS", "SLITLETS"
WHOLE_FACTOR, FACTOR_KEY = "NFVSCALE", "NFVSCAL"
NOISE_CARD = "factor applied to VAR_RNOISE of this output"


@dataclass(frozen=True)
class ExposureHeader:
    """What the headers of an exposure say.

    Attributes
    ----------
    path : Path
        The file.
    filter, grating : str
        Optical elements.
    metafile : Path
        MSA metafile, in the exposure's folder.
    metadata_id, dither_point : int
        Configuration and dither point (MSAMETID, PATT_NUM).
    sub_dither : int
        Which point of the sub-pixel pattern (1 or 2); nods of different points are not paired.
    simulated : bool
        True for exposures of nirfire's embedded instrument.
    """

    path: Path
    filter: str
    grating: str
    metafile: Path
    metadata_id: int
    dither_point: int
    sub_dither: int
    simulated: bool


def read_exposure_header(path: Path) -> ExposureHeader:
    """Read and check the headers of an ``_uncal``, ``_rateraw`` or ``_rate`` file.

    Raises
    ------
    DataError
        The file is truncated, a keyword that the stock pipeline needs is missing, or it is no MOS exposure.
    """
    check_complete(path)
    with open_fits(path) as hdus:
        header = hdus[0].header.copy()
        if "SCI" in hdus:
            header.update({k: v for k, v in hdus["SCI"].header.items() if k and k not in header})
    needed = REQUIRED | RAMP_REQUIRED if path.name.endswith(UNCAL) else REQUIRED
    for key, why in needed.items():
        require(header, key, file=path, why=why)
    if header["EXP_TYPE"] != EXP_TYPE:
        raise DataError(
            f"EXP_TYPE is {header['EXP_TYPE']}, only {EXP_TYPE} is processed",
            file=path,
            key="EXP_TYPE",
            remedy="leave this file out",
        )
    return ExposureHeader(
        path=path,
        filter=header["FILTER"],
        grating=header["GRATING"],
        metafile=path.parent / Path(header["MSAMETFL"]).name,
        metadata_id=int(header["MSAMETID"]),
        dither_point=int(header["PATT_NUM"]),
        sub_dither=sub_dither(header),
        simulated=is_simulated(header),
    )


def is_simulated(header: fits.Header) -> bool:
    """True when the header says that the exposure comes from the embedded instrument."""
    return str(header.get("TITLE", "")).startswith("nirfire simulation")


@dataclass(frozen=True)
class Cleaning:
    """What `clean` found for one exposure.

    Attributes
    ----------
    background : ndarray, shape (n_y, n_x) [DN/s]
        What is subtracted; extension BKG.
    sky : ndarray of uint8, shape (n_y, n_x)
        Which pixels the background was fitted to, and why not the others (`nirfire.core.background.Sky`); extension
        BKGMASK. Pixels with the bit ``MANUAL`` become DO_NOT_USE.
    parts : dict of ndarray, shape (n_y / 4, n_x / 4) [DN/s]
        Components, in means of 4 x 4 pixels, for figures; extension BKGPARTS.
    bands : Table
        Picture-frame scale and pedestal of each detector output; extension BKGBANDS.
    slitlets : list of int
        Slitlets that fall on this detector; extension SLITLETS.
    noise_factors : ndarray, shape (n_band,)
        VAR_RNOISE of each detector output is multiplied by these.
    cards : dict
        Cards for the primary header.
    """

    background: np.ndarray
    sky: np.ndarray
    parts: dict[str, np.ndarray]
    bands: Table
    slitlets: list[int]
    noise_factors: np.ndarray
    cards: dict[str, tuple[Any, str]]


@dataclass(frozen=True)
class RateImage:
    """A count-rate image.

    Attributes
    ----------
    path : Path
        File it was read from.
    sci : ndarray, shape (n_y, n_x) [DN/s]
        Count rate; NaN where there is none.
    dq : ndarray of uint32, shape (n_y, n_x)
        JWST data quality bits.
    var_poisson, var_rnoise : ndarray, shape (n_y, n_x) [(DN/s)^2]
        Variance components.
    """

    path: Path
    sci: np.ndarray
    dq: np.ndarray
    var_poisson: np.ndarray
    var_rnoise: np.ndarray

    @classmethod
    def read(cls, path: Path) -> RateImage:
        """Read a ``_rateraw`` or ``_rate`` file as it is.

        Raises
        ------
        DataError
            An extension is missing.
        """
        with open_fits(path) as hdus:
            return cls._of(path, hdus)

    @classmethod
    def read_raw(cls, path: Path) -> RateImage:
        """Read a ``_rateraw`` or ``_rate`` file; one that was cleaned comes back as it was before.

        Raises
        ------
        DataError
            An extension is missing.
        """
        with open_fits(path) as hdus:
            image = cls._of(path, hdus)
            if BKG not in hdus:
                return image
            factors = [hdus[0].header.get(f"{FACTOR_KEY}{k + 1}", hdus[0].header[WHOLE_FACTOR]) for k in range(BANDS)]
            masked = hdus[BKGMASK].data & Sky.MANUAL > 0
            return replace(
                image,
                sci=image.sci + hdus[BKG].data,
                var_rnoise=image.var_rnoise / band_rows(np.array(factors), len(image.sci)),
                dq=np.where(masked, image.dq & ~np.uint32(DO_NOT_USE), image.dq),
            )

    @classmethod
    def _of(cls, path: Path, hdus: fits.HDUList) -> RateImage:
        for name in ("SCI", "DQ", "VAR_POISSON", "VAR_RNOISE"):
            if name not in hdus:
                raise DataError(f"extension {name} is missing", file=path, key=name, remedy="redo detector")
        sci, poisson, read = (np.array(hdus[n].data, dtype=float) for n in ("SCI", "VAR_POISSON", "VAR_RNOISE"))
        return cls(path, sci, np.array(hdus["DQ"].data, dtype=np.uint32), poisson, read)

    def write_cleaned(self, path: Path, cleaning: Cleaning) -> None:
        """Write a ``_rate.fits``: background subtracted, read noise rescaled; both are kept so that it is reversible.

        Parameters
        ----------
        path : Path
            The ``_rate.fits``.
        cleaning : Cleaning
            What is subtracted, and how the noise is rescaled.
        """
        variance = self.var_rnoise * band_rows(cleaning.noise_factors, len(self.sci))
        with open_fits(self.path) as hdus:
            for name in (BKG, BKGMASK, BKGPARTS, BKGBANDS, SLITLETS):  # of an image that was cleaned before
                while name in hdus:
                    del hdus[name]
            hdus["SCI"].data = (self.sci - cleaning.background).astype(np.float32)
            hdus["DQ"].data = np.where(cleaning.sky & Sky.MANUAL > 0, self.dq | np.uint32(DO_NOT_USE), self.dq)
            hdus["VAR_RNOISE"].data = variance.astype(np.float32)
            hdus["ERR"].data = np.sqrt(self.var_poisson + variance).astype(np.float32)
            factors = {f"{FACTOR_KEY}{k + 1}": (float(f), NOISE_CARD) for k, f in enumerate(cleaning.noise_factors)}
            for key, card in (cleaning.cards | factors).items():
                hdus[0].header[key] = card
            hdus[0].header["FILENAME"] = path.name
            hdus.extend(_extensions(cleaning))
            write_fits(path, hdus)


def _extensions(cleaning: Cleaning) -> list[fits.hdu.base.ExtensionHDU]:
    """BKG, BKGMASK, BKGPARTS (when there is a component), BKGBANDS, SLITLETS."""
    images = [fits.ImageHDU(cleaning.background.astype(np.float32), name=BKG)]
    if cleaning.parts:
        images.append(fits.ImageHDU(np.array(list(cleaning.parts.values()), dtype=np.float32), name=BKGPARTS))
        for k, name in enumerate(cleaning.parts, start=1):
            images[-1].header[f"PART{k}"] = (name, "component of the background")
    for image in images:
        image.header["BUNIT"] = "DN/s"
    bands = fits.BinTableHDU(cleaning.bands, name=BKGBANDS)
    for name in ("pedestal", "pedestal_err"):
        bands.columns[name].unit = "DN/s"
    slitlets = fits.BinTableHDU(Table({"slitlet_id": np.array(cleaning.slitlets, dtype=np.int32)}), name=SLITLETS)
    return [*images, fits.ImageHDU(cleaning.sky, name=BKGMASK), bands, slitlets]
