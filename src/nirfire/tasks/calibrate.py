"""calibrate: count rates to a flux-calibrated 2D cutout of one source (stock Spec2)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from nirfire.errors import DataError, NoWork
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa import Metafile
from nirfire.products.naming import CAL
from nirfire.products.rate import read_exposure_header, read_slitlets
from nirfire.stsci.pipelines import run_spec2
from nirfire.tasks.settings import CalibrateSettings

EXTENDED_UNIT, POINT_UNIT = "MJy/sr", "MJy"


def calibrate(rate: Path, cal: Path, source: int, settings: CalibrateSettings, closed: tuple[int, ...] = ()) -> None:
    """Calibrate one source of one exposure.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits``; its MSA metafile lies beside it.
    cal : Path
        The ``_cal.fits`` to write, in MJy.
    source : int
        Source number.
    settings : CalibrateSettings
        Configuration.
    closed : tuple of int
        Ordinals of stuck-closed shutters of the source's slitlet in this visit.

    Raises
    ------
    NoWork
        The source's slit misses this detector.
    DataError
        The metafile does not fit the exposure, or the result has no finite pixel.
    """
    facts = read_exposure_header(rate)
    metafile = Metafile.read(facts.metafile)
    here = read_slitlets(rate)
    if here is not None and not metafile.slitlets_of(source, facts.metadata_id) & here:
        raise NoWork("its slitlet misses this detector")
    mine = metafile.for_source(source, facts.metadata_id, closed)
    steps = settings.all_steps()
    with tempfile.TemporaryDirectory(prefix="nirfire-calibrate-") as name:
        folder = Path(name)
        own = folder / f"{facts.metafile.stem}_{source}.fits"
        mine.write(own)
        product = cal.name.removesuffix(CAL)
        stock = run_spec2(rate, own, folder, product, steps)
        _finish(stock, cal, facts.metafile.name, closed)


def _finish(stock: Path, cal: Path, metafile: str, closed: tuple[int, ...]) -> None:
    """Check the stock product, bring it to MJy, and write it in its final place."""
    with open_fits(stock) as hdus:
        if "SCI" not in hdus:
            raise NoWork("the stock pipeline found no slit for this source here", file=cal)
        slit = hdus["SCI"].header
        flux = hdus["SCI"].data
        if not np.isfinite(flux).any():
            raise DataError(
                "the calibration left no finite pixel",
                file=cal,
                key="SCI",
                remedy="check that CRDS gave flat fields for this mode (all three flats N/A gives all NaN)",
            )
        unit = slit.get("BUNIT")
        if unit == EXTENDED_UNIT:
            area = slit["PIXAR_SR"]
            for ext, power in (("SCI", 1), ("ERR", 1), ("VAR_POISSON", 2), ("VAR_RNOISE", 2), ("VAR_FLAT", 2)):
                hdus[ext].data = (hdus[ext].data.astype(float) * area**power).astype(np.float32)
                hdus[ext].header["BUNIT"] = POINT_UNIT if power == 1 else f"{POINT_UNIT}2"
        elif unit != POINT_UNIT:
            raise DataError(f"unit is {unit!r}, expected MJy or MJy/sr", file=cal, key="BUNIT")
        hdus[0].header["SRCFLUX"] = (unit == POINT_UNIT, "True: the source is in this nod's open shutters")
        hdus[0].header["STKSHTRS"] = (",".join(map(str, closed)) or "N/A", "stuck-closed shutters (ordinals)")
        hdus[0].header["MSAMETFL"] = metafile
        hdus[0].header["FILENAME"] = cal.name
        write_fits(cal, hdus)
