"""Share of a source's light that nod subtraction removes, against Gaussians and wings whose share is known."""

import numpy as np
import pytest
from scipy.special import ndtr

from nirfire.core.background_choice import choose
from nirfire.core.nod_overlap import Collapsed, collapse, nod_overlap

PIXEL, PITCH = 0.1, 5.02  # arcsec; shutters' pitch in pixels
NODS = {2: (0, 1), 3: (0, -1, 1), 5: (0, -1, 1, -2, 2)}
SNR = 50
SKY = 5.0


def light(size, n_nods):
    """Profiles of a source of some size [arcsec] in every nod, and where it is; bars are left out."""
    nods = np.array(NODS[n_nods])
    n_row = int(np.ptp(nods + 0) * PITCH + PITCH) + 4
    rows = (n_row - 1) / 2 - PITCH * (nods.max() + nods.min()) / 2 + 0.17 + PITCH * nods
    edges = np.arange(n_row + 1) - 0.5
    return np.diff(ndtr((edges - rows[:, None]) / (np.hypot(size, 0.06) / PIXEL)), axis=1), rows


def share(profiles, rows):
    found = []
    for k, row in enumerate(rows):
        aperture = np.abs(np.arange(profiles.shape[1]) - row) <= 2.5
        others = np.median(np.delete(profiles, k, axis=0)[:, aperture], axis=0)
        found.append(others.sum() / profiles[k, aperture].sum())
    return np.mean(found)


def observed(profiles, rows, seed, sky=SKY):
    rng = np.random.default_rng(seed)
    aperture = np.abs(np.arange(profiles.shape[1]) - rows[0]) <= 2.5
    sigma = profiles[0, aperture].sum() / SNR / np.sqrt(aperture.sum())
    bars = 1 - 0.6 * (np.arange(profiles.shape[1]) % 5 == 0)
    data = profiles + sky * bars + sigma * rng.standard_normal(profiles.shape)
    return Collapsed(data, np.full(data.shape, sigma**-2), rows)


def trials(size, n_nods, *, sky_known, n=3):
    profiles, rows = light(size, n_nods)
    sky = 0.0 if sky_known else SKY
    found = [nod_overlap(observed(profiles, rows, seed, sky), sky_known=sky_known) for seed in range(n)]
    return share(profiles, rows), np.array(found)


@pytest.mark.parametrize("n_nods", [2, 3, 5])
@pytest.mark.parametrize("size", [0.05, 0.1, 0.2, 0.3, 0.45, 0.6])
def test_known_share_with_the_sky_subtracted(size, n_nods):
    truth, found = trials(size, n_nods, sky_known=True)
    assert found[:, 0].mean() == pytest.approx(truth, abs=0.02)
    assert (np.abs(found[:, 0] - truth) < 4 * found[:, 1] + 0.02).all()


@pytest.mark.parametrize("n_nods", [3, 5])
@pytest.mark.parametrize("size", [0.05, 0.1, 0.2, 0.3, 0.45, 0.6])
def test_known_share_from_nods_alone(size, n_nods):
    truth, found = trials(size, n_nods, sky_known=False)
    assert found[:, 0].mean() == pytest.approx(truth, abs=0.02)
    assert (np.abs(found[:, 0] - truth) < 4 * found[:, 1] + 0.01).all()


@pytest.mark.parametrize("size", [0.05, 0.3, 0.6])
def test_two_nods_alone_say_how_little_they_know(size):
    truth, found = trials(size, 2, sky_known=False)
    assert (np.abs(found[:, 0] - truth) < 4 * found[:, 1] + 0.02).all()


def test_what_serves_as_background_counts():
    profiles, rows = light(0.3, 3)
    data = observed(profiles, rows, 1)
    use = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=bool)  # the second two shutters from the third
    everything, far = nod_overlap(data)[0], nod_overlap(data, use=use)[0]
    assert abs(everything - far) > 0.02


def test_no_light_and_no_information():
    empty = Collapsed(np.zeros((3, 20)), np.zeros((3, 20)), np.array([5.0, 10.0, 15.0]))
    assert nod_overlap(empty) == (0.0, np.inf)


def test_collapse_follows_the_trace_and_leaves_out_what_is_not_everywhere():
    n_wave = 60
    trace = np.linspace(9.0, 13.0, n_wave)
    rows = np.array([trace, trace + 5, trace - 5])
    at = np.arange(24)[None, :, None]
    flux = np.exp(-0.5 * ((at - rows[:, None, :]) / 0.9) ** 2)
    ivar = np.full(flux.shape, 4.0)
    flux[1, 12, 30], ivar[1, 12, 30] = 1e9, 0.0
    flux.flags.writeable = ivar.flags.writeable = False
    found = collapse(flux, ivar, rows)
    peaks = found.flux.argmax(axis=1)
    assert np.abs(peaks - found.rows).max() <= 0.6
    assert found.flux.max() < 1.01
    assert found.rows[1] - found.rows[0] == pytest.approx(5, abs=1e-6)
    whole = found.ivar.max()
    assert whole == pytest.approx(4.0 * n_wave, rel=0.02)


def test_choice_weighs_noise_against_lost_light():
    faint = choose(1.5, 1.05, 0.001, 0.001, 1.0, 0.1)
    assert faint.name == "global"
    assert (faint.nods, faint.everywhere) == pytest.approx((1.5, 1.06))
    assert choose(1.5, 1.05, 0.0, 0.01, 1.0, 1.0).name == "nods"
    assert choose(1.5, 1.05, 0.2, 0.02, 10.0, 1.0).name == "global"
    assert choose(1.0, 1.0, 0.0, 0.0, 1.0, 0.0).name == "nods"
