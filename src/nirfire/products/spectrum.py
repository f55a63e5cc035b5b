"""Spectrum: what stage 3 gives for one source and grating, file ``_spec.fits``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.columns import Cards, Column, describe, primary_hdu, table_hdu
from nirfire.products.fitsfile import open_fits
from nirfire.products.provenance import OWN_CARDS, tells_references

C_UM_PER_S = 2.99792458e14
UJY_TO_CGS = 1e-29


def fnu_to_flam(wave: np.ndarray, fnu: np.ndarray) -> np.ndarray:
    """Convert flux density per frequency to per wavelength.

    Parameters
    ----------
    wave : ndarray [um]
        Wavelength.
    fnu : ndarray [uJy]
        Flux density per unit frequency.

    Returns
    -------
    ndarray [erg / (s cm2 Angstrom)]
        f_lambda = f_nu c / lambda^2.
    """
    return fnu * UJY_TO_CGS * C_UM_PER_S / wave**2 * 1e-4


FNU, FLAM = "uJy", "erg Angstrom-1 s-1 cm-2"  # as astropy spells them
FNU_UCD, FLAM_UCD = "phot.flux.density;em.freq", "phot.flux.density;em.wl"
WAVE = Column("um", "em.wl", "vacuum wavelength")
EXPOSURE_COLUMNS = {
    "filename": Column("", "meta.id;meta.file", "background-subtracted exposure"),
    "nod_type": Column("", "meta.code", "kind of nod pattern"),
    "nod_number": Column("", "meta.number;obs.sequence", "position in the nod pattern"),
    "exptime": Column("s", "time.duration;obs.exposure", "effective exposure time"),
    "stuck_shutter_list": Column("", "meta.code;instr.param", "stuck-closed shutters of the slitlet, by ordinal"),
    "shutter_state": Column("", "meta.code;instr.param", "shutters of the slitlet; x marks the source"),
    "sky": Column("", "meta.code", "sky from the other nods, or global: from all blank shutters"),
    "nod_overlap": Column("", "phot.flux;arith.ratio", "share of the source's light that the other nods remove"),
    "source_ra": Column("deg", "pos.eq.ra", "right ascension of the source"),
    "source_dec": Column("deg", "pos.eq.dec", "declination of the source"),
    "source_xpos": Column("", "pos.cartesian.x", "source in its shutter, dispersion; shutter pitch is 1"),
    "source_ypos": Column("", "pos.cartesian.y", "source in its shutter, cross-dispersion; shutter pitch is 1"),
    "pa_v3": Column("deg", "pos.posAng", "position angle of the telescope's V3 axis"),
}


def spectrum_columns(widths: list[int]) -> dict[str, Column]:
    """What is said of the columns of SPEC1D, with boxcars of these widths [pixels]."""
    kinds = {"": "optimal extraction"} | {f"_box{w}": f"boxcar of {w} pixels" for w in widths}
    columns = {"wave": WAVE}
    for kind, text in kinds.items():
        main = "" if kind else ";meta.main"
        columns |= {
            f"flux{kind}": Column(FNU, FNU_UCD + main, f"flux density per frequency, {text}"),
            f"err{kind}": Column(FNU, f"stat.error;{FNU_UCD}", f"standard error of flux{kind}"),
        }
        if not kind:
            columns["mask"] = Column("", "meta.code.qual", "true where there is no information")
    for kind, text in kinds.items():
        columns |= {
            f"flam{kind}": Column(FLAM, FLAM_UCD, f"flux density per wavelength, {text}"),
            f"flam_err{kind}": Column(FLAM, f"stat.error;{FLAM_UCD}", f"standard error of flam{kind}"),
        }
    return columns


def profile_columns(widths: list[int]) -> dict[str, Column]:
    """What is said of the columns of PROF1D, with boxcars of these widths [pixels]."""
    boxes = {f"{w}px": Column("", "stat.weight", f"share of each row in the boxcar of {w} pixels") for w in widths}
    return {
        "ypos": Column("pix", "pos.cartesian.y;instr.det", "row of the 2D stack, from the source"),
        "opt": Column("", "stat.weight", "profile of the optimal extraction"),
    } | boxes


@dataclass(frozen=True)
class Spectrum:
    """A 1D spectrum with the 2D stack that it was extracted from.

    Attributes
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Vacuum wavelength; row i of the table is column i of the 2D images.
    flux, err : ndarray, shape (n_wave,) [uJy]
        Optimal extraction and its standard error; NaN where masked.
    mask : ndarray of bool, shape (n_wave,)
        True where there is no information.
    boxes : dict of int to (ndarray, ndarray), shape (n_wave,) [uJy]
        Flux and error of the boxcar extractions, by width in pixels.
    sci, err2d, wave2d, weight : ndarray, shape (n_spat, n_wave) [uJy, uJy, um, none]
        The rectified stack.
    profiles : dict of str to ndarray, shape (n_spat,)
        Cross-dispersion profiles by name (``ypos, opt, 3px, 4px, 5px``).
    exposures : Table
        One row per exposure that went in.
    meta : dict of str to (value, comment)
        Cards of the primary header; SOURCEID, GRATING, FILTER, ... .
    """

    wave: np.ndarray
    flux: np.ndarray
    err: np.ndarray
    mask: np.ndarray
    boxes: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    sci: np.ndarray | None = None
    err2d: np.ndarray | None = None
    wave2d: np.ndarray | None = None
    weight: np.ndarray | None = None
    profiles: dict[str, np.ndarray] = field(default_factory=dict)
    exposures: Table | None = None
    meta: dict[str, tuple[Any, str]] = field(default_factory=dict)

    @property
    def ivar(self) -> np.ndarray:
        """Inverse variance, zero where masked, shape (n_wave,) [1 / uJy2]."""
        good = ~self.mask & (self.err > 0)
        return np.where(good, 1.0 / np.where(good, self.err, 1.0) ** 2, 0.0)

    @property
    def grating(self) -> str:
        return str(self.meta["GRATING"][0])

    @property
    def references(self) -> Cards:
        """Cards that name the CRDS context and references, for what is made from the spectrum."""
        return {key: card for key, card in self.meta.items() if tells_references(key)}

    def table(self) -> Table:
        """The SPEC1D table: ``wave, flux, err, mask``, then the boxcars, then everything per wavelength."""
        fluxes = {"flux": self.flux, "err": self.err}
        for width, (flux, err) in self.boxes.items():
            fluxes |= {f"flux_box{width}": flux, f"err_box{width}": err}
        table = Table({"wave": self.wave, "flux": self.flux, "err": self.err, "mask": self.mask})
        for name, values in fluxes.items():
            table[name] = values
        for name, values in fluxes.items():
            table[name.replace("flux", "flam").replace("err", "flam_err")] = fnu_to_flam(self.wave, values)
        describe(table, spectrum_columns(list(self.boxes)))
        return table

    def write(self, path: Path) -> None:
        """Write ``_spec.fits``: PRIMARY, SPEC1D, SCI, ERR, WAVELENGTH, WHT, PROF1D, EXPOSURES."""
        columns = spectrum_columns(list(self.boxes))
        hdus = fits.HDUList([primary_hdu(self.meta), table_hdu(self.table(), "SPEC1D", columns)])
        for name, image, unit in (
            ("SCI", self.sci, FNU),
            ("ERR", self.err2d, FNU),
            ("WAVELENGTH", self.wave2d, WAVE.unit),
            ("WHT", self.weight, None),
        ):
            if image is not None:
                hdu = fits.ImageHDU(image.astype(np.float32), name=name)
                if unit:
                    hdu.header["BUNIT"] = unit
                hdus.append(hdu)
        if self.profiles:
            hdus.append(table_hdu(Table(self.profiles), "PROF1D", profile_columns(list(self.boxes))))
        if self.exposures is not None:
            hdus.append(table_hdu(self.exposures, "EXPOSURES", EXPOSURE_COLUMNS))
        write_fits(path, hdus)

    @classmethod
    def read(cls, path: Path) -> Spectrum:
        """Read ``_spec.fits``; any file with a SPEC1D table of ``wave, flux, err`` in um and uJy will do.

        Raises
        ------
        DataError
            No SPEC1D table, or a column is missing.
        """
        with open_fits(path) as hdus:
            if "SPEC1D" not in hdus:
                raise DataError("no SPEC1D table", file=path, key="SPEC1D", remedy="give a _spec.fits file")
            table = Table(hdus["SPEC1D"].data)
            for name in ("wave", "flux", "err"):
                if name not in table.colnames:
                    raise DataError(f"column {name} is missing", file=path, key=f"SPEC1D.{name}")
            wave, flux, err = (np.array(table[n], dtype=float) for n in ("wave", "flux", "err"))
            bad = ~np.isfinite(flux) | ~np.isfinite(err) | (err <= 0)
            mask = bad | np.array(table["mask"], dtype=bool) if "mask" in table.colnames else bad
            widths = sorted(int(n.removeprefix("flux_box")) for n in table.colnames if n.startswith("flux_box"))
            images = {n: np.array(hdus[n].data) if n in hdus else None for n in ("SCI", "ERR", "WAVELENGTH", "WHT")}
            cards = hdus[0].header.cards
            return cls(
                wave=wave,
                flux=flux,
                err=err,
                mask=mask,
                boxes={w: (np.array(table[f"flux_box{w}"]), np.array(table[f"err_box{w}"])) for w in widths},
                sci=images["SCI"],
                err2d=images["ERR"],
                wave2d=images["WAVELENGTH"],
                weight=images["WHT"],
                profiles={n: np.array(c) for n, c in Table(hdus["PROF1D"].data).items()} if "PROF1D" in hdus else {},
                exposures=Table(hdus["EXPOSURES"].data) if "EXPOSURES" in hdus else None,
                meta={c.keyword: (c.value, c.comment) for c in cards if c.keyword not in _NOT_META},
            )


_NOT_META = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY", "", *OWN_CARDS}
