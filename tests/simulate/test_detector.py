"""Ramps: slopes, noise levels and statistics, particles, random streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nirfire.simulate import irs2, response
from nirfire.simulate.detector import (
    GROUP_TIME,
    Noise,
    cosmic_rays,
    flicker_noise,
    generators,
    make_exposure,
    make_ramp,
    snowballs,
)
from nirfire.stsci.exposure_files import PATTERNS, Readout

SILENT = Noise.none()
INNER = (slice(8, -8), slice(8, -8))


def _rng(seed: int = 1, exposure: int = 1, detector: str = "NRS1") -> dict[str, np.random.Generator]:
    return generators(seed, 1, exposure, detector)


def _linear(data: np.ndarray, detector: str) -> np.ndarray:
    """Undo bias and nonlinearity with the coefficients that the pipeline is given."""
    signal = data.astype(float) - response.superbias(detector)
    c = response.linearity_coeffs(detector)
    return c[0] + c[1] * signal + c[2] * signal**2


def test_noiseless_ramp_returns_the_rate() -> None:
    rate = np.full((2048, 2048), 30.0)
    data, _ = make_ramp(rate, "NRS1", 3, _rng(), SILENT)
    slope = (_linear(data[2], "NRS1") - _linear(data[0], "NRS1")) / (2 * GROUP_TIME)
    dark = response.dark_rate("NRS1")
    good = (response.bad_pixels("NRS1") == 0) & (dark < 1)
    np.testing.assert_allclose((slope - dark)[good], 30.0, atol=0.08)  # one DN of digitisation
    assert np.abs(np.diff(data[:, :4].astype(int), axis=0)).max() == 0  # reference pixels see nothing


def test_photon_and_read_noise_have_the_right_size() -> None:
    rate = np.full((2048, 2048), 40.0)
    gain = response.gain("NRS1")
    first, _ = make_ramp(rate, "NRS1", 2, _rng(), replace(SILENT, photons=True))
    step = (_linear(first[1], "NRS1") - _linear(first[0], "NRS1"))[INNER]
    good = ((response.bad_pixels("NRS1") == 0) & (response.dark_rate("NRS1") < 0.05))[INNER]
    expected = (40.0 * GROUP_TIME / gain)[INNER]
    assert np.var(step[good]) == pytest.approx(expected[good].mean(), rel=0.02)
    second, _ = make_ramp(0 * rate, "NRS1", 2, _rng(), replace(SILENT, read=1.0))
    step = (second[1].astype(float) - second[0])[INNER]
    assert np.std(step[good]) == pytest.approx(np.sqrt(2) * 10.0, rel=0.02)


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_flicker_is_pink_striped_and_of_given_rms(detector: str) -> None:
    image = flicker_noise(np.random.default_rng(3), detector, 5.0, 0.7)
    assert image.std() == pytest.approx(5.0, rel=0.1)
    assert image.mean(axis=0).std() > 2.0 * image.mean(axis=1).std() / np.sqrt(1)  # stripes run along y
    band = image[:512] if detector == "NRS1" else image[::-1, ::-1][:512]
    series = band.T.reshape(-1, 8).mean(axis=1)
    power = np.abs(np.fft.rfft(series)) ** 2
    low, high = power[10:100].mean(), power[1000:10000].mean()
    slope = np.log(low / high) / np.log(np.sqrt(10 * 100) / np.sqrt(1000 * 10000))
    assert slope == pytest.approx(-1.0, abs=0.25)
    other = image[1024:1536] if detector == "NRS1" else image[::-1, ::-1][1024:1536]
    assert np.corrcoef(band.ravel(), other.ravel())[0, 1] == pytest.approx(0.7, abs=0.15)


def test_drift_moves_outputs_and_reference_pixels_alike() -> None:
    data, _ = make_ramp(np.zeros((2048, 2048)), "NRS1", 2, _rng(), replace(SILENT, drift=20.0))
    step = data[1].astype(int) - data[0]
    for k in range(4):
        rows = slice(512 * k, 512 * (k + 1))
        reference, light = np.median(step[rows, :4]), np.median(step[rows, 100:1900])
        assert abs(reference - light) <= 1
    assert len({int(np.median(step[512 * k : 512 * k + 512])) for k in range(4)}) > 2


def test_picture_frame_scales_with_its_recorded_amplitude() -> None:
    amplitudes = set()
    for exposure in (1, 2, 3):
        data, truth = make_ramp(
            np.zeros((2048, 2048)), "NRS2", 3, _rng(exposure=exposure, detector="NRS2"), replace(SILENT, frame=1.0)
        )
        slope = (_linear(data[2], "NRS2") - _linear(data[0], "NRS2")) / (2 * GROUP_TIME) - response.dark_rate("NRS2")
        frame = response.picture_frame("NRS2")
        edge = (frame > 0.06) & (response.bad_pixels("NRS2") == 0)
        fitted = (slope * frame)[edge].sum() / (frame[edge] ** 2).sum()
        assert fitted == pytest.approx(truth.frame_amplitude, abs=0.03)
        amplitudes.add(round(truth.frame_amplitude, 6))
    assert len(amplitudes) == 3


def test_particles_come_at_their_rate() -> None:
    rays, n = cosmic_rays(np.random.default_rng(5), 20, 68.0)
    assert n == pytest.approx(68.0 * GROUP_TIME * 20, rel=0.03)
    assert rays.row.min() >= 4 and rays.col.max() < 2044
    assert 300 < np.sum(rays.charge) / n < 20000  # DN per hit
    balls, events = snowballs(np.random.default_rng(6), 20, 0.05)
    assert 3 <= len(events) <= 22
    group, row, col, radius = events[0]
    core = (balls.group == group) & (np.hypot(balls.row - row, balls.col - col) < radius - 1)
    assert core.sum() > 0 and np.all(balls.charge[core] > 60000)
    empty, none = snowballs(np.random.default_rng(6), 20, 0.0)
    assert none == () and empty.charge.size == 0


def test_bright_pixels_saturate() -> None:
    data, _ = make_ramp(np.full((2048, 2048), 5000.0), "NRS1", 2, _rng(), SILENT)
    good = response.bad_pixels("NRS1") == 0
    assert np.all(data[1][good] >= response.saturation("NRS1")[good])


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_returns_the_rate(name: str) -> None:
    """Groups are means of frames (times the ratio that stock group_scale restores), in the pattern's own time."""
    pattern, rate = PATTERNS[name], np.full((2048, 2048), 30.0)
    data, _ = make_exposure(rate, "NRS2", Readout(2, pattern=pattern), _rng(detector="NRS2"), SILENT)
    groups = data[0].astype(float) * pattern.divisor / pattern.n_frames
    if pattern.irs2:
        assert data.shape == (1, 2, 3200, 2048)
        reference = groups[:, ~irs2.is_light("NRS2")]
        assert np.abs(reference[1] - reference[0]).max() == 0
        groups = groups[:, irs2.is_light("NRS2")]
    slope = (_linear(groups[1], "NRS2") - _linear(groups[0], "NRS2")) / pattern.group_time
    good = (response.bad_pixels("NRS2") == 0) & (response.dark_rate("NRS2") < 1)
    np.testing.assert_allclose((slope - response.dark_rate("NRS2"))[good], 30.0, atol=0.2)


