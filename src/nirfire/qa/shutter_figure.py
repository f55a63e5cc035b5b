"""The evidence for stuck shutters: all nods of a source on both detectors, and the sky level of each shutter."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.naming import ExposureName
from nirfire.products.shutters import ShutterTable
from nirfire.qa.canvas import COLOURS, new_figure, panel, robust_sigma, save_png, show_image, wave_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATE_COLOURS = {"open": COLOURS["truth"], "closed": COLOURS["model"], "vignetted": COLOURS["mark"], "unknown": "0.5"}
HALF_OPEN = 0.437  # of the pitch: half the height of the opening
LIMITS = (-0.3, 2.0)  # [sky] of images
LEVELS = (-0.45, 2.45)  # [sky] of the levels; higher ones are arrows
NOISY, WIDE = 0.6, 4  # [sky] difference of neighbouring bins from which so many are drawn as one
ROW_HEIGHT, WIDTH = 1.4, (6.2, 4.6)  # inches, of one row; of a detector, and of the levels
LEFT, RIGHT, BETWEEN, TOP, AXIS = 0.6, 0.22, 0.27, 0.9, 0.45  # room beside panels, below each, above and below all


def shutter_figure(table: ShutterTable, source: int, path: Path) -> Path:
    """Draw all nods of a source on both detectors, in units of the sky, and the level of each shutter.

    Parameters
    ----------
    table : ShutterTable
        With the source.
    source : int
        Number of the source.
    path : Path
        The PNG to write.

    Returns
    -------
    Path
        The PNG.

    Raises
    ------
    DataError
        The table does not hold the source.
    """
    what = _Source.of(table, source)
    shots, detectors = sorted({n.both for n in what.names}), sorted({n.detector for n in what.names})
    figure, panels = _panels(len(shots) + 1, len(detectors))
    for i, shot in enumerate(shots):
        mine = what.levels[[ExposureName(str(n)).both == shot for n in what.levels["exposure"]]]
        held = [int(c) - what.first for c in np.unique(mine["shutter_column"][np.asarray(mine["sourced"], bool)])]
        for j, detector in enumerate(detectors):
            here = [k for k, n in enumerate(what.names) if (n.both, n.detector) == (shot, detector)]
            _image(panels[i][j], what, here, held)
        panels[i][0].set_ylabel(f"{shot.rsplit('_', 1)[-1]}\nshutter", fontsize=8)
        _nod_levels(panels[i][-1], mine, what)
    for j, detector in enumerate(detectors):
        _image(panels[-1][j], what, [k for k, n in enumerate(what.names) if n.detector == detector], [])
        panels[0][j].set_title(detector.upper(), fontsize=9, loc="left", y=1.0)
        panels[-1][j].set_xlabel("wavelength [µm]", fontsize=8)
    panels[-1][0].set_ylabel("median\nshutter", fontsize=8)
    _verdict_levels(panels[-1][-1], what)
    panels[0][-1].set_title("level of each shutter [sky through an open one]", fontsize=9, loc="left", y=1.0)
    _title(figure, what, source)
    return save_png(figure, path, "viridis")


def _panels(n_rows: int, n_detectors: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a row of panels for each exposure and the median: the detectors, and levels."""
    widths = [WIDTH[0]] * n_detectors + [WIDTH[1]]
    figure = new_figure(sum(widths), ROW_HEIGHT * n_rows + TOP + AXIS, constrained=False)
    lefts = np.cumsum([0.0, *widths[:-1]]) + LEFT
    return figure, [
        [
            panel(figure, (left, AXIS + ROW_HEIGHT * (n_rows - 1 - i), width - LEFT - RIGHT, ROW_HEIGHT - BETWEEN))
            for left, width in zip(lefts.tolist(), widths, strict=True)
        ]
        for i in range(n_rows)
    ]


