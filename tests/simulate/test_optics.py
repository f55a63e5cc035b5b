"""The compact optical model against analytic truth, the flight model, real traces and real references."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import asdf
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from scipy.optimize import least_squares

from nirfire.errors import DataError
from nirfire.simulate.elements import PolyMap, refraction_index
from nirfire.simulate.optics import (
    DETECTORS,
    FIXED_SLITS,
    MODES,
    Optics,
    Pointing,
    load_optics,
)

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fit_optics.py"


@pytest.fixture(scope="module")
def optics() -> Optics:
    return load_optics()


@pytest.fixture(scope="module")
def fit_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fit_optics", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fit_optics"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def flight(fit_script: ModuleType, real_data: Path) -> Any:
    return fit_script.read_flight(real_data / "geometry")


def test_polymap_is_the_stated_polynomial() -> None:
    data = {
        "degree": 2,
        "in_centre": [1.0, -2.0],
        "in_scale": [2.0, 4.0],
        "out_centre": [10.0, 20.0],
        "out_scale": [3.0, 5.0],
        "x": [0.1, 0.2, 0.3, 1.0, 0.5, 0.6],
        "y": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        "x_wave": [0.0, 0.0, 0.0, 0.01, 0.0, 0.0],
        "y_wave": [0.0] * 6,
    }
    x, y, wave = np.array([0.0, 2.5]), np.array([0.5, -3.0]), 3.0
    u, v = (x - 1) / 2, (y + 2) / 4
    expected = 10 + 3 * (0.1 + 0.2 * v + 0.3 * v**2 + 1.0 * u + 0.5 * u * v + 0.6 * u**2 + 3.0 * 0.01 * u)
    got = PolyMap.from_dict(data)(x, y, wave)
    np.testing.assert_allclose(got[0], expected, rtol=1e-13)
    np.testing.assert_allclose(got[1], 20 + 5 * v, rtol=1e-13)


def test_shutter_metrology(optics: Optics) -> None:
    for quadrant in range(1, 5):
        x, y = optics.shutter_to_msa(quadrant, [1, 365, 1], [1, 1, 171])
        assert np.hypot(x[1] - x[0], y[1] - y[0]) == pytest.approx(364 * optics.quadrants[quadrant]["pitch"][0])
        assert x[1] > x[0] and y[2] > y[0]
        back = optics.msa_to_shutter(quadrant, *optics.shutter_to_msa(quadrant, 17.25, 90.5))
        np.testing.assert_allclose(back, (17.25, 90.5), rtol=1e-12)
    # Q1, Q2 at negative x, Q3, Q4 at positive x; Q1, Q3 at negative y: four quadrants that do not overlap
    centres = [optics.shutter_to_msa(q, 183, 86) for q in range(1, 5)]
    assert [(np.sign(x), np.sign(y)) for x, y in centres] == [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    # eMPT's mean pitch and open size on the sky, quoted in mas: 267.96 x 529.33, 199.28 x 463.21
    assert optics.pitch_arcsec == pytest.approx((0.26796, 0.52933), rel=3e-4)
    opened = np.multiply(optics.pitch_arcsec, optics.open_fraction)
    np.testing.assert_allclose(opened, (0.19928, 0.46321), rtol=2e-3)


def test_grating_equation(optics: Optics) -> None:
    """Orders do not mix up: dispersion on the detector follows from groove density and camera."""
    x, y = optics.shutter_to_msa(3, 180, 80)
    for (_, grating), (low, high) in MODES.items():
        wave = np.linspace(low, high, 200)
        col, _ = optics.msa_to_detector(x, y, wave, grating=grating, detector="NRS1")
        assert np.all(np.diff(col) > 0)  # redder to the right on both detectors
        per_pixel = (high - low) / (col[-1] - col[0]) * 1e3
        expected = {"PRISM": 11.4, "G140M": 0.63, "G235M": 1.06, "G395M": 1.79}
        expected |= {"G140H": 0.235, "G235H": 0.396, "G395H": 0.665}
        assert per_pixel == pytest.approx(expected[grating], rel=0.03)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("grating", ["PRISM", "G395M", "G140H"])
def test_detector_to_wave_inverts(optics: Optics, detector: str, grating: str) -> None:
    rng = np.random.default_rng(1)
    quadrants = (3, 4) if detector == "NRS1" else (1, 2)
    for quadrant in quadrants:
        x, y = optics.shutter_to_msa(quadrant, rng.uniform(1, 365), rng.uniform(1, 171, 30))
        low, high = next(v for k, v in MODES.items() if k[1] == grating)
        wave = rng.uniform(low, high, 30)
        col, row = optics.msa_to_detector(x, y, wave, grating=grating, detector=detector)
        on = (col > 0) & (col < 2047)
        got = optics.detector_to_wave(col[on], row[on], x[on], grating=grating, detector=detector)
        np.testing.assert_allclose(got[0], wave[on], rtol=1e-8)
        np.testing.assert_allclose(got[1], y[on], atol=1e-11)


def test_far_light_stays_off_the_detector(optics: Optics) -> None:
    """Beyond the fitted domain the camera neither folds back nor returns NaN."""
    wave = np.linspace(0.3, 9.0, 800)[:, None]
    for grating in optics.dispersers:
        for quadrant in range(1, 5):
            x, y = optics.shutter_to_msa(quadrant, [1, 365, 1, 365], [1, 1, 171, 171])
            col, row = optics.msa_to_detector(x, y, wave, grating=grating, detector="NRS1")
            assert np.isfinite(col).all() and np.isfinite(row).all()
            assert np.all(np.diff(col, axis=0) >= 0)


def test_camera_there_and_back(optics: Optics) -> None:
    assert optics.camera_round_trip() < 0.001


def test_pointing_against_astropy(optics: Optics) -> None:
    pointing = Pointing(53.15, -27.80, 40.0)
    ra, dec = optics.sky(pointing.v2_ref, pointing.v3_ref, pointing)
    assert (float(ra), float(dec)) == pytest.approx((53.15, -27.80), abs=1e-9)
    # V3 points to position angle roll, 1 arcsec along it
    north = optics.sky(pointing.v2_ref, pointing.v3_ref + 1.0, pointing)
    here, there = SkyCoord(ra, dec, unit="deg"), SkyCoord(*north, unit="deg")
    assert here.position_angle(there).deg == pytest.approx(40.0, abs=1e-3)
    assert here.separation(there).arcsec == pytest.approx(1.0, abs=1e-6)
    # V2 increases towards the east of V3 = north: a right-handed (V3, V2) frame seen from inside
    east = SkyCoord(*optics.sky(pointing.v2_ref + 1.0, pointing.v3_ref, pointing), unit="deg")
    assert here.position_angle(east).deg == pytest.approx(130.0, abs=0.05)
    v2, v3 = np.array([300.0, 450.0]), np.array([-500.0, -350.0])
    np.testing.assert_allclose(optics.sky_to_v2v3(*optics.sky(v2, v3, pointing), pointing), (v2, v3), atol=1e-7)


def test_msa_and_sky_invert(optics: Optics) -> None:
    for name in optics.fore:
        x, y = optics.shutter_to_msa(2, [3, 200, 363], [170, 90, 5])
        back = optics.v2v3_to_msa(*optics.msa_to_v2v3(x, y, 2.5, filter=name), 2.5, filter=name)
        np.testing.assert_allclose(back, (x, y), atol=2e-8)  # 0.05 mas
    v2, v3 = optics.msa_to_v2v3(8.0048e-6, 34.0277e-6, 2.0, filter="CLEAR")  # eMPT's reference point
    assert (float(v2), float(v3)) == pytest.approx((378.5632, -428.40283), abs=2e-4)


def test_unknown_names_are_reported(optics: Optics) -> None:
    with pytest.raises(DataError, match="grating"):
        optics.msa_to_detector(0.0, 0.0, 1.0, grating="G999M", detector="NRS1")
    with pytest.raises(DataError, match="filter"):
        optics.msa_to_v2v3(0.0, 0.0, 1.0, filter="F999W")
    with pytest.raises(DataError, match="quadrant"):
        optics.shutter_to_msa(7, 1, 1)


# ---------------------------------------------------------------- against the flight model
@pytest.mark.parametrize("mode", list(MODES), ids="/".join)
def test_flight_model_detector(optics, fit_script, flight, real_data, mode) -> None:
    x, y = fit_script.grid((0.0428, 0.0419), 15)
    _, grating = mode
    wave = np.linspace(*MODES[mode], 41)[:, None]
    table = Table.read(
        real_data / "instrument" / "lsf" / f"jwst_nirspec_{grating.lower()}_disp.fits", unit_parse_strict="silent"
    )
    resolution = np.interp(wave, table["WAVELENGTH"], table["R"])
    for detector in DETECTORS:
        truth = fit_script.flight_to_detector(flight, x, y, wave, grating, detector)
        ours = optics.msa_to_detector(x, y, wave, grating=grating, detector=detector)
        on = (np.abs(truth[0] - 1023.5) < 1024) & (np.abs(truth[1] - 1023.5) < 1024)
        assert on.sum() > 200
        miss = np.hypot(ours[0] - truth[0], ours[1] - truth[1])[on]
        assert np.sqrt(np.mean(miss**2)) < 0.01
        assert miss.max() < 0.05
        per_pixel = 1e-4 / (optics.msa_to_detector(x, y, wave + 1e-4, grating=grating, detector=detector)[0] - ours[0])
        share = np.abs((ours[0] - truth[0]) * per_pixel) / (wave / resolution)
        assert share[on].max() < 1 / 20


def test_flight_model_exact_inverse_and_sky(optics, fit_script, flight) -> None:
    """Against the flight camera's backward polynomials, which the stock WCS applies, we agree far better."""
    found = fit_script.residuals(flight, optics)
    for values in found["detector"].values():
        assert values["inverse_of_backward"]["max_px"] < 0.002
    for values in found["sky"].values():
        assert values["max_mas"] < 0.01 and values["round_trip_mas"] < 0.1
    for mode, values in optics.residuals["detector"].items():  # what the model file states is what it reaches
        for kind, numbers in values.items():
            assert found["detector"][mode][kind] == pytest.approx(numbers, rel=0.05)


