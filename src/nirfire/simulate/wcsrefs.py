"""Geometry references (CRDS form) of the embedded instrument, from the coefficients of its optical model.

The stock pipeline builds its world coordinate system from these files with its own code and in the direction from
detector to sky; the painter uses :class:`nirfire.simulate.optics.Optics` from the MSA to the detector. Structure
follows the public references of the same types.
"""

from __future__ import annotations

from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from astropy.modeling import CompoundModel, Model
from astropy.modeling.models import (
    AffineTransformation2D,
    Identity,
    Mapping,
    Polynomial1D,
    Polynomial2D,
    Rotation2D,
    Scale,
    Shift,
)

from nirfire.simulate.elements import ORDER, Array, Disperser, PolyMap, triangle
from nirfire.simulate.optics import FIXED_SLITS, MODES, N_COLUMN, N_ROW, Optics
from nirfire.stsci import wcs_files

Files = dict[str, dict[tuple[str, ...], str]]
PRISM_BOUNDS = [4e-7, 7e-6]  # [m] validity of the prism's index formula


def write_wcs_references(optics: Optics, folder: Path) -> Files:
    """Write the eight geometry reference types.

    Parameters
    ----------
    optics : Optics
    folder : Path
        Existing folder.

    Returns
    -------
    files : dict
        ``files[reftype][selector]`` is a file name in `folder`; the selector is ``()``, ``(FILTER,)`` for fore and
        ``(GRATING,)`` for disperser.
    """
    files: Files = {}
    for kind in ("camera", "collimator"):
        files[kind] = {(): _name(kind)}
        wcs_files.save_transform(folder / _name(kind), kind, transform(getattr(optics, kind), kind))
    files["ote"] = {(): _name("ote")}
    wcs_files.save_transform(folder / _name("ote"), "ote", telescope(optics))
    files["fore"] = {}
    for number, (filter_name, pair) in enumerate(optics.fore.items(), 1):
        files["fore"][(filter_name,)] = _name("fore", number)
        wcs_files.save_transform(folder / _name("fore", number), "fore", fore(pair), filter_name)
    files["fpa"] = {(): _name("fpa")}
    wcs_files.save_fpa(folder / _name("fpa"), *(focal_plane(optics.fpa[d]) for d in ("NRS1", "NRS2")))
    files["disperser"] = {}
    for number, (grating, disperser) in enumerate(optics.dispersers.items(), 1):
        files["disperser"][(grating,)] = _name("disperser", number)
        wcs_files.save_disperser(folder / _name("disperser", number), grating, disperser_keys(disperser))
    files["msa"] = {(): _name("msa")}
    wcs_files.save_msa(folder / _name("msa"), *metrology(optics))
    files["wavelengthrange"] = {(): _name("wavelengthrange")}
    ranges = {f"{f}_{g}": (low * 1e-6, high * 1e-6) for (f, g), (low, high) in MODES.items()}
    wcs_files.save_wavelengthrange(folder / _name("wavelengthrange"), ranges, ORDER)
    return files


def _name(kind: str, number: int = 1) -> str:
    return f"jwst_nirspec_{kind}_{number:04d}.asdf"


# ---------------------------------------------------------------- polynomials
def raw_coefficients(poly: PolyMap, axis: int, power: int = 0) -> Array:
    """Coefficients c[i, j] of one output, still normalised, as a function of the raw inputs: x**i y**j."""
    n = poly.degree + 1
    shift_x, shift_y = (
        np.array([[comb(m, i) * (-c) ** (m - i) / s**m if i <= m else 0.0 for m in range(n)] for i in range(n)])
        for c, s in zip(poly.in_centre, poly.in_scale, strict=True)
    )
    return shift_x @ poly.coeffs[axis, power] @ shift_y.T


def _polynomial(c: Array, name: str) -> Polynomial2D:
    degree = c.shape[0] - 1
    return Polynomial2D(degree, name=name, **{f"c{i}_{j}": float(c[i, j]) for i, j in triangle(degree)})


def _scaled(poly: PolyMap, axis: int, power: int = 0) -> Array:
    """Coefficients of one output [its unit] as a function of the normalised inputs."""
    c = poly.coeffs[axis, power] * poly.out_scale[axis]
    if power == 0:
        c = c.copy()
        c[0, 0] += poly.out_centre[axis]
    return c


