"""Nod subtraction of one source: cutouts before and after, profiles across the dispersion, and pulls of blank sky."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nirfire.products.naming import ExposureName
from nirfire.products.slitcal import OUTLIER, SlitCal, source_rows
from nirfire.qa.canvas import (
    COLOURS,
    color_bar,
    panel,
    percentiles,
    robust_sigma,
    save_png,
    show_image,
    titled,
    wave_ticks,
)
from nirfire.qa.cutout_figures import MJY_TO_UJY, Nod, narrow, stretch

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Limits = tuple[float, float]

TITLES = ("calibrated, sky still in", "other nods subtracted", "median over wavelength", "pulls of blank pixels")
LABELS = (*2 * ("wavelength at the source's row [um, vacuum]",), "flux density [uJy per pixel]", "flux / error")
WIDTH = 15.0  # inches, as all of these
COLUMNS = ((0.85, 4.1), (6.0, 4.1), (11.35, 1.85), (13.3, 1.6))  # left edge and width of the panels
TOP, ROW, PANEL, BOTTOM = 0.62, 1.65, 1.3, 0.2  # room above; of a row, its panels in it; room below
CLEAR = 2.5
"""Pixels nearer than this [px] to the source's place in any nod are not blank."""
PULL_RANGE = 5.0
LEAST = 50  # pixels of a histogram


@dataclass(frozen=True)
class Rows:
    """Rows of the source in the coordinates of one cutout.

    Attributes
    ----------
    own : ndarray, shape (n_wave,) [px] or None
        In this nod.
    others : list of ndarray, shape (n_wave,) [px]
        In the other nods, where it leaves its negative.
    """

    own: Array | None
    others: list[Array]


def nod_figure(cals: list[Path], bkgsubs: list[Path], path: Path) -> Path:
    """Draw the nods of one source on one detector.

    Parameters
    ----------
    cals : list of Path
        The ``_cal.fits``.
    bkgsubs : list of Path
        Their ``_cal_bkgsub.fits``, in the same order; one that does not exist is left blank.
    path : Path
        The PNG to write.

    Returns
    -------
    Path
        The PNG.

    Raises
    ------
    DataError
        A file is damaged.

    Notes
    -----
    One stretch for all panels of a column. Blank are pixels that are further than 2.5 px from the planned place of
    the source in every nod, and not flagged; their pulls, flux over error, should follow the unit Gaussian.
    """
    nods = _read(cals, bkgsubs)
    rows = [_rows(nods, k) for k in range(len(nods))]
    height = TOP + ROW * len(nods) + BOTTOM
    figure = titled(WIDTH, height, _title(nods))
    limits = stretch(nods)
    reach = _reach(nods)
    grid = []
    for k, (nod, mine) in enumerate(zip(nods, rows, strict=True)):
        base = height - TOP - ROW * (k + 1) + ROW - PANEL
        grid.append([panel(figure, (left, base, width, PANEL)) for left, width in COLUMNS])
        _draw_nod(grid[k], nod, mine, limits, reach)
    for j, (left, width) in enumerate(COLUMNS[:2]):
        if any(nod.sub is not None for nod in nods) or j == 0:
            place = (left + width + 0.12, BOTTOM + 0.5 * (height - TOP - BOTTOM - 1.5), 0.09, 1.5)
            color_bar(figure, place, limits[j], "gray", LABELS[2])
    for top, bottom, title, text in zip(grid[0], grid[-1], TITLES, LABELS, strict=True):
        top.set_title(title, fontsize=9, y=1.0, pad=14)
        bottom.set_xlabel(text, fontsize=8)
    figure.legend(handles=_legend(), fontsize=7, loc="upper right", ncols=7, frameon=False, handlelength=1.6)
    return save_png(figure, path)


def _draw_nod(panels: list[Axes], nod: Nod, rows: Rows, limits: tuple[Limits, Limits], reach: Limits) -> None:
    """Draw one row of panels."""
    before, after, profile, pulls = panels
    _image(before, nod.cal, rows, limits[0])
    if not nod.contains_source:
        text = "the source lies outside the open shutters of this exposure"
        before.annotate(text, (0.0, 1.03), xycoords="axes fraction", fontsize=7, color=COLOURS["box"])
    before.set_ylabel(f"{nod.label}\n\ndetector row", fontsize=7)
    if nod.sub is None:
        for axes in (after, profile, pulls):
            _nothing(axes)
        return
    _image(after, nod.sub, rows, limits[1])
    _mark_rejected(after, nod.cal, nod.sub)
    _profile(profile, nod, rows, reach)
    _pulls(pulls, nod.sub, rows)


