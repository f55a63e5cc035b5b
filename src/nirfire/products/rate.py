"""Uncal, RawRate and Rate: whole-detector exposures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import check_complete, open_fits, require
from nirfire.products.naming import UNCAL

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
BKG, BKGMASK, SLITLETS = "BKG", "BKGMASK", "SLITLETS"


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
        sub_dither=_sub_dither(header),
        simulated=is_simulated(header),
    )


def _sub_dither(header: fits.Header) -> int:
    """Sub-pixel point of an exposure: in patterns that nod at each of two points, the points take turns."""
    two_points = "NIRCAM" in str(header.get("PATTTYPE", "")).upper() and header.get("SUBPXPTS") == 2
    return 2 if two_points and int(header["PATT_NUM"]) % 2 == 0 else 1


def read_slitlets(path: Path) -> set[int] | None:
    """Slitlets that fall on the detector, as `clean` found them; None where the file does not say."""
    with open_fits(path) as hdus:
        return {int(s) for s in hdus[SLITLETS].data["slitlet_id"]} if SLITLETS in hdus else None


def is_simulated(header: fits.Header) -> bool:
    """True when the header says that the exposure comes from the embedded instrument."""
    return str(header.get("TITLE", "")).startswith("nirfire simulation")


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
        """Read a ``_rateraw`` or ``_rate`` file."""
        with open_fits(path) as hdus:
            for name in ("SCI", "DQ", "VAR_POISSON", "VAR_RNOISE"):
                if name not in hdus:
                    raise DataError(f"extension {name} is missing", file=path, key=name, remedy="redo detector")
            return cls(
                path=path,
                sci=np.array(hdus["SCI"].data, dtype=float),
                dq=np.array(hdus["DQ"].data),
                var_poisson=np.array(hdus["VAR_POISSON"].data, dtype=float),
                var_rnoise=np.array(hdus["VAR_RNOISE"].data, dtype=float),
            )

    def write_cleaned(
        self,
        path: Path,
        background: np.ndarray,
        usable: np.ndarray,
        slitlets: list[int],
        noise_scale: float,
        cards: dict[str, tuple[Any, str]],
    ) -> None:
        """Write a ``_rate.fits``: `background` subtracted, read noise rescaled, both kept so that it is reversible.

        Parameters
        ----------
        path : Path
            The ``_rate.fits``.
        background : ndarray, shape (n_y, n_x) [DN/s]
            What is subtracted; goes into extension BKG.
        usable : ndarray of bool, shape (n_y, n_x)
            Pixels the background was fitted to; goes into extension BKGMASK (1 = fitted).
        slitlets : list of int
            Slitlets that fall on this detector; go into extension SLITLETS.
        noise_scale : float
            VAR_RNOISE is multiplied by this.
        cards : dict
            Cards for the primary header.
        """
        read_variance = self.var_rnoise * noise_scale
        with open_fits(self.path) as hdus:
            for name in (BKG, BKGMASK, SLITLETS):  # of an image that was cleaned before
                while name in hdus:
                    del hdus[name]
            hdus["SCI"].data = (self.sci - background).astype(np.float32)
            hdus["DQ"].data = self.dq
            hdus["VAR_RNOISE"].data = read_variance.astype(np.float32)
            hdus["ERR"].data = np.sqrt(self.var_poisson + read_variance).astype(np.float32)
            for key, card in cards.items():
                hdus[0].header[key] = card
            hdus[0].header["FILENAME"] = path.name
            bkg = fits.ImageHDU(background.astype(np.float32), name=BKG)
            bkg.header["BUNIT"] = "DN/s"
            hdus.append(bkg)
            hdus.append(fits.ImageHDU(usable.astype(np.uint8), name=BKGMASK))
            table = Table({"slitlet_id": np.array(slitlets, dtype=np.int32)})
            hdus.append(fits.BinTableHDU(table, name=SLITLETS))
            write_fits(path, hdus)
