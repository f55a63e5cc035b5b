"""JointFit: one redshift of a source from the fits of all its gratings, file ``_joint_zfit.fits``."""

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
from nirfire.products.joint import JOINT

SUPPORT = 1.0  # from here on a grating counts for the joint redshift
PROBABILITY = "stat.probability;src.redshift"
GRATING_COLUMNS = {
    "grating": Column("", "instr.setup", "disperser"),
    "filter": Column("", "instr.setup;instr.filter", "filter"),
    "filename": Column("", "meta.id;meta.file", "its redshift fit"),
    "z": Column("", "src.redshift", "best redshift of this grating alone"),
    "z_err": Column("", "stat.error;src.redshift", "its standard error"),
    "probability": Column("", PROBABILITY, "that it is right, from this grating alone"),
    "velocity_err": Column("km/s", "stat.error.sys;spect.dopplerVeloc", "standard error assumed of its wavelengths"),
    "offset": Column("km/s", "spect.dopplerVeloc;arith.diff", "of its wavelengths: positive where its z is higher"),
    "offset_err": Column("km/s", "stat.error;spect.dopplerVeloc", "standard error of offset"),
    "support": Column("", "stat.likelihood", "ln of the factor by which it makes the joint redshift probable"),
}
PEAK_COLUMNS = {
    "z": Column("", "src.redshift", "distinct redshift, most probable first"),
    "z_err": Column("", "stat.error;src.redshift", "standard deviation of p(z) about it"),
    "probability": Column("", PROBABILITY, "that |dz| / (1 + z) < 0.01"),
}
PZ_COLUMNS = {
    "z": Column("", "src.redshift", "redshift; fine about the peaks"),
    "pz": Column("", PROBABILITY, "probability per unit redshift"),
}
NOT_META = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "GRATING", "ZBEST", "ZERR", "ZPROB", "ZQUAL"}
NOT_META |= {"ZWARN", "ZCONS", "ZCONSBY", "NGRATING", "NAGREE"}


@dataclass(frozen=True)
class JointFit:
    """A redshift from several gratings.

    Attributes
    ----------
    z, z_err : float
        Mean and standard deviation of p(z) over its best peak.
    probability : float
        That |dz| / (1 + z) < 0.01.
    warning : int
        Bits of `zfit.WARNINGS`: what all fits share that support the redshift; 4 where p(z) has another high peak.
    consensus : float
        Redshift by the published rule.
    said_by : str
        Whose that is: a grating, or GRATINGS for the best common minimum.
    gratings, peaks : Table
        See `GRATING_COLUMNS` and `PEAK_COLUMNS`.
    z_grid, density : ndarray, shape (n_z,)
        p(z), per unit redshift.
    meta : dict of str to (value, comment)
        Further cards of the primary header.
    """

    z: float
    z_err: float
    probability: float
    warning: int
    consensus: float
    said_by: str
    gratings: Table
    peaks: Table
    z_grid: np.ndarray
    density: np.ndarray
    meta: Cards

    @property
    def n_agree(self) -> int:
        """Gratings that make this redshift more probable by more than a factor e."""
        return int(np.count_nonzero(np.asarray(self.gratings["support"]) > SUPPORT))

    def write(self, path: Path) -> None:
        """Write PRIMARY, GRATINGS, PEAKS and PZ."""
        primary = primary_hdu(self.meta | {"GRATING": (JOINT, "all of GRATINGS")})
        primary.header["ZBEST"] = (round(self.z, 6), "best redshift")
        primary.header["ZERR"] = (float(f"{self.z_err:.4g}"), "its standard error")
        primary.header["ZQUAL"] = (0, "quality by a person: 0 not inspected")
        primary.header["ZPROB"] = (round(self.probability, 6), "probability that |dz|/(1+z) < 0.01")
        primary.header["ZWARN"] = (self.warning, "sum of warnings that all share; 0 none")
        primary.header["ZCONS"] = (round(self.consensus, 6), "redshift by the published consensus rule")
        primary.header["ZCONSBY"] = (self.said_by, "whose that is")
        primary.header["NGRATING"] = (len(self.gratings), "spectra that went in")
        primary.header["NAGREE"] = (self.n_agree, "of which support ZBEST")
        density = Table({"z": self.z_grid, "pz": self.density})
        hdus = [primary, table_hdu(self.gratings, "GRATINGS", GRATING_COLUMNS)]
        hdus += [table_hdu(self.peaks, "PEAKS", PEAK_COLUMNS), table_hdu(density, "PZ", PZ_COLUMNS)]
        write_fits(path, fits.HDUList(hdus))

    @classmethod
    def read(cls, path: Path) -> JointFit:
        """Read what `write` wrote.

        Raises
        ------
        DataError
            The file is not a joint redshift fit.
        """
        with open_fits(path) as hdus:
            missing = [name for name in ("GRATINGS", "PEAKS", "PZ") if name not in hdus]
            if missing:
                remedy = "give one that agree wrote"
                raise DataError("not a redshift of all gratings", file=path, key=missing[0], remedy=remedy)
            header, density = hdus[0].header, hdus["PZ"].data
            return cls(
                z=header["ZBEST"],
                z_err=header["ZERR"],
                probability=header["ZPROB"],
                warning=header["ZWARN"],
                consensus=header["ZCONS"],
                said_by=header["ZCONSBY"],
                gratings=Table(hdus["GRATINGS"].data),
                peaks=Table(hdus["PEAKS"].data),
                z_grid=np.array(density["z"]),
                density=np.array(density["pz"]),
                meta={c.keyword: (c.value, c.comment) for c in header.cards if c.keyword not in NOT_META},
            )
