"""Stuck-closed micro-shutters: whether the sky level of a shutter is that of an open one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, stdtr

from nirfire.core.shutter_levels import (
    CLEARLY,
    DARK,
    LEAST_SCATTER,
    LEAST_SLITS,
    Levels,
    Spectra,
    source_distances,
    without_sources,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

OPEN, CLOSED, VIGNETTED, UNKNOWN = "open", "closed", "vignetted", "unknown"
PRIOR_SCATTER, PRIOR_WEIGHT = 0.10, 6.0  # of open shutters, before it is measured: value, and weight in shutters
FREEDOM = 8.0  # degrees of freedom of a scatter that is not measured
BRIGHT = 2.0  # [sky] level of a source whose wings may outshine the sky in the next shutters
LEAK = 0.15  # of a neighbour's light, but for the sky, that may reach a shutter, at most
MUCH_LESS = 0.1  # of the light of a shutter as far from the source
BLACK = 0.02  # [sky] level that a closed shutter may have beyond doubt
NODS_TO_TELL = 3  # from which on a contaminant does not pass for the sky
VIGNETTING = 0.75  # levels above it are not told from the scatter over the field, however small their error


@dataclass(frozen=True)
class Verdict:
    """What is found of one shutter, from all exposures.

    Attributes
    ----------
    slit, ordinal : int
    level, error : float
        Share of the sky's light that passes, without the exposures in which sources add to it; the error does not have
        the scatter of open shutters.
    scatter : float
        That scatter.
    chance : float
        Probability that an open shutter has a level as low as this.
    evidence : float
        Natural logarithm of the likelihood ratio of shut (in part or wholly) and open.
    state : str
        `OPEN`, `CLOSED`, `VIGNETTED` or `UNKNOWN`.
    """

    slit: int
    ordinal: int
    level: float
    error: float
    scatter: float
    chance: float
    evidence: float
    state: str


@dataclass(frozen=True)
class Limits:
    """When a shutter is said to be closed.

    Attributes
    ----------
    false_alarms : float
        Largest `Verdict.chance`.
    open_fraction : float
        Largest level; with more it is vignetted.
    """

    false_alarms: float
    open_fraction: float


def find_verdicts(spectra: Spectra, levels: Levels, limits: Limits) -> list[Verdict]:
    """Tell open shutters from closed ones.

    Parameters
    ----------
    spectra : Spectra
    levels : Levels
        From `shutter_levels`.
    limits : Limits

    Returns
    -------
    list of Verdict
        For each shutter of each slitlet.

    Notes
    -----
    The level of a shutter is the mean over the exposures in which no source is planned in it, where there are some.
    Chance is the tail of Student's distribution about 1, whose width is the error of the level and the scatter of the
    open shutters together. A shutter that passes light beyond doubt in any exposure, more than may come from a brighter
    neighbour, is open whatever the others say; if it does so only when a source is behind it, it may be vignetted.
    Levels below 0 count as 0: where not even a black shutter would have a chance below ``false_alarms``, nothing is
    known.
    """
    shutters = []
    for slit in np.unique(spectra.slit):
        for ordinal in np.unique(spectra.ordinal[spectra.slit == slit]):
            mine = (spectra.slit == slit) & (spectra.ordinal == ordinal) & np.isfinite(levels.error)
            clear = mine & ~spectra.sourced
            mine = clear if clear.any() else mine
            one = without_sources(levels.level[mine], levels.error[mine])[:2] if mine.any() else (0.0, np.inf)
            shutters.append((int(slit), int(ordinal), *one))
    scatter = _scatter(np.array([s[2:] for s in shutters]).reshape(-1, 2))
    distance = source_distances(spectra)
    found = [_verdict(s, scatter, limits, _seen(s[:2], spectra, levels, distance, limits)) for s in shutters]
    return [v for slit in np.unique(spectra.slit) for v in _doubted(int(slit), found, spectra, levels)]


def _doubted(slit: int, found: list[Verdict], spectra: Spectra, levels: Levels) -> list[Verdict]:
    """Verdicts of a slitlet; unknown where a contaminant may have passed for the sky.

    That is in a slitlet on its own, with fewer than three nods, where most shutters seem dark but not black.
    """
    mine = [v for v in found if v.slit == slit]
    own = spectra.slit == slit
    dark = [v for v in mine if v.state in (CLOSED, VIGNETTED)]
    few = np.unique(spectra.exposure[own]).size < NODS_TO_TELL
    if not (few and levels.alone[own].all() and 2 * len(dark) > sum(np.isfinite(v.error) for v in mine) > 2):
        return mine
    return [replace(v, state=UNKNOWN) if v in dark and v.level - CLEARLY * v.error > BLACK else v for v in mine]


def _scatter(found: Array) -> tuple[float, float]:
    """Relative scatter of the open shutters, and its degrees of freedom, from levels and errors, shape (n, 2).

    Levels below their median count: sources raise others. The prior counts as some shutters that were measured before.
    """
    level, error = found[np.isfinite(found[:, 1]) & (found[:, 0] > 0.5)].T
    low = level < 1.0
    n = int(low.sum())
    if n < LEAST_SLITS:
        return PRIOR_SCATTER, FREEDOM
    square = float(np.median((1.0 - level[low]) ** 2)) / 0.4549 - float(np.median(error[low] ** 2))
    square = (PRIOR_WEIGHT * PRIOR_SCATTER**2 + n * max(square, 0.0)) / (PRIOR_WEIGHT + n)
    return max(float(np.sqrt(square)), LEAST_SCATTER), FREEDOM + n


def _seen(shutter: tuple[int, int], spectra: Spectra, levels: Levels, distance: Array, limits: Limits) -> str:
    """What is known of a shutter but for its level: `OPEN` if it passes light, `UNKNOWN` if there is no sky for it.

    One that passes light only when a source is behind it is judged by its level if it passes less of the source than
    the others do; else it is open or, where other slitlets tell the sky, `VIGNETTED` if anything.
    """
    mine = np.flatnonzero((spectra.slit == shutter[0]) & (spectra.ordinal == shutter[1]) & np.isfinite(levels.error))
    lit = [int(k) for k in mine if _is_lit(int(k), spectra, levels, limits)]
    if lit and not spectra.sourced[lit].all():
        return OPEN
    share = _source_share(shutter, spectra, levels) if lit else 0.0
    if share is None or share > limits.open_fraction:
        return OPEN if levels.alone[lit].any() else VIGNETTED
    return UNKNOWN if _outshone(shutter, spectra, levels, distance) else ""


def _source_share(shutter: tuple[int, int], spectra: Spectra, levels: Levels) -> float | None:
    """Light of the sources behind a shutter over that of those behind its brightest neighbour; None if not known."""
    light: dict[int, float] = {}
    for ordinal in np.unique(spectra.ordinal[spectra.slit == shutter[0]]):
        mine = (spectra.slit == shutter[0]) & (spectra.ordinal == ordinal) & np.isfinite(levels.error)
        held, free = levels.level[mine & spectra.sourced], levels.level[mine & ~spectra.sourced]
        if held.size:
            light[int(ordinal)] = float(np.median(held) - (np.median(free) if free.size else 1.0))
    most = max((v for ordinal, v in light.items() if ordinal != shutter[1]), default=0.0)
    return light[shutter[1]] / most if shutter[1] in light and most > 0 else None


def _is_lit(k: int, spectra: Spectra, levels: Levels, limits: Limits) -> bool:
    """Whether a shutter shows light in an exposure that is neither noise nor its neighbours'."""
    beside = (spectra.slit == spectra.slit[k]) & (np.abs(spectra.ordinal - spectra.ordinal[k]) == 1)
    beside &= (spectra.exposure == spectra.exposure[k]) & (spectra.detector == spectra.detector[k])
    leak = LEAK * float(np.max(levels.level[beside] - 1.0, initial=0.0))
    least = max(limits.open_fraction, VIGNETTING) + leak
    return bool(levels.level[k] - CLEARLY * levels.error[k] > least)


