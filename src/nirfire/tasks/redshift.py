"""redshift: a 1D spectrum to a redshift with the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.table import Table

from nirfire import __version__
from nirfire.core.zscan import RedshiftResult, ScanOptions, fit_redshift
from nirfire.errors import DataError, NoWork
from nirfire.products.line_table import line_table
from nirfire.products.spectrum import Spectrum
from nirfire.products.template_store import load_templates
from nirfire.products.zfit import RedshiftFit
from nirfire.tasks.settings import RedshiftSettings

COPIED = ("SOURCEID", "SRCNAME", "TELESCOP", "INSTRUME", "PROGRAM", "GRATING", "FILTER", "CAL_VER")


class Fittable(Protocol):
    """What a fit needs to know of a spectrum."""

    @property
    def wave(self) -> np.ndarray: ...

    @property
    def meta(self) -> Mapping[str, tuple[Any, str]]: ...

    @property
    def references(self) -> Mapping[str, tuple[Any, str]]: ...


def redshift(spec: Path, zfit: Path, settings: RedshiftSettings) -> None:
    """Fit the redshift of one spectrum.

    Parameters
    ----------
    spec : Path
        The ``_spec.fits``.
    zfit : Path
        The ``_zfit.fits`` to write.
    settings : RedshiftSettings
        Configuration.

    Raises
    ------
    NoWork
        Too few valid pixels for a fit.
    DataError
        The spectrum has no increasing wavelengths, or an unknown grating.
    """
    spectrum = Spectrum.read(spec)
    ivar = spectrum.ivar
    options = options_of(settings)
    n_valid = int(np.count_nonzero(ivar))
    if n_valid < options.least_pixels:
        raise NoWork(f"{n_valid} valid pixels, a fit needs {options.least_pixels}", file=spec)
    try:
        result = fit_redshift(
            spectrum.wave,
            np.where(ivar > 0, spectrum.flux, 0.0),
            ivar,
            grating=spectrum.grating,
            templates=load_templates(settings.templates),
            options=options,
            correlation=spectrum.correlation,
        )
    except ValueError as error:
        raise DataError(str(error), file=spec, key="SPEC1D", remedy="look at its wavelengths and errors") from error
    fit_of(result, spectrum, settings).write(zfit)


def options_of(settings: RedshiftSettings) -> ScanOptions:
    """What the configuration says of the scan."""
    return ScanOptions(z_min=settings.z_min, z_max=settings.z_max)


def fit_of(result: RedshiftResult, spectrum: Fittable, settings: RedshiftSettings) -> RedshiftFit:
    """The product of a fit.

    Parameters
    ----------
    result : RedshiftResult
    spectrum : Fittable
        That was fitted.
    settings : RedshiftSettings

    Returns
    -------
    RedshiftFit
    """
    z, z_err, chi2 = np.asarray(result.peaks).T
    cards = {key: spectrum.meta[key] for key in COPIED if key in spectrum.meta} | dict(spectrum.references)
    cards["ZBEST_C"] = (result.z_coarse, "best redshift of the coarse scan")
    cards["TEMPLATE"] = (settings.templates, "template set")
    cards["STAR"] = (result.star, "the star that fits best")
    cards["CHI2STAR"] = (result.chi2_star, "its chi-squared")
    cards["CHI2NULL"] = (result.chi2_null, "chi-squared of the best smooth curve")
    cards["NFVERS"] = (__version__, "version of nirfire")
    return RedshiftFit(
        z=result.z_best,
        z_err=result.z_err,
        confidence=result.confidence,
        chi2_min=result.chi2_min,
        n_pix=result.n_pix,
        wave=spectrum.wave,
        model=result.model,
        z_grid=result.z,
        chi2=result.chi2,
        peaks=Table({"z": z, "z_err": z_err, "chi2": chi2, "dchi2": chi2 - result.chi2_min}),
        meta=cards,
        probability=result.probability,
        warning=result.warning,
        lines=None if result.lines is None else line_table(result.lines),
        template_class=result.template_class,
        z2=result.z2,
        dchi2=result.dchi2,
        snr=result.snr,
        dof=result.dof,
    )
