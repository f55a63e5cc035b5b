"""Painting: geometry against Newton inversion of the optics, flux against the response, by independent sums."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.simulate import psf, response, seds
from nirfire.simulate.optics import Pointing, load_optics
from nirfire.simulate.paint import (
    Painter,
    Placement,
    Setup,
    aperture_geometry,
    open_shutters,
    paint,
    place_source,
    source_sky,
)
from nirfire.simulate.scene import Scene, Sky, Slitlet, Source, demo_scene

POINTING = Pointing(53.15, -27.8, 312.0)
MODES = [("PRISM", "CLEAR", 3, 180, 80), ("G395M", "F290LP", 4, 200, 40), ("G140H", "F100LP", 3, 330, 120)]


def _geometry(grating: str, filter_: str, quadrant: int, xcen: int, ycen: int, dx: float):
    optics = load_optics()
    setup = Setup(grating, filter_, "NRS1", POINTING)

    def locate(x, y, wave):
        return optics.msa_to_detector(
            *optics.shutter_to_msa(quadrant, xcen, ycen, x, y), wave, grating=grating, detector="NRS1"
        )

    return aperture_geometry(locate, lambda w: np.full_like(w, dx), (-2.1, 2.1), setup.wave_range)


@pytest.mark.parametrize("mode", MODES)
def test_geometry_inverts_the_optics(mode: tuple) -> None:
    """Wavelengths and slit coordinates within 2e-3 pixel of the Newton inversion of the same optics."""
    grating, _, quadrant, xcen, ycen = mode
    optics = load_optics()
    dx = 0.2
    g = _geometry(*mode, dx)
    assert g is not None
    rng = np.random.default_rng(1)
    i, j = rng.integers(0, g.wave.shape[0], 40), rng.integers(0, g.wave.shape[1], 40)
    slit_y = 0.5 * (g.y_lo + g.y_hi)[i, j]
    x = optics.shutter_to_msa(quadrant, xcen, ycen, dx, slit_y)[0]
    row, col = g.row[i, 0].astype(float), g.col[0, j].astype(float)
    for offset, ours in ((-0.5, g.wave_lo), (0.0, g.wave), (0.5, g.wave_hi)):
        wave, y = optics.detector_to_wave(col + offset, row, x, grating=grating, detector="NRS1")
        pixel = (g.wave_hi - g.wave_lo)[i, j]
        assert np.max(np.abs(ours[i, j] - wave) / pixel) < 2e-3
    _, y = optics.detector_to_wave(col, row, x, grating=grating, detector="NRS1")
    assert np.max(np.abs(slit_y - (optics.msa_to_shutter(quadrant, x, y)[1] - ycen))) < 1e-3


def test_aperture_off_the_detector_is_none() -> None:
    assert _geometry("PRISM", "CLEAR", 1, 60, 60, 0.0) is None


@pytest.mark.parametrize(("dx", "dy", "size"), [(0.0, 0.0, 0.0), (0.3, -0.2, 0.0), (0.1, 0.3, 0.12)])
def test_flux_of_a_continuum(dx: float, dy: float, size: float) -> None:
    """Column sums, after dividing by flats and throughput, are f_nu times the true transmission ratio."""
    optics, setup = load_optics(), Setup("PRISM", "CLEAR", "NRS1", POINTING)
    slitlet = Slitlet(1, 3, 180, 80)
    source = Source(1, "point", np.nan, seds.power_law(10.0, 0.5), dx, dy, size=size)
    painter = Painter(optics, setup)
    painter.source(slitlet, source, Placement(80, dx, dy), (-1, 0, 1))
    rows, cols = np.nonzero(painter.image.sum(1))[0], np.nonzero(painter.image.sum(0))[0][3:-3]
    row, col = rows[:, None], cols[None, :]
    wave: np.ndarray = np.full((1, cols.size), 2.5)
    for _ in range(2):  # the light's mean x depends on wavelength
        x = optics.shutter_to_msa(3, 180, 80, psf.centroid_x(wave, dx, size), 0.0)[0]
        wave, _ = optics.detector_to_wave(col, row, x, grating="PRISM", detector="NRS1")
    flat = response.dflat(col, row, wave, detector="NRS1") * response.fflat(
        wave, 3, 180, 80, filter="CLEAR", grating="PRISM"
    )
    flat = flat * response.sflat(col, row, wave, filter="CLEAR", grating="PRISM", detector="NRS1")
    flux = painter.image[row, col] / flat * response.photom(wave, filter="CLEAR", grating="PRISM")
    centre = wave[len(rows) // 2]
    passed = psf.transmission(centre, dx, dy, (-1, 0, 1), size) / psf.transmission(centre, 0.0, 0.0, (-1, 0, 1))
    expected = 10.0 * (centre / 2.5) ** 0.5 * passed
    measured = flux.sum(0)
    np.testing.assert_allclose(measured, expected, rtol=0.01)
    assert np.median(measured / expected) == pytest.approx(1.0, abs=0.002)


def test_sky_fills_shutters_and_leaves_bars() -> None:
    optics, setup = load_optics(), Setup("PRISM", "CLEAR", "NRS1", POINTING)
    painter = Painter(optics, setup)
    painter.sky(3, 180, 80, (-1, 0, 1), lambda wave, x, y: np.ones(np.broadcast_shapes(wave.shape, y.shape)))
    column = painter.image[:, 1250]
    rows = np.nonzero(column)[0]
    assert len(rows) in (15, 16, 17)  # three pitches of 5.2 pixels
    inside = column[rows[2:-2]]
    assert inside.min() < 0.6 * np.median(inside)  # the bar
    open_length = 3 * psf.OPEN[1] * psf.PITCH[1]
    x, _ = optics.shutter_to_msa(3, 180, 80)
    wave, _ = optics.detector_to_wave(1250.0, np.median(rows), x, grating="PRISM", detector="NRS1")
    scale = response.photom(wave, filter="CLEAR", grating="PRISM") * psf.transmission(wave, 0, 0, (-1, 0, 1))
    area = psf.OPEN[0] * psf.PITCH[0] * open_length
    assert column.sum() * scale == pytest.approx(area, rel=0.08)  # flats are within 8 % of one


def test_stuck_shutter_is_dark() -> None:
    slitlet = Slitlet(1, 3, 180, 80, (Source(1, "point", np.nan, seds.power_law(50.0)),), stuck_closed=(0,))
    assert open_shutters(slitlet, 3) == (-1, 1)
    setup = Setup("PRISM", "CLEAR", "NRS1", POINTING)
    healthy = Slitlet(1, 3, 180, 80, slitlet.sources)
    images = [
        paint(Scene((s,), Sky(level=0.0), False), load_optics(), setup, {1: Placement(80, 0.0, 0.0)})
        for s in (slitlet, healthy)
    ]
    assert images[0].sum() < 0.12 * images[1].sum()


def test_places_and_sky_are_inverse() -> None:
    optics, setup = load_optics(), Setup("G395M", "F290LP", "NRS1", POINTING)
    for slitlet, source in demo_scene().sources():
        place = place_source(optics, setup, slitlet, source_sky(optics, setup, slitlet, source))
        assert place.shutter == slitlet.ycen + source.shutter
        assert place.dx == pytest.approx(source.dx, abs=2e-4)
        assert place.dy == pytest.approx(source.dy, abs=2e-4)


def test_both_detectors_see_the_demo() -> None:
    scene, optics = demo_scene(), load_optics()
    for detector in ("NRS1", "NRS2"):
        setup = Setup("PRISM", "CLEAR", detector, POINTING)
        places = {
            s.source_id: place_source(optics, setup, sl, source_sky(optics, setup, sl, s)) for sl, s in scene.sources()
        }
        image = paint(scene, optics, setup, places)
        assert np.isfinite(image).all() and image.min() >= 0
        assert (image.max(axis=1) > 0.3).sum() > 60
        frame = np.ones(image.shape, bool)
        frame[4:-4, 4:-4] = False
        assert image[frame].max() == 0
