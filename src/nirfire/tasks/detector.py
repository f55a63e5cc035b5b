"""detector: ramps to raw count rates (stock Detector1)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa import Metafile
from nirfire.products.rate import read_exposure_header
from nirfire.products.slitcal import DO_NOT_USE
from nirfire.stsci.pipelines import run_detector1
from nirfire.tasks.settings import DetectorSettings, StockSteps

SATURATED, REFERENCE_PIXEL = 2, 1 << 31
FEWEST_GROUPS = 2


def detector(uncal: Path, rateraw: Path, settings: DetectorSettings) -> None:
    """Fit the ramps of one exposure; several integrations are averaged.

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
        The file is damaged or lacks a keyword, the MSA metafile is absent or another configuration's, a parameter of a
        stock step does not exist, a ramp has a single group, or no pixel has a usable count rate.
    """
    facts = read_exposure_header(uncal)
    Metafile.read(facts.metafile).configuration(facts.metadata_id)
    steps = settings.all_steps()
    check_ramps(uncal, steps)
    with tempfile.TemporaryDirectory(prefix="nirfire-detector1-") as folder:
        rate = run_detector1(uncal, Path(folder), steps)
        check_rate(rate, uncal)
        with atomic_path(rateraw) as part:
            shutil.copyfile(rate, part)


def check_ramps(uncal: Path, steps: StockSteps) -> None:
    """Refuse ramps of which the stock pipeline makes nonsense, or nothing.

    A ramp of a single group it divides by the group time, bias drift and all, and says nothing. An IRS2 frame whose
    reference pixels ``refpix`` did not take out does not fit the references of the steps after it.

    Parameters
    ----------
    uncal : Path
        The exposure.
    steps : dict of dict
        Parameters of the stock steps.

    Raises
    ------
    DataError
        NGROUPS is below two, or ``refpix`` is skipped for an IRS2 exposure.
    """
    with open_fits(uncal) as hdus:
        header = hdus[0].header
    n_groups = int(header.get("NGROUPS", FEWEST_GROUPS))
    if n_groups < FEWEST_GROUPS:
        raise DataError(
            f"ramps of {n_groups} group have no slope",
            file=uncal,
            key="NGROUPS",
            remedy=f"leave this exposure out: {FEWEST_GROUPS} groups are needed, and 3 to find cosmic rays",
        )
    if "IRS2" in str(header.get("READPATT")) and steps.get("refpix", {}).get("skip"):
        raise DataError(
            f"{header['READPATT']} frames cannot be reduced without the step refpix",
            file=uncal,
            key="detector.steps.refpix.skip",
            remedy="do not skip it",
        )


def check_rate(rate: Path, uncal: Path) -> None:
    """Refuse count rates of which no light-sensitive pixel is usable. Fewer than all is a matter for the DQ.

    Parameters
    ----------
    rate : Path
        What stock Detector1 gave.
    uncal : Path
        The exposure, for the message.

    Raises
    ------
    DataError
        No pixel that sees light has a finite count rate without DO_NOT_USE.
    """
    with open_fits(rate) as hdus:
        sci, dq = hdus["SCI"].data, hdus["DQ"].data
        light = (dq & REFERENCE_PIXEL) == 0
        usable = light & np.isfinite(sci) & ((dq & DO_NOT_USE) == 0)
        if usable.any():
            return
        saturated = float(((dq & SATURATED) != 0)[light].mean()) if light.any() else 0.0
    if saturated > 0.5:
        raise DataError(
            f"no usable pixel: {saturated:.0%} are saturated by their second group",
            file=uncal,
            remedy="leave this exposure out",
        )
    raise DataError(
        "no usable pixel: the ramps are empty or flagged throughout",
        file=uncal,
        remedy="look at the exposure, and download it again or leave it out",
    )