def test_shipped_coefficients_are_the_fit(optics, fit_script, flight) -> None:
    again = fit_script.fit(flight)
    for kind in ("camera", "collimator", "ote"):
        for direction, poly in again[kind].items():
            np.testing.assert_allclose(
                PolyMap.from_dict(poly).coeffs, getattr(optics, kind)[direction].coeffs, atol=1e-9
            )


def test_fixed_slits_against_siaf(optics, flight) -> None:
    """The table also gives corners in the MSA plane: our projection of the sky corners finds them."""
    for name in FIXED_SLITS:
        row = flight.slits[[str(s).strip() == f"NRS_{name}_SLIT" for s in flight.slits["SIAF_NAME"]]][0]
        x = np.array([row[f"C{n}_XPOSMSA"] for n in range(1, 5)], float)
        y = np.array([row[f"C{n}_YPOSMSA"] for n in range(1, 5)], float)
        dx, dy = np.array([-0.5, -0.5, 0.5, 0.5]), np.array([-0.5, 0.5, 0.5, -0.5])
        ours = optics.fixed_slit_to_msa(name, dx, dy)
        np.testing.assert_allclose(ours[0], x, atol=1e-6)  # 0.05 pixel; the table is single precision
        np.testing.assert_allclose(ours[1], y, atol=2e-6)


