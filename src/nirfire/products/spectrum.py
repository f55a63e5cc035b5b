"""Spectrum: what stage 3 gives for one source and grating, file ``_spec.fits``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.core.regrid import variance_of_sum
from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.columns import Cards, describe, primary_hdu, table_hdu
from nirfire.products.exposures import EXPOSURE_COLUMNS
from nirfire.products.fitsfile import open_fits
from nirfire.products.provenance import OWN_CARDS, tells_references
from nirfire.products.spectrum_columns import (
    FNU,
    FNU_UCD,
    IMAGES,
    SINGLE_COLUMNS,
    WAVE,
    profile_columns,
    spectrum_columns,
)

__all__ = [
    "EXPOSURE_COLUMNS",
    "FNU",
    "FNU_UCD",
    "SCHEMA",
    "WAVE",
    "Spectrum",
    "fnu_to_flam",
    "profile_columns",
    "spectrum_columns",
]
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


REMEDY = "use the version of nirfire that wrote it, or extract anew"
SCHEMA = "2.0"
"""Version of the format, card NFSCHEMA: the first number changes when a reader must change."""
ROWS = ("slitloss", "slitloss_err", "shape_err", "n_used", "scale", "scale_err")
PLANES = {
    "SCI": "sci",
    "ERR": "err2d",
    "WAVELENGTH": "wave2d",
    "WHT": "weight",
    "DQ": "dq2d",
    "MODEL": "model2d",
}
"""HDUs of the 2D spectrum, and the attributes that they hold."""


@dataclass(frozen=True)
class Spectrum:
    """A 1D spectrum with the 2D spectrum beside it.

    Attributes
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Vacuum wavelength, rising; row i of the table is column i of the 2D images.
    flux, err : ndarray, shape (n_wave,) [uJy]
        Optimal extraction, the total flux of the source, and its standard error; NaN where masked.
    mask : ndarray of bool, shape (n_wave,)
        True where there is no information.
    boxes : dict of int to (ndarray, ndarray), shape (n_wave,) [uJy]
        Flux and error of the boxcar extractions, by width in pixels.
    apertures : dict of int to ndarray, shape (n_wave,)
        Share of the source's light in each boxcar, which its flux was divided by.
    slitloss, slitloss_err : ndarray, shape (n_wave,), or None
        Share of the light that passes the shutters, relative to a centred point, and its standard error; divided out.
    shape_err : ndarray, shape (n_wave,), or None
        Relative standard error of `flux` by the error of place and size; common to all wavelengths, and not in `err`.
    n_used : ndarray of int, shape (n_wave,), or None
        Exposures that have weight.
    correlation : ndarray, shape (n_band, n_wave), or None
        Of flux i and i + k in ``[k - 1, i]``, 0 beyond the end; None: not known.
    sci, err2d, wave2d, weight : ndarray, shape (n_spat, n_wave) [uJy, uJy, um, none]
        The 2D spectrum.
    model2d : ndarray, shape (n_spat, n_wave) [uJy], or None
        What the fit says that `sci` should be.
    dq2d : ndarray of uint32, shape (n_spat, n_wave), or None
        JWST data quality bits.
    profiles : dict of str to ndarray, shape (n_spat,)
        Cross-dispersion profiles by name (``ypos, opt, 3px, 4px, 5px``).
    exposures : Table
        One row per exposure that went in.
    single : (ndarray, ndarray), shape (n_exp, n_wave) [uJy], or None
        Flux and error of each exposure alone, by row of `exposures`.
    scale, scale_err : ndarray, shape (n_wave,), or None
        What brings the flux to photometry, and its standard error; not applied.
    meta : dict of str to (value, comment)
        Cards of the primary header; SOURCEID, GRATING, FILTER, ... .
    """

    wave: np.ndarray
    flux: np.ndarray
    err: np.ndarray
    mask: np.ndarray
    boxes: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    apertures: dict[int, np.ndarray] = field(default_factory=dict)
    slitloss: np.ndarray | None = None
    slitloss_err: np.ndarray | None = None
    shape_err: np.ndarray | None = None
    n_used: np.ndarray | None = None
    correlation: np.ndarray | None = None
    sci: np.ndarray | None = None
    err2d: np.ndarray | None = None
    wave2d: np.ndarray | None = None
    weight: np.ndarray | None = None
    model2d: np.ndarray | None = None
    dq2d: np.ndarray | None = None
    profiles: dict[str, np.ndarray] = field(default_factory=dict)
    exposures: Table | None = None
    single: tuple[np.ndarray, np.ndarray] | None = None
    scale: np.ndarray | None = None
    scale_err: np.ndarray | None = None
    meta: dict[str, tuple[Any, str]] = field(default_factory=dict)

    @property
    def ivar(self) -> np.ndarray:
        """Inverse variance, zero where masked, shape (n_wave,) [1 / uJy2]."""
        good = ~self.mask & (self.err > 0)
        return np.where(good, 1.0 / np.where(good, self.err, 1.0) ** 2, 0.0)

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the fluxes, 0 where masked, shape (n_band + 1, n_wave) [uJy2].

        ``[k, i]`` is that of flux i and i + k, which is the lower form that `scipy.linalg.solveh_banded` takes.
        """
        err = np.where(self.ivar > 0, self.err, 0.0)
        bands = [err**2]
        for k, row in enumerate(() if self.correlation is None else self.correlation, 1):
            later = np.zeros(err.size)
            later[:-k] = err[k:]
            bands.append(row * err * later)
        return np.array(bands)

    def error_of_sum(self, weights: np.ndarray) -> float:
        """Standard error [uJy] of the sum of weights times flux; weights of shape (n_wave,), masked bins do not count.

        With the correlation of neighbours and, where it is known, the error that place and size of the source bring.
        """
        known = np.where(self.ivar > 0, weights, 0.0)
        common = 0.0 if self.shape_err is None else float(np.nansum(known * self.shape_err * self.flux))
        return float(np.hypot(np.sqrt(variance_of_sum(self.covariance, known)), common))

    @property
    def grating(self) -> str:
        return str(self.meta["GRATING"][0])

    @property
    def references(self) -> Cards:
        """Cards that name the CRDS context and references, for what is made from the spectrum."""
        return {key: card for key, card in self.meta.items() if tells_references(key)}

    def consistent(self) -> Spectrum:
        """The same with what the format promises: finite flux, finite positive error and no mask go together.

        Numbers become float64. A boxcar or exposure without information where the optimal extraction has some is
        NaN in flux and error, and so is one that has a flux without an error.
        """
        bad = self.mask | ~_known(self.flux, self.err)
        return replace(
            self,
            flux=np.where(bad, np.nan, self.flux),
            err=np.where(bad, np.nan, self.err),
            mask=bad,
            boxes={width: _agreed(*box) for width, box in self.boxes.items()},
            single=self.single and _agreed(*self.single),
        )

    def table(self) -> Table:
        """The SPEC1D table: ``wave, flux, err, mask``, the boxcars, all this per wavelength, and what belongs to it."""
        fluxes = {"flux": self.flux, "err": self.err}
        for width, (flux, err) in self.boxes.items():
            fluxes |= {f"flux_box{width}": flux, f"err_box{width}": err}
        numbers = {name: np.asarray(values, dtype=float) for name, values in fluxes.items()}
        wave = np.asarray(self.wave, dtype=float)
        table = Table({"wave": wave, "flux": numbers["flux"], "err": numbers["err"], "mask": self.mask})
        for name, values in numbers.items():
            table[name] = values
        for name, values in numbers.items():
            table[name.replace("flux", "flam").replace("err", "flam_err")] = fnu_to_flam(wave, values)
        more = {name: getattr(self, name) for name in ROWS[:3]}
        more |= {f"aper_box{width}": share for width, share in self.apertures.items()}
        more |= {name: getattr(self, name) for name in ROWS[3:]}
        for name, values in more.items():
            if values is not None:
                table[name] = np.asarray(values, dtype=np.int32 if name == "n_used" else float)
        describe(table, spectrum_columns(list(self.boxes)))
        return table

    def write(self, path: Path) -> None:
        """Write ``_spec.fits``, after `consistent`; what is None is left out.

        The order is PRIMARY, SPEC1D, SCI, ERR, WAVELENGTH, WHT, DQ, MODEL, PROF1D, COVAR, EXPOSURES, SINGLE.
        """
        spectrum = self.consistent()
        widths = list(self.boxes)
        cards = self.meta | {"NFSCHEMA": (SCHEMA, "version of this format")}
        hdus = fits.HDUList([primary_hdu(cards), table_hdu(spectrum.table(), "SPEC1D", spectrum_columns(widths))])
        for name, attribute in PLANES.items():
            image = getattr(self, attribute)
            if image is not None:
                hdus.append(_image(name, image.astype(np.uint32 if name == "DQ" else np.float32)))
        if self.profiles:
            hdus.append(table_hdu(Table(self.profiles), "PROF1D", profile_columns(widths)))
        if self.correlation is not None:
            hdus.append(_image("COVAR", np.asarray(self.correlation, dtype=float)))
        if self.exposures is not None:
            hdus.append(table_hdu(self.exposures, "EXPOSURES", EXPOSURE_COLUMNS))
        if spectrum.single is not None:
            single = Table(dict(zip(("flux", "err"), spectrum.single, strict=True)))
            hdus.append(table_hdu(single, "SINGLE", SINGLE_COLUMNS))
        write_fits(path, hdus)

    @classmethod
    def read(cls, path: Path) -> Spectrum:
        """Read ``_spec.fits``; any file with a SPEC1D table of ``wave, flux, err`` in um and uJy will do.

        Raises
        ------
        DataError
            No SPEC1D table, a column is missing, or the file is of a later format.
        """
        with open_fits(path) as hdus:
            _check_schema(hdus[0].header, path)
            if "SPEC1D" not in hdus:
                raise DataError("no SPEC1D table", file=path, key="SPEC1D", remedy="give a _spec.fits file")
            table = Table(hdus["SPEC1D"].data)
            for name in ("wave", "flux", "err"):
                if name not in table.colnames:
                    raise DataError(f"column {name} is missing", file=path, key=f"SPEC1D.{name}")
            columns = {name: np.array(table[name]) for name in table.colnames}
            wave, flux, err = (columns[name].astype(float) for name in ("wave", "flux", "err"))
            bad = ~_known(flux, err)
            images = {a: np.array(hdus[n].data) if _is_image(hdus, n) else None for n, a in PLANES.items()}
            single = Table(hdus["SINGLE"].data) if "SINGLE" in hdus else None
            cards = hdus[0].header.cards
            return cls(
                wave=wave,
                flux=flux,
                err=err,
                mask=bad | columns["mask"].astype(bool) if "mask" in columns else bad,
                boxes={w: (columns[f"flux_box{w}"], columns[f"err_box{w}"]) for w in _widths(columns, "flux_box")},
                apertures={w: columns[f"aper_box{w}"] for w in _widths(columns, "aper_box")},
                **{name: columns.get(name) for name in ROWS},
                correlation=np.array(hdus["COVAR"].data) if "COVAR" in hdus else None,
                **images,
                profiles={n: np.array(c) for n, c in Table(hdus["PROF1D"].data).items()} if "PROF1D" in hdus else {},
                exposures=Table(hdus["EXPOSURES"].data) if "EXPOSURES" in hdus else None,
                single=None if single is None else (np.array(single["flux"]), np.array(single["err"])),
                meta={c.keyword: (c.value, c.comment) for c in cards if c.keyword not in _NOT_META},
            )


