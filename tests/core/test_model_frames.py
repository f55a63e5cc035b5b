"""The light of sources in pixels, against Gaussian integrals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.special import ndtr

from nirfire.core.model_frames import Painter, calibration_shutters, on_calibration_scale
from nirfire.core.slit_psf import OPEN, PITCH, WIDTHS
from tests.core.slitlets import SHUTTERS, blank, frozen, one_width, psf

SIGMA = WIDTHS[9]
TABLE = 1e-3
"""Share of the light that the step of the table may put on the wrong side of a bar."""


def analytic(frames, k, offset=0.0, size=0.0, shutters=SHUTTERS):
    """Share of a round Gaussian in the open part of each pixel of nod k."""
    x, y = frames.sources[0, k]
    sigma = np.hypot(SIGMA, size) / np.array(PITCH)
    across = ndtr((OPEN[0] / 2 - x) / sigma[0]) - ndtr((-OPEN[0] / 2 - x) / sigma[0])
    low, high = (np.sort(np.stack([frames.place[:-1], frames.place[1:]]), axis=0)[end] for end in (0, 1))
    total = np.zeros(low.shape)
    for shutter in shutters:
        a, b = np.maximum(low, shutter - OPEN[1] / 2), np.minimum(high, shutter + OPEN[1] / 2)
        part = ndtr((b - y - offset) / sigma[1]) - ndtr((a - y - offset) / sigma[1])
        total += np.where(b > a, part, 0.0)
    return across * total


@pytest.mark.parametrize("offset, size", [(0.0, 0.0), (0.13, 0.1), (-0.3, 0.3)])
def test_light_in_pixels_is_that_of_the_gaussian_behind_the_bars(offset, size):
    frames, seen = frozen(blank()), one_width(9)
    light = Painter(frames, seen).light(0, offset, size)
    nominal = seen.passed(0, 0, 0, (-1, 0, 1))[0]  # the scale of the flux calibration: a point in the centre
    for k in range(3):
        np.testing.assert_allclose(light[k], analytic(frames, k, offset, size) / nominal, atol=TABLE)
        assert light[k].sum(axis=0) == pytest.approx(analytic(frames, k, offset, size).sum(axis=0) / nominal, rel=1e-3)


def test_places_may_descend():
    frames = blank()
    turned = replace(frames, place=frames.place[::-1])
    one, other = (Painter(f, psf()).light(0, 0.1, 0.1) for f in (frames, turned))
    np.testing.assert_allclose(other, one[:, ::-1], atol=1e-12)


def test_a_closed_shutter_lets_nothing_through():
    frames = blank(shutters=(50, 51))
    light = Painter(frames, one_width(9)).light(0, 0.0, 0.3)
    nominal = one_width(9).passed(0, 0, 0, (-1, 0, 1))[0]
    np.testing.assert_allclose(light[0], analytic(frames, 0, size=0.3, shutters=(50, 51)) / nominal, atol=TABLE)
    closed = frames.place[1:] < 49.5
    assert np.abs(light[:, closed]).max() < 1e-12


def stock(frames, seen, k=0):
    """Pathloss correction of a point in a nod, as the stock pipeline has it: relative to a centred one."""
    x, y = frames.sources[0, k]
    own = round(float(y))
    shutters = calibration_shutters(frames.shutters, own)
    middle = shutters[len(shutters) // 2]
    axes, apart = (np.linspace(-0.5, 0.5, 21), np.linspace(-1.5, 1.5, 63)), [s - middle for s in shutters]
    table = np.array([[seen.passed(a, b, 0.0, apart) for b in axes[1]] for a in axes[0]])
    passed = RegularGridInterpolator(axes, table)((x, y - own - middle)) / seen.passed(0, 0, 0, (-1, 0, 1))
    return np.interp(frames.centre, seen.wave, passed)


@pytest.mark.parametrize("x, y", [(0.05, 50.0), (0.174, 50.22), (-0.226, 48.83), (0.01, 51.07)])
def test_light_of_a_point_at_its_place_sums_to_the_stock_pathloss_but_for_its_interpolation(x, y):
    sources = blank().sources.copy()
    sources[0] = x, y
    frames, seen = blank(sources=sources), psf()
    loss = 0.9 * stock(frames, seen)  # whatever the stock pipeline says
    frames = replace(frames, passed=np.broadcast_to(loss, frames.flux.shape))
    scale = on_calibration_scale(frames, seen, 0)
    plain = on_calibration_scale(replace(frames, passed=np.full(frames.flux.shape, np.nan)), seen, 0)
    np.testing.assert_allclose(scale, 0.9 * plain, rtol=1e-5)
    if round(y) == 50:  # in the others the stock pipeline assumes shutters that are not there
        light = Painter(frames, seen).light(0, 0.0, 0.0)
        wanted = 0.9 * seen.passed(x, y - 50, 0.0, (-1, 0, 1)) / seen.passed(0, 0, 0, (-1, 0, 1))
        np.testing.assert_allclose(light[0].sum(axis=0), np.interp(frames.centre[10], seen.wave, wanted), rtol=2e-3)


def test_light_moves_with_the_source_and_not_its_scale():
    """Further from the centre of the shutter less passes, and the scale stays that of the planned place."""
    frames, seen = blank(), psf()
    frames = replace(frames, passed=np.broadcast_to(stock(frames, seen), frames.flux.shape))
    painter = Painter(frames, seen)
    for offset in (-0.1, 0.2):
        wanted = seen.passed(0.05, 0.1 + offset, 0.0, (-1, 0, 1)) / seen.passed(0, 0, 0, (-1, 0, 1))
        wanted = np.interp(frames.centre[10], seen.wave, wanted)
        np.testing.assert_allclose(painter.light(0, offset, 0.0)[0].sum(axis=0), wanted, rtol=2e-3)


def test_where_a_source_is_not_planned_it_has_no_light():
    sources = blank().sources.copy()
    sources[0, 1] = np.nan
    light = Painter(blank(sources=sources), psf()).light(0, 0.0, 0.0)
    assert light[1].max() == 0.0
    assert light[0].max() > 0.1


def test_pixels_of_unknown_wavelength_or_place_have_no_light():
    frames = blank()
    wave, place = frames.wave.copy(), frames.place.copy()
    wave[:, :4], place[10, 20:25] = np.nan, np.nan
    frames = replace(frames, wave=wave, place=place)
    light = Painter(frames, psf()).light(0, 0.0, 0.1)
    assert np.isfinite(light).all()
    assert light[:, :, :4].max() == 0.0
    assert light[:, 9:11, 20:25].max() == 0.0
    assert (light[0].sum(axis=0)[30:] > 0.5).all()


@pytest.mark.parametrize(
    "shutters, own, wanted",
    [
        ((49, 50, 51), 50, (-1, 0, 1)),
        ((49, 50, 51), 49, (0, 1, 2)),
        ((49, 50, 51), 51, (-2, -1, 0)),
        ((50,), 50, (0,)),
        ((50, 52), 50, (0,)),
    ],
)
def test_shutters_that_the_stock_pathloss_assumes(shutters, own, wanted):
    assert calibration_shutters(shutters, own) == wanted
