"""Sky levels of shutters, and which are stuck closed, against known truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from nirfire.core.shutter_bins import BORDER, STEP, bin_numbers, image_rows, shutter_spectra, slit_image, wave_edges
from nirfire.core.shutter_levels import Spectra, shutter_levels, without_sources
from nirfire.core.shutters import CLOSED, OPEN, UNKNOWN, VIGNETTED, Limits, Verdict, find_verdicts

N_WAVE = 48
LIMITS = Limits(1e-3, 0.5)
WINGS = {0: 1.0, 1: 0.06, 2: 0.004}  # share of a source's light in its shutter, the next, the next but one


@dataclass(frozen=True)
class Case:
    """Simulated slitlets of three shutters."""

    n_slits: int = 30
    nods: tuple[int, ...] = (2, 1, 3)  # ordinal that holds the source at each nod
    snr: float = 12.0  # of the sky in a shutter at one nod
    scatter: float = 0.05  # from slitlet to slitlet
    source: float = 0.3  # median light of a source, over the sky
    spread: float = 1.0  # of its logarithm
    seed: int = 1

    def spectra(self, passing: dict[tuple[int, int], float] | None = None) -> Spectra:
        """Spectra; `passing` is the share of the light that passes a shutter, by (slit, ordinal)."""
        passing, rng = passing or {}, np.random.default_rng(self.seed)
        wave = np.linspace(0, 1, N_WAVE)
        sky = 2.0 + np.sin(3 * wave)
        noise = np.sqrt((sky**2).sum()) / self.snr
        rows, values = [], []
        for slit in range(self.n_slits):
            unit = 1 + self.scatter * rng.standard_normal()
            light = self.source * np.exp(self.spread * rng.standard_normal()) * np.exp(2 * wave * rng.uniform(-1, 1))
            for nod, place in enumerate(self.nods):
                for ordinal in (1, 2, 3):
                    seen = passing.get((slit, ordinal), 1.0)
                    values.append(seen * sky * (unit + WINGS[abs(ordinal - place)] * light))
                    rows.append((1, nod, slit, ordinal, ordinal == place))
        value = np.array(values) + noise * rng.standard_normal((len(values), N_WAVE))
        detector, exposure, slits, ordinals, sourced = np.array(rows).T
        ivar = np.full(value.shape, noise**-2)
        for array in (value, ivar, detector, exposure, slits, ordinals):
            array.flags.writeable = False
        return Spectra(value, ivar, detector, exposure, slits, ordinals, sourced.astype(bool))


def verdicts(spectra: Spectra) -> dict[tuple[int, int], Verdict]:
    return {(v.slit, v.ordinal): v for v in find_verdicts(spectra, shutter_levels(spectra), LIMITS)}


def states(spectra: Spectra, slit: int = 0) -> list[str]:
    found = verdicts(spectra)
    return [found[slit, k].state for k in (1, 2, 3)]


def test_stuck_shutters_are_found_and_no_others():
    passing = {(3, 1): 0.0, (7, 2): 0.0, (11, 3): 0.03, (20, 1): 0.0, (20, 2): 0.0, (20, 3): 0.0}
    found = verdicts(Case().spectra(passing))
    assert {k for k, v in found.items() if v.state == CLOSED} == set(passing)
    assert all(v.state == OPEN for k, v in found.items() if k not in passing)
    assert all(abs(found[k].level - passing[k]) < 4 * found[k].error for k in passing)


@pytest.mark.parametrize("snr", [4.0, 8.0, 40.0])
def test_false_alarms_are_rare(snr):
    """Some two thousand open shutters: as many false alarms as the setting allows, or fewer."""
    found = [v for seed in range(8) for v in verdicts(Case(90, snr=snr, seed=seed).spectra()).values()]
    assert len(found) == 8 * 270
    flagged = sum(v.state in (CLOSED, VIGNETTED) for v in found)
    assert flagged <= 4  # 2.2 expected at most
    low = np.array([v.chance for v in found]) < 0.1
    assert low.mean() < 0.12  # sources raise some levels, so fewer are low


def test_errors_are_those_of_the_levels():
    case = Case(60, source=0.0, scatter=0.0, snr=8.0)
    levels = shutter_levels(case.spectra())
    pull = (levels.level - 1) / levels.error
    assert 0.85 < 1.4826 * np.median(np.abs(pull)) < 1.1
    assert abs(np.median(levels.level) - 1) < 0.01


def test_noise_that_bins_share_makes_errors_larger():
    """A signal that goes on over some bins, as of 1/f noise, is in the scatter between blocks of bins."""
    case = Case(60, source=0.0, scatter=0.0, snr=20.0)
    spectra = case.spectra()
    rng = np.random.default_rng(5)
    slow = np.repeat(rng.standard_normal((len(spectra.value), N_WAVE // 4)), 4, axis=1)
    noise = 1 / np.sqrt(spectra.ivar[0, 0])
    levels = shutter_levels(spectra._replace(value=spectra.value + noise * slow))
    pull = (levels.level - 1) / levels.error
    assert 0.8 < 1.4826 * np.median(np.abs(pull)) < 1.2


def test_half_of_the_light():
    found = verdicts(Case(snr=25.0).spectra({(3, 1): 0.58, (5, 2): 0.35}))
    assert found[3, 1].state == VIGNETTED
    assert found[5, 2].state == CLOSED
    assert found[3, 1].level == pytest.approx(0.58, abs=0.06)


def test_too_little_sky_gives_no_verdict():
    found = verdicts(Case(snr=0.8, source=0.1).spectra({(3, 1): 0.0}))
    assert {v.state for v in found.values()} <= {UNKNOWN, OPEN}
    assert found[3, 1].state == UNKNOWN


@pytest.mark.parametrize("shut", [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3)])
@pytest.mark.parametrize("source", [0.05, 1.0, 30.0])
def test_a_slitlet_alone(shut, source):
    case = Case(1, source=source, spread=0.0, snr=40.0)
    expected = [CLOSED if k in shut else OPEN for k in (1, 2, 3)]
    assert states(case.spectra({(0, k): 0.02 for k in shut})) == expected


@pytest.mark.parametrize("nods", [(2, 1, 3), (1, 2), (1, 3), (2,), (1,)])
@pytest.mark.parametrize("source", [0.0, 0.5, 5.0, 50.0, 1000.0])
def test_bright_sources_alone_raise_no_alarm(nods, source):
    """Wings may be much brighter than the sky: what is dark beside them need not be dark."""
    found = states(Case(1, nods=nods, source=source, spread=0.0, snr=40.0).spectra())
    assert CLOSED not in found and VIGNETTED not in found


def test_one_exposure_of_many_slitlets():
    found = verdicts(Case(nods=(2,), snr=20.0).spectra({(3, 1): 0.0, (4, 2): 0.0}))
    assert {k for k, v in found.items() if v.state == CLOSED} == {(3, 1), (4, 2)}


def test_light_in_one_nod_shows_that_a_shutter_is_open():
    """A background that is too low in two of three nods is no stuck shutter."""
    spectra = Case(snr=60.0).spectra()
    value = spectra.value.copy()
    value[(spectra.slit == 4) & (spectra.ordinal == 1) & (spectra.exposure < 2)] *= 0.1
    assert verdicts(spectra._replace(value=value))[4, 1].state == OPEN


def test_shutters_cut_off_have_no_verdict():
    spectra = Case().spectra()
    ivar = spectra.ivar.copy()
    ivar[(spectra.slit == 4) & (spectra.ordinal == 3)] = 0.0
    found = verdicts(spectra._replace(ivar=ivar))[4, 3]
    assert found.state == UNKNOWN
    assert found.chance == 1.0


def test_cosmic_rays_in_bins_do_not_hide_a_stuck_shutter():
    spectra = Case().spectra({(4, 2): 0.0})
    value = spectra.value.copy()
    hit = np.flatnonzero((spectra.slit == 4) & (spectra.ordinal == 2))
    value[hit[:, None], [5, 21, 22, 40]] += 40.0
    assert verdicts(spectra._replace(value=value))[4, 2].state == CLOSED


def test_exposures_with_more_sky():
    """The sky may change from exposure to exposure, and detectors have nothing in common."""
    spectra = Case().spectra({(4, 2): 0.0})
    factor = np.array([1.0, 1.3, 0.8])[spectra.exposure][:, None]
    twice = Spectra(*(np.concatenate([a, a]) for a in spectra._replace(value=spectra.value * factor)))
    half = len(spectra.value)
    detector, value, ivar = twice.detector.copy(), twice.value.copy(), twice.ivar.copy()
    detector[half:] = 2
    value[half:] *= 50.0
    ivar[half:] /= 50.0**2
    both = twice._replace(detector=detector, value=value, ivar=ivar)
    found = verdicts(both)
    assert {k for k, v in found.items() if v.state == CLOSED} == {(4, 2)}
    assert found[0, 1].error < 0.9 * verdicts(spectra)[0, 1].error


def test_without_sources():
    mean, error, left = without_sources(np.array([5.0, 1.0, 1.02]), np.array([0.1, 0.02, 0.02]))
    assert (mean, left) == (pytest.approx(1.01), 1)
    assert error == pytest.approx(0.02 / np.sqrt(2), rel=0.05)


class TestBins:
    def pixels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns of pixels 0.2 pitch high in three shutters, of level 1, 0 and 2."""
        y, wave = np.meshgrid(np.arange(-0.8, 2.81, 0.2), np.linspace(1, 5, 400), indexing="ij")
        level = np.select([np.abs(y) < 0.45, np.abs(y - 2) < 0.45], [1.0, 2.0], 0.0)
        return y.ravel(), wave.ravel(), level.ravel()

    def test_edges_hold_equal_numbers(self):
        wave = np.random.default_rng(1).uniform(1, 2, 1000) ** 3
        bins = bin_numbers(wave, wave_edges(wave, 10))
        assert np.bincount(bins).tolist() == [100] * 10
        assert bin_numbers(np.array([0.5, 9.0]), wave_edges(wave, 10)).tolist() == [-1, -1]

    def test_spectra_of_shutters(self):
        y, wave, level = self.pixels()
        bins = bin_numbers(wave, wave_edges(wave, 20))
        variance = np.full(level.size, 0.01)
        value, ivar = shutter_spectra(y, bins, level, variance, np.arange(3.0), 20)
        assert np.allclose(value, np.array([[1.0], [0.0], [2.0]]))
        assert np.allclose(ivar, 3 * 20 / 0.01)  # 3 rows and 20 columns

    def test_a_cosmic_ray_is_left_out(self):
        y, wave, level = self.pixels()
        hit = np.flatnonzero(np.abs(y - 1) < 0.05)[::37]
        level[hit] += 50.0
        bins = bin_numbers(wave, wave_edges(wave, 20))
        value, _ = shutter_spectra(y, bins, level, np.full(level.size, 0.01), np.arange(3.0), 20)
        assert np.allclose(value[1], 0.0)

    def test_a_shutter_that_is_cut_off_says_nothing(self):
        y, wave, level = self.pixels()
        bins = bin_numbers(wave, wave_edges(wave, 20))
        kept = y < 2.05
        _, ivar = shutter_spectra(y[kept], bins[kept], level[kept], np.ones(kept.sum()), np.arange(3.0), 20)
        assert (ivar[:2] > 0).all()
        assert (ivar[2] == 0).all()

    def test_image(self):
        y, wave, level = self.pixels()
        image, count = slit_image(y + 0.01, bin_numbers(wave, wave_edges(wave, 20)), level, 3, 20)
        assert image.shape == (image_rows(3), 20) == (38, 20)
        middle = -BORDER + STEP * (np.arange(38) + 0.5)
        assert np.allclose(image[np.abs(middle) < 0.3], 1.0)
        assert np.allclose(image[np.abs(middle - 1) < 0.3], 0.0)
        assert (count[3:-3] > 0).all()
