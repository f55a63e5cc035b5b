"""Take the dwarf stars of the mock spectra from published model grids: run in a throw-away environment.

    python -m venv ucd && ucd/bin/pip install pandas tables
    pip download --no-deps ucdmcmc==1.4.5 && unzip ucdmcmc-*.whl 'ucdmcmc/models/*'
    ucd/bin/python scripts/build_mock_dwarfs.py ucdmcmc/models --out src/nirfire/simulate/data/mock_dwarfs.npz

ucdmcmc (A. Burgasser, MIT licence) holds model atmospheres in steps of 0.0055 um for the NIRSpec prism: BT-Settl
(Allard et al. 2012), Sonora Diamondback (Morley et al. 2024), ATMO2020++ (Meisner et al. 2023) and Cholla (Karalidi et
al. 2021). They are drawn at random: most are no nodes of the star templates of the redshift fit, and Cholla is none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

MODE = "JWST-NIRSPEC-PRISM"
SEED = 5
GRIDS = (
    ("btsettl08", 2300, 9999, 30),
    ("dback24", 0, 2400, 30),
    ("atmo20pp", 0, 9999, 20),
    ("karalidi21", 0, 9999, 20),
)


def main() -> None:
    """Draw, scale, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("models", type=Path)
    options.add_argument("--out", type=Path, required=True)
    args = options.parse_args()
    wave = pd.read_csv(args.models / f"wave_{MODE}.csv")["wave"].to_numpy(float)
    rng, rows, labels = np.random.default_rng(SEED), [], []
    for grid, low, high, count in GRIDS:
        table = pd.read_hdf(args.models / f"models_{grid}_{MODE}.h5")
        table = table[(table.teff >= low) & (table.teff <= high) & (table.logg >= 4.0) & (table.z >= -1.5)]
        for i in rng.choice(len(table), count, replace=False):
            row = table.iloc[i]
            rows.append(np.nan_to_num(np.asarray(row.flux, dtype=float) * wave**2))
            labels.append(f"{grid} {row.teff:.0f} K, log g {row.logg}, metals {row.z}")
    flux = np.array(rows)
    flux /= flux.max(axis=1, keepdims=True)
    np.savez_compressed(args.out, wave=wave, flux=flux.astype(np.float16), label=np.array(labels))


if __name__ == "__main__":
    main()
