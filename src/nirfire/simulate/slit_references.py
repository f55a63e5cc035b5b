"""References of the slitlets: losses, bar shadow, flux scale, pixel area, wavelength zero point, shutters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nirfire.simulate import psf, response
from nirfire.simulate.optics import MODES, Optics
from nirfire.simulate.selection import MOS, Selection, reference_name
from nirfire.stsci.reference_files import (
    AUTHOR,
    PEDIGREE,
    USE_AFTER,
    write_pathloss,
    write_reference,
    write_wavecorr,
)

N_PHOTOM = 2000
PHOTOM_WAVES = (0.55, 5.9)  # um
PIXEL_HEIGHT = 1.0 / response.PIXELS_PER_PITCH_Y  # pitch
EXTRACT_WIDTH = 6  # px


def write_slit_references(optics: Optics, folder: Path) -> Iterator[tuple[str, Selection]]:
    """Write the references that calibrate slitlets.

    Parameters
    ----------
    optics : Optics
    folder : Path

    Yields
    ------
    reftype : str
    Selection
    """
    makers = {
        "pathloss": _pathloss,
        "barshadow": _barshadow,
        "photom": _photom,
        "area": _area,
        "apcorr": _apcorr,
    }
    for reftype, make in makers.items():
        name = reference_name(reftype)
        make(folder / name)
        yield reftype, Selection.for_mos(name)
    name = reference_name("wavecorr", suffix="asdf")
    _wavecorr(folder / name, float(np.mean([q["pitch"][0] for q in optics.quadrants.values()])))
    yield "wavecorr", Selection.for_mos(name)
    for reftype, content in (("msaoper", _msa_operability()), ("extract1d", _extraction())):
        name = reference_name(reftype, suffix="json")
        (folder / name).write_text(json.dumps({**_json_header(reftype), **content}, indent=1))
        yield reftype, Selection.for_mos(name)


def _meta(reftype: str, description: str) -> dict[str, Any]:
    return {"reftype": reftype.upper(), "description": description, "exposure.type": MOS}


def _pathloss(path: Path) -> None:
    """Point and even sources behind one and three shutters, on the grid of the flight file."""
    x, y, wave = np.linspace(-0.5, 0.5, 21), np.linspace(-1.5, 1.5, 63), np.linspace(0.6, 5.3, 21)
    apertures = []
    for n_shutters in (1, 3):
        grid = wave[:, None, None], x[None, None, :], y[None, :, None]
        centred = psf.transmission(wave, 0.0, 0.0, response.slitlet(n_shutters))
        point = _transmission_anywhere(*grid, n_shutters) / centred[:, None, None]
        apertures.append(
            {
                "name": f"MOS1x{n_shutters}",
                "shutters": n_shutters,
                "point": point,
                "uniform": response.pathloss_uniform(wave, n_shutters),
                "axes": (x, y, wave * 1e-6),
            }
        )
    write_pathloss(path, apertures, _meta("pathloss", "Slit losses of the micro-shutters"))


def _transmission_anywhere(wave: np.ndarray, x: np.ndarray, y: np.ndarray, n_shutters: int) -> np.ndarray:
    """Transmission for y counted from the centre of the middle shutter, -1.5 to 1.5."""
    return psf.transmission(wave, x, y, response.slitlet(n_shutters))


def _barshadow(path: Path) -> None:
    y = np.linspace(-1.0, 1.0, 1001)
    ones = np.ones((1, 101), dtype=np.float32)
    single = response.bar_shadow(y, (0,), pixel_height=PIXEL_HEIGHT)[:, None] * ones
    triple = response.bar_shadow(y, (-1, 0, 1), pixel_height=PIXEL_HEIGHT)[:, None] * ones
    zero = np.zeros_like(single, dtype=np.float32)
    arrays = {
        "data1x1": np.clip(single, 1e-3, None).astype(np.float32),
        "data1x3": np.clip(triple, 1e-3, None).astype(np.float32),
        "var1x1": zero,
        "var1x3": zero.copy(),
    }
    axes = {".crval1": 0.6e-6, ".cdelt1": 4.7e-8, ".crval2": -1.0, ".cdelt2": 0.002}
    write_reference(path, "BarshadowModel", arrays, _meta("barshadow", "Shadow of the bars") | axes)


def _photom(path: Path) -> None:
    wave = np.geomspace(*PHOTOM_WAVES, N_PHOTOM)
    column = ("<f4", (N_PHOTOM,))
    dtype = [
        *[("filter", "S12"), ("grating", "S15"), ("photmj", "<f4"), ("uncertainty", "<f4"), ("nelem", "<i2")],
        *[(name, *column) for name in ("wavelength", "relresponse", "reluncertainty")],
    ]
    rows = []
    for (optical_filter, grating), limits in MODES.items():
        factor = response.photom(wave, filter=optical_filter, grating=grating)
        middle = float(response.photom(np.mean(limits), filter=optical_filter, grating=grating))
        zero = np.zeros(N_PHOTOM)
        rows.append((optical_filter, grating, middle * 1e-12, 0.0, N_PHOTOM, wave, factor / middle, zero))
    pixel = _mean_pixel_area()
    meta = _meta("photom", "Flux scale, MJy per (DN/s) of a centred point source") | {
        "photometry.pixelarea_arcsecsq": pixel,
        "photometry.pixelarea_steradians": pixel * (np.pi / 180.0 / 3600.0) ** 2,
    }
    write_reference(path, "NrsMosPhotomModel", {"phot_table": np.array(rows, dtype=dtype)}, meta)


def _mean_pixel_area() -> float:
    return float(np.mean([response.pixel_area(q, 183, 86) for q in range(1, 5)]))


def _area(path: Path) -> None:
    column, row = (a.ravel() for a in np.meshgrid(np.arange(1, 366), np.arange(1, 172)))
    dtype = [("quadrant", "<i2"), ("shutter_x", "<i2"), ("shutter_y", "<i2"), ("pixarea", "<f4")]
    table = np.zeros((4, column.size), dtype=dtype)
    for q in range(1, 5):
        table[q - 1]["quadrant"], table[q - 1]["shutter_x"], table[q - 1]["shutter_y"] = q, column, row
        table[q - 1]["pixarea"] = response.pixel_area(q, column, row)
    meta = _meta("area", "Solid angle of a pixel")
    write_reference(path, "NirspecMosAreaModel", {"area_table": table.ravel()}, meta)


def _apcorr(path: Path) -> None:
    """Light behind three shutters over the light inside a centred window of some rows."""
    n_wave, size = 24, np.array([2.0, 4.0, 6.0, 8.0, 10.0, 13.0])
    wave = np.linspace(*PHOTOM_WAVES, n_wave)
    shutters = (-1, 0, 1)
    half = 0.5 * size[:, None] * PIXEL_HEIGHT
    inside = psf.row_fractions(wave, -half, half, 0.0, 0.0, shutters)
    factor = psf.transmission(wave, 0.0, 0.0, shutters) / inside
    phase = np.array([0.0, 0.5, 1.0])
    cube = np.repeat(factor[None], phase.size, axis=0)
    dtype = [
        ("filter", "S12"),
        ("grating", "S15"),
        ("wavelength", "<f4", wave.shape),
        ("nelem_wl", "<i2"),
        ("size", "<f4", factor.shape),
        ("nelem_size", "<i2"),
        ("pixphase", "<f4", phase.shape),
        ("apcorr", "<f4", cube.shape),
        ("apcorr_err", "<f4", cube.shape),
    ]
    sizes = np.repeat(size[:, None], n_wave, axis=1)
    rows = [(f, g, wave, n_wave, sizes, size.size, phase, cube, 0.0 * cube) for f, g in MODES]
    meta = _meta("apcorr", "Aperture correction of a centred point source") | {".sizeunit": "pixels"}
    write_reference(path, "NrsMosApcorrModel", {"apcorr_table": np.array(rows, dtype=dtype)}, meta)


def _wavecorr(path: Path, pitch: float) -> None:
    wave, offset = np.linspace(0.5, 6.0, 56), np.linspace(-0.5, 0.5, 41)
    shift = response.wavelength_offset(wave[:, None], offset[None, :])
    meta = {"reftype": "wavecorr", "description": "Wavelength offset of sources off centre", "exposure.type": MOS}
    write_wavecorr(path, wave * 1e-6, offset, shift, pitch, meta)


def _json_header(reftype: str) -> dict[str, str]:
    return {
        "reftype": reftype.upper(),
        "title": f"{reftype} of the embedded instrument",
        "telescope": "JWST",
        "instrument": "NIRSPEC",
        "exp_type": MOS,
        "pedigree": PEDIGREE,
        "author": AUTHOR,
        "useafter": USE_AFTER,
        "description": "Made by nirfire",
    }


def _msa_operability() -> dict[str, Any]:
    shutters = [
        {"Q": s.quadrant, "x": s.xcen, "y": s.ycen, "state": s.state, "TA state": s.state, "Internal state": s.state}
        for s in response.msa_operability()
    ]
    return {"msaoper": shutters}


def _extraction() -> dict[str, Any]:
    aperture = {"id": "ANY", "dispaxis": 1, "extract_width": EXTRACT_WIDTH, "use_source_posn": True}
    return {"apertures": [aperture]}
