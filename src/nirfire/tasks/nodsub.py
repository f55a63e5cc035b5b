"""nodsub: subtract the sky from every nod, with pathloss inverted around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from nirfire.core.background_choice import choose
from nirfire.core.nod_overlap import collapse, nod_overlap
from nirfire.core.nods import background_variance, median_of_others
from nirfire.core.sky_noise import sky_photon_variance
from nirfire.core.spikes import Spikes, find_spikes
from nirfire.errors import DataError, NoWork
from nirfire.products.naming import SKY, ExposureName
from nirfire.products.sky import SkyModel
from nirfire.products.slitcal import (
    BKG,
    BKG_EXPOSURES,
    BKG_NODS,
    DO_NOT_USE,
    JUMP_DET,
    OUTLIER,
    UNIT,
    VAR_BKG,
    SlitCal,
    Window,
    source_rows,
    to_common_box,
)
from nirfire.stsci.sky_projection import global_backgrounds
from nirfire.tasks.settings import Background, NodsubSettings

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

PARTS = ("var_poisson", "var_rnoise")
"""Components of the noise that the background's is added to; the flat field's scales with what is left."""
HALF_APERTURE = 2.5  # pixel
COLUMNS = 20  # whose sum `best` compares
PLANES = ("sci", "dq", "correction", "var_flat", *PARTS)


@dataclass(frozen=True)
class Nods:
    """The nods of a source on one detector box, pathloss inverted.

    Attributes
    ----------
    slits : list of SlitCal
    windows : list of (slice, slice)
        Where each lies in the box.
    flux : ndarray, shape (n_exp, n_spat, n_wave) [MJy]
        Sky still in.
    parts : dict of ndarray, shape (n_exp, n_spat, n_wave) [MJy2]
        Variance by component.
    good : ndarray of bool, shape (n_exp, n_spat, n_wave)
    factor : ndarray, shape (n_exp, n_spat, n_wave)
        What the calibrated flux was multiplied by.
    spikes : Spikes
    """

    slits: list[SlitCal]
    windows: list[Window]
    flux: Array
    parts: dict[str, Array]
    good: Mask
    factor: Array
    spikes: Spikes

    @property
    def names(self) -> list[str]:
        """Exposures."""
        return [str(ExposureName.from_path(slit.path) or slit.path.name) for slit in self.slits]

    @property
    def variance(self) -> Array:
        """Sum of the components, shape (n_exp, n_spat, n_wave) [MJy2]; 0 where a pixel is not good."""
        return np.where(self.good, np.sum(list(self.parts.values()), axis=0), 0.0)


@dataclass(frozen=True)
class Sky:
    """What is subtracted.

    Attributes
    ----------
    kind : str
        ``nods`` or ``global``.
    value : ndarray, shape (n_exp, n_spat, n_wave) [MJy]
    parts : dict of ndarray, shape (n_exp, n_spat, n_wave) [MJy2]
        Its variance by component.
    there : ndarray of bool, shape (n_exp, n_spat, n_wave)
    used : ndarray of bool, shape (n_exp, n_exp, n_spat, n_wave)
        Which exposures it is the median of; none in a global sky.
    """

    kind: str
    value: Array
    parts: dict[str, Array]
    there: Mask
    used: Mask

    @property
    def variance(self) -> Array:
        """Sum of the components, shape (n_exp, n_spat, n_wave) [MJy2]."""
        return np.sum(list(self.parts.values()), axis=0)


class Overlap(NamedTuple):
    """Share of the source's light that nods remove, and its standard error."""

    share: float
    error: float


NOTHING = Overlap(0.0, np.inf)