def _chromatic(c0: Array, c1: Array, name: str) -> CompoundModel:
    """p0(x, y) + p1(x, y) * wavelength [m]; `c1` per um."""
    plane, wave = Mapping((0, 1), n_inputs=3), Mapping((2,), n_inputs=3)
    constant = plane | _polynomial(c0, name)
    return constant + (plane.copy() | _polynomial(c1 * 1e6, f"{name}dist")) * (wave | Identity(1))


def _outward(poly: PolyMap, name: str) -> Model:
    """Affine end of a transform towards the sky: from normalised outputs to their unit."""
    return (
        Shift(0.0, name=f"{name}_xincen_d2s") & Shift(0.0, name=f"{name}_yincen_d2s")
        | AffineTransformation2D(np.diag(poly.out_scale), name=f"{name}_affine_d2s")
        | Shift(poly.out_centre[0], name=f"{name}_xoutcen_d2s") & Shift(poly.out_centre[1], name=f"{name}_youtcen_d2s")
    )


def _inward(poly: PolyMap, name: str) -> Model:
    """Affine start of a transform towards the detector: to normalised inputs."""
    return (
        Shift(-poly.in_centre[0], name=f"{name}_xoutcen_s2d") & Shift(-poly.in_centre[1], name=f"{name}_youtcen_s2d")
        | AffineTransformation2D(np.diag(1.0 / np.array(poly.in_scale)), name=f"{name}_affine_s2d")
        | Shift(0.0, name=f"{name}_xincen_s2d") & Shift(0.0, name=f"{name}_yincen_s2d")
    )


def transform(pair: Any, name: str) -> Model:
    """Astropy model from detector to sky of an achromatic pair of maps, its inverse set."""
    to_sky, to_detector = pair["to_sky"], pair["to_detector"]
    x, y = (_polynomial(raw_coefficients(to_sky, k), f"{name}_{'xy'[k]}_forward") for k in range(2))
    model = (
        Mapping((0, 1, 0, 1), name=f"{name}_inmap")
        | x & y
        | Identity(2, name=f"{name}_outmap")
        | _outward(to_sky, name)
    )
    back_x, back_y = (_polynomial(_scaled(to_detector, k), f"{name}_{'xy'[k]}_backward") for k in range(2))
    model.inverse = _inward(to_detector, name) | Mapping((0, 1, 0, 1)) | back_x & back_y | Identity(2)
    return model


def telescope(optics: Optics) -> Model:
    """Focus of the telescope [m] to V2, V3 [arcsec] through degrees, as the real reference has it."""
    degree = 1.0 / 3600.0
    pair = {"to_sky": _rescale(optics.ote["to_sky"], output=degree)}
    pair["to_detector"] = _rescale(optics.ote["to_detector"], inputs=degree)
    in_degrees = transform(pair, "ote")
    inverse = Scale(degree) & Scale(degree) | in_degrees.inverse
    model = in_degrees | Scale(3600.0) & Scale(3600.0)
    model.inverse = inverse
    return model


def _rescale(poly: PolyMap, inputs: float = 1.0, output: float = 1.0) -> PolyMap:
    def times(pair: tuple[float, float], factor: float) -> tuple[float, float]:
        return pair[0] * factor, pair[1] * factor

    return PolyMap(
        poly.degree,
        times(poly.in_centre, inputs),
        times(poly.in_scale, inputs),
        times(poly.out_centre, output),
        times(poly.out_scale, output),
        poly.coeffs,
    )


