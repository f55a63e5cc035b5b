"""Where the bright sources of a visit lie, against where they were planned, and the pointing error that explains it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nirfire.core.pointing import ROLL, PointingFit, Shifts, X, Y
from nirfire.qa.canvas import COLOURS, new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
MAS = 1e3  # in an arcsec
NICE = (2, 5, 10, 20, 50, 100, 200)  # mas


def pointing_figure(shifts: Shifts, fit: PointingFit, labels: Sequence[str], png: Path, title: str = "") -> Path:
    """Draw measured shifts over the MSA, and each component against the coordinate that a rotation makes it follow.

    Parameters
    ----------
    shifts : Shifts
    fit : PointingFit
        Fitted to them.
    labels : sequence of str
        One for each source.
    png : Path
        The figure to write.
    title : str

    Returns
    -------
    Path
    """
    at = fit.frame.coordinates(shifts.place)
    moved = shifts.shift * shifts.pitch * MAS
    err = np.hypot(shifts.err * shifts.pitch, fit.scatter) * MAS
    model = fit.shift(shifts.place, shifts.per_pitch)[0] * shifts.pitch * MAS
    figure = new_figure(12.6, 6.6)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
    _map(figure.add_subplot(grid[:, 0]), at, (moved, model), shifts, fit, labels)
    for row, (axis, name) in enumerate(((Y, "y, along the slitlet"), (X, "x, along the dispersion"))):
        axes = figure.add_subplot(grid[row, 1])
        _component(axes, at, (moved[:, axis], err[:, axis], model[:, axis]), fit, axis)
        axes.set_ylabel(f"measured − planned\n{name} [mas]", fontsize=8)
    return save_png(figure, png)


def _map(
    axes: Axes, at: Array, vectors: tuple[Array, Array], shifts: Shifts, fit: PointingFit, labels: Sequence[str]
) -> None:
    """Vectors of measured shifts (those along one axis only where no more is known) and of the fit."""
    moved, model = vectors
    known = np.isfinite(shifts.err)
    drawn = np.where(known, moved, 0.0)
    typical = float(np.median(np.hypot(*drawn[known.any(axis=1)].T))) if known.any() else 1.0
    key = min(NICE, key=lambda n: abs(n - typical))
    extent = float(np.ptp(at, axis=0).max()) or 1.0
    how: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": key / (0.12 * extent), "width": 0.0035}
    measured = known.any(axis=1)
    for used, colour, text in ((True, COLOURS["data"], "measured"), (False, COLOURS["mark"], "measured, left out")):
        mine = measured & ((fit.used == known).all(axis=1) == used)
        if mine.any():
            axes.quiver(*at[mine].T, *drawn[mine].T, color=colour, label=text, **how)
    arrows = axes.quiver(*at.T, *model.T, color=COLOURS["model"], alpha=0.6, label="fitted", **how)
    axes.quiverkey(arrows, 0.84, 0.06, key, f"{key} mas", labelpos="W", fontproperties={"size": 8})
    axes.plot(*at.T, "o", ms=3, color=COLOURS["error"])
    axes.plot(0, 0, "+", ms=10, color=COLOURS["box"], label="reference point")
    together: dict[tuple[float, float], list[str]] = {}
    for place, label in zip(at, labels, strict=True):
        together.setdefault((round(place[0]), round(place[1])), []).append(label)
    for place, names in together.items():
        axes.annotate(", ".join(names), place, (3, -9), textcoords="offset points", fontsize=7, color=COLOURS["box"])
    axes.set_aspect("equal")
    heads = np.concatenate([at, at + drawn / how["scale"], at + model / how["scale"], [[0.0, 0.0]]])
    pad = 0.08 * extent
    (left, low), (right, high) = heads.min(axis=0) - pad, heads.max(axis=0) + pad
    axes.set(xlim=(left, right), ylim=(low - 2 * pad, high))  # room for the legend
    axes.set_xlabel("along the dispersion, from the reference point of the aperture [arcsec]", fontsize=8)
    axes.set_ylabel("along the slitlets [arcsec]", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, loc="lower left", ncols=2)


def _component(axes: Axes, at: Array, values: tuple[Array, Array, Array], fit: PointingFit, axis: int) -> None:
    """One component of the shifts with errors (scatter of the sources included), and the fit."""
    moved, err, model = values
    across = at[:, X if axis == Y else Y]
    known, used = np.isfinite(err), fit.used[:, axis]
    for mine, colour in ((used, COLOURS["data"]), (known & ~used, COLOURS["mark"])):
        axes.errorbar(across[mine], moved[mine], err[mine], fmt="o", ms=4, lw=1, color=colour)
    order = np.argsort(across)
    axes.axhline(0, color=COLOURS["error"], lw=0.8)
    if fit.fitted[axis] or (fit.fitted[ROLL] and known.any()):
        axes.plot(across[order], model[order], color=COLOURS["model"], lw=1.2)
    if not known.any():
        text = "not measured: the exposures have one dither"
        axes.text(0.5, 0.6, text, transform=axes.transAxes, ha="center", fontsize=8)
        axes.set(xticks=[], yticks=[])
    else:
        close = np.append(moved[used], model[used])
        low, high = (close.min(), close.max()) if close.size else (-1.0, 1.0)
        pad = 0.3 * (high - low) + 3 * float(np.median(err[known]))
        axes.set_ylim(min(low - pad, -2.0), max(high + pad, 2.0))
        _mark_beyond(axes, across[known], moved[known])
    along = "slitlets" if axis == X else "dispersion"
    axes.set_xlabel(f"place along the {along} [arcsec]", fontsize=8)
    axes.tick_params(labelsize=7)


def _mark_beyond(axes: Axes, across: Array, moved: Array) -> None:
    """Say where sources lie that are beyond the axis."""
    low, high = axes.get_ylim()
    for x, y in zip(across, moved, strict=True):
        if not low <= y <= high:
            edge = high if y > high else low
            axes.annotate(
                f"{y:+.0f} {'↑' if y > high else '↓'}",
                (x, edge),
                (0, -10 if y > high else 4),
                textcoords="offset points",
                fontsize=7,
                ha="center",
                color=COLOURS["mark"],
            )
