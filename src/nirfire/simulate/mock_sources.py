"""Kinds of sources of the mock spectra, as f_nu before any instrument.

Stars are random histories (see :mod:`nirfire.simulate.mock_stars`); the rest is our own (:mod:`nirfire.simulate.seds`).
Nothing is shared with the templates of the redshift fit but the stellar models themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nirfire.simulate import mock_lines, mock_stars, seds
from nirfire.simulate.mock_lines import Lines

Array = NDArray[np.float64]


_Shape = Callable[[Array], Array]  # f_nu at rest wavelengths [um]


@dataclass(frozen=True)
class Population:
    """What the mock sources are drawn from.

    Attributes
    ----------
    shares : dict of str to float
        Weight of each kind (see `KINDS`).
    z_low, z_high : float
        Range of redshifts of the line emitters.
    uniform_log : bool
        Redshifts uniform in ln(z); otherwise in ln(1 + z).
    line_scatter : float [dex]
        Of metal lines.
    width_low, width_high : float [km/s]
        Range of the lines' standard deviation, uniform in the logarithm.
    dust_scale : float [mag]
        Mean A_V of the exponential distribution.
    snr_low, snr_high : float
        Range of the median S/N of the continuum in a pixel, uniform in the logarithm.
    """

    shares: dict[str, float]
    z_low: float = 0.1
    z_high: float = 14.0
    uniform_log: bool = True
    line_scatter: float = 0.12
    width_low: float = 40.0
    width_high: float = 400.0
    dust_scale: float = 0.6
    snr_low: float = 0.3
    snr_high: float = 50.0


FIRST = Population(
    {
        "star_forming": 0.23, "extreme": 0.12, "quiescent": 0.07, "post_starburst": 0.04, "broad_line": 0.08,
        "little_red_dot": 0.05, "quasar": 0.04, "lyman_alpha": 0.04, "lyman_break": 0.06, "dwarf": 0.05,
        "featureless": 0.05, "blank": 0.17,
    }
)  # fmt: skip
"""The population that the probability is calibrated on."""
SECOND = replace(
    FIRST,
    shares={
        "star_forming": 0.30, "extreme": 0.08, "quiescent": 0.10, "post_starburst": 0.05, "broad_line": 0.05,
        "little_red_dot": 0.04, "quasar": 0.02, "lyman_alpha": 0.03, "lyman_break": 0.04, "dwarf": 0.04,
        "featureless": 0.04, "blank": 0.21,
    },
    z_low=0.3, z_high=12.0, uniform_log=False, line_scatter=0.2, width_low=60.0, width_high=300.0,
    dust_scale=0.9, snr_low=0.2, snr_high=30.0,
)  # fmt: skip
"""A fainter and emptier one, which it is calibrated on too."""
THIRD = replace(
    FIRST,
    shares={
        "star_forming": 0.27, "extreme": 0.09, "quiescent": 0.08, "post_starburst": 0.05, "broad_line": 0.07,
        "little_red_dot": 0.04, "quasar": 0.03, "lyman_alpha": 0.03, "lyman_break": 0.05, "dwarf": 0.05,
        "featureless": 0.05, "blank": 0.19,
    },
    z_low=0.2, z_high=13.0, uniform_log=False, line_scatter=0.16, width_low=50.0, width_high=350.0,
    dust_scale=0.75,
)  # fmt: skip
"""One to test it on."""


@dataclass(frozen=True, eq=False)
class Source:
    """A source before the instrument.

    Attributes
    ----------
    kind : str
    z : float
        NaN where there is none to be found; 0 of a dwarf.
    wave, continuum : ndarray, shape (n,) [um, any unit of f_nu]
        Observed.
    line_wave, line_area, line_width : ndarray, shape (n_lines,) [um, unit of f_nu times um, km/s]
        Observed wavelength, integral of f_nu over wavelength, intrinsic standard deviation.
    """

    kind: str
    z: float
    wave: Array
    continuum: Array
    line_wave: Array
    line_area: Array
    line_width: Array


def _observed(kind: str, z: float, rest_shape: _Shape, lines: Lines, hbeta: float) -> Source:
    """A source from its f_nu at rest and its lines; `hbeta` [um] is the rest equivalent width of flux 1."""
    wave = seds.observed_grid()
    continuum = rest_shape(wave / (1 + z)) * seds.igm(wave, z)
    level = float(rest_shape(np.array([0.4861]))[0])
    area = lines.flux * hbeta * (1 + z) * level * (lines.wave / 0.4861) ** 2
    return Source(kind, z, wave, continuum, lines.wave * (1 + z), area, lines.width)


def damping_wing(rest: Array, column: float) -> Array:
    """Transmission of neutral gas of `column` [cm^-2] at the source: a Lorentz profile about Lyman-alpha.

    Notes
    -----
    Cross-section pi e^2 f / (m c) times the Lorentz profile with f = 0.4164 and a damping rate of 6.265e8 / s.
    """
    nu, nu_0 = 2.99792458e14 / np.maximum(rest, 0.01), 2.99792458e14 / seds.LYMAN_ALPHA
    width = 6.265e8 / (4.0 * np.pi)
    sigma = 0.02654 * 0.4164 * (width / np.pi) / ((nu - nu_0) ** 2 + width**2)
    return np.where(rest < 0.2, np.exp(-np.minimum(column * sigma, 700.0)), 1.0)


def nebular_continuum(rest: Array) -> Array:
    """f_nu of ionised gas at 15000 K, one at 0.55 um: recombination edges that jump up to the blue, two photons."""
    fall = np.exp(-0.9592 / rest) / np.exp(-0.9592 / 0.55)  # h nu / k T = 0.9592 um / wave
    edges = 0.35 + 1.6 * fall * (rest < 0.36470) + 0.65 * fall * (rest < 0.82058) + 0.3 * (rest < 1.4588)
    two_photon = 1.3 * np.clip(1.0 - seds.LYMAN_ALPHA / rest, 0.0, 1.0) * (0.16 / rest) ** 1.2
    total = edges + np.where(rest > seds.LYMAN_ALPHA, two_photon, 0.0)
    return total * (rest > seds.LYMAN_LIMIT)


def _redshift(rng: np.random.Generator, population: Population, low: float = 0.0, high: float = 99.0) -> float:
    low, high = max(low, population.z_low), min(high, population.z_high)
    if population.uniform_log:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(np.expm1(rng.uniform(np.log1p(low), np.log1p(high))))


def _width(rng: np.random.Generator, population: Population) -> float:
    return float(np.exp(rng.uniform(np.log(population.width_low), np.log(population.width_high))))


def _column(rng: np.random.Generator, z: float) -> float:
    """Neutral column at the source [cm^-2]: below z = 6 mostly little, above anything from an ionised bubble up."""
    return float(10 ** (rng.normal(21.3, 0.7) if z > 6 else rng.normal(19.5, 0.8)))


def age_of_universe(z: float) -> float:
    """Age [Gyr] at z, flat, matter density 0.31, Hubble time 14.45 Gyr."""
    return float(11.6 * np.arcsinh(1.49 * (1.0 + z) ** -1.5))


def _history(rng: np.random.Generator, z: float, *, youngest: float = 0.0, burst: float = 0.0) -> Array:
    """Random star formation rates in the library's intervals of age: none since `youngest` [Gyr] nor before the Big
    Bang; `burst` [dex] raises the youngest interval that is left."""
    edges = mock_stars.intervals()
    first = min(youngest, 0.6 * age_of_universe(z))
    inside = np.clip(np.minimum(edges[1:], age_of_universe(z)) - np.maximum(edges[:-1], first), 0.0, None)
    walk = np.cumsum(rng.normal(0.0, 0.35, inside.size))
    rates = 10 ** (walk - walk[0]) * inside / np.diff(edges)
    rates[int(np.argmax(inside > 0))] *= 10**burst
    return rates


def _galaxy_shape(rates: Array, metallicity: float, a_v: float, nebular: float, column: float) -> _Shape:
    def shape(rest: Array) -> Array:
        gas = nebular * nebular_continuum(rest)
        return (mock_stars.stars(rest, rates, metallicity) + gas) * seds.dust(rest, a_v) * damping_wing(rest, column)

    return shape


def _line_emitter(
    rng: np.random.Generator, population: Population, kind: str, *, z: float, metallicity: float, width_hbeta: float
) -> Source:
    """Star-forming galaxy; `width_hbeta` is the rest equivalent width of H-beta [Angstrom]."""
    a_v = float(rng.exponential(population.dust_scale)) * (0.3 if kind in ("extreme", "lyman_alpha") else 1.0)
    nebular = min(width_hbeta / 800.0, 0.8)
    rates = _history(rng, z, burst=float(rng.uniform(0.0, 0.7) if kind == "star_forming" else rng.uniform(0.8, 2.0)))
    shape = _galaxy_shape(rates, float(np.clip(metallicity - 1.0, 0.0, 2.0)), a_v, nebular, _column(rng, z))
    lines = mock_lines.star_forming(rng, metallicity, _width(rng, population), population.line_scatter)
    lines = lines.reddened(a_v * float(rng.uniform(0.7, 2.0)))
    escape = float(rng.uniform(0.05, 0.6)) if kind == "lyman_alpha" else float(rng.uniform(0.0, 0.05))
    if z > 2:
        shift = float(rng.uniform(50.0, 450.0))
        lines = mock_lines.joined(lines, mock_lines.lyman_alpha(25.0 * escape, float(rng.uniform(80, 250)), shift))
    return _observed(kind, z, shape, lines, width_hbeta * 1e-4)


def _star_forming(rng: np.random.Generator, population: Population) -> Source:
    return _line_emitter(
        rng,
        population,
        "star_forming",
        z=_redshift(rng, population),
        metallicity=float(rng.uniform(0.5, 3.0)),
        width_hbeta=float(10 ** rng.normal(1.35, 0.4)),
    )


def _extreme(rng: np.random.Generator, population: Population) -> Source:
    return _line_emitter(
        rng,
        population,
        "extreme",
        z=_redshift(rng, population),
        metallicity=float(rng.uniform(0.0, 1.8)),
        width_hbeta=float(10 ** rng.normal(2.2, 0.3)),
    )


def _lyman_alpha(rng: np.random.Generator, population: Population) -> Source:
    return _line_emitter(
        rng,
        population,
        "lyman_alpha",
        z=_redshift(rng, population, 4.0),
        metallicity=float(rng.uniform(0.0, 1.5)),
        width_hbeta=float(10 ** rng.normal(1.8, 0.3)),
    )


def _lyman_break(rng: np.random.Generator, population: Population) -> Source:
    return _line_emitter(
        rng,
        population,
        "lyman_break",
        z=float(rng.uniform(8.5, 14.5)),
        metallicity=float(rng.uniform(0.0, 2.0)),
        width_hbeta=float(10 ** rng.normal(1.3, 0.5)),
    )


def _quiescent(rng: np.random.Generator, population: Population) -> Source:
    z = _redshift(rng, population, 0.2, 5.0)
    rates = _history(rng, z, youngest=float(np.exp(rng.uniform(np.log(0.3), np.log(2.0)))))
    shape = _galaxy_shape(rates, float(rng.uniform(0.7, 2.0)), float(rng.exponential(0.2)), 0.0, 1e20)
    weak = mock_lines.star_forming(rng, 3.0, float(rng.uniform(120, 350)), 0.3)
    return _observed("quiescent", z, shape, weak, 1e-4 * float(10 ** rng.normal(-1.0, 0.6)))


def _post_starburst(rng: np.random.Generator, population: Population) -> Source:
    z = _redshift(rng, population, 0.3, 8.0)
    ended = float(np.exp(rng.uniform(np.log(0.03), np.log(0.4))))
    rates = _history(rng, z, youngest=ended, burst=float(rng.uniform(0.5, 2.0)))
    shape = _galaxy_shape(rates, float(rng.uniform(0.0, 2.0)), float(rng.exponential(0.4)), 0.0, 1e20)
    lines = mock_lines.star_forming(rng, float(rng.uniform(1.0, 3.0)), _width(rng, population), 0.2)
    return _observed("post_starburst", z, shape, lines, 1e-4 * float(10 ** rng.normal(0.0, 0.6)))


def _active(rng: np.random.Generator, kind: str, z: float, shape: _Shape, a_v: float) -> Source:
    """Broad and narrow lines on a continuum."""
    fwhm = float(np.exp(rng.uniform(np.log(1000.0), np.log(6000.0 if kind != "little_red_dot" else 3500.0))))
    broad = mock_lines.broad(rng, fwhm / 2.3548).reddened(a_v)
    if kind == "little_red_dot":
        broad = Lines(broad.wave, broad.flux * np.where(broad.wave < 0.3, 0.1, 1.0), broad.width)
    narrow_width = float(rng.uniform(60.0, 350.0))
    if kind == "little_red_dot" or rng.random() < 0.3:
        narrow = mock_lines.star_forming(rng, float(rng.uniform(0.3, 2.0)), narrow_width)
    else:
        narrow = mock_lines.narrow_active(rng, narrow_width)
    share = float(10 ** rng.uniform(-1.7, 0.0))
    hbeta = float(10 ** rng.normal(-2.25, 0.25)) if kind != "little_red_dot" else float(10 ** rng.normal(-2.2, 0.3))
    return _observed(kind, z, shape, mock_lines.joined(broad, narrow.reddened(0.5 * a_v).scaled(share)), hbeta)


def _broad_line(rng: np.random.Generator, population: Population) -> Source:
    z, a_v = _redshift(rng, population, 0.3, 9.0), float(rng.exponential(0.8))
    host = float(rng.uniform(0.0, 2.0))
    rates, slope = _history(rng, z, burst=0.3), float(rng.uniform(-0.3, 1.2))

    def shape(rest: Array) -> Array:
        nucleus = (rest / 0.55) ** slope * (rest > seds.LYMAN_LIMIT) * seds.dust(rest, a_v)
        return nucleus + host * mock_stars.stars(rest, rates, 1.0) * seds.dust(rest, 0.5 * a_v)

    return _active(rng, "broad_line", z, shape, a_v)


def _little_red_dot(rng: np.random.Generator, population: Population) -> Source:
    z = _redshift(rng, population, 1.5, 8.5)
    temperature, depth = float(rng.uniform(3500.0, 6500.0)), float(rng.uniform(0.5, 0.97))
    blue, beta = float(10 ** rng.uniform(-2.0, -0.5)), float(rng.uniform(-0.4, 0.4))

    def shape(rest: Array) -> Array:
        x, x0 = 1.438777e4 / (temperature * rest), 1.438777e4 / (temperature * 0.55)
        red = (0.55 / rest) ** 3 * np.expm1(x0) / np.expm1(np.minimum(x, 600.0))
        red = red * (1.0 - depth * 0.5 * (1.0 - np.tanh((rest - 0.3690) / 0.004)))
        return (red + blue * (rest / 0.55) ** beta) * (rest > seds.LYMAN_ALPHA)

    return _active(rng, "little_red_dot", z, shape, float(rng.uniform(0.0, 3.0)))


def _quasar(rng: np.random.Generator, population: Population) -> Source:
    z, a_v = _redshift(rng, population, 0.5, 10.0), float(rng.exponential(0.15))
    slope = float(rng.normal(-0.4, 0.25))
    iron, balmer = float(rng.uniform(0.05, 0.35)), float(rng.uniform(0.05, 0.3))
    torus, column = float(rng.uniform(0.2, 1.0)), _column(rng, z) if rng.random() < 0.3 else 1e19

    def shape(rest: Array) -> Array:
        disc = (rest / 0.55) ** -slope * (rest > seds.LYMAN_LIMIT)
        x = 1.438777e4 / (1250.0 * rest)
        dust = torus * 8.0 * (2.2 / rest) ** 3 / np.expm1(np.minimum(x, 600.0)) * np.expm1(1.438777e4 / 2750.0)
        bumps = np.exp(-0.5 * ((rest - 0.25) / 0.018) ** 2) + 0.8 * np.exp(-0.5 * ((rest - 0.457) / 0.008) ** 2)
        bumps = bumps + 0.7 * np.exp(-0.5 * ((rest - 0.5250) / 0.009) ** 2)
        jump = balmer * np.where(rest < 0.3646, (rest / 0.3646) ** 3, np.exp(-(((rest - 0.3646) / 0.01) ** 2)))
        return (disc * (1 + iron * bumps + jump) + 0.02 * dust) * seds.dust(rest, a_v) * damping_wing(rest, column)

    return _active(rng, "quasar", z, shape, a_v)


def _no_lines(kind: str, z: float, wave: Array, continuum: Array) -> Source:
    none = np.zeros(0)
    return Source(kind, z, wave, continuum, none, none, none)


def _dwarf(rng: np.random.Generator, _: Population) -> Source:
    """M, L and T dwarfs: model atmospheres, a little reddened or made bluer; beyond their range as at its end."""
    wave, (model_wave, models) = seds.observed_grid(), mock_stars.dwarfs()
    flux = np.interp(wave, model_wave, models[int(rng.integers(len(models)))])
    return _no_lines("dwarf", 0.0, wave, flux * (wave / 2.0) ** float(rng.normal(0.0, 0.1)))


def _featureless(rng: np.random.Generator, _: Population) -> Source:
    wave = seds.observed_grid()
    if rng.random() < 0.5:
        return _no_lines("featureless", np.nan, wave, (wave / 2.5) ** float(rng.normal(0.3, 1.0)))
    x = 1.438777e4 / (float(np.exp(rng.uniform(np.log(800.0), np.log(20000.0)))) * wave)
    return _no_lines("featureless", np.nan, wave, wave**-3.0 / np.expm1(np.minimum(x, 600.0)))


def _blank(_: np.random.Generator, __: Population) -> Source:
    wave = seds.observed_grid()
    return _no_lines("blank", np.nan, wave, np.zeros(wave.size))


KINDS: dict[str, Callable[[np.random.Generator, Population], Source]] = {
    "star_forming": _star_forming,
    "extreme": _extreme,
    "quiescent": _quiescent,
    "post_starburst": _post_starburst,
    "broad_line": _broad_line,
    "little_red_dot": _little_red_dot,
    "quasar": _quasar,
    "lyman_alpha": _lyman_alpha,
    "lyman_break": _lyman_break,
    "dwarf": _dwarf,
    "featureless": _featureless,
    "blank": _blank,
}
"""How each kind is drawn."""


def draw_source(rng: np.random.Generator, population: Population) -> Source:
    """One source of a population."""
    kinds = list(population.shares)
    weights = np.array([population.shares[kind] for kind in kinds])
    return KINDS[kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]](rng, population)
