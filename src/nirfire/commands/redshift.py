"""`redshift`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nirfire.commands.aim import BAD_JOBS
from nirfire.commands.output import say, show_rows
from nirfire.errors import DataError
from nirfire.pipeline.target import Layers
from nirfire.products.naming import zfit_of
from nirfire.products.zfit import RedshiftFit
from nirfire.tasks.redshift import redshift

HEADINGS = {"file": "spectrum", "z": "z", "z_err": "z error", "confidence": "confidence"}


def fit(spectra: Sequence[Path], folder: Path | None, layers: Layers) -> int:
    """Fit single spectra, outside a run; one that cannot be fitted does not stop the others.

    Returns
    -------
    int
        Exit code.
    """
    settings = layers.resolve().configuration.redshift
    rows, bad = [], 0
    for spec in spectra:
        zfit = zfit_of(spec)
        target = folder / zfit.name if folder else zfit
        try:
            redshift(spec, target, settings)
        except DataError as error:
            say(f"error: {error}")
            bad += 1
            continue
        found = RedshiftFit.read(target)
        rows.append({"file": spec.name, "z": found.z, "z_err": found.z_err, "confidence": found.confidence})
    if rows:
        show_rows(HEADINGS, rows)
    return BAD_JOBS if bad else 0
