"""Unflagged spikes in one nod: what they leave in the others, and what the search for them takes by mistake."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from _nods_observe import BLANK, SOURCES, Sight, planned_rows
from _nods_pulls import Made, pixel_pulls, subtract, subtract_with_nods
from _rows import entry
from nirfire.products.slitcal import DO_NOT_USE, SlitCal
from nirfire.tasks.settings import NodsubSettings

HEIGHT, GOAL = 50.0, 0.5  # sigma
FAINTER = (4.0, 6.0, 8.0, 12.0, 20.0)
GROUPS = (2, 3, 5)
PER_CUTOUT, APART = 40, 12  # events; px between them
NEAR = (3, 6)  # px around an event that are looked at, in row and column
TRACE = 2.0  # px from the source's row
OFF = NodsubSettings(spikes=0.0)
FALSE = 4.0  # sigma; a pixel nearer to zero was no spike


class Left(NamedTuple):
    """What events in one nod left.

    Attributes
    ----------
    worst : ndarray, shape (n_event,) [sigma]
        Largest difference to a run that is told of the spikes by DQ, of the same pixel in any other nod, and of any
        other pixel near it that has the same nods in its background in both.
    redrawn : ndarray of int, shape (n_event,)
        Pixels near it that have not: a neighbour of the spike was kept out with it, or is no longer. None of them can
        hold anything of the spike.
    shift : ndarray, shape (n_event,) [sigma]
        Mean change, against a run without the spikes, of the other nods' pixels at the spike and of those neighbours:
        one nod less in the median, but no trace of the spike in the mean over many. NaN where there are none.
    found : ndarray of bool, shape (n_event,)
        The pixel itself is flagged.
    """

    worst: np.ndarray
    redrawn: np.ndarray
    shift: np.ndarray
    found: np.ndarray


def places(slit: SlitCal, rows: np.ndarray, *, trace: bool, seed: int) -> np.ndarray:
    """Random good pixels, far from each other, shape (n_event, 2); on the trace or off it."""
    rng = np.random.default_rng(seed)
    near = np.abs(np.arange(slit.shape[0])[:, None] - rows) < TRACE
    free = ~slit.bad & (near == trace)
    free[:, :2] = free[:, -2:] = False
    found: list[tuple[int, int]] = []
    for y, x in rng.permutation(np.argwhere(free)):
        if all(max(abs(y - b), abs(x - a)) >= APART for b, a in found):
            found.append((int(y), int(x)))
        if len(found) == PER_CUTOUT:
            break
    return np.array(found)


def _copies(cals: list[Path], folder: Path, nod: int, at: np.ndarray, height: float) -> list[Path]:
    """Copies of the cutouts; at some pixels of one nod spikes of some height [sigma]; of zero: a flag."""
    made = []
    for k, cal in enumerate(cals):
        path = folder / f"{height:g}" / cal.name
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(cal, path)
        made.append(path)
        if k != nod:
            continue
        with fits.open(path, mode="update") as hdus:
            y, x = at.T
            if height == 0:
                hdus["DQ"].data[y, x] |= DO_NOT_USE
            else:
                hdus["SCI"].data[y, x] += height * hdus["ERR"].data[y, x]
    return made


def hit(cals: list[Path], nod: int, at: np.ndarray, *, long: bool, height: float = HEIGHT) -> Left:
    """Put spikes into one nod, of one pixel or of two along a row, and see what they leave."""
    pixels = np.concatenate([at, at + np.array([0, 1])]) if long else at
    with tempfile.TemporaryDirectory(prefix="nirfire-nods-") as name:
        spiked, told = (subtract_with_nods(_copies(cals, Path(name), nod, pixels, h)) for h in (height, 0.0))
    return compare(spiked, told, subtract(cals), (nod, at, long))


def compare(spiked: list[Made], told: list[Made], clean: list[SlitCal], events: tuple[int, np.ndarray, bool]) -> Left:
    """Differences around each event; see `Left`."""
    nod, at, long = events
    corner = np.array(clean[nod].origin)[::-1]
    worst, redrawn = np.zeros(len(at)), np.zeros(len(at), int)
    shifts: list[list[float]] = [[] for _ in at]
    for k, ((a, a_bits), (b, b_bits), c) in enumerate(zip(spiked, told, clean, strict=True)):
        sigma = np.where(c.err > 0, c.err, np.nan).astype(float)
        sci = [np.where(slit.bad, np.nan, slit.sci) for slit in (a, b, c)]
        difference = np.abs(sci[0] - sci[1]) / sigma
        moved = (sci[0] - sci[2]) / sigma
        for e, (y, x) in enumerate(at + corner - np.array(c.origin)[::-1]):
            if not (0 <= y < c.shape[0] and 0 <= x < c.shape[1] - 1):
                continue
            near, here = np.zeros((2, *c.shape), bool)
            near[max(y - NEAR[0], 0) : y + NEAR[0] + 1, max(x - NEAR[1], 0) : x + NEAR[1] + 1] = True
            here[y, x : x + 1 + long] = True
            changed = near & (a_bits != b_bits) & ~here
            if k == nod:
                near &= ~here  # the spike itself
            worst[e] = max(worst[e], np.nanmax(np.nan_to_num(difference[near & ~changed]), initial=0.0))
            redrawn[e] += changed.sum()
            if k != nod:
                shifts[e] += list(moved[(changed | here) & np.isfinite(moved)])
    shift = np.array([np.mean(s) if s else np.nan for s in shifts])
    return Left(worst, redrawn, shift, spiked[nod][0].bad[tuple(at.T)])


def left_over(sight: Sight) -> list[dict]:
    """Spikes on sky and on the trace of sources; the goal."""
    rows = []
    for n in GROUPS:
        for trace, sources in ((False, BLANK[:4]), (True, SOURCES)):
            for long in (False, True):
                parts = []
                for source in sources:
                    cals = sight.cals(source, n)
                    nod = source % n
                    slit, place = SlitCal.read(cals[nod]), planned_rows(cals[nod])
                    parts.append(hit(cals, nod, places(slit, place, trace=trace, seed=source), long=long))
                left = Left(*(np.concatenate(part) for part in zip(*parts, strict=True)))
                where = "on the trace" if trace else "on sky"
                rows += _told(left, f"spikes, {n} nods, {where}, {'2x1' if long else '1'} px:")
    return rows


def _told(left: Left, head: str) -> list[dict]:
    worst, hurt = float(left.worst.max()), 100 * float(np.mean(left.worst >= GOAL))
    rows = [
        entry(f"{head} largest trace elsewhere", worst, "sigma", f"< {GOAL}", worst < GOAL),
        entry(f"{head} events that leave {GOAL} sigma or more", hurt, "%"),
        entry(f"{head} flagged in their own nod", 100 * float(np.mean(left.found)), "%"),
        entry(f"{head} further pixels with other nods in their background, per event", float(np.mean(left.redrawn))),
    ]
    shift = left.shift[np.isfinite(left.shift)]
    if "sky" in head and shift.size:
        rows.append(entry(f"{head} mean shift of the other nods", float(shift.mean()), "sigma"))
        rows.append(entry(f"{head} its error", float(shift.std() / np.sqrt(shift.size)), "sigma"))
    return rows


def fainter(sight: Sight) -> list[dict]:
    """What single pixels of less height on the sky leave in groups of three."""
    rows = []
    for height in FAINTER:
        parts = []
        for source in BLANK[:4]:
            cals = sight.cals(source, 3)
            slit, place = SlitCal.read(cals[0]), planned_rows(cals[0])
            at = places(slit, place, trace=False, seed=source)
            parts.append(hit(cals, 0, at, long=False, height=height))
        worst = np.concatenate([left.worst for left in parts])
        head = f"spikes of {height:g} sigma, 3 nods, on sky, 1 px:"
        rows.append(entry(f"{head} largest trace elsewhere", float(worst.max()), "sigma"))
        rows.append(entry(f"{head} events that leave {GOAL} sigma or more", 100 * float(np.mean(worst >= GOAL)), "%"))
    return rows


def hot(sight: Sight) -> list[dict]:
    """A hot pixel that no map knows: the same excess in all nods goes with the background."""
    rows = []
    for n in GROUPS:
        worst, gone, other = [], [], []
        for source in BLANK[:4]:
            cals = sight.cals(source, n)
            slit, place = SlitCal.read(cals[0]), planned_rows(cals[0])
            at = places(slit, place, trace=False, seed=source) + np.array(slit.origin)[::-1]
            with tempfile.TemporaryDirectory(prefix="nirfire-nods-") as name:
                excess = HEIGHT * float(np.nanmedian(slit.err))
                hotter = subtract_with_nods([_one(cal, Path(name), at, excess) for cal in cals])
            for (a, a_bits), (c, c_bits) in zip(hotter, subtract_with_nods(cals), strict=True):
                here = tuple(_inside(at, c).T)
                same = (a_bits == c_bits)[here]
                worst.append((np.abs(a.sci - c.sci)[here] / c.err[here])[same])
                gone.append((a.bad & ~c.bad)[here])
                other.append(~same)
        left = float(np.nanmax(np.concatenate(worst)))
        head = f"spikes, {n} nods, hot pixel in all:"
        rows.append(entry(f"{head} largest trace", left, "sigma", f"< {GOAL}", left < GOAL))
        for text, values in (("rejected", gone), ("other nods in the background", other)):
            rows.append(entry(f"{head} {text}", 100 * float(np.mean(np.concatenate(values))), "%"))
    return rows


def _inside(at: np.ndarray, slit: SlitCal) -> np.ndarray:
    """Detector pixels (row, column) as places in a cutout; those outside are left out."""
    place = at - np.array(slit.origin)[::-1]
    return place[((place >= 0) & (place < slit.shape)).all(axis=1)]


def _one(cal: Path, folder: Path, at: np.ndarray, excess: float) -> Path:
    """A copy with the same excess [MJy, before pathloss correction] at detector pixels (row, column)."""
    path = folder / cal.name
    shutil.copyfile(cal, path)
    slit = SlitCal.read(cal)
    y, x = _inside(at, slit).T
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].data[y, x] += excess / slit.correction[y, x]
    return path


def mistakes(sight: Sight) -> list[dict]:
    """Pixels that are rejected though they are no spikes, on blank sky and near sources; light of sources lost."""
    rows = []
    for n in GROUPS:
        for name, sources in (("blank slitlets", BLANK), ("slitlets with sources", SOURCES)):
            n_good = n_gone = n_false = 0
            for source in sources:
                cals = sight.cals(source, n)
                for on, off in zip(subtract(cals), subtract(cals, OFF), strict=True):
                    gone = on.bad & ~off.bad
                    n_good += int((~off.bad).sum())
                    n_gone += int(gone.sum())
                    n_false += int((gone & (np.abs(pixel_pulls(off)) < FALSE)).sum())
            head = f"spikes, {n} nods, {name}: pixels rejected"
            rows.append(entry(head, 100 * n_gone / n_good, "%"))
            rows.append(entry(f"{head}, within {FALSE:g} sigma of zero", 100 * n_false / n_good, "%"))
        rows += _light(sight, n)
    return rows


def _light(sight: Sight, n: int) -> list[dict]:
    """Brightest pixels of sources (lines and continuum) with the search and without it."""
    gone, total, change = 0, 0, 0.0
    for source in SOURCES:
        cals = sight.cals(source, n)
        for on, off, cal in zip(subtract(cals), subtract(cals, OFF), cals, strict=True):
            row = planned_rows(cal)
            near = np.abs(np.arange(off.shape[0])[:, None] - row) < TRACE
            bright = near & ~off.bad & (pixel_pulls(off) > 5)
            total += int(bright.sum())
            gone += int((bright & on.bad).sum())
            kept = bright & ~on.bad
            change = max(change, float(np.max(np.abs(on.sci - off.sci)[kept] / off.err[kept], initial=0.0)))
    head = f"spikes, {n} nods, source pixels above 5 sigma:"
    share = 100 * gone / total
    return [
        entry(f"{head} lost", share, "%", "< 0.1", share < 0.1),
        entry(f"{head} their number", total),
        entry(f"{head} largest change of those kept", change, "sigma"),
    ]


def spikes(sight: Sight) -> list[dict]:
    """All of it."""
    return [*left_over(sight), *fainter(sight), *hot(sight), *mistakes(sight)]
