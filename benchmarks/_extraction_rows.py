"""Bias, errors and noise of many realisations, judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from _extraction_methods import Shot
from _extraction_noise import BLOCK, truth
from _extraction_observe import spectrum
from _rows import entry

Array = NDArray[np.float64]

BANDS = 8
BIAS, FAINT_BIAS = 0.01, 0.3
PULLS = (0.95, 1.05)
BOUND, BOX = 0.97, 1.15
AGREE = 0.01
HALF_LINE = 8  # bins
DIVIDE = 3.0  # S/N per bin between the two goals on bias


def groups(shots: Iterable[Shot]) -> dict[tuple[str, float], list[Shot]]:
    """Shots of the same source at the same brightness, in order."""
    found: dict[tuple[str, float], list[Shot]] = {}
    for shot in shots:
        found.setdefault((shot.job.case.name, shot.job.target), []).append(shot)
    return found


def _stack(shots: list[Shot], column: Callable[[Shot], Array]) -> Array:
    return np.array([column(shot) for shot in shots])


def weights(shots: list[Shot], err: Array) -> Array:
    """Weight of each bin in the mean flux over the true one: truth over the square of its usual error, (n_wave,)."""
    usual = np.nanmedian(np.where(np.isfinite(err).any(axis=0), err, np.inf), axis=0)
    return np.where(np.isfinite(usual) & (usual > 0), shots[0].truth / usual**2, 0.0)


def ratios(shots: list[Shot], flux: Array, err: Array, pieces: list[slice]) -> tuple[Array, Array]:
    """Mean flux over the true one in pieces of the spectrum, and its error, each of shape (n_shot, n_piece).

    The weights are the same in all shots. Errors are propagated with the correlation of neighbours and the error by
    place and size, which all bins have in common.
    """
    weight = weights(shots, err)
    value, sigma = np.full((len(shots), len(pieces)), np.nan), np.full((len(shots), len(pieces)), np.nan)
    for k, shot in enumerate(shots):
        good = np.isfinite(flux[k]) & np.isfinite(err[k])
        w = np.where(good, weight, 0.0)
        scaled = w * np.where(good, err[k], 0.0)
        for p, piece in enumerate(pieces):
            total = np.sum(w[piece] * shot.truth[piece])
            if good[piece].mean() < 0.5 or total <= 0:
                continue
            variance = np.sum(scaled[piece] ** 2)
            for lag, row in enumerate(shot.correlation, start=1):
                left, right = scaled[piece][:-lag], scaled[piece][lag:]
                variance += 2.0 * np.sum(row[piece][:-lag] * left * right)
            variance += np.sum((w * shot.truth * shot.common)[piece]) ** 2
            value[k, p] = np.sum(w[piece] * np.where(good, flux[k], 0.0)[piece]) / total
            sigma[k, p] = np.sqrt(max(variance, 1e-300)) / total
    return value, sigma


def blocks(shot: Shot) -> list[slice]:
    """Runs of `BLOCK` bins."""
    return [slice(BLOCK * k, BLOCK * (k + 1)) for k in range(len(shot.bound))]


def bands(shot: Shot) -> list[slice]:
    """Eight wide pieces, of whole blocks."""
    limits = np.linspace(0, len(shot.bound), BANDS + 1).round().astype(int) * BLOCK
    return [slice(a, b) for a, b in pairwise(limits)]


def _pair_means(shots: list[Shot], values: Array) -> Array:
    """Mean of the two realisations of each pair, shape (n_pair, ...)."""
    pairs = sorted({shot.pair for shot in shots})
    return np.array([np.mean([v for s, v in zip(shots, values, strict=True) if s.pair == p], axis=0) for p in pairs])


def _halves(shots: list[Shot], values: Array) -> Array:
    """Half the difference of the two realisations of each pair: the noise of one, shape (n_pair, ...)."""
    plus = {s.pair: v for s, v in zip(shots, values, strict=True) if s.sign > 0}
    minus = {s.pair: v for s, v in zip(shots, values, strict=True) if s.sign < 0}
    return np.array([(plus[p] - minus[p]) / 2.0 for p in sorted(plus)])


def bias_table(shots: list[Shot]) -> list[tuple[float, ...]]:
    """Per source, brightness and band: wavelength, S/N per bin, bias, its error, sigma of the band by the product."""
    rows: list[tuple[float, ...]] = []
    for mine in groups(shots).values():
        flux, err = _stack(mine, lambda s: s.flux), _stack(mine, lambda s: s.err)
        pieces = bands(mine[0])
        value, sigmas = ratios(mine, flux, err, pieces)
        means = _pair_means(mine, value)
        bound = np.mean([s.bound for s in mine], axis=0)
        for p, piece in enumerate(pieces):
            inside = bound[piece.start // BLOCK : piece.stop // BLOCK]
            sigma = float(1.0 / np.sqrt(np.sum(inside**-2.0)))
            per_bin = 1.0 / (sigma * np.sqrt(piece.stop - piece.start))
            spread = float(np.std(means[:, p], ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
            wave = float(np.mean(mine[0].wave[piece]))
            rows.append((wave, per_bin, float(means[:, p].mean()) - 1.0, spread, float(np.mean(sigmas[:, p]))))
    return rows


def bias_rows(shots: list[Shot], head: str, *, goal: bool) -> list[dict]:
    """Rows on bias, by size of the source: relative where S/N is good, in sigma of the mean of a band elsewhere."""
    made = []
    for size in sorted({s.job.case.size for s in shots}):
        table = np.array(bias_table([s for s in shots if s.job.case.size == size]))
        name = f'sigma {size:g}"' if size else "point"
        bright, faint = table[table[:, 1] > DIVIDE], table[table[:, 1] <= DIVIDE]
        if len(bright):
            parts = bright[:, 0], bright[:, 2], bright[:, 3]
            made += _bias_of(*parts, f"{head} bias at S/N > 3, {name}:", BIAS, goal=goal)
        if len(faint):
            parts = faint[:, 0], faint[:, 2] / faint[:, 4], faint[:, 3] / faint[:, 4]
            made += _bias_of(*parts, f"{head} bias over sigma at S/N < 3, {name}:", FAINT_BIAS, goal=goal)
    return made


def _bias_of(wave: Array, value: Array, error: Array, head: str, aim: float, *, goal: bool) -> list[dict]:
    unit, scale = ("%", 100.0) if aim == BIAS else ("sigma", 1.0)
    told = f"< {scale * aim:g}" if goal else None
    by_band = {w: float(np.nanmean(value[wave == w])) for w in np.unique(wave)}
    at = max(by_band, key=lambda w: abs(by_band[w]))
    worst = int(np.nanargmax(np.abs(value)))
    total = float(np.nanmean(value))

    def row(text: str, found: float) -> dict:
        return entry(f"{head} {text}", scale * found, unit, told, not goal or abs(found) < aim)

    return [
        row("mean of all", total),
        row(f"worst band ({at:.2f} um)", by_band[at]),
        entry(f"{head} worst band of one source and brightness", scale * float(value[worst]), unit),
        entry(f"{head} error of that", scale * float(error[worst]), unit),
    ]


def robust(values: Array) -> float:
    """1.4826 times the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def pull_rows(shots: list[Shot], head: str, *, goal: bool) -> list[dict]:
    """Rows on errors, by brightness: pulls of bins and of the mean of 20."""
    made = []
    for target in sorted({s.job.target for s in shots}):
        single, means = [], []
        for mine in groups(s for s in shots if s.job.target == target).values():
            flux, err = _stack(mine, lambda s: s.flux), _stack(mine, lambda s: s.err)
            common = _stack(mine, lambda s: s.common * s.truth)
            pull = (flux - mine[0].truth) / np.hypot(err, common)
            single.append(pull[np.isfinite(pull)])
            value, sigma = ratios(mine, flux, err, blocks(mine[0]))
            means.append(((value - 1.0) / sigma)[np.isfinite(value)])
        for name, found in (("bins", np.concatenate(single)), (f"means of {BLOCK}", np.concatenate(means))):
            width = float(np.std(found))
            told = f"{PULLS[0]} to {PULLS[1]}" if goal else None
            ok = not goal or PULLS[0] < width < PULLS[1]
            made.append(entry(f"{head} pulls at S/N {target:g}, {name}", width, "", told, ok))
            made.append(entry(f"{head} pulls at S/N {target:g}, {name}: 1.4826 MAD", robust(found)))
            made.append(entry(f"{head} pulls at S/N {target:g}, {name}: mean", float(np.mean(found))))
    return made


