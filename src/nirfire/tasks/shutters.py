"""shutters: which micro-shutters are stuck closed, by the sky that they let through."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from nirfire.core.shutter_bins import (
    BORDER,
    STEP,
    bin_numbers,
    image_rows,
    shutter_spectra,
    slit_image,
    wave_edges,
)
from nirfire.core.shutter_levels import Levels, Spectra, shutter_levels
from nirfire.core.shutters import CLOSED, Limits, Verdict, find_verdicts
from nirfire.errors import DataError, NoWork
from nirfire.products.naming import RATE, ExposureName
from nirfire.products.shutters import IMAGE_COLUMNS, LEVEL_COLUMNS, VERDICT_COLUMNS, ShutterTable
from nirfire.stsci.shutter_images import Slit, SlitPixels, read_cutout, read_rate
from nirfire.tasks.settings import ShuttersSettings

log = logging.getLogger(__name__)
N_WAVE = 48
INTEGERS = ("source", "slitlet", "ordinal", "quadrant", "shutter_row", "shutter_column", "first", "rows")
TRUTHS = ("sourced", "closed")
TEXTS = ("exposure", "state")


@dataclass(frozen=True)
class Binned:
    """A slit in one exposure on one detector, in bins; see `SlitPixels`, `shutter_spectra` and `slit_image`."""

    name: ExposureName
    slit: Slit
    sourced: tuple[int, ...]
    edges: np.ndarray
    value: np.ndarray
    ivar: np.ndarray
    image: np.ndarray


def shutters(inputs: list[Path], table: Path, settings: ShuttersSettings) -> None:
    """Find the stuck-closed shutters of one root.

    Parameters
    ----------
    inputs : list of Path
        All its ``_rate.fits``, with the metafile beside each; or, where only cutouts came in, all its cutouts.
    table : Path
        The ``_shutters.fits`` to write. With ``settings.detect`` off it holds no verdict, and so closes nothing.
    settings : ShuttersSettings
        Configuration.

    Raises
    ------
    NoWork
        No slitlet falls on the detectors.
    DataError
        An input cannot be used.
    """
    if not settings.detect:
        ShutterTable(*_tables([], [], []), _meta([], settings)).write(table)
        return
    binned = _read(inputs)
    if not binned:
        raise NoWork("no slitlet falls on the detectors", file=inputs[0] if inputs else None)
    slits = _united(binned)
    spectra = _spectra(binned, slits)
    levels = shutter_levels(spectra)
    verdicts = find_verdicts(spectra, levels, Limits(settings.false_alarms, settings.open_fraction))
    tables = _tables(
        _verdict_rows(slits, verdicts), _level_rows(binned, slits, spectra, levels), _image_rows(binned, levels)
    )
    ShutterTable(*tables, _meta([(s, v) for v in verdicts for s in slits[v.slit].sources], settings)).write(table)


def _read(inputs: list[Path]) -> list[Binned]:
    """All slits of all exposures, in bins of wavelength that are the same in all exposures of a detector."""
    named = sorted(((_named(path), path) for path in inputs), key=lambda pair: (pair[0].detector, pair[0].nod))
    found: list[Binned] = []
    refused: list[DataError] = []
    for _, group in groupby(named, key=lambda pair: pair[0].detector):
        edges: np.ndarray | None = None
        for name, pixels in _frames(list(group), refused):
            if edges is None and pixels:
                edges = wave_edges(np.concatenate([p.wave for p in pixels]), N_WAVE)
            if edges is not None:
                found += [_binned(name, p, edges) for p in pixels]
    if refused and not found:
        raise refused[0]
    return found


def _named(path: Path) -> ExposureName:
    name = ExposureName.from_path(path)
    if name is None:
        raise DataError("the name does not begin with that of an exposure", file=path, remedy="rename the file")
    return name


def _frames(
    pairs: list[tuple[ExposureName, Path]], refused: list[DataError]
) -> Iterable[tuple[ExposureName, list[SlitPixels]]]:
    """Exposures of a detector, each with the pixels of its slits; files that cannot be used are left out and listed."""
    for name, group in groupby(pairs, key=lambda pair: pair[0]):
        pixels: list[SlitPixels] = []
        for _, path in group:
            try:
                pixels += read_rate(path) if path.name.endswith(RATE) else [read_cutout(path)]
            except DataError as error:
                log.warning("left out: %s", error)
                refused.append(error)
        yield name, [p for p in pixels if p.wave.size]


def _binned(name: ExposureName, pixels: SlitPixels, edges: np.ndarray) -> Binned:
    columns = pixels.slit.columns
    bins, n_wave = bin_numbers(pixels.wave, edges), edges.size - 1
    places = np.array(columns, dtype=float)
    value, ivar = shutter_spectra(pixels.y, bins, pixels.value, pixels.variance, places, n_wave)
    length = columns[-1] - columns[0] + 1
    image, count = slit_image(pixels.y - columns[0], bins, pixels.value, length, n_wave)
    return Binned(name, pixels.slit, pixels.sourced, edges, value, ivar, np.where(count > 0, image, np.nan))


def _united(binned: list[Binned]) -> list[Slit]:
    """The slits of all exposures, each once, with all its shutters and sources."""
    found: dict[tuple[int, ...], Slit] = {}
    for b in binned:
        old = found.get(b.slit.key, b.slit)
        columns, sources = {*old.columns, *b.slit.columns}, {*old.sources, *b.slit.sources}
        found[b.slit.key] = old._replace(columns=tuple(sorted(columns)), sources=tuple(sorted(sources)))
    return list(found.values())


def _spectra(binned: list[Binned], slits: list[Slit]) -> Spectra:
    """All spectra as arrays; numbers instead of names."""
    number = {slit.key: k for k, slit in enumerate(slits)}
    exposures = sorted({b.name.both for b in binned})
    rows = [
        (int(b.name.detector[-1]), exposures.index(b.name.both), number[b.slit.key], column, column in b.sourced)
        for b in binned
        for column in b.slit.columns
    ]
    detector, exposure, slit, column, sourced = np.array(rows, dtype=int).T
    ordinal = np.array([slits[s].columns.index(c) + 1 for s, c in zip(slit, column, strict=True)])
    value, ivar = (np.concatenate([getattr(b, name) for b in binned]) for name in ("value", "ivar"))
    return Spectra(value, ivar, detector, exposure, slit, ordinal, sourced.astype(bool))


def _tables(verdicts: list[tuple], levels: list[tuple], images: list[tuple]) -> tuple[Table, Table, Table]:
    return _table(verdicts, VERDICT_COLUMNS), _table(levels, LEVEL_COLUMNS), _table(images, IMAGE_COLUMNS)


def _meta(found: list[tuple[int, Verdict]], settings: ShuttersSettings) -> dict[str, tuple[Any, str]]:
    """Cards of the primary header; `found` are the verdicts by source."""
    return {
        "NFSHDET": (settings.detect, "shutters were looked at"),
        "NFSHFALS": (settings.false_alarms, "chance of a false alarm, at most"),
        "NFSHOPEN": (settings.open_fraction, "level below which a shutter is closed"),
        "NFSHCLO": (sum(s > 0 and v.state == CLOSED for s, v in found), "shutters of sources found closed"),
    }


def _verdict_rows(slits: list[Slit], verdicts: list[Verdict]) -> list[tuple]:
    rows = []
    for v in verdicts:
        for row in _whose(slits[v.slit], v.ordinal):
            values = (v.level, v.error, v.scatter, v.chance, v.evidence, v.state, v.state == CLOSED)
            rows.append((*row, *values))
    return rows


def _whose(slit: Slit, ordinal: int) -> list[tuple[int, ...]]:
    """Source, slitlet, ordinal, quadrant, row and column of a shutter, for each source of its slit."""
    column = slit.columns[ordinal - 1]
    return [(s, slit.slitlet, ordinal, slit.quadrant, slit.row, column) for s in slit.sources or (0,)]


def _level_rows(binned: list[Binned], slits: list[Slit], spectra: Spectra, levels: Levels) -> list[tuple]:
    names = [b.name for b in binned for _ in b.slit.columns]
    rows = []
    for k, name in enumerate(names):
        for row in _whose(slits[spectra.slit[k]], int(spectra.ordinal[k])):
            rows.append((str(name), *row, spectra.sourced[k], levels.level[k], levels.error[k]))
    return rows


def _image_rows(binned: list[Binned], levels: Levels) -> list[tuple]:
    """One row per source; images that are shorter than the longest are filled up with NaN."""
    n_y = max(len(b.image) for b in binned)
    rows, k = [], 0
    for b in binned:
        image = np.full((n_y, b.image.shape[1]), np.nan, dtype=np.float32)
        image[: len(b.image)] = b.image
        sky = levels.sky[k].astype(np.float32)
        first, length = b.slit.columns[0], b.slit.columns[-1] - b.slit.columns[0] + 1
        for source in b.slit.sources or (0,):
            facts = (str(b.name), source, b.slit.slitlet, first, STEP, -BORDER, image_rows(length))
            rows.append((*facts, b.edges, sky, image))
        k += len(b.slit.columns)
    return rows


def _table(rows: list[tuple], columns: dict[str, Any]) -> Table:
    made = Table()
    for k, name in enumerate(columns):
        kind = int if name in INTEGERS else bool if name in TRUTHS else str if name in TEXTS else None
        made[name] = np.array([row[k] for row in rows], dtype=kind) if rows else np.zeros(0, dtype=kind or float)
    if not rows:
        for name in TEXTS:
            if name in columns:
                made[name] = np.zeros(0, dtype="U8")
    return made
