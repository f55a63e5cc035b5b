"""extract: the rectified 2D spectrum to a 1D spectrum, optimal and boxcar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from nirfire import __version__
from nirfire.core.extract import box_weights, boxcar, median_profile, optimal
from nirfire.errors import DataError
from nirfire.products.provenance import reference_cards
from nirfire.products.slitcal import UNIT, SlitCal, shows_source
from nirfire.products.spectrum import Spectrum
from nirfire.stsci.slits import Rectified, read_rectified
from nirfire.tasks.settings import ExtractSettings

MJY_TO_UJY = 1e12
BOX_WIDTHS = (3, 4, 5)
COPIED = (
    *("TELESCOP", "INSTRUME", "PROGRAM", "OBSERVTN", "GRATING", "FILTER", "DATE-OBS", "CAL_VER"),
    *("SPECSYS", "VELOSYS"),
)


def extract(s2d: Path, inputs: list[Path], spec: Path, source: int, settings: ExtractSettings) -> None:
    """Extract the spectrum of one source.

    Parameters
    ----------
    s2d : Path
        The ``_s2d.fits``.
    inputs : list of Path
        The exposures that went into it, for the EXPOSURES table.
    spec : Path
        The ``_spec.fits`` to write.
    source : int
        Source number.
    settings : ExtractSettings
        Configuration.

    Raises
    ------
    DataError
        The stack is not in MJy, or the extraction has no valid pixel.
    """
    stack = read_rectified(s2d)
    if stack.unit != UNIT:
        raise DataError(f"unit is {stack.unit!r}, expected {UNIT!r}", file=s2d, key="BUNIT", remedy="redo stack")
    flux, err = stack.sci * MJY_TO_UJY, stack.err * MJY_TO_UJY
    valid = np.isfinite(flux) & np.isfinite(err) & (err > 0) & (stack.weight > 0)
    clean = np.where(valid, flux, 0.0)
    ivar = np.where(valid, 1.0 / np.where(valid, err, 1.0) ** 2, 0.0)
    if not valid.any():
        raise DataError("the stack has no valid pixel", file=s2d, remedy="look at its inputs")
    profile = median_profile(
        clean, ivar, row=stack.row, half_width=settings.half_width, fallback_width=settings.fallback_width
    )
    best, best_ivar = optimal(clean, ivar, profile.weight)
    apertures = {w: box_weights(len(flux), stack.row, w) for w in BOX_WIDTHS}
    boxes = {w: _on_disk(*boxcar(clean, ivar, a, profile.weight)) for w, a in apertures.items()}
    flux1d, err1d = _on_disk(best, best_ivar)
    names = {"ypos": np.arange(len(flux)) - stack.row, "opt": profile.weight}
    spectrum = Spectrum(
        wave=stack.wave,
        flux=flux1d,
        err=err1d,
        mask=best_ivar <= 0,
        boxes=boxes,
        sci=flux,
        err2d=err,
        wave2d=np.broadcast_to(stack.wave, flux.shape),
        weight=stack.weight,
        profiles=names | {f"{w}px": a for w, a in apertures.items()},
        exposures=_exposures(inputs),
        meta=_cards(stack, source, profile.measured),
    )
    spectrum.write(spec)


def _on_disk(flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error with NaN where there is no information."""
    good = ivar > 0
    return np.where(good, flux, np.nan), np.where(good, 1.0 / np.sqrt(np.where(good, ivar, 1.0)), np.nan)


def _cards(stack: Rectified, source: int, measured: bool) -> dict[str, tuple[Any, str]]:
    cards: dict[str, tuple[Any, str]] = {k: (stack.header[k], "") for k in COPIED if k in stack.header}
    cards |= reference_cards(stack.header)
    cards["SOURCEID"] = (source, "source number in the MSA metafile")
    for key, name in (("RA", "SRCRA"), ("DEC", "SRCDEC")):
        cards[key] = (stack.header.get(name), "[deg] planned position of the source")
    cards["SRCNAME"] = (stack.header.get("SRCNAME"), "")
    cards["EXPTIME"] = (stack.header.get("EFFEXPTM"), "[s] effective exposure time")
    cards["SRCROW"] = (round(stack.row, 4), "row of the source in the 2D stack, from 0")
    cards["NFMETHOD"] = ("horne", "extraction in columns flux and err")
    cards["NFPROFIL"] = ("measured" if measured else "boxcar", "profile used; boxcar when the data gave none")
    cards["NFVERS"] = (__version__, "version of nirfire")
    return {k: v for k, v in cards.items() if v[0] is not None}


def _exposures(inputs: list[Path]) -> Table:
    """One row per exposure, with what the headers say of the source in it."""
    keys = {
        "nod_type": ("NOD_TYPE", "S20", ""),
        "nod_number": ("PATT_NUM", "i4", 0),
        "exptime": ("EFFEXPTM", "f8", np.nan),
        "stuck_shutter_list": ("STKSHTRS", "S20", "N/A"),
        "shutter_state": ("SHUTSTA", "S20", ""),
        "sky": ("NFSKY", "S20", ""),
        "nod_overlap": ("NODOVLP", "f8", np.nan),
        "source_ra": ("SRCRA", "f8", np.nan),
        "source_dec": ("SRCDEC", "f8", np.nan),
        "source_xpos": ("SRCXPOS", "f8", np.nan),
        "source_ypos": ("SRCYPOS", "f8", np.nan),
        "pa_v3": ("PA_V3", "f8", np.nan),
    }
    rows = []
    for path in inputs:
        slit = SlitCal.read(path)
        if not shows_source(slit.header):
            continue
        both = (slit.header, slit.slit_header)
        found = [next((h[key] for h in both if key in h), default) for key, _, default in keys.values()]
        rows.append((path.name, *found))
    return Table(rows=rows, names=("filename", *keys), dtype=("S80", *(kind for _, kind, _ in keys.values())))
