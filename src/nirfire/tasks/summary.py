"""summary: one row per source and grating."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from nirfire.products.atomic import atomic_path
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit

UNITS = {"ra": "deg", "dec": "deg", "exposure_time": "s"}


def summary(pairs: list[tuple[Path, Path | None]], targets: list[Path]) -> Table:
    """Collect the results of an observation.

    Parameters
    ----------
    pairs : list of (Path, Path or None)
        Each ``_spec.fits`` with its ``_zfit.fits``, None where there is no fit.
    targets : list of Path
        Files to write; the format follows the extension (``.ecsv`` or ``.fits``).

    Returns
    -------
    Table
        The catalogue.
    """
    rows = [_row(spec, zfit) for spec, zfit in pairs]
    table = Table(rows=rows) if rows else Table(names=("source_id",), dtype=(int,))
    for name, unit in UNITS.items():
        if name in table.colnames:
            table[name].unit = unit
    formats = {".ecsv": "ascii.ecsv", ".fits": "fits"}
    for target in targets:
        with atomic_path(target) as part:
            table.write(part, format=formats[target.suffix], overwrite=True)
    return table


def _row(spec: Path, zfit: Path | None) -> dict[str, object]:
    spectrum = Spectrum.read(spec)
    meta = {k: v[0] for k, v in spectrum.meta.items()}
    good = ~spectrum.mask
    ratio = spectrum.flux[good] / spectrum.err[good]
    fit = RedshiftFit.read(zfit) if zfit else None
    return {
        "source_id": int(meta["SOURCEID"]),
        "grating": meta["GRATING"],
        "filter": meta["FILTER"],
        "ra": meta.get("RA", np.nan),
        "dec": meta.get("DEC", np.nan),
        "redshift_auto": fit.z if fit else np.nan,
        "redshift_error": fit.z_err if fit else np.nan,
        "redshift_confidence": fit.confidence if fit else np.nan,
        "chi2_min": fit.chi2_min if fit else np.nan,
        "n_pix": fit.n_pix if fit else 0,
        "exposure_time": meta.get("EXPTIME", np.nan),
        "signal_to_noise": float(np.median(ratio)) if ratio.size else np.nan,
        "n_exposures": len(spectrum.exposures) if spectrum.exposures is not None else 0,
        "profile": meta.get("NFPROFIL", ""),
        "file": spec.name,
    }
