"""Fits that a person asks for while looking at a spectrum."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nirfire.core.zlocal import Ready, fit_at, fit_near, ready
from nirfire.core.zscan import SCANS, RedshiftResult, ScanOptions, fit_redshift
from nirfire.core.zverdict import Warn
from nirfire.errors import DataError
from nirfire.inspect.curves import curve
from nirfire.inspect.points import points_of
from nirfire.inspect.quickfits import QuickFits
from nirfire.inspect.stamp import Stamp
from nirfire.products.template_store import load_templates
from nirfire.products.zfit import warnings_said
from nirfire.tasks.redshift import options_of
from nirfire.tasks.settings import RedshiftSettings

KEPT = 3  # spectra that are kept ready
AT_END = "the lowest point is at the end of the window"
GLOBAL = Warn.SMALL_DCHI2 | Warn.EDGE  # what a window cannot tell


@dataclass(frozen=True)
class Asked:
    """Which fit of which spectrum.

    Attributes
    ----------
    spec : Path
        The ``_spec.fits``.
    version : Stamp
        Of the file: another one is another spectrum.
    settings : RedshiftSettings
        Of the observation.
    z : float
    window : float or None
        Half the range in units of 1 + z, 0: at `z` alone, None: all redshifts.
    """

    spec: Path
    version: Stamp
    settings: RedshiftSettings
    z: float
    window: float | None


Answer = tuple[dict[str, Any], dict[str, np.ndarray]]
"""Meta and arrays for `payload.pack`."""


def work(asked: Asked) -> Answer:
    """Do what is asked.

    Raises
    ------
    DataError
        The spectrum cannot be read or fitted, or the redshift is outside the range of its grating.
    """
    try:
        if asked.window == 0:
            return _at(asked)
        return _near(asked, asked.window) if asked.window is not None else _everywhere(asked)
    except ValueError as error:
        raise DataError(str(error), file=asked.spec, remedy="choose another redshift or spectrum") from error


def _at(asked: Asked) -> Answer:
    found = fit_at(_ready(asked), asked.z)
    return {"z": found.z, "chi2": found.chi2}, {"model": found.model.astype(np.float32)}


def _near(asked: Asked, window: float) -> Answer:
    given = _ready(asked)
    found = fit_near(given, asked.z, window)
    meta, arrays = _told(found)
    warned = warnings_said(found.warning & ~GLOBAL)
    if _reaches(given, found.z_best, given.limits):
        warned += warnings_said(Warn.EDGE)
    elif _reaches(given, found.z_best, (float(found.z[0]), float(found.z[-1]))):
        warned.append(AT_END)
    return meta | {"zprob": None, "zwarn": warned, "range": found.z[[0, -1]].tolist(), "full": False}, arrays


def _reaches(given: Ready, z: float, ends: tuple[float, float]) -> bool:
    """True where a redshift is within a step of the coarse scan of one of two others."""
    return min(abs(np.log1p(z) - np.log1p(end)) for end in ends) <= 1.01 * given.shared.grid.step


def _everywhere(asked: Asked) -> Answer:
    given, settings = _fittable(asked.spec, asked.version), asked.settings
    found = fit_redshift(**given, templates=load_templates(settings.templates), options=options_of(settings))
    meta, arrays = _told(found)
    meta |= {"zprob": found.probability, "zwarn": warnings_said(found.warning), "full": True}
    return meta | {"range": found.z[[0, -1]].tolist()}, arrays


def _told(found: RedshiftResult) -> Answer:
    peaks = [{"z": z, "z_err": err, "dchi2": chi2 - found.chi2_min} for z, err, chi2 in found.peaks.tolist()]
    meta = {"z": found.z_best, "z_err": found.z_err, "chi2": found.chi2_min, "dof": found.dof, "peaks": peaks}
    return meta, curve(found.z, found.chi2, found.dof) | {"model": found.model.astype(np.float32)}


def _ready(asked: Asked) -> Ready:
    return _made_ready(asked.spec, asked.version, asked.settings.model_dump_json())


@functools.lru_cache(maxsize=KEPT)
def _made_ready(spec: Path, version: Stamp, settings: str) -> Ready:
    chosen = RedshiftSettings.model_validate_json(settings)
    templates = load_templates(chosen.templates)
    return ready(**_fittable(spec, version), templates=templates, options=options_of(chosen))


@functools.lru_cache(maxsize=KEPT)
def _fittable(spec: Path, version: Stamp) -> dict[str, Any]:
    """What fits are given of a spectrum, as `tasks.redshift` does."""
    found = QuickFits(spec)
    points, grating = points_of(found), found.primary.get("GRATING")
    if grating not in SCANS:
        raise DataError(f"unknown grating {grating!r}", file=spec, key="GRATING", remedy=f"one of {', '.join(SCANS)}")
    return {
        "wave": points.wave,
        "flux": np.where(points.known, points.flux, 0.0),
        "ivar": points.ivar,
        "grating": grating,
        "correlation": found.image("COVAR") if "COVAR" in found else None,
    }


def warm() -> None:
    """Compile and load all that a fit needs, on a spectrum that is made up."""
    wave = np.linspace(0.6, 5.3, 400)
    flux = 1.0 + 0.1 * np.sin(30.0 * wave)
    ivar = np.full(wave.size, 100.0)
    templates = load_templates("default")
    made = ready(wave, flux, ivar, grating="PRISM", templates=templates)
    fit_at(made, 1.234)
    fit_near(made, 1.234, 0.05)
    narrow = ScanOptions(z_min=1.0, z_max=1.2)
    fit_redshift(wave, flux, ivar, grating="PRISM", templates=templates, options=narrow)
