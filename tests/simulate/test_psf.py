"""The analytic PSF against brute-force sums and the flight pathloss reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nirfire.simulate import psf


def _dense_image(wave: float, dx: float, dy: float, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mixture on a fine grid [pitch units], multiplied by the cell area."""
    x, y = (np.arange(1000) + 0.5) / 1000 - 0.5, (np.arange(3000) + 0.5) / 1000 - 1.5
    weights, sigma = psf.components(wave, size)
    image = np.zeros((y.size, x.size))
    for w, s in zip(weights, sigma, strict=True):
        gx = np.exp(-0.5 * ((x - dx) * psf.PITCH[0] / s) ** 2)
        gy = np.exp(-0.5 * ((y - dy) * psf.PITCH[1] / s) ** 2)
        cell = (x[1] - x[0]) * (y[1] - y[0]) * psf.PITCH[0] * psf.PITCH[1]
        image += w * np.outer(gy, gx) * cell / (2 * np.pi * s**2)
    is_open_y = np.abs(y - np.round(y)) <= psf.OPEN[1] / 2
    return x, y, image * is_open_y[:, None] * (np.abs(x) <= psf.OPEN[0] / 2)


@pytest.mark.parametrize(
    ("wave", "dx", "dy", "size"), [(1.0, 0.0, 0.0, 0.0), (4.0, 0.2, -0.3, 0.0), (2.5, -0.3, 0.4, 0.1)]
)
def test_transmission_centroid_rows_match_dense_sum(wave: float, dx: float, dy: float, size: float) -> None:
    x, y, image = _dense_image(wave, dx, dy, size)
    shutters = (-1, 0, 1)
    assert psf.transmission(wave, dx, dy, shutters, size) == pytest.approx(image.sum(), rel=3e-3)
    assert psf.centroid_x(wave, dx, size) == pytest.approx((image.sum(0) * x).sum() / image.sum(), abs=1e-3)
    part = (y > -0.31) & (y < 0.22)
    rows = psf.row_fractions(wave, -0.31, 0.22, dx, dy, shutters, size)
    assert rows == pytest.approx(image[part].sum(), rel=6e-3)


def test_rows_tile_to_transmission() -> None:
    wave = np.linspace(0.6, 5.3, 11)
    edges = np.linspace(-2, 2, 23)
    rows = psf.row_fractions(wave, edges[:-1, None], edges[1:, None], 0.1, -0.2, (0, 1))
    np.testing.assert_allclose(rows.sum(0), psf.transmission(wave, 0.1, -0.2, (0, 1)), rtol=1e-12)


def test_width_grows_and_light_is_conserved() -> None:
    wave = np.array([0.8, 2.0, 5.0])
    weights, sigma = psf.components(wave)
    assert weights.sum() == pytest.approx(1.0)
    assert np.all(np.diff(sigma, axis=1) > 0)
    assert np.all(psf.components(wave, 0.1)[1] > sigma)
    wide_open = psf.row_fractions(wave, -0.5, 0.5, 0, 0, (0,))
    assert np.all(wide_open < 1)


def test_centroid_is_odd_and_pulled_inwards() -> None:
    wave = np.array([1.0, 4.0])
    assert psf.centroid_x(wave, 0.0) == pytest.approx([0, 0], abs=1e-12)
    np.testing.assert_allclose(psf.centroid_x(wave, 0.3), -psf.centroid_x(wave, -0.3))
    assert np.all(psf.centroid_x(wave, 0.3) < 0.3)
    assert psf.centroid_x(1.0, 0.2)[()] > psf.centroid_x(4.0, 0.2)[()]


def test_open_share_counts_bars() -> None:
    assert psf.open_share(-0.5, 0.5, (0,)) == pytest.approx(psf.OPEN[1])
    assert psf.open_share(0.0, 1.0, (0,)) == pytest.approx(psf.OPEN[1] / 2)
    assert psf.open_share(2.0, 3.0, (0,)) == pytest.approx(0.0)


@pytest.mark.realdata
def test_transmission_is_that_of_the_flight_pathloss(real_data: Path) -> None:
    with fits.open(real_data / "crds" / "jwst_nirspec_pathloss_0002.fits") as hdus:
        uniform = hdus["UNI", 2].data
    wave = 0.6 + 0.235 * np.arange(uniform.size)
    ours = psf.transmission(wave, 0.0, 0.0, (-1, 0, 1))
    assert np.max(np.abs(ours * uniform - 1)[1:]) < 0.05