@dataclass(frozen=True)
class _Source:
    """What the table holds of one source."""

    verdicts: Table
    levels: Table
    images: Table
    names: list[ExposureName]
    first: int
    meta: dict[str, Any]

    @classmethod
    def of(cls, table: ShutterTable, source: int) -> _Source:
        verdicts, levels, images = (t[t["source"] == source] for t in (table.verdicts, table.levels, table.images))
        if len(verdicts) == 0 or len(images) == 0:
            raise DataError(f"source {source} is not among those whose shutters were looked at", key="source")
        names = [ExposureName(str(n)) for n in images["exposure"]]
        meta = {key: card[0] for key, card in table.meta.items()}
        return cls(verdicts, levels, images, names, int(verdicts["shutter_column"].min()), meta)

    @property
    def places(self) -> list[int]:
        """Of the shutters, from the first [pitch]."""
        return [int(c) - self.first for c in self.verdicts["shutter_column"]]

    @property
    def labels(self) -> list[str]:
        """Ordinals."""
        return [str(int(k)) for k in self.verdicts["ordinal"]]


def _in_sky(row: Table.Row) -> np.ndarray:
    """Image of one slit over the sky that an open shutter would show, shape (n_y, n_wave)."""
    image, sky = np.asarray(row["image"], float)[: int(row["rows"])], np.asarray(row["sky"], float)
    return image / np.where(sky > 0.05 * np.nanmax(sky, initial=0.0), sky, np.nan)


