"""Emission lines of the mock spectra: ratios along a sequence of metallicity, with scatter, and broad lines.

Made independently of the templates of the redshift fit: hydrogen in case B ratios (Osterbrock & Ferland 2006), metal
lines as smooth functions of one metallicity coordinate in round numbers typical of galaxies at z = 0 to 9, each line
scattered on its own. Wavelengths are in vacuum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.simulate.seds import C_KMS, dust

Array = NDArray[np.float64]

# Rest wavelength [um], flux over H-beta.
_HYDROGEN = {
    "Ha": (0.6564614, 2.86), "Hb": (0.4862683, 1.0), "Hg": (0.4341684, 0.469), "Hd": (0.4102892, 0.259),
    "Heps": (0.3971200, 0.159), "H8": (0.3890166, 0.105), "H9": (0.3836485, 0.073), "H10": (0.3798987, 0.053),
    "Pa10": (0.9017385, 0.0184), "Pa9": (0.9231547, 0.0254), "Pae": (0.9548590, 0.0366), "Pad": (1.0052128, 0.0555),
    "Pag": (1.0941091, 0.0904), "Pab": (1.2821590, 0.163), "Paa": (1.8756130, 0.339), "Brg": (2.1661200, 0.0277),
    "Brb": (2.6258700, 0.0447), "Bra": (4.0522700, 0.0802), "Brd": (1.9450870, 0.0181), "Pfb": (4.6537800, 0.025),
    "Pfg": (3.7405600, 0.0158),
}  # fmt: skip
# Rest wavelength [um]; flux over H-beta at metallicity coordinate 0 (extremely poor), 1, 2, 3 (solar and more).
_METALS = {
    "CIV": (0.1549480, (0.30, 0.22, 0.04, 0.005)), "HeII1640": (0.1640420, (0.10, 0.06, 0.015, 0.003)),
    "OIII]1663": (0.1663000, (0.35, 0.28, 0.05, 0.005)), "NIII]1750": (0.1750000, (0.04, 0.04, 0.02, 0.005)),
    "CIII]": (0.1908734, (0.55, 0.55, 0.22, 0.03)), "MgII": (0.2799117, (0.05, 0.10, 0.10, 0.05)),
    "[OII]3727": (0.3727092, (0.05, 0.25, 0.90, 0.55)), "[OII]3730": (0.3729875, (0.06, 0.33, 1.20, 0.75)),
    "[NeIII]3870": (0.3869860, (0.33, 0.50, 0.28, 0.05)), "[NeIII]3969": (0.3968590, (0.10, 0.15, 0.085, 0.015)),
    "HeI3889": (0.3889750, (0.10, 0.10, 0.10, 0.08)), "[SII]4070": (0.4069750, (0.002, 0.01, 0.03, 0.02)),
    "[OIII]4364": (0.4364436, (0.12, 0.11, 0.03, 0.003)), "HeI4473": (0.4472730, (0.04, 0.04, 0.04, 0.03)),
    "HeII4687": (0.4687020, (0.02, 0.012, 0.005, 0.002)), "[OIII]4960": (0.4960295, (1.15, 2.15, 1.25, 0.18)),
    "[OIII]5008": (0.5008240, (3.43, 6.40, 3.73, 0.54)), "HeI5877": (0.5877249, (0.11, 0.115, 0.12, 0.10)),
    "[OI]6302": (0.6302046, (0.005, 0.02, 0.06, 0.05)), "[NII]6550": (0.6549860, (0.003, 0.02, 0.11, 0.34)),
    "[NII]6585": (0.6585270, (0.01, 0.06, 0.33, 1.00)), "HeI6680": (0.6679995, (0.03, 0.03, 0.03, 0.025)),
    "[SII]6718": (0.6718290, (0.02, 0.09, 0.27, 0.27)), "[SII]6733": (0.6732670, (0.015, 0.065, 0.20, 0.21)),
    "HeI7067": (0.7067150, (0.035, 0.03, 0.025, 0.02)), "[ArIII]7138": (0.7137770, (0.02, 0.06, 0.10, 0.06)),
    "[OII]7325": (0.7325500, (0.01, 0.03, 0.06, 0.03)), "OI8449": (0.8448680, (0.005, 0.01, 0.01, 0.01)),
    "[SIII]9071": (0.9071100, (0.02, 0.09, 0.20, 0.18)), "[SIII]9533": (0.9533200, (0.05, 0.22, 0.50, 0.45)),
    "HeI10833": (1.0833300, (0.40, 0.50, 0.50, 0.35)), "[FeII]12570": (1.2570200, (0.003, 0.01, 0.03, 0.06)),
    "[FeII]16440": (1.6440000, (0.003, 0.009, 0.027, 0.055)), "HeI20587": (2.0586900, (0.04, 0.04, 0.04, 0.03)),
    "H2 21218": (2.1218300, (0.001, 0.003, 0.012, 0.03)),
}  # fmt: skip
_TIES = (("[OIII]4960", "[OIII]5008", 0.336), ("[NII]6550", "[NII]6585", 0.34), ("[SIII]9071", "[SIII]9533", 0.405))
# A hard source over the H-beta of its narrow-line region.
_ACTIVE = {
    "NV": (0.1240140, 0.6), "CIV": (0.1549480, 2.0), "HeII1640": (0.1640420, 1.0), "CIII]": (0.1908734, 1.2),
    "MgII": (0.2799117, 0.8), "[NeV]3427": (0.3426850, 0.6), "[OII]3729": (0.3728483, 2.0),
    "[NeIII]3870": (0.3869860, 1.0), "[NeIII]3969": (0.3968590, 0.3), "[SII]4070": (0.4069750, 0.12),
    "[OIII]4364": (0.4364436, 0.18), "HeII4687": (0.4687020, 0.25), "[OIII]4960": (0.4960295, 3.2),
    "[OIII]5008": (0.5008240, 9.6), "HeI5877": (0.5877249, 0.13), "[OI]6302": (0.6302046, 0.5),
    "[NII]6550": (0.6549860, 0.8), "[NII]6585": (0.6585270, 2.4), "[SII]6718": (0.6718290, 0.9),
    "[SII]6733": (0.6732670, 0.9), "[ArIII]7138": (0.7137770, 0.2), "[SIII]9071": (0.9071100, 0.4),
    "[SIII]9533": (0.9533200, 1.0), "HeI10833": (1.0833300, 0.9), "[FeII]12570": (1.2570200, 0.1),
    "[FeII]16440": (1.6440000, 0.09),
}  # fmt: skip
# Broad-line region over its H-beta (dust-free); the fluorescent O I and Ca II of dense gas with it.
_BROAD = {
    "LyA": (0.1215670, 6.0), "NV": (0.1240140, 1.2), "SiIV": (0.1398000, 0.8), "CIV": (0.1549480, 3.0),
    "CIII]": (0.1908734, 1.3), "MgII": (0.2799117, 1.2), "Hd": (0.4102892, 0.24), "Hg": (0.4341684, 0.45),
    "Hb": (0.4862683, 1.0), "HeI5877": (0.5877249, 0.12), "Ha": (0.6564614, 3.3), "HeI7067": (0.7067150, 0.06),
    "OI8449": (0.8448680, 0.20), "CaII8544": (0.8544440, 0.10), "CaII8665": (0.8664520, 0.08),
    "Pa9": (0.9231547, 0.04), "Pae": (0.9548590, 0.06), "Pad": (1.0052128, 0.08), "HeI10833": (1.0833300, 0.75),
    "Pag": (1.0941091, 0.12), "OI11290": (1.1290000, 0.07), "Pab": (1.2821590, 0.22), "Paa": (1.8756130, 0.40),
    "Brg": (2.1661200, 0.035), "Brb": (2.6258700, 0.06), "Bra": (4.0522700, 0.09),
}  # fmt: skip


class Lines(NamedTuple):
    """Emission lines at rest.

    Attributes
    ----------
    wave : ndarray, shape (n_lines,) [um]
    flux : ndarray, shape (n_lines,)
        Over narrow H-beta before dust, or over broad H-beta.
    width : ndarray, shape (n_lines,) [km/s]
        Intrinsic standard deviation.
    """

    wave: Array
    flux: Array
    width: Array

    def scaled(self, factor: float) -> Lines:
        """The lines with their fluxes multiplied."""
        return Lines(self.wave, self.flux * factor, self.width)

    def reddened(self, a_v: float) -> Lines:
        """The lines behind dust (Calzetti et al. 2000), H-beta keeping its flux."""
        screen = dust(self.wave, a_v) / float(dust(_HYDROGEN["Hb"][0], a_v))
        return Lines(self.wave, self.flux * screen, self.width)


def joined(*parts: Lines) -> Lines:
    """All lines of several sets."""
    return Lines(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _lines(table: dict[str, tuple[float, float]], width: float, rng: np.random.Generator, scatter: float) -> Lines:
    wave, flux = np.array(list(table.values())).T
    return Lines(wave, flux * 10 ** rng.normal(0.0, scatter, flux.size), np.full(wave.size, width))


def star_forming(rng: np.random.Generator, metallicity: float, width: float, scatter: float = 0.12) -> Lines:
    """Lines of star-forming gas.

    Parameters
    ----------
    rng : Generator
    metallicity : float
        0 (a few percent of solar) to 3 (solar and above).
    width : float [km/s]
    scatter : float [dex]
        Of each metal line on its own; hydrogen keeps case B within a quarter of it.
    """
    hydrogen = _lines(_HYDROGEN, width, rng, 0.25 * scatter)
    table = {
        name: (wave, float(10 ** np.interp(metallicity, np.arange(4.0), np.log10(np.array(ratios)))))
        for name, (wave, ratios) in _METALS.items()
    }
    metals = _lines(table, width, rng, scatter)
    names = list(table)
    for weak, strong, ratio in _TIES:
        metals.flux[names.index(weak)] = ratio * metals.flux[names.index(strong)]
    return joined(hydrogen, metals)


def narrow_active(rng: np.random.Generator, width: float, scatter: float = 0.2) -> Lines:
    """Narrow lines of an active nucleus, over its narrow H-beta."""
    hydrogen = _lines(_HYDROGEN, width, rng, 0.25 * scatter)
    metals = _lines(_ACTIVE, width, rng, scatter)
    names = list(_ACTIVE)
    for weak, strong, ratio in _TIES:
        metals.flux[names.index(weak)] = ratio * metals.flux[names.index(strong)]
    return joined(hydrogen, metals)


def broad(rng: np.random.Generator, width: float, scatter: float = 0.15) -> Lines:
    """Broad lines of an active nucleus, over broad H-beta."""
    return _lines(_BROAD, width, rng, scatter)


def lyman_alpha(flux: float, width: float, shift: float) -> Lines:
    """Lyman-alpha alone, `shift` km/s to the red of the systemic redshift."""
    wave = 0.1215670 * (1.0 + shift / C_KMS)
    return Lines(np.array([wave]), np.array([flux]), np.array([width]))
