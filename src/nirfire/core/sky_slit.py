"""What the sky of an exposure is measured from: the pixels of a slitlet, and where they look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CORE = 0.6
"""[pitch] Pixels nearer to a source are not blank, even in the next shutter."""


@dataclass(frozen=True)
class SkySlit:
    """The cutout of a slitlet with the sky in it.

    Attributes
    ----------
    flux, ivar : ndarray, shape (n_spat, n_wave)
        Flux per pixel, pathloss and bar shadow inverted; ``ivar = 0`` where nothing is known.
    wave : ndarray, shape (n_spat, n_wave) [um]
        Of light that fills the shutter; 0 where it is not known.
    shift : ndarray, shape (n_spat, n_wave) [um]
        Wavelength at which the pixel was calibrated minus `wave`.
    edges : ndarray, shape (n_spat + 1, n_wave) [pitch]
        Slit coordinate of the edges of the pixels.
    shutters : tuple of int
        Open shutters.
    sources : tuple of float [pitch]
        Places of the known sources.
    place : ndarray, shape (2,) [arcsec]
        In the telescope's focal plane.
    """

    flux: Array
    ivar: Array
    wave: Array
    shift: Array
    edges: Array
    shutters: tuple[int, ...]
    sources: tuple[float, ...]
    place: Array

    @property
    def y(self) -> Array:
        """Slit coordinate of the centres, shape (n_spat, n_wave) [pitch]."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def distance(self) -> Array:
        """To the nearest source, shape (n_spat, n_wave) [pitch]; infinite where there is none."""
        found = np.full(self.wave.shape, np.inf)
        for source in self.sources:
            found = np.minimum(found, np.abs(self.y - source))
        return found

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Pixels in, or at the ends of, shutters without a known source, shape (n_spat, n_wave)."""
        shutter = np.rint(self.y)
        near = np.isin(shutter, [k + step for k in self.shutters for step in (-1, 0, 1)])
        free = (self.ivar > 0) & (self.wave > 0) & near & (self.distance > CORE)
        for source in self.sources:
            free &= shutter != np.rint(source)
        return free
