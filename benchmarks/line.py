"""The line: geometry, the demo against its truth, and two real objects.

    python benchmarks/line.py [--json FILE] [--data FOLDER] [--workspace FOLDER]

Runs the standard demo (some minutes; a finished one in --workspace is only measured anew, its wall time then being that
of what was left to do), and with real data also the flight geometry and the two real objects.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np
from astropy.io import fits

from _rows import entry, parser, save
from nirfire.simulate import lsf
from nirfire.simulate.optics import DETECTORS, MODES, load_optics

OBJECTS = {"ceers_933": 4.234, "rubies_44597": 3.4608}


def fit_script() -> ModuleType:
    """The script that fitted the optical model: it can read the flight geometry."""
    path = Path(__file__).resolve().parents[1] / "scripts" / "fit_optics.py"
    spec = importlib.util.spec_from_file_location("fit_optics", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fit_optics"] = module
    spec.loader.exec_module(module)
    return module


def geometry(data: Path) -> list[dict]:
    """Our optical model against the flight model, all modes, both detectors, the whole MSA."""
    script, optics = fit_script(), load_optics()
    flight = script.read_flight(data / "geometry")
    pixels, elements = [], []
    for (filter_, grating), wave_range in MODES.items():
        pixels.append(script.mode_residuals(flight, optics, grating, wave_range)["inverse_of_backward"]["max_px"])
        wave = np.linspace(*wave_range, 30)
        col = np.array([dispersed(optics, w, grating) for w in wave])
        per_pixel = np.abs(np.gradient(wave, axis=0)[:, None] / np.gradient(col, axis=0))
        element = lsf.uniform_fwhm(wave, grating)
        elements.append(pixels[-1] * np.nanmax(per_pixel / element[:, None]))
        entry(f"geometry {filter_}/{grating}: largest residual", pixels[-1], "px")
    worst, share = max(pixels), max(elements)
    return [
        entry("geometry: largest residual of any mode", worst, "px", "< 0.05", worst < 0.05),
        entry("geometry: the same in resolution elements", share, "", "< 0.05", share < 0.05),
    ]


def dispersed(optics, wave: float, grating: str) -> list[float]:
    """Columns of one wavelength for the central shutter of each quadrant, detectors in turn."""
    where = [optics.shutter_to_msa(q, 183, 86) for q in (1, 2, 3, 4)]
    return [float(optics.msa_to_detector(*xy, wave, grating=grating, detector=DETECTORS[0])[0]) for xy in where]


def demo(workspace: Path) -> list[dict]:
    """The standard demo's own measures that have a goal."""
    command = [sys.executable, "-m", "nirfire", "demo", "-w", str(workspace), "-j", "2"]
    subprocess.run(command, check=True)
    metrics = json.loads((workspace / "report" / "metrics.json").read_text())["metrics"]
    judged = [m for m in metrics if m["ok"] is not None]
    rows = [entry(f"demo: {m['name']}", m["value"], m["unit"], m["goal"], m["ok"]) for m in judged]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    again = statistics.median(seconds)
    return [*rows, entry("demo: the same command again, which does nothing", again, "s", "< 2", again < 2)]


def real_objects(data: Path, folder: Path) -> list[dict]:
    """Three real exposures to a redshift, for each object."""
    rows = []
    for name, z in OBJECTS.items():
        source, place = data / "nods" / name, folder / name
        subprocess.run([sys.executable, "-m", "nirfire", "run", str(source), "-w", str(place)], check=True)
        (path,) = place.rglob("*_zfit.fits")
        off = abs(fits.getheader(path)["ZBEST"] - z)
        rows.append(entry(f"real object {name}: |z - {z}|", off, "", "< 0.01", off < 0.01))
    return rows


def main() -> None:
    """Measure, print, write."""
    options = parser(__doc__)
    options.add_argument("--workspace", type=Path, help="workspace of the demo; by default a temporary one")
    given = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        if (given.data / "README.md").is_file():
            rows += geometry(given.data) + real_objects(given.data, Path(name))
        rows += demo(given.workspace or Path(name) / "demo")
    save(rows, given.json)


if __name__ == "__main__":
    main()
