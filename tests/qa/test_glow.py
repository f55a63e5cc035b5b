"""The image of the smoothed sky: what it takes for sky, and that it is drawn whatever is on it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.background import Sky
from nirfire.products.naming import RATE
from nirfire.qa.glow_figure import SkyImage, glow_figure

SIGMA = 0.02


@pytest.fixture
def rate(tmp_path):
    """A cleaned exposure with a glow, a trace, bad pixels, a halo and a manual mask."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:512, :512]
    sci = rng.normal(0, SIGMA, y.shape) + SIGMA * np.exp(-0.5 * ((y - 150) ** 2 + (x - 300) ** 2) / 25**2)
    bits = np.full(sci.shape, Sky.FITTED, np.uint8)
    bits[rng.random(sci.shape) < 0.02] = Sky.BAD
    bits[np.hypot(y - 400, x - 400) < 6] = Sky.HALO
    bits[np.hypot(y - 400, x - 100) < 20] = Sky.MANUAL
    sci[np.hypot(y - 400, x - 100) < 20] = 5.0
    bits[250:270, 50:400] = Sky.TRACE | Sky.BAD
    sci[250:270, 50:400] = 3.0
    sci[0, 0] = np.nan
    planes = {"SCI": sci.astype(np.float32), "ERR": np.full(sci.shape, SIGMA, np.float32), "BKGMASK": bits}
    path = tmp_path / f"a{RATE}"
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(v, name=k) for k, v in planes.items())]).writeto(path)
    return path


def test_sky_is_what_was_fitted_and_halos(rate):
    image = SkyImage.read(rate)
    assert image.sky[400, 400] and not image.sky[260, 100] and not image.sky[400, 100]
    assert image.drawn[400, 100] and image.drawn.sum() == pytest.approx(np.pi * 400, rel=0.02)
    (found,) = image.artefacts()
    assert np.hypot(found.row - 150, found.column - 300) < 12


def test_the_figure_is_drawn(rate, tmp_path):
    png = glow_figure(rate, tmp_path / "figure.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert 20_000 < png.stat().st_size < 600_000


def test_the_figure_of_nothing(rate, tmp_path):
    with fits.open(rate, mode="update") as hdus:
        hdus["BKGMASK"].data[:] = Sky.TRACE
    assert glow_figure(rate, tmp_path / "none.png").exists()


def test_an_exposure_cleaned_elsewhere_has_none(rate, tmp_path):
    with fits.open(rate, mode="update") as hdus:
        del hdus["BKGMASK"]
    assert glow_figure(rate, tmp_path / "none.png") is None
