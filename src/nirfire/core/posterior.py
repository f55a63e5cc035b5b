"""From chi2(z) to a redshift, its error and its confidence."""

from __future__ import annotations

import numpy as np

from .lsf import C_KMS


def cell_widths(z: np.ndarray) -> np.ndarray:
    """Half the distance between the neighbours of each grid point: dz weights for any spacing."""
    if z.size < 2:
        return np.ones(z.shape)
    edges = np.concatenate([z[:1], 0.5 * (z[1:] + z[:-1]), z[-1:]])
    return np.diff(edges)


def probability_within(
    z: np.ndarray, chi2: np.ndarray, z_best: float, *, window: float = 0.03, scale: float = 1.0
) -> float:
    """Share of int exp(-(chi2 - min) / scale) dz that lies within `window` of z_best.

    Parameters
    ----------
    z, chi2 : ndarray, shape (n_z,)
        Increasing redshifts; any spacing.
    z_best : float
    window : float
        Absolute, in z.
    scale : float
        1 is the published metric (which lacks the 1/2 of a likelihood); 2 is a likelihood of exact errors; larger
        numbers temper for noise correlation and template error.
    """
    weight = np.exp(-(chi2 - np.min(chi2)) / scale) * cell_widths(z)
    total = weight.sum()
    return min(1.0, float(weight[np.abs(z - z_best) <= window].sum() / total)) if total > 0 else 0.0


def tempered_scale(chi2_min: float, n_dof: int, *, temperature: float = 2.0) -> float:
    """Denominator 2 T s^2 of a tempered likelihood, s^2 = max(1, chi2_min / dof)."""
    return 2.0 * temperature * max(1.0, chi2_min / max(n_dof, 1))


def separate_minima(z: np.ndarray, chi2: np.ndarray, *, separation: float, count: int) -> np.ndarray:
    """Indices of up to `count` local minima, best first, at least `separation` km/s apart; never none."""
    inner = (chi2[1:-1] <= chi2[:-2]) & (chi2[1:-1] < chi2[2:])
    index = np.flatnonzero(np.concatenate([[chi2[0] < chi2[1]], inner, [chi2[-1] < chi2[-2]]]))
    chosen: list[int] = []
    velocity = C_KMS * np.log1p(z)
    for i in index[np.argsort(chi2[index], kind="stable")]:
        if all(abs(velocity[i] - velocity[j]) >= separation for j in chosen):
            chosen.append(int(i))
        if len(chosen) == count:
            break
    return np.array(chosen or [int(np.argmin(chi2))], dtype=np.int64)


def refine_minimum(z: np.ndarray, chi2: np.ndarray, *, rise: float = 2.0) -> tuple[float, float, float]:
    """Parabola about the lowest point.

    Parameters
    ----------
    z, chi2 : ndarray
        Fine grid about one minimum.
    rise : float
        Points connected to the minimum and less than this above it enter the fit (the nearest three always).

    Returns
    -------
    z_best, z_err, chi2_min
        z_err is where chi2 rises by 1; NaN if the curvature is not positive or the minimum is at the end of the grid.
    """
    i = int(np.argmin(chi2))
    if i == 0 or i == chi2.size - 1:
        return float(z[i]), float("nan"), float(chi2[i])
    low, high = i - 1, i + 1
    while low > 0 and chi2[low - 1] < chi2[i] + rise:
        low -= 1
    while high < z.size - 1 and chi2[high + 1] < chi2[i] + rise:
        high += 1
    unit = (z[high] - z[low]) / 2.0
    x = (z[low : high + 1] - z[i]) / unit
    a, b, c = np.polyfit(x, chi2[low : high + 1] - chi2[i], 2)
    if a <= 0:
        return float(z[i]), float("nan"), float(chi2[i])
    shift = float(np.clip(-b / (2.0 * a), x[0], x[-1]))
    bottom = chi2[i] + min(0.0, c - b * b / (4.0 * a)) if high - low == 2 else chi2[i]
    return float(z[i] + unit * shift), float(unit / np.sqrt(a)), float(bottom)


def merge(curve: tuple[np.ndarray, np.ndarray], piece: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Put a finer piece of a curve (z, chi2) in place of what it covers."""
    z, chi2 = curve
    low, high = np.searchsorted(z, piece[0][0]), np.searchsorted(z, piece[0][-1], side="right")
    return (
        np.concatenate([z[:low], piece[0], z[high:]]),
        np.concatenate([chi2[:low], piece[1], chi2[high:]]),
    )


def next_distinct(
    z_best: float, peaks: np.ndarray, z: np.ndarray, chi2: np.ndarray, *, apart: float = 0.01
) -> tuple[float, float]:
    """The lowest chi2 further than apart (1 + z) from the best redshift: z and chi2, NaN where there is none.

    Parameters
    ----------
    z_best : float
    peaks : ndarray, shape (n_peaks, 3)
        Refined minima: z, its error, chi2.
    z, chi2 : ndarray, shape (n_z,)
        The curve, looked at where no peak is distinct.
    apart : float
    """
    for place, _, value in peaks:
        if abs(place - z_best) > apart * (1.0 + z_best):
            return float(place), float(value)
    far = np.abs(z - z_best) > apart * (1.0 + z_best)
    if not far.any():
        return float("nan"), float("nan")
    i = int(np.argmin(np.where(far, chi2, np.inf)))
    return float(z[i]), float(chi2[i])
