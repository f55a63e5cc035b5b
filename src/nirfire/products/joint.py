"""JointSpectrum: one spectrum of a source from all its gratings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.columns import Cards, Column, primary_hdu, table_hdu
from nirfire.products.fitsfile import open_fits
from nirfire.products.spectrum import SCHEMA, fnu_to_flam, spectrum_columns

GRATING_BITS = {"PRISM": 1, "G140M": 2, "G235M": 4, "G395M": 8, "G140H": 16, "G235H": 32, "G395H": 64}
JOINT = "JOINT"  # in place of the name of a grating
_SPECTRUM = spectrum_columns([])
_MEAN = {
    "grating": Column("", "meta.code;instr.setup", "gratings that went in: "
                      + ", ".join(f"{bit} {name}" for name, bit in GRATING_BITS.items())),
    "resolution": Column("", "spect.resolution", "wavelength over FWHM of the line-spread function"),
    "scale": Column("", "arith.factor;phot.calib", "what flux was multiplied by; applied"),
    "scale_err": Column("", "stat.error;phot.calib", "standard error of scale, common to neighbours; not in err"),
}  # fmt: skip
COLUMNS = {name: _SPECTRUM[name] for name in ("wave", "flux", "err", "mask")}
COLUMNS |= _MEAN | {name: _SPECTRUM[name] for name in ("flam", "flam_err")}
MODE_COLUMNS = {
    "grating": Column("", "instr.setup", "disperser"),
    "filter": Column("", "instr.setup;instr.filter", "filter"),
    "bit": Column("", "meta.code", "its bit in column grating of SPEC1D"),
    "filename": Column("", "meta.id;meta.file", "its spectrum"),
    "reference": Column("", "meta.code", "true for the one whose flux scale holds"),
    "scale": Column("", "arith.factor;phot.calib", "factor of its flux, in the middle of its range"),
    "scale_err": Column("", "stat.error;phot.calib", "standard error of scale"),
    "order": Column("", "meta.number", "order of the polynomial that the factor is"),
    "chi2": Column("", "stat.fit.chi2", "chi-squared of the comparison"),
    "n_bins": Column("", "meta.number", "bins compared; 0: no overlap, scale by prior"),
}


@dataclass(frozen=True)
class JointSpectrum:
    """One spectrum from several gratings.

    Attributes
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Vacuum wavelength, rising in steps that change with the grating.
    flux, err : ndarray, shape (n_wave,) [uJy]
        On the flux scale of the reference; NaN where masked. `err` is the noise alone.
    mask : ndarray of bool, shape (n_wave,)
        True where there is no information.
    grating : ndarray of int, shape (n_wave,)
        Sum of `GRATING_BITS`.
    resolution : ndarray, shape (n_wave,)
        lambda / FWHM.
    scale, scale_err : ndarray, shape (n_wave,)
        What the flux was multiplied by, and its standard error.
    modes : Table
        One row per spectrum that went in.
    meta : dict of str to (value, comment)
        Cards of the primary header.
    """

    wave: np.ndarray
    flux: np.ndarray
    err: np.ndarray
    mask: np.ndarray
    grating: np.ndarray
    resolution: np.ndarray
    scale: np.ndarray
    scale_err: np.ndarray
    modes: Table
    meta: Cards

    def table(self) -> Table:
        """The SPEC1D table; finite flux, finite positive error and no mask go together."""
        bad = self.mask | ~(np.isfinite(self.flux) & np.isfinite(self.err) & (self.err > 0))
        flux, err = (np.where(bad, np.nan, values) for values in (self.flux, self.err))
        return Table(
            {
                "wave": self.wave,
                "flux": flux,
                "err": err,
                "mask": bad,
                "grating": np.where(bad, 0, self.grating).astype(np.int32),
                "resolution": self.resolution,
                "scale": self.scale,
                "scale_err": self.scale_err,
                "flam": fnu_to_flam(self.wave, flux),
                "flam_err": fnu_to_flam(self.wave, err),
            }
        )

    def write(self, path: Path) -> None:
        """Write PRIMARY, SPEC1D and MODES."""
        cards = self.meta | {"GRATING": (JOINT, "all of MODES"), "NFSCHEMA": (SCHEMA, "version of this format")}
        hdus = [primary_hdu(cards), table_hdu(self.table(), "SPEC1D", COLUMNS)]
        write_fits(path, fits.HDUList([*hdus, table_hdu(self.modes, "MODES", MODE_COLUMNS)]))

    @classmethod
    def read(cls, path: Path) -> JointSpectrum:
        """Read what `write` wrote.

        Raises
        ------
        DataError
            The file is not a joint spectrum.
        """
        with open_fits(path) as hdus:
            if "MODES" not in hdus or "SPEC1D" not in hdus:
                raise DataError("not a joint spectrum", file=path, key="MODES", remedy="give one that join wrote")
            table, header = Table(hdus["SPEC1D"].data), hdus[0].header
            names = ("wave", "flux", "err", "mask", "grating", "resolution", "scale", "scale_err")
            return cls(
                **{name: np.array(table[name]) for name in names},
                modes=Table(hdus["MODES"].data),
                meta={c.keyword: (c.value, c.comment) for c in header.cards if c.keyword not in _NOT_META},
            )


_NOT_META = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "GRATING", "NFSCHEMA"}
