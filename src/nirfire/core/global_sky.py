"""The sky of an exposure from its blank shutters: spectrum, bars, and scale over the field.

The brightness of a pixel is f(slitlet) S(wave) [L(y) + T(phase)] (1 + E(wave) shift) + light of sources next door,

- S: the sky spectrum, linear between nodes about as far apart as pixels;
- L: open length of the pixel along the slitlet, by geometry; T: what the bars do beyond that, measured in the
  exposure's own shutters, by the place in the shutter and by which neighbours are open, linear in wavelength;
- f: one, plus a polynomial over the field, plus an own factor of the slitlet, linear in wavelength, whose scatter among
  the slitlets is its prior;
- E: slope of the flux calibration. The sky fills a shutter whatever its source does, but a slit with a point source off
  centre is calibrated at the wavelengths of the source;
- wings: each source's light times a function of distance and wavelength that all share, times an own factor.

All are solved for together, by Gauss-Newton steps on sparse normal equations. Pixels, and whole shutters, that do not
fit are left out: stuck shutters, sources nobody knows of, cosmic rays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import splu

from nirfire.core.sky_design import (
    Blocks,
    Grids,
    Pixels,
    columns,
    flatten,
    make_grids,
    open_share,
    own_place,
    place_terms,
    prediction,
    profile,
    source_light,
)
from nirfire.core.sky_priors import Priors
from nirfire.core.sky_slit import SkySlit

Array = NDArray[np.float64]

STEPS = 6
OUTLIER = 4.5
"""[sigma] Pixels further off are left out."""
ROUGH = 0.12
"""Relative error of the model in the first steps, before the field is known."""
STUCK, FOREIGN = 0.7, 5.0
"""Shutters darker than this share of the sky, or brighter by so many sigma, are left out."""
DISAGREEMENT = 0.03
"""Shutters of one slitlet may differ by this share whatever their errors say."""
WING_ERROR = 0.3
"""Relative error of the wings of a source."""
HALF_OPEN = 0.5
LEAST_PIXELS = 200


@dataclass(frozen=True)
class GlobalSky:
    """The sky of one exposure.

    Attributes
    ----------
    grids : Grids
        Where the functions have their nodes.
    values : ndarray, shape (n,)
        All parameters, laid out as `blocks` says.
    variance : ndarray, shape (n_nodes,)
        Of the spectrum at its nodes.
    bars_variance : ndarray, shape (n_bars,)
        Of the measured bars.
    factors : ndarray, shape (n_slits, 2)
        Scale of each slitlet, and its slope over the (scaled, logarithmic) wavelength.
    covariance : ndarray, shape (n_slits, 2, 2)
        Of them.
    elsewhere : ndarray, shape (1 + n_terms, 1 + n_terms)
        Of the scale of a slitlet that is not among them: own factor, and terms of the field.
    scatter : tuple of 2 floats
        Standard deviation of own factors and slopes among slitlets.
    blank : ndarray of int, shape (n_slits,)
        Pixels used.
    chi2 : float
        Per pixel, after clipping.
    """

    grids: Grids
    values: Array
    variance: Array
    bars_variance: Array
    factors: Array
    covariance: Array
    elsewhere: Array
    scatter: tuple[float, float]
    blank: NDArray[np.int_]
    chi2: float

    @property
    def blocks(self) -> Blocks:
        """Layout of `values`, without what belongs to single slitlets."""
        return Blocks.of(self.grids, 0)

    @property
    def spectrum(self) -> Array:
        """Flux of a fully open pixel at the nodes of the grid, shape (n_nodes,)."""
        return self.values[self.blocks.spectrum]

    def factor(self, index: int | None, place: Array) -> tuple[Array, Array]:
        """Scale and slope of a slitlet, shape (2,), and covariance (2, 2); by its field place where `index` is None."""
        if index is not None:
            return self.factors[index], self.covariance[index]
        terms = place_terms(own_place(place, self.grids), self.grids.n_terms)
        full = np.concatenate([[1.0], terms])
        variance = float(full @ self.elsewhere @ full)
        scale = 1.0 + float(terms @ self.values[self.blocks.field])
        return np.array([scale, 0.0]), np.diag([variance, self.scatter[1] ** 2])


def sky_in(model: GlobalSky, slit: SkySlit, index: int | None = None) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The sky in the pixels of a slitlet.

    Parameters
    ----------
    model : GlobalSky
    slit : SkySlit
        Its flux and errors are not used.
    index : int, optional
        Which one of those in the model it is.

    Returns
    -------
    value, variance : ndarray, shape (n_spat, n_wave)
        In the unit of the slits that the model was made from.
    known : ndarray of bool, shape (n_spat, n_wave)
        False outside the wavelengths of the model.
    """
    factor, covariance = model.factor(index, slit.place)
    p = flatten([slit], model.grids, everything=True)
    at = prediction(p, model.values, model.grids)
    scale = factor[0] + factor[1] * p.u
    bars, bars_variance = profile(p, model.values, model.grids, model.bars_variance)
    noise = np.interp(p.wave, model.grids.nodes, model.variance)
    total = (scale * bars) ** 2 * noise + (scale * at.spectrum) ** 2 * bars_variance
    total += (at.spectrum * bars) ** 2 * (covariance[0, 0] + 2 * p.u * covariance[0, 1] + p.u**2 * covariance[1, 1])
    known = (p.wave >= model.grids.nodes[0]) & (p.wave <= model.grids.nodes[-1])
    shape = slit.wave.shape
    return (scale * at.even).reshape(shape), total.reshape(shape), (known & (p.wave > 0)).reshape(shape)


