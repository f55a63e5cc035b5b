"""extract, method `horne`: rectified 2D spectra to a 1D spectrum, optimal and boxcar, group by group."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nirfire.core.extract import Profile, box_weights, boxcar, median_profile, optimal
from nirfire.core.grids import WaveGrid
from nirfire.core.group_mean import bands_of_mean, mean_of_groups, outlying
from nirfire.core.regrid import Regridded, pixel_ends, regrid, regrid_rows, to_correlation, to_covariance
from nirfire.errors import DataError
from nirfire.products.exposures import cutout_header, exposure_table, lit_headers, spectrum_cards
from nirfire.products.extraction import BOX_WIDTHS, MJY_TO_UJY, grid_of, on_disk
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import S2D
from nirfire.products.photometry import with_photometry
from nirfire.products.slitcal import DO_NOT_USE, UNIT
from nirfire.products.spectrum import Spectrum
from nirfire.stsci.slits import read_rectified
from nirfire.tasks.settings import ExtractSettings

Array = NDArray[np.float64]


class Stack(NamedTuple):
    """A stock ``_s2d.fits``, columns in the order of wavelength, those without one left out.

    Attributes
    ----------
    path : Path
    flux, ivar : ndarray, shape (n_spat, n_pix) [uJy, 1 / uJy2]
        ivar = 0 is no information.
    weight : ndarray, shape (n_spat, n_pix)
        Weight map.
    n_exp : ndarray of int, shape (n_pix,)
        Exposures that went into a column.
    lo, hi : ndarray, shape (n_pix,) [um]
        Ends of the columns.
    row : float
        Row of the source, from 0.
    time : float [s]
        Exposure time.
    grating, filter : str
    """

    path: Path
    flux: Array
    ivar: Array
    weight: Array
    n_exp: NDArray[np.int_]
    lo: Array
    hi: Array
    row: float
    time: float
    grating: str
    filter: str


class Part(NamedTuple):
    """What is extracted from one stack, on the grid.

    Attributes
    ----------
    profile : Profile
    best : Regridded
        Optimal extraction.
    boxes : dict of int to Regridded
        Boxcars, divided by the share of the profile in them.
    shares : dict of int to float
        That share.
    n_exp : ndarray of int, shape (n_wave,)
        Exposures.
    """

    profile: Profile
    best: Regridded
    boxes: dict[int, Regridded]
    shares: dict[int, float]
    n_exp: NDArray[np.int_]


def horne(
    inputs: list[Path],
    s2ds: list[Path],
    spec: Path,
    source: int,
    settings: ExtractSettings,
    photometry: Path | None = None,
) -> None:
    """Extract the spectrum of one source from its rectified stacks.

    Parameters
    ----------
    inputs : list of Path
        The ``_cal_bkgsub.fits`` that the stacks are made of; stacks among them are added to `s2ds`.
    s2ds : list of Path
        The ``_s2d.fits`` of all of them; after it, if there are several, that of each exposure group.
    spec : Path
        The ``_spec.fits`` to write.
    source : int
        Source number.
    settings : ExtractSettings
        Configuration.
    photometry : Path, optional
        Table of photometry (`products.photometry`); a smooth factor to it is kept beside the flux.

    Raises
    ------
    NoWork
        No exposure has the source's light.
    DataError
        A stack is not in MJy, has no valid pixel, or is of a mode without a wavelength grid.

    Notes
    -----
    Each group is extracted from its own stack with its own profile, since the source lies elsewhere in its shutter,
    then brought to the grid of the mode; groups are averaged with the weights of their exposure times.
    """
    headers = lit_headers({path: cutout_header(path) for path in inputs if not path.name.endswith(S2D)})
    exposures, cards = exposure_table(headers), spectrum_cards(headers, source, "horne")
    stacks = [_read(path) for path in (*s2ds, *(path for path in inputs if path.name.endswith(S2D)))]
    grid = _grid(stacks[0])
    parts = [_extract(stack, grid, settings) for stack in stacks[1:] or stacks]
    time = np.array([stack.time for stack in stacks[1:] or stacks])
    whole, profile = stacks[0], _profile(stacks[0], settings)
    spectrum = _combined(parts, time, settings.clip, grid)
    cards |= {
        "SRCROW": (round(whole.row, 4), "row of the source in the 2D spectrum, from 0"),
        "NFPROFIL": (_said(parts), "profile used; boxcar when the data gave none"),
        "NFGRID0": (grid.first, "index of the first bin in the grating's lattice"),
        "NFCLIP": (settings.clip, "[sigma] clip of groups; 0: off"),
    }
    made = replace(spectrum, **_picture(whole, grid, profile), exposures=exposures, meta=cards)
    with_photometry(made, source, photometry).write(spec)


def _read(path: Path) -> Stack:
    """Read a stack, in uJy."""
    found = read_rectified(path)
    if found.unit != UNIT:
        raise DataError(f"unit is {found.unit!r}, expected {UNIT!r}", file=path, key="BUNIT", remedy="redo stack")
    order = np.argsort(found.wave)
    there = order[np.isfinite(found.wave[order])]
    flux, err, weight = (a[:, there] for a in (found.sci * MJY_TO_UJY, found.err * MJY_TO_UJY, found.weight))
    valid = np.isfinite(flux) & np.isfinite(err) & (err > 0) & (weight > 0)
    if not valid.any():
        raise DataError("the stack has no valid pixel", file=path, remedy="look at its inputs")
    with open_fits(path) as hdus:
        bits = np.bitwise_count(np.asarray(hdus["CON"].data).astype(np.uint32)).sum(axis=0)[:, there]
    return Stack(
        path,
        np.where(valid, flux, 0.0),
        np.where(valid, 1.0 / np.where(valid, err, 1.0) ** 2, 0.0),
        np.where(valid, weight, 0.0),
        np.where(valid, bits, 0).max(axis=0),
        *pixel_ends(found.wave[there]),
        found.row,
        float(found.header.get("EFFEXPTM", 1.0)),
        str(found.header["GRATING"]),
        str(found.header["FILTER"]),
    )


def _grid(stack: Stack) -> WaveGrid:
    """The grid of the mode, as far as the stack goes."""
    seen = (stack.ivar > 0).any(axis=0)
    ends = float(stack.lo[seen].min()), float(stack.hi[seen].max())
    return grid_of(stack.path, stack.grating, stack.filter, ends)


def _profile(stack: Stack, settings: ExtractSettings) -> Profile:
    return median_profile(
        stack.flux,
        stack.ivar,
        row=stack.row,
        half_width=settings.half_width,
        fallback_width=settings.fallback_width,
    )


def _apertures(stack: Stack) -> dict[int, Array]:
    return {width: box_weights(len(stack.flux), stack.row, width) for width in BOX_WIDTHS}


def _extract(stack: Stack, grid: WaveGrid, settings: ExtractSettings) -> Part:
    """Extract one stack and bring it to the grid; boxcars are made to hold all of the profile's light."""
    profile = _profile(stack, settings)
    ends = (stack.lo, stack.hi, grid.edges)
    boxes, shares = {}, {}
    for width, weights in _apertures(stack).items():
        share = float(np.sum(weights * profile.weight))
        if share <= 0:
            raise DataError("the source lies outside of the stack", file=stack.path, remedy="look at its position")
        flux, ivar = boxcar(stack.flux, stack.ivar, weights, profile.weight)
        boxes[width], shares[width] = regrid(flux / share, ivar * share**2, *ends), share
    best = regrid(*optimal(stack.flux, stack.ivar, profile.weight), *ends)
    column = np.clip(np.searchsorted(stack.hi, grid.wave), 0, stack.hi.size - 1)
    return Part(profile, best, boxes, shares, np.where(best.ivar > 0, stack.n_exp[column], 0))


