"""Emission lines to mark in a spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirfire.core.lines import WAVE
from nirfire.qa.canvas import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lines by importance: a label that would overlap a more important one is left out, its tick stays.
MAIN_LINES: tuple[tuple[str, str], ...] = (
    ("Ha", r"H$\alpha$"), ("OIII5008", "[O III]"), ("Lya", r"Ly$\alpha$"), ("Hb", r"H$\beta$"), ("OII3727", "[O II]"),
    ("SIII9533", "[S III]"), ("HeI10833", "He I"), ("Paa", r"Pa$\alpha$"), ("Pab", r"Pa$\beta$"), ("MgII2796", "Mg II"),
    ("CIII]", "C III]"), ("CIV", "C IV"), ("Hg", r"H$\gamma$"), ("NeIII3869", "[Ne III]"), ("SII6718", "[S II]"),
    ("Hd", r"H$\delta$"), ("OIII4960", ""), ("HeI5877", "He I"), ("SIII9071", "[S III]"), ("Pag", r"Pa$\gamma$"),
    ("OI6302", "[O I]"), ("Brg", r"Br$\gamma$"), ("Bra", r"Br$\alpha$"), ("HeII1640", "He II"),
)  # fmt: skip
LABEL_WIDTH = 0.021  # of the axis


def line_positions(z: float, low: float, high: float) -> list[tuple[float, str]]:
    """Main lines between two observed wavelengths [um], by importance: (vacuum wavelength observed, label)."""
    found = [(WAVE[name] * (1.0 + z), label) for name, label in MAIN_LINES]
    return [(wave, label) for wave, label in found if low < wave < high]


def mark_lines(axes: Axes, z: float, *, label: bool = True) -> None:
    """Draw a thin upright line at each main emission line of redshift `z`, labelled above the axis."""
    low, high = axes.get_xlim()
    if not np.isfinite(z):
        return
    taken: list[float] = []
    for wave, name in line_positions(z, low, high):
        axes.axvline(wave, color=COLOURS["line"], lw=0.7, ls=(0, (4, 3)), alpha=0.7, zorder=1)
        if not label or not name or any(abs(wave - t) < LABEL_WIDTH * (high - low) for t in taken):
            continue
        taken.append(wave)
        place = axes.get_xaxis_transform()
        axes.text(wave, 1.01, name, transform=place, rotation=90, ha="center", va="bottom", fontsize=7.5,
                  color=COLOURS["line"], clip_on=False)  # fmt: skip
