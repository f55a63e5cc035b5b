"""Emission lines as the page marks them."""

from __future__ import annotations

import re
from typing import Any

from nirfire.core.lines import WAVE

STRONG = (
    "Lya", "CIV", "CIII]", "MgII2796", "OII3727", "NeIII3869", "Hd", "Hg", "Hb", "OIII4960", "OIII5008", "HeI5877",
    "Ha", "SII6718", "SIII9071", "SIII9533", "HeI10833", "Pag", "Pab", "Paa", "Brg", "Bra",
)  # fmt: skip
ION = re.compile(r"(?P<element>[A-Z][a-z]?)(?P<stage>I+|I?V)(?P<half>\])?(?P<wave>\d*)")
SERIES = re.compile(r"(?P<atom>Ly|H|Pa|Br|Pf)(?P<greek>eps|[abgde])")
BALMER, PASCHEN = re.compile(r"H(\d+)"), re.compile(r"P(\d+)")
GREEK = {"a": "α", "b": "β", "g": "γ", "d": "δ", "e": "ε", "eps": "ε"}
PERMITTED = ("NV", "CIV", "OI8449", "OI11290")  # lines of metals without brackets, besides those of He, Ca, Mg


def line_list() -> list[dict[str, Any]]:
    """Every line with its name, label, vacuum wavelength at rest [um], and whether it is among the strong ones."""
    lines = WAVE.items()
    return [{"name": name, "label": label_of(name), "wave": wave, "strong": name in STRONG} for name, wave in lines]


def label_of(name: str) -> str:
    """How a line is written: ``Hα``, ``[O III] 5008``, ``Paβ``, ``C III]``."""
    if series := SERIES.fullmatch(name):
        return f"{series['atom']}{GREEK[series['greek']]}"
    if BALMER.fullmatch(name):
        return name
    if paschen := PASCHEN.fullmatch(name):
        return f"Pa{paschen[1]}"
    ion = ION.fullmatch(name)
    if ion is None:
        return name
    text = f"{ion['element']} {ion['stage']}{ion['half'] or ''}"
    bare = ion["half"] or ion["element"] in ("He", "Ca", "Mg") or name in PERMITTED
    return f"{text if bare else f'[{text}]'} {ion['wave']}".rstrip()
