"""Figure of the redshift of all gratings of a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nirfire.core.lsf import C_KMS
from nirfire.products.joint_redshift import JointFit
from nirfire.products.zfit import RedshiftFit, warnings_said
from nirfire.qa.canvas import COLOURS, panel, rows_from_top, save_png, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = ("box", "truth", "mark", "line", "data")
WIDTH, ROW, GAP = 13.6, 1.3, 0.12  # inches: figure, a row of panels, and between them
COLUMNS = ((1.0, 7.9), (9.45, 4.0))  # left edge and width
HALF_KMS = 2500.0  # half width of the zoom
LEAST = 1e-5  # of p(z) that is drawn, relative to the peak


def agree_figure(joint: JointFit, fits: Sequence[RedshiftFit], png: Path, title: str) -> Path:
    """Draw chi2 of each grating over all redshifts, and the joint p(z) about the best with the offsets.

    Parameters
    ----------
    joint : JointFit
    fits : sequence of RedshiftFit
        One per row of its GRATINGS, in that order.
    png : Path
        The figure to write.
    title : str

    Returns
    -------
    Path
        The figure.
    """
    height = 1.0 + ROW * (len(fits) + 1)
    said = f"z = {joint.z:.5f} ± {joint.z_err:.5f}   probability {joint.probability:.3f}"
    warned = "   " + ", ".join(warnings_said(joint.warning)) if joint.warning else ""
    rule = f"rule: {joint.consensus:.4f} ({joint.said_by})"
    heading = f"{title}   {said}   {joint.n_agree} of {len(fits)} gratings support it   {rule}{warned}"
    figure = titled(WIDTH, height, heading)
    left, right = (_column(figure, height - 0.4, len(fits) + 1, place) for place in COLUMNS)
    axes = np.array([left, right]).T
    for k, (fit, row) in enumerate(zip(fits, joint.gratings, strict=True)):
        colour = COLOURS[SHADES[k % len(SHADES)]]
        _scan(axes[k, 0], fit, str(row["grating"]), colour)
        _near(axes[k, 1], joint.z, fit, row, colour)
    _joint(axes[-1, 0], axes[-1, 1], joint)
    for each in left:
        each.axvline(joint.z, color=COLOURS["model"], lw=1.0, zorder=0)
    return save_png(figure, png)


def _column(figure: Figure, top: float, n: int, place: tuple[float, float]) -> list[Axes]:
    """Panels below each other that share their x axis."""
    first, made = None, []
    for base in rows_from_top(top, [ROW - GAP] * n, [GAP] * n):
        axes = panel(figure, (place[0], base, place[1], ROW - GAP), sharex=first)
        first = first or axes
        made.append(axes)
    for axes in made:
        axes.tick_params(labelsize=8, labelbottom=axes is made[-1])
    return made


def _scan(axes: Axes, fit: RedshiftFit, grating: str, colour: str) -> None:
    delta = fit.chi2 - np.nanmin(fit.chi2)
    axes.plot(fit.z_grid, delta, color=colour, lw=0.8)
    axes.plot(fit.z, 0.0, "^", color=colour, ms=6, clip_on=False)
    top = float(np.nanmax(delta)) or 1.0
    axes.set_ylim(-0.06 * top, 1.06 * top)
    axes.set_ylabel(f"{grating}\n" + r"$\Delta\chi^2$", fontsize=8)
    axes.text(0.995, 0.08, f"alone z = {fit.z:.4f}", transform=axes.transAxes, ha="right", fontsize=8)


def _near(axes: Axes, z: float, fit: RedshiftFit, row: Any, colour: str) -> None:
    """Chi2 about the joint redshift, with the offset of the grating and how well its wavelengths are known."""
    velocity = C_KMS * (np.log1p(fit.z_grid) - np.log1p(z))
    delta = fit.chi2 - np.nanmin(fit.chi2)
    near = np.abs(velocity) <= HALF_KMS
    offset, error, support = (float(row[name]) for name in ("offset", "offset_err", "support"))
    axes.axvspan(offset - error, offset + error, color=colour, alpha=0.2, lw=0)
    axes.plot(velocity[near], delta[near], color=colour, lw=1.0)
    axes.axvline(0.0, color=COLOURS["model"], lw=1.0, zorder=0)
    low, high = (float(of(delta[near])) for of in (np.min, np.max)) if near.any() else (0.0, 1.0)
    axes.set_ylim(low - 0.06 * (high - low + 1.0), low + 1.06 * (high - low + 1.0))
    text = f"offset {offset:+.0f} ± {error:.0f} km/s\nsupport {support:+.1f}"
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    axes.text(0.02, 0.93, text, transform=axes.transAxes, va="top", fontsize=8, bbox=behind)


def _joint(whole: Axes, near: Axes, joint: JointFit) -> None:
    relative = joint.density / joint.density.max()
    whole.plot(joint.z_grid, np.maximum(relative, LEAST), color=COLOURS["model"], lw=0.9)
    whole.set_yscale("log")
    for z, _, probability in [tuple(row) for row in joint.peaks[:3]]:
        if probability > 0.005:
            whole.annotate(f"{z:.3f}: {probability:.2f}", (z, 1.0), (3, -8), textcoords="offset points", fontsize=7)
    whole.set_ylim(LEAST, 2.5)
    whole.set_ylabel("all: p(z)\nover its peak", fontsize=8)
    whole.set_xlabel("redshift", fontsize=9)
    velocity = C_KMS * (np.log1p(joint.z_grid) - np.log1p(joint.z))
    near.fill_between(velocity, 0, relative, color=COLOURS["model"], alpha=0.35, lw=0)
    near.plot(velocity, relative, color=COLOURS["model"], lw=1.0)
    near.set_xlim(-HALF_KMS, HALF_KMS)
    near.set_ylim(0, 1.1)
    near.set_xlabel("velocity from the joint redshift [km/s]", fontsize=9)
