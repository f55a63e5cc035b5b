"""What all ways to extract a spectrum share: unit, boxcars, wavelength grid, and fluxes as they go to disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nirfire.core.grids import WaveGrid, covering_grid, wave_grid
from nirfire.errors import DataError

Array = NDArray[np.float64]

MJY_TO_UJY = 1e12
BOX_WIDTHS = (3, 4, 5)
"""[pixel] Widths of the boxcars."""


def grid_of(path: Path, grating: str, filter_: str, ends: tuple[float, float] | None = None) -> WaveGrid:
    """The wavelength grid of a file's mode.

    Parameters
    ----------
    path : Path
        The file, to name it in the error.
    grating, filter_ : str
    ends : tuple of 2 floats [um], optional
        Lowest and highest wavelength of the data: the grid is longer where they go clearly beyond the nominal range.

    Raises
    ------
    DataError
        The mode has no grid.
    """
    try:
        return wave_grid(grating, filter_) if ends is None else covering_grid(grating, filter_, *ends)
    except ValueError as error:
        raise DataError(str(error), file=path, key="GRATING") from error


def on_disk(flux: Array, ivar: Array) -> tuple[Array, Array]:
    """Flux and error with NaN where there is no information."""
    good = ivar > 0
    return np.where(good, flux, np.nan), np.where(good, 1.0 / np.sqrt(np.where(good, ivar, 1.0)), np.nan)
