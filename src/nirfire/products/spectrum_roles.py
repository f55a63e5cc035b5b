"""Which columns of a table are wavelength, flux, error and mask, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import astropy.units as u

from nirfire.products.spectrum_units import is_flux, is_wavelength, read_unit

WAVE = ("wave", "wavelength", "wavelengths", "lambda", "lam", "wl", "wav", "wave_obs", "spectral_axis")
FLUX = ("flux", "fnu", "f_nu", "flam", "flambda", "f_lambda", "flux_density", "fluxdensity", "spec1d", "data", "sci")
ERROR = ("err", "error", "sigma", "std", "unc", "uncertainty", "noise", "ferr", "fluxerr", "eflux", "e_flux", "dflux")
IVAR = ("ivar", "flux_ivar", "inverse_variance", "invvar")
VARIANCE = ("var", "variance", "flux_var", "flux_variance")
MASK = ("mask", "dq")
OF_FLUX = ("err", "error", "sigma", "std", "unc", "uncertainty")
UNIT_IN_NAME = re.compile(r"(?P<stem>.+?)[ _]*[\[(](?P<bracket>.+)[\])]|(?P<word>.+?)_(?P<tail>[^_]+)")


class Named(NamedTuple):
    """A column, its name in lower case without a unit, and the unit that is part of its name; empty where none is."""

    column: str
    stem: str
    unit: str = ""


class Roles(NamedTuple):
    """The columns of a spectrum.

    Attributes
    ----------
    wave, flux, error : Named
    kind : {"err", "ivar", "var"}
        What `error` holds.
    mask : str
        Column of the mask, or of data quality bits; empty where there is none.
    """

    wave: Named
    flux: Named
    error: Named
    kind: str
    mask: str


def find_wave_flux(columns: Iterable[str]) -> tuple[Named | None, Named | None]:
    """The columns of wavelength and flux; None for one that is not there."""
    columns = list(columns)
    return _find(columns, WAVE), _find(columns, FLUX)


def find_roles(columns: Iterable[str]) -> Roles | None:
    """Tell the columns of a spectrum apart by their names; None where one that is needed is not there.

    Names count without regard to case. A unit may follow, as in ``wave_um``, ``flux [uJy]`` or ``err (uJy)``.
    """
    columns = list(columns)
    wave, flux = find_wave_flux(columns)
    if wave is None or flux is None:
        return None
    own = [f"{flux.stem}_{word}" for word in OF_FLUX]
    mask = _find(columns, MASK)
    for kind, names in (("err", (*own, *(f"flux_{w}" for w in OF_FLUX), *ERROR)), ("ivar", IVAR), ("var", VARIANCE)):
        error = _find(columns, names)
        if error is not None:
            return Roles(wave, flux, error, kind, mask.column if mask else "")
    return None


def _find(columns: Sequence[str], names: Sequence[str]) -> Named | None:
    """The column of the first of `names`, bare or with a unit in its name."""
    bare = {column.strip().lower(): column for column in reversed(columns)}
    for name in names:
        if name in bare:
            return Named(bare[name], name)
    for column in columns:
        match = UNIT_IN_NAME.fullmatch(column.strip())
        if match is None:
            continue
        stem, unit = (match["stem"], match["bracket"]) if match["stem"] else (match["word"], match["tail"])
        if stem.lower() in names and _is_unit(unit):
            return Named(column, stem.lower(), unit)
    return None


def _is_unit(text: str) -> bool:
    unit: u.UnitBase | None = read_unit(text)
    return unit is not None and (is_flux(unit) or is_wavelength(unit))
