"""Figure of the joint spectrum of all gratings of a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirfire.products.joint import GRATING_BITS, JointSpectrum
from nirfire.qa.canvas import COLOURS, save_png, titled
from nirfire.qa.spectrum_figures import WIDTH, flux_limits, stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHTS = [3.2, 0.95, 1.0]  # inches: flux, resolving power, factors
SHADES = {"PRISM": "data", "G140M": "box", "G235M": "truth", "G395M": "model"}
SHADES |= {"G140H": "box", "G235H": "truth", "G395H": "model"}


def joint_figure(joint: JointSpectrum, png: Path, title: str) -> Path:
    """Draw a joint spectrum: flux by grating, resolving power, and the factors of the gratings.

    Parameters
    ----------
    joint : JointSpectrum
    png : Path
        The figure to write.
    title : str

    Returns
    -------
    Path
        The figure.
    """
    height = 1.1 + sum(HEIGHTS)
    figure = titled(WIDTH, height, title)
    main, power, factor = stacked(figure, height - 0.4, HEIGHTS)
    _flux(main, joint)
    power.set_yscale("log")
    power.set_ylabel("resolving\npower", fontsize=8)
    factor.set_ylabel("factor\n(applied)", fontsize=8)
    factor.axhline(1, color=COLOURS["error"], lw=0.7)
    for _, colour, mine in _gratings(joint):
        power.plot(joint.wave, np.where(mine, joint.resolution, np.nan), color=colour, lw=1.4)
        scale, err = (np.where(mine, values, np.nan) for values in (joint.scale, joint.scale_err))
        factor.fill_between(joint.wave, scale - err, scale + err, color=colour, alpha=0.2, lw=0)
        factor.plot(joint.wave, scale, color=colour, lw=1.2)
    factor.set_xlabel("wavelength [um, vacuum]", fontsize=9)
    return save_png(figure, png)


def _gratings(joint: JointSpectrum) -> list[tuple[str, str, np.ndarray]]:
    """Name, colour and pixels of each grating that leads somewhere; pixels of several count for the last of them."""
    found = []
    for name, bit in GRATING_BITS.items():
        mine = (joint.grating >= bit) & (joint.grating < 2 * bit)
        if mine.any():
            found.append((name, COLOURS[SHADES[name]], mine))
    return found


def _flux(axes: Axes, joint: JointSpectrum) -> None:
    flux, err = (np.where(joint.mask, np.nan, values) for values in (joint.flux, joint.err))
    axes.fill_between(joint.wave, flux - err, flux + err, step="mid", color=COLOURS["error"], alpha=0.6, lw=0)
    for name, colour, mine in _gratings(joint):
        row = [k for k, other in enumerate(joint.modes["grating"]) if other == name]
        said = [f"{joint.modes['scale'][k]:.3f} ± {joint.modes['scale_err'][k]:.3f}" for k in row]
        label = f"{name}, times {', '.join(said)}" if not joint.modes["reference"][row].any() else f"{name}, reference"
        axes.step(joint.wave, np.where(mine, flux, np.nan), where="mid", color=colour, lw=0.8, label=label)
    axes.axhline(0, color=COLOURS["data"], lw=0.5)
    axes.set_ylim(*flux_limits(flux, err))
    axes.set_ylabel(r"$f_\nu$ [uJy]", fontsize=9)
    if not joint.mask.all():
        axes.legend(fontsize=8, loc="upper left", ncols=4, framealpha=0.85)
