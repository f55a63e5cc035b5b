"""Sets of redshift templates, and their form for one grating."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from . import continuum, igm, lines, published, quasar
from .lsf import C_KMS
from .published import Shape

# Planck Collaboration 2018 VI (flat): Hubble time [Gyr] and densities, for the age of the universe
_HUBBLE_TIME_GYR = 14.45
_OMEGA_M = 0.3111
_UV_STEP_KMS = 500.0
_SEEN = 0.9  # of the shortest wavelength of interest: what the line-spread function may bring from below
_BLUE = ("burst_3Myr", "young_10Myr_av1.5_steep", "power_law")
"""Continua of galaxies young enough to be seen beyond z = 6."""
_WINGS = (20.0, 22.5)
"""log10 N_HI [cm^-2]: about the least and the most that is found there (Heintz et al. 2024, arXiv:2404.02211)."""
_IGM_UM = 0.15  # rest frame: above, the intergalactic medium transmits everything


@dataclass(frozen=True, eq=False)
class Continua:
    """Rest-frame f_nu on log cells: cell i is centred on wave_min exp(i step)."""

    names: tuple[str, ...]
    classes: tuple[str, ...]  # per template: "galaxy", "little red dot", "quasar" or "star"
    flux: np.ndarray = field(repr=False)  # (n_bins, n_templates, n_rest)
    z_nodes: np.ndarray  # (n_bins,) increasing: redshift of each bin; linear between them, flat beyond
    wave_min: float  # um
    step: float  # ln(wavelength)
    z_min: np.ndarray  # (n_templates,), not used below
    z_max: np.ndarray  # (n_templates,), not used beyond
    wing: tuple[float, ...] = ()  # per template: log10 N_HI [cm^-2] of its damping wing, NaN the mean; empty: all mean

    @property
    def wave(self) -> np.ndarray:
        """Cell centres [um], shape (n_rest,)."""
        return self.wave_min * np.exp(self.step * np.arange(self.flux.shape[2]))

    def at(self, z: float) -> np.ndarray:
        """Templates at redshift z, shape (n_templates, n_rest)."""
        return np.tensordot(bin_weights(self.z_nodes, z), self.flux, axes=1)


@dataclass(frozen=True, eq=False)
class TemplateSet:
    """Continua and line groups that are fitted together, and stars, which are fitted one at a time at z = 0."""

    name: str
    continua: Continua
    prism_lines: tuple[lines.LineGroup, ...]
    grating_lines: tuple[lines.LineGroup, ...]
    stars: Continua

    def line_groups(self, grating: str) -> tuple[lines.LineGroup, ...]:
        """Line groups for a disperser."""
        return self.prism_lines if grating == "PRISM" else self.grating_lines


@dataclass(frozen=True, eq=False)
class GridTemplates:
    """A template set on the log-wavelength cells of one redshift scan: continuum columns first, then line groups."""

    names: tuple[str, ...]
    classes: tuple[str, ...]  # per column
    rest: np.ndarray = field(repr=False)  # (n_bins, n_rest, n_continua), C order
    z_nodes: np.ndarray  # (n_bins,)
    wave_min: float  # um
    step: float
    groups: tuple[lines.LineGroup, ...]
    z_min: np.ndarray  # (n_columns,)
    z_max: np.ndarray  # (n_columns,)
    wing: np.ndarray  # (n_continua,) int64: which transmission
    uv: np.ndarray = field(repr=False)  # (n_wings, n_shift, n_uv): transmission at z = exp(i uv_stride step) - 1
    star_names: tuple[str, ...]
    stars: np.ndarray = field(repr=False)  # (n_rest, n_stars), C order, on the cells of `rest` at z = 0

    @property
    def n_continua(self) -> int:
        """Number of continuum columns, which come first."""
        return self.rest.shape[2]


def bin_weights(z_nodes: np.ndarray, z: float) -> np.ndarray:
    """Share of each redshift bin at z, shape (n_bins,): linear between the nodes, flat beyond; adds up to 1."""
    n = z_nodes.size
    position = float(np.interp(z, z_nodes, np.arange(n)))
    low = min(int(position), n - 1)
    weights = np.zeros(n)
    weights[low] = 1.0 - (position - low)
    weights[min(low + 1, n - 1)] += position - low
    return weights


def age_of_universe(z: np.ndarray | float) -> np.ndarray | float:
    """Age [Gyr] in flat Lambda-CDM (Planck 2018, radiation neglected), closed form."""
    root = np.sqrt((1.0 - _OMEGA_M) / _OMEGA_M)
    return _HUBBLE_TIME_GYR * 2.0 / (3.0 * np.sqrt(1.0 - _OMEGA_M)) * np.arcsinh(root * (1.0 + z) ** -1.5)


def redshift_of_age(age: np.ndarray) -> np.ndarray:
    """Redshift at which the universe is `age` Gyr old (inverse of `age_of_universe`)."""
    root = np.sqrt((1.0 - _OMEGA_M) / _OMEGA_M)
    angle = np.asarray(age) * 1.5 * np.sqrt(1.0 - _OMEGA_M) / _HUBBLE_TIME_GYR
    return (np.sinh(angle) / root) ** (-2.0 / 3.0) - 1.0


def build_set(name: str, stellar: Continua, stars: Continua, *, sigma_v: float = 200.0) -> TemplateSet:
    """Template set from its stellar continua: analytic continua and lines are added.

    Parameters
    ----------
    name : str
        "default" (line-ratio composites of width sigma_v) or "published" (CAMPFIRE: see core.published).
    stellar, stars : Continua
        As stored; `stars` on the cells of `stellar`.
    sigma_v : float [km/s]
        Width of the narrow lines of "default".

    Raises
    ------
    KeyError
        Unknown name.
    """
    extra, groups = {
        "default": lambda: (_default_shapes, lines.composite_groups(sigma_v)),
        "published": lambda: (published.shapes, published.line_groups()),
    }[name]()
    continua = with_shapes(stellar, extra(stellar.wave))
    if name == "default":
        continua = with_wings(continua, _BLUE, _WINGS)
    return TemplateSet(name, continua, groups, groups, stars)


def with_wings(continua: Continua, names: tuple[str, ...], wings: tuple[float, float]) -> Continua:
    """Give templates two damping wings, between which a fit may choose or mix, where there are any.

    Parameters
    ----------
    continua : Continua
    names : tuple of str
        Which templates; each gets a twin, named with "_absorbed", from z = 6 on.
    wings : tuple of 2 floats
        log10 N_HI [cm^-2] of the template and of its twin.
    """
    at = [continua.names.index(name) for name in names]
    wing = np.full(len(continua.names), np.nan)
    wing[at] = wings[0]
    return Continua(
        (*continua.names, *(f"{name}_absorbed" for name in names)),
        (*continua.classes, *(continua.classes[i] for i in at)),
        np.concatenate([continua.flux, continua.flux[:, at]], axis=1),
        continua.z_nodes,
        continua.wave_min,
        continua.step,
        np.concatenate([continua.z_min, np.maximum(continua.z_min[at], igm.NEUTRAL_Z)]),
        np.concatenate([continua.z_max, continua.z_max[at]]),
        (*wing.tolist(), *[wings[1]] * len(names)),
    )


def _default_shapes(wave: np.ndarray) -> tuple[Shape, ...]:
    """Hot dust, two bodies with a Balmer break, a blue power law and a quasar."""
    break_body = continuum.balmer_break_body
    return (
        Shape("blackbody_1200K", "galaxy", continuum.blackbody(wave, 1200.0), 4.0),
        Shape("balmer_break_body", "little red dot", break_body(wave)),
        Shape("balmer_break_body_6000K", "little red dot", break_body(wave, 6000.0, 0.7)),
        Shape("power_law", "galaxy", continuum.power_law(wave, 0.4)),
        Shape("quasar", "quasar", quasar.composite(wave)),
    )


def with_shapes(stellar: Continua, shapes: tuple[Shape, ...]) -> Continua:
    """Append shapes that hold at all redshifts."""
    n_bins = stellar.flux.shape[0]
    rows = np.array([one.flux for one in shapes])
    return Continua(
        (*stellar.names, *(one.name for one in shapes)),
        (*stellar.classes, *(one.kind for one in shapes)),
        np.concatenate([stellar.flux, np.broadcast_to(rows, (n_bins, *rows.shape))], axis=1),
        stellar.z_nodes,
        stellar.wave_min,
        stellar.step,
        np.concatenate([stellar.z_min, np.zeros(len(shapes))]),
        np.concatenate([stellar.z_max, [one.z_max for one in shapes]]),
    )


@functools.lru_cache(maxsize=3)
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
    source, stars = templates.continua, templates.stars
    rest = np.stack([continuum.resample_log(one, source.step, step).T for one in source.flux])
    wave = source.wave_min * np.exp(step * np.arange(rest.shape[1]))
    groups = templates.line_groups(grating)
    n = len(groups)
    wings, wing = np.unique(source.wing or (np.nan,) * len(source.names), return_inverse=True)
    return GridTemplates(
        names=(*source.names, *(one.name for one in groups)),
        classes=(*source.classes, *(line_class(one.name) for one in groups)),
        rest=np.ascontiguousarray(rest),
        z_nodes=source.z_nodes,
        wave_min=source.wave_min,
        step=step,
        groups=groups,
        z_min=np.concatenate([source.z_min, np.zeros(n)]),
        z_max=np.concatenate([source.z_max, np.full(n, np.inf)]),
        wing=wing.astype(np.int64),
        uv=_transmissions(wave, step, (z_max, wave_min), wings),
        star_names=stars.names,
        stars=np.ascontiguousarray(continuum.resample_log(stars.flux[0], stars.step, step).T),
    )


def line_class(name: str) -> str:
    """Class of a line group by its name: "broad-line" or "galaxy"."""
    return "broad-line" if name.startswith("broad") else "galaxy"


def uv_stride(step: float) -> int:
    """Steps of the scan from one tabulated transmission to the next: about 500 km/s."""
    return max(1, round(_UV_STEP_KMS / C_KMS / step))


def _transmissions(wave: np.ndarray, step: float, limits: tuple[float, float], log_columns: np.ndarray) -> np.ndarray:
    """Transmission at z = exp(i uv_stride step) - 1 of the rest-frame cells below 0.15 um, for each damping wing.

    `limits`: highest redshift, and wavelength [um] below which nothing is wanted: there it is 1.
    Shape (n_wings, n_shift, n_uv).
    """
    z_max, wave_min = limits
    n_uv = int(np.searchsorted(wave, _IGM_UM)) if _IGM_UM * (1.0 + z_max) > wave_min else 0
    shifts = np.arange(0, int(np.log1p(z_max) / step) + 4, uv_stride(step))
    uv = np.ones((log_columns.size, shifts.size, n_uv))
    for i, shift in enumerate(shifts):
        z = np.expm1(shift * step)
        seen = slice(int(np.searchsorted(wave[:n_uv], _SEEN * wave_min / (1.0 + z))), n_uv)
        if seen.start < n_uv:
            uv[:, i, seen] = igm.transmission(wave[seen], z)
            if z >= igm.NEUTRAL_Z:
                for k, log_column in enumerate(log_columns):
                    uv[k, i, seen] *= np.exp(-igm.damping_wing(wave[seen], z, float(log_column)))
    return uv
