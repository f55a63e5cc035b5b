"""One redshift of a source from the chi2 curves of all its gratings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import Akima1DInterpolator
from scipy.signal import oaconvolve

from .lsf import C_KMS

STEP_KMS = 2.0  # of the common grid
SAME = 0.01  # |dz| / (1 + z) within which redshifts are the same
DOUBT = 0.01  # no curve is believed more than this: artefacts and neighbours have sharp lines as well
N_PEAKS = 5
_N_LOOKS = 500  # local maxima that are looked at for them
_N_SIGMA = 5.0
_TAIL = 8.0  # a peak ends where its density has fallen by exp(-8)
_FINE = 0.01  # about peaks the result is on the common grid, elsewhere on every 25th point
_THIN = 25
_APART = 1e-7  # least step of ln(1 + z)
_EDGE = 0.02  # in ln(1 + z): what the end of a curve says holds beyond it
VELOCITY_KMS = {"P": 150.0, "M": 25.0, "H": 10.0}


class Curve(NamedTuple):
    """What one grating says."""

    z: np.ndarray  # (n_z,) increasing, any spacing
    chi2: np.ndarray  # (n_z,)
    scale: float  # likelihood exp(-chi2 / scale): 2 for exact errors, see posterior.tempered_scale
    velocity: float  # km/s, standard error of its wavelengths, common to all of them
    trust: float  # 0..1, probability that its best redshift is right


class View(NamedTuple):
    """One grating, seen from the joint redshift."""

    offset: float  # km/s, of its wavelengths: positive where it alone gives a higher redshift
    offset_err: float  # km/s
    support: float  # ln of how much more probable it makes this redshift; 0 says nothing, at worst ln(DOUBT)


class JointRedshift(NamedTuple):
    """Outcome of `joint_redshift`."""

    z: float
    z_err: float
    probability: float  # that |dz| / (1 + z) < 0.01
    peaks: np.ndarray  # (n_peaks, 3): z, z_err, probability; best first
    z_grid: np.ndarray  # (n_z,) fine about the peaks
    density: np.ndarray  # (n_z,) probability per unit z
    views: tuple[View, ...]  # one per curve


class _Grid(NamedTuple):
    """Uniform grid of u = ln(1 + z)."""

    u: np.ndarray
    step: float

    @property
    def length(self) -> float:
        return self.step * self.u.size


def velocity_error(grating: str) -> float:
    """Standard error of the wavelengths of a spectrum as a whole [km/s]: 150 (PRISM), 25 (M), 10 (H).

    A source whose place across its shutter is wrong by 0.02 arcsec moves by a fifth of a pixel, and pixels are about
    750 (PRISM, 3 to 5 um), 130 and 50 km/s wide. Public PRISM redshifts are 180 km/s high, with a scatter of 120.
    """
    return VELOCITY_KMS["P" if grating.upper() == "PRISM" else grating.upper()[-1]]


def joint_redshift(curves: Sequence[Curve]) -> JointRedshift:
    """Multiply the likelihoods of several gratings whose wavelengths may be off.

    Parameters
    ----------
    curves : sequence of Curve
        One per spectrum, at least one.

    Returns
    -------
    JointRedshift

    Raises
    ------
    ValueError
        No curve; or one with fewer than 7 points, redshifts that do not increase, values that are not finite, a
        scale or velocity that is not positive, or a trust outside 0 to 1.

    Notes
    -----
    With u = ln(1 + z), grating g sees u + v / c; v has a Gaussian prior and is integrated out:

        p_g(u) = int exp(-chi2_g(u + v / c) / scale) N(v; velocity) dv, normalised in u
        p(u) = prod_g [(1 - e_g) p_g(u) + e_g / range]

    e_g >= 0.01 is the probability that the curve is about something else; it is so large that the best peak of p_g has
    no more probability than `trust`. So gratings that agree outdo each other's false peaks, and one that is wrong
    cannot forbid what the others say. The prior is uniform in u. Beyond the end of a curve its level there (median over
    0.02 in u) holds. Between points chi2 is interpolated (Akima 1970), exactly for parabolas.
    """
    if not curves:
        raise ValueError("no curve")
    for curve in curves:
        check_curve(curve)
    grid = _common_grid(curves)
    likelihoods = [_likelihood(curve, grid) for curve in curves]
    single = [_smeared(one, curve.velocity, grid) for one, curve in zip(likelihoods, curves, strict=True)]
    doubts = [_doubt(one, curve.trust, grid) for one, curve in zip(single, curves, strict=True)]
    mixed = [(1.0 - e) * one + e / grid.length for one, e in zip(single, doubts, strict=True)]
    p = _normalised(np.sum([np.log(one) for one in mixed], axis=0), grid)
    peaks, best = _peaks(p, grid)
    near = _window(best, grid)
    views = []
    for g, curve in enumerate(curves):
        others = _normalised(np.log(p[near] / mixed[g][near]), grid)
        offset, error = _offset(likelihoods[g], others, (curve.velocity, doubts[g]), grid, near)
        gain = float(np.average(mixed[g][near], weights=p[near])) * grid.length
        views.append(View(offset, error, float(np.log(gain))))
    z, density = _thinned(p, grid, peaks)
    z_best, z_err, probability = map(float, peaks[0])
    return JointRedshift(z_best, z_err, probability, peaks, z, density, tuple(views))


def check_curve(curve: Curve) -> None:
    """Raise ValueError where a curve cannot be used; see `joint_redshift`."""
    if curve.z.shape != curve.chi2.shape or curve.z.ndim != 1 or curve.z.size < 7:
        raise ValueError("a curve needs at least 7 redshifts with one chi2 each")
    if not (np.isfinite(curve.chi2).all() and (np.diff(curve.z) > 0).all() and curve.z[0] > -1):
        raise ValueError("a curve needs finite chi2 at increasing redshifts")
    if not (curve.scale > 0 and curve.velocity > 0 and 0 <= curve.trust <= 1):
        raise ValueError("scale and velocity must be positive, trust between 0 and 1")


def _common_grid(curves: Sequence[Curve]) -> _Grid:
    low = min(np.log1p(curve.z[0]) for curve in curves)
    high = max(np.log1p(curve.z[-1]) for curve in curves)
    step = STEP_KMS / C_KMS
    return _Grid(low + step * np.arange(int(np.ceil((high - low) / step)) + 1), step)


def _likelihood(curve: Curve, grid: _Grid) -> np.ndarray:
    """exp(-(chi2 - min) / scale) on the common grid, its integral 1, shape (n_u,)."""
    u = np.log1p(curve.z)
    apart = np.append(True, np.diff(u) > _APART)  # scans merged of several may nearly repeat a redshift
    u, level = u[apart], -curve.chi2[apart] / curve.scale
    log = Akima1DInterpolator(u, level)(np.clip(grid.u, u[0], u[-1]))
    for beyond, end in ((grid.u < u[0], u < u[0] + _EDGE), (grid.u > u[-1], u > u[-1] - _EDGE)):
        log[beyond] = np.median(level[end])
    return _normalised(log, grid)


def _normalised(log: np.ndarray, grid: _Grid) -> np.ndarray:
    p = np.exp(log - np.max(log))
    return p / (p.sum() * grid.step)


def _kernel(velocity: float, grid: _Grid) -> np.ndarray:
    """Prior of the offset at whole steps, its sum 1, shape (2 n + 1,)."""
    width = velocity / C_KMS / grid.step
    half = min(int(np.ceil(_N_SIGMA * width)), grid.u.size // 3)
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / width) ** 2)
    return weights / weights.sum()


def _smeared(likelihood: np.ndarray, velocity: float, grid: _Grid) -> np.ndarray:
    """The likelihood with the offset integrated out; beyond the ends it is as at the ends."""
    kernel = _kernel(velocity, grid)
    padded = np.pad(likelihood, kernel.size // 2, mode="edge")
    p = np.maximum(oaconvolve(padded, kernel, mode="valid"), 0.0)
    return p / (p.sum() * grid.step)


def _doubt(p: np.ndarray, trust: float, grid: _Grid) -> float:
    """Share of a uniform density that takes the best peak down to `trust`; never less than DOUBT."""
    mass = _mass(p, int(np.argmax(p)), grid)
    return float(np.clip(1.0 - trust / mass, DOUBT, 1.0))


def _window(index: int, grid: _Grid) -> slice:
    """What counts as the same redshift."""
    half = int(SAME / grid.step)
    return slice(max(index - half, 0), min(index + half + 1, grid.u.size))


def _mass(p: np.ndarray, index: int, grid: _Grid) -> float:
    return float(p[_window(index, grid)].sum() * grid.step)


def _peaks(p: np.ndarray, grid: _Grid) -> tuple[np.ndarray, int]:
    """The most probable distinct redshifts (z, z_err, probability), best first, and where the best is on the grid."""
    inner = np.flatnonzero((p[1:-1] >= p[:-2]) & (p[1:-1] > p[2:])) + 1
    index = np.concatenate([inner, [int(np.argmax(p))]])
    index = index[np.argsort(-p[index], kind="stable")]
    chosen: list[int] = []
    rows = []
    left = p.copy()  # so that nothing counts twice
    for i in index[:_N_LOOKS]:
        if any(abs(i - k) * grid.step <= SAME for k in chosen):
            continue
        z, z_err = _moments(left, int(i), grid)
        rows.append((z, z_err, min(_mass(left, int(i), grid), 1.0)))
        left[_window(int(i), grid)] = 0.0
        chosen.append(int(i))
        if len(chosen) == 4 * N_PEAKS:
            break
    order = sorted(range(len(rows)), key=lambda k: -rows[k][2])[:N_PEAKS]
    return np.array([rows[k] for k in order]), chosen[order[0]]


def _moments(p: np.ndarray, index: int, grid: _Grid) -> tuple[float, float]:
    """Mean and standard deviation of z over a peak."""
    window = _window(index, grid)
    here = index - window.start
    faint = p[window] < p[index] * np.exp(-_TAIL)
    left, right = np.flatnonzero(faint[:here]), np.flatnonzero(faint[here:])
    low = window.start + (left[-1] + 1 if left.size else 0)
    high = index + right[0] if right.size else window.stop
    weight, du = p[low:high], grid.u[low:high] - grid.u[index]
    mean = np.average(du, weights=weight)
    spread = np.sqrt(np.average((du - mean) ** 2, weights=weight))
    z = np.expm1(grid.u[index] + mean)
    return float(z), float((1.0 + z) * spread)


def _offset(
    likelihood: np.ndarray, others: np.ndarray, prior: tuple[float, float], grid: _Grid, near: slice
) -> tuple[float, float]:
    """Mean and standard deviation of a grating's offset [km/s], given what the others say of the redshift.

    Notes
    -----
    p(v) = N(v; velocity) [(1 - e) int L(u + v / c) O(u) du + e / range], over the u of the peak; O is the density of
    the others, uniform where there are none.
    """
    velocity, doubt = prior
    kernel = _kernel(velocity, grid)
    half = kernel.size // 2
    padded = np.pad(likelihood, half, mode="edge")[near.start : near.stop + 2 * half]
    met = np.correlate(padded, others, mode="valid") * grid.step
    p = kernel * ((1.0 - doubt) * met + doubt / grid.length)
    v = C_KMS * grid.step * np.arange(-half, half + 1)
    mean = np.average(v, weights=p)
    return float(mean), float(np.sqrt(np.average((v - mean) ** 2, weights=p)))


def _thinned(p: np.ndarray, grid: _Grid, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Redshifts and probability per unit z, fine only about the peaks."""
    keep = np.zeros(p.shape, dtype=bool)
    keep[::_THIN] = True
    keep[-1] = True
    for z in peaks[:, 0]:
        keep |= np.abs(grid.u - np.log1p(z)) < _FINE
    z = np.expm1(grid.u[keep])
    return z, p[keep] / (1.0 + z)
