"""sky: the sky of one exposure, measured in its blank shutters."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from nirfire.core.global_sky import fit_sky
from nirfire.core.sky_slit import SkySlit
from nirfire.errors import DataError, NoWork
from nirfire.products.sky import CutoutPlace, SkyModel
from nirfire.products.slitcal import SlitCal
from nirfire.stsci.sky_projection import read_places, same_origin, sky_slit
from nirfire.tasks.settings import SkySettings

log = logging.getLogger(__name__)


def sky(cals: list[Path], sky: Path, settings: SkySettings) -> None:
    """Measure the sky of an exposure.

    Parameters
    ----------
    cals : list of Path
        All ``_cal.fits`` of the exposure, of both detectors.
    sky : Path
        The product to write.
    settings : SkySettings
        Configuration.

    Raises
    ------
    NoWork
        There is no blank shutter.
    DataError
        A file cannot be used.
    """
    slits, places = _usable(cals)
    groups = _slitlets(slits)
    pixels = [_one(slits, places, group) for group in groups]
    model = fit_sky(pixels)
    if model is None:
        raise NoWork("no shutter of this exposure is blank", file=cals[0] if cals else None)
    log.info("%d blank pixels of %d slitlets, chi2 %.3f", model.blank.sum(), len(pixels), model.chi2)
    log.info("scatter of the scale among slitlets %.4f, of its slope %.4f", *model.scatter)
    cutouts: dict[str, CutoutPlace] = {}
    for index, group in enumerate(groups):
        cutouts |= {places[k].name: places[k]._replace(slitlet=index) for k in group}
    SkyModel(model, cutouts).write(sky)


def _usable(cals: list[Path]) -> tuple[list[SlitCal], list[CutoutPlace]]:
    """The cutouts that say where they look; what cannot be used is left out and logged, unless it is all.

    Raises
    ------
    DataError
        No file can be used.
    """
    slits, places, bad = [], [], []
    for path in cals:
        try:
            slit = SlitCal.read(path)
            places += read_places([slit])
            slits.append(slit)
        except DataError as error:
            log.warning("left out: %s", error)
            bad.append(error)
    if bad and not slits:
        raise bad[0]
    return slits, [place._replace(slitlet=k) for k, place in enumerate(places)]


def _slitlets(slits: list[SlitCal]) -> list[list[int]]:
    """Cutouts of one slitlet on one detector: several where it holds several sources."""
    groups: dict[tuple[object, object], list[int]] = {}
    for k, slit in enumerate(slits):
        name = slit.slit_header.get("SLITID", slit.path.name)
        groups.setdefault((slit.header.get("DETECTOR"), name), []).append(k)
    return list(groups.values())


def _one(slits: list[SlitCal], places: list[CutoutPlace], group: list[int]) -> SkySlit:
    """A slitlet as its first cutout has it, with the sources of all."""
    first, found = group[0], []
    for k in group:
        source = source_place(slits[k])
        if source is not None:
            step = same_origin(places[first], places[k], (slits[first].origin, slits[k].origin)) if k != first else 0
            found.append(source + step)
    return sky_slit(slits[first], places[first], tuple(found))


def source_place(slit: SlitCal) -> float | None:
    """Place of the source along the slitlet [pitch]; None where no source is planned in it at this nod."""
    if not slit.header.get("SRCFLUX", True) or int(slit.slit_header.get("SOURCEID", 1)) <= 0:
        return None
    return float(np.nan_to_num(float(slit.slit_header.get("SRCYPOS", 0.0))))
