"""The response functions: sizes, signs, inverses, and likeness to the flight instrument."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nirfire.simulate import detector_maps, psf, response
from nirfire.simulate.optics import DETECTORS, MODES, load_optics

MAPS = (
    "superbias",
    "dark_rate",
    "gain",
    "read_noise",
    "saturation",
    "picture_frame",
    "bad_pixels",
)


@pytest.mark.parametrize("name", MAPS)
def test_detector_maps_are_finite_read_only_and_reproducible(name: str) -> None:
    make = getattr(response, name)
    for detector in DETECTORS:
        first = make(detector)
        assert first.shape == (2048, 2048)
        assert np.isfinite(first).all()
        assert not first.flags.writeable
        make.cache_clear()
        np.testing.assert_array_equal(make(detector), first)
    if name in ("superbias", "gain", "read_noise", "saturation"):
        assert first.min() > 0


def test_maps_differ_between_detectors_except_where_they_are_shared() -> None:
    for name in ("superbias", "gain", "read_noise", "picture_frame", "bad_pixels"):
        assert np.any(getattr(response, name)("NRS1") != getattr(response, name)("NRS2"))
    np.testing.assert_array_equal(response.dark_rate("NRS1"), response.dark_rate("NRS2"))


def test_mask_flags_reference_pixels_only_as_such() -> None:
    dqflags = pytest.importorskip("stdatamodels.jwst.datamodels").dqflags
    flags = response.bad_pixels("NRS1")
    frame = response.reference_pixels()
    assert frame.sum() == 2048**2 - 2040**2
    np.testing.assert_array_equal(flags[frame], dqflags.pixel["REFERENCE_PIXEL"])
    hot, dead = flags & dqflags.pixel["HOT"] > 0, flags & dqflags.pixel["DEAD"] > 0
    assert 1e-4 < hot.mean() < 2e-3
    assert 1e-4 < dead.mean() < 2e-3
    assert np.all(flags[hot | dead] & dqflags.pixel["DO_NOT_USE"])
    assert response.dark_rate("NRS1")[~hot].max() <= detector_maps.HOT_LIMIT


def test_nonlinearity_is_the_inverse_of_the_correction_and_matters() -> None:
    rng = np.random.default_rng(1)
    true = rng.uniform(-100.0, 50000.0, (2048, 2048))
    measured = response.apply_nonlinearity(true, "NRS2")
    c0, c1, c2 = response.linearity_coeffs("NRS2").astype(float)
    np.testing.assert_allclose(c0 + c1 * measured + c2 * measured**2, true, atol=1e-6)
    inner = ~response.reference_pixels()
    strong = inner & (np.abs(true - 40000.0) < 500.0)
    assert 0.03 < np.median(1.0 - measured[strong] / true[strong]) < 0.06
    assert response.apply_nonlinearity(true.astype(np.float32), "NRS1").dtype == np.float32


def test_unknown_detector_is_refused() -> None:
    for call in (response.linearity_coeffs, response.saturation, response.superbias, response.dflat_planes):
        with pytest.raises(ValueError):
            call("NRS3")


def test_dflat_has_pixel_structure_that_changes_with_wavelength() -> None:
    row, col = np.mgrid[900:1100, 900:1100]
    blue = response.dflat(col, row, 0.7, detector="NRS1")
    red = response.dflat(col, row, 5.0, detector="NRS1")
    assert 0.015 < blue.std() < 0.025
    assert 0.002 < (red - blue).std() < 0.02
    planes = response.dflat_planes("NRS1")
    share = (2.0 - 0.4) / 5.6
    expected = (1 - share) * planes[0, 1000, 950] + share * planes[1, 1000, 950]
    assert response.dflat(950, 1000, 2.0, detector="NRS1") == pytest.approx(expected, rel=1e-6)
    assert np.all(response.dflat(np.arange(4), 5, 2.0, detector="NRS2") == 1.0)


@pytest.mark.parametrize("mode", MODES)
def test_flats_and_photom_are_sane_in_every_mode(mode: tuple[str, str]) -> None:
    optical_filter, grating = mode
    names = {"filter": optical_filter, "grating": grating}
    wave = np.linspace(*MODES[mode], 300)
    sflat = response.sflat(np.linspace(0, 2047, 300), 1000.0, wave, detector="NRS1", **names)
    fflat = response.fflat(wave, 3, 100, 80, **names)
    for flat in (sflat, fflat):
        assert flat.shape == wave.shape
        assert np.all((flat > 0.8) & (flat < 1.2))
        assert flat.std() > 0.005
    assert np.abs(response.fflat(wave, 1, 100, 80, **names) - fflat).max() > 0.005
    assert np.abs(response.fflat(wave, 3, 300, 80, **names) - fflat).max() > 0.005
    sensitivity = 1.0 / response.photom(wave, **names)
    assert np.all(sensitivity > 0)
    low, high = {"PRISM": (0.7, 3.0), "M": (0.05, 0.12), "H": (0.015, 0.045)}[
        "PRISM" if grating == "PRISM" else grating[-1]
    ]
    assert low < sensitivity.max() < high


@pytest.mark.realdata
@pytest.mark.parametrize("mode", MODES)
def test_throughput_resembles_the_flight_curves(mode: tuple[str, str], real_data: Path) -> None:
    optical_filter, grating = mode
    stem = {"PRISM": "prism"}.get(grating, grating)
    if grating.startswith("G140"):
        stem += "-f070" if optical_filter == "F070LP" else "-f100"
    path = real_data / "instrument" / "throughput" / f"JWST_NIRSpec_{stem}_throughput.csv"
    wave, flight = np.loadtxt(path, delimiter=",", skiprows=1, unpack=True)
    wave = wave * 1e-4
    inside = (wave > MODES[mode][0] + 0.05) & (wave < MODES[mode][1])
    ours = response.throughput(wave[inside], filter=optical_filter, grating=grating)
    assert np.median(np.abs(ours / flight[inside] - 1.0)) < 0.15


@pytest.mark.realdata
def test_pathloss_resembles_the_flight_reference(real_data: Path) -> None:
    with fits.open(real_data / "crds" / "jwst_nirspec_pathloss_0002.fits") as hdus:
        for number, n_shutters in ((1, 1), (2, 3)):
            point, uniform = hdus["PS", number].data, hdus["UNI", number].data
            wave = 0.6 + 0.235 * np.arange(21)
            ours = response.pathloss_uniform(wave, n_shutters)
            assert np.abs(ours - uniform)[2:].max() < 0.15
            x, y = -0.5 + 0.05 * np.arange(21), -1.5 + 3.0 / 62.0 * np.arange(63)
            shutters = (0,) if n_shutters == 1 else (-1, 0, 1)
            grid = response.pathloss_point(wave[:, None, None], x[None, None, :], y[None, :, None], shutters)
            assert np.median(np.abs(grid - point)) < 0.08
            assert np.percentile(np.abs(grid - point), 95) < 0.22


def test_pathloss_of_a_centred_source_is_one() -> None:
    wave = np.linspace(0.6, 5.3, 9)
    np.testing.assert_allclose(response.pathloss_point(wave, 0.0, 0.0, (-1, 0, 1)), 1.0)
    assert np.all(response.pathloss_point(wave, 0.4, 0.0, (0,)) < 0.8)
    assert np.all(np.diff(response.pathloss_uniform(wave, 3)[2:]) > 0)


@pytest.mark.parametrize("mode", [("CLEAR", "PRISM"), ("F100LP", "G140H"), ("F290LP", "G395M")])
@pytest.mark.parametrize("quadrant", [1, 3])
def test_wavelength_offset_undoes_the_shift_of_an_off_centre_source(mode: tuple[str, str], quadrant: int) -> None:
    """Light of true wavelength w from dx lands where the shutter's centre would put w minus offset x dispersion."""
    optics = load_optics()
    grating, wave = mode[1], np.linspace(*MODES[mode], 7)[1:-1]
    detector = "NRS1" if quadrant == 3 else "NRS2"
    for dx in (-0.35, 0.2):
        enters = psf.centroid_x(wave, dx)
        x, y = optics.shutter_to_msa(quadrant, 183, 80, enters, 0.0)
        column, row = optics.msa_to_detector(x, y, wave, grating=grating, detector=detector)
        seen = (column > 0) & (column < 2047)
        assert seen.any()
        x0, _ = optics.shutter_to_msa(quadrant, 183, 80)
        geometric, _ = optics.detector_to_wave(column, row, x0, grating=grating, detector=detector)
        beyond, _ = optics.detector_to_wave(column + 1.0, row, x0, grating=grating, detector=detector)
        corrected = geometric + response.wavelength_offset(wave, dx) * (beyond - geometric)
        error = (corrected - wave) / (beyond - geometric)
        assert np.abs(error[seen]).max() < 0.04  # pixels
        assert np.abs((geometric - wave) / (beyond - geometric)).max() > 0.2