def fore(pair: Any) -> Model:
    """Fore optics of one filter: (x, y [m] in the MSA plane, wavelength [m]) to the telescope's focus, inverse set."""
    to_sky, to_detector = pair["to_sky"], pair["to_detector"]
    zero = np.zeros_like

    def both(poly: PolyMap, get: Any, tag: str) -> Model:
        chromatic = poly.coeffs.shape[1] == 2
        parts = []
        for k in range(2):
            c0 = get(poly, k)
            c1 = get(poly, k, 1) if chromatic else zero(c0)
            parts.append(_chromatic(c0, c1, f"fore_{'xy'[k]}_{tag}"))
        return parts[0] & parts[1]

    double = Mapping((0, 1, 2, 0, 1, 2), name="fore_inmap")
    model = double | both(to_sky, raw_coefficients, "forw") | Identity(2, name="fore_outmap") | _outward(to_sky, "fore")
    model.inverse = (
        _inward(to_detector, "fore") & Identity(1)
        | Mapping((0, 1, 2, 0, 1, 2))
        | both(to_detector, _scaled, "back")
        | Identity(2)
    )
    return model


# ---------------------------------------------------------------- the other elements
def focal_plane(fpa: Any) -> Model:
    """Raw (SCA) pixels to the focal plane [m], inverse set."""
    matrix, offset = np.array(fpa["matrix"]), fpa["offset"]
    model = AffineTransformation2D(matrix, name="fpa_affine_d2s") | Shift(offset[0], name="fpa_x_d2s") & Shift(
        offset[1], name="fpa_y_d2s"
    )
    inverse = AffineTransformation2D(np.linalg.inv(matrix), name="fpa_affine_s2d")
    model.inverse = Shift(-offset[0], name="fpa_x_s2d") & Shift(-offset[1], name="fpa_y_s2d") | inverse
    return model


def disperser_keys(disperser: Disperser) -> dict[str, Any]:
    """Top-level keys of a disperser reference; angles in degrees, tilt calibration in arcsec."""
    keys: dict[str, Any] = {f"theta_{axis}": disperser.theta[k] for k, axis in enumerate("xyz")}
    keys |= {"tilt_x": 0.0, "tilt_y": disperser.tilt_y}
    for key, name in (("gwa_tiltx", "xtilt"), ("gwa_tilty", "ytilt")):
        tilt = disperser.tilt[name]
        keys[key] = {
            "temperatures": [tilt["temperature"]],
            "tilt_model": Polynomial1D(1, c0=tilt["coeffs"][0], c1=tilt["coeffs"][1]),
            "unit": "arcsec",
            "zeroreadings": [tilt["zero"]],
        }
    if disperser.glass is None:
        return keys | {"groovedensity": disperser.grooves}
    glass = {key: disperser.glass[key] for key in ("angle", "kcoef", "lcoef", "tcoef", "tref", "pref")}
    return keys | glass | {"wbound": PRISM_BOUNDS}


def metrology(optics: Optics) -> tuple[dict[str, Model], dict[str, np.ndarray]]:
    """Models and shutter tables of the four quadrants (Q1..Q4) and of the fixed slits (Q5)."""
    kind = [("NO", "<i4"), ("XC", "<f8"), ("YC", "<f8"), ("SIZEX", "<f4"), ("SIZEY", "<f4")]
    models: dict[str, Model] = {}
    tables: dict[str, np.ndarray] = {}
    for quadrant, q in optics.quadrants.items():
        table = np.zeros(N_ROW * N_COLUMN, dtype=kind)
        table["NO"] = np.arange(1, table.size + 1)  # number = i + (j - 1) * 365
        table["XC"] = np.tile(np.arange(N_ROW), N_COLUMN) * q["pitch"][0]
        table["YC"] = np.repeat(np.arange(N_COLUMN), N_ROW) * q["pitch"][1]
        table["SIZEX"], table["SIZEY"] = q["open"]
        tables[f"Q{quadrant}"] = table
        models[f"Q{quadrant}"] = _placed(np.rad2deg(q["rotation"]), *q["origin"])
    slits = np.zeros(len(FIXED_SLITS), dtype=kind)
    for n, name in enumerate(FIXED_SLITS):
        slit = optics.fixed_slits[name]
        slits[n] = (n + 1, slit["x"], slit["y"], slit["width"], slit["height"])
    tables["Q5"] = slits
    models["Q5"] = _placed(0.0, 0.0, 0.0)
    return models, tables


def _placed(angle: float, x: float, y: float) -> Model:
    """Rotation [deg], then shift [m]."""
    return Rotation2D(angle, name="msa_rotation") | Shift(x, name="msa_x") & Shift(y, name="msa_y")
