"""Units of spectra as people write them, and the way from them to um and uJy."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from astropy import constants
from astropy import units as u

SPELLINGS = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"[${}\\]", ""),
        (r"(?i)\bmicro ?met(er|re)s?\b|\bmicrons?\b|\bum\b|[µμ]m\b", "um"),
        (r"(?i)\bangstroms?\b|\bang\b|\bAA\b|Å|\bA\b", "Angstrom"),  # an ampere is never meant
        (r"(?i)\bnanomet(er|re)s?\b", "nm"),
        (r"(?i)\bergs?\b", "erg"),
        (r"(?i)\bsec(ond)?s?\b", "s"),
        (r"(?i)(\bu|\bmu|\bmicro|[µμ])(jy|jansky)\b", "uJy"),
        (r"(?i)\bn(jy|jansky)\b", "nJy"),
        (r"(?i)\b(jy|jansky)\b", "Jy"),
    )
)
"""Ways of writing that `astropy.units` does not know, or takes for something else."""


FLAM = u.erg / u.s / u.cm**2 / u.um
PER_UM = float((1.0 * FLAM * u.um**2 / constants.c).to_value(u.uJy))  # f_nu [uJy] of one f_lambda at 1 um


class Units(NamedTuple):
    """Units of wavelength and flux for files that do not name theirs; empty: not known."""

    wave: str = ""
    flux: str = ""


@lru_cache(maxsize=128)
def read_unit(text: str) -> u.UnitBase | None:
    """The unit that a text means; None where it means none, or nothing but a number."""
    for pattern, word in SPELLINGS:
        text = pattern.sub(word, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            unit = u.Unit(text.strip())
    except (ValueError, TypeError):
        return None
    return None if unit.is_equivalent(u.dimensionless_unscaled) else unit


@lru_cache(maxsize=128)
def is_wavelength(unit: u.UnitBase) -> bool:
    """True for units of wavelength, frequency and wavenumber."""
    return bool(unit.is_equivalent(u.um, u.spectral()))


def is_flux(unit: u.UnitBase) -> bool:
    """True for units of flux density, per frequency or per wavelength."""
    return _scale(unit) is not None


def to_um(values: np.ndarray, unit: u.UnitBase) -> np.ndarray:
    """Wavelengths [um] of wavelengths, frequencies or wavenumbers, shape (n_wave,); zeros become infinite."""
    with np.errstate(divide="ignore"):
        return np.asarray((values * unit).to_value(u.um, u.spectral()), dtype=float)


def to_ujy(wave: np.ndarray, unit: u.UnitBase) -> np.ndarray:
    """What flux densities of a unit are to be multiplied by to be uJy.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Positive.
    unit : Unit
        One that `is_flux` takes.

    Returns
    -------
    ndarray, shape (n_wave,)
        f_nu = f_lambda lambda^2 / c, where the unit is per wavelength.

    Raises
    ------
    ValueError
        Another unit.
    """
    scale = _scale(unit)
    if scale is None:
        raise ValueError(f"{unit} is no unit of flux density")
    factor, power = scale
    return factor * wave**power


@lru_cache(maxsize=128)
def _scale(unit: u.UnitBase) -> tuple[float, int] | None:
    """Factor and power of the wavelength in um, which bring a unit to uJy; None where nothing does."""
    if unit.is_equivalent(u.uJy):
        return float(unit.to(u.uJy)), 0
    if unit.is_equivalent(FLAM):
        return float(unit.to(FLAM)) * PER_UM, 2
    return None
