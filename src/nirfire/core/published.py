"""The template set of the published CAMPFIRE settings, with its slips corrected.

Corrected: ratios of tied lines are ratios of fluxes (published: amplitudes of f_nu per ln(wavelength), which makes
H-alpha/H-beta = 2.86 a flux ratio of 2.12); Mg II stands at its vacuum wavelength (published: converted to vacuum
twice); infrared lines stand at their vacuum wavelengths beyond 3.16 um too. Lines have no width of their own, as
published, but an exact profile instead of a share of two pixels. The intergalactic medium acts before the
line-spread function, and never on the Lyman-alpha template.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .continuum import balmer_break_body, blackbody
from .lines import LineGroup
from .lsf import FWHM_TO_SIGMA

_TEMPERATURES = (500.0, 2500.0, 5000.0)  # K
_BROAD_FWHM = (1500.0, 3000.0)  # km/s
_HA, _HB, _HG, _PAA, _PAB, _PAG = 0.656464, 0.486269, 0.434169, 1.87561, 1.28216, 1.094109
# Vacuum wavelength [um] and flux share of the lines of each template.
_LINES: dict[str, tuple[tuple[float, float], ...]] = {
    "Lya": ((0.121567, 1.0),),
    "CIV": ((0.154948, 1.0),),
    "OIII]1663": ((0.16630, 1.0),),
    "CIII]": ((0.1908734, 1.0),),
    "MgII": ((0.2799117, 1.0),),
    "OII": ((0.372848, 1.0),),
    "NeIII": ((0.386986, 1.0), (0.396859, 0.3)),
    "Hg": ((_HG, 1.0), (_HB, 1.0 / 0.47), (_HA, 2.86 / 0.47)),
    "OIII4364": ((0.436444, 1.0),),
    "Hb": ((_HB, 1.0), (_HA, 2.86)),
    "OIII": ((0.496030, 1.0), (0.500824, 2.98)),
    "HeI5877": ((0.587726, 1.0),),
    "Ha": ((_HA, 1.0),),
    "NII": ((0.654986, 1.0), (0.658528, 2.94)),
    "SII6718": ((0.671830, 1.0), (_HA, 1.0)),
    "SII6733": ((0.673267, 1.0), (_HA, 1.0)),
    "SIII": ((0.907110, 1.0), (0.953372, 2.5)),
    "HeI10833": ((1.083332, 1.0),),
    "Pag": ((_PAG, 1.0), (_PAB, 1.0), (_PAA, 1.0)),
    "Pab": ((_PAB, 1.0), (_PAA, 1.0)),
    "Paa": ((_PAA, 1.0),),
}


class Shape(NamedTuple):
    """A continuum that is a formula."""

    name: str
    kind: str  # class: "galaxy", "little red dot" or "quasar"
    flux: np.ndarray  # (n_rest,) f_nu
    z_max: float = np.inf  # not used beyond


def shapes(wave: np.ndarray) -> tuple[Shape, ...]:
    """Three blackbodies and the modified one with a Balmer break, at wave [um]."""
    bodies = (Shape(f"blackbody_{t:.0f}K", "galaxy", blackbody(wave, t)) for t in _TEMPERATURES)
    return (*bodies, Shape("balmer_break_body", "little red dot", balmer_break_body(wave)))


def line_groups() -> tuple[LineGroup, ...]:
    """The 21 line templates, tied in part, and broad H-alpha and H-beta of two widths."""
    out = []
    for name, members in _LINES.items():
        out.append(LineGroup(name, tuple(wave for wave, _ in members), tuple(share for _, share in members), 0.0))
    for fwhm in _BROAD_FWHM:
        for name, wave in (("Ha", _HA), ("Hb", _HB)):
            out.append(LineGroup(f"broad{fwhm:.0f}_{name}", (wave,), (1.0,), fwhm * FWHM_TO_SIGMA))
    return tuple(out)
