"""detector: ramps to raw count rates (stock Detector1)."""

from __future__ import annotations

import shutil
from pathlib import Path

from nirfire.products.atomic import atomic_path
from nirfire.products.msa import Metafile
from nirfire.products.rate import read_exposure_header
from nirfire.stsci.pipelines import run_detector1
from nirfire.tasks.settings import DetectorSettings


def detector(uncal: Path, rateraw: Path, settings: DetectorSettings) -> None:
    """Fit the ramps of one exposure.

    Parameters
    ----------
    uncal : Path
        The ``_uncal.fits``.
    rateraw : Path
        The ``_rateraw.fits`` to write.
    settings : DetectorSettings
        Configuration.

    Raises
    ------
    DataError
        The file is damaged or lacks a keyword, or the MSA metafile is absent or another configuration's.
    """
    facts = read_exposure_header(uncal)
    Metafile.read(facts.metafile).configuration(facts.metadata_id)
    steps = {"jump": {"expand_large_events": settings.expand_large_events}} | settings.steps
    rate = run_detector1(uncal, steps)
    try:
        with atomic_path(rateraw) as part:
            shutil.copyfile(rate, part)
    finally:
        shutil.rmtree(rate.parent)
