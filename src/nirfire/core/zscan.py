"""Redshifts: non-negative template fits on a coarse, then a fine, grid of redshifts, of one or many spectra."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from . import specprep
from .lsf import C_KMS
from .templates import TemplateSet, on_grid
from .zcolumns import basis_of, sampling_of
from .zfinish import Field, Prepared, Single, finish
from .zgram import Spectra, gather
from .zresult import MIN_PIXELS, SCANS, RedshiftResult, ScanOptions
from .zrivals import Rivals, rivals_of
from .zsearch import coarse_scan
from .zshelf import Shelf

__all__ = ["MIN_PIXELS", "SCANS", "RedshiftResult", "ScanOptions", "fit_redshift", "fit_redshifts"]


def fit_redshift(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    grating: str,
    templates: TemplateSet,
    options: ScanOptions | None = None,
    correlation: np.ndarray | None = None,
) -> RedshiftResult:
    """Redshift of one 1D spectrum on its own wavelength grid; `fit_redshifts` of one.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um, vacuum]
        Pixel centres, increasing.
    flux : ndarray, shape (n_wave,) [uJy]
        f_nu.
    ivar : ndarray, shape (n_wave,) [uJy^-2]
        0 (or not finite) where there is no information.
    grating : str
        Disperser, key of `SCANS`.
    templates : TemplateSet
        See products.template_store.load_templates.
    options : ScanOptions, optional
    correlation : ndarray, shape (n_band, n_wave), optional
        Of the noise of neighbouring pixels, for the errors of lines (products.spectrum.Spectrum.correlation).

    Returns
    -------
    RedshiftResult

    Raises
    ------
    ValueError
        Shapes differ, wavelengths do not increase, unknown grating, no redshift to try, or fewer than 20 usable pixels.
    """
    flux, ivar = np.asarray(flux, dtype=float), np.asarray(ivar, dtype=float)
    if not np.shape(wave) == flux.shape == ivar.shape or flux.ndim != 1:
        raise ValueError("wave, flux and ivar must be one-dimensional and of one length")
    found = fit_redshifts(
        wave,
        flux[None],
        ivar[None],
        grating=grating,
        templates=templates,
        options=options,
        correlations=[correlation],
    )[0]
    if isinstance(found, ValueError):
        raise found
    return found


def fit_redshifts(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    grating: str,
    templates: TemplateSet,
    options: ScanOptions | None = None,
    correlations: Sequence[np.ndarray | None] | None = None,
    tick: Callable[[float], None] | None = None,
) -> list[RedshiftResult | ValueError]:
    """Redshifts of spectra on one wavelength grid.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,) [um, vacuum]
        Pixel centres, increasing; NaN where there is no pixel.
    flux, ivar : ndarray, shape (n_spec, n_wave) [uJy, uJy^-2]
        ivar is 0 (or not finite) where there is no information.
    grating, templates, options
        As for `fit_redshift`.
    correlations : sequence of n_spec arrays or None, optional
    tick : callable, optional
        Told the share of the coarse scan that is done.

    Returns
    -------
    list of n_spec RedshiftResult, or ValueError for a spectrum with fewer than 20 usable pixels

    Raises
    ------
    ValueError
        Shapes differ, wavelengths do not increase, unknown grating, or no redshift to try.

    Notes
    -----
    chi2(z) = min over x >= 0 and c of |W^1/2 (f - A(z) x - L c)|^2 + |c / prior|^2; A from an LSF-times-pixel response
    matrix, L low-order Legendre polynomials times the smoothed spectrum, eliminated in closed form. The coarse scan
    shares A among all spectra; each one's best minima are then refined.
    """
    settings = options or ScanOptions()
    batch, refused = make_ready(wave, flux, ivar, grating=grating, templates=templates, settings=settings)
    if batch is None:
        return list(refused.values())
    shared, out = batch.shared, dict[int, RedshiftResult | ValueError](refused)
    with threads().limit(limits=1, user_api="blas"):
        curves = coarse_scan(batch.scanned, shared.shelf, shared.shifts, hold=shared.scan.hold, tick=tick)
        for k, i in enumerate(batch.numbers):
            band = correlations[i] if correlations is not None else None
            out[i] = finish(shared, batch.single(k, band), curves[k], settings)
    return [out[i] for i in range(len(out))]


class Batch(NamedTuple):
    """Spectra on one wavelength grid with all that their fits need, whether over all redshifts or near one."""

    shared: Field
    prepared: list[Prepared]
    exact: Spectra
    scanned: Spectra
    rivals: list[Rivals]
    numbers: list[int]  # among those that were given
    finite: np.ndarray  # (n_wave,)
    ivar: np.ndarray  # (n_spec, n_wave), of all that were given

    def single(self, k: int, correlation: np.ndarray | None = None) -> Single:
        """One of them."""
        own = self.exact.only(k), self.scanned.only(k), self.rivals[k]
        return Single(self.prepared[k], *own, self.finite, self.ivar[self.numbers[k]], correlation)


def make_ready(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    grating: str,
    templates: TemplateSet,
    settings: ScanOptions,
) -> tuple[Batch | None, dict[int, ValueError]]:
    """Prepare spectra for their fits; parameters as of `fit_redshifts`.

    Returns
    -------
    batch : Batch or None
        Those that can be fitted; None where there is none.
    refused : dict of int to ValueError
        The others, by number, with the reason.

    Raises
    ------
    ValueError
        As `fit_redshifts`.
    """
    name = grating.upper()
    if name not in SCANS:
        raise ValueError(f"unknown grating {grating!r}: one of {', '.join(SCANS)}")
    wave, flux, ivar = (np.asarray(one, dtype=float) for one in (wave, flux, ivar))
    if wave.ndim != 1 or flux.ndim != 2 or flux.shape != ivar.shape or flux.shape[1] != wave.size:
        raise ValueError("wave must be one-dimensional, flux and ivar of shape (n_spec, n_wave)")
    finite = np.isfinite(wave)
    if finite.sum() < MIN_PIXELS or np.any(np.diff(wave[finite], prepend=0.0) <= 0):
        raise ValueError(f"a spectrum needs at least {MIN_PIXELS} pixels of increasing, positive wavelength")
    all_of_them = [prepare(wave[finite], f[finite], i[finite], name, settings) for f, i in zip(flux, ivar, strict=True)]
    good = {k: one for k, one in enumerate(all_of_them) if isinstance(one, Prepared)}
    refused = {k: one for k, one in enumerate(all_of_them) if isinstance(one, ValueError)}
    if not good:
        return None, refused
    with threads().limit(limits=1, user_api="blas"):
        shared = field_of(wave[finite], name, templates, settings)
        weight, data, poly = (
            np.array(one) for one in zip(*((g.ivar, g.flux, g.poly) for g in good.values()), strict=True)
        )
        exact = gather(weight, data, poly, settings.polynomial_prior)
        scanned = exact.binned(shared.scan.width, shared.scan.block)
        rivals = rivals_of(exact, shared.grid, shared.exact)
    return Batch(shared, list(good.values()), exact, scanned, rivals, list(good), finite, ivar), refused


@functools.lru_cache(maxsize=1)
def threads() -> ThreadpoolController:
    return ThreadpoolController()


def field_of(wave: np.ndarray, name: str, templates: TemplateSet, settings: ScanOptions) -> Field:
    """What all spectra on a grid share; the last few are kept, with the columns of their templates."""
    scan = SCANS[name]
    z_max = scan.z_max if settings.z_max is None else settings.z_max
    if np.diff(_shift_limits((settings.z_min, z_max), scan.coarse / C_KMS)) < 1:
        text = f"no redshifts to try between {settings.z_min:g} and {z_max:g}: steps are {scan.coarse:g} km/s"
        raise ValueError(text)
    return _made_field(wave.tobytes(), name, templates, (settings.z_min, z_max), settings.lsf_factor)


def _shift_limits(limits: tuple[float, float], step: float) -> tuple[int, int]:
    """First and last whole shift that lie between two redshifts."""
    return int(np.ceil(np.log1p(limits[0]) / step)), int(np.log1p(limits[1]) / step)


@functools.lru_cache(maxsize=3)
def _made_field(
    raw: bytes, name: str, templates: TemplateSet, limits: tuple[float, float], lsf_factor: float | None
) -> Field:
    wave, scan = np.frombuffer(raw), SCANS[name]
    grid = on_grid(templates, name, scan.coarse, limits[1], float(np.floor(wave[0] * 5.0) / 5.0))
    low, high = _shift_limits(limits, grid.step)
    exact = sampling_of(wave, name, grid, lsf_factor=lsf_factor)
    scanned = exact
    if scan.width * scan.block > 1:
        scanned = sampling_of(wave, name, grid, lsf_factor=lsf_factor, width=scan.width, block=scan.block)
    basis = basis_of(grid)
    return Field(name, scan, grid, basis, exact, Shelf(basis, scanned, scan.spacing), np.arange(low, high + 1))


def prepare(
    wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grating: str, settings: ScanOptions
) -> Prepared | ValueError:
    use = specprep.usable_pixels(wave, flux, ivar, edge=settings.edge_pixels)
    if use.sum() < MIN_PIXELS:
        return ValueError(f"{int(use.sum())} usable pixels: at least {MIN_PIXELS} are needed")
    index = np.flatnonzero(use)
    err = specprep.fit_errors(wave[use], flux[use], ivar[use] ** -0.5, grating, floor=settings.error_floor)
    if settings.spike_sigma > 0:
        spread = specprep.pixel_sigma(wave, grating, settings.lsf_factor)[use]
        bad = specprep.find_spikes(flux[use], err, spread, n_sigma=settings.spike_sigma)
        if index.size - bad.sum() >= MIN_PIXELS:
            index, err = index[~bad], err[~bad]
    weight = np.zeros(wave.size)
    weight[index] = err**-2.0
    smooth = specprep.smooth_level(flux[index], window=max(index.size // 10, 21))
    level = np.interp(wave, wave[index], smooth)
    place = np.clip(np.log(wave / wave[index[0]]) / np.log(wave[index[-1]] / wave[index[0]]), 0.0, 1.0)
    poly = specprep.legendre_columns(place, level, settings.polynomial).T
    return Prepared(wave, np.where(weight > 0, flux, 0.0), weight, np.ascontiguousarray(poly))
