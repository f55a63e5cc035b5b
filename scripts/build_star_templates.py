"""Take the star templates that nirfire ships from published model grids: run in a throw-away environment.

    python -m venv ucd && ucd/bin/pip install pandas tables nirfire
    pip download --no-deps ucdmcmc==1.4.5 && unzip ucdmcmc-*.whl 'ucdmcmc/models/*'
    ucd/bin/python scripts/build_star_templates.py ucdmcmc/models --out src/nirfire/core/data/templates_stars.npz

ucdmcmc (A. Burgasser, MIT licence) holds model atmospheres in steps of 0.0055 um for the NIRSpec prism: BT-Settl
(Allard et al. 2012) for M dwarfs, Sonora Diamondback (Morley et al. 2024) for L and early T dwarfs, ATMO2020++
(Meisner et al. 2023) for T and Y dwarfs. They are exact for the prism and blurred (R of 200 to 900) for the gratings.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nirfire.products.template_build import cell_mean, pack, rest_grid


class Star(NamedTuple):
    """One model atmosphere: its grid and parameters."""

    name: str
    grid: str
    teff: float  # K
    metals: float = 0.0  # dex
    log_g: float = 5.0
    sedimentation: float | None = None  # clouds of Diamondback


M, L, T = "btsettl08", "dback24", "atmo20pp"
STARS = (
    Star("K_4500K", M, 4500.0),
    Star("M_3800K", M, 3800.0),
    Star("M_3800K_poor", M, 3800.0, -1.0),
    Star("M_3500K", M, 3500.0),
    Star("M_3200K", M, 3200.0),
    Star("M_3200K_poor", M, 3200.0, -1.0),
    Star("M_3000K", M, 3000.0),
    Star("M_2800K", M, 2800.0),
    Star("M_2500K", M, 2500.0),
    Star("L_2200K", L, 2200.0, sedimentation=4.0),
    Star("L_1900K", L, 1900.0, sedimentation=2.0),
    Star("L_1900K_clear", L, 1900.0, sedimentation=8.0),
    Star("L_1600K", L, 1600.0, sedimentation=2.0),
    Star("L_1500K", L, 1500.0, sedimentation=4.0),
    Star("L_1400K", L, 1400.0, sedimentation=2.0),
    Star("T_1300K", L, 1300.0, sedimentation=8.0),
    Star("T_1300K_cloudy", L, 1300.0, sedimentation=3.0),
    Star("T_1100K", L, 1100.0, sedimentation=8.0),
    Star("T_1200K", T, 1200.0),
    Star("T_1000K", T, 1000.0),
    Star("T_1000K_poor", T, 1000.0, -1.0),
    Star("T_1000K_young", T, 1000.0, 0.0, 4.0),
    Star("T_800K", T, 800.0),
    Star("T_700K_poor", T, 700.0, -1.0),
    Star("T_600K", T, 600.0),
    Star("T_600K_young", T, 600.0, 0.0, 4.0),
    Star("Y_450K", T, 450.0),
)


def fnu(star: Star, folder: Path, grid: np.ndarray) -> np.ndarray:
    """f_nu of a star on the cells (0 outside 0.5 to 6 um), shape (n_rest,)."""
    models = pd.read_hdf(folder / f"models_{star.grid}_JWST-NIRSPEC-PRISM.h5")
    wave = pd.read_csv(folder / "wave_JWST-NIRSPEC-PRISM.csv")["wave"].to_numpy(float)
    same = (models.teff == star.teff) & (np.abs(models.z - star.metals) < 0.01)
    same &= np.abs(models.logg - star.log_g) < 0.02
    if star.sedimentation is not None:
        same &= models.fsed == star.sedimentation
    flux = np.asarray(models[same].iloc[0].flux, dtype=float)
    return np.where(grid < wave[0], 0.0, cell_mean(wave, flux * wave**2, grid))


def main() -> None:
    """Read, convert and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="folder ucdmcmc/models of the wheel")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    grid = rest_grid()
    n = len(STARS)
    parts = {
        "flux": np.array([[fnu(star, args.models, grid) for star in STARS]]),
        "names": np.array([star.name for star in STARS]),
        "classes": np.array(["star"] * n),
        "z_nodes": np.zeros(1),
        "z_min": np.zeros(n),
        "z_max": np.zeros(n),
        "recipes": [star._asdict() for star in STARS],
    }
    raw = pack(parts, program="scripts/build_star_templates.py, ucdmcmc 1.4.5 (MIT)")
    args.out.write_bytes(raw)
    print(args.out, n, "stars", len(raw), "bytes")


if __name__ == "__main__":
    main()
