"""All gratings of a source: their flux scales relative to one of them, and one spectrum from all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from nirfire.core.lsf import FWHM_TO_SIGMA, N_SIGMA
from nirfire.core.rescale import Scale, Target, basis, capped_edges, curve, fit_orders

N_BINS = 24
LEAST_PIXELS = 5  # of the coarser spectrum, in an overlap
WHOLE = 0.9  # share of a kernel or of a bin that must lie in valid pixels
BLOCK = 0.02  # width in ln(wavelength) of the blocks in which one spectrum leads
COVERED = 0.5  # share of a block's pixels that must be valid for a spectrum to lead by right
PASSES = 3
CLIP = 4.0  # sigma from which a bin is left out
MEDIAN_CHI2 = 0.455  # of one degree of freedom
NARROW = 0.05  # narrowest kernel, in pixels


class Mode(NamedTuple):
    """The spectrum of one grating and filter.

    Attributes
    ----------
    wave : ndarray, shape (n_wave,) [um]
        Increasing.
    flux : ndarray, shape (n_wave,) [uJy]
    ivar : ndarray, shape (n_wave,) [1 / uJy2]
        0 where there is no information.
    resolution : ndarray, shape (n_wave,)
        lambda / FWHM of the line-spread function.
    bit : int
        What stands for the grating in `Joint.bits`.
    """

    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    resolution: np.ndarray
    bit: int

    @property
    def variance(self) -> np.ndarray:
        """Zero where there is no information, shape (n_wave,) [uJy2]."""
        good = self.ivar > 0
        return np.where(good, 1.0 / np.where(good, self.ivar, 1.0), 0.0)

    def times(self, factor: np.ndarray) -> Mode:
        """The spectrum multiplied by a factor."""
        return self._replace(flux=self.flux * factor, ivar=self.ivar / factor**2)


class Joint(NamedTuple):
    """One spectrum from several.

    Attributes
    ----------
    wave : ndarray, shape (n,) [um]
        Increasing, of changing step.
    flux, ivar : ndarray, shape (n,) [uJy, 1 / uJy2]
        After scaling; ivar is 0 where there is no information.
    bits : ndarray of int, shape (n,)
        Sum of the bits of the gratings that went in; 0 where ivar is 0.
    resolution : ndarray, shape (n,)
    scale, scale_err : ndarray, shape (n,)
        The factor that the flux was multiplied by, and its standard error, which is not in ivar.
    scales : tuple of Scale
        One per mode.
    """

    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    bits: np.ndarray
    resolution: np.ndarray
    scale: np.ndarray
    scale_err: np.ndarray
    scales: tuple[Scale, ...]


def join_spectra(
    modes: Sequence[Mode],
    *,
    reference: int,
    prior: Sequence[float] = (0.10, 0.05, 0.05),
    least_sn: float = 3.0,
    alike: float = 1.2,
) -> Joint:
    """Bring all spectra of a source to one flux scale, and make one of them.

    Parameters
    ----------
    modes : sequence of Mode
    reference : int
        Index of the mode whose flux scale holds.
    prior : sequence of float
        Standard deviations of the coefficients of the factors about (1, 0, 0, ...); the number of orders tried.
    least_sn : float
        Signal-to-noise ratio per pixel from which a finer spectrum leads.
    alike : float
        Spectra whose resolving powers differ by less than this factor are averaged.

    Returns
    -------
    Joint

    Notes
    -----
    One spectrum leads in each block of 2 % in wavelength: the finest with half of its pixels valid and a
    signal-to-noise ratio (root mean square over the pixels of the block and its neighbours, noise taken away) of at
    least `least_sn`, or else the coarsest. Its pixels are taken as they are, and others that are `alike` are
    averaged with them by inverse variance.
    """
    scales = relative_scales(modes, reference, prior)
    scaled = [mode.times(scale.scale) for mode, scale in zip(modes, scales, strict=True)]
    leaders = choose_leaders(scaled, least_sn)
    pieces = []
    for block in sorted(leaders):
        pixels = np.flatnonzero(_blocks(scaled[leaders[block]].wave) == block)
        pieces.append(_piece(scaled, scales, leaders[block], pixels, alike))
    columns = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    return Joint(*columns[:7], scales=tuple(scales))  # type: ignore[misc, arg-type]


def relative_scales(modes: Sequence[Mode], reference: int, prior: Sequence[float]) -> list[Scale]:
    """Factors that bring all spectra to the flux scale of one.

    Parameters
    ----------
    modes : sequence of Mode
    reference : int
        Index of the mode whose scale holds.
    prior : sequence of float
        As in `join_spectra`.

    Returns
    -------
    list of Scale
        One per mode, on its wavelengths: 1 with error 0 for the reference. One that overlaps neither with the
        reference nor with another that was scaled keeps 1 with the error of the prior, and ``n_used`` is 0.

    Notes
    -----
    Those with the largest overlap first, with the reference rather than with one that was scaled to it; the error of
    that one's factor is added.
    """
    found = {reference: Scale(np.ones(len(modes[reference].wave)), np.zeros(len(modes[reference].wave)), 0, 0.0, 0)}
    while len(found) < len(modes):
        left = [k for k in range(len(modes)) if k not in found]
        pairs = [(j == reference, common_pixels(modes[j], modes[k]), j, k) for j in found for k in left]
        pairs = [pair for pair in pairs if pair[1] >= LEAST_PIXELS]
        if not pairs:
            for k in left:
                ones = np.ones(len(modes[k].wave))
                found[k] = Scale(ones, ones * prior[0], 0, 0.0, 0)
            break
        _, _, partner, k = max(pairs)
        base = found[partner]
        own = pair_scale(modes[partner].times(base.scale), modes[k], prior)
        beside = np.interp(modes[k].wave, modes[partner].wave, base.scale_err / base.scale)
        found[k] = own._replace(scale_err=np.hypot(own.scale_err, beside * own.scale))
    return [found[k] for k in range(len(modes))]


def common_pixels(one: Mode, other: Mode) -> int:
    """Valid pixels of the spectrum with fewer of them where both have some."""
    low, high = _common_range(one, other)
    return min(int(np.sum((m.ivar > 0) & (m.wave >= low) & (m.wave <= high))) for m in (one, other))


def _common_range(one: Mode, other: Mode) -> tuple[float, float]:
    valid = [m.wave[m.ivar > 0] for m in (one, other)]
    if min(map(len, valid)) == 0:
        return 1.0, 0.0
    return max(float(w[0]) for w in valid), min(float(w[-1]) for w in valid)


def pair_scale(reference: Mode, mode: Mode, prior: Sequence[float]) -> Scale:
    """The factor that brings one spectrum to another where they overlap.

    Parameters
    ----------
    reference, mode : Mode
        With an overlap of some pixels.
    prior : sequence of float
        As in `join_spectra`.

    Returns
    -------
    Scale
        On the wavelengths of `mode`; beyond the overlap it stays as at its end, with a growing error.

    Notes
    -----
    The finer spectrum is brought to the resolution and the pixels of the coarser; means over (at most) 24 bins of
    these pixels, with the same weights for both, are compared. Both have noise, and the fit knows it
    (`nirfire.core.rescale.solve_noisy`). Bins more than 4 sigma off are left out; where the others scatter by more than
    their errors say, these are raised.
    """
    low, high = _common_range(reference, mode)
    reference_coarse = _resolution_at(reference, low, high) <= _resolution_at(mode, low, high)
    coarse, fine = (reference, mode) if reference_coarse else (mode, reference)
    matrix = matched_pixels(coarse, fine)
    whole = matrix[:, fine.ivar > 0].sum(axis=1) > WHOLE
    used = np.flatnonzero(whole & (coarse.ivar > 0))
    matrix = matrix[used] * (fine.ivar > 0)
    matrix /= matrix.sum(axis=1, keepdims=True)
    weight = 1.0 / (coarse.variance[used] + matrix**2 @ fine.variance)
    groups = np.array_split(np.arange(used.size), min(N_BINS, max(used.size // 2, 1)))
    pick = np.zeros((len(groups), used.size))
    for k, group in enumerate(groups):
        pick[k, group] = weight[group] / weight[group].sum()
    on_coarse = np.zeros((len(groups), len(coarse.wave)))
    on_coarse[:, used] = pick
    on_fine = pick @ matrix
    of_reference, of_mode = (on_coarse, on_fine) if reference_coarse else (on_fine, on_coarse)
    target = Target(of_reference @ reference.flux, of_reference**2 @ reference.variance, of_mode)
    domain = (float(coarse.wave[used[0]]), float(coarse.wave[used[-1]]))
    return _fit(target, mode, domain, np.array(prior, dtype=float)[: max(1, len(groups) - 1)])


def _fit(target: Target, mode: Mode, domain: tuple[float, float], prior: np.ndarray) -> Scale:
    """The factor, with bins left out that no smooth factor brings together, and errors raised to the scatter."""
    keep, excess = np.ones(len(target.value), dtype=bool), 1.0
    for _ in range(PASSES):
        used = Target(target.value[keep], excess * target.variance[keep], target.shares[keep])
        last = fit_orders(used, mode.wave, mode.flux, excess * mode.variance, domain, prior)[-1]
        factor = basis(mode.wave, domain, len(prior) - 1) @ last.values
        expected = target.variance + target.shares**2 @ (mode.variance * factor**2)
        square = (target.value - target.shares @ (mode.flux * factor)) ** 2 / expected
        excess = max(1.0, float(np.median(square)) / MEDIAN_CHI2)
        keep = square < CLIP**2 * excess
    excess = max(1.0, float(np.sum(square[keep])) / max(int(keep.sum()) - len(prior), 1))
    used = Target(target.value[keep], excess * target.variance[keep], target.shares[keep])
    solutions = fit_orders(used, mode.wave, mode.flux, excess * mode.variance, domain, prior)
    found = curve(mode.wave, domain, solutions, int(keep.sum()))
    return found._replace(chi2=found.chi2 * excess)


def _resolution_at(mode: Mode, low: float, high: float) -> float:
    return float(np.interp(0.5 * (low + high), mode.wave, mode.resolution))


def matched_pixels(coarse: Mode, fine: Mode) -> np.ndarray:
    """Weights of the pixels of one spectrum that make it look like another.

    Parameters
    ----------
    coarse, fine : Mode
        The one to look like, and the one of higher resolution.

    Returns
    -------
    ndarray, shape (n_coarse, n_fine)
        Mean over each pixel of `coarse` after a Gaussian whose variance is the difference of those of the two
        line-spread functions; rows add up to 1 where `fine` reaches far enough.
    """
    low, high = capped_edges(coarse.wave)
    left, right = capped_edges(fine.wave)
    middle = 0.5 * (left + right)
    own = coarse.wave * FWHM_TO_SIGMA / coarse.resolution
    other = coarse.wave * FWHM_TO_SIGMA / np.interp(coarse.wave, fine.wave, fine.resolution)
    sigma = np.sqrt(np.maximum(own**2 - other**2, (NARROW * (high - low)) ** 2))
    reach = (N_SIGMA * sigma)[:, None]
    row, column = np.nonzero((middle > low[:, None] - reach) & (middle < high[:, None] + reach))
    upper, lower = ((edge[row] - middle[column]) / sigma[row] for edge in (high, low))
    weights = np.zeros((len(low), len(middle)))
    weights[row, column] = (ndtr(upper) - ndtr(lower)) * (right - left)[column] / (high - low)[row]
    return weights


def choose_leaders(modes: Sequence[Mode], least_sn: float) -> dict[int, int]:
    """Which spectrum leads in each block of wavelength (see `join_spectra`).

    Parameters
    ----------
    modes : sequence of Mode
    least_sn : float

    Returns
    -------
    dict of int to int
        Block (ln(wavelength / um) / 0.02, rounded down) to the index of the mode; blocks without a valid pixel
        are missing.
    """
    blocks = [_blocks(mode.wave) for mode in modes]
    first, last = min(int(b[0]) for b in blocks), max(int(b[-1]) for b in blocks)
    n_blocks = last - first + 1
    covered, power = np.zeros((len(modes), n_blocks)), np.zeros((len(modes), n_blocks))
    for k, (mode, block) in enumerate(zip(modes, blocks, strict=True)):
        total = np.bincount(block - first, minlength=n_blocks)
        valid = np.bincount(block - first, weights=mode.ivar > 0, minlength=n_blocks)
        square = np.bincount(block - first, weights=mode.flux**2 * mode.ivar, minlength=n_blocks)
        covered[k] = valid / np.maximum(total, 1)
        near = np.convolve(valid, np.ones(3), mode="same")
        power[k] = np.convolve(square, np.ones(3), mode="same") / np.maximum(near, 1) - 1.0
    leaders = {}
    for i in range(n_blocks):
        middle = np.exp((first + i + 0.5) * BLOCK)
        finest = sorted(range(len(modes)), key=lambda k: -_resolution_at(modes[k], middle, middle))
        able = [k for k in finest if covered[k, i] >= COVERED]
        strong = [k for k in able if power[k, i] >= least_sn**2]
        if strong or able:
            leaders[first + i] = strong[0] if strong else able[-1]
        elif covered[:, i].max() > 0:
            leaders[first + i] = int(covered[:, i].argmax())
    return leaders


def _blocks(wave: np.ndarray) -> np.ndarray:
    return np.floor(np.log(wave) / BLOCK).astype(np.int64)


def _piece(
    modes: Sequence[Mode], scales: Sequence[Scale], leader: int, pixels: np.ndarray, alike: float
) -> tuple[np.ndarray, ...]:
    """Columns of `Joint` for some pixels of the leading mode."""
    own = modes[leader]
    wave, resolution = own.wave[pixels], own.resolution[pixels]
    ivar = own.ivar[pixels]
    bits = np.where(ivar > 0, own.bit, 0)
    first = (own.flux[pixels], resolution, scales[leader].scale[pixels], scales[leader].scale_err[pixels])
    total = [ivar * values for values in first]
    edges = tuple(edge[pixels] for edge in capped_edges(own.wave))
    for k, mode in enumerate(modes):
        others = np.interp(wave, mode.wave, mode.resolution)
        close = np.maximum(others / resolution, resolution / others) < alike
        if k == leader or not close.any() or mode.wave[0] > wave[-1] or mode.wave[-1] < wave[0]:
            continue
        flux, extra = regridded(mode, *edges)
        extra = np.where(close, extra, 0.0)
        added = (flux, others, *(np.interp(wave, mode.wave, s) for s in (scales[k].scale, scales[k].scale_err)))
        total = [old + extra * values for old, values in zip(total, added, strict=True)]
        ivar = ivar + extra
        bits = bits | np.where(extra > 0, mode.bit, 0)
    mean = [np.where(ivar > 0, t / np.where(ivar > 0, ivar, 1.0), f) for t, f in zip(total, first, strict=True)]
    flux = np.where(ivar > 0, mean[0], 0.0)
    return wave, flux, ivar, bits, *mean[1:]


def regridded(mode: Mode, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean flux in other pixels, by overlap, and inverse variance; neighbours are correlated unless the pixels match.

    Parameters
    ----------
    mode : Mode
    low, high : ndarray, shape (n,) [um]
        Edges of the pixels.

    Returns
    -------
    flux, ivar : ndarray, shape (n,)
        ivar is 0 where less than 90 % of a pixel is valid.
    """
    left, right = capped_edges(mode.wave)
    near = (right > low[0]) & (left < high[-1])
    overlap = np.minimum(high[:, None], right[near]) - np.maximum(low[:, None], left[near])
    share = np.maximum(overlap, 0.0) * (mode.ivar[near] > 0)
    total = share.sum(axis=1)
    good = total > WHOLE * (high - low)
    share /= np.where(good, total, 1.0)[:, None]
    noise = share**2 @ mode.variance[near]
    good &= noise > 0
    return np.where(good, share @ mode.flux[near], 0.0), np.where(good, 1.0 / np.where(good, noise, 1.0), 0.0)
