"""Line fluxes against spectra of known lines."""

import numpy as np
import pytest
from scipy.special import ndtr

from nirfire.core.grids import wave_grid
from nirfire.core.line_blends import NAMES, REST, find_blends
from nirfire.core.line_fluxes import measure_lines
from nirfire.core.lines import WAVE
from nirfire.core.lsf import C_KMS, FWHM_TO_SIGMA, pixel_edges, resolving_power

FILTERS = {"PRISM": "CLEAR", "G395M": "F290LP", "G235M": "F170LP"}
HB = 1e-18  # erg/s/cm2
RATIOS = {
    "Ha": 2.86, "NII6585": 0.4, "NII6550": 0.4 / 2.94, "Hb": 1.0, "OIII5008": 5.0, "OIII4960": 5.0 / 2.98, "Hg": 0.47,
    "OII3727": 0.6, "OII3730": 0.8, "NeIII3869": 0.4, "NeIII3968": 0.12, "SII6718": 0.2, "SII6733": 0.15,
    "HeI5877": 0.12, "Hd": 0.26,
}  # fmt: skip


def lines_at(wave, z, fluxes, grating, *, sigma_v=150.0, factor=None):
    """f_nu [uJy] of lines, fluxes in HB."""
    low, high = pixel_edges(wave)
    out = np.zeros(wave.size)
    for name, flux in fluxes.items():
        center = WAVE[name] * (1 + z)
        lsf = FWHM_TO_SIGMA / float(resolving_power(grating, np.array(center), factor))
        sigma = center * np.hypot(lsf, sigma_v / C_KMS)
        share = (ndtr((high - center) / sigma) - ndtr((low - center) / sigma)) / (high - low)
        out += flux * HB * share * wave**2 / 2.99792458e14 * 1e29
    return out


def noise_level(wave, z, grating, snr, **kwargs):
    """Error [uJy] with which H-beta has this S/N."""
    return float(np.sqrt(np.sum(lines_at(wave, z, {"Hb": 1.0}, grating, **kwargs) ** 2)) / snr)


def truth(lines, fluxes=RATIOS):
    return HB * np.array([sum(fluxes.get(one, 0.0) for one in str(name).split("+")) for name in lines.name])


def flux_of(lines, name):
    (k,) = np.flatnonzero(lines.line == name)
    return lines.flux[k] / HB, lines.flux_err[k] / HB, str(lines.name[k])


@pytest.mark.parametrize(
    ("grating", "z", "factor", "sigma_v"),
    [("PRISM", 3.0, None, 150.0), ("PRISM", 5.5, 1.9, 80.0), ("G395M", 5.5, 1.2, 60.0), ("G235M", 3.0, None, 400.0)],
)
def test_fluxes_pulls_and_limits(grating, z, factor, sigma_v):
    wave = wave_grid(grating, FILTERS[grating]).wave
    shape = {"factor": factor, "sigma_v": sigma_v}
    flux = 1.0 + lines_at(wave, z, RATIOS, grating, **shape)
    error = noise_level(wave, z, grating, 8.0, **shape)
    rng = np.random.default_rng(4)
    pulls, widths, inside = [], [], []
    for _ in range(25):
        noisy = flux + error * rng.normal(size=wave.size)
        lines = measure_lines(
            wave, noisy, np.full(wave.size, error**-2), z, grating=grating, continuum=np.ones(wave.size)
        )
        pulls.append((lines.flux - truth(lines)) / lines.flux_err)
        inside.append(truth(lines) <= lines.limit)
        bright = (lines.snr > 20) & (lines.ew_err < 0.2 * lines.ew_rest)
        per_angstrom = 1e-29 * 2.99792458e18 / (lines.wave_obs * 1e4) ** 2
        widths.append((lines.ew_rest * per_angstrom * (1 + z))[bright] / truth(lines)[bright])
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 0.2
    assert 0.85 < pull.std() < 1.15
    assert np.mean(np.concatenate(inside)) > 0.985
    assert np.median(np.concatenate(widths)) == pytest.approx(1.0, abs=0.05)
    assert lines.snr.size == lines.name.size
    assert lines.n_detected >= 2
    assert lines.fwhm_broad == 0.0


