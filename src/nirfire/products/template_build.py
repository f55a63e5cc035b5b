"""Computing the stellar continua of the template sets with bagpipes, and the file they are shipped in.

bagpipes (Carnall et al. 2018, MNRAS 480, 4379) is GPL and an optional extra that only this module imports, when it
runs; the package ships the numbers. Stellar models: Bruzual & Charlot 2003 (2016 version, MILES), Kroupa initial mass
function, as in bagpipes. No nebular lines: they are templates of their own. Its grid has wavelengths in air (the
Balmer lines of a model tell); they are taken to vacuum here. Stock bagpipes reads the key "dust", and silently ignores
any other, so every dusty template is compared with its dust-free twin.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from ..core.lsf import C_KMS
from ..core.templates import age_of_universe, redshift_of_age
from ..errors import DataError

WAVE_MIN = 0.0800  # um, rest frame
WAVE_MAX = 5.80
STEP_KMS = 100.0
LYMAN_LIMIT_UM = 0.0911753
BIN_EDGES = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 12.0, 15.0, 20.0)  # redshift, published
COARSE = ((0.0, 0.0905, 4), (0.0905, 0.90, 1), (0.90, 9.0, 6))  # um, um, cells a stored value: no finer than the models
YOUNGEST_GYR = 0.01


class Recipe(NamedTuple):
    """A delayed exponential star-formation history seen through dust, at z = 0."""

    name: str
    age: float  # Gyr since the onset, or share of the age of the universe
    tau: float  # Gyr
    metallicity: float  # solar
    a_v: float  # mag
    slope: float = 0.0  # delta of Salim et al. 2018; 0 is Calzetti-like


# CAMPFIRE as published: ages are shares of the age of the universe, 0 stands for 10 Myr.
PUBLISHED = (
    Recipe("age0.5_av0.8_steep", 0.5, 2.0, 0.01, 0.8, -1.5),
    Recipe("age0.95_av0.1", 0.95, 0.1, 0.2, 0.1),
    Recipe("age0_av0", 0.0, 0.5, 0.2, 0.0),
    Recipe("age0_av0.25", 0.0, 0.3, 0.5, 0.25),
    Recipe("age0_av0.5", 0.0, 0.1, 1.0, 0.5),
    Recipe("age0_av1", 0.0, 0.1, 1.0, 1.0),
    Recipe("age0.2_av0", 0.2, 0.5, 0.2, 0.0),
    Recipe("age0.2_av0.25", 0.2, 0.3, 0.5, 0.25),
    Recipe("age0.2_av0.5", 0.2, 0.5, 1.0, 0.5),
    Recipe("age0.2_av1", 0.2, 0.1, 1.0, 1.0),
    Recipe("age0.5_av0", 0.5, 0.5, 0.2, 0.0),
    Recipe("age0.5_av0.5", 0.5, 0.3, 0.5, 0.5),
    Recipe("age0.5_av1", 0.5, 0.1, 1.0, 1.0),
    Recipe("age0.8_av0", 0.8, 0.1, 0.2, 0.0),
    Recipe("age0.8_av0.25", 0.8, 0.3, 0.5, 0.25),
    Recipe("age0.8_av0.5", 0.8, 0.1, 1.0, 0.5),
)
# The smallest set that does as well as larger ones on mock spectra.
DEFAULT = (
    Recipe("burst_3Myr", 0.003, 0.3, 0.1, 0.0),
    Recipe("young_10Myr_av1.5_steep", 0.010, 0.3, 0.2, 1.5, -1.0),
    Recipe("sf_200Myr_av0.3", 0.200, 0.3, 0.3, 0.3),
    Recipe("sf_300Myr_av2", 0.300, 0.3, 1.0, 2.0),
    Recipe("post_300Myr", 0.300, 0.02, 0.5, 0.0),
    Recipe("post_600Myr", 0.600, 0.05, 1.0, 0.2),
    Recipe("quiescent_1Gyr", 1.0, 0.1, 1.0, 0.2),
    Recipe("quiescent_1Gyr_av1.5", 1.0, 0.1, 1.0, 1.5),
    Recipe("quiescent_2Gyr", 2.0, 0.1, 1.0, 0.0),
    Recipe("old_6Gyr", 6.0, 0.5, 1.0, 0.1),
)


def rest_grid() -> np.ndarray:
    """Centres of the log-wavelength cells [um], shape (n_rest,)."""
    step = STEP_KMS / C_KMS
    return WAVE_MIN * np.exp(step * np.arange(int(np.log(WAVE_MAX / WAVE_MIN) / step) + 1))


def published_at(recipe: Recipe, z: float) -> Recipe:
    """Recipe at redshift z: age in Gyr, metallicity halving to z = 10, more dust about z = 2.8.

    Notes
    -----
    Z(z) = Z (1 - z / 20) to z = 10, flat beyond; A_V [1 + 3 exp(-(z - 2.8)^2 / 8)] except for the steep law.
    """
    age = max(recipe.age * float(age_of_universe(z)), YOUNGEST_GYR)
    boost = 1.0 if recipe.slope else 1.0 + 3.0 * np.exp(-((z - 2.8) ** 2) / 8.0)
    return recipe._replace(
        age=age, metallicity=recipe.metallicity * (1.0 - min(z, 10.0) / 20.0), a_v=recipe.a_v * boost
    )


def vacuum(wave_air: np.ndarray) -> np.ndarray:
    """Vacuum wavelengths [um] of air wavelengths above 0.2 um (Ciddor 1996 in the form of N. Piskunov, VALD)."""
    s2 = 1.0 / np.maximum(wave_air, 0.2) ** 2
    index = (
        1.0 + 8.336624212083e-5 + 2.408926869968e-2 / (130.1065924522 - s2) + 1.599740894897e-4 / (38.92568793293 - s2)
    )
    return np.where(wave_air > 0.2, wave_air * index, wave_air)


def cell_mean(wave: np.ndarray, flux: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Mean over each log cell of `grid` of the linear interpolation of flux(wave)."""
    half = 0.5 * STEP_KMS / C_KMS
    edges = np.append(grid * np.exp(-half), grid[-1] * np.exp(half))
    points = np.union1d(wave[(wave > edges[0]) & (wave < edges[-1])], edges)
    value = np.interp(points, wave, flux)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]) * np.diff(points))])
    return np.diff(np.interp(edges, points, integral)) / np.diff(edges)