# ---------------------------------------------------------------- against in-flight traces
def _trace_misfit(optics: Optics, rows: Table, shift: np.ndarray) -> np.ndarray:
    """Trace table minus model at 1..5 um, shape (2, n, 5) [pixel]; `shift` of the tilt readings in 1e-3."""
    zero = optics.gwa("PRISM")
    wave = np.arange(1.0, 6.0)
    parts = []
    for detector in DETECTORS:
        some = rows[rows["detector"] == detector]
        place = [optics.shutter_to_msa(r["shutter_quadrant"], r["shutter_row"], r["shutter_column"]) for r in some]
        x, y = np.array(place).T[..., None]
        readings = (zero[0] + shift[0] * 1e-3, zero[1] + shift[1] * 1e-3)
        model = optics.msa_to_detector(x, y, wave, grating="PRISM", detector=detector, readings=readings)
        seen = [np.array([[r[f"{axis}{k}"] - 1 for k in range(1, 6)] for r in some]) for axis in "xy"]
        parts.append(np.stack(seen) - np.stack(model))
    return np.concatenate(parts, axis=1)


def test_in_flight_traces(optics, real_data) -> None:
    """1,412 in-flight PRISM traces (1-indexed), with two free numbers per visit: the grating-wheel readings.

    The table follows the world coordinate systems of the exposures, so it tests conventions, detectors, quadrants and
    tilt calibration of the in-flight model, not the optics against light.
    """
    table = Table.read(real_data / "geometry" / "slit_parameters_prism.fits")
    table.convert_bytestring_to_unicode()
    table = table[table["shutter_state"] == "1x1"]
    visits = np.array([str(name)[:14] for name in table["file"]])
    assert len(table) > 1400
    for visit in np.unique(visits):
        rows = table[visits == visit]
        fit = least_squares(lambda p, rows=rows: _trace_misfit(optics, rows, p).ravel(), [0.0, 0.0])
        miss = _trace_misfit(optics, rows, fit.x)
        assert np.abs(np.median(miss, axis=(1, 2))).max() < 0.005
        assert np.sqrt(np.mean(miss**2)) < 0.01
        assert np.abs(miss).max() < 0.05
        assert np.abs(fit.x).max() < 3.0  # readings that occur: up to 0.003 from zero, 2 pixels
        if visit == "jw01345062001_":  # its headers: GWA_XTIL 0.3381854, GWA_YTIL 0.0320278
            zero = optics.gwa("PRISM")
            np.testing.assert_allclose(zero[:2] + fit.x * 1e-3, (0.33818543, 0.03202781), atol=3e-6)  # 0.003 pixel