def noise(shots: list[Shot], flux: Array, err: Array, *, scaled: bool = False) -> Array:
    """Relative noise of the mean of blocks over the Cramer-Rao bound, shape (n_pair, n_block).

    With `scaled`, what all blocks of a spectrum have in common is taken out of it.
    """
    value, _ = ratios(shots, flux, err, blocks(shots[0]))
    bound = _pair_means(shots, _stack(shots, lambda s: s.bound))
    left = _halves(shots, value) / np.nanmean(value)
    if scaled:
        weight = np.where(np.isfinite(left), bound**-2.0, 0.0)
        share = weight / weight.sum(axis=1, keepdims=True)
        left = left - np.nansum(share * left, axis=1, keepdims=True)
        left = left / np.sqrt(1.0 - share)  # a mean of so many blocks takes this from their own noise
    return left / bound


def noise_rows(shots: list[Shot], head: str, *, goal: bool) -> list[dict]:
    """Rows on the S/N: against the best possible one, and against the boxcar of five pixels."""
    made = []
    for target in sorted({s.job.target for s in shots}):
        found, scaled, compact, boxed, claimed = [], [], [], [], []
        for mine in groups(s for s in shots if s.job.target == target).values():
            ratio = noise(mine, _stack(mine, lambda s: s.flux), _stack(mine, lambda s: s.err))
            found.append(ratio.ravel())
            pair = _stack(mine, lambda s: s.flux), _stack(mine, lambda s: s.err)
            value, sigma = ratios(mine, *pair, blocks(mine[0]))
            claimed.append((_halves(mine, value) / _pair_means(mine, sigma)).ravel())
            scaled.append(noise(mine, *pair, scaled=True).ravel())
            if mine[0].job.case.compact and 5 in mine[0].boxes:
                box = noise(mine, _stack(mine, lambda s: s.boxes[5][0]), _stack(mine, lambda s: s.boxes[5][1]))
                compact.append(ratio.ravel())
                boxed.append(box.ravel())
        share = 1.0 / _rms(np.concatenate(found))
        told = f">= {BOUND}" if goal else None
        made.append(entry(f"{head} S/N over Cramer-Rao at S/N {target:g}", share, "", told, share >= BOUND or not goal))
        width = _rms(np.concatenate(claimed))
        made.append(entry(f"{head} noise of means of {BLOCK} over the claimed error at S/N {target:g}", width))
        share = 1.0 / _rms(np.concatenate(scaled))
        made.append(entry(f"{head} the same without the noise of the common scale", share))
        if boxed:
            gain = _rms(np.concatenate(boxed)) / _rms(np.concatenate(compact))
            judged = goal and target < DIVIDE
            told = f">= {BOX}" if judged else None
            text = f"{head} S/N over that of the 5 px boxcar at S/N {target:g}, compact"
            made.append(entry(text, gain, "", told, gain >= BOX or not judged))
    return made