def _median(images: list[np.ndarray]) -> np.ndarray:
    """Median of some, in wider bins of wavelength where they are noisy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # boxes without a pixel in any exposure
        image = np.nanmedian(images, axis=0)
        if robust_sigma(np.diff(image, axis=1)) > NOISY:
            wide = image[:, : image.shape[1] // WIDE * WIDE].reshape(len(image), -1, WIDE)
            image = np.repeat(np.nanmean(wide, axis=2), WIDE, axis=1)
    return image


def _image(axes: Axes, what: _Source, here: list[int], held: list[int]) -> None:
    """Draw the median of some images, the ends of the shutters, and arrows at those that hold a source."""
    if not here:
        axes.set_axis_off()
        return
    row = what.images[here[0]]
    start, step = float(row["start"]) + int(row["first"]) - what.first, float(row["step"])
    shown = _median([_in_sky(what.images[k]) for k in here if len(_in_sky(what.images[k])) == int(row["rows"])])
    show_image(axes, shown, LIMITS, "viridis")
    edges = np.asarray(row["wave"], float)
    wave_ticks(axes, 0.5 * (edges[1:] + edges[:-1]))

    def at(y: float) -> float:
        return (y - start) / step - 0.5

    for place, verdict in zip(what.places, what.verdicts, strict=True):
        state = str(verdict["state"])
        colour, width = ("white", 0.8) if state == "open" else (STATE_COLOURS[state], 1.8)
        for end in (place - HALF_OPEN, place + HALF_OPEN):
            axes.axhline(at(end), color=colour, lw=width)
    for place in held:
        frame = axes.get_yaxis_transform()
        axes.plot([1.012], [at(place)], "<", ms=5, color=COLOURS["model"], transform=frame, clip_on=False)
    axes.set_yticks([at(p) for p in what.places], what.labels)
    axes.set_ylim(-0.5, len(shown) - 0.5)
    axes.tick_params(labelsize=7)


def _frame(axes: Axes, what: _Source) -> None:
    """Lines and limits that all panels of levels share."""
    scatter = float(what.verdicts["scatter"][0])
    axes.axvspan(1 - 2 * scatter, 1 + 2 * scatter, color=COLOURS["truth"], alpha=0.2, lw=0)
    axes.axvline(1.0, color=COLOURS["truth"], lw=0.8)
    axes.axvline(0.0, color="0.6", lw=0.8)
    axes.axvline(float(what.meta["NFSHOPEN"]), color=COLOURS["model"], lw=0.8, ls="--")
    for place in what.places[:-1]:
        axes.axhline(place + 0.5, color="0.8", lw=0.6)
    axes.set_xlim(*LEVELS)
    axes.set_ylim(what.places[0] - 0.9, what.places[-1] + 0.9)
    axes.set_yticks(what.places, what.labels)
    axes.tick_params(labelsize=7)


def _point(axes: Axes, level: float, error: float, place: float, **style: Any) -> None:
    """A level with its error; an arrow at the edge where it is beyond."""
    if not np.isfinite(error):
        axes.text(0.05, place, "no information", fontsize=7, va="center", color="0.4")
    elif not LEVELS[0] < level < LEVELS[1]:
        right = level > LEVELS[1]
        where, inner = (LEVELS[1] - 0.08, LEVELS[1] - 0.15) if right else (LEVELS[0] + 0.08, LEVELS[0] + 0.15)
        axes.plot([where], [place], ">" if right else "<", color=style["color"], ms=6)
        axes.text(inner, place, f"{level:.1f}", fontsize=7, va="center", ha="right" if right else "left")
    else:
        axes.errorbar([level], [place], xerr=[min(error, 9.0)], capsize=2, ms=4, lw=1.2, **style)


def _nod_levels(axes: Axes, levels: Table, what: _Source) -> None:
    """Levels of one exposure, both detectors; white symbols where the source is in the shutter."""
    _frame(axes, what)
    detectors = sorted({ExposureName(str(n)).detector for n in levels["exposure"]})
    states = {int(v["shutter_column"]): str(v["state"]) for v in what.verdicts}
    for row in levels:
        k = detectors.index(ExposureName(str(row["exposure"])).detector)
        column = int(row["shutter_column"])
        place = column - what.first + 0.3 * (k - 0.5 * (len(detectors) - 1))
        face = "white" if row["sourced"] else STATE_COLOURS[states[column]]
        _point(
            *(axes, float(row["level"]), float(row["error"]), place),
            fmt="os"[k % 2],
            color=STATE_COLOURS[states[column]],
            mfc=face,
        )


def _verdict_levels(axes: Axes, what: _Source) -> None:
    """Level of each shutter from all nods, and what is said of it."""
    _frame(axes, what)
    for v, place in zip(what.verdicts, what.places, strict=True):
        state, level = str(v["state"]), float(v["level"])
        _point(axes, level, float(v["error"]), place, fmt="D", color=STATE_COLOURS[state])
        said = f"{state}\n{level:.2f} ± {v['error']:.2f}   chance {v['chance']:.0e}"
        x, side = (LEVELS[1] - 0.05, "right") if level < 1.2 else (LEVELS[0] + 0.05, "left")
        axes.text(x, place, said, fontsize=7, va="center", ha=side, color=STATE_COLOURS[state])
    axes.set_xlabel("all nods", fontsize=8)


def _title(figure: Figure, what: _Source, source: int) -> None:
    v = what.verdicts[0]
    columns = ", ".join(str(c) for c in what.verdicts["shutter_column"])
    closed = ", ".join(str(r["ordinal"]) for r in what.verdicts if r["closed"])
    lines = [
        f"{what.names[0].root}   source {source}   "
        + (f"stuck closed: shutter {closed}" if closed else "no shutter is closed"),
        f"quadrant {v['quadrant']}, row {v['shutter_row']}, columns {columns};   images in units of the sky, "
        f"{LIMITS[0]:g} to {LIMITS[1]:g};   arrow, white symbol: the source is planned there",
        f"closed: level below {what.meta['NFSHOPEN']:g} (dashed) that an open shutter has with a chance below "
        f"{what.meta['NFSHFALS']:g};   green: twice the scatter of open shutters, {v['scatter']:.2f}",
    ]
    figure.text(0.01, 1 - 0.08 / figure.get_size_inches()[1], "\n".join(lines), fontsize=8.5, va="top")
