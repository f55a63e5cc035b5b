"""Fit nirfire's compact optical model to the NIRSpec flight geometry and write ``optics.json``.

Usage::

    python scripts/fit_optics.py GEOMETRY_FOLDER [OUTPUT.json]

``GEOMETRY_FOLDER`` holds ``MSA.msa.ascii``, the NIRSpec SIAF table ``NRS_SIAF_*.fits`` and a folder ``model`` with the
flight transforms (``*.pcf``, ``FPA.fpa``, ``disperser_*``). None of these files is part of nirfire; the result is a set
of coefficients of nirfire's own parametrisation. The residuals reached are stored in the output and printed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy.optimize import least_squares

from nirfire.simulate.elements import triangle
from nirfire.simulate.optics import DETECTORS, FIXED_SLITS, MODES, Optics, load_optics

OUTPUT = Path(__file__).resolve().parents[1] / "src" / "nirfire" / "simulate" / "data" / "optics.json"
MSA_HALF = (0.0445, 0.0435)  # [m] half size of the region of the MSA plane over which the model is fitted
FPA_HALF = (0.0395, 0.0195)  # [m] the same in the focal plane
FILTERS = ("CLEAR", "F070LP", "F100LP", "F170LP", "F290LP")
INVERSE_DEGREE = {"camera": 7, "collimator": 7, "fore": 6, "ote": 6}
ARCSEC = np.pi / 648000.0


# ---------------------------------------------------------------- reading the flight geometry
def read_keys(path: Path) -> dict[str, list[float] | str]:
    """Return ``{KEY: numbers}`` of a file of ``*KEY ...`` lines, each followed by values (``!``: comment)."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in path.read_text().splitlines():
        line = line.split("!")[0].strip()
        if line.startswith("*"):
            key = line[1:].split()[0]
            found[key] = []
        elif line and key:
            found[key].extend(line.split())
    result: dict[str, list[float] | str] = {}
    for key, words in found.items():
        try:
            result[key] = [float(word) for word in words]
        except ValueError:
            result[key] = " ".join(words)
    return result