@pytest.mark.parametrize(
    "name",
    [
        "ceers_933/jw01345062001_03101_00001_nrs2_phot.138.1345_933.fits",
        "rubies_44597/jw04233006001_03101_00002_nrs1_phot.186.4233_44597.fits",
    ],
)
def test_wcs_of_real_cutouts(optics, real_data, name) -> None:
    """Wavelength and sky of every pixel of real cutouts, whose WCS comes from the in-flight references."""
    from stdatamodels.jwst import datamodels

    with datamodels.SlitModel(real_data / "nods" / name) as model:
        meta = model.meta
        row, col = np.mgrid[: model.shape[0], : model.shape[1] : 3].astype(float)
        ra, dec, wave = meta.wcs(col, row)
        per_pixel = np.gradient(wave, axis=1) / 3
        good = np.isfinite(wave) & np.isfinite(per_pixel)
        col, row = col[good] + model.xstart - 1, row[good] + model.ystart - 1
        shutter = (model.quadrant, model.xcen)
        instrument, info = meta.instrument, meta.wcsinfo
        keys: dict[str, Any] = {"grating": instrument.grating, "detector": instrument.detector}
        keys["readings"] = (instrument.gwa_xtilt, instrument.gwa_ytilt)
        pointing = Pointing(info.ra_ref, info.dec_ref, info.roll_ref, info.v2_ref, info.v3_ref)
        scale, barycentric = meta.velocity_aberration.scale_factor, 1 + info.velosys / 299792458.0
        filter_name, ycen = instrument.filter, model.ycen
        ra, dec, wave, per_pixel = ra[good], dec[good], wave[good] * barycentric, per_pixel[good]
    x, y = optics.shutter_to_msa(*shutter, np.full(col.shape, float(ycen)))
    for _ in range(2):  # the shutter's column of the MSA is slightly inclined
        ours, y = optics.detector_to_wave(col, row, x, **keys)
        x, _ = optics.shutter_to_msa(*shutter, optics.msa_to_shutter(shutter[0], x, y)[1])
    miss = (ours - wave) / per_pixel
    assert np.abs(miss).max() < 0.01
    v2, v3 = optics.msa_to_v2v3(x, y, ours, filter=filter_name)
    v2 = pointing.v2_ref + scale * (v2 - pointing.v2_ref)
    v3 = pointing.v3_ref + scale * (v3 - pointing.v3_ref)
    our_ra, our_dec = optics.sky(v2, v3, pointing)
    separation = np.hypot((our_ra - ra) * np.cos(np.deg2rad(dec)), our_dec - dec) * 3.6e6
    assert separation.max() < 0.5  # mas


