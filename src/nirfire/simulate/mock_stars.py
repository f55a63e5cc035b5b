"""Stellar spectra of any star formation history, and dwarf stars, for the mock spectra.

A history is a sum of constant star formation rates between fixed ages, at a few metallicities, computed once with
bagpipes (Carnall et al. 2018) by ``scripts/build_mock_stars.py``; the recipe is in the file. Dwarfs are model
atmospheres of four published grids (``scripts/build_mock_dwarfs.py``).
"""

from __future__ import annotations

import functools
import io
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Library(NamedTuple):
    """Stars formed at a constant rate between two ages.

    Attributes
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Rest wavelength, uniform in the logarithm.
    flux : ndarray, shape (n_metallicities, n_ages, n_wave)
        f_nu for one rate for all, any unit.
    ages : ndarray, shape (n_ages + 1,) [Gyr]
        Edges, from now into the past.
    """

    wave: Array
    flux: Array
    ages: Array


@functools.lru_cache(maxsize=1)
def library() -> Library:
    """The library that comes with the package."""
    with np.load(io.BytesIO(_read("mock_stars.npz"))) as stored:
        flux = stored["flux"].astype(float) * stored["scale"][..., None].astype(float)
        wave = float(stored["wave_min"]) * np.exp(float(stored["step"]) * np.arange(flux.shape[-1]))
        return Library(wave, flux, np.array(stored["ages"], dtype=float))


def _read(name: str) -> bytes:
    return (resources.files("nirfire.simulate") / "data" / name).read_bytes()


@functools.lru_cache(maxsize=1)
def dwarfs() -> tuple[Array, Array]:
    """Wavelengths [um], shape (n_wave,), and f_nu of M, L and T dwarfs, peak one, shape (n_dwarfs, n_wave)."""
    with np.load(io.BytesIO(_read("mock_dwarfs.npz"))) as stored:
        return stored["wave"].astype(float), stored["flux"].astype(float)


def stars(rest: Array, rates: Array, metallicity: float) -> Array:
    """f_nu of a star formation history, one at 0.55 um.

    Parameters
    ----------
    rest : ndarray, shape (n,) [um]
        Rest wavelength.
    rates : ndarray, shape (n_ages,)
        Star formation rate in each interval of age, any unit.
    metallicity : float
        0 to 2: coordinate between the metallicities of the library.

    Returns
    -------
    ndarray, shape (n,)
        Zero outside the library and below the Lyman limit.
    """
    models = library()
    low = int(np.clip(np.floor(metallicity), 0, models.flux.shape[0] - 2))
    part = metallicity - low
    flux = (1.0 - part) * (rates @ models.flux[low]) + part * (rates @ models.flux[low + 1])
    level = float(np.interp(0.55, models.wave, flux))
    return np.interp(rest, models.wave, flux / level, left=0.0, right=0.0)


def intervals() -> Array:
    """Edges of the ages of the library [Gyr], shape (n_ages + 1,)."""
    return library().ages
