"""nodsub: subtract from every nod the median of the others, with pathloss inverted around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nirfire.core.nods import subtract_median_of_others
from nirfire.errors import DataError, NoWork
from nirfire.products.slitcal import DO_NOT_USE, SlitCal, to_common_box
from nirfire.tasks.settings import NodsubSettings


def nodsub(cals: list[Path], outputs: list[Path], settings: NodsubSettings) -> None:
    """Subtract the background of one source's nods on one detector.

    Parameters
    ----------
    cals : list of Path
        The ``_cal.fits`` of one background group: one source, one detector, one visit and activity.
    outputs : list of Path
        The ``_cal_bkgsub.fits`` to write, in the order of `cals`.
    settings : NodsubSettings
        Configuration.

    Raises
    ------
    NoWork
        Fewer nods than needed, or the source's own light is in none of them.
    DataError
        A file cannot be used, or a result has no usable pixel.

    Notes
    -----
    A slit that the stock pipeline corrects for a uniform source and one that it corrects for a point differ by the
    pathloss correction; inverting it puts them on one scale before they are compared.
    """
    if len(cals) < settings.least:
        raise NoWork(f"{len(cals)} nod, at least {settings.least} are needed", file=cals[0] if cals else None)
    slits = [SlitCal.read(path) for path in cals]
    if not any(slit.header.get("SRCFLUX", True) for slit in slits):
        raise NoWork("the source is in the open shutters of none of these nods", file=cals[0], key="SRCFLUX")
    planes, windows = to_common_box(slits)
    bad = planes["bad"] | ~np.isfinite(planes["correction"])
    factor = np.where(bad, 1.0, planes["correction"])
    raw = np.where(bad, 0.0, planes["sci"]) * factor
    raw_variance = np.where(bad, 1.0, planes["variance"]) * factor**2
    ivar = np.where(bad | (raw_variance <= 0), 0.0, 1.0 / np.where(raw_variance > 0, raw_variance, 1.0))
    flux, out_ivar = subtract_median_of_others(raw, ivar)
    for k, (slit, window, path) in enumerate(zip(slits, windows, outputs, strict=True)):
        good = out_ivar[k][window] > 0
        if not good.any():
            raise DataError("no usable pixel is left after nod subtraction", file=cals[k], remedy="look at its DQ")
        scale = factor[k][window]
        variance = np.where(good, 1.0 / np.where(good, out_ivar[k][window], 1.0), np.nan) / scale**2
        _write(slit, path, flux[k][window] / scale, variance, good, len(cals))


def _write(slit: SlitCal, path: Path, sci: np.ndarray, variance: np.ndarray, good: np.ndarray, n_nods: int) -> None:
    """Write one nod; the background's variance is added to the read-noise component."""
    sky = np.clip(variance - slit.variance, 0.0, None)
    out = slit.with_arrays(
        sci=np.where(good, sci, np.nan),
        err=np.sqrt(variance),
        var_rnoise=np.where(good, slit.var_rnoise + sky, np.nan),
        dq=np.where(good, slit.dq, slit.dq | DO_NOT_USE),
    )
    out.write(path, {"NFBKGNOD": (n_nods - 1, "nods in the subtracted background")})