def _combined(parts: list[Part], time: Array, clip: float, grid: WaveGrid) -> Spectrum:
    """The mean over groups; a flux that is left out is left out of the boxcars too."""
    flux, ivar = (np.array([getattr(part.best, name) for part in parts]) for name in ("flux", "ivar"))
    keep = ~outlying(flux, ivar, clip)
    best = mean_of_groups(flux, ivar * keep, time)
    variance = np.where(ivar > 0, 1.0 / np.where(ivar > 0, ivar, 1.0), 0.0)
    each = np.array([to_covariance(v, part.best.correlation) for v, part in zip(variance, parts, strict=True)])
    boxes, apertures = {}, {}
    for width in BOX_WIDTHS:
        alone = [part.boxes[width] for part in parts]
        mean = mean_of_groups(np.array([b.flux for b in alone]), np.array([b.ivar for b in alone]) * keep, time)
        boxes[width] = on_disk(mean.flux, mean.ivar)
        shares = np.array([part.shares[width] for part in parts])
        apertures[width] = np.where(mean.ivar > 0, shares @ mean.weights, np.nan)
    flux1d, err1d = on_disk(best.flux, best.ivar)
    return Spectrum(
        wave=grid.wave,
        flux=flux1d,
        err=err1d,
        mask=best.ivar <= 0,
        boxes=boxes,
        apertures=apertures,
        n_used=np.sum([part.n_exp * k for part, k in zip(parts, keep, strict=True)], axis=0),
        correlation=to_correlation(bands_of_mean(best.weights, each)),
    )


def _picture(stack: Stack, grid: WaveGrid, profile: Profile) -> dict[str, Any]:
    """The 2D attributes of the spectrum: the stack of all exposures on the grid, and its profile."""
    ends = (stack.lo, stack.hi, grid.edges)
    found = regrid_rows(stack.flux, stack.ivar, *ends)
    flux, err = on_disk(found.flux, found.ivar)
    weights = {f"{width}px": weights for width, weights in _apertures(stack).items()}
    return {
        "sci": flux,
        "err2d": err,
        "wave2d": np.broadcast_to(grid.wave, flux.shape),
        "weight": regrid_rows(stack.weight, stack.weight, *ends).flux,
        "dq2d": np.where(found.ivar > 0, 0, DO_NOT_USE).astype(np.uint32),
        "profiles": {"ypos": np.arange(len(flux)) - stack.row, "opt": profile.weight} | weights,
    }


def _said(parts: list[Part]) -> str:
    """Whether the profiles of all groups, of none, or of some were measured."""
    measured = {part.profile.measured for part in parts}
    return "some" if len(measured) > 1 else "measured" if measured.pop() else "boxcar"