@dataclass(frozen=True)
class FlightTransform:
    """One ``.pcf`` transform: paraxial part and degree-5 polynomials, some of them linear in wavelength."""

    keys: dict

    def _poly(self, name: str, x: np.ndarray, y: np.ndarray, wave: np.ndarray | float) -> np.ndarray:
        coeffs = np.asarray(self.keys[name])
        total = 0.0
        index = 0
        for i in range(6):
            for j in range(6 - i):
                total = total + (coeffs[index] + coeffs[21 + index] * wave) * x**i * y**j
                index += 1
        return total

    def _paraxial(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        turn = np.deg2rad(self.keys["Rotation"][0])
        rotate = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        matrix = np.diag(self.keys["Factor"]) @ rotate
        return (
            matrix,
            np.array(self.keys["InputRotationCentre"]),
            np.array(self.keys["OutputRotationCentre"]),
        )

    def forward(self, x, y, wave=0.0):
        """From the sky towards the detector; `wave` in m."""
        matrix, centre_in, centre_out = self._paraxial()
        dx, dy = x - centre_in[0], y - centre_in[1]
        px = matrix[0, 0] * dx + matrix[0, 1] * dy + centre_out[0]
        py = matrix[1, 0] * dx + matrix[1, 1] * dy + centre_out[1]
        return (
            self._poly("xForwardCoefficients", px, py, wave),
            self._poly("yForwardCoefficients", px, py, wave),
        )

    def backward(self, x, y, wave=0.0):
        """From the detector towards the sky; `wave` in m."""
        matrix, centre_in, centre_out = self._paraxial()
        px = self._poly("xBackwardCoefficients", x, y, wave) - centre_out[0]
        py = self._poly("yBackwardCoefficients", x, y, wave) - centre_out[1]
        inverse = np.linalg.inv(matrix)
        return (
            inverse[0, 0] * px + inverse[0, 1] * py + centre_in[0],
            inverse[1, 0] * px + inverse[1, 1] * py + centre_in[1],
        )


@dataclass(frozen=True)
class Flight:
    """All of the flight geometry that nirfire needs, as read from its text files."""

    camera: FlightTransform
    collimator: FlightTransform
    ote: FlightTransform
    fore: dict[str, FlightTransform]
    fpa: dict
    msa: dict
    dispersers: dict[str, dict]
    tilts: dict[str, dict]
    slits: Table


def read_flight(folder: Path) -> Flight:
    """Read the folder described at the top of this file."""
    model = folder / "model"
    names = sorted({grating for _, grating in MODES})
    return Flight(
        camera=FlightTransform(read_keys(model / "Camera.pcf")),
        collimator=FlightTransform(read_keys(model / "Collimator.pcf")),
        ote=FlightTransform(read_keys(model / "OTE.pcf")),
        fore={name: FlightTransform(read_keys(model / f"Fore_{name}.pcf")) for name in FILTERS},
        fpa=read_keys(model / "FPA.fpa"),
        msa=read_keys(folder / "MSA.msa.ascii"),
        dispersers={
            name: read_keys(model / f"disperser_{name}.{'pri' if name == 'PRISM' else 'dis'}") for name in names
        },
        tilts={name: {axis: read_keys(model / f"disperser_{name}_Tilt{axis}.gtp") for axis in "XY"} for name in names},
        slits=Table.read(sorted(folder.glob("NRS_SIAF_*.fits"))[0], unit_parse_strict="silent"),
    )


def flight_fpa(flight: Flight, detector: str) -> tuple[np.ndarray, np.ndarray]:
    """Affine map (matrix, offset) from 0-indexed raw (SCA) pixels to the focal plane [m]."""
    sca = "SCA491" if detector == "NRS1" else "SCA492"
    sign = 1.0 if detector == "NRS1" else -1.0
    turn = flight.fpa[f"{sca}_RotAngle"][0]
    pitch = np.diag([flight.fpa[f"{sca}_PitchX"][0], flight.fpa[f"{sca}_PitchY"][0]])
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return sign * rotate @ pitch, np.array([flight.fpa[f"{sca}_PosX"][0], flight.fpa[f"{sca}_PosY"][0]])


# ---------------------------------------------------------------- fitting
def grid(half: tuple[float, float], n: int = 41) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev-distributed points over a rectangle: small errors towards its edges too."""
    nodes = np.cos(np.pi * np.linspace(0, 1, n))
    x, y = np.meshgrid(nodes * half[0], nodes * half[1], indexing="ij")
    return x.ravel(), y.ravel()


def fit_map(inputs: tuple, outputs: tuple, degree: int, wave: np.ndarray | None = None) -> dict:
    """Least-squares polynomial in normalised coordinates; with `wave` [um] a second one, multiplied by wave."""
    centre_in = [float(np.round((a.max() + a.min()) / 2, 10)) for a in inputs]
    scale_in = [float(np.round((a.max() - a.min()) / 2, 10)) for a in inputs]
    centre_out = [float(np.round((a.max() + a.min()) / 2, 10)) for a in outputs]
    scale_out = [float(np.round((a.max() - a.min()) / 2, 10)) for a in outputs]
    u, v = ((a - c) / s for a, c, s in zip(inputs, centre_in, scale_in, strict=True))
    terms = triangle(degree)
    design = np.stack([u**i * v**j for i, j in terms], axis=1)
    if wave is not None:
        design = np.hstack([design, design * wave[:, None]])
    result: dict = {
        "degree": degree,
        "in_centre": centre_in,
        "in_scale": scale_in,
        "out_centre": centre_out,
        "out_scale": scale_out,
    }
    for axis, a, c, s in zip("xy", outputs, centre_out, scale_out, strict=True):
        solution = np.linalg.lstsq(design, (a - c) / s, rcond=None)[0]
        result[axis] = [float(f"{value:.14g}") for value in solution[: len(terms)]]
        if wave is not None:
            result[f"{axis}_wave"] = [float(f"{value:.14g}") for value in solution[len(terms) :]]
    return result


def fit_pair(first, points: tuple, name: str, primary: str, wave: np.ndarray | None = None) -> dict:
    """Fit one direction of a transform to `first` and the other direction to the inverse of the first."""
    outputs = first(*points) if wave is None else first(*points, wave * 1e-6)
    other = "to_detector" if primary == "to_sky" else "to_sky"
    return {
        primary: fit_map(points, outputs, 5, wave),
        other: fit_map(outputs, points, INVERSE_DEGREE[name], wave),
    }


def fit_glass(prism: dict) -> tuple[list[float], list[float]]:
    """Three-term Sellmeier index at the operating temperature, started from room-temperature CaF2 (Malitson 1963)."""
    k, l = np.array(prism["COEFFORMULA"][0::2]), np.array(prism["COEFFORMULA"][1::2])
    wave2 = np.linspace(0.4, 7.0, 2000) ** 2
    index = np.sqrt(1 + sum(a * wave2 / (wave2 - b) for a, b in zip(k, l, strict=True)))

    def miss(p: np.ndarray) -> np.ndarray:
        return 1e6 * (np.sqrt(1 + sum(p[n] * wave2 / (wave2 - p[n + 3] ** 2) for n in range(3))) - index)

    start = [0.5675888, 0.4710914, 3.8484723, 0.050263605, 0.1003909, 34.649040]
    fit = least_squares(miss, start, x_scale=np.abs(start), xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=5000)
    return [float(f"{a:.12g}") for a in fit.x[:3]], [float(f"{a**2:.12g}") for a in fit.x[3:]]


def fit_dispersers(flight: Flight) -> dict:
    """Angles [deg], groove density or glass, and the tilt-sensor calibration (crossed over as in CRDS)."""
    result = {}
    for name, keys in flight.dispersers.items():
        entry: dict = {
            "theta": [keys[f"THETA{axis}"][0] / 3600.0 for axis in "XYZ"],
            "tilt_y": keys["TILTY"][0],
            "tilt": {},
        }
        for keyword, axis in (("xtilt", "Y"), ("ytilt", "X")):  # GWA_XTIL is calibrated by the file of the Y tilt
            gtp = flight.tilts[name][axis]
            entry["tilt"][keyword] = {
                "zero": float(f"{gtp['Zeroreadings'][0]:.12g}"),
                "coeffs": gtp["CoeffsTemperature00"][::-1],  # the files give the highest power first
                "temperature": gtp["Temperatures"][0],
            }
        if name == "PRISM":
            kcoef, lcoef = fit_glass(keys)
            entry |= {
                "angle": keys["ANGLE"][0],
                "kcoef": kcoef,
                "lcoef": lcoef,
                "tcoef": keys["THERMALCOEF"],
                "tref": keys["TREF"][0],
                "pref": keys["PREF"][0],
            }
        else:
            entry["grooves"] = keys["GROOVEDENSITY"][0]
        result[name] = entry
    return result


def fit_slits(flight: Flight) -> dict:
    """Centre and size [m] of the fixed slits in the MSA plane, from their corners on the sky (SIAF)."""
    result = {}
    for name in FIXED_SLITS:
        row = flight.slits[[str(s).strip() == f"NRS_{name}_SLIT" for s in flight.slits["SIAF_NAME"]]][0]
        v2 = np.array([row[f"C{n}_XPOSSKY"] for n in range(1, 5)], float)
        v3 = np.array([row[f"C{n}_YPOSSKY"] for n in range(1, 5)], float)
        x, y = flight.fore["CLEAR"].forward(*flight.ote.forward(v2 / 3600, v3 / 3600))
        result[name] = {
            "x": round(float(x.mean()), 9),
            "y": round(float(y.mean()), 9),
            "width": round(float(x[2:].mean() - x[:2].mean()), 9),
            "height": round(float(y[1:3].mean() - y[[0, 3]].mean()), 9),
        }
    return result


def fit(flight: Flight) -> dict:
    """All coefficients of :class:`nirfire.simulate.optics.Optics`."""
    msa, fpa = grid(MSA_HALF), grid(FPA_HALF)
    fore, ote_points = {}, []
    for name in FILTERS:
        low = min(w[0] for (f, _), w in MODES.items() if f == name)
        high = max(w[1] for (f, _), w in MODES.items() if f == name)
        nodes = np.linspace(low, high, 5)
        chromatic = np.any(flight.fore[name].keys["xBackwardCoefficients"][21:])
        points = tuple(np.concatenate([a] * 5) for a in msa) if chromatic else msa
        wave = np.repeat(nodes, msa[0].size) if chromatic else None
        fore[name] = fit_pair(flight.fore[name].backward, points, "fore", "to_sky", wave)
        ote_points.append(flight.fore[name].backward(*msa, low * 1e-6))
    oteip = tuple(np.concatenate([p[k] for p in ote_points]) for k in range(2))

    def to_arcsec(x: np.ndarray, y: np.ndarray) -> tuple:
        return tuple(3600.0 * a for a in flight.ote.backward(x, y))

    quadrants = {}
    for q in range(1, 5):
        get = {k: flight.msa[f"Q{q}{k}"][0] for k in ("xref", "yref", "rot", "xpitch", "ypitch", "xopen", "yopen")}
        quadrants[str(q)] = {
            "origin": [get["xref"], get["yref"]],
            "rotation": get["rot"],
            "pitch": [get["xpitch"] * 1e-3, get["ypitch"] * 1e-3],
            "open": [get["xopen"] * 1e-3, get["yopen"] * 1e-3],
        }
    full = flight.slits[[str(s).strip() == "NRS_FULL_MSA" for s in flight.slits["SIAF_NAME"]]][0]
    return {
        "description": "Compact optical model of NIRSpec MOS; made by scripts/fit_optics.py, see docs/optics.md",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "reference": {
            "v2": round(float(full["RefXPOSKY"]), 5),
            "v3": round(float(full["RefYPOSKY"]), 5),
            "v3_yangle": round(float(full["AngleV3"]), 5),
        },
        "camera": fit_pair(flight.camera.backward, fpa, "camera", "to_sky"),
        "collimator": fit_pair(flight.collimator.forward, msa, "collimator", "to_detector"),
        "fore": fore,
        "ote": fit_pair(to_arcsec, oteip, "ote", "to_sky"),
        "fpa": {
            d: {"matrix": flight_fpa(flight, d)[0].tolist(), "offset": flight_fpa(flight, d)[1].tolist()}
            for d in DETECTORS
        },
        "dispersers": fit_dispersers(flight),
        "quadrants": quadrants,
        "fixed_slits": fit_slits(flight),
    }


# ---------------------------------------------------------------- the flight chain, and residuals against it
def _rotation(angles: list[float], axes: str) -> np.ndarray:
    total = np.eye(3)
    for angle, axis in zip(np.deg2rad(angles), axes, strict=True):
        c, s = np.cos(angle), np.sin(angle)
        step = {
            "x": [[1, 0, 0], [0, c, s], [0, -s, c]],
            "y": [[c, 0, -s], [0, 1, 0], [s, 0, c]],
            "z": [[c, s, 0], [-s, c, 0], [0, 0, 1]],
        }[axis]
        total = np.array(step) @ total
    return total


def _unit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    vector = np.stack(np.broadcast_arrays(x, y, 1.0))
    return vector / np.linalg.norm(vector, axis=0)


def _through_prism(ray: np.ndarray, wave: np.ndarray, keys: dict) -> np.ndarray:
    k, l = keys["COEFFORMULA"][0::2], keys["COEFFORMULA"][1::2]
    w2 = (wave * 1e6) ** 2
    index = np.sqrt(1 + sum(a * w2 / (w2 - b) for a, b in zip(k, l, strict=True)))
    inside = ray[:2] / index
    inside = np.stack([*inside, np.sqrt(1 - np.sum(inside**2, axis=0))])
    wedge = _rotation([keys["ANGLE"][0]], "y")
    at_back = np.tensordot(wedge, inside, 1)
    returned = np.tensordot(wedge.T, at_back * np.array([-1.0, -1.0, 1.0]).reshape(3, *[1] * (ray.ndim - 1)), 1)
    out = returned[:2] * index
    return np.stack([*out, np.sqrt(1 - np.sum(out**2, axis=0))])


def flight_to_camera(flight: Flight, x, y, wave, grating: str) -> tuple:
    """MSA plane [m] and wavelength [um] to the unitless angles at the entrance of the camera, by the flight model."""
    keys = flight.dispersers[grating]
    angles = [keys[f"THETA{axis}"][0] / 3600.0 for axis in "XYZ"] + [keys["TILTY"][0]]
    turn = _rotation(angles, "xyzy")
    x, y, wave = np.broadcast_arrays(x, y, np.asarray(wave) * 1e-6)
    ray = np.tensordot(turn, _unit(*flight.collimator.forward(x, y)), 1)
    if grating == "PRISM":
        out = _through_prism(ray, wave, keys)
    else:
        a, b = keys["GROOVEDENSITY"][0] * wave - ray[0], -ray[1]
        out = np.stack([a, b, np.sqrt(1 - a**2 - b**2)])
    out = np.tensordot(turn.T, out, 1)
    return out[0] / out[2], out[1] / out[2]


def fpa_to_pixel(flight: Flight, x, y, detector: str) -> tuple:
    """Focal plane [m] to 0-indexed science-orientation pixels."""
    matrix, offset = flight_fpa(flight, detector)
    inverse = np.linalg.inv(matrix)
    dx, dy = x - offset[0], y - offset[1]
    col, row = inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy
    return (col, row) if detector == "NRS1" else (2047.0 - col, 2047.0 - row)


def flight_to_detector(flight: Flight, x, y, wave, grating: str, detector: str) -> tuple:
    """MSA plane to pixels through the flight model's own *Forward* camera."""
    u, v = flight_to_camera(flight, x, y, wave, grating)
    return fpa_to_pixel(flight, *flight.camera.forward(u, v), detector)


def flight_inverse_camera(flight: Flight, u: np.ndarray, v: np.ndarray) -> tuple:
    """Exact inverse (Newton) of the flight model's *Backward* camera, which is what the stock WCS applies."""
    x, y = flight.camera.forward(u, v)
    step = 1e-7
    for _ in range(4):
        u0, v0 = flight.camera.backward(x, y)
        ux, vx = flight.camera.backward(x + step, y)
        uy, vy = flight.camera.backward(x, y + step)
        a, b, c, d = (ux - u0) / step, (uy - u0) / step, (vx - v0) / step, (vy - v0) / step
        det = a * d - b * c
        du, dv = u - u0, v - v0
        x, y = x + (d * du - b * dv) / det, y + (a * dv - c * du) / det
    return x, y


def mode_residuals(flight: Flight, optics: Optics, grating: str, wave_range: tuple[float, float]) -> dict:
    """Largest and rms differences [pixel] between nirfire and flight for points that fall on a detector."""
    x, y = grid((0.0430, 0.0420), 15)
    wave = np.linspace(*wave_range, 21)[:, None]
    u, v = flight_to_camera(flight, x, y, wave, grating)
    exact = flight_inverse_camera(flight, u, v)
    own = flight.camera.forward(u, v)
    result: dict = {}
    for label, plane in (("inverse_of_backward", exact), ("forward", own)):
        miss = []
        for detector in DETECTORS:
            col, row = fpa_to_pixel(flight, *plane, detector)
            ours = optics.msa_to_detector(x, y, wave, grating=grating, detector=detector)
            on = (np.abs(ours[0] - 1023.5) < 1024) & (np.abs(ours[1] - 1023.5) < 1024)
            miss.append(np.hypot(ours[0] - col, ours[1] - row)[on])
        miss_all = np.concatenate(miss)
        result[label] = {
            "rms_px": float(f"{np.sqrt(np.mean(miss_all**2)):.3g}"),
            "max_px": float(f"{miss_all.max():.3g}"),
        }
    return result


def residuals(flight: Flight, optics: Optics) -> dict:
    """Residuals of every mode [pixel] and of every filter on the sky [mas]."""
    result: dict = {"detector": {}, "sky": {}}
    for (name, grating), wave_range in MODES.items():
        result["detector"][f"{name}/{grating}"] = mode_residuals(flight, optics, grating, wave_range)
        x, y = grid((0.0430, 0.0420), 15)
        wave = np.linspace(*wave_range, 7)[:, None]
        v2, v3 = flight.ote.backward(*flight.fore[name].backward(x, y, wave * 1e-6))
        ours = optics.msa_to_v2v3(x, y, wave, filter=name)
        to_sky = np.hypot(ours[0] - 3600 * v2, ours[1] - 3600 * v3).max() * 1e3
        back = optics.v2v3_to_msa(*ours, wave, filter=name)
        round_trip = np.hypot(back[0] - x, back[1] - y).max() * 2.52e6  # 2.52 arcsec per mm of the MSA
        result["sky"][f"{name}/{grating}"] = {
            "max_mas": float(f"{to_sky:.2g}"),
            "round_trip_mas": float(f"{round_trip:.2g}"),
        }
    return result


def main(arguments: list[str]) -> int:
    """Fit, write, report."""
    if not arguments:
        print(__doc__)
        return 2
    flight = read_flight(Path(arguments[0]))
    output = Path(arguments[1]) if len(arguments) > 1 else OUTPUT
    model = fit(flight)
    output.write_text(json.dumps(model, indent=None))
    optics = load_optics(output)
    model["residuals"] = residuals(flight, optics)
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in model.items())
    output.write_text("{\n" + lines + "\n}\n")
    for group, entries in model["residuals"].items():
        for name, values in entries.items():
            print(group, name, values)
    print("round trip of the camera [px]", optics.camera_round_trip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
