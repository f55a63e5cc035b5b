"""Whole observations: files, keywords, reproducibility, truth tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.naming import ExposureName
from nirfire.simulate import truth
from nirfire.simulate.observation import Observation, Options, default_filter, simulate_observation
from nirfire.simulate.optics import MODES, load_optics
from nirfire.simulate.paint import paint
from nirfire.simulate.scene import demo_scene

SHORT = Options(n_nods=2, n_groups=2)
NEEDED = (
    "INSTRUME DETECTOR FILTER GRATING EXP_TYPE DATE-OBS TIME-OBS MSAMETFL MSAMETID PATT_NUM GWA_TILT GWA_XTIL GWA_YTIL "
    "PROGRAM SUBSTRT1 SUBSTRT2 SUBSIZE1 SUBSIZE2 FASTAXIS SLOWAXIS NFRAMES GROUPGAP NGROUPS NINTS TFRAME TGROUP"
)
NEEDED_SCI = "V2_REF V3_REF RA_REF DEC_REF ROLL_REF V3I_YANG VPARITY"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("small")
    return folder, simulate_observation(demo_scene("small"), folder, seed=5, options=SHORT)


def test_files_have_archive_names_and_all_keywords(small: tuple[Path, list[Path]]) -> None:
    folder, paths = small
    assert [p.name for p in paths] == [f"jw09999001001_02101_0000{n}_nrs1_uncal.fits" for n in (1, 2)]
    for path in paths:
        assert ExposureName.from_path(path) is not None
        with fits.open(path) as hdus:
            assert not [k for k in NEEDED.split() if k not in hdus[0].header]
            assert not [k for k in NEEDED_SCI.split() if k not in hdus["SCI"].header]
            assert hdus["SCI"].data.dtype == np.uint16 and hdus["SCI"].shape == (1, 2, 2048, 2048)
            assert (folder / hdus[0].header["MSAMETFL"]).is_file()
            assert hdus[0].header["FILENAME"] == path.name


def test_same_seed_same_bytes_in_any_order(small: tuple[Path, list[Path]], tmp_path: Path) -> None:
    _, paths = small
    again = Observation(demo_scene("small"), "PRISM", "CLEAR", 5, SHORT)
    second = again.write_exposure(again.exposures[1], "NRS1", tmp_path)  # alone, and without the first
    assert second.read_bytes() == paths[1].read_bytes()
    other = replace(again, seed=6)
    third = other.write_exposure(other.exposures[1], "NRS1", tmp_path / "other")
    assert not np.array_equal(fits.getdata(third), fits.getdata(second))
    assert not np.array_equal(fits.getdata(paths[0]), fits.getdata(second))


def test_integrations_and_pattern_are_in_the_header(tmp_path: Path) -> None:
    options = replace(SHORT, n_integrations=2, pattern="NRSIRS2RAPID")
    plan = Observation(demo_scene("small"), "PRISM", "CLEAR", 5, options)
    path = plan.write_exposure(plan.exposures[0], "NRS1", tmp_path)
    with fits.open(path) as hdus:
        header = hdus[0].header
        assert hdus["SCI"].shape == (2, 2, 3200, 2048)
        assert (header["NINTS"], header["NGROUPS"], header["READPATT"]) == (2, 2, "NRSIRS2RAPID")
        assert (header["NRS_NORM"], header["NRS_REF"], header["NOUTPUTS"]) == (16, 4, 5)
        assert header["TGROUP"] == header["TFRAME"] == 14.58889
        assert header["EFFEXPTM"] == pytest.approx(2 * 2 * 14.58889)
        assert header["SUBSIZE1"] == header["SUBSIZE2"] == 2048


@pytest.mark.parametrize("change", [{"n_integrations": 0}, {"pattern": "NRSSLOW"}])
def test_impossible_readout_is_refused(change: dict) -> None:
    with pytest.raises(DataError, match="cannot simulate"):
        Observation(demo_scene("small"), "PRISM", "CLEAR", 5, replace(SHORT, **change))


def test_truth_tables(small: tuple[Path, list[Path]]) -> None:
    tables = small[0] / truth.FOLDER
    catalogue = Table.read(tables / truth.CATALOGUE)
    assert set(catalogue["source_id"]) == {101, 103, 105}
    agn = catalogue[catalogue["source_id"] == 105][0]
    assert agn["z"] == 4.5 and agn["kind"] == "agn" and agn["detectors"] == "NRS1"
    lines = Table.read(tables / truth.LINES)
    halpha = lines[(lines["source_id"] == 103) & (lines["line"] == "Halpha")][0]
    assert halpha["wave"] == pytest.approx(0.6564614 * 4)
    assert len(Table.read(tables / truth.STUCK)) == 0
    noise = truth.read_noise_table(tables)
    assert len(noise) == 2 and noise["frame_amplitude"][0] != noise["frame_amplitude"][1]
    spectra = truth.TruthSpectra.read(tables / truth.SPECTRA)
    wave, fnu = spectra.of(101)
    np.testing.assert_allclose(fnu[20:-20], 20.0, rtol=2e-3)
    assert wave[0] == pytest.approx(0.6, abs=0.01) and wave[-1] == pytest.approx(5.3, abs=0.01)
    with pytest.raises(DataError, match="no true spectrum"):
        spectra.of(7)


def test_stuck_list_of_the_standard_scene() -> None:
    rows = truth.stuck(demo_scene(), 3)
    assert len(rows) == 1
    assert tuple(rows[0]) == (16, 110, 2, 140, 74, 3)


def test_nods_put_the_source_into_the_next_shutter() -> None:
    observation = Observation(demo_scene(), "PRISM", "CLEAR", 1, Options(n_nods=5))
    for exposure in observation.exposures:
        for slitlet, source in observation.scene.sources():
            place = observation.places(exposure)[source.source_id]
            assert place.shutter == slitlet.ycen + source.shutter + exposure.nod
            assert abs(place.dy - source.dy) < 0.06 and abs(place.dx - source.dx) < 0.06  # distortion over the MSA


def test_pointing_keeps_the_source_on_the_sky() -> None:
    """The optics, asked for the sky position of the place under each exposure's pointing, give one RA and Dec."""
    observation = Observation(demo_scene("small"), "G395M", "F290LP", 1, Options(n_dithers=2))
    optics = load_optics()
    slitlet, source = observation.scene.sources()[0]
    for exposure in observation.exposures:
        setup = observation.setup(exposure, "NRS1")
        place = observation.places(exposure)[source.source_id]
        x, y = optics.shutter_to_msa(slitlet.quadrant, slitlet.xcen, place.shutter, place.dx, place.dy)
        ra, dec = optics.sky(*optics.msa_to_v2v3(x, y, setup.wave_mid, filter="F290LP"), setup.pointing)
        expected = observation.sky[source.source_id]
        assert np.hypot((ra - expected[0]) * np.cos(np.deg2rad(dec)), dec - expected[1]) * 3.6e6 < 0.2  # mas


@pytest.mark.parametrize("mode", list(MODES))
def test_every_mode_paints(mode: tuple[str, str]) -> None:
    observation = Observation(demo_scene("small", mode[1]), mode[1], mode[0], 1, Options())
    exposure = observation.exposures[0]
    image = paint(
        observation.scene, observation.optics, observation.setup(exposure, "NRS1"), observation.places(exposure)
    )
    assert np.isfinite(image).all() and image.max() > 0.05


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such mode"):
        Observation(demo_scene("small"), "PRISM", "F290LP", 1)
    with pytest.raises(DataError, match="cannot simulate 4 nods"):
        Observation(demo_scene("small"), "PRISM", "CLEAR", 1, Options(n_nods=4))
    with pytest.raises(DataError, match="unknown grating"):
        default_filter("G500")
