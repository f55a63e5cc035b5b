"""redshift: a 1D spectrum to a redshift with the evidence for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from nirfire import __version__
from nirfire.core.zscan import MIN_PIXELS, ScanOptions, fit_redshift
from nirfire.errors import DataError, NoWork
from nirfire.products.spectrum import Spectrum
from nirfire.products.template_store import load_templates
from nirfire.products.zfit import RedshiftFit
from nirfire.tasks.settings import RedshiftSettings

COPIED = ("SOURCEID", "SRCNAME", "TELESCOP", "INSTRUME", "PROGRAM", "GRATING", "FILTER", "CAL_VER")


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
        The spectrum has no increasing wavelengths, an unknown grating, or too few pixels left after cleaning.
    """
    spectrum = Spectrum.read(spec)
    ivar = spectrum.ivar
    n_valid = int(np.count_nonzero(ivar))
    options = ScanOptions(z_min=settings.z_min, z_max=settings.z_max)
    needed = MIN_PIXELS + 2 * options.edge_pixels
    if n_valid < needed:
        raise NoWork(f"{n_valid} valid pixels, a fit needs {needed}", file=spec)
    try:
        result = fit_redshift(
            spectrum.wave,
            np.where(ivar > 0, spectrum.flux, 0.0),
            ivar,
            grating=spectrum.grating,
            templates=load_templates(settings.templates),
            options=options,
        )
    except ValueError as error:
        raise DataError(str(error), file=spec, key="SPEC1D", remedy="look at its wavelengths and errors") from error
    z, z_err, chi2 = np.asarray(result.peaks).T
    cards = {k: spectrum.meta[k] for k in COPIED if k in spectrum.meta} | spectrum.references
    cards["ZBEST_C"] = (result.z_coarse, "best redshift of the coarse scan")
    cards["ZPROB"] = (result.confidence_tempered, "as ZCONF, tempered for noise")
    cards["TEMPLATE"] = (settings.templates, "template set")
    cards["NFVERS"] = (__version__, "version of nirfire")
    RedshiftFit(
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
    ).write(zfit)