def _rms(values: Array) -> float:
    there = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(there**2)))


def agreement_rows(shots: list[Shot], head: str, *, goal: bool) -> list[dict]:
    """Rows on the boxcars of the brightest points, over the optimal flux; bands."""
    brightest = max(s.job.target for s in shots)
    made = []
    for (case, _), mine in groups(s for s in shots if s.job.target == brightest and s.job.case.size == 0).items():
        if not mine[0].boxes:
            continue
        flux, err = _stack(mine, lambda s: s.flux), _stack(mine, lambda s: s.err)
        best = _pair_means(mine, ratios(mine, flux, err, bands(mine[0]))[0]).mean(axis=0)
        for width in mine[0].boxes:
            wide = [np.array([s.boxes[width][k] for s in mine]) for k in (0, 1)]
            box = _pair_means(mine, ratios(mine, wide[0], wide[1], bands(mine[0]))[0]).mean(axis=0)
            worst = float(np.nanmax(np.abs(box / best - 1.0)))
            told = f"< {100 * AGREE:g}" if goal else None
            text = f"{head} {width} px boxcar against it, {case}, worst band"
            made.append(entry(text, 100 * worst, "%", told, worst < AGREE or not goal))
    return made


def whole_rows(shots: list[Shot], head: str, *, goal: bool) -> list[dict]:
    """Rows on what every product must have, and on cost."""
    odd = sum(s.odd for s in shots)
    told = "0" if goal else None
    lost = float(np.mean([np.mean(~np.isfinite(s.flux)) for s in shots]))
    made = [
        entry(
            f"{head} bins where finite flux, finite error > 0 and mask disagree", odd, "", told, odd == 0 or not goal
        ),
        entry(f"{head} bins without flux", 100 * lost, "%"),
    ]
    for name in shots[0].seconds:
        spent = float(np.median([s.seconds[name] for s in shots]))
        made.append(entry(f"{head} CPU of {name}, median", spent, "s"))
    return made


def line_rows(shots: list[Shot], head: str) -> list[dict]:
    """Rows on lines: their flux over the true one, and the largest difference of a bin."""
    made = []
    for mine in groups(s for s in shots if s.job.case.lines).values():
        job, wave, true = mine[0].job, mine[0].wave, mine[0].truth
        unit = truth(job.case, job.layout, wave)
        smooth = truth(replace(job.case, lines=False), job.layout, wave) * np.median(true / unit)
        flux = np.nanmean(_stack(mine, lambda s: s.flux), axis=0)
        step = np.gradient(wave)
        for name in (line.name for line in spectrum(job.case, job.layout.grating).lines):
            middle = int(np.argmin(np.abs(wave - float(name))))
            away = np.abs(np.arange(len(wave)) - middle)
            wide, beside = away <= HALF_LINE, (away > HALF_LINE) & (away <= 3 * HALF_LINE)
            below = smooth * np.nanmedian((flux / smooth)[beside])
            found = np.nansum(((flux - below) * step)[wide]) / np.sum(((true - smooth) * step)[wide])
            made.append(entry(f"{head} line at {name} um: flux over true", float(found)))
            off = np.abs(flux - true)[wide] / np.max((true - smooth)[wide])
            made.append(entry(f"{head} line at {name} um: worst bin over peak", 100 * float(np.nanmax(off)), "%"))
    return made
