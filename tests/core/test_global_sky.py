"""The sky of an exposure from its blank shutters, on synthetic slitlets with known sky, bars, sources and faults."""

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.global_sky import fit_sky, sky_in
from nirfire.core.sky_design import open_share
from nirfire.core.sky_slit import SkySlit

N_SPAT, N_WAVE, PITCH = 19, 150, 5.0
SIGMA = 0.1


def spectrum(wave):
    return 1.0 + 0.6 * np.sin(3 * wave) * np.exp(-wave / 4)


def scale(place):
    return 1.0 + 0.06 * place[0] / 50 - 0.04 * place[1] / 50 + 0.02 * np.sin(place[0] / 9) * np.cos(place[1] / 7)


def bar(y):
    """Light that leaks through the bars, beyond the geometry: 3 per cent where they are."""
    phase = y - np.rint(y)
    return 0.03 * np.exp(-0.5 * ((np.abs(phase) - 0.5) / 0.04) ** 2) * (np.abs(y) < 1.3)


def truth(slit):
    """Even light in the slitlet, with bars."""
    y = 0.5 * (slit.edges[1:] + slit.edges[:-1])
    return scale(slit.place) * spectrum(slit.wave) * (open_share(slit.edges, slit.shutters) + bar(y))


def slitlets(n=14, *, seed=1, flux=3.0, sigma=SIGMA, sourceless=()):
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        row = np.arange(N_SPAT + 1)[:, None] - 0.5 - (N_SPAT - 1) / 2
        edges = -(row + 0.8 * rng.uniform(-1, 1) + 0.004 * np.arange(N_WAVE)) / PITCH
        wave = np.broadcast_to(0.6 + 0.03 * (np.arange(N_WAVE) + 5 * rng.random()), (N_SPAT, N_WAVE)).copy()
        source = () if k in sourceless else (float(rng.uniform(-0.3, 0.3)),)
        slit = SkySlit(
            flux=np.zeros(wave.shape),
            ivar=np.full(wave.shape, sigma**-2),
            wave=wave,
            shift=np.full(wave.shape, 0.0),
            edges=edges,
            shutters=(-1, 0, 1),
            sources=source,
            place=rng.uniform(-50, 50, 2),
        )
        light = np.zeros(wave.shape)
        for place in source:
            y = 0.5 * (edges[1:] + edges[:-1])
            core = np.exp(-0.5 * ((y - place) / 0.15) ** 2)
            wings = 0.06 * np.exp(-0.5 * ((y - place) / 0.6) ** 2)
            light = flux * rng.uniform(0.02, 1) * (core + wings) * open_share(edges, (-1, 0, 1))
        noise = sigma * rng.standard_normal(wave.shape)
        made.append(replace(slit, flux=truth(slit) + light + noise))
    return made


def worst(model, slits, which):
    """Mean error of the model in slitlets, over the sky."""
    found = []
    for k in which:
        value, _, known = sky_in(model, slits[k], k)
        full = known & (open_share(slits[k].edges, slits[k].shutters) > 0.9)
        found.append(np.mean((value - truth(slits[k]))[full]) / np.mean(truth(slits[k])[full]))
    return np.max(np.abs(found))


@pytest.fixture(scope="module")
def plain():
    slits = slitlets(sourceless=(3, 8))
    return slits, fit_sky(slits)


def test_blank_slitlets_to_a_third_of_a_per_cent(plain):
    slits, model = plain
    assert model.chi2 == pytest.approx(1.0, abs=0.05)
    assert worst(model, slits, (3, 8)) < 0.003


def test_wings_of_sources_are_not_taken_for_sky(plain):
    slits, model = plain
    assert worst(model, slits, range(len(slits))) < 0.015


def test_every_pixel_is_within_its_error(plain):
    slits, model = plain
    for k in (3, 8):
        value, variance, known = sky_in(model, slits[k], k)
        lit = known & slits[k].blank & (variance > 0)
        pull = (value - truth(slits[k]))[lit] / np.sqrt(variance[lit])
        assert np.sqrt(np.mean(pull**2)) < 2.0
        assert np.mean(variance[known]) < 0.06 * SIGMA**2


def test_a_slitlet_that_was_not_there_has_the_field_and_a_larger_error(plain):
    slits, model = plain
    value, _, known = sky_in(model, slits[3], None)
    full = known & (open_share(slits[3].edges, slits[3].shutters) > 0.9)
    assert np.mean(value[full] / truth(slits[3])[full]) == pytest.approx(1.0, abs=0.04)
    unknown, own = (model.factor(index, slits[3].place)[1][0, 0] for index in (None, 3))
    assert unknown > 4 * own


def test_beyond_the_measured_wavelengths_nothing_is_known(plain):
    slits, model = plain
    beyond = replace(slits[0], wave=slits[0].wave + 10)
    assert not sky_in(model, beyond, 0)[2].any()


def test_stuck_shutter_unknown_source_and_cosmic_rays_do_not_matter(plain):
    slits = list(plain[0])
    y = 0.5 * (slits[3].edges[1:] + slits[3].edges[:-1])
    dark, shining = np.rint(y) == 1, np.rint(y) == -1
    slits[3] = replace(slits[3], flux=np.where(dark, 0.02, slits[3].flux))
    slits[8] = replace(slits[8], flux=np.where(shining, slits[8].flux + 0.8, slits[8].flux))
    hit = np.random.default_rng(5).random(y.shape) < 0.01
    slits[9] = replace(slits[9], flux=np.where(hit, slits[9].flux + 30, slits[9].flux))
    for slit in slits:
        slit.flux.flags.writeable = slit.ivar.flags.writeable = False
    model = fit_sky(slits)
    assert worst(model, slits, (3, 8, 9)) < 0.006


def test_calibration_at_shifted_wavelengths_is_learnt():
    slits = slitlets(20, seed=3, flux=0.0, sigma=0.02, sourceless=(4,))
    rng = np.random.default_rng(8)
    moved = []
    for slit in slits:
        shift = 0.03 * rng.uniform(-0.6, 0.6)
        factor = 1 + 0.05 * np.cos(2 * slit.wave) * shift / 0.03
        even = truth(slit)
        moved.append(replace(slit, flux=slit.flux + even * (factor - 1), shift=np.full(slit.wave.shape, shift)))
    model = fit_sky(moved)
    for k in range(20):
        value, _, known = sky_in(model, moved[k], k)
        full = known & (open_share(moved[k].edges, (-1, 0, 1)) > 0.9)
        ratio = value[full] / (truth(slits[k]) * (1 + 0.05 * np.cos(2 * slits[k].wave) * moved[k].shift / 0.03))[full]
        assert np.std(ratio) < 0.01
        assert np.mean(ratio) == pytest.approx(1.0, abs=0.003)


def test_nothing_blank_is_none():
    slits = [replace(s, shutters=(0,)) for s in slitlets(3)]
    edges = [np.clip(s.edges, -0.4, 0.4) for s in slits]
    assert fit_sky([replace(s, edges=e) for s, e in zip(slits, edges, strict=True)]) is None
