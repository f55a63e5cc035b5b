"""How far the sources of a visit are from their planned places, from those that are bright enough to tell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST = 3
"""Sources that it takes."""
FLOOR = 0.002
"""[arcsec] Error of any place: that of the geometry."""
TYPICAL, FEW = 0.025, 5
"""[arcsec] Scatter to expect, which counts as much as that of so many sources: few of them tell it badly."""
OUTLIER = 4.0
"""[sigma] Sources further off than this do not count."""


class VisitOffset(NamedTuple):
    """The common offset along the slitlets, and the scatter of single sources about it [arcsec]."""

    offset: float
    scatter: float
    used: NDArray[np.bool_]


def visit_offset(offset: Array, err: Array) -> VisitOffset | None:
    """Mean offset of sources.

    Parameters
    ----------
    offset, err : ndarray, shape (n_source,) [arcsec]
        Measured places, from the planned ones, and their errors; those with an infinite error do not count.

    Returns
    -------
    VisitOffset or None
        None when fewer than `LEAST` count.

    Notes
    -----
    Weighted by the inverse sum of the squares of error and scatter, where the scatter is that beyond the errors (1.4826
    times the median absolute deviation less the median error, in squares). Sources further than `OUTLIER` of both from
    the median are left out. The scatter that is returned has the error of the mean in it.
    """
    seen = np.isfinite(err) & np.isfinite(offset)
    if not seen.any():
        return None
    middle = float(np.median(offset[seen]))
    away = np.abs(np.where(seen, offset, np.inf) - middle)
    spread = max(_scatter(offset[seen], err[seen]), TYPICAL if seen.sum() < 2 * FEW else 0.0)
    total = np.hypot(np.where(seen, err, np.inf), spread)
    used = seen & (away < OUTLIER * total)
    if used.sum() < LEAST:
        return None
    n, scatter = int(used.sum()), _scatter(offset[used], err[used])
    scatter = float(np.sqrt((n * scatter**2 + FEW * TYPICAL**2) / (n + FEW) * (1.0 + 1.0 / n)))
    weight = 1.0 / (err[used] ** 2 + scatter**2)
    return VisitOffset(float(np.sum(weight * offset[used]) / weight.sum()), scatter, used)


def _scatter(offset: Array, err: Array) -> float:
    """Scatter beyond the errors, at least `FLOOR`."""
    spread = 1.4826 * float(np.median(np.abs(offset - np.median(offset))))
    return float(np.sqrt(max(spread**2 - float(np.median(err)) ** 2, FLOOR**2)))
