"""The pixels of slitlets, each with its place along the slitlet and its wavelength: of count rates, or of cutouts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.core.traces import Band, rows_at
from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa import Metafile
from nirfire.products.msa_rows import holds_source, slit_of
from nirfire.products.rate import RateImage, read_exposure_header
from nirfire.products.slitcal import BRIGHTNESS, DO_NOT_USE, SLIT_WAVE, SLIT_Y, shutter_place
from nirfire.stsci.projection import N_NODES, N_PIX, REFERENCES, Apertures, Projection
from nirfire.stsci.traces import find_references

Array = NDArray[np.float64]

REACH = 1.2  # [open height] from the middle of the outer shutters: beyond their ends, where there is no light
FRAME = 4  # pixels at the edge of a detector that see no light
UM = 1e6  # in a metre
FAR = 1e-3  # wavelengths below it are in metres


class Slit(NamedTuple):
    """Shutters that are one slit.

    Attributes
    ----------
    quadrant, row : int
        MSA quadrant, and shutter along the dispersion; 0 where not known.
    columns : tuple of int
        ``shutter_column`` of each, in increasing order.
    slitlet : int
        The (lowest) number of the slitlet.
    sources : tuple of int
        Sources planned in it; empty for plain sky. Negative numbers are virtual.
    apart : tuple of int
        The columns too, where they are known to be the same in all exposures: two slits may be parts of one slitlet.
    """

    quadrant: int
    row: int
    columns: tuple[int, ...]
    slitlet: int
    sources: tuple[int, ...]
    apart: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[int, ...]:
        """What tells it from others."""
        return (self.quadrant, self.row, self.slitlet, *self.apart, *(self.sources if not self.quadrant else ()))


class SlitPixels(NamedTuple):
    """The good pixels of a slit in an exposure, n of them.

    Attributes
    ----------
    slit : Slit
    sourced : tuple of int
        Columns of the shutters in which a source is planned.
    y : ndarray, shape (n,) [pitch]
        Along the slitlet: a pixel that looks at the middle of a shutter has its ``shutter_column``.
    wave : ndarray, shape (n,) [um]
    value, variance : ndarray, shape (n,)
        Count rate [DN/s], or flux density [MJy].
    """

    slit: Slit
    sourced: tuple[int, ...]
    y: Array
    wave: Array
    value: Array
    variance: Array


def planned_slits(metafile: Metafile, metadata_id: int) -> list[Slit]:
    """Slits of a configuration: one for each slitlet with sources, as they are calibrated, and those without.

    Raises
    ------
    DataError
        The metafile does not hold the configuration.
    """
    rows = metafile.open_rows(metadata_id)
    found: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    numbers: dict[tuple[int, int, tuple[int, ...]], int] = {}
    for source in [int(s) for s in np.unique(rows["source_id"]) if s != 0]:
        mine = slit_of(rows, source)
        key = _shutters(mine)
        found.setdefault(key, []).append(source)
        numbers[key] = int(mine["slitlet_id"].min())
    taken = {(q, r, c) for q, r, columns in found for c in columns}
    for number in np.unique(rows["slitlet_id"]):
        mine = rows[rows["slitlet_id"] == number]
        key = _shutters(mine)
        if len({(int(q), int(r)) for q, r in mine[["shutter_quadrant", "shutter_row"]].tolist()}) == 1 and not taken & {
            (*key[:2], c) for c in key[2]
        }:
            found[key], numbers[key] = [], int(number)
    return [Slit(*key, numbers[key], tuple(sources), key[2]) for key, sources in found.items()]


def _shutters(rows: np.ndarray) -> tuple[int, int, tuple[int, ...]]:
    columns = tuple(int(c) for c in np.unique(rows["shutter_column"]))
    return int(rows["shutter_quadrant"][0]), int(rows["shutter_row"][0]), columns


def read_rate(rate: Path) -> list[SlitPixels]:
    """Pixels of all planned slits that fall on the detector of a ``_rate.fits``; its metafile lies beside it.

    Raises
    ------
    DataError
        The rate or the metafile cannot be used, or a CRDS reference is missing.

    Notes
    -----
    Wavelength and place of a pixel are interpolated linearly between the images of the two ends of the slit, which the
    optics of the stock WCS give: across a slit of 5 shutters this is good to 0.02 pitch.
    """
    head = read_exposure_header(rate)
    metafile = Metafile.read(head.metafile)
    slits = planned_slits(metafile, head.metadata_id)
    sourced = _sourced(metafile, head.metadata_id, head.dither_point)
    image = RateImage.read(rate)
    variance = image.var_poisson + image.var_rnoise
    good = np.isfinite(image.sci) & np.isfinite(variance) & (variance > 0) & (image.dq & DO_NOT_USE == 0)
    if image.sci.shape != (N_PIX, N_PIX):
        raise DataError(f"shape {image.sci.shape} is not that of a full frame", file=rate, key="SCI")
    good[:FRAME], good[-FRAME:], good[:, :FRAME], good[:, -FRAME:] = False, False, False, False
    projection = Projection(rate, find_references(rate, REFERENCES))
    ends = [(s.quadrant, s.row, s.columns[0], s.columns[-1]) for s in slits]
    quadrant, along, lowest, highest = np.array(ends, dtype=int).reshape(-1, 4).T
    apertures = Apertures(quadrant, along, lowest, highest, REACH)
    nodes = np.linspace(*projection.wave_range, N_NODES) * UM
    found = []
    for slit, band in zip(slits, projection.bands(apertures, projection.wave_range), strict=True):
        row, column, y, wave = _band_pixels(band, nodes, slit.columns)
        kept = good[row, column]
        row, column, y, wave = row[kept], column[kept], y[kept], wave[kept]
        if row.size:
            mine = tuple(c for c in slit.columns if (slit.quadrant, slit.row, c) in sourced)
            found.append(SlitPixels(slit, mine, y, wave, image.sci[row, column], variance[row, column]))
    return found


def _sourced(metafile: Metafile, metadata_id: int, point: int) -> set[tuple[int, int, int]]:
    """Shutters (quadrant, row, column) in which a source is planned at a dither point."""
    rows = metafile.open_rows(metadata_id)
    rows = rows[(rows["dither_point_index"] == point) & (rows["source_id"] > 0) & holds_source(rows)]
    names = ["shutter_quadrant", "shutter_row", "shutter_column"]
    return {(int(quadrant), int(row), int(column)) for quadrant, row, column in rows[names].tolist()}


def _band_pixels(band: Band, nodes: Array, columns: tuple[int, ...]) -> tuple[NDArray, NDArray, Array, Array]:
    """Rows and columns of the pixels in a band, and their places [pitch] and wavelengths [um]."""
    first = max(int(np.ceil(max(band.x_lower.min(), band.x_upper.min()))), 0)
    last = min(int(np.floor(min(band.x_lower.max(), band.x_upper.max()))), N_PIX - 1)
    column = np.arange(first, last + 1)
    if column.size == 0:
        empty = np.zeros(0, int)
        return empty, empty, np.zeros(0), np.zeros(0)
    lower, upper = rows_at(column, band.x_lower, band.lower), rows_at(column, band.x_upper, band.upper)
    wave_lower, wave_upper = rows_at(column, band.x_lower, nodes), rows_at(column, band.x_upper, nodes)
    low, high = np.minimum(lower, upper), np.maximum(lower, upper)
    start, stop = max(int(np.ceil(low.min())), 0), min(int(np.floor(high.max())), N_PIX - 1)
    row = np.arange(start, stop + 1)[:, None]
    inside = (row >= low) & (row <= high)
    share = (row - lower) / np.where(np.abs(upper - lower) > 0, upper - lower, 1.0)
    reach = REACH * _open_height()
    y = columns[0] - reach + share * (columns[-1] - columns[0] + 2 * reach)
    wave = wave_lower + share * (wave_upper - wave_lower)
    at = np.nonzero(inside)
    return at[0] + start, at[1] + first, y[inside], wave[inside]


def _open_height() -> float:
    """Open share of the pitch along a slitlet, in the stock WCS."""
    from jwst.assign_wcs.nirspec import MSA_SLIT_SCALES

    return 1.0 / float(MSA_SLIT_SCALES[1])


def read_cutout(path: Path) -> SlitPixels:
    """Pixels of a cutout of one slit: a ``_cal.fits``, or a ``SlitModel`` of others.

    Raises
    ------
    DataError
        The file holds no slit with a WCS.

    Notes
    -----
    Pathloss corrections are taken back, as those of exposures with and without the source differ. Our own cutouts say
    where their pixels look; of others the WCS does, which costs half a second. The shutters of a slit are a text of 1
    (open) and 0 for each, with x for the one at the origin of the slit frame: that of the source, or where there is
    none the middle one, open or not, which is left out; the slit then has a number of its own in place of the source's,
    which is left out too.
    """
    with open_fits(path) as hdus:
        if "SCI" not in hdus:
            raise DataError("extension SCI is missing", file=path, key="SCI", remedy="leave this file out")
        planes, lit = _planes(hdus), bool(hdus[0].header.get("SRCFLUX", True))
        looks = _from_planes(hdus) if SLIT_Y in hdus and SLIT_WAVE in hdus else _from_wcs(hdus, path)
    pixels = _cutout(looks, planes, path)
    if lit and pixels.slit.sources:
        return pixels
    columns = tuple(c for c in pixels.slit.columns if c not in pixels.sourced) or pixels.slit.columns
    return pixels._replace(sourced=(), slit=pixels.slit._replace(columns=columns, sources=()))


class _Looks(NamedTuple):
    """Where a cutout looks: its shutters as text, which is at the origin; place and wavelength of its pixels."""

    state: str
    quadrant: int
    row: int
    column: int
    slitlet: int
    source: int
    y: Array
    wave: Array


def _from_planes(hdus: Any) -> _Looks:
    """From what our own cutouts say."""
    header = hdus["SCI"].header
    number = int(header.get("SHUTTRID") or 1)
    y, wave = (np.array(hdus[name].data, dtype=float) for name in (SLIT_Y, SLIT_WAVE))
    numbers = (int(header.get(key) or 0) for key in ("MSAQUAD", "SLITID", "SOURCEID"))
    quadrant, slitlet, source = numbers
    row, column = shutter_place(number)
    return _Looks(str(header.get("SHUTSTA", "")), quadrant, row, column, slitlet, source, y, wave)


def _from_wcs(hdus: Any, path: Path) -> _Looks:
    """From the stock WCS."""
    import asdf
    from jwst.assign_wcs.nirspec import MSA_SLIT_SCALES

    if "ASDF" not in hdus:
        raise DataError("extension ASDF is missing", file=path, key="ASDF", remedy="leave this file out")
    raw = hdus["ASDF"].data["ASDF_METADATA"][0].tobytes()
    column, row = np.meshgrid(*(np.arange(n, dtype=float) for n in hdus["SCI"].data.shape[::-1]))
    with asdf.config_context() as config:
        config.validate_on_read = False
        with asdf.open(io.BytesIO(raw)) as content:
            slits = content.tree.get("slits")
            slit: Mapping[str, Any] = slits[0] if slits else content.tree
            state = str(slit.get("shutter_state") or "")
            if slit.get("meta", {}).get("wcs") is None or not state:
                raise DataError("no slit with a WCS and shutters", file=path, key="SHUTSTA", remedy="redo calibrate")
            _, y, wave = slit["meta"]["wcs"].get_transform("detector", "slit_frame")(column, row)
            scale = float(slit.get("slit_yscale") or MSA_SLIT_SCALES[1])
            origin = int(slit.get("ycen") or state.find("x") + 1)
            names = ("quadrant", "xcen", "slitlet_id", "source_id")
            quadrant, along, slitlet, source = (int(slit.get(name) or 0) for name in names)
    wave = np.asarray(wave, float) * (UM if np.nanmin(wave, initial=1.0) < FAR else 1.0)
    return _Looks(state, quadrant, along, origin, slitlet, source, np.asarray(y, float) / scale + origin, wave)


def _planes(hdus: Any) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Flux density before pathloss correction, its variance, and which pixels are good, shape (n_spat, n_wave)."""
    header = hdus["SCI"].header
    value = np.array(hdus["SCI"].data, dtype=float)
    variance = sum(np.array(hdus[name].data, dtype=float) for name in ("VAR_POISSON", "VAR_RNOISE") if name in hdus)
    variance = variance if np.ndim(variance) else np.array(hdus["ERR"].data, dtype=float) ** 2
    extension = {"POINT": "PATHLOSS_PS", "UNIFORM": "PATHLOSS_UN"}.get(str(header.get("PTHLOSS")))
    factor = np.ones(value.shape)
    if extension in hdus:
        factor = np.array(hdus[extension].data, dtype=float)
    if header.get("BUNIT") == BRIGHTNESS and header.get("PIXAR_SR"):
        factor = factor * float(header["PIXAR_SR"])
    good = np.isfinite(value) & np.isfinite(variance) & (variance > 0) & np.isfinite(factor)
    if "DQ" in hdus:
        good &= np.array(hdus["DQ"].data, dtype=np.uint32) & DO_NOT_USE == 0
    return value * factor, variance * factor**2, good


def _cutout(looks: _Looks, planes: tuple[Array, Array, NDArray[np.bool_]], path: Path) -> SlitPixels:
    value, variance, good = planes
    good = good & np.isfinite(looks.y) & np.isfinite(looks.wave)
    state = looks.state
    if "x" not in state:
        text = f"shutters {state!r} do not say which is at the origin"
        raise DataError(text, file=path, key="SHUTSTA", remedy="redo calibrate")
    first = looks.column - state.find("x")
    columns = tuple(first + k for k, mark in enumerate(state) if mark != "0")
    place = Slit(looks.quadrant, looks.row, columns, looks.slitlet, (looks.source,) if looks.source else ())
    return SlitPixels(place, (looks.column,), looks.y[good], looks.wave[good], value[good], variance[good])