def _outshone(shutter: tuple[int, int], spectra: Spectra, levels: Levels, distance: Array) -> bool:
    """Whether the shutters by which this one is judged may show a bright source's wings rather than sky.

    In a slitlet on its own, these must be as far from the source in some exposure as this one; not if the source is
    faint, nor if it is behind this shutter itself in some exposure and is not seen.
    """
    own = (spectra.slit == shutter[0]) & np.isfinite(levels.error)
    mine = own & (spectra.ordinal == shutter[1])
    others = own & ~mine & (levels.level > 2 * DARK)
    if not mine.any() or not levels.alone[mine].all() or spectra.sourced[mine].any() or not others.any():
        return False
    reach = distance[others].max()
    bright = reach == 0 or float(np.max(levels.level[own & spectra.sourced], initial=0.0)) > BRIGHT
    return bool(bright and reach < distance[mine].max() and not _black_beside(mine, own, spectra, levels, distance))


def _black_beside(mine: Mask, own: Mask, spectra: Spectra, levels: Levels, distance: Array) -> bool:
    """Whether a shutter is black in an exposure in which another, as far from the source, passes light."""
    for k in np.flatnonzero(mine):
        alike = own & ~mine & ~spectra.sourced & (distance == distance[k])
        alike &= (spectra.exposure == spectra.exposure[k]) & (spectra.detector == spectra.detector[k])
        if alike.any() and levels.level[k] + 2.0 * levels.error[k] < MUCH_LESS * levels.level[alike].max():
            return True
    return False


def _verdict(
    shutter: tuple[int, int, float, float], scatter: tuple[float, float], limits: Limits, seen: str
) -> Verdict:
    slit, ordinal, level, error = shutter
    width, freedom = scatter
    if not np.isfinite(error):
        return Verdict(slit, ordinal, 0.0, np.inf, width, 1.0, 0.0, UNKNOWN)
    total = float(np.hypot(error, width))
    chance = float(stdtr(freedom, (max(level, 0.0) - 1.0) / total))
    evidence = _evidence(level, error, total)
    low = chance < limits.false_alarms and evidence > 0 and level < VIGNETTING
    telling = stdtr(freedom, -1.0 / total) <= limits.false_alarms or level - 3 * error > limits.open_fraction
    if seen == OPEN:
        state = OPEN
    elif low:
        state = seen or (CLOSED if level < limits.open_fraction else VIGNETTED)
    else:
        state = OPEN if telling else UNKNOWN
    return Verdict(slit, ordinal, level, error, width, chance, evidence, state)


def _evidence(level: float, error: float, total: float) -> float:
    """Log of the likelihood ratio: any level from 0 to `VIGNETTING`, over that of an open shutter."""
    low, high = np.array([level - VIGNETTING, level]) / max(error, 0.01)
    if low > 0:
        low, high = -high, -low  # the tail on the other side, which does not vanish beside 1
    below, above = log_ndtr(low), log_ndtr(high)
    shut = above + np.log1p(-np.exp(min(below - above, -1e-12))) - np.log(VIGNETTING)
    opened = -0.5 * ((min(level, 1.0) - 1.0) / total) ** 2 - np.log(total * np.sqrt(2 * np.pi))
    return float(shut - opened)
