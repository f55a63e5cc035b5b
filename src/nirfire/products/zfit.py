"""RedshiftFit: what the redshift task gives for one spectrum, file ``_zfit.fits``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits


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
        primary = fits.PrimaryHDU()
        for key, card in self.meta.items():
            primary.header[key] = card
        primary.header["ZBEST"] = (round(self.z, 6), "best redshift")
        primary.header["ZERR"] = (
            float(f"{self.z_err:.4g}") if np.isfinite(self.z_err) else -1.0,
            "its standard error",
        )
        primary.header["ZQUAL"] = (0, "quality by a person: 0 not inspected")
        primary.header["ZCONF"] = (round(self.confidence, 6), "share of p(z) within 0.03 of ZBEST")
        primary.header["CHI2MIN"] = (self.chi2_min, "chi-squared of the best model")
        primary.header["NPIX"] = (self.n_pix, "pixels fitted")
        model = Table({"wave": self.wave, "flux": self.model}, units={"wave": "um", "flux": "uJy"})
        hdus = fits.HDUList([primary, fits.BinTableHDU(model, name="MODEL")])
        hdus.append(fits.BinTableHDU(Table({"z": self.z_grid, "chi2": self.chi2}), name="CHI2"))
        hdus.append(fits.BinTableHDU(self.peaks, name="PEAKS"))
        write_fits(path, hdus)

    @classmethod
    def read(cls, path: Path) -> RedshiftFit:
        """Read ``_zfit.fits``."""
        with open_fits(path) as hdus:
            header, model, scan = hdus[0].header, hdus["MODEL"].data, hdus["CHI2"].data
            return cls(
                z=header["ZBEST"],
                z_err=header["ZERR"],
                confidence=header["ZCONF"],
                chi2_min=header["CHI2MIN"],
                n_pix=header["NPIX"],
                wave=np.array(model["wave"]),
                model=np.array(model["flux"]),
                z_grid=np.array(scan["z"]),
                chi2=np.array(scan["chi2"]),
                peaks=Table(hdus["PEAKS"].data),
                meta={k: (header[k], header.comments[k]) for k in header if k in ("SOURCEID", "GRATING", "FILTER")},
            )
