"""The PRISM-first consensus of the published pipeline, kept to check the joint redshift against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .lsf import C_KMS

PRIORITY = ("PRISM", "G395H", "G395M", "G235H", "G235M", "G140H", "G140M")
ALIKE = 0.1  # |dz| up to which gratings overrule the PRISM
RISE = 30.0  # chi2 above its best up to which a minimum of a curve is a candidate
NEAREST_KMS = 1000.0  # a curve counts for a candidate where it has a point as near as this
FLAT = 0.05  # (max - min) of chi2 per pixel below which a curve says nothing


class Scan(NamedTuple):
    """One grating's chi2 curve."""

    grating: str
    z_best: float
    z: np.ndarray  # (n_z,) increasing
    chi2: np.ndarray  # (n_z,)
    n_pix: int


class Consensus(NamedTuple):
    """A redshift and who said it."""

    z: float
    said_by: str  # PRISM, the name of a grating, or GRATINGS for the best common minimum of several


def consensus(scans: Sequence[Scan]) -> Consensus:
    """Redshift of a source from the fits of its gratings, by rule.

    Parameters
    ----------
    scans : sequence of Scan
        At least one.

    Returns
    -------
    Consensus

    Raises
    ------
    ValueError
        No scan.

    Notes
    -----
    As CAMPFIRE: what the gratings other than PRISM say holds if it is within 0.1 of PRISM, else PRISM. Of several
    gratings, those with flat curves are left out; if one is left it speaks, if none, the first of all in `PRIORITY`. If
    there are more, each local minimum less than 30 above the best of its curve is a candidate. The one of the smallest
    sum of (chi2 - min) / n_pix over the curves wins, each curve read at its nearest point within 1000 km/s; then the
    one that more curves know; then that of the grating first in `PRIORITY`.
    """
    if not scans:
        raise ValueError("no scan")
    ranked = sorted(scans, key=lambda scan: _rank(scan.grating))
    prism = next((scan for scan in ranked if scan.grating.upper() == "PRISM"), None)
    others = [scan for scan in ranked if scan.grating.upper() != "PRISM"]
    if not others:
        return Consensus(ranked[0].z_best, ranked[0].grating)
    found = Consensus(others[0].z_best, others[0].grating) if len(others) == 1 else _of_gratings(others)
    if prism is not None and abs(found.z - prism.z_best) > ALIKE:
        return Consensus(prism.z_best, prism.grating)
    return found


def _rank(grating: str) -> int:
    name = grating.upper()
    return PRIORITY.index(name) if name in PRIORITY else len(PRIORITY)


def _of_gratings(scans: list[Scan]) -> Consensus:
    telling = [scan for scan in scans if np.ptp(scan.chi2) / scan.n_pix >= FLAT]
    if len(telling) < 2:
        chosen = (telling or scans)[0]
        return Consensus(chosen.z_best, chosen.grating)
    candidates = [(z, rank) for rank, scan in enumerate(telling) for z in _minima(scan)]
    z = np.array([candidate[0] for candidate in candidates])
    score, count = np.zeros(z.size), np.zeros(z.size, dtype=int)
    for scan in telling:
        at = _nearest(scan.z, z)
        known = C_KMS * np.abs(scan.z[at] - z) / (1.0 + z) <= NEAREST_KMS
        score += np.where(known, (scan.chi2[at] - scan.chi2.min()) / scan.n_pix, 0.0)
        count += known
    best = min(range(z.size), key=lambda k: (score[k], -count[k], candidates[k][1]))
    return Consensus(float(z[best]), "GRATINGS")


def _minima(scan: Scan) -> np.ndarray:
    """Redshifts of the local minima less than RISE above the best, its best among them."""
    chi2 = scan.chi2
    inner = np.concatenate([[False], (chi2[1:-1] <= chi2[:-2]) & (chi2[1:-1] <= chi2[2:]), [False]])
    chosen = inner & (chi2 < chi2.min() + RISE)
    chosen[np.argmin(chi2)] = True
    return scan.z[chosen]


def _nearest(grid: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Index of the nearest point of an increasing grid."""
    right = np.clip(np.searchsorted(grid, z), 1, grid.size - 1)
    return np.where(z - grid[right - 1] <= grid[right] - z, right - 1, right)
