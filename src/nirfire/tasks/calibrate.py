"""calibrate: count rates to a flux-calibrated 2D cutout of one source (stock Spec2)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from nirfire.core.wavecal import overlap_mask
from nirfire.errors import DataError, NoWork
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa import Metafile, SourceOptions
from nirfire.products.naming import CAL, calibration_inputs
from nirfire.products.rate import ExposureHeader, read_exposure_header
from nirfire.products.slitcal import in_megajansky, mark_overlap, planned_hdu
from nirfire.stsci.by_hand import write_inputs
from nirfire.stsci.pipelines import Steps, run_spec2
from nirfire.stsci.spec2 import calibrate_slit
from nirfire.stsci.wave_references import wave_overrides
from nirfire.tasks.settings import CalibrateSettings, SourceType, merged_steps

POINT_STELLARITY = 0.75  # above it, and below zero, stock srctype takes a source of the MSA for a point
IN_SHUTTER = "True: the source is in this nod's open shutters"


def calibrate(
    rate: Path,
    cal: Path,
    source: int,
    settings: CalibrateSettings,
    closed: tuple[int, ...] = (),
    positions: Mapping[int, tuple[float, float]] | None = None,
    source_type: SourceType | None = None,
    references: Path | None = None,
) -> None:
    """Calibrate one source of one exposure.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits``; its MSA metafile lies beside it. Neither is edited.
    cal : Path
        The ``_cal.fits`` to write, in MJy.
    source : int
        Source number.
    settings : CalibrateSettings
        Configuration.
    closed : tuple of int
        Ordinals of stuck-closed shutters of the source's slitlet in this visit.
    positions : mapping of int to (float, float), optional
        Measured places (x, y) in the planned shutter, in pitches as in the metafile, by dither point.
    source_type : {"point", "extended", "catalogue"}, optional
        Of this source, in place of what the settings say.
    references : Path, optional
        Folder in which override references are made, shared by all jobs of a run; by default the folder of `cal`.

    Raises
    ------
    NoWork
        The source's slit misses this detector, or the metafile does not have it at this dither point.
    DataError
        The metafile does not fit the exposure, or the result has no finite pixel.
    """
    exposure = read_exposure_header(rate)
    metafile = Metafile.read(exposure.metafile)
    options = SourceOptions(
        closed=closed,
        position=positions or {},
        source_type=source_type or settings.source_type,
        pad=settings.pad,
        longest=settings.longest,
        long_slit=settings.long_slit,
    )
    mine = metafile.for_source(source, exposure.metadata_id, options)
    if not (mine.shutters["dither_point_index"] == exposure.dither_point).any():
        raise NoWork(f"its slitlet is not listed at dither point {exposure.dither_point}", file=exposure.metafile)
    steps = _steps(rate, references or cal.parent, settings)
    product = cal.name.removesuffix(CAL)
    with _folder(cal, keep=settings.keep_inputs) as folder:
        own = folder / exposure.metafile.name  # the name that the rate file has for it
        mine.write(own)
        if settings.keep_inputs:
            write_inputs(folder, rate, product, steps)
        run = calibrate_slit if settings.share else run_spec2
        with tempfile.TemporaryDirectory(prefix="nirfire-calibrate-") as place:
            stock = run(rate, own, Path(place), product, steps, _sourceless_x(mine))
            places = metafile.places(source, exposure.metadata_id, exposure.dither_point)
            _finish(stock, cal, exposure, mine, _Slitlet(closed, places))


def _steps(rate: Path, references: Path, settings: CalibrateSettings) -> Steps:
    """Parameters of the stock steps, with the override references of this exposure."""
    made = wave_overrides(rate, references, empirical=settings.empirical_wavecorr, limits=settings.wave_range)
    return merged_steps(made, settings.all_steps())


def _sourceless_x(mine: Metafile) -> float | None:
    """Mean place across the shutter of a point source at the nods that have it [pitch from the centre]; None else."""
    primary = mine.shutters["primary_source"] == "Y"
    stellarity = mine.sources["stellarity"]
    if not primary.any() or ((stellarity >= 0) & (stellarity <= POINT_STELLARITY)).any():
        return None
    return float(np.mean(mine.shutters["estimated_source_in_shutter_x"][primary])) - 0.5


@contextmanager
def _folder(cal: Path, *, keep: bool) -> Iterator[Path]:
    """Where the source's metafile goes: a folder that stays, or one that goes."""
    if keep:
        folder = calibration_inputs(cal)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="nirfire-metafile-") as name:
        yield Path(name)


class _Slitlet(NamedTuple):
    """What is known of the slitlet: closed shutters, and where its sources were planned."""

    closed: tuple[int, ...]
    planned: dict[int, tuple[float, float]]


def _finish(stock: Path, cal: Path, exposure: ExposureHeader, mine: Metafile, slitlet: _Slitlet) -> None:
    """Check the stock product, bring it to MJy, and write it in its final place."""
    with open_fits(stock) as hdus:
        if "SCI" not in hdus:
            raise NoWork("the stock pipeline found no slit for this source here", file=cal)
        if not np.isfinite(hdus["SCI"].data).any():
            raise DataError(
                "the calibration left no finite pixel",
                file=cal,
                key="SCI",
                remedy="check that CRDS gave flat fields for this mode (all three flats N/A gives all NaN)",
            )
        in_megajansky(hdus, file=cal)
        mark_overlap(hdus, overlap_mask(hdus["WAVELENGTH"].data, exposure.filter, exposure.grating))
        _sign(hdus[0].header, exposure, mine, slitlet.closed)
        hdus.append(planned_hdu(slitlet.planned))
        hdus[0].header["FILENAME"] = cal.name
        write_fits(cal, hdus)


def _sign(header: fits.Header, exposure: ExposureHeader, mine: Metafile, closed: tuple[int, ...]) -> None:
    rows = mine.shutters[mine.shutters["dither_point_index"] == exposure.dither_point]
    header["SRCFLUX"] = (bool((rows["primary_source"] == "Y").any()), IN_SHUTTER)
    header["STKSHTRS"] = (",".join(map(str, closed)) or "N/A", "stuck-closed shutters (ordinals)")