def fit_sky(slits: Sequence[SkySlit]) -> GlobalSky | None:
    """Measure the sky in the blank shutters of an exposure.

    Parameters
    ----------
    slits : sequence of SkySlit
        One for each slitlet and detector.

    Returns
    -------
    GlobalSky or None
        None where fewer than `LEAST_PIXELS` pixels look at blank sky.
    """
    lit = sum(int(np.sum(s.blank & (open_share(s.edges, s.shutters) > HALF_OPEN))) for s in slits)
    if lit < LEAST_PIXELS:
        return None
    grids = make_grids(slits, lit)
    p = flatten(slits, grids)
    blocks = Blocks.of(grids, len(slits))
    priors = Priors.of(blocks)
    unit = float(np.median(p.flux[p.blank & (p.open > 0.8)]))
    p = replace(p, flux=p.flux / abs(unit), ivar=p.ivar * unit**2)
    values = np.zeros(blocks.size)
    values[blocks.spectrum] = _first_spectrum(p, grids)
    use = _without_odd_shutters(p, values, grids, first=True)
    for step in range(STEPS):
        light = source_light(p, values, grids, blocks)
        at = prediction(p, values, grids, blocks, light)
        variance = 1.0 / np.where(p.ivar > 0, p.ivar, 1.0) + (WING_ERROR * at.wings) ** 2
        rough = variance + (ROUGH * at.sky) ** 2 * (step < 2)
        left = p.flux - at.sky - at.wings
        if step >= 2:
            use = _without_odd_shutters(p, values, grids, blocks=blocks, light=light)
        keep = np.flatnonzero(use & (left**2 < OUTLIER**2 * rough))
        design = columns(p, keep, values, grids, blocks, light)
        weight = 1.0 / variance[keep]
        normal = (design.T @ diags(weight) @ design + priors.weight).tocsc()
        side = design.T @ (weight * left[keep]) - priors.weight @ (values - priors.mean)
        solved = splu(normal)
        values = values + solved.solve(side)
        inverse = _inverse(solved, blocks)
        priors = priors.updated(values, inverse, blocks)
    chi2 = float(np.mean(left[keep] ** 2 * weight))
    count = np.bincount(p.slit[keep], minlength=len(slits))
    return _result(values, inverse, normal, grids, blocks, priors, (unit, chi2, count), slits)


def _first_spectrum(p: Pixels, grids: Grids) -> Array:
    """Median of fully open blank pixels between nodes; gaps are bridged."""
    clear = p.blank & (p.open > 0.8)
    wave, value = p.wave[clear], p.flux[clear] / p.open[clear]
    edges = np.concatenate([[-np.inf], 0.5 * (grids.nodes[1:] + grids.nodes[:-1]), [np.inf]])
    order = np.argsort(wave)
    groups = np.split(value[order], np.searchsorted(wave[order], edges[1:-1]))
    found = np.array([np.median(g) if len(g) else np.nan for g in groups])
    have = np.isfinite(found)
    return np.interp(grids.nodes, grids.nodes[have], found[have])


