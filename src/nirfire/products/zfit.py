"""RedshiftFit: what the redshift task gives for one spectrum, file ``_zfit.fits``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.core.zverdict import SAID
from nirfire.errors import DataError
from nirfire.products.columns import Column, primary_hdu
from nirfire.products.fits_tables import table_unit, write_tables
from nirfire.products.fitsfile import open_fits
from nirfire.products.line_table import EXTENSION as LINES
from nirfire.products.line_table import LINE_COLUMNS
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
UNKNOWN = -1.0  # a card cannot hold NaN
WARNINGS = {int(bit): text for bit, text in SAID.items()}
LINES_CARDS = {
    "LSFSCALE": "width of the LSF of lines over the expected",
    "FWHMBRD": "[km/s] of broad components; 0 none",
}
REMEDY = "fit it again: `nirfire redshift` on its spectrum, or `nirfire run --rerun stale`"


def warnings_said(bits: int) -> list[str]:
    """What the bits of ZWARN mean, in words; a bit that has no meaning is named by its value."""
    found = [text for bit, text in WARNINGS.items() if bits & bit]
    left = bits & ~sum(WARNINGS)
    return found + ([f"unknown warning {left}"] if left else [])


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
        The best separate minima, best first: columns ``z, z_err, chi2, dchi2``.
    meta : dict of str to (value, comment)
        Further cards of the primary header.
    probability : float
        Calibrated probability (0 to 1) that `z` is right; NaN where it is not known.
    warning : int
        Bits of `WARNINGS`.
    lines : Table, or None
        Emission lines at `z`, columns of `line_table.LINE_COLUMNS`; None where they were not measured.
    template_class : str
        What the best model is: galaxy, broad-line, little red dot, quasar, star.
    z2, dchi2 : float
        The next distinct minimum, and its chi-squared above the best; NaN where there is none.
    snr : float
        Median of |flux| / error over the pixels fitted.
    dof : int
        Pixels fitted minus free parameters.
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
    probability: float = float("nan")
    warning: int = 0
    lines: Table | None = None
    template_class: str = ""
    z2: float = float("nan")
    dchi2: float = float("nan")
    snr: float = float("nan")
    dof: int = 0

    @property
    def warnings(self) -> list[str]:
        """The warnings in words."""
        return warnings_said(self.warning)

    def write(self, path: Path) -> None:
        """Write ``_zfit.fits``: PRIMARY, MODEL, CHI2, PEAKS, and LINES where they were measured."""
        primary = primary_hdu(self.meta)
        for key, card in self._cards().items():
            primary.header[key] = card
        model, scan = Table({"wave": self.wave, "flux": self.model}), Table({"z": self.z_grid, "chi2": self.chi2})
        tables = [
            table_unit(model, "MODEL", MODEL_COLUMNS),
            table_unit(scan, "CHI2", SCAN_COLUMNS),
            table_unit(self.peaks, "PEAKS", PEAK_COLUMNS),
        ]
        if self.lines is not None:
            told = {key: (self.lines.meta[key], text) for key, text in LINES_CARDS.items() if key in self.lines.meta}
            tables.append(table_unit(self.lines, LINES, LINE_COLUMNS, told))
        write_tables(path, primary, tables)

    def _cards(self) -> dict[str, tuple[Any, str]]:
        z_err = _known(self.z_err, "{:.4g}")
        return {
            "ZBEST": (round(self.z, 6), "best redshift"),
            "ZERR": (z_err, "its standard error; -1 unknown"),
            "Z_ERR": (z_err, "the same as ZERR"),
            "ZQUAL": (0, "quality by a person: 0 not inspected"),
            "ZCONF": (round(self.confidence, 6), "share of p(z) within 0.03 of ZBEST"),
            "ZPROB": (_known(self.probability, "{:.6f}"), "probability that ZBEST is right; -1 unknown"),
            "ZWARN": (self.warning, "sum of warnings; 0 none"),
            "CLASS": (self.template_class, "what the best model is"),
            "Z2": (_known(self.z2, "{:.6f}"), "next distinct redshift; -1 none"),
            "DCHI2": (_known(self.dchi2, "{:.6g}"), "chi-squared of Z2 above CHI2MIN; -1 none"),
            "CHI2MIN": (self.chi2_min, "chi-squared of the best model"),
            "NPIX": (self.n_pix, "pixels fitted"),
            "DOF": (self.dof, "degrees of freedom"),
            "SNR": (_known(self.snr, "{:.4g}"), "median |flux| / error of a pixel; -1 unknown"),
        }

    @classmethod
    def read(cls, path: Path) -> RedshiftFit:
        """Read ``_zfit.fits``.

        Raises
        ------
        DataError
            It is no such file, or of an earlier version that lacks a card or table.
        """
        with open_fits(path) as hdus:
            for name in ("MODEL", "CHI2", "PEAKS"):
                if name not in hdus:
                    raise DataError(f"no {name} table", file=path, key=name, remedy=REMEDY)
            header, model, scan = hdus[0].header, hdus["MODEL"].data, hdus["CHI2"].data
            for key in OWN_CARDS:
                if key not in header:
                    raise DataError(f"no card {key}: of an earlier version?", file=path, key=key, remedy=REMEDY)
            return cls(
                z=header["ZBEST"],
                z_err=_number(header["ZERR"]),
                confidence=header["ZCONF"],
                chi2_min=header["CHI2MIN"],
                n_pix=header["NPIX"],
                wave=np.array(model["wave"]),
                model=np.array(model["flux"]),
                z_grid=np.array(scan["z"]),
                chi2=np.array(scan["chi2"]),
                peaks=Table(hdus["PEAKS"].data),
                meta={k: (header[k], header.comments[k]) for k in READ_BACK if k in header},
                probability=_number(header["ZPROB"]),
                warning=header["ZWARN"],
                lines=_lines(hdus[LINES]) if LINES in hdus else None,
                template_class=header["CLASS"],
                z2=_number(header["Z2"]),
                dchi2=_number(header["DCHI2"]),
                snr=_number(header["SNR"]),
                dof=header["DOF"],
            )


OWN_CARDS = ("ZBEST", "ZERR", "ZCONF", "ZPROB", "ZWARN", "CLASS", "Z2", "DCHI2", "CHI2MIN", "NPIX", "DOF", "SNR")


def _known(value: float, form: str) -> float:
    return float(form.format(value)) if np.isfinite(value) else UNKNOWN


def _number(value: float, least: float = 0.0) -> float:
    return value if value >= least else np.nan


def _lines(hdu: fits.BinTableHDU) -> Table:
    return Table(hdu.data, meta={key: hdu.header[key] for key in LINES_CARDS if key in hdu.header})
