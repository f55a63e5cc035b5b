"""The geometry references, read back by the unmodified stock pipeline, agree with the optical model."""

from __future__ import annotations

from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.modeling import Model

from nirfire.simulate.elements import PolyMap
from nirfire.simulate.optics import DETECTORS, FIXED_SLITS, Optics, Pointing, load_optics
from nirfire.simulate.wcsrefs import Files, focal_plane, fore, telescope, transform, write_wcs_references

POINTING = Pointing(53.15, -27.80, 40.0)
SHUTTERS = [
    (1, 40, 100),
    (1, 361, 90),
    (2, 200, 150),
    (2, 8, 12),
    (3, 180, 80),
    (3, 4, 165),
    (4, 330, 20),
    (4, 90, 168),
]
KINDS = ("camera", "collimator", "disperser", "fore", "fpa", "msa", "ote", "wavelengthrange")
UNUSED = ("distortion", "filteroffset", "specwcs", "regions", "chromcorr", "ifupost", "ifufore", "ifuslicer")


@pytest.fixture(scope="module")
def optics() -> Optics:
    return load_optics()


@pytest.fixture(scope="module")
def references(optics: Optics, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Files]:
    folder = tmp_path_factory.mktemp("references")
    return folder, write_wcs_references(optics, folder)


def write_metafile(path: Path, shutters: list[tuple[int, int, int]], fixed: tuple[str, ...] = ()) -> None:
    """A minimal MSA metafile: one slitlet of three shutters for each (quadrant, row, column)."""
    info, sources = [], []
    for n, (quadrant, i, j) in enumerate(shutters, 1):
        sources.append((1, n, f"1_{n}", str(n), POINTING.ra_ref, POINTING.dec_ref, "None", 1.0))
        for k in (-1, 0, 1):
            where = (0.5, 0.5) if k == 0 else (np.nan, np.nan)
            flags = ("N", "OPEN") if k == 0 else ("Y", "OPEN")
            info.append((n, 1, quadrant, i, j + k, n, *flags, *where, 1, "Y" if k == 0 else "N", "NONE"))
    for n, name in enumerate(fixed, len(shutters) + 1):
        sources.append((1, n, f"1_{n}", str(n), POINTING.ra_ref, POINTING.dec_ref, "None", 1.0))
        info.append((n, 1, 0, 0, 0, n, "N", "OPEN", 0.5, 0.5, 1, "Y", name))
    columns = (
        "slitlet_id:i2 msa_metadata_id:i2 shutter_quadrant:i2 shutter_row:i2 shutter_column:i2 source_id:i4 "
        "background:S1 shutter_state:S6 estimated_source_in_shutter_x:f4 estimated_source_in_shutter_y:f4 "
        "dither_point_index:i2 primary_source:S1 fixed_slit:S7"
    )
    source_columns = "program:i4 source_id:i4 source_name:S20 alias:S31 ra:f8 dec:f8 preimage_id:S30 stellarity:f8"
    tables = [
        fits.BinTableHDU(np.array(rows, dtype=[tuple(c.split(":")) for c in names.split()]), name=extension)
        for rows, names, extension in (
            (info, columns, "SHUTTER_INFO"),
            (sources, source_columns, "SOURCE_INFO"),
        )
    ]
    image = fits.ImageHDU(np.zeros((342, 730), "f4"), name="SHUTTER_IMAGE")
    fits.HDUList([fits.PrimaryHDU(), image, *tables]).writeto(path)


