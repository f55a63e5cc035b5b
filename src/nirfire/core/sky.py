"""Which pixels of a count-rate image see sky, and why the others do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from nirfire.core.background import Sky

FIXED_SLIT_ROWS = (924, 1124)
BORDER = 4
"""Width of the frame of reference pixels."""
DO_NOT_USE, SATURATED, JUMP_DET = 1, 2, 4
LARGE_EVENT = 40
"""Pixels hit at once beyond which an event has a halo below the detection limit of the jump step."""


def event_halos(dq: NDArray) -> NDArray:
    """Surroundings of large particle events (snowballs, showers).

    Parameters
    ----------
    dq : ndarray of int, shape (n_y, n_x)
        JWST data quality bits of the count rates.

    Returns
    -------
    ndarray of bool, shape (n_y, n_x)
        Connected groups of at least `LARGE_EVENT` pixels with a jump or saturation, and a disc around each, half as
        wide again as one of the group's area. Ordinary cosmic rays are not grown: their neighbours are good sky, and in
        a long exposure there are too many of them.
    """
    hit = (dq & (SATURATED | JUMP_DET)) > 0
    labels, _ = label(hit, structure=np.ones((3, 3)))
    area = np.bincount(labels.ravel())
    halo = np.zeros(dq.shape, dtype=bool)
    for k, box in enumerate(find_objects(labels), start=1):
        if box is None or area[k] < LARGE_EVENT:
            continue
        halo[box] |= labels[box] == k
        y, x = np.nonzero(labels[box] == k)
        centre = (box[0].start + y.mean(), box[1].start + x.mean())
        _add_disc(halo, centre, 1.5 * np.sqrt(area[k] / np.pi) + 1.0)
    return halo


def _add_disc(mask: NDArray, centre: tuple[float, float], radius: float) -> None:
    rows, columns = (
        slice(max(int(c - radius), 0), min(int(c + radius) + 2, n)) for c, n in zip(centre, mask.shape, strict=True)
    )
    y, x = np.ogrid[rows, columns]
    mask[rows, columns] |= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def sky_bits(
    sci: NDArray, dq: NDArray, *, traces: NDArray, failed_open: NDArray, orders: NDArray, manual: NDArray
) -> NDArray[np.uint8]:
    """Bits of `Sky` for each pixel.

    Parameters
    ----------
    sci : ndarray, shape (n_y, n_x)
        Count rates, NaN where there is none.
    dq : ndarray of int, shape (n_y, n_x)
        JWST data quality bits; of these only DO_NOT_USE bars a pixel: most flagged pixels are good sky.
    traces, failed_open, orders, manual : ndarray of bool, shape (n_y, n_x)
        Where light falls (planned slitlets; failed-open shutters; other orders), and what was masked by hand.

    Returns
    -------
    ndarray of uint8, shape (n_y, n_x)
        `Sky.FITTED` where nothing speaks against it.
    """
    bits = np.zeros(sci.shape, dtype=np.uint8)
    fixed, border = np.zeros(sci.shape, dtype=bool), np.ones(sci.shape, dtype=bool)
    fixed[FIXED_SLIT_ROWS[0] : FIXED_SLIT_ROWS[1]] = True
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    bad = border | (dq & DO_NOT_USE > 0) | ~np.isfinite(sci)
    reasons = (
        (Sky.TRACE, traces),
        (Sky.FAILED_OPEN, failed_open),
        (Sky.FIXED_SLIT, fixed),
        (Sky.BAD, bad),
        (Sky.ORDER, orders),
        (Sky.HALO, event_halos(dq)),
        (Sky.MANUAL, manual),
    )
    for bit, where in reasons:
        bits[where] |= np.uint8(bit)
    bits[bits == 0] = Sky.FITTED
    return bits