def test_lines_that_cannot_be_told_apart_are_one_row():
    def rows(grating, z):
        center = REST * (1 + z)
        wave = wave_grid(grating, FILTERS[grating]).wave
        line = np.flatnonzero((center > wave[0]) & (center < wave[-1]))
        sigma = center[line] * np.hypot(FWHM_TO_SIGMA / resolving_power(grating, center[line]), 150 / C_KMS)
        blends = find_blends(line, center[line], sigma)
        assert (blends.share > 0).sum(axis=1).max() == 1  # every line has one amplitude
        assert sorted({i for one in blends.members for i in one}) == sorted(
            i
            for i in range(line.size)
            if (blends.row @ (blends.share[i] > 0) > 0).any() and i in np.concatenate(blends.members)
        )
        return {"+".join(NAMES[line[i]] for i in one) for one in blends.members}

    prism, medium = rows("PRISM", 4.0), rows("G395M", 5.0)
    assert {"Ha+NII6550+NII6585", "OII3730+OII3727", "Hb", "OIII5008"} <= prism
    assert {"Ha", "NII6585", "SII6718", "SII6733", "Hb", "OIII5008"} <= medium
    assert not {"OIII4960", "NII6550"} & (prism | medium)  # they are what their doublets say


def test_the_sum_of_a_blend_does_not_depend_on_its_shares():
    wave = wave_grid("PRISM", "CLEAR").wave
    for nitrogen in (0.0, 1.0, 3.0):
        fluxes = {"Ha": 2.86, "NII6585": nitrogen, "NII6550": nitrogen / 2.94, "OIII5008": 5, "OIII4960": 5 / 2.98}
        flux = lines_at(wave, 4.0, fluxes, "PRISM")
        lines = measure_lines(wave, flux, np.full(wave.size, 1e4), 4.0, grating="PRISM")
        value, _, name = flux_of(lines, "Ha")
        assert name == "Ha+NII6550+NII6585"
        assert value == pytest.approx(2.86 + nitrogen * (1 + 1 / 2.94), rel=0.01)
        assert flux_of(lines, "OIII5008")[0] == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize(("grating", "z", "wide"), [("PRISM", 3.0, 0.5), ("G395M", 5.5, 0.2)])
def test_broad_lines_are_measured_whole(grating, z, wide):
    wave = wave_grid(grating, FILTERS[grating]).wave
    broad = {"Ha": 6.0, "Hb": 1.5}
    flux = lines_at(wave, z, RATIOS, grating) + lines_at(wave, z, broad, grating, sigma_v=3000 * FWHM_TO_SIGMA)
    error = noise_level(wave, z, grating, 15.0)
    rng = np.random.default_rng(8)
    noisy = flux + error * rng.normal(size=wave.size)
    lines = measure_lines(wave, noisy, np.full(wave.size, error**-2), z, grating=grating, continuum=np.zeros(wave.size))
    assert lines.fwhm_broad == pytest.approx(3000.0, rel=wide)
    total = truth(lines) + HB * np.array([broad.get(str(one), 0.0) for one in lines.line])
    assert np.abs((lines.flux - total) / lines.flux_err).max() < 4.0
    k = list(lines.line).index("Ha")
    assert lines.flux[k] == pytest.approx(total[k], rel=0.1)
    assert lines.flux_broad[k] == pytest.approx(6.0 * HB, rel=2.0 * wide)


def test_missing_pixels_and_edges():
    wave = wave_grid("G395M", "F290LP").wave
    z = 5.5
    flux = 0.2 + lines_at(wave, z, RATIOS, "G395M")
    error = noise_level(wave, z, "G395M", 20.0)
    ivar = np.full(wave.size, error**-2)
    ivar[wave > WAVE["Ha"] * (1 + z)] = 0.0  # half of H-alpha, [N II] and what follows
    ivar[np.abs(wave / (1 + z) - WAVE["Hb"]) < 0.002] = 0.0
    noisy = np.where(ivar > 0, flux + error * np.random.default_rng(2).normal(size=wave.size), np.nan)
    lines = measure_lines(wave, noisy, ivar, z, grating="G395M", continuum=np.full(wave.size, 0.2))
    assert "Hb" not in lines.line
    assert "SII6718" not in lines.line
    value, spread, _ = flux_of(lines, "Ha")
    assert abs(value - 2.86) < 4 * spread
    assert 0.4 < lines.coverage[list(lines.line).index("Ha")] < 0.65
    weak = measure_lines(
        wave, flux, np.where(np.abs(wave / (1 + z) - WAVE["OIII5008"]) < 0.003, 0, error**-2), z, grating="G395M"
    )
    assert "OIII5008" not in weak.line
    assert flux_of(weak, "OIII4960")[0] == pytest.approx(5.0 / 2.98, rel=0.05)