def _without_odd_shutters(
    p: Pixels,
    values: Array,
    grids: Grids,
    *,
    first: bool = False,
    blocks: Blocks | None = None,
    light: Array | None = None,
) -> NDArray[np.bool_]:
    """Blank pixels, but those of shutters that are closed or hold a source that nobody knows of.

    Notes
    -----
    The level of a shutter is the light in it over what is expected. At first the field is not known, so that only
    what stands far out of all the shutters counts, and shutters beside a source may be bright.
    """
    at = prediction(p, values, grids, blocks, light)
    expected = at.sky
    weight = np.where(p.blank & (p.open > HALF_OPEN), p.ivar, 0.0)
    if not first:
        weight = weight * ((p.flux - at.sky - at.wings) ** 2 * p.ivar < (2 * OUTLIER) ** 2)
    norm = np.bincount(p.shutter, weight * expected**2, minlength=p.n_shutters)
    some = norm > 0
    safe = np.where(some, norm, 1.0)
    level = np.bincount(p.shutter, weight * expected * (p.flux - at.wings), minlength=p.n_shutters) / safe
    wings = np.bincount(p.shutter, weight * expected * at.wings, minlength=p.n_shutters) / safe
    error = np.sqrt(1.0 / safe + (WING_ERROR * wings) ** 2)
    if not some.any():
        return p.blank
    middle = float(np.median(level[some])) if first else 1.0
    scatter = 1.4826 * float(np.median(np.abs(level[some] - middle))) if first else DISAGREEMENT / FOREIGN
    beside = p.beside[: p.n_shutters] if first else np.zeros(p.n_shutters, dtype=bool)
    high = (level - middle > FOREIGN * np.hypot(error, scatter)) & ~beside
    low = level - middle < -np.maximum((1 - STUCK) * middle, FOREIGN * error)
    return p.blank & ~(some & (high | low))[p.shutter]


def _inverse(solved: object, blocks: Blocks) -> Array:
    """Covariance of all but the spectrum, shape (n_rest, n_rest)."""
    n, n_rest = blocks.size, blocks.size - blocks.rest
    unit = np.zeros((n, n_rest))
    unit[blocks.rest :][np.diag_indices(n_rest)] = 1.0
    return np.asarray(solved.solve(unit))[blocks.rest :]  # type: ignore[attr-defined]


def _result(
    values: Array,
    inverse: Array,
    normal: csc_matrix,
    grids: Grids,
    blocks: Blocks,
    priors: Priors,
    facts: tuple[float, float, NDArray[np.int_]],
    slits: Sequence[SkySlit],
) -> GlobalSky:
    unit, chi2, count = facts
    unit = abs(unit)
    shifted = {name: slice(s.start - blocks.rest, s.stop - blocks.rest) for name, s in blocks.parts().items()}
    own, slope, field = (shifted[name] for name in ("own", "slope", "field"))
    n_terms = grids.n_terms
    terms = np.array([place_terms(own_place(s.place, grids), n_terms) for s in slits]).reshape(len(slits), n_terms)
    factors = np.column_stack([1.0 + values[blocks.own] + terms @ values[blocks.field], values[blocks.slope]])
    covariance = np.zeros((len(slits), 2, 2))
    for k in range(len(slits)):
        pick = np.zeros((2, len(inverse)))
        pick[0, own.start + k] = pick[1, slope.start + k] = 1.0
        pick[0, field] = terms[k]
        covariance[k] = pick @ inverse @ pick.T
    elsewhere = np.zeros((1 + n_terms, 1 + n_terms))
    elsewhere[0, 0] = priors.own**2
    elsewhere[1:, 1:] = inverse[field, field]
    spectrum = blocks.spectrum
    near = normal[spectrum, spectrum]
    variance = unit**2 / np.asarray(near.sum(axis=1)).ravel()
    kept = values[: Blocks.of(grids, 0).size].copy()
    kept[spectrum] *= unit
    bars = shifted["bars"]
    return GlobalSky(
        grids=grids,
        values=kept,
        variance=variance,
        bars_variance=np.diag(inverse[bars, bars]).copy(),
        factors=factors,
        covariance=covariance,
        elsewhere=elsewhere,
        scatter=(priors.own, priors.slope),
        blank=count,
        chi2=chi2,
    )
