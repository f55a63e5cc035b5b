"""What somebody needs to repeat the stock run of one source by hand, with ``strun``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nirfire.products.atomic import atomic_path
from nirfire.products.naming import RATE, SPEC2_PARAMETERS
from nirfire.stsci.pipelines import Steps, configured_spec2, spec2_steps, write_association


def write_inputs(folder: Path, rate: Path, product: str, steps: Steps) -> Path:
    """Write the association and the parameters of a stock Spec2 run, and link the exposure beside them.

    Parameters
    ----------
    folder : Path
        Holds the per-source metafile, under the name that the exposure has for it: the stock pipeline looks for it
        beside the association, so the exposure need not be edited.
    rate : Path
        The ``_rate.fits``.
    product : str
        Name of the product, without suffix.
    steps : dict of dict
        Step parameters; those in `SKIP_IN_SPEC2` are skipped unless said otherwise.

    Returns
    -------
    Path
        The association. ``strun PARAMETERS ASSOCIATION`` repeats the run.
    """
    from stdatamodels.jwst import datamodels

    link = folder / f"{product}{RATE}"
    link.unlink(missing_ok=True)
    with suppress(FileExistsError):
        link.symlink_to(os.path.relpath(rate.resolve(), folder.resolve()))
    association = write_association(folder, product, "spec2", [Path(link.name)])
    with datamodels.open(rate) as model:
        pipeline = configured_spec2(model, spec2_steps(steps))
    with atomic_path(folder / f"{product}{SPEC2_PARAMETERS}") as part:
        pipeline.export_config(part)
    return association