def test_every_integration_begins_with_empty_pixels() -> None:
    rate = np.full((2048, 2048), 30.0)
    data, truth = make_exposure(rate, "NRS1", Readout(2, 2), _rng(), replace(SILENT, snowballs=0.3))
    assert data.shape == (2, 2, 2048, 2048)
    hit = np.zeros(rate.shape, dtype=bool)
    y, x = np.mgrid[:2048, :2048]
    for _, row, col, radius in truth.snowballs:
        hit |= np.hypot(y - row, x - col) < 4 * radius
    np.testing.assert_array_equal(data[0][:, ~hit], data[1][:, ~hit])
    assert {group // 2 for group, *_ in truth.snowballs} == {0, 1}
    for group, row, col, _ in truth.snowballs:
        ramp = data[group // 2, :, row, col]
        assert ramp[group % 2] > 40000 and data[1 - group // 2, 1, row, col] < 12000


def test_streams_are_reproducible_and_independent() -> None:
    def draw(*place: object) -> dict[str, float]:
        return {k: r.random() for k, r in generators(*place).items()}  # type: ignore[arg-type]

    base = draw(1, 1, 1, "NRS1")
    assert base == draw(1, 1, 1, "NRS1")
    assert len(set(base.values())) == len(base)
    for other in ((2, 1, 1, "NRS1"), (1, 2, 1, "NRS1"), (1, 1, 2, "NRS1"), (1, 1, 1, "NRS2")):
        assert not set(base.values()) & set(draw(*other).values())
