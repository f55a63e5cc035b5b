"""References of the detectors and the flat fields, tabulated from ``response``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nirfire.simulate import response
from nirfire.simulate.detector_maps import DETECTORS, N_PIX
from nirfire.simulate.optics import MODES
from nirfire.simulate.selection import (
    DETECTOR,
    EXP_TYPE,
    FILTER,
    GRATING,
    MOS,
    READPATT,
    Selection,
    reference_name,
)
from nirfire.stsci.reference_files import (
    flat_table,
    wavelength_table,
    write_quadrant_flat,
    write_reference,
)

DARK_GROUPS = 8
"""Groups of the dark; stock extrapolates (and warns) for an exposure with more."""
GROUP_TIME = 10.73677  # s, NRSRAPID full frame
READ_PATTERNS = ("NRSRAPID", "NRS")
"""Patterns whose superbias and mask have 2048 x 2048 pixels; IRS2 is not in the embedded instrument."""
N_CURVE = 400
Files = dict[tuple[str, ...], str]

MASK_FLAGS = ("DO_NOT_USE", "DEAD", "HOT", "REFERENCE_PIXEL")


def curve_waves() -> np.ndarray:
    """Wavelengths [um] at which the fast variation of flats is tabulated, evenly in ln(wave)."""
    return np.geomspace(*response.FLAT_WAVES, N_CURVE)


def frame_meta(detector: str) -> dict[str, Any]:
    """Keywords of a full-frame reference of one detector, or of both (``ANY``)."""
    fast, slow = (-2, -1) if detector == "NRS2" else (2, 1)
    return {
        "instrument.detector": detector,
        "subarray.name": "FULL",
        "subarray.xstart": 1,
        "subarray.ystart": 1,
        "subarray.xsize": N_PIX,
        "subarray.ysize": N_PIX,
        "subarray.fastaxis": fast,
        "subarray.slowaxis": slow,
    }


def write_detector_references(folder: Path) -> Iterator[tuple[str, Selection]]:
    """Write everything that Detector1 needs, and the D-flat.

    Parameters
    ----------
    folder : Path

    Yields
    ------
    reftype : str
    Selection
    """
    makers = {
        "mask": _mask,
        "superbias": _superbias,
        "readnoise": _readnoise,
        "gain": _gain,
        "pictureframe": _picture_frame,
        "dflat": _dflat,
    }
    for reftype, make in makers.items():
        files = {}
        for number, detector in enumerate(DETECTORS, start=1):
            name = reference_name(reftype, number)
            make(folder / name, detector)
            files[detector] = name
        if reftype == "superbias":
            keyed: Files = {(d, pattern): name for d, name in files.items() for pattern in READ_PATTERNS}
            yield reftype, Selection((DETECTOR, READPATT), keyed)
        else:
            yield reftype, Selection((DETECTOR,), {(d,): name for d, name in files.items()})
    for reftype, write in (("saturation", _saturation), ("linearity", _linearity), ("dark", _dark)):
        name = reference_name(reftype)
        write(folder / name)
        yield reftype, Selection((DETECTOR,), {(d,): name for d in DETECTORS})


def _meta(reftype: str, description: str, detector: str) -> dict[str, Any]:
    return {"reftype": reftype.upper(), "description": description, **frame_meta(detector)}


def _mask(path: Path, detector: str) -> None:
    meta = _meta("mask", "Hot and dead pixels, reference-pixel frame", detector)
    write_reference(path, "MaskModel", {"dq": response.bad_pixels(detector)}, meta, MASK_FLAGS)


def _superbias(path: Path, detector: str) -> None:
    meta = _meta("superbias", "Bias level of amplifiers, columns and pixels", detector)
    meta |= {"exposure.readpatt": READ_PATTERNS[0]}
    write_reference(path, "SuperBiasModel", {"data": response.superbias(detector)}, meta)


def _readnoise(path: Path, detector: str) -> None:
    noise = (np.sqrt(2.0) * response.read_noise(detector)).astype(np.float32)
    meta = _meta("readnoise", "Noise of the difference of two reads", detector)
    meta |= {"exposure.readpatt": READ_PATTERNS[0]}
    write_reference(path, "ReadnoiseModel", {"data": noise}, meta)


def _gain(path: Path, detector: str) -> None:
    meta = _meta("gain", "Electrons per DN", detector)
    write_reference(path, "GainModel", {"data": response.gain(detector)}, meta)


def _picture_frame(path: Path, detector: str) -> None:
    meta = {
        "reftype": "PICTUREFRAME",
        "description": "Rate of the thermal picture frame",
        "instrument.detector": detector,
    }
    write_reference(path, "PictureFrameModel", {"data": response.picture_frame(detector)}, meta)


def _dflat(path: Path, detector: str) -> None:
    wave = np.array(response.FLAT_WAVES)
    arrays = {
        "data": response.dflat_planes(detector),
        "wavelength": wavelength_table(response.FLAT_WAVES),
        "flat_table": flat_table(wave, np.ones(2)),
    }
    write_reference(path, "NirspecFlatModel", arrays, _meta("dflat", "Pixel response", detector))


def _saturation(path: Path) -> None:
    meta = _meta("saturation", "Raw level of saturation", "ANY")
    write_reference(path, "SaturationModel", {"data": response.saturation(DETECTORS[0])}, meta)


def _linearity(path: Path) -> None:
    meta = _meta("linearity", "Quadratic correction of the signal above bias", "ANY")
    arrays = {"coeffs": response.linearity_coeffs(DETECTORS[0]), "dq": np.zeros((N_PIX, N_PIX), dtype=np.uint32)}
    write_reference(path, "LinearityModel", arrays, meta)  # without dq, stock would make one of the shape of coeffs


def _dark(path: Path) -> None:
    times = GROUP_TIME * np.arange(1, DARK_GROUPS + 1, dtype=np.float32)
    ramp = times[:, None, None] * response.dark_rate(DETECTORS[0])
    meta = _meta("dark", "Dark signal of every group", "ANY")
    meta |= {
        "exposure.readpatt": READ_PATTERNS[0],
        "exposure.nframes": 1,
        "exposure.groupgap": 0,
        "exposure.ngroups": DARK_GROUPS,
        "exposure.type": MOS,
    }
    write_reference(path, "DarkNirspecModel", {"data": ramp}, meta)


def write_sflats(folder: Path) -> Selection:
    """Write the S-flats: a smooth image and a curve for each grating and detector."""
    gratings = sorted({grating for _, grating in MODES})
    pixel = np.arange(N_PIX, dtype=np.float32)
    wave = curve_waves()
    names: dict[tuple[str, str], str] = {}
    for grating in gratings:
        curve = flat_table(wave, response.sflat_curve(wave, grating=grating))
        for detector in DETECTORS:
            name = reference_name("sflat", len(names) + 1)
            image = response.sflat_image(pixel[None, :], pixel[:, None], grating=grating, detector=detector)
            arrays = {
                "data": image.astype(np.float32),
                "wavelength": wavelength_table(response.FLAT_WAVES),
                "flat_table": curve,
            }
            meta = _meta("sflat", "Spectrograph response", detector)
            meta |= {"instrument.grating": grating, "exposure.type": MOS}
            write_reference(folder / name, "NirspecFlatModel", arrays, meta)
            names[detector, grating] = name
    files: Files = {(d, f, g, MOS): names[d, g] for d in DETECTORS for f, g in MODES}
    return Selection((DETECTOR, FILTER, GRATING, EXP_TYPE), files)


def write_fflats(folder: Path) -> Selection:
    """Write the F-flats: for each filter and grating, shutters and a curve in each quadrant."""
    wave = curve_waves()
    column, row = np.arange(1, 366)[None, :], np.arange(1, 172)[:, None]
    planes = [
        np.stack([response.fflat_shutter(w, q, column, row) for w in response.FLAT_WAVES]).astype(np.float32)
        for q in range(1, 5)
    ]
    files: Files = {}
    for number, (optical_filter, grating) in enumerate(MODES, start=1):
        name = reference_name("fflat", number)
        curves = [
            flat_table(wave, response.fflat_curve(wave, q, filter=optical_filter, grating=grating)) for q in range(1, 5)
        ]
        meta: Mapping[str, Any] = {
            "reftype": "FFLAT",
            "description": "Fore-optics response",
            "instrument.detector": "ANY",
        }
        write_quadrant_flat(folder / name, planes, response.FLAT_WAVES, curves, meta)
        files[grating, optical_filter, MOS] = name
    return Selection((GRATING, FILTER, EXP_TYPE), files)
