"""RedshiftFit: what the redshift task gives for one spectrum, file ``_zfit.fits``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.products.atomic import write_fits
from nirfire.products.columns import Column, primary_hdu, table_hdu
from nirfire.products.fitsfile import open_fits
from nirfire.products.spectrum import FNU, FNU_UCD, WAVE

CHI2 = Column("", "stat.fit.chi2", "chi-squared of the best model at z")
MODEL_COLUMNS = {"wave": WAVE, "flux": Column(FNU, f"{FNU_UCD};meta.modelled", "best model")}
SCAN_COLUMNS = {"z": Column("", "src.redshift", "trial redshift"), "chi2": CHI2}
PEAK_COLUMNS = {
    "z": Column("", "src.redshift", "redshift of a minimum of chi-squared, best first"),
    "z_err": Column("", "stat.error;src.redshift", "standard error of z from the curvature of chi-squared"),
    "chi2": CHI2,
    "dchi2": Column("", "stat.fit.chi2;arith.diff", "chi-squared above that of the best minimum"),
}
READ_BACK = ("TELESCOP", "INSTRUME", "SOURCEID", "SRCNAME", "GRATING", "FILTER")
UNKNOWN_ERROR = -1.0  # ZERR where there is none: a card cannot hold NaN


@dataclass(frozen=True)
class RedshiftFit:
    """A redshift with the evidence for it.

    Attributes
    ----------
    z, z_err : float
        Best redshift and its standard error from the curvature of chi2.
    confidence : float
        Share (0 to 1) of p(z) within 0.03 of `z`.
    chi2_min : float
        Chi-squared of the best model.
    n_pix : int
        Pixels fitted.
    wave, model : ndarray, shape (n_wave,) [um, uJy]
        Best model on the spectrum's own grid; NaN where there is none.
    z_grid, chi2 : ndarray, shape (n_z,)
        The scan, coarse and fine together, in increasing redshift.
    peaks : Table
        The best separate minima, best first: columns ``z, chi2, dchi2``.
    meta : dict of str to (value, comment)
        Further cards of the primary header.
    """

    z: float
    z_err: float
    confidence: float
    chi2_min: float
    n_pix: int
    wave: np.ndarray
    model: np.ndarray
    z_grid: np.ndarray
    chi2: np.ndarray
    peaks: Table
    meta: dict[str, tuple[Any, str]]

    def write(self, path: Path) -> None:
        """Write ``_zfit.fits``: PRIMARY, MODEL, CHI2, PEAKS."""
        primary = primary_hdu(self.meta)
        primary.header["ZBEST"] = (round(self.z, 6), "best redshift")
        primary.header["ZERR"] = (
            float(f"{self.z_err:.4g}") if np.isfinite(self.z_err) else UNKNOWN_ERROR,
            "its standard error; -1 unknown",
        )
        primary.header["ZQUAL"] = (0, "quality by a person: 0 not inspected")
        primary.header["ZCONF"] = (round(self.confidence, 6), "share of p(z) within 0.03 of ZBEST")
        primary.header["CHI2MIN"] = (self.chi2_min, "chi-squared of the best model")
        primary.header["NPIX"] = (self.n_pix, "pixels fitted")
        model, scan = Table({"wave": self.wave, "flux": self.model}), Table({"z": self.z_grid, "chi2": self.chi2})
        hdus = fits.HDUList([primary, table_hdu(model, "MODEL", MODEL_COLUMNS)])
        hdus.append(table_hdu(scan, "CHI2", SCAN_COLUMNS))
        hdus.append(table_hdu(self.peaks, "PEAKS", PEAK_COLUMNS))
        write_fits(path, hdus)

    @classmethod
    def read(cls, path: Path) -> RedshiftFit:
        """Read ``_zfit.fits``."""
        with open_fits(path) as hdus:
            header, model, scan = hdus[0].header, hdus["MODEL"].data, hdus["CHI2"].data
            return cls(
                z=header["ZBEST"],
                z_err=header["ZERR"] if header["ZERR"] >= 0 else np.nan,
                confidence=header["ZCONF"],
                chi2_min=header["CHI2MIN"],
                n_pix=header["NPIX"],
                wave=np.array(model["wave"]),
                model=np.array(model["flux"]),
                z_grid=np.array(scan["z"]),
                chi2=np.array(scan["chi2"]),
                peaks=Table(hdus["PEAKS"].data),
                meta={k: (header[k], header.comments[k]) for k in READ_BACK if k in header},
            )