def test_pixel_area_is_open_width_times_pixel_height() -> None:
    area = response.pixel_area(3, np.array([1, 183, 365]), np.array([1, 86, 171]))
    mean = psf.OPEN[0] * psf.PITCH[0] * psf.PITCH[1] / response.PIXELS_PER_PITCH_Y
    np.testing.assert_allclose(area, mean, rtol=0.015)


def test_bar_shadow_keeps_the_open_area() -> None:
    y = np.linspace(-2.0, 2.0, 4001)
    for shutters in ((0,), (-1, 0, 1)):
        shadow = response.bar_shadow(y, shutters, pixel_height=0.2)
        assert np.trapezoid(shadow, y) == pytest.approx(len(shutters) * psf.OPEN[1], rel=1e-3)
        assert shadow[2000] == pytest.approx(1.0)
    assert response.bar_shadow(0.5, (-1, 0, 1), pixel_height=0.2) == pytest.approx(1 - (1 - psf.OPEN[1]) / 0.2)


def test_failed_shutters_exist_in_the_array() -> None:
    shutters = response.msa_operability()
    assert {s.state for s in shutters} == {"open", "closed"}
    assert all(1 <= s.quadrant <= 4 and 1 <= s.xcen <= 365 and 1 <= s.ycen <= 171 for s in shutters)
    assert len(set(shutters)) == len(shutters)