class Stellar:
    """Stellar f_nu of recipes, by bagpipes."""

    def __init__(self) -> None:
        try:
            import bagpipes
        except ImportError as error:
            remedy = "pip install 'nirfire[templates]', or use the sets that are shipped"
            raise DataError("templates are computed with bagpipes, which is not installed", remedy=remedy) from error
        bagpipes.config.R_spec = 0.5 * C_KMS / STEP_KMS  # its sampling is lambda / (2 R)
        self._grid = rest_grid()
        self._bagpipes = bagpipes
        self._galaxies: dict[bool, Any] = {}

    def fnu(self, recipe: Recipe) -> np.ndarray:
        """f_nu on `rest_grid`, mean 1 over 0.25 to 1.2 um, zero below the Lyman limit; shape (n_rest,)."""
        bare = self._fnu(recipe._replace(a_v=0.0))
        if recipe.a_v <= 0:
            return bare
        dusty = self._fnu(recipe)
        blue, red = (self._grid > 0.14) & (self._grid < 0.16), (self._grid > 0.9) & (self._grid < 1.1)
        colour = (dusty[blue].mean() / dusty[red].mean()) / (bare[blue].mean() / bare[red].mean())
        if colour > 10.0 ** (-0.4 * recipe.a_v):
            raise DataError(f"{recipe.name}: the dust had no effect", remedy="another version of bagpipes")
        return dusty

    def _fnu(self, recipe: Recipe) -> np.ndarray:
        keys = ("age", "tau", "metallicity")
        model: dict[str, Any] = {"redshift": 0.0, "delayed": {key: getattr(recipe, key) for key in keys}}
        model["delayed"]["massformed"] = 9.0
        dusty = recipe.a_v > 0
        if dusty:
            model["dust"] = {"type": "Salim", "Av": recipe.a_v, "delta": recipe.slope, "B": 0.0, "eta": 1.0}
        if dusty in self._galaxies:
            self._galaxies[dusty].update(model)
        else:
            reach = np.arange(1e4 * WAVE_MIN * (1.0 + self._bagpipes.config.max_redshift), 1.02e4 * WAVE_MAX, 50.0)
            self._galaxies[dusty] = self._bagpipes.model_galaxy(model, spec_wavs=reach)
        galaxy = self._galaxies[dusty]
        air = np.asarray(galaxy.wavelengths) * 1e-4
        fnu = cell_mean(vacuum(air), np.asarray(galaxy.spectrum_full) * air**2, self._grid)
        fnu[self._grid < LYMAN_LIMIT_UM] = 0.0
        return fnu / fnu[(self._grid > 0.25) & (self._grid < 1.2)].mean()