def _legend() -> list[Artist]:
    """What the marks of all panels mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def mark(colour: str, marker: str, size: float, text: str) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, ms=size, ls=":", lw=0.9, label=text)

    circle = {"marker": "o", "mfc": "none", "mec": COLOURS["model"], "ls": "none", "ms": 6}
    return [
        mark(COLOURS["mark"], ">", 6, "source in this nod"),
        mark(COLOURS["box"], ">", 4, "in the other nods"),
        Line2D([], [], label="rejected as spike", **circle),  # type: ignore[arg-type]
        Line2D([], [], color=COLOURS["error"], marker="o", ms=3, lw=1, label="sky in"),
        Line2D([], [], color=COLOURS["data"], marker="o", ms=3, lw=1, label="subtracted"),
        Patch(color=COLOURS["error"], label=f"blank pixels (> {CLEAR:g} px from the source in any nod)"),
        Line2D([], [], color=COLOURS["model"], lw=1.2, label="unit Gaussian"),
    ]


def _read(cals: list[Path], bkgsubs: list[Path]) -> list[Nod]:
    found = []
    for cal_path, sub_path in zip(cals, bkgsubs, strict=True):
        cal = SlitCal.read(cal_path)
        rows = source_rows(cal) if cal.header.get("SRCFLUX", True) else None
        name = ExposureName.from_path(cal_path)
        label = f"{name.nod:05d} {name.detector}" if name else cal_path.stem
        found.append(Nod(label, cal, SlitCal.read(sub_path) if sub_path.exists() else None, rows))
    return found


def _title(nods: list[Nod]) -> str:
    cal = nods[0].cal
    name = ExposureName.from_path(cal.path)
    facts = [f"source {cal.slit_header.get('SOURCEID', '?')}", name.root if name else ""]
    facts += [str(cal.header.get("GRATING", "")), f"{len(nods)} nods"]
    return "   ".join(fact for fact in facts if fact)


def nods_rows(cals: list[Path]) -> list[Rows]:
    """Rows of the source at all nods, as seen in each cutout."""
    nods = _read(cals, [cal.with_suffix(".none") for cal in cals])
    return [_rows(nods, k) for k in range(len(nods))]


def _rows(nods: list[Nod], k: int) -> Rows:
    """Rows of the source at all nods, as seen in cutout k."""
    own, others = nods[k].rows, []
    column, first = nods[k].cal.origin
    n_wave = nods[k].cal.shape[1]
    for j, nod in enumerate(nods):
        if j == k or nod.rows is None or not nod.contains_source:
            continue
        x, y = nod.cal.origin
        at = np.arange(n_wave) + column - x
        others.append(np.interp(at, np.arange(nod.rows.size), nod.rows) + y - first)
    return Rows(own, others)


def blank_pixels(slit: SlitCal, rows: Rows) -> NDArray[np.bool_]:
    """Pixels that are not flagged and far from the source at every nod, shape (n_spat, n_wave)."""
    blank = ~slit.bad & (slit.err > 0)
    place = np.arange(slit.shape[0])[:, np.newaxis]
    for row in ([] if rows.own is None else [rows.own]) + rows.others:
        blank &= ~(np.abs(place - row) < CLEAR)
    return blank


def _image(axes: Axes, slit: SlitCal, rows: Rows, limits: Limits) -> None:
    """One cutout over its detector rows; the source's row is marked at both ends, those of other nods thinner."""
    n_spat, n_wave = slit.shape
    first = slit.origin[1]
    drawn = show_image(axes, narrow(np.where(slit.bad, np.nan, slit.sci) * MJY_TO_UJY), limits)
    drawn.set_extent((-0.5, n_wave - 0.5, first - 0.5, first + n_spat - 0.5))  # type: ignore[attr-defined]
    for row, colour, size in [(rows.own, COLOURS["mark"], 7), *((row, COLOURS["box"], 4) for row in rows.others)]:
        if row is None:
            continue
        for end, marker in ((0, ">"), (-1, "<")):
            if -0.5 < row[end] < n_spat - 0.5:
                at = -0.5 if end == 0 else n_wave - 0.5
                axes.plot(at, row[end] + first, marker, color=colour, ms=size, clip_on=False, zorder=5)
    axes.set(xlim=(-0.5, n_wave - 0.5), ylim=(first - 0.5, first + n_spat - 0.5))
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="y", nbins=4)
    wave_ticks(axes, _wave(slit, rows.own))


def _wave(slit: SlitCal, row: Array | None) -> Array:
    """Wavelength of each column at a row, or, where it has none there, the mean of all rows [um]."""
    n_spat, n_wave = slit.shape
    there = np.isfinite(slit.wave) & (slit.wave > 0)
    total = np.sum(slit.wave, axis=0, where=there, dtype=float)
    count = there.sum(axis=0)
    middle = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    if row is None:
        return middle
    at = np.clip(np.rint(row).astype(int), 0, n_spat - 1), np.arange(n_wave)
    return np.where(there[at] & (np.abs(row - at[0]) <= 0.5), slit.wave[at], middle)


