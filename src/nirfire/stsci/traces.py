"""Where light falls on the detector: planned slitlets and failed-open shutters, in first, higher and zero order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from nirfire.core.traces import Band, bands_mask
from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits, require
from nirfire.products.msa import LARGEST_GAP, Metafile
from nirfire.products.slitcal import N_ALONG
from nirfire.stsci.crds_check import crds_said_plainly
from nirfire.stsci.projection import N_PIX, REFERENCES, Apertures, Projection
from nirfire.stsci.reference_needs import selection_parameters

Mask = NDArray[np.bool_]
N_ACROSS = 171  # shutters of a quadrant across the dispersion
PLANNED_REACH, FAILED_REACH = 1.05, 0.5  # [open height] from a shutter's centre, as in the stock WCS
PAD = 11.0  # [pixel] beyond the ends of the wavelength range, as in the bounding boxes of the stock WCS
ORDERS_PAD = 4.0  # [pixel] on the left and right of the light outside the range and of zero orders, for the PSF's wings
BLUE_END = {"CLEAR": 0.5e-6, "F070LP": 0.6e-6, "F100LP": 0.9e-6, "F170LP": 1.5e-6, "F290LP": 2.6e-6}
"""[m] Where light begins with each filter: its edge is not a step."""
RED_END = {"PRISM": 5.8e-6, "G395M": 5.8e-6, "G395H": 5.8e-6}
"""[m] Where first-order light ends: the filters do not stop it, the detectors do."""
RED_END_ELSE = 5.5e-6
"""[m] The same for gratings that are faint long before."""


@dataclass(frozen=True)
class TraceOptions:
    """What counts as a trace.

    Attributes
    ----------
    margin : int
        Rows added above and below each trace, and each zero order.
    second_orders : bool
        Include the light outside the mode's wavelength range: higher orders of gratings, and first order, which the
        filters let through.
    zero_orders : bool
        With gratings, include the undispersed images of the shutters.
    """

    margin: int = 2
    second_orders: bool = True
    zero_orders: bool = True


@dataclass(frozen=True)
class TraceMasks:
    """Pixels that see the sky through the micro-shutters.

    Attributes
    ----------
    planned : ndarray of bool, shape (2048, 2048)
        Traces of the planned slitlets in the wavelength range of the mode.
    failed_open : ndarray of bool, shape (2048, 2048)
        The same for the shutters that CRDS lists as failed open.
    orders : ndarray of bool, shape (2048, 2048)
        Both: light outside that range (higher orders, and the rest of the first), and zero orders.
    slitlets : list of int
        Planned slitlets whose traces reach this detector, in increasing order.
    """

    planned: Mask
    failed_open: Mask
    orders: Mask
    slitlets: list[int]


def trace_masks(rate: Path, metafile: Path, options: TraceOptions | None = None) -> TraceMasks:
    """Find the pixels that see a planned slitlet or a failed-open shutter, by the optics of the stock WCS.

    Parameters
    ----------
    rate : Path
        Count-rate image; only its headers are read.
    metafile : Path
        Its MSA metafile.
    options : TraceOptions, optional
        Margins, and which orders count.

    Returns
    -------
    TraceMasks
        An exposure without a slitlet on this detector gives no `slitlets`; the masks then hold what there is else.

    Raises
    ------
    DataError
        The rate or the metafile is damaged or lacks something; the metafile has no open shutter for the configuration
        and dither point of this exposure, or one that does not exist; a CRDS reference is missing.

    Notes
    -----
    A slitlet reaches half an open height beyond the outer shutters' openings (1.05 from their centres), and 11 columns
    beyond the wavelength range; a failed-open shutter ends with its opening. Both are what the stock WCS calls inside.
    Groups of shutters of one slitlet further apart than `LARGEST_GAP` are separate traces.

    Light outside the wavelength range of a mode: first order goes on from `BLUE_END` to `RED_END`; spectra
    have been calibrated with it to 5.3 um. The grating equation knows only the product of order and wavelength: second
    order of 1.0 um falls where first order of 2.0 um does. So the same band holds the second order of wavelengths up to
    2.75 um (of F070LP, F100LP and F170LP, from 1.2, 1.8 and 3.0 um on), the third up to 1.83 um. For G395M and G395H,
    second order begins at 5.74 um and is left out. The prism has no orders.

    Zero orders fall on the detectors for the medium-resolution gratings only, on NRS1 only, and from quadrants 1 and 2
    only: on columns 0 to 925 (0 to 961 for G395M), for 88 to 99.6 % of these quadrants' shutters. With the
    high-resolution gratings they miss NRS1 by 1660 columns or more, and those of quadrants 3 and 4 by 200 or more.
    Order +1 falls on no detector.
    """
    options = options or TraceOptions()
    slitlets, planned = planned_apertures(rate, metafile)
    references = find_references(rate, (*REFERENCES, "msaoper"))
    failed = failed_apertures(references["msaoper"])
    projection = Projection(rate, references)
    traces = projection.bands(planned, projection.wave_range)
    shape = (N_PIX, N_PIX)
    return TraceMasks(
        planned=bands_mask(traces, shape, margin=options.margin, pad=PAD),
        failed_open=bands_mask(projection.bands(failed, projection.wave_range), shape, margin=options.margin, pad=PAD),
        orders=_orders(projection, (planned, failed), options),
        slitlets=sorted({s for s, band in zip(slitlets, traces, strict=True) if _on_detector(band)}),
    )


def planned_apertures(rate: Path, metafile: Path) -> tuple[list[int], Apertures]:
    """Slitlets that are open in an exposure: the number of each, and its shutters.

    A slitlet is listed once for each group of shutters. Fixed slits, which some metafiles list too, are left out.

    Raises
    ------
    DataError
        See `trace_masks`.
    """
    with open_fits(rate) as hdus:
        header: fits.Header = hdus[0].header.copy()
    rows = Metafile.read(metafile).configuration(int(str(require(header, "MSAMETID", file=rate, why="configuration"))))
    point = int(str(require(header, "PATT_NUM", file=rate, why="dither point")))
    rows = rows[rows["dither_point_index"] == point]
    if len(rows) == 0:
        raise DataError(
            f"the metafile has no open shutter at dither point {point} of MSAMETID {header['MSAMETID']}",
            file=metafile,
            key="PATT_NUM",
            remedy="use the metafile that belongs to the exposure, or correct PATT_NUM in the exposure",
        )
    if "fixed_slit" in rows.colnames:
        rows = rows[[not str(name).startswith("S") for name in rows["fixed_slit"]]]  # S200A1, S400A1, ...
    keys = ("slitlet_id", "shutter_quadrant", "shutter_row", "shutter_column")
    shutters = np.array([rows[key] for key in keys], dtype=int).T
    limits = (4, N_ALONG, N_ACROSS)
    bad = [s for s in shutters if not all(1 <= n <= top for n, top in zip(s[1:], limits, strict=True))]
    if bad:
        raise DataError(
            f"slitlet {bad[0][0]} has a shutter that does not exist (quadrant, row, column = {bad[0][1:].tolist()})",
            file=metafile,
            key="SHUTTER_INFO",
            remedy="fetch the metafile anew",
        )
    groups = list(_groups(shutters))
    return [g[0] for g in groups], _apertures([g[1:] for g in groups], PLANNED_REACH)


def _groups(shutters: NDArray[np.int_]) -> Iterable[tuple[int, int, int, int, int]]:
    """(slitlet, quadrant, row, first, last) of each group of shutters, in the order in which the slitlets appear."""
    members: dict[tuple[int, int, int], set[int]] = {}
    for slitlet, quadrant, row, column in shutters.tolist():
        members.setdefault((slitlet, quadrant, row), set()).add(column)
    for key, found in members.items():
        columns = np.array(sorted(found))
        for group in np.split(columns, np.flatnonzero(np.diff(columns) > LARGEST_GAP) + 1):
            yield (*key, int(group[0]), int(group[-1]))


def failed_apertures(msaoper: str) -> Apertures:
    """Shutters that a CRDS ``msaoper`` reference lists as failed open ("N/A": none).

    Raises
    ------
    DataError
        The reference cannot be read.
    """
    from jwst.msaflagopen.msaflag_open import create_slitlets

    if msaoper == "N/A":
        return _apertures([], FAILED_REACH)
    try:
        slits = create_slitlets(msaoper)
    except (json.JSONDecodeError, KeyError) as error:
        raise DataError(f"damaged: {error!r}", file=msaoper, remedy="fetch it anew into the CRDS cache") from error
    return _apertures([(int(s.quadrant), int(s.xcen), int(s.ycen), int(s.ycen)) for s in slits], FAILED_REACH)


def _apertures(rows: list[tuple[int, ...]], reach: float) -> Apertures:
    """Apertures from (quadrant, row, first, last) of each."""
    quadrant, row, first, last = np.array(rows, dtype=int).reshape(-1, 4).T
    return Apertures(quadrant, row, first, last, reach)


def _orders(projection: Projection, apertures: Iterable[Apertures], options: TraceOptions) -> Mask:
    """Light outside the wavelength range, and with gratings in order zero."""
    bands: list[Band] = []
    blue, red = projection.wave_range
    end = RED_END.get(projection.grating, RED_END_ELSE)
    for some in apertures:
        if options.second_orders:
            bands += projection.bands(some, (min(blue, BLUE_END.get(projection.filter, blue)), blue))
            bands += projection.bands(some, (red, max(red, end)))
        if options.zero_orders and projection.grating != "PRISM":
            bands += projection.zero_order(some)
    return bands_mask(bands, (N_PIX, N_PIX), margin=options.margin, pad=ORDERS_PAD)


def _on_detector(band: Band) -> bool:
    """Does stock ``assign_wcs`` keep a slitlet with this trace? It does if its padded bounding box is on the detector.

    Source: ``validate_open_slits`` and ``compute_bounding_box`` of ``jwst.assign_wcs.nirspec``, jwst 3.0.
    """
    x, y = np.concatenate([band.x_lower, band.x_upper]), np.concatenate([band.lower, band.upper])
    (x_low, x_high), (y_low, y_high) = (
        (max(0.0, at.min() - 1 - pad) - 0.5, min(N_PIX - 1.0, at.max() - 1 + pad) + 0.5)
        for at, pad in ((x, 10), (y, 2))
    )
    outside = x_low >= N_PIX or y_low >= N_PIX or x_high <= 0 or y_high <= 0
    return not (outside or x_high - x_low < 2 or y_high - y_low < 1)


def find_references(rate: Path, types: Iterable[str]) -> dict[str, str]:
    """Select CRDS references for an exposure by its headers: reference type to file, or "N/A".

    Raises
    ------
    DataError
        CRDS has none that fits, or the file cannot be had (`TransientError` if it may be had later).
    """
    from stpipe.crds_client import get_multiple_reference_paths

    with crds_said_plainly(rate):
        return get_multiple_reference_paths(selection_parameters(rate), sorted(types), "jwst")


def picture_frame(rate: Path) -> NDArray[np.float64] | None:
    """The CRDS picture-frame template for an exposure, shape (n_y, n_x); None where CRDS has none.

    Raises
    ------
    DataError
        The reference cannot be had or is damaged.
    """
    name = find_references(rate, ["pictureframe"])["pictureframe"]
    if name == "N/A":
        return None
    with open_fits(Path(name)) as hdus:
        if "SCI" not in hdus:
            raise DataError("extension SCI is missing", file=name, key="SCI", remedy="fetch it anew into the cache")
        return np.array(hdus["SCI"].data, dtype=float)
