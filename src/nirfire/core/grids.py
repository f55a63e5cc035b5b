"""The wavelength grids of spectra: one for each grating and filter, the same for all sources.

A grid is a piece of an endless lattice of bins that a grating has: bin k lies between the wavelengths whose coordinate
is k and k + 1. Spectra of a grating, cut as they may be, are therefore brought together by index.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Bins of gratings have a constant width [um], about the mean dispersion over their range in the public dispersion
# tables of NIRSpec (jwst_nirspec_*_disp.fits), which changes by less than 2 % (M) and 7 % (H).
_STEP = {
    "G140M": 0.000636,
    "G235M": 0.001067,
    "G395M": 0.001793,
    "G140H": 0.000235,
    "G235H": 0.000396,
    "G395H": 0.000662,
}
# Pixels of the prism: sum over k of c_k wave^k, which is how a refractive index depends on wavelength (Schott's
# formula). Our fit to the same table from 0.5 to 5.6 um: its dispersion within 0.1 %.
_PRISM = {-4: -0.185065, -2: -22.77103, 2: 11.83979, 4: 0.0139667}
_PRISM_ENDS = (0.2, 12.0)  # um, between which wavelengths are looked for
_N_STEPS = 60

# Nominal range [um] of each mode, as in the CRDS reference wavelengthrange.
RANGES = {
    ("PRISM", "CLEAR"): (0.60, 5.30),
    ("G140M", "F070LP"): (0.70, 1.27),
    ("G140M", "F100LP"): (0.97, 1.89),
    ("G235M", "F170LP"): (1.66, 3.17),
    ("G395M", "F290LP"): (2.87, 5.27),
    ("G140H", "F070LP"): (0.70, 1.27),
    ("G140H", "F100LP"): (0.97, 1.89),
    ("G235H", "F170LP"): (1.66, 3.17),
    ("G395H", "F290LP"): (2.87, 5.27),
}


SLACK = 20
"""Bins beyond the nominal range that data may have, as tilted or resampled ones do, without a longer grid."""


class WaveGrid(NamedTuple):
    """A piece of the lattice of a grating.

    Attributes
    ----------
    edges : ndarray, shape (n_wave + 1,) [um]
        Edges of the bins, rising.
    wave : ndarray, shape (n_wave,) [um]
        Middles of the bins.
    first : int
        Index of the first bin in the lattice.
    """

    edges: Array
    wave: Array
    first: int


def wave_grid(grating: str, filter_: str, wave_range: tuple[float, float] | None = None) -> WaveGrid:
    """The grid of a grating and filter.

    Parameters
    ----------
    grating, filter_ : str
        For example ``"PRISM"``, ``"CLEAR"``.
    wave_range : tuple of 2 floats [um], optional
        In place of the nominal range of the mode.

    Returns
    -------
    WaveGrid
        All bins that lie in the range as a whole.

    Raises
    ------
    ValueError
        An unknown grating; a mode without a nominal range, if none is given; or a range without a bin.
    """
    if wave_range is None:
        if (grating, filter_) not in RANGES:
            raise ValueError(f"{grating} with {filter_} has no nominal range of wavelengths")
        wave_range = RANGES[grating, filter_]
    low, high = bin_coordinate(grating, wave_range)
    first, last = int(np.ceil(low - 1e-6)), int(np.floor(high + 1e-6))
    if last <= first:
        raise ValueError(f"no bin of {grating} between {wave_range[0]} and {wave_range[1]} um")
    edges = bin_edges(grating, np.arange(first, last + 1))
    return WaveGrid(edges, 0.5 * (edges[1:] + edges[:-1]), first)


def covering_grid(grating: str, filter_: str, low: float, high: float) -> WaveGrid:
    """The grid of a mode, longer where data go clearly beyond its nominal range.

    Parameters
    ----------
    grating, filter_ : str
    low, high : float [um]
        Lowest and highest wavelength of the data.

    Returns
    -------
    WaveGrid
        That of `wave_grid`; at an end where data go more than `SLACK` bins beyond, all bins that they cover. A mode
        without a nominal range has these alone.

    Raises
    ------
    ValueError
        As `wave_grid`.
    """
    blue, red = RANGES.get((grating, filter_), (low, high))
    beyond = bin_coordinate(grating, (blue, high)) - bin_coordinate(grating, (low, red))
    return wave_grid(grating, filter_, (low if beyond[0] > SLACK else blue, high if beyond[1] > SLACK else red))


def bin_coordinate(grating: str, wave: ArrayLike) -> Array:
    """Coordinate of wavelengths in the lattice of a grating; its whole part is the index of the bin.

    Parameters
    ----------
    grating : str
    wave : array_like [um]
        Positive.

    Returns
    -------
    ndarray, shape of `wave`
        Rising with wavelength.

    Raises
    ------
    ValueError
        An unknown grating.
    """
    lam = np.asarray(wave, dtype=float)
    if grating == "PRISM":
        return np.sum([c * lam**k for k, c in _PRISM.items()], axis=0)
    if grating not in _STEP:
        raise ValueError(f"unknown grating {grating!r}")
    return lam / _STEP[grating]


def bin_edges(grating: str, index: ArrayLike) -> Array:
    """Wavelengths of the lower edges of bins, the inverse of `bin_coordinate`.

    Parameters
    ----------
    grating : str
    index : array_like of int
        Indices in the lattice.

    Returns
    -------
    ndarray, shape of `index` [um]

    Raises
    ------
    ValueError
        An unknown grating.

    Notes
    -----
    Of the prism by bisection in ln(wave), to the precision of the numbers, so that a bin has the same edges to the
    last digit whatever the range that is asked for.
    """
    wanted = np.asarray(index, dtype=float)
    if grating != "PRISM":
        if grating not in _STEP:
            raise ValueError(f"unknown grating {grating!r}")
        return wanted * _STEP[grating]
    low, high = (np.full(wanted.shape, np.log(end)) for end in _PRISM_ENDS)
    for _ in range(_N_STEPS):
        middle = 0.5 * (low + high)
        below = bin_coordinate(grating, np.exp(middle)) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.exp(0.5 * (low + high))