def test_correlated_noise_widens_the_errors():
    wave = wave_grid("G395M", "F290LP").wave
    error = noise_level(wave, 5.5, "G395M", 5.0)
    kernel = np.array([0.2, 1.0, 0.2]) / np.sqrt(1.08)
    bands = np.array([2 * 0.2 / 1.08, 0.04 / 1.08])[:, None] * np.ones(wave.size)
    rng = np.random.default_rng(6)
    pulls = {True: [], False: []}
    for _ in range(25):
        noise = error * np.convolve(rng.normal(size=wave.size), kernel, mode="same")
        for known in (True, False):
            lines = measure_lines(
                wave, noise, np.full(wave.size, error**-2), 5.5, grating="G395M", correlation=bands if known else None
            )
            pulls[known].append(lines.flux / lines.flux_err)
    assert np.std(pulls[True]) == pytest.approx(1.0, abs=0.1)
    assert np.std(pulls[False]) > 1.15


def test_a_break_that_is_a_little_off_is_no_line():
    wave = wave_grid("PRISM", "CLEAR").wave
    z, error = 8.0, 0.01
    center, width = WAVE["Lya"] * (1 + z), 0.0095 * WAVE["Lya"] * (1 + z)
    model, true = (ndtr((wave - place) / width) for place in (center, center * 0.998))  # 0.08 FWHM
    noise = error * np.random.default_rng(3).normal(size=wave.size)
    ivar = np.full(wave.size, error**-2)
    for strength, seen in ((0.0, False), (100.0, True)):
        flux = true + lines_at(wave, z, {"Lya": strength}, "PRISM") + noise
        lines = measure_lines(wave, flux, ivar, z, grating="PRISM", continuum=model)
        value, spread, _ = flux_of(lines, "Lya")
        assert abs(value - strength) < 3 * spread
        assert (value > 5 * spread) == seen


def test_lines_that_are_not_at_their_wavelengths():
    wave = wave_grid("PRISM", "CLEAR").wave
    error = noise_level(wave, 3.0, "PRISM", 30.0)
    flux = np.zeros(wave.size)
    for name, value in RATIOS.items():  # [O III] and bluer are off by 0.3 FWHM, H-alpha is right
        width = 1 / float(resolving_power("PRISM", np.array(WAVE[name] * 4.0)))
        z = 3.0 + 4.0 * (0.3 * width if WAVE[name] < 0.55 else 0.0)
        flux += lines_at(wave, z, {name: value}, "PRISM")
    flux += error * np.random.default_rng(12).normal(size=wave.size)
    lines = measure_lines(wave, flux, np.full(wave.size, error**-2), 3.0, grating="PRISM", continuum=0 * wave)
    for name in ("OIII5008", "Hb", "Ha"):
        value, spread, joined = flux_of(lines, name)
        assert value == pytest.approx(sum(RATIOS.get(one, 0.0) for one in joined.split("+")), abs=3 * spread)
        assert spread < 0.06 * value
    assert lines.wave_obs[list(lines.line).index("OIII5008")] == pytest.approx(WAVE["OIII5008"] * 4.0)


def test_misfit_raises_the_errors():
    wave = wave_grid("PRISM", "CLEAR").wave
    flux = lines_at(wave, 3.0, RATIOS, "PRISM")
    ivar = np.full(wave.size, noise_level(wave, 3.0, "PRISM", 100.0) ** -2)
    right = measure_lines(wave, flux, ivar, 3.0, grating="PRISM")
    wrong = measure_lines(wave, flux + lines_at(wave, 3.1, {"OIII5008": 1.5}, "PRISM"), ivar, 3.0, grating="PRISM")
    k, j = list(right.line).index("OIII5008"), list(wrong.line).index("OIII5008")
    assert wrong.chi2_dof[j] > 10
    assert wrong.flux_err[j] > 3 * right.flux_err[k]


@pytest.mark.parametrize("values", [(np.nan, 1.0), (1.0, 0.0), (1.0, np.nan)])
def test_nothing_to_measure_gives_no_rows(values):
    wave = wave_grid("PRISM", "CLEAR").wave
    wave.setflags(write=False)
    flux, ivar = (np.full(wave.size, value) for value in values)
    for array in (flux, ivar):
        array.setflags(write=False)
    lines = measure_lines(wave, flux, ivar, 3.0, grating="PRISM", continuum=flux)
    assert lines.flux.size == 0
    assert lines.n_detected == 0
    assert measure_lines(wave, np.ones(wave.size), np.ones(wave.size), 400.0, grating="PRISM").name.size == 0
