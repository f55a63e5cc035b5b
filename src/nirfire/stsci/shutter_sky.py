"""Where micro-shutters lie in the telescope's focal plane, by the optics of the stock WCS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nirfire.errors import DataError
from nirfire.products.msa_rows import N_COLUMN, N_ROW
from nirfire.stsci.projection import metrology
from nirfire.stsci.traces import find_references

Array = NDArray[np.float64]
REFERENCES = ("fore", "msa", "ote")


class FocalPlane:
    """From shutters to V2, V3: the transforms of stock ``assign_wcs`` from the slit to the telescope's focal plane.

    They are the same for all exposures with a filter.

    Parameters
    ----------
    references : mapping of str to str
        Files of the reference types `REFERENCES`.
    wave : float [um]
        Wavelength of the light that is followed; the filter moves it a little.

    Raises
    ------
    DataError
        CRDS has no reference of a type.
    """

    def __init__(self, references: Mapping[str, str], wave: float) -> None:
        for name in REFERENCES:
            if references[name] == "N/A":
                raise DataError(f"CRDS has no {name} reference for this exposure", key=name)
        from jwst.assign_wcs import nirspec

        self._quadrants = metrology(references["msa"])
        self._to_focal_plane: Any = nirspec.msa_to_oteip(references) | nirspec.oteip_to_v23(references)
        self._wave = wave * 1e-6

    @classmethod
    def of_exposure(cls, rate: Path, wave: float) -> FocalPlane:
        """Select the references for an exposure by its headers.

        Raises
        ------
        DataError
            CRDS has none that fits, or a file cannot be had.
        """
        return cls(find_references(rate, REFERENCES), wave)

    def places(
        self, quadrant: ArrayLike, row: ArrayLike, column: ArrayLike, at: ArrayLike = ((0.0, 0.0),)
    ) -> tuple[Array, Array]:
        """Places of points in shutters.

        Parameters
        ----------
        quadrant, row, column : array_like of int, shape (n,)
            1 to 4; ``shutter_row``, 1 to 365; ``shutter_column``, 1 to 171.
        at : array_like, shape (n_point, 2)
            Points (x, y) in units of the opening, from its centre: its corners are at 0.5.

        Returns
        -------
        v2, v3 : ndarray, shape (n, n_point) [arcsec]
            NaN for a shutter that does not exist.
        """
        quadrant, row, column = (np.asarray(value, dtype=int) for value in (quadrant, row, column))
        points = np.asarray(at, dtype=float)
        x, y = np.full((2, quadrant.size, len(points)), np.nan)
        for number, (table, model) in self._quadrants.items():
            mine = np.flatnonzero((quadrant == number) & _exists(row, N_ROW) & _exists(column, N_COLUMN))
            if mine.size:
                shutter = table[row[mine] - 1 + (column[mine] - 1) * N_ROW][:, None]
                dx, dy = points.T
                x[mine], y[mine] = model(dx * shutter["SIZEX"] + shutter["XC"], dy * shutter["SIZEY"] + shutter["YC"])
        v2, v3, _ = self._to_focal_plane(x.ravel(), y.ravel(), np.full(x.size, self._wave))
        return np.reshape(v2, x.shape), np.reshape(v3, x.shape)


def _exists(number: NDArray[np.int_], highest: int) -> NDArray[np.bool_]:
    return (number >= 1) & (number <= highest)
