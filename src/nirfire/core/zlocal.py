"""One spectrum, ready to be fitted at any redshift or over a short range: what a person asks while looking at it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .templates import TemplateSet
from .zcolumns import on_pixels
from .zfinish import Field, Single, finish, model_of
from .zresult import RedshiftResult, ScanOptions
from .zscan import make_ready, threads
from .zsearch import coarse_scan, solve_at

LEAST_STEPS = 5  # of the coarse scan to either side


class Ready(NamedTuple):
    """A spectrum with all that its fits share."""

    shared: Field
    one: Single
    settings: ScanOptions

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest redshift that may be asked for."""
        low, high = np.expm1(self.shared.grid.step * self.shared.shifts[[0, -1]])
        return float(low), float(high)


class Fit(NamedTuple):
    """The best templates at one redshift."""

    z: float
    chi2: float
    model: np.ndarray  # (n_wave,) uJy, NaN where the wavelength is not finite


def ready(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    grating: str,
    templates: TemplateSet,
    options: ScanOptions | None = None,
    correlation: np.ndarray | None = None,
) -> Ready:
    """Prepare a spectrum; parameters as of `zscan.fit_redshift`.

    Raises
    ------
    ValueError
        As `zscan.fit_redshift`.
    """
    settings = options or ScanOptions()
    flux, ivar = np.asarray(flux)[None], np.asarray(ivar)[None]
    batch, refused = make_ready(wave, flux, ivar, grating=grating, templates=templates, settings=settings)
    if batch is None:
        raise refused[0]
    return Ready(batch.shared, batch.single(0, correlation), settings)


def fit_at(given: Ready, z: float) -> Fit:
    """The best templates at exactly this redshift.

    Raises
    ------
    ValueError
        It is not within `Ready.limits`.
    """
    low, high = given.limits
    if not low <= z <= high:
        raise ValueError(f"z = {z:g} is not between {low:g} and {high:g}")
    shared, one = given.shared, given.one
    best = solve_at(one.exact, shared.basis, shared.exact, float(np.log1p(z)) / shared.grid.step)
    design = on_pixels(shared.basis, best.columns, one.prepared.wave.size)
    model = np.full(one.finite.size, np.nan)
    model[one.finite] = model_of(shared, one, best, design)[0]
    return Fit(z, best.chi2, model)


def fit_near(given: Ready, z: float, window: float) -> RedshiftResult:
    """The redshift of a spectrum within `window` (1 + z) of z, found as `zscan.fit_redshift` does.

    Lines are not measured, and what rests on the whole range (probability, next redshift) means nothing.

    Raises
    ------
    ValueError
        None of it is within `Ready.limits`.
    """
    shared, one = given.shared, given.one
    ends = np.log1p(np.clip([z - window * (1.0 + z), z + window * (1.0 + z)], *given.limits)) / shared.grid.step
    middle = float(np.clip(np.log1p(z) / shared.grid.step, *shared.shifts[[0, -1]]))
    near = (shared.shifts >= min(ends[0], middle - LEAST_STEPS)) & (shared.shifts <= max(ends[1], middle + LEAST_STEPS))
    shared = shared._replace(shifts=shared.shifts[near])
    with threads().limit(limits=1, user_api="blas"):
        curve = coarse_scan(one.scanned, shared.shelf, shared.shifts, hold=shared.scan.hold)[0]
        return finish(shared, one, curve, replace(given.settings, lines=False))