def stellar_continua(name: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Arrays of a set: flux (n_bins, n_templates, n_rest), names, classes, z_nodes, z_min, z_max, recipes."""
    stellar = Stellar()
    if name == "published":
        nodes = 0.5 * (np.array(BIN_EDGES[1:]) + np.array(BIN_EDGES[:-1]))
        recipes: tuple[Recipe, ...] = PUBLISHED
        rows = []
        for z in nodes:
            say(f"bin at z = {z:g}")
            rows.append([stellar.fnu(published_at(one, float(z))) for one in recipes])
        z_max = np.full(len(recipes), np.inf)
    else:
        nodes, recipes = np.zeros(1), DEFAULT
        rows = [[stellar.fnu(one) for one in recipes]]
        z_max = redshift_of_age(np.array([one.age for one in recipes]))
    return {
        "flux": np.array(rows),
        "names": np.array([one.name for one in recipes]),
        "classes": np.array(["galaxy"] * len(recipes)),
        "z_nodes": nodes,
        "z_min": np.zeros(len(recipes)),
        "z_max": z_max,
        "recipes": [one._asdict() for one in recipes],
    }


def knots(grid: np.ndarray) -> np.ndarray:
    """Cells at which values are stored, closer where the models have detail; the last is always one."""
    cells = np.arange(grid.size)
    keep = np.zeros(grid.size, dtype=bool)
    for low, high, every in COARSE:
        keep |= (grid >= low) & (grid < high) & (cells % every == 0)
    keep[-1] = True
    return np.flatnonzero(keep).astype(np.int32)


def pack(parts: dict[str, Any], *, program: str) -> bytes:
    """File of a set: float16 values at knots (local means), what they are and how they were made, their hash."""
    grid = rest_grid()
    cells = knots(grid)
    edges = np.concatenate([[0], (cells[1:] + cells[:-1] + 1) // 2, [grid.size]])
    flux = np.add.reduceat(parts["flux"], edges[:-1], axis=2) / np.diff(edges)
    stored = (flux / flux.max(axis=2, keepdims=True)).astype(np.float16)
    arrays = {key: value for key, value in parts.items() if key not in ("flux", "recipes")}
    provenance = {"program": program, "recipes": parts["recipes"], "cosmology": "Planck 2018, flat"}
    out = io.BytesIO()
    np.savez_compressed(
        out,
        flux=stored,
        knots=cells,
        wave_min=WAVE_MIN,
        step_kms=STEP_KMS,
        provenance=json.dumps(provenance),
        sha256=hashlib.sha256(stored.tobytes() + cells.tobytes()).hexdigest(),
        **arrays,
    )
    return out.getvalue()


def build(name: str, say: Callable[[str], None]) -> bytes:
    """File of the set "published" or "default" (minutes).

    Raises
    ------
    DataError
        bagpipes is not installed, or its dust has no effect.
    """
    parts = stellar_continua(name, say)
    return pack(parts, program=f"nirfire templates build --set {name}, bagpipes {metadata.version('bagpipes')}")
