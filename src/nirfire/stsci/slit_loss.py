"""The share of a point's light that passes the shutters, as the CRDS pathloss reference says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nirfire.errors import DataError
from nirfire.stsci.crds_check import crds_said_plainly
from nirfire.stsci.traces import find_references

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SlitLoss:
    """Point-source pathloss of the micro-shutters.

    Attributes
    ----------
    model : stdatamodels PathlossModel
    """

    model: Any

    @classmethod
    def find(cls, exposure: Path) -> SlitLoss:
        """Open the reference that CRDS selects for an exposure, by the headers of a ``_rate.fits`` or ``_cal.fits``.

        Raises
        ------
        DataError
            CRDS has none that fits, or the file cannot be had.
        """
        from stdatamodels.jwst import datamodels

        name = find_references(exposure, ["pathloss"])["pathloss"]
        if name == "N/A":
            raise DataError("CRDS has no pathloss reference for this exposure", file=exposure, key="pathloss")
        with crds_said_plainly(exposure):
            return cls(datamodels.PathlossModel(name))

    def passed(self, wave: ArrayLike, x: float, y: float, state: str) -> Array:
        """Share of the light that passes, as the stock pathloss step would interpolate it.

        Parameters
        ----------
        wave : array_like, shape (n,) [um]
        x, y : float [pitch]
            Place of the source from the centre of its shutter.
        state : str
            Shutters of the slitlet as in SHUTSTA: ``x`` is the source's, ``1`` open, ``0`` closed.

        Returns
        -------
        ndarray, shape (n,)
            NaN outside the reference's range of places.
        """
        from jwst.pathloss import pathloss as stock

        below, above = stock.shutter_below_is_closed(state), stock.shutter_above_is_closed(state)
        aperture = stock.get_aperture_from_model(self.model, state)
        if below != above:  # the source is in the lower or upper of three
            y += 1.0 if above else -1.0
        at, share, inside = stock.calculate_pathloss_vector(aperture.pointsource_data, aperture.pointsource_wcs, x, y)
        if not inside:
            return np.full(np.shape(wave), np.nan)
        return np.interp(
            np.asarray(wave, dtype=float), np.asarray(at, dtype=float) * 1e6, np.asarray(share, dtype=float)
        )