def stock_wcs(optics, references, tmp_path, mode, detector, shutters, *, fixed=(), shift=(0.0, 0.0)):
    """Run the stock assign_wcs on an empty rate image; return the model with its WCS."""
    from jwst.assign_wcs import AssignWcsStep
    from stdatamodels.jwst import datamodels

    folder, files = references
    metafile = tmp_path / f"msa_{mode[1]}_{detector}.fits"
    write_metafile(metafile, shutters, fixed)
    model = datamodels.ImageModel((2048, 2048))
    meta = model.meta
    meta.filename = "test_rate.fits"
    meta.instrument.name, meta.instrument.detector = "NIRSPEC", detector
    meta.instrument.filter, meta.instrument.grating = mode
    xtilt, ytilt, temperature = optics.gwa(mode[1])
    meta.instrument.gwa_xtilt, meta.instrument.gwa_ytilt = xtilt + shift[0], ytilt + shift[1]
    meta.instrument.gwa_tilt = temperature
    meta.instrument.msa_metadata_file, meta.instrument.msa_metadata_id = str(metafile), 1
    meta.exposure.type = "NRS_MSASPEC"
    meta.subarray.name, meta.subarray.xstart, meta.subarray.ystart = "FULL", 1, 1
    meta.observation.program_number, meta.observation.date, meta.observation.time = "1", "2025-01-01", "00:00:00"
    meta.dither.position_number = 1
    info = meta.wcsinfo
    info.v2_ref, info.v3_ref, info.vparity = optics.reference["v2"], optics.reference["v3"], -1
    info.v3yangle = optics.reference["v3_yangle"]
    info.ra_ref, info.dec_ref, info.roll_ref = POINTING.ra_ref, POINTING.dec_ref, POINTING.roll_ref
    info.velosys = 0.0
    step = AssignWcsStep()
    for kind in KINDS:
        selector = {"fore": (mode[0],), "disperser": (mode[1],)}.get(kind, ())
        setattr(step, f"override_{kind}", str(folder / files[kind][selector]))
    for kind in UNUSED:
        setattr(step, f"override_{kind}", "N/A")
    return step.process(model)


def compare(optics, result, mode, detector, waves, readings=None):
    """Largest differences over all slits: pixel (both stock directions) and sky [mas]; number of slits and points."""
    from jwst.assign_wcs import nirspec

    pixel, wave_pixel, sky, n_points = [0.0], [0.0], [0.0], 0
    slits = result.meta.wcs.get_transform("gwa", "slit_frame").slits
    for slit in slits:
        wcs = nirspec.nrs_wcs_set_input(result, slit.slit_id)
        offset = np.linspace(-1.4, 1.4, 15)[:, None]  # in pitches from the middle shutter
        wave, dy = np.broadcast_arrays(waves[None, :], offset)
        if slit.quadrant == 5:
            dy = dy / 3.2  # stay within the slit
            x, y = optics.fixed_slit_to_msa(slit.name, 0.0, dy)
            in_slit = dy
        else:
            x, y = optics.shutter_to_msa(slit.quadrant, slit.xcen, slit.ycen, 0.0, dy)
            in_slit = dy * optics.quadrants[slit.quadrant]["pitch"][1] / optics.quadrants[slit.quadrant]["open"][1]
        col, row = optics.msa_to_detector(x, y, wave, grating=mode[1], detector=detector, readings=readings)
        on = (np.abs(col - 1023.5) < 1020) & (np.abs(row - 1023.5) < 1020)
        if not on.any():
            continue
        x, y, wave, col, row, in_slit = (a[on] for a in np.broadcast_arrays(x, y, wave, col, row, in_slit))
        c, r = wcs.get_transform("slit_frame", "detector")(0 * wave, in_slit, wave * 1e-6)
        pixel.append(np.hypot(c - col, r - row).max())
        ra, dec, stock_wave = wcs(col, row, with_bounding_box=False)
        good = np.isfinite(stock_wave)
        assert good.mean() > 0.95
        near = optics.msa_to_detector(x, y, wave + 1e-4, grating=mode[1], detector=detector, readings=readings)
        per_pixel = 1e-4 / np.hypot(near[0] - col, near[1] - row)
        wave_pixel.append(np.abs((stock_wave - wave) / per_pixel)[good].max())
        ours = optics.sky(*optics.msa_to_v2v3(x, y, wave, filter=mode[0]), POINTING)
        separation = np.hypot((ours[0] - ra) * np.cos(np.deg2rad(dec)), ours[1] - dec) * 3.6e6
        sky.append(separation[good].max())
        n_points += int(good.sum())
    return max(pixel), max(wave_pixel), max(sky), len(slits), n_points