def nodsub(
    inputs: list[Path],
    outputs: list[Path],
    settings: NodsubSettings,
    background: Background | None = None,
    allowed: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Subtract the sky from one source's nods on one detector.

    Parameters
    ----------
    inputs : list of Path
        The ``_cal.fits`` of one background group: one source, one detector, one visit and activity. After them the
        ``_sky.fits`` of their exposures, if a global sky is wanted.
    outputs : list of Path
        The ``_cal_bkgsub.fits`` to write, of the first exposures of `inputs`; the others serve as background only.
    settings : NodsubSettings
        Configuration.
    background : {"nods", "global", "best"}, optional
        For this source, in place of what the settings say.
    allowed : mapping of str to list of str, optional
        Exposures that may be background of an exposure; by default all others.

    Raises
    ------
    NoWork
        Too few nods and no global sky, or the source's own light is in none of them.
    DataError
        A file cannot be used, or no result has a usable pixel.

    Notes
    -----
    A slit that the stock pipeline corrects for a uniform source and one that it corrects for a point differ by the
    pathloss correction; inverting it puts them on one scale before they are compared.
    """
    cals = [path for path in inputs if not path.name.endswith(SKY)]
    if not cals:
        raise NoWork("it was calibrated in no exposure")
    if not outputs:
        raise NoWork("none of its science nods was calibrated, or all are left out", file=cals[0])
    slits = [SlitCal.read(path) for path in cals]
    if not any(slit.header.get("SRCFLUX", True) for slit in slits):
        raise NoWork("the source is in the open shutters of none of these nods", file=cals[0], key="SRCFLUX")
    nods = _aligned(slits, settings.spikes)
    if not nods.good.any():
        raise DataError("no usable pixel in any nod", file=cals[0], remedy="look at its DQ")
    may = np.array([[other in (allowed or {}).get(name, nods.names) for other in nods.names] for name in nods.names])
    overlap = _overlap(nods, may) if len(cals) > 1 else NOTHING
    models = _models([path for path in inputs if path.name.endswith(SKY)], nods)
    enough = int(nods.good.any(axis=(1, 2)).sum()) >= settings.least
    sky = _sky(nods, models, background or settings.background, may if enough else None, overlap)
    usable = [_subtract(nods, sky, k, path, overlap) for k, path in enumerate(outputs)]
    if not any(usable):
        raise DataError("no usable pixel is left after nod subtraction", file=cals[0], remedy="look at its DQ")


def _aligned(slits: list[SlitCal], threshold: float) -> Nods:
    """Bring the nods onto one box and one scale, and look for spikes."""
    planes, windows = to_common_box(slits, PLANES)
    bad = planes["bad"] | ~np.isfinite(planes["correction"])
    factor = np.where(bad, 1.0, planes["correction"])
    flux = np.where(bad, 0.0, planes["sci"]) * factor
    parts = {name: np.where(bad, 0.0, planes[name]) * factor**2 for name in PARTS}
    good = ~bad & (parts["var_poisson"] + parts["var_rnoise"] > 0)
    jumps = planes["dq"] & JUMP_DET > 0
    spikes = find_spikes(flux, np.sum(list(parts.values()), axis=0), good, threshold=threshold, jumps=jumps)
    parts["var_poisson"] = sky_photon_variance(parts["var_poisson"], good & ~jumps & ~spikes.sharp)
    return Nods(slits, windows, flux, parts, good & ~spikes.certain, factor, spikes)


def _overlap(nods: Nods, may: Mask) -> Overlap:
    """Share of the source's light that the subtraction of the nods removes, of those nods that have the source."""
    mine = [k for k, slit in enumerate(nods.slits) if slit.header.get("SRCFLUX", True)]
    places = [source_rows(nods.slits[k]) for k in mine]
    if len(mine) < 2 or any(place is None for place in places):
        return NOTHING
    rows = np.full((len(mine), nods.flux.shape[2]), np.nan)
    for row, k, place in zip(rows, mine, places, strict=True):
        down, along = nods.windows[k]
        row[along] = place + down.start
    common = np.isfinite(rows).all(axis=0)
    if not common.any():
        return NOTHING
    variance = nods.variance[mine][:, :, common]
    ivar = np.divide(1.0, variance, out=np.zeros(variance.shape), where=variance > 0)
    collapsed = collapse(nods.flux[mine][:, :, common], ivar, rows[:, common])
    return Overlap(*nod_overlap(collapsed, use=may[np.ix_(mine, mine)]))


def _models(skies: list[Path], nods: Nods) -> list[SkyModel]:
    """The sky of the exposure of each nod; none if one lacks it."""
    found = {path.name.removesuffix(SKY): path for path in skies}
    names = [ExposureName.from_path(slit.path) for slit in nods.slits]
    paths = [found.get(name.both if name else "") for name in names]
    return [SkyModel.read(path) for path in paths if path] if all(paths) else []


def _sky(nods: Nods, models: list[SkyModel], wanted: Background, may: Mask | None, overlap: Overlap) -> Sky:
    """The sky of the wanted kind; the other kind where that one cannot be had.

    Raises
    ------
    NoWork
        There is neither.
    """
    if may is not None and (wanted == "nods" or (wanted == "best" and not models)):
        return _from_nods(nods, may)
    if not models:
        few = f"usable nods: {int(nods.good.any(axis=(1, 2)).sum())}, and " if may is None else ""
        raise NoWork(f"{few}no sky of blank shutters is known for all exposures", file=nods.slits[0].path)
    everywhere = _from_blank(nods, models)
    if may is None or wanted == "global":
        return everywhere
    return _better(nods, _from_nods(nods, may), everywhere, overlap)


def _better(nods: Nods, others: Sky, everywhere: Sky, overlap: Overlap) -> Sky:
    """The sky with the smaller predicted error of the source's flux in some columns.

    Noise, error and light are medians over columns and nods. Noise averages down over columns; self-subtraction and
    the error of the global sky do not.
    """
    found = []
    for k, slit in enumerate(nods.slits):
        rows = source_rows(slit)
        if rows is None or not slit.header.get("SRCFLUX", True):
            continue
        down, along = nods.windows[k]
        away = np.abs(np.arange(nods.flux.shape[1])[:, np.newaxis] - rows - down.start)
        part = (slice(None), along)
        inside = (away <= HALF_APERTURE) & (nods.good[k] & others.there[k] & everywhere.there[k])[part]
        noise, common = others.variance[k][part], np.sqrt(everywhere.variance[k][part])
        light = (nods.flux[k] - everywhere.value[k])[part]
        found.append([np.sum(a, axis=0, where=inside)[inside.any(axis=0)] for a in (noise, common, light)])
    if not found:
        return others
    noise, common, light = (float(np.median(np.concatenate(a))) for a in zip(*found, strict=True))
    n = COLUMNS
    choice = choose(n * noise, 0.0, overlap.share, overlap.error, n * light, n * common)
    return others if choice.name == "nods" else everywhere


def _from_nods(nods: Nods, may: Mask) -> Sky:
    """The median of the other nods; ``may[i, j]``: nod j may be background of nod i."""
    found = median_of_others(nods.flux, nods.good & ~nods.spikes.sharp, may)
    parts = {name: background_variance(part, found.used) for name, part in nods.parts.items()}
    return Sky("nods", found.value, parts, found.there, found.used)


def _from_blank(nods: Nods, models: list[SkyModel]) -> Sky:
    """The sky that the blank shutters of the whole exposure show."""
    value, variance = np.zeros(nods.flux.shape), np.zeros(nods.flux.shape)
    for k, found in enumerate(global_backgrounds(nods.slits, models)):
        value[k][nods.windows[k]], variance[k][nods.windows[k]] = found
    there = np.isfinite(value) & np.isfinite(variance) & np.any(variance > 0, axis=(1, 2), keepdims=True)
    used = np.zeros((len(value), *value.shape), dtype=bool)
    parts = {"var_poisson": np.zeros(value.shape), "var_rnoise": np.where(there, variance, 0.0)}
    return Sky("global", np.where(there, value, 0.0), parts, there, used)


def _subtract(nods: Nods, sky: Sky, k: int, path: Path, overlap: Overlap) -> bool:
    """Write one nod without its sky; True if it has a usable pixel."""
    slit, window = nods.slits[k], nods.windows[k]
    good, scale = (nods.good[k] & sky.there[k])[window], nods.factor[k][window]

    def left(value: Array, power: int = 1) -> Array:
        return np.where(good, value[k][window] / scale**power, np.nan)

    sci = left(nods.flux - sky.value)
    own = {name: left(part, 2) for name, part in nods.parts.items()}
    added = {name: left(part, 2) for name, part in sky.parts.items()}
    still = np.divide(sci, slit.sci, out=np.zeros(slit.shape), where=good & (slit.sci != 0))
    parts = {name: own[name] + added[name] for name in PARTS}
    parts["var_flat"] = np.where(good, np.nan_to_num(slit.var_flat) * still**2, np.nan)
    spikes = nods.spikes.certain[k][window]
    dq = np.where(good, slit.dq, slit.dq | DO_NOT_USE) | np.where(spikes, OUTLIER, 0).astype(np.uint32)
    out = slit.with_arrays(sci=sci, err=np.sqrt(np.sum(list(parts.values()), axis=0)), dq=dq, **parts)
    cards: dict[str, tuple[Any, str]] = {
        "NFSKY": (sky.kind, "sky from other nods, or of all blank shutters"),
        "NFBKGNOD": (int(sky.used[k].any(axis=(1, 2)).sum()), "nods in the subtracted background"),
        "NFSPIKES": (int(spikes.sum()), "pixels taken out as cosmic rays"),
        "NFUSABLE": (int(good.sum()), "usable pixels"),
    }
    if np.isfinite(overlap.error):
        cards["NODOVLP"] = (round(overlap.share, 5), "share of the source's light that nods remove")
        cards["NODOVERR"] = (round(overlap.error, 5), "its standard error")
    out.write(path, cards, _extensions(nods, sky, k, left(sky.value), sum(added.values())))
    return bool(good.any())


def _extensions(nods: Nods, sky: Sky, k: int, value: Array, variance: Array | int) -> list[Any]:
    """What was subtracted, its variance, and which exposures it came from, pixel by pixel."""
    kind = np.int32 if len(nods.slits) < 32 else np.int64
    bits = sum(sky.used[k, j][nods.windows[k]].astype(kind) << j for j in range(len(nods.slits)))
    hdus: list[Any] = []
    for name, data, unit in ((BKG, value, UNIT), (VAR_BKG, variance, f"{UNIT}2")):
        hdus.append(fits.ImageHDU(np.asarray(data, dtype=np.float32), fits.Header({"EXTNAME": name, "BUNIT": unit})))
    hdus.append(fits.ImageHDU(np.asarray(bits, dtype=kind), name=BKG_NODS))
    table = Table([np.arange(len(nods.slits)), nods.names], names=("bit", "exposure"))
    hdus.append(fits.BinTableHDU(table, name=BKG_EXPOSURES))
    return hdus