# ---------------------------------------------------------------- against real (older, ground) references
def _beyond_affine(x: np.ndarray, y: np.ndarray, miss: np.ndarray) -> float:
    design = np.stack([np.ones_like(x), x, y], axis=1)
    return float(np.hypot(*(m - design @ np.linalg.lstsq(design, m, rcond=None)[0] for m in miss)).max())


def test_ground_references(optics, real_data) -> None:
    """Ground-calibration (CV3, 2016) references of CRDS differ by the alignment of the cold flight instrument.

    Focus, image scale and alignment changed between that test and flight (tens of pixels in one element, largely
    compensated by the others); distortion beyond an affine map did not, to about half a pixel in each element.
    """
    folder = real_data / "crds"
    u, v = (a.ravel() for a in np.meshgrid(*[np.linspace(-1, 1, 21)] * 2))
    pixel = 18e-6 / 0.285  # unitless angle of a pixel seen through the camera
    with asdf.open(folder / "jwst_nirspec_camera_0004.asdf") as file:
        x, y = 0.0375 * u, 0.018 * v
        miss = np.subtract(file["model"](x, y), optics.camera["to_sky"](x, y)) / pixel
    assert np.abs(miss).max() < 60 and _beyond_affine(x, y, miss) < 0.6
    x, y = 0.042 * u, 0.042 * v
    with asdf.open(folder / "jwst_nirspec_collimator_0004.asdf") as file:
        miss = np.subtract(file["model"].inverse(x, y), optics.collimator["to_detector"](x, y)) / pixel
    assert np.abs(miss).max() < 60 and _beyond_affine(x, y, miss) < 0.6
    with (
        asdf.open(folder / "jwst_nirspec_fore_0028.asdf") as file,
        asdf.open(folder / "jwst_nirspec_ote_0005.asdf") as telescope,
    ):
        focus = optics.fore["CLEAR"]["to_sky"](x, y, 2.0)
        np.testing.assert_allclose(telescope["model"](*focus), optics.ote["to_sky"](*focus), atol=1e-6)
        sky = np.array(telescope["model"](*file["model"](x, y, np.full_like(x, 2e-6))))
        miss = sky - np.array(optics.msa_to_v2v3(x, y, 2.0, filter="CLEAR"))
        assert np.abs(miss).max() < 1.0 and _beyond_affine(x, y, miss) < 0.02  # arcsec
    corner = (np.array([0.0, 2047.0, 0.0, 2047.0]), np.array([0.0, 0.0, 2047.0, 2047.0]))
    with asdf.open(folder / "jwst_nirspec_fpa_0005.asdf") as file:
        for detector in DETECTORS:
            fpa = optics.fpa[detector]
            ours = np.array(fpa["matrix"]) @ np.stack(corner) + np.array(fpa["offset"])[:, None]
            assert np.abs(file[f"{detector.lower()}_model"](*corner) - ours).max() < 0.1 * 18e-6
    with asdf.open(folder / "jwst_nirspec_disperser_0034.asdf") as file:
        wave = np.linspace(0.6, 5.3, 50)
        old = refraction_index(wave, {"kcoef": file["kcoef"], "lcoef": file["lcoef"]})
        glass = optics.dispersers["PRISM"].glass
        assert glass is not None
        new = refraction_index(wave, glass)
        assert np.abs(old - new).max() < 5e-4  # the glass was cooled further, its index refitted
        assert np.ptp(old - new) < 0.003 * np.ptp(new)  # over the spectrum, of 430 pixels, 1 pixel
        assert (file["angle"], file["tilt_y"]) == (glass["angle"], pytest.approx(optics.dispersers["PRISM"].tilt_y))