_NOT_META = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY", "", *OWN_CARDS}


def _known(flux: np.ndarray, err: np.ndarray) -> np.ndarray:
    """True where flux and error are numbers and the error is positive."""
    return np.isfinite(flux) & np.isfinite(err) & (err > 0)


def _agreed(flux: np.ndarray, err: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NaN in both where one of them tells nothing."""
    good = _known(flux, err)
    return np.where(good, flux, np.nan), np.where(good, err, np.nan)


def _image(name: str, data: np.ndarray) -> fits.ImageHDU:
    hdu = fits.ImageHDU(data, name=name)
    said = IMAGES[name]
    if said.unit:
        hdu.header["BUNIT"] = said.unit
    hdu.header["UCD"] = (said.ucd, "what it is (IVOA UCD1+)")
    return hdu


def _is_image(hdus: fits.HDUList, name: str) -> bool:
    return name in hdus and isinstance(hdus[name], fits.ImageHDU)


def _widths(columns: Iterable[str], start: str) -> list[int]:
    return sorted(int(name.removeprefix(start)) for name in columns if name.startswith(start))


def _check_schema(header: fits.Header, path: Path) -> None:
    found = str(header.get("NFSCHEMA", SCHEMA))
    if found.split(".")[0] != SCHEMA.split(".")[0]:
        raise DataError(f"format {found} of _spec.fits, expected {SCHEMA}", file=path, key="NFSCHEMA", remedy=REMEDY)
