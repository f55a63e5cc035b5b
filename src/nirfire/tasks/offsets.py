"""offsets: how far the sources of a visit are from their planned places, along their slitlets."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from astropy.table import Table

from nirfire.core.model_extract import extract_model
from nirfire.core.model_fit import Prior, Shape
from nirfire.core.slit_psf import PITCH
from nirfire.core.visit_offset import LEAST, visit_offset
from nirfire.errors import DataError, NoWork
from nirfire.products.extraction import grid_of
from nirfire.products.frames import gather
from nirfire.products.naming import BKGSUB, ExposureName
from nirfire.products.offsets import Offsets
from nirfire.products.slitcal import SlitCal, shows_source
from nirfire.stsci.slit_loss import find_psf
from nirfire.tasks.settings import OffsetsSettings


def offsets(inputs: list[Path], table: Path, settings: OffsetsSettings) -> None:
    """Measure the offset of a visit and activity.

    Parameters
    ----------
    inputs : list of Path
        The ``_cal_bkgsub.fits`` of all its sources, nods and both detectors.
    table : Path
        The ``_offsets.fits`` to write.
    settings : OffsetsSettings
        Configuration.

    Raises
    ------
    NoWork
        Too few sources are bright enough.
    """
    psf, _ = find_psf(inputs[0]) if inputs else (None, "")
    rows = []
    for source, paths in sorted(_by_source(inputs).items()):
        slits = [SlitCal.read(path) for path in paths]
        if psf is None or not any(shows_source(slit.header) for slit in slits):
            continue
        try:
            frames = [found for _, found in gather(slits)]
        except DataError:  # its own extraction will say so
            continue
        grid = grid_of(paths[0], str(slits[0].header["GRATING"]), str(slits[0].header["FILTER"]))
        priors = [Prior(0.0, settings.largest / PITCH[1])] * max(len(f.sources) for f in frames)
        quick = extract_model(frames, psf, grid.edges, priors, fit=False)
        snr = _signal_to_noise(quick.solution.flux[0], quick.solution.variance[0])
        if snr >= settings.snr:
            rows.append(_row(source, extract_model(frames, psf, grid.edges, priors).shapes[0], snr))
    names = ("source", "offset", "offset_err", "size", "size_err", "snr")
    found = Table(rows=rows or None, names=names, dtype=(int, *[float] * 5))
    mean = visit_offset(np.array(found["offset"]), np.array(found["offset_err"]))
    if mean is None:
        least = f"{len(rows)} sources have a signal-to-noise ratio of {settings.snr:g}, it takes {LEAST}"
        raise NoWork(least, file=inputs[0] if inputs else None)
    found["used"] = mean.used
    name = ExposureName.from_path(inputs[0])
    Offsets(name.root if name else "", mean.offset, mean.scatter, found).write(table)


def _by_source(inputs: Iterable[Path]) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = defaultdict(list)
    for path in inputs:
        if match := re.search(rf"_(-?\d+){re.escape(BKGSUB)}$", path.name):
            found[int(match[1])].append(path)
    return found


def _signal_to_noise(flux: np.ndarray, variance: np.ndarray) -> float:
    """Of the sum of the light, each bin weighted by its information."""
    known = np.isfinite(variance)
    return float(np.sum(flux[known] / variance[known]) / np.sqrt(np.sum(1.0 / variance[known]))) if known.any() else 0.0


def _row(source: int, shape: Shape, snr: float) -> tuple[float, ...]:
    offset_err, size_err = shape.errors
    return source, shape.offset * PITCH[1], offset_err * PITCH[1], shape.size, size_err, snr