@pytest.mark.parametrize("detector", DETECTORS)
def test_stock_wcs_agrees_prism(optics, references, tmp_path, detector) -> None:
    mode = ("CLEAR", "PRISM")
    result = stock_wcs(optics, references, tmp_path, mode, detector, SHUTTERS)
    pixel, wave_pixel, sky, n_slits, n_points = compare(optics, result, mode, detector, np.linspace(0.62, 5.25, 40))
    assert n_slits >= 4 and n_points > 1000
    assert pixel < 1e-4
    assert wave_pixel < 0.01  # its wavelength comes from a table of step 0.005 um
    assert sky < 1.0


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("mode", [("F290LP", "G395M"), pytest.param(("F100LP", "G140H"), marks=pytest.mark.slow)])
def test_stock_wcs_agrees_gratings(optics, references, tmp_path, mode, detector) -> None:
    waves = {"G395M": np.linspace(2.9, 5.2, 40), "G140H": np.linspace(1.0, 1.85, 60)}[mode[1]]
    result = stock_wcs(optics, references, tmp_path, mode, detector, SHUTTERS)
    pixel, wave_pixel, sky, n_slits, n_points = compare(optics, result, mode, detector, waves)
    assert n_slits >= 2 and n_points > 500
    assert pixel < 1e-4
    assert wave_pixel < 0.01
    assert sky < 1.0


def test_tilt_readings_and_fixed_slits(optics, references, tmp_path) -> None:
    mode, detector, shift = ("CLEAR", "PRISM"), "NRS1", (-1.5e-3, 4e-4)
    readings = (optics.gwa("PRISM")[0] + shift[0], optics.gwa("PRISM")[1] + shift[1])
    result = stock_wcs(optics, references, tmp_path, mode, detector, SHUTTERS[4:6], fixed=FIXED_SLITS[:1], shift=shift)
    names = {s.name for s in result.meta.wcs.get_transform("gwa", "slit_frame").slits}
    assert "S200A1" in names
    pixel, wave_pixel, sky, _, _ = compare(optics, result, mode, detector, np.linspace(0.7, 5.2, 30), readings)
    assert pixel < 1e-4 and wave_pixel < 0.01 and sky < 1.0


def check(model: Model, pair: dict[str, PolyMap], points: tuple, wave: tuple = ()) -> None:
    """The astropy model evaluates to our map, in both directions."""
    metres = tuple(w * 1e-6 for w in wave)
    ours = pair["to_sky"](*points, *wave)
    np.testing.assert_allclose(model(*points, *metres), ours, rtol=1e-11, atol=1e-12)
    back = pair["to_detector"](*ours, *wave)
    np.testing.assert_allclose(model.inverse(*ours, *metres), back, rtol=1e-11, atol=1e-12)


def test_models_equal_optics(optics: Optics) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-0.042, 0.042, (2, 50))
    check(transform(optics.camera, "camera"), optics.camera, (x * 0.9, y * 0.4))
    gwa = optics.collimator["to_detector"](x, y)
    check(transform(optics.collimator, "collimator"), optics.collimator, gwa)
    for pair in optics.fore.values():
        check(fore(pair), pair, (x, y), (rng.uniform(1, 5, 50),))
    oteip = optics.fore["CLEAR"]["to_sky"](x, y, 2.0)
    check(telescope(optics), optics.ote, oteip)
    plane = focal_plane(optics.fpa["NRS2"])
    np.testing.assert_allclose(plane.inverse(*plane(x * 1e4, y * 1e4)), (x * 1e4, y * 1e4), atol=1e-9)


@pytest.mark.parametrize("kind", ["camera", "collimator", "ote", "fore", "fpa", "disperser", "wavelengthrange"])
def test_structure_follows_real_files(references, real_data, kind) -> None:
    folder, files = references
    real_file = sorted((real_data / "crds").glob(f"jwst_nirspec_{kind}_*.asdf"))[0]
    selector = {"fore": ("CLEAR",), "disperser": ("PRISM",)}.get(kind, ())
    with asdf.open(folder / files[kind][selector]) as ours, asdf.open(real_file) as real:
        standard = {"asdf_library", "history"}
        assert set(real.tree) - standard <= set(ours.tree) - standard
        for key, value in real.tree.items():
            if not isinstance(value, Model):
                continue
            mine = ours.tree[key]
            assert [type(m).__name__ for m in mine] == [type(m).__name__ for m in value]
            assert [type(m).__name__ for m in mine.inverse] == [type(m).__name__ for m in value.inverse]
            assert (mine.n_inputs, mine.n_outputs) == (value.n_inputs, value.n_outputs)
        if kind == "wavelengthrange":
            assert set(ours["waverange_selector"]) <= set(real["waverange_selector"])
