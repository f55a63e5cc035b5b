"""pointing: measure where the bright sources of a visit lie in their shutters, from their calibrated cutouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from nirfire.core.centroid import Place, Trace, measure_place
from nirfire.core.pointing import Frame, PointingFit, Shifts
from nirfire.core.slit_shift import LEAST_SPREAD, N_BIN, Shift, bin_flux, shift_from_flux
from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import ExposureName
from nirfire.products.positions import Position
from nirfire.products.rate import is_simulated
from nirfire.products.slitcal import SlitCal, shutter_place
from nirfire.stsci.slit_geometry import SlitGeometry, read_geometry
from nirfire.stsci.slit_loss import SlitLoss

Array = NDArray[np.float64]

LEAST_SNR = 30.0
"""Signal-to-noise ratio, over the whole trace in one exposure, of a source that is bright."""
Y_ERROR, X_ERROR = 0.001, 0.004
"""[arcsec] Errors that are not in the noise, of y in one exposure and of x from all; see docs/positions.md."""
WIDER = 0.05
"""[arcsec] Width, beyond that of the narrowest quarter of sources, of one that is no point; its x would be wrong."""
TRIAL = np.linspace(-0.4, 0.4, 81)  # pitch
SHIFTED = "SRCFLUX"
SAME = 0.002  # pitch: places that agree but for rounding


@dataclass(frozen=True)
class Planned:
    """A source in one exposure, on one detector, as it was calibrated.

    Attributes
    ----------
    cal : Path
    name : ExposureName
    source : int
    x, y : float [pitch]
        Place with which it was calibrated, from the centre of its shutter.
    shutter : tuple of 3 ints
        Quadrant, row (along the dispersion) and column of that shutter.
    mode : str
        Detector, filter and disperser.
    state : str
        Shutters of its slitlet as in SHUTSTA.
    pivot : tuple of 2 floats [arcsec]
        V2, V3 of the reference point of the aperture.
    simulated : bool
        By the embedded instrument.
    """

    cal: Path
    name: ExposureName
    source: int
    x: float
    y: float
    shutter: tuple[int, int, int]
    mode: str
    state: str
    pivot: tuple[float, float]
    simulated: bool = False

    @classmethod
    def read(cls, cal: Path, source: int) -> Planned | None:
        """Read the headers of a ``_cal.fits``; None when no source is in its shutters.

        Raises
        ------
        DataError
            The file is damaged or lacks a keyword.
        """
        name = ExposureName.from_path(cal)
        if name is None:
            raise DataError("no name of an exposure", file=cal)
        with open_fits(cal) as hdus:
            top, slit = hdus[0].header, hdus["SCI"].header if "SCI" in hdus else fits.Header()
            try:
                if not top.get(SHIFTED, True) or "x" not in str(slit["SHUTSTA"]):
                    return None
                return cls(
                    cal=cal,
                    name=name,
                    source=source,
                    x=float(slit["SRCXPOS"]),
                    y=float(slit["SRCYPOS"]),
                    shutter=(int(slit["MSAQUAD"]), *shutter_place(int(slit["SHUTTRID"]))),
                    mode=" ".join(str(top.get(k, "")) for k in ("DETECTOR", "FILTER", "GRATING")),
                    state=str(slit["SHUTSTA"]),
                    pivot=(float(slit["V2_REF"]), float(slit["V3_REF"])),
                    simulated=is_simulated(top),
                )
            except KeyError as error:
                raise DataError(f"keyword missing: {error}", file=cal, remedy="redo calibrate") from error


@dataclass(frozen=True)
class Measured:
    """A source of a visit.

    Attributes
    ----------
    source : int
    place : ndarray, shape (2,) [arcsec]
        V2, V3 of its shutter.
    per_pitch : ndarray, shape (2, 2) [arcsec]
        Change of V2, V3 (first index) for one pitch along x, y (second index).
    x, y : Shift or None
        Measured less planned place [pitch]; None where it could not be measured.
    snr : float
        Of the brightest exposure.
    floor : float [arcsec]
        Standard deviation of its image along the slitlet beyond diffraction; median of the exposures.
    n_exposures : int
        Exposures in which y was measured.
    """

    source: int
    place: Array
    per_pitch: Array
    x: Shift | None
    y: Shift | None
    snr: float = 0.0
    floor: float = float("nan")
    n_exposures: int = 0


@dataclass
class _Exposure:
    """One cutout, measured."""

    planned: Planned
    geometry: SlitGeometry
    wave: Array
    found: Place | None = field(default=None)


def measure_source(planned: Sequence[Planned], loss: SlitLoss | None = None, least_snr: float = LEAST_SNR) -> Measured:
    """Measure a source in the exposures of one visit.

    Parameters
    ----------
    planned : sequence of Planned
        Its exposures, at least one.
    loss : SlitLoss, optional
        Pathloss of the shutters; without it, x is not measured.
    least_snr : float
        Fainter sources are not measured.

    Returns
    -------
    Measured

    Raises
    ------
    DataError
        A file is damaged.
    """
    done: list[_Exposure] = []
    for mode in sorted({p.mode for p in planned}):
        done += _measure_mode([p for p in planned if p.mode == mode], least_snr)
    good = [e for e in done if e.found is not None and e.found.snr >= least_snr]
    geometry = (good or done)[0].geometry
    places = [e.found for e in good if e.found is not None]
    if not places:
        return Measured(planned[0].source, geometry.place, geometry.per_pitch, None, None)
    floor = float(np.median([p.floor for p in places]))
    return Measured(
        planned[0].source,
        geometry.place,
        geometry.per_pitch,
        _across(good, loss) if loss is not None else None,
        _along(good),
        max(p.snr for p in places),
        floor,
        len(places),
    )


def is_dithered(planned: Sequence[Planned]) -> bool:
    """Whether the exposures of a source differ enough in x to tell where it is across its shutter."""
    modes = {p.mode for p in planned}
    return any(np.ptp([p.x for p in planned if p.mode == mode]) >= LEAST_SPREAD for mode in modes)


def read_trace(cal: Path) -> tuple[Trace, SlitGeometry]:
    """Read a ``_cal.fits`` as light before the correction for slit loss, with the place of each pixel.

    Raises
    ------
    DataError
        The file is damaged or has no WCS.
    """
    slit, geometry = SlitCal.read(cal), read_geometry(cal)
    known = np.isfinite(geometry.edges)
    divisor = slit.correction
    good = ~slit.bad & np.isfinite(divisor) & known[1:] & known[:-1]
    variance = np.where(good, slit.variance * divisor**2, 0.0)
    scale = float(np.median(np.sqrt(variance[good]))) if good.any() else 1.0  # numbers near one, whatever the unit
    positive = variance > 0
    ivar = np.where(positive, scale**2 / np.where(positive, variance, 1.0), 0.0)
    flux = np.where(good, slit.sci * divisor / scale, 0.0)
    weight = np.isfinite(slit.wave) & good
    wave = np.where(weight, slit.wave, 0.0).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
    wave = np.where(wave > 0, wave, 1.0)  # columns without a good pixel
    far = np.where(known, geometry.edges, 99.0)
    trace = Trace(flux, ivar, wave, far, geometry.shutters, geometry.open_height, float(geometry.pitch[1]))
    return _in_unit(trace, scale), geometry


def _in_unit(trace: Trace, scale: float) -> Trace:
    """Flux in uJy, of which `scale` MJy are one."""
    unit = scale * 1e12
    return Trace(
        trace.flux * unit, trace.ivar / unit**2, trace.wave, trace.edges, trace.shutters, trace.open_height, trace.pitch
    )


def _measure_mode(planned: Sequence[Planned], least_snr: float) -> list[_Exposure]:
    """Measure the exposures of one detector and disperser; only the first where that is far too faint."""
    first = _measure(planned[0])
    if first.found is None or first.found.snr < least_snr / 2:
        return [first]
    return [first, *map(_measure, planned[1:])]


def _measure(planned: Planned) -> _Exposure:
    trace, geometry = read_trace(planned.cal)
    return _Exposure(planned, geometry, trace.wave, measure_place(trace, planned.y))


def _along(exposures: Sequence[_Exposure]) -> Shift:
    """Weighted mean of the shifts along the slitlet, with the scatter of the exposures in its error."""
    shift = np.array([e.found.y - e.planned.y for e in exposures if e.found is not None])
    own = np.array([e.found.err for e in exposures if e.found is not None])
    err = np.hypot(own, Y_ERROR / exposures[0].geometry.pitch[1])
    weight = 1 / err**2
    mean = float((weight * shift).sum() / weight.sum())
    chi2 = float((weight * (shift - mean) ** 2).sum()) / max(len(shift) - 1, 1)
    return Shift(mean, float(np.sqrt(max(chi2, 1.0) / weight.sum())))


def _across(exposures: Sequence[_Exposure], loss: SlitLoss) -> Shift | None:
    """Shift across the shutter, from the flux in dithers."""
    modes = sorted({e.planned.mode for e in exposures})
    groups = [modes.index(e.planned.mode) for e in exposures]
    shape = (len(exposures), len(TRIAL), N_BIN)
    flux, err, passed = np.zeros(shape[::2]), np.full(shape[::2], np.inf), np.full(shape, np.nan)
    for k, e in enumerate(exposures):
        mates = [o.wave for o, g in zip(exposures, groups, strict=True) if g == groups[k]]
        ends = max(w.min() for w in mates), min(w.max() for w in mates)
        edges = np.geomspace(*ends, N_BIN + 1)
        if e.found is None:
            continue
        flux[k], err[k] = bin_flux(e.wave, e.found.passed, e.found.passed_err, edges)
        centres = np.sqrt(edges[1:] * edges[:-1])
        for j, shift in enumerate(TRIAL):
            passed[k, j] = loss.passed(centres, e.planned.x + shift, e.found.y, e.planned.state)
    planned = np.array([e.planned.x for e in exposures])
    found = shift_from_flux(planned, flux, err, TRIAL, passed, groups)
    own = X_ERROR / exposures[0].geometry.pitch[0]
    return None if found is None else replace(found, err=float(np.hypot(found.err, own)))


def points_of(measured: Sequence[Measured]) -> list[Measured]:
    """Drop x of the sources that are extended, for it rests on the slit loss of a point.

    What is narrow is judged by the sources themselves: charge that spreads and the optics behind the MSA widen all.
    """
    floors = [m.floor for m in measured if m.y is not None]
    limit = np.hypot(np.percentile(floors, 25), WIDER) if floors else np.inf
    return [replace(m, x=None) if m.floor > limit else m for m in measured]


def shifts_of(measured: Sequence[Measured]) -> Shifts:
    """What `fit_pointing` takes; x of extended sources is left out."""
    found = [(m.x, m.y) for m in points_of(measured)]
    return Shifts(
        np.array([m.place for m in measured]),
        np.array([m.per_pitch for m in measured]),
        np.array([[0.0 if s is None else s.value for s in pair] for pair in found]),
        np.array([[np.inf if s is None else s.err for s in pair] for pair in found]),
    )


def frame_of(measured: Sequence[Measured], planned: Planned) -> Frame:
    """Axes along the shutters, and the reference point of the aperture as pivot."""
    return Frame.of(np.array([m.per_pitch for m in measured]), np.array(planned.pivot))


def corrected_positions(fit: PointingFit, measured: Iterable[Measured], used: Iterable[Position]) -> list[Position]:
    """Places of all sources in all exposures, with the fitted pointing error in them.

    Parameters
    ----------
    fit : PointingFit
    measured : iterable of Measured
        All sources, those too faint to be measured included.
    used : iterable of Position
        The places with which they were calibrated.

    Returns
    -------
    list of Position
        Of those in `measured`. The errors are those of the pointing, not of the source's place in the catalogue.
    """
    by_source = {m.source: m for m in measured}
    rows = []
    for p in used:
        if p.source in by_source:
            m = by_source[p.source]
            (dx, dy), (x_err, y_err) = (map(float, v[0]) for v in fit.shift(m.place[None], m.per_pitch[None]))
            rows.append(replace(p, x=p.x + dx, y=p.y + dy, x_err=x_err, y_err=y_err, x_before=p.x, y_before=p.y))
    return rows


def check_used(planned: Iterable[Planned], used: Mapping[tuple[str, int], Position]) -> None:
    """See that cutouts were calibrated with these places.

    Raises
    ------
    DataError
        One was not.
    """
    for p in planned:
        place = used.get((p.name.both, p.source))
        if place is None:
            continue
        off = (p.x + 0.5 - place.x, p.shutter[2] + p.y + 0.5 - place.shutter_column - place.y)
        if max(map(abs, off)) > SAME:
            raise DataError(
                f"source {p.source} was calibrated at another place than is set now",
                file=p.cal,
                key="SRCXPOS, SRCYPOS",
                remedy="nirfire run --rerun stale, then measure again",
            )
