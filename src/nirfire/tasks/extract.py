"""extract: the nods of a source to its 1D spectrum, by a model of its light on the pixels as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from nirfire.core.extract import box_weights
from nirfire.core.grids import WaveGrid
from nirfire.core.model_boxes import boxcar, each_exposure, subtracted
from nirfire.core.model_extract import Extraction, extract_model
from nirfire.core.model_fit import Prior
from nirfire.core.model_frames import Frames
from nirfire.core.model_loss import shape_error, slit_loss
from nirfire.core.model_picture import picture
from nirfire.core.model_solve import Solution
from nirfire.core.slit_psf import PITCH
from nirfire.errors import DataError
from nirfire.products.columns import Cards
from nirfire.products.exposures import exposure_table, lit_headers, merged_header, spectrum_cards
from nirfire.products.extraction import BOX_WIDTHS, grid_of, on_disk
from nirfire.products.frames import gather
from nirfire.products.naming import ExposureName
from nirfire.products.photometry import with_photometry
from nirfire.products.slitcal import DO_NOT_USE, SlitCal
from nirfire.products.spectrum import Spectrum
from nirfire.stsci.slit_loss import find_psf
from nirfire.tasks.settings import ExtractSettings, SourceShape

Array = NDArray[np.float64]

NEIGHBOUR_ERR = 0.05
"""[arcsec] Error of the planned place of other sources in the slitlet."""


def extract(
    inputs: list[Path],
    spec: Path,
    source: int,
    settings: ExtractSettings,
    *,
    shape: Mapping[str, Any] | None = None,
    offsets: Mapping[str, Sequence[float]] | None = None,
    photometry: Path | None = None,
) -> None:
    """Extract the spectrum of one source in one grating.

    Parameters
    ----------
    inputs : list of Path
        Its ``_cal_bkgsub.fits``, of all nods, dithers, visits and both detectors.
    spec : Path
        The ``_spec.fits`` to write.
    source : int
        Source number.
    settings : ExtractSettings
        Configuration.
    shape : mapping, optional
        What is known of this source, as `SourceShape` has it.
    offsets : mapping of str to (float, float) [arcsec], optional
        How far the sources of a visit and activity are from their planned places, along the slitlets, and the scatter.
    photometry : Path, optional
        Table of photometry (`products.photometry`); a smooth factor to it is kept beside the flux.

    Raises
    ------
    NoWork
        The source is in the open shutters of no exposure.
    DataError
        A file cannot be used, or the extraction has no valid pixel.
    """
    slits = [SlitCal.read(path) for path in inputs]
    headers = lit_headers({slit.path: merged_header(slit.header, slit.slit_header) for slit in slits})
    known = SourceShape.model_validate(shape or {})
    visits = offsets if offsets and known.offset is None else {}
    groups = gather(slits)
    frames, offset_err = _shifted(groups, visits, settings.offset_err)
    if not any(np.isfinite(f.sources[0]).all(axis=-1).any() for f in frames):
        raise DataError("its planned place is in no file", file=inputs[0], key="SRCYPOS", remedy="redo calibrate")
    grid = _grid(slits[0], frames)
    psf, reference = find_psf(inputs[0])
    priors = _priors(frames, settings, known, offset_err)
    found = extract_model(frames, psf, grid.edges, priors, fit=known.fit)
    if not np.isfinite(found.solution.variance[0]).any():
        raise DataError("the extraction has no valid pixel", file=inputs[0], remedy="look at the DQ of its inputs")
    frames = list(found.frames)
    cards = spectrum_cards(headers, source, "model") | _shape_cards(found, frames)
    cards["NFPSF"] = (reference, "the PSF is from it")
    cards["NFGRID0"] = (grid.first, "first bin, in the lattice of the grating")
    loss = slit_loss(frames, psf, found.shapes[0], grid.wave)
    names = [slit.path.name for mine, _ in groups for slit in mine] if settings.single else []
    made = _spectrum(found, frames, grid, exposure_table(headers), names, cards)
    shape_err = shape_error(frames, psf, grid.edges, found)
    made = replace(made, slitloss=loss[0], slitloss_err=loss[1], shape_err=shape_err)
    with_photometry(made, source, photometry).write(spec)


def _grid(slit: SlitCal, frames: list[Frames]) -> WaveGrid:
    """The grid of the mode, longer where data are."""
    known = [f.centre[f.good.any(axis=0)] for f in frames]
    waves = np.concatenate(known)
    if not waves.size:
        raise DataError("no exposure has a usable pixel", file=slit.path, remedy="look at the DQ of its inputs")
    grating, filter_ = (str(slit.header[key]) for key in ("GRATING", "FILTER"))
    return grid_of(slit.path, grating, filter_, (float(waves.min()), float(waves.max())))


def _shifted(
    groups: list[tuple[list[SlitCal], Frames]], offsets: Mapping[str, Sequence[float]], otherwise: float
) -> tuple[list[Frames], float]:
    """Frames with the shifts of their visits, and the error that places then have [arcsec]."""
    frames, errors = [], []
    for slits, found in groups:
        name = ExposureName.from_path(slits[0].path)
        offset, err = offsets.get(name.root if name else "", (0.0, otherwise))
        frames.append(replace(found, shift=offset / PITCH[1]))
        errors.append(err)
    return frames, float(np.max(errors))


def _priors(frames: list[Frames], settings: ExtractSettings, known: SourceShape, offset_err: float) -> list[Prior]:
    """What is known of the source, and of others in its slitlet, before the fit."""
    size_err = settings.size_err if known.size is None else max(0.3 * known.size, 0.01)
    first = Prior(
        offset=(known.offset or 0.0) / PITCH[1],
        offset_err=(known.offset_err or offset_err) / PITCH[1],
        size=known.size or 0.0,
        size_err=known.size_err or size_err,
    )
    other = Prior(0.0, np.hypot(offset_err, NEIGHBOUR_ERR) / PITCH[1], 0.0, settings.size_err)
    return [first] + [other] * (max(len(f.sources) for f in frames) - 1)


def _shape_cards(found: Extraction, frames: list[Frames]) -> Cards:
    shape = found.shapes[0]
    errors, shift = shape.errors, float(np.mean([f.shift for f in frames]))
    good = sum(int(f.good.sum()) for f in frames)
    lost = sum(int((f.good & (layer.ivar == 0)).sum()) for f, layer in zip(frames, found.layers, strict=True))
    return {
        "NFOFFSET": (round((shape.offset + shift) * PITCH[1], 5), "[arcsec] along the slitlet, from the plan"),
        "NFVISIT": (round(shift * PITCH[1], 5), "[arcsec] of it, shared by the whole visit"),
        "NFOFFERR": (round(errors[0] * PITCH[1], 5), "[arcsec] its standard error"),
        "NFTILT": (round(found.tilt.slope * PITCH[1], 5), "[arcsec/um] turn of the trace from its geometry"),
        "NFTILTER": (round(found.tilt.err * PITCH[1], 5), "[arcsec/um] its standard error"),
        "NFSIZE": (round(shape.size, 5), "[arcsec] sigma of a round Gaussian source"),
        "NFSIZERR": (round(errors[1], 5), "[arcsec] its standard error"),
        "NFSOURCE": (len(found.shapes), "sources of the slitlet fitted together"),
        "NFREJECT": (round(lost / max(good, 1), 6), "share of pixels left out as outliers"),
    }


def _of_first(solution: Solution) -> tuple[Array, Array]:
    """Flux and error of the first source."""
    return on_disk(solution.flux[0], 1.0 / solution.variance[0])


def _spectrum(
    found: Extraction, frames: list[Frames], grid: WaveGrid, table: Table, names: list[str], cards: Cards
) -> Spectrum:
    """The spectrum, with those of the single exposures of these names, in the order of the frames, if there are any."""
    nods = [subtracted(f, layer) for f, layer in zip(frames, found.layers, strict=True)]
    boxes = {width: boxcar(nods, found.layers, grid.edges, width) for width in BOX_WIDTHS}
    each = each_exposure(nods, grid.edges)
    flux, err = _of_first(found.solution)
    known = np.isfinite(err)
    image = picture(frames, found.layers, grid.edges)
    sci, err2d = on_disk(image.flux, image.ivar)
    cards["SRCROW"] = (image.row, "row of the source in the 2D picture, from 0")
    return Spectrum(
        wave=grid.wave,
        flux=flux,
        err=err,
        mask=~known,
        boxes={width: _of_first(box.solution) for width, box in boxes.items()},
        apertures={width: np.where(box.share > 0, box.share, np.nan) for width, box in boxes.items()},
        n_used=_used(each, known),
        correlation=found.solution.correlation,
        sci=sci,
        err2d=err2d,
        wave2d=np.broadcast_to(grid.wave, image.flux.shape),
        weight=image.weight,
        model2d=np.where(image.ivar > 0, image.model, np.nan),
        dq2d=np.where(image.ivar > 0, 0, DO_NOT_USE).astype(np.uint32),
        profiles=_profiles(image.profile, image.row),
        exposures=table,
        single=_single(each, names, list(table["filename"])) if names else None,
        meta=cards,
    )


def _used(each: list[Solution], known: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Exposures with a tenth of the mean information, or more."""
    information = np.array([1.0 / s.variance[0] for s in each])
    there = information > 0
    mean = information.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.where(known, np.sum(there & (information > 0.1 * mean), axis=0), 0)


def _profiles(profile: Array, row: float) -> dict[str, Array]:
    rows = np.arange(len(profile))
    boxes = {f"{width}px": box_weights(len(profile), row, width) for width in BOX_WIDTHS}
    return {"ypos": rows - row, "opt": profile} | boxes


def _single(each: list[Solution], names: list[str], order: list[str]) -> tuple[Array, Array]:
    """Spectra of single exposures, put in the order of the table."""
    found = {name: _of_first(solution) for name, solution in zip(names, each, strict=True)}
    return np.array([found[name][0] for name in order]), np.array([found[name][1] for name in order])
