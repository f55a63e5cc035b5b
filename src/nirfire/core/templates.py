"""Sets of redshift templates, and their form for one grating."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from . import continuum, igm, lines
from .lsf import C_KMS

# Planck Collaboration 2018 VI (flat): Hubble time [Gyr] and densities, for the age of the universe
_HUBBLE_TIME_GYR = 14.45
_OMEGA_M = 0.3111


@dataclass(frozen=True, eq=False)
class Continua:
    """Rest-frame f_nu on log cells: cell i is centred on wave_min exp(i step)."""

    names: tuple[str, ...]
    flux: np.ndarray = field(repr=False)  # (n_templates, n_rest)
    wave_min: float  # um
    step: float  # ln(wavelength)
    z_max: np.ndarray  # (n_templates,), not used beyond

    @property
    def wave(self) -> np.ndarray:
        """Cell centres [um], shape (n_rest,)."""
        return self.wave_min * np.exp(self.step * np.arange(self.flux.shape[1]))


@dataclass(frozen=True, eq=False)
class TemplateSet:
    """Continua and line groups that are fitted together."""

    name: str
    continua: Continua
    prism_lines: tuple[lines.LineGroup, ...]
    grating_lines: tuple[lines.LineGroup, ...]

    def line_groups(self, grating: str) -> tuple[lines.LineGroup, ...]:
        """Line groups for a disperser."""
        return self.prism_lines if grating == "PRISM" else self.grating_lines


@dataclass(frozen=True, eq=False)
class GridTemplates:
    """A template set on the log-wavelength cells of one redshift scan."""

    names: tuple[str, ...]
    rest: np.ndarray = field(repr=False)  # (n_rest, n_continua), C order
    wave_min: float  # um
    step: float
    table: lines.LineTable
    z_max: np.ndarray  # (n_columns,)
    uv: np.ndarray = field(repr=False)  # (n_shift, n_uv): transmission at z = exp(i step) - 1

    @property
    def n_continua(self) -> int:
        """Number of continuum columns, which come first."""
        return self.rest.shape[1]


def age_of_universe(z: np.ndarray | float) -> np.ndarray | float:
    """Age [Gyr] in flat Lambda-CDM (Planck 2018, radiation neglected), closed form."""
    root = np.sqrt((1.0 - _OMEGA_M) / _OMEGA_M)
    return _HUBBLE_TIME_GYR * 2.0 / (3.0 * np.sqrt(1.0 - _OMEGA_M)) * np.arcsinh(root * (1.0 + z) ** -1.5)


def redshift_of_age(age: np.ndarray) -> np.ndarray:
    """Redshift at which the universe is `age` Gyr old (inverse of `age_of_universe`)."""
    root = np.sqrt((1.0 - _OMEGA_M) / _OMEGA_M)
    angle = np.asarray(age) * 1.5 * np.sqrt(1.0 - _OMEGA_M) / _HUBBLE_TIME_GYR
    return (np.sinh(angle) / root) ** (-2.0 / 3.0) - 1.0


def build_continua(
    names: tuple[str, ...], flux: np.ndarray, age: np.ndarray, *, wave_min: float, step: float
) -> Continua:
    """Stellar continua plus blackbodies (500, 1200, 2500, 5000 K), a Balmer-break body and a blue power law.

    Parameters
    ----------
    names, flux, age
        Stellar templates, shape (n, n_rest), and their ages [Gyr]: a template is dropped where the universe is younger.
    wave_min, step : float
        Log grid of `flux` [um].
    """
    wave = wave_min * np.exp(step * np.arange(flux.shape[1]))
    extra = {f"blackbody_{t:.0f}K": continuum.blackbody(wave, t) for t in (500.0, 1200.0, 2500.0, 5000.0)}
    extra["balmer_break_body"] = continuum.balmer_break_body(wave)
    extra["power_law"] = continuum.power_law(wave, 0.4)
    z_max = np.concatenate([redshift_of_age(age), np.full(len(extra), np.inf)])
    rows = np.vstack([flux, *extra.values()])
    return Continua((*names, *extra), rows, wave_min, step, z_max)


def build_set(name: str, continua: Continua, *, sigma_v: float = 200.0) -> TemplateSet:
    """Template set "default" (line-ratio composites) or "free-lines" (published-like independent lines).

    Raises
    ------
    KeyError
        Unknown name.
    """
    make = {"default": lines.composite_groups, "free-lines": lines.free_groups}[name]
    return TemplateSet(name, continua, make(sigma_v), make(sigma_v))


@functools.lru_cache(maxsize=8)
def on_grid(templates: TemplateSet, grating: str, step_kms: float, z_max: float, wave_min: float) -> GridTemplates:
    """Templates on the cells of a scan, with the transmission of the intergalactic medium at each of its redshifts.

    Parameters
    ----------
    templates : TemplateSet
    grating : str
    step_kms : float
        Step of the coarse redshift grid and size of the cells [km/s].
    z_max : float
        Highest redshift.
    wave_min : float [um]
        Shortest wavelength of interest: where it is redder than Lyman-alpha, the transmission is not computed.
    """
    step = step_kms / C_KMS
    source = templates.continua
    rest = np.ascontiguousarray(continuum.resample_log(source.flux, source.step, step).T)
    wave = source.wave_min * np.exp(step * np.arange(rest.shape[0]))
    groups = templates.line_groups(grating)
    n_uv = int(np.searchsorted(wave, 0.15))
    shifts = np.arange(int(np.log1p(z_max) / step) + 4)
    uv = np.ones((shifts.size, n_uv))
    for i in shifts:
        z = np.expm1(i * step)
        if 0.15 * (1.0 + z) > wave_min:
            uv[i] = igm.transmission(wave[:n_uv], z, damping=True)
    limits = np.concatenate([source.z_max, np.full(len(groups), np.inf)])
    names = (*source.names, *(one.name for one in groups))
    return GridTemplates(names, rest, source.wave_min, step, lines.line_table(groups), limits, uv)
