"""Where light that passes the micro-shutters falls on the detector, by the optics of the stock WCS.

The transforms are those that stock ``assign_wcs`` puts together (its ``validate_open_slits``), in the direction from
shutter to detector. There is one set for the whole exposure, through which all shutters go at once, where the stock WCS
has one compound model per slit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from nirfire.core.traces import Band
from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits, require
from nirfire.products.slitcal import N_ALONG

Array = NDArray[np.float64]
REFERENCES = ("wavelengthrange", "camera", "collimator", "disperser", "fpa", "msa")
N_PIX = 2048
N_NODES = 192  # points along a trace: at most 80 columns apart, where the sag of a chord is below 0.02 rows
SURROUNDINGS = 0.1  # of the detector's width: how far beyond its edges the optics are followed


class Apertures(NamedTuple):
    """Columns of open micro-shutters, n of them.

    Attributes
    ----------
    quadrant : ndarray of int, shape (n,)
        1 to 4.
    row : ndarray of int, shape (n,)
        Shutter along the dispersion, 1 to 365 (``shutter_row`` of the metafile).
    first, last : ndarray of int, shape (n,)
        Shutters across the dispersion at the ends, 1 to 171 (``shutter_column``).
    reach : float
        How far the ends lie from the centres of these shutters, in units of a shutter's open height.
    """

    quadrant: NDArray[np.int_]
    row: NDArray[np.int_]
    first: NDArray[np.int_]
    last: NDArray[np.int_]
    reach: float


class Projection:
    """From shutters to pixels for one exposure.

    Parameters
    ----------
    rate : Path
        The exposure; only its headers are read.
    references : mapping of str to str
        Files of the reference types `REFERENCES`.

    Attributes
    ----------
    filter, grating : str
    order : int
        Spectral order of the mode, -1 for all gratings of NIRSpec.
    wave_range : tuple of 2 floats [m]
        Nominal wavelength range of the mode.

    Raises
    ------
    DataError
        The file is damaged or lacks a keyword, or CRDS has no reference of a type.
    """

    def __init__(self, rate: Path, references: Mapping[str, str]) -> None:
        from jwst.assign_wcs import nirspec

        missing = [name for name in REFERENCES if references[name] == "N/A"]
        if missing:
            raise DataError(f"CRDS has no {missing[0]} reference for this exposure", file=rate, key=missing[0])
        self._exposure = _stock_facts(rate)
        instrument = self._exposure.meta.instrument
        self.filter: str = instrument.filter
        self.grating: str = instrument.grating
        self._disperser = nirspec.get_disperser(self._exposure, references["disperser"])
        order, wave_range = nirspec.get_spectral_order_wrange(self._exposure, references["wavelengthrange"])
        self.order = int(order)
        self.wave_range = (float(wave_range[0]), float(wave_range[1]))
        self._to_disperser = nirspec.collimator_to_gwa(references, self._disperser)
        self._from_detector = nirspec.detector_to_gwa(references, instrument.detector, self._disperser)[:-2]
        self._turn = nirspec.dms_to_sca(self._exposure)[:-1]
        self._to_sca, self._to_science = self._from_detector.inverse, self._turn.inverse
        self._quadrants = metrology(references["msa"])
        self._field = self._field_of_detector()

    def bands(self, apertures: Apertures, wave_range: tuple[float, float]) -> list[Band]:
        """Traces of some apertures in the order of the mode.

        Parameters
        ----------
        apertures : Apertures
            n of them.
        wave_range : tuple of 2 floats [m]
            Wavelengths, as the stock WCS counts them (barycentric).

        Returns
        -------
        list of Band, length n
            0-indexed positions. What falls further than a tenth of a detector outside it is put there.
        """
        wave = np.linspace(*wave_range, N_NODES)
        lower = self._pixels(*self._msa(apertures, 0.0, upper=False), wave, self.order)
        upper = self._pixels(*self._msa(apertures, 0.0, upper=True), wave, self.order)
        return [Band(*curves) for curves in zip(*lower, *upper, strict=True)]

    def zero_order(self, apertures: Apertures) -> list[Band]:
        """Undispersed images of some apertures in a grating: upright boxes around them, one for each."""
        ends = [
            self._pixels(*self._msa(apertures, dx, upper=upper), np.zeros(1), 0)
            for dx in (-0.5, 0.5)
            for upper in (False, True)
        ]
        x, y = (np.concatenate([end[k] for end in ends], axis=1) for k in range(2))
        x_ends = np.stack([x.min(axis=1), x.max(axis=1)], axis=1)
        low, high = (np.repeat(f(y, axis=1)[:, None], 2, axis=1) for f in (np.min, np.max))
        return [Band(*curves) for curves in zip(x_ends, low, x_ends, high, strict=True)]

    def _msa(self, apertures: Apertures, dx: float, *, upper: bool) -> tuple[Array, Array]:
        """Places of the lower or upper ends in the MSA plane [m], shape (n,); dx [open width] from the centre line."""
        column = apertures.last if upper else apertures.first
        place = np.empty((2, column.size))
        for quadrant, (table, model) in self._quadrants.items():
            mine = np.flatnonzero(apertures.quadrant == quadrant)
            if mine.size:
                shutter = table[apertures.row[mine] - 1 + (column[mine] - 1) * N_ALONG]
                dy = apertures.reach if upper else -apertures.reach
                place[:, mine] = model(dx * shutter["SIZEX"] + shutter["XC"], dy * shutter["SIZEY"] + shutter["YC"])
        return place[0], place[1]

    def _pixels(self, x: Array, y: Array, wave: Array, order: int) -> tuple[Array, Array]:
        """Columns and rows, shape (n, n_wave), of light of some wavelengths [m] from places in the MSA plane."""
        size = (x.size, wave.size)
        incoming = [np.repeat(angle, wave.size) for angle in self._to_disperser(x, y)]
        waves = np.tile(wave / self._velocity_factor(), x.size)
        with np.errstate(invalid="ignore"):  # light that a grating cannot send anywhere; the cosines are clipped next
            alpha, beta, _ = self._diffract(order)(waves, *incoming)
        alpha, beta = (np.clip(angle, *limits) for angle, limits in zip((alpha, beta), self._field, strict=True))
        column, row = self._to_science(*self._to_sca(alpha, beta, np.sqrt(1.0 - alpha**2 - beta**2)))
        return column.reshape(size), row.reshape(size)

    def _diffract(self, order: int) -> Any:
        """The stock model of the disperser in some order: (wavelength, 3 direction cosines) to 3 direction cosines."""
        from jwst.assign_wcs import nirspec

        self._exposure.meta.wcsinfo.spectral_order = order
        return nirspec.angle_from_disperser(self._disperser, self._exposure)

    def _velocity_factor(self) -> float:
        """Barycentric wavelength over observed wavelength."""
        from jwst.assign_wcs.util import velocity_correction

        velocity = self._exposure.meta.wcsinfo.velosys
        return 1.0 if velocity is None else float(velocity_correction(velocity)(1.0))

    def _field_of_detector(self) -> Array:
        """Limits of the direction cosines (alpha, beta), shape (2, 2), of light that comes near the detector.

        Notes
        -----
        The camera is a polynomial that was fitted to what reaches the detectors. Far outside, where zero and high
        orders go, it folds back onto them.
        """
        x, y = np.meshgrid(*[np.linspace(-0.5, N_PIX - 0.5, 9)] * 2)
        angles = self._from_detector(*self._turn(x.ravel(), y.ravel()))[:2]
        reach = [SURROUNDINGS * np.ptp(angle) for angle in angles]
        return np.array([(a.min() - r, a.max() + r) for a, r in zip(angles, reach, strict=True)])


def metrology(path: str) -> dict[int, tuple[NDArray, Any]]:
    """For each quadrant, the table of its shutters and the stock model from the quadrant to the MSA plane."""
    from stdatamodels.jwst.datamodels import MSAModel

    with MSAModel(path) as reference:
        quadrants = {q: getattr(reference, f"Q{q}") for q in range(1, 5)}
        return {q: (np.array(quadrant.data), quadrant.model) for q, quadrant in quadrants.items()}


def _stock_facts(rate: Path) -> Any:
    """What the stock functions ask of a datamodel, without the cost of one.

    Raises
    ------
    DataError
        A keyword is missing.
    """
    with open_fits(rate) as hdus:
        header: fits.Header = hdus[0].header.copy()
        velocity = hdus["SCI"].header.get("VELOSYS") if "SCI" in hdus else None
    instrument = SimpleNamespace(
        detector=require(header, "DETECTOR", file=rate, why="which detector"),
        filter=require(header, "FILTER", file=rate, why="which filter"),
        grating=require(header, "GRATING", file=rate, why="which disperser"),
        lamp_state=header.get("LAMP"),
        gwa_xtilt=header.get("GWA_XTIL"),
        gwa_ytilt=header.get("GWA_YTIL"),
        gwa_tilt=header.get("GWA_TILT"),
    )
    if instrument.grating == "PRISM":
        require(header, "GWA_TILT", file=rate, why="the refraction of the prism depends on its temperature")
    subarray = SimpleNamespace(xstart=header.get("SUBSTRT1"), ystart=header.get("SUBSTRT2"))
    exposure = SimpleNamespace(type=header.get("EXP_TYPE"))
    wcsinfo = SimpleNamespace(velosys=velocity, spectral_order=None)
    return SimpleNamespace(
        meta=SimpleNamespace(instrument=instrument, subarray=subarray, exposure=exposure, wcsinfo=wcsinfo)
    )
