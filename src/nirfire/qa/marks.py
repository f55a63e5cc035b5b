"""Emission lines to mark in a spectrum."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table

from nirfire.core.lines import WAVE
from nirfire.products.line_table import detected
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
ION = re.compile(r"(?P<element>[A-Z][a-z]?)(?P<stage>I+|I?V)(?P<half>\])?\d*")
GREEK = {"a": "alpha", "b": "beta", "g": "gamma", "d": "delta", "e": "epsilon", "eps": "epsilon"}
SERIES = re.compile(r"(?P<atom>H|Pa|Br|Pf)(?P<greek>eps|[abgde])")
LABEL_WIDTH = 0.021  # of the axis


def line_positions(z: float, low: float, high: float) -> list[tuple[float, str]]:
    """Main lines between two observed wavelengths [um], by importance: (vacuum wavelength observed, label)."""
    found = [(WAVE[name] * (1.0 + z), label) for name, label in MAIN_LINES]
    return [(wave, label) for wave, label in found if low < wave < high]


def label_of(name: str) -> str:
    """How a line, or lines joined by +, are called in a figure: ions without wavelengths, each once."""
    return "+".join(dict.fromkeys(_label(one) for one in name.split("+")))


def _label(line: str) -> str:
    known, ion, series = dict(MAIN_LINES).get(line), ION.fullmatch(line), SERIES.fullmatch(line)
    if known:
        return known
    if series:
        return rf"{series['atom']}$\{GREEK[series['greek']]}$"
    if ion is None:
        return line
    text = f"{ion['element']} {ion['stage']}{ion['half'] or ''}"
    permitted = ion["element"] in ("He", "Ca", "Mg") or line in ("NV", "OI8449", "OI11290")
    return text if ion["half"] or permitted else f"[{text}]"


def mark_lines(axes: Axes, z: float, *, label: bool = True, lines: Table | None = None) -> None:
    """Draw a thin upright line at each main emission line of redshift `z`, labelled above the axis.

    With a table of measured `lines`, those that are detected are strong and labelled, the main ones faint.
    """
    low, high = axes.get_xlim()
    if not np.isfinite(z):
        return
    main = line_positions(z, low, high)
    if lines is not None:
        seen = detected(lines)
        order = np.argsort(-np.asarray(seen["snr"], dtype=float))
        strong = [(float(seen["wave_obs"][k]), label_of(str(seen["name"][k]))) for k in order]
        _draw(axes, [(wave, "") for wave, _ in main], alpha=0.25, label=False)
        main = [(wave, name) for wave, name in strong if low < wave < high]
    _draw(axes, main, alpha=0.8, label=label)


def _draw(axes: Axes, places: list[tuple[float, str]], *, alpha: float, label: bool) -> None:
    low, high = axes.get_xlim()
    taken: list[float] = []
    for wave, name in places:
        axes.axvline(wave, color=COLOURS["line"], lw=0.7, ls=(0, (4, 3)), alpha=alpha, zorder=1)
        if not label or not name or any(abs(wave - t) < LABEL_WIDTH * (high - low) for t in taken):
            continue
        taken.append(wave)
        place = axes.get_xaxis_transform()
        axes.text(wave, 1.01, _short(name), transform=place, rotation=90, ha="center", va="bottom", fontsize=7.5,
                  color=COLOURS["line"], clip_on=False)  # fmt: skip


def _short(name: str) -> str:
    """The name of lines that cannot be told apart: the first of them where there are many."""
    first, *others = name.split("+")
    return name if len(others) < 2 else f"{first}+…"