def rejected_pixels(cal: SlitCal, sub: SlitCal) -> NDArray[np.bool_]:
    """Pixels that the subtraction took for spikes, shape (n_spat, n_wave)."""
    return ~cal.bad & (sub.dq & OUTLIER > 0)


def _mark_rejected(axes: Axes, cal: SlitCal, sub: SlitCal) -> None:
    """Circles around what was taken for a spike, and their number."""
    y, x = np.nonzero(rejected_pixels(cal, sub))
    axes.plot(x, y + cal.origin[1], "o", mfc="none", mec=COLOURS["model"], mew=1.0, ms=6, ls="none")
    text = f"{x.size} px rejected as spikes"
    axes.annotate(text, (1.0, 1.03), xycoords="axes fraction", ha="right", fontsize=7, color=COLOURS["model"])


def _level(slit: SlitCal) -> tuple[Array, Array]:
    """Median over wavelength of each row and its error [uJy], shape (n_spat,); NaN for rows almost without pixels."""
    good = ~slit.bad & (slit.err > 0)
    level, err = np.full(slit.shape[0], np.nan), np.full(slit.shape[0], np.nan)
    for k in np.flatnonzero(good.sum(axis=1) >= 10):
        level[k] = np.median(slit.sci[k, good[k]]) * MJY_TO_UJY
        err[k] = np.sqrt(np.pi / 2 / good[k].sum()) * np.median(slit.err[k, good[k]]) * MJY_TO_UJY
    return level, err


def _reach(nods: list[Nod]) -> tuple[float, float]:
    """Common limits of the profiles [uJy]."""
    levels = [_level(slit)[0] for nod in nods for slit in (nod.cal, nod.sub) if slit is not None]
    low, high = percentiles(np.concatenate(levels), 0.0, 100.0)
    pad = 0.08 * (high - low)
    return min(low, 0.0) - pad, max(high, 0.0) + pad


def _profile(axes: Axes, nod: Nod, rows: Rows, reach: tuple[float, float]) -> None:
    """Median over wavelength, before and after; rows upwards as in the images."""
    assert nod.sub is not None
    place = np.arange(nod.cal.shape[0]) + nod.cal.origin[1]
    style: dict[str, Any] = {"marker": "o", "ms": 2.5, "lw": 1.0}
    for row, colour in [(rows.own, COLOURS["mark"]), *((row, COLOURS["box"]) for row in rows.others)]:
        if row is not None:
            axes.axhline(float(np.median(row)) + nod.cal.origin[1], color=colour, lw=0.9, ls=":")
    axes.axvline(0, color=COLOURS["data"], lw=0.6)
    axes.plot(_level(nod.cal)[0], place, color=COLOURS["error"], **style)
    level, err = _level(nod.sub)
    axes.errorbar(level, place, xerr=err, color=COLOURS["data"], **style)
    axes.set(xlim=reach, ylim=(place[0] - 0.5, place[-1] + 0.5))
    axes.tick_params(labelsize=7)


def _pulls(axes: Axes, slit: SlitCal, rows: Rows) -> None:
    """Histogram of the pulls of blank pixels, with a unit Gaussian."""
    blank = blank_pixels(slit, rows)
    if blank.sum() < LEAST:
        _nothing(axes, "no blank rows")
        return
    pull = (slit.sci[blank] / slit.err[blank]).astype(float)
    edges = np.linspace(-PULL_RANGE, PULL_RANGE, 41)
    counts, _ = np.histogram(np.clip(pull, -PULL_RANGE, PULL_RANGE), edges, density=True)
    axes.stairs(counts, edges, fill=True, color=COLOURS["error"])
    at = np.linspace(-PULL_RANGE, PULL_RANGE, 201)
    axes.plot(at, np.exp(-0.5 * at**2) / np.sqrt(2 * np.pi), color=COLOURS["model"], lw=1.2)
    axes.set(xlim=(-PULL_RANGE, PULL_RANGE), ylim=(0, 0.56), yticks=[])
    text = f"{pull.size} px\nmean {pull.mean():+.2f}\nwidth {robust_sigma(pull):.2f}\n>5: {int((abs(pull) > 5).sum())}"
    axes.annotate(text, (0.03, 0.96), xycoords="axes fraction", va="top", fontsize=7)
    axes.tick_params(labelsize=7)


def _nothing(axes: Axes, text: str = "no nod-subtracted product") -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, fontsize=8)
    axes.set(xticks=[], yticks=[])
