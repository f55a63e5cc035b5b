"""Which emission lines can be told apart at a resolution: profiles with one amplitude, and sums that are reported."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from .lines import CASE_B, HELIUM, WAVE

# Pairs from one upper level: the ratio is that of the transition probabilities (Storey & Zeippen 2000; Osterbrock &
# Ferland 2006, section 3.5). Weak line: (strong line, flux of the weak over that of the strong).
FIXED: dict[str, tuple[str, float]] = {
    "OIII4960": ("OIII5008", 1 / 2.98), "NII6550": ("NII6585", 1 / 2.94), "NeIII3968": ("NeIII3869", 0.30),
    "SIII9071": ("SIII9533", 1 / 2.47), "OI6366": ("OI6302", 1 / 3.1), "NeV3346": ("NeV", 0.37),
    "ArIII7753": ("ArIII7138", 0.24),
}  # fmt: skip
# Fluxes over H-beta of an ordinary galaxy, for the shape of what cannot be told apart; other lines 0.1.
_METALS = {
    "OII3727": 0.8, "OII3730": 1.0, "OIII5008": 3.0, "NeIII3869": 0.3, "NII6585": 0.4, "SII6718": 0.3, "SII6733": 0.23,
    "SIII9533": 0.4, "Lya": 3.0, "CIII]": 0.3, "MgII2796": 0.2, "HeI10833": 0.4,
}  # fmt: skip
TYPICAL: dict[str, float] = {**dict.fromkeys(WAVE, 0.1), **CASE_B, **HELIUM, **_METALS}

MERGED = 0.3  # separations, in FWHM: closer than this one profile of fixed shape,
BLENDED = 0.7  # closer than this two amplitudes of which only the sum is reported


NAMES = tuple(sorted(WAVE, key=WAVE.__getitem__))  # all lines, by wavelength
REST = np.array([WAVE[name] for name in NAMES])  # um
_TYPICAL = np.array([TYPICAL[name] for name in NAMES])
_STRONG = np.array([NAMES.index(FIXED[name][0]) if name in FIXED else -1 for name in NAMES])
_RATIO = np.array([FIXED[name][1] if name in FIXED else 0.0 for name in NAMES])


class Blends(NamedTuple):
    """Amplitudes (profiles) of lines, and rows (what is reported)."""

    share: np.ndarray  # (n_lines, n_amplitudes): flux of a line for an amplitude of 1
    row: np.ndarray  # (n_rows, n_amplitudes): flux of a row for an amplitude of 1
    main: np.ndarray  # (n_rows,) int: the line that the row is called after
    members: tuple[tuple[int, ...], ...]  # per row: the lines whose flux it has, main first


def find_blends(line: np.ndarray, center: np.ndarray, sigma: np.ndarray) -> Blends:
    """Group lines by how well they can be told apart.

    Parameters
    ----------
    line : ndarray of int, shape (n_lines,)
        Indices in `NAMES`, increasing.
    center, sigma : ndarray, shape (n_lines,) [um]
        Observed wavelength and Gaussian width.

    Returns
    -------
    Blends
        All indices count in `line`.

    Notes
    -----
    Weak lines of `FIXED` belong to the amplitude of their strong one, where that is among the lines. Two profiles p, q
    are compared by ``<p q> / sqrt(<p p> <q q>)``, which for Gaussians at a distance d is ``exp(-2 ln 2 (d / FWHM)^2)``:
    above its value at `MERGED` they become one profile with the fluxes of `TYPICAL`; above that at `BLENDED` both are
    fitted and their sum is the row. The weak line of a pair is counted into such a sum only where it is itself as
    close to another of its lines.
    """
    n = line.size
    place = np.full(len(NAMES), -1)
    place[line] = np.arange(n)
    strong = np.where(_STRONG[line] >= 0, place[_STRONG[line]], -1)
    weak = strong >= 0
    column = np.cumsum(~weak) - 1
    column[weak] = column[strong[weak]]
    typical = _TYPICAL[line]
    share = np.zeros((n, int((~weak).sum())))
    share[np.arange(n), column] = np.where(weak, _RATIO[line] * typical[strong], typical)
    product = _products(center, sigma)
    merged = _linked(share.T @ product @ share, MERGED)
    share = share @ np.eye(int(merged.max(initial=-1)) + 1)[merged]
    share = share / share.max(axis=0, initial=1e-30)
    blended = _linked(share.T @ product @ share, BLENDED)
    amplitude = merged[column]
    in_row = blended[amplitude]
    norm = np.sqrt(np.diag(product))
    close = product > _overlap(BLENDED) * norm[:, None] * norm[None, :]
    several = np.bincount(in_row[~weak], minlength=blended.max(initial=-1) + 1)[in_row] > 1
    same = (in_row[:, None] == in_row[None, :]) & ~weak[None, :]
    counted = ~weak | (several & (close & same).any(axis=1))
    row = np.zeros((int(blended.max(initial=-1)) + 1, share.shape[1]))
    np.add.at(row, (in_row[counted], amplitude[counted]), share[counted, amplitude[counted]])
    order = np.lexsort((np.where(weak, 0.0, -typical), in_row))
    main = order[np.searchsorted(in_row[order], np.arange(row.shape[0]))]
    members: list[list[int]] = [[int(i)] for i in main]
    for i in np.flatnonzero(counted):
        if i != main[in_row[i]]:
            members[in_row[i]].append(int(i))
    return Blends(share, row, main, tuple(tuple(one) for one in members))


def _products(center: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Integral of the product of each two unit Gaussians but for a factor, shape (n_lines, n_lines)."""
    variance = sigma[:, None] ** 2 + sigma[None, :] ** 2
    return np.exp(-0.5 * (center[:, None] - center[None, :]) ** 2 / variance) / np.sqrt(variance)


def _overlap(separation: float) -> float:
    return float(np.exp(-2.0 * np.log(2.0) * separation**2))


def _linked(gram: np.ndarray, separation: float) -> np.ndarray:
    """Number the groups of profiles that are linked by pairs closer than `separation` FWHM."""
    norm = np.sqrt(np.diag(gram))
    return _groups(gram > _overlap(separation) * norm[:, None] * norm[None, :])


@numba.njit(cache=True)
def _groups(near: np.ndarray) -> np.ndarray:
    """Connected parts of a symmetric relation, numbered by their first member."""
    n = near.shape[0]
    label = np.full(n, -1)
    todo = np.empty(n, dtype=np.int64)
    count = 0
    for first in range(n):
        if label[first] >= 0:
            continue
        label[first] = count
        todo[0] = first
        waiting = 1
        while waiting > 0:
            waiting -= 1
            k = todo[waiting]
            for other in range(n):
                if near[k, other] and label[other] < 0:
                    label[other] = count
                    todo[waiting] = other
                    waiting += 1
        count += 1
    return label
