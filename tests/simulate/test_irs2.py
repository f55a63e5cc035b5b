"""The IRS2 readout: where pixels lie in a raw frame, when they are read, and the filter made for its noise."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.simulate import irs2, response
from nirfire.simulate.detector import Noise, generators
from nirfire.simulate.flicker import flicker_series

DETECTORS = ("NRS1", "NRS2")


@pytest.mark.parametrize("detector", DETECTORS)
def test_image_is_whole_within_a_raw_frame(detector: str) -> None:
    image = np.arange(2048 * 2048, dtype=np.float32).reshape(2048, 2048)
    raw = irs2.to_raw(image, detector, np.float32(-1.0))
    light = irs2.is_light(detector)
    assert raw.shape == (3200, 2048) and light.sum() == 2048
    np.testing.assert_array_equal(raw[light], image)
    assert np.all(raw[~light] == -1.0)
    first = np.flatnonzero(light if detector == "NRS1" else light[::-1])
    assert list(first[:9]) == [*range(640, 648), 652]  # reference output, 8 pixels, 4 reference pixels


def test_pixels_are_read_when_stock_says() -> None:
    """Positions of pixels and reference pixels in time, as the comments of stock ``refpix`` define them."""
    pixel, reference = np.arange(512), np.arange(128)
    times = irs2.read_times()
    place = pixel + 4 * ((pixel + 8) // 16)
    np.testing.assert_array_equal(times[place], pixel + 6 * ((pixel + 8) // 16))
    place = reference + 16 * (reference // 4) + 8
    np.testing.assert_array_equal(times[place], reference + 18 * (reference // 4) + 9)
    assert times[-1] == irs2.ROW - 8 - 1


@pytest.mark.parametrize("detector", DETECTORS)
def test_outputs_lie_side_by_side_in_their_read_direction(detector: str) -> None:
    order = np.arange(5 * 2048 * 640).reshape(5, 2048, 640)
    raw = irs2.from_outputs(order, detector)
    if detector == "NRS2":
        raw = raw[::-1, ::-1]
    assert raw.shape == (3200, 2048)
    for output in range(5):
        rows = raw[640 * output : 640 * (output + 1), 3]
        expected = order[output, 3]
        np.testing.assert_array_equal(rows, expected[::-1] if output in (0, 2, 4) else expected)


def test_noise_of_the_reference_output_is_the_common_part() -> None:
    raw = irs2.raw_noise(generators(4, 1, 1, "NRS1"), "NRS1", (3.0, 0.8, 0.0))
    outputs = [raw[640 * k : 640 * (k + 1)] for k in range(5)]
    outputs = [o[::-1] if k in (0, 2, 4) else o for k, o in enumerate(outputs)]
    assert outputs[1].std() == pytest.approx(3.0, rel=0.15)
    assert np.corrcoef(outputs[0].ravel(), outputs[3].ravel())[0, 1] == pytest.approx(np.sqrt(0.8), abs=0.08)
    drift = irs2.raw_noise(generators(4, 1, 1, "NRS1"), "NRS1", (0.0, 0.8, 6.0))
    assert len(np.unique(drift)) == 5 and np.all(drift[:640] == drift[0, 0])


def test_filter_removes_what_the_reference_pixels_know() -> None:
    """On series made like the noise, put together as stock does; other weights leave more."""
    noise, read, n = Noise(), 10.0, irs2.ROW * 2048
    rng = np.random.default_rng(8)

    def pink() -> np.ndarray:
        return noise.flicker * np.repeat(flicker_series(rng, n // 8), 8)

    common = np.sqrt(noise.shared) * pink()
    target = common + np.sqrt(1 - noise.shared) * pink()
    output = np.fft.fft(common + read * rng.standard_normal(n))
    block = (target + read * rng.standard_normal(n)).reshape(2048, irs2.ROW)[:, :704].reshape(2048, 32, 22)
    spread = np.zeros_like(block)
    spread[..., 7:15] = block[..., [9, 11, 9, 11, 10, 12, 10, 12]]
    pixels = np.fft.fft(np.pad(spread.reshape(2048, 704), ((0, 0), (0, 8))).ravel())
    alpha, beta = irs2.noise_filter(noise.flicker, noise.shared, read)

    def left(a: float, b: float) -> float:
        return float(np.var(target - np.fft.ifft(a * alpha * output + b * beta * pixels).real) / np.var(target))

    best = left(1.0, 1.0)
    assert best < 0.33  # white noise hides the quarter that lies at high frequency
    assert min(left(0.7, 1.0), left(1.3, 1.0), left(1.0, 0.7), left(1.0, 1.3)) > best
    assert left(1.0, 0.0) > 1.3 * best
    assert alpha[n // 2] < 0.01 and beta[n // 2] == 0.0
    np.testing.assert_allclose(alpha[1:], alpha[1:][::-1])


@pytest.mark.parametrize("detector", DETECTORS)
def test_bias_and_mask_of_a_raw_frame_hold_those_of_the_image(detector: str) -> None:
    light = irs2.is_light(detector)
    np.testing.assert_array_equal(irs2.raw_superbias(detector)[light], response.superbias(detector))
    mask = irs2.raw_mask(detector)
    np.testing.assert_array_equal(mask[light], response.bad_pixels(detector))
    assert np.all(mask[~light] == 1 << 31)
