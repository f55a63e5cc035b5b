"""The share of a point's light that passes the shutters, as the CRDS pathloss reference says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nirfire.core.slit_psf import SlitPsf, decompose
from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.products.rate import is_simulated
from nirfire.stsci.crds_check import crds_said_plainly
from nirfire.stsci.reference_files import AUTHOR
from nirfire.stsci.traces import find_references

Array = NDArray[np.float64]

FLIGHT = Path(__file__).parent / "data" / "flight_psf.json"


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

        name = _reference(exposure)
        with crds_said_plainly(exposure):
            return cls(datamodels.PathlossModel(name))

    def psf(self) -> SlitPsf:
        """The PSF that the tables of one and three shutters follow from."""
        tables: dict[tuple[int, ...], Array] = {}
        axes: list[Array] = []
        for aperture in self.model.apertures:
            number = {"MOS1x1": 1, "MOS1x3": 3}.get(str(aperture.name))
            if number:
                wcs, shape = aperture.pointsource_wcs, aperture.pointsource_data.shape
                axes = [_axis(wcs, n, length) for n, length in zip((3, 2, 1), shape, strict=True)]
                point, even = (np.asarray(a, dtype=float) for a in (aperture.pointsource_data, aperture.uniform_data))
                tables[(0,) if number == 1 else (-1, 0, 1)] = point / even[:, np.newaxis, np.newaxis]
        if not tables:
            raise DataError("it has no table of micro-shutters", key="MOS1x1", remedy="use one for MOS")
        wave, y, x = axes
        return decompose(wave * 1e6, x, y, tables)

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


def find_psf(exposure: Path) -> tuple[SlitPsf, str]:
    """The PSF in the plane of the shutters, and the name of the pathloss reference that it is from.

    Parameters
    ----------
    exposure : Path
        A ``_rate.fits`` or cutout; CRDS selects by its header.

    Returns
    -------
    psf : SlitPsf
    name : str
        Where no reference of the flight instrument is at hand, because cutouts came in and CRDS is not set up, a real
        exposure gets what was made of one once (`FLIGHT`); the name then says ``shipped``.

    Raises
    ------
    DataError
        CRDS has none that fits, or the file cannot be had.
    """
    name = _reference(exposure)
    with crds_said_plainly(exposure):
        psf, author = _psf_of(name)
    with open_fits(exposure) as hdus:
        simulated = is_simulated(hdus[0].header)
    return flight_psf() if author == AUTHOR and not simulated else (psf, Path(name).name)


@lru_cache(maxsize=1)
def flight_psf() -> tuple[SlitPsf, str]:
    """The PSF of the flight instrument, made by ``scripts/flight_psf.py``, and what it was made of."""
    content = json.loads(FLIGHT.read_text())
    psf = SlitPsf(np.array(content["wave"]), np.array(content["weights"]))
    return psf, f"{content['reference']} (shipped)"


@lru_cache(maxsize=4)
def _psf_of(reference: str) -> tuple[SlitPsf, str]:
    """The PSF of a reference, and who wrote that."""
    from stdatamodels.jwst import datamodels

    with datamodels.PathlossModel(reference) as model:
        return SlitLoss(model).psf(), str(model.meta.author)


def _reference(exposure: Path) -> str:
    name = find_references(exposure, ["pathloss"])["pathloss"]
    if name == "N/A":
        raise DataError("CRDS has no pathloss reference for this exposure", file=exposure, key="pathloss")
    return name


def _axis(wcs: Any, number: int, length: int) -> Array:
    """Coordinates along an axis of a table, counted from 1 in its WCS."""
    pixel, value, step = (float(getattr(wcs, f"{word}{number}")) for word in ("crpix", "crval", "cdelt"))
    return np.asarray(value + (np.arange(1, length + 1) - pixel) * step, dtype=float)
