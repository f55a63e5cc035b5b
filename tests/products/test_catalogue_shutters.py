"""The exported tables of shutters and pointings, held against where the simulator puts sources and shutters.

The places of shutters come from the simulator's own optics here, which share no code with the stock transforms that
the command uses; those are held against the stock WCS of products in tests/commands/test_export.py.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.core.attitude import Attitude, position_angle, separation
from nirfire.errors import DataError
from nirfire.products.catalogue_exposures import Pointed, read_exposures
from nirfire.products.catalogue_shutters import CLOSED, Verdicts, pointing_table, polygon, shutter_table
from nirfire.products.msa import Metafile
from nirfire.products.naming import Workspace
from nirfire.simulate.observation import Observation, Options
from nirfire.simulate.scene import demo_scene
from nirfire.simulate.truth import CATALOGUE, FOLDER

FILTER, WAVE = "CLEAR", 2.95


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Metafile and truth of a simulated observation, and its exposures without their images."""
    folder = tmp_path_factory.mktemp("planned")
    made = Observation(demo_scene("standard"), "PRISM", FILTER, 1, Options(n_nods=3))
    (metafile,) = made.write_tables(folder)
    exposures = [pointed(made, exposure, metafile) for exposure in made.exposures]
    truth = Table.read(folder / FOLDER / CATALOGUE, format="ascii.ecsv")
    return SimpleNamespace(made=made, exposures=exposures, metafile=metafile, truth=truth)


def pointed(made, exposure, metafile):
    at = made.setup(exposure, "NRS1").pointing
    name = exposure.name("NRS1")
    attitude = Attitude(at.ra_ref, at.dec_ref, at.roll_ref, at.v2_ref, at.v3_ref)
    facts = (metafile, 1, exposure.point, "PRISM", FILTER, "09999", "2026-01-01", 50.0, attitude, 90.57457)
    return Pointed(name, metafile.with_name(f"{name}_rate.fits"), *facts)


def places(made):
    """As `FocalPlane.places`, by the simulator's optics."""
    optics, share = made.optics, made.optics.open_fraction

    def found(quadrant, row, column, at=((0.0, 0.0),)):
        points = np.asarray(at)
        v2, v3 = np.zeros((2, len(quadrant), len(points)))
        for k, shutter in enumerate(zip(quadrant, row, column, strict=True)):
            x, y = optics.shutter_to_msa(*shutter, *(points.T * np.array(share)[:, None]))
            v2[k], v3[k] = optics.msa_to_v2v3(x, y, WAVE, filter=FILTER)
        return v2, v3

    return found


@pytest.fixture(scope="module")
def tables(planned):
    everywhere = {one.name.both: places(planned.made) for one in planned.exposures}
    rows = [(110, 2, 140, 72, "open", 1.0), (110, 2, 140, 73, "vignetted", 0.5), (110, 2, 140, 74, CLOSED, 0.06)]
    rows += [(103, 3, 250, 56, CLOSED, 0.1), (103, 3, 250, 57, "vignetted", 0.6)]
    names = ("source", "quadrant", "shutter_row", "shutter_column", "state", "level")
    verdicts = Table(rows=rows, names=names)
    verdicts["error"] = 0.1
    known = Verdicts(SimpleNamespace(verdicts=verdicts), {103: (1,)})
    root = planned.exposures[0].name.root
    shutters = shutter_table("obs", planned.exposures, everywhere, {root: known})
    return shutters, pointing_table("obs", planned.exposures, everywhere)


def test_sources_are_in_their_shutters_where_the_truth_has_them(planned, tables):
    shutters, _ = tables
    truth = {int(row["source_id"]): row for row in planned.truth}
    own = shutters[(shutters["source_here"] > 0)]
    assert set(own["source_here"].tolist()) == {s for s, row in truth.items() if row["catalogued"]}
    pitch = planned.made.optics.pitch_arcsec
    for row in own:
        there = truth[row["source_here"]]
        away = separation(row["ra"], row["dec"], there["ra"], there["dec"])
        planned_away = np.hypot((row["source_x"] - 0.5) * pitch[0], (row["source_y"] - 0.5) * pitch[1])
        assert away == pytest.approx(planned_away, abs=0.004)  # the pitch changes over the field
        if planned_away > 0.03:
            angle = position_angle(row["ra"], row["dec"], there["ra"], there["dec"])
            along, across = (row["source_y"] - 0.5) * pitch[1], (row["source_x"] - 0.5) * pitch[0]
            turned = np.degrees(np.arctan2(across, along))  # from +y, which is at 270.5 deg, to +x at 180.5
            assert abs((angle - 270.5 + turned + 180) % 360 - 180) < 4


def test_one_row_per_open_shutter_and_exposure(planned, tables):
    shutters, _ = tables
    opened = Metafile.read(planned.metafile).n_shutters()
    assert len(shutters) == 3 * opened
    keys = ("exposure", "quadrant", "shutter_row", "shutter_column")
    assert len({tuple(row) for row in shutters[list(keys)].iterrows()}) == len(shutters)
    assert set(shutters["exposure"]) == {one.name.both for one in planned.exposures}


def test_size_and_direction_of_openings(planned, tables):
    shutters, _ = tables
    share, pitch = planned.made.optics.open_fraction, planned.made.optics.pitch_arcsec
    np.testing.assert_allclose(shutters["width"], share[0] * pitch[0], rtol=0.03)
    np.testing.assert_allclose(shutters["height"], share[1] * pitch[1], rtol=0.03)
    neighbours = shutters[(shutters["slitlet"] == 1) & (shutters["dither_point"] == 1)]
    along = position_angle(*(neighbours[c][k] for k in (0, 2) for c in ("ra", "dec")))
    assert along % 180 == pytest.approx(neighbours["pa"][1], abs=1e-3)
    step = separation(*(neighbours[c][k] for k in (0, 1) for c in ("ra", "dec")))
    assert step == pytest.approx(pitch[1], rel=0.03)


def test_slitlets_of_several_sources_and_of_none(tables):
    shutters, _ = tables
    both = shutters[shutters["source_id"] == 108]
    assert set(both["sources"]) == {"108 208"}
    assert set(both["source_here"]) == {0, 108, 208}
    sky = shutters[shutters["source_id"] <= 0]
    assert set(sky["sources"]) == {""}
    assert {0, -10} <= set(sky["source_id"].tolist())


def test_states_and_the_word_of_people(tables):
    shutters, _ = tables
    found = {int(row["shutter_column"]): row for row in shutters[shutters["source_id"] == 110]}
    assert [found[c]["state"] for c in (72, 73, 74)] == ["open", "vignetted", "closed"]
    assert found[74]["level"] == 0.06
    said = shutters[(shutters["source_id"] == 103) & (shutters["dither_point"] == 1)]
    assert list(zip(said["shutter_column"], said["state"], said["by_hand"], strict=True)) == [
        (55, "closed", True),  # listed
        (56, "open", True),  # found closed, but not listed
        (57, "vignetted", False),
    ]
    assert set(shutters["state"][shutters["source_id"] == 101]) == {"unknown"}


def test_pointings(planned, tables):
    _, (row,) = tables
    scene = planned.made.scene
    assert separation(row["ra"], row["dec"], scene.ra, scene.dec) < 0.01  # nods are to both sides
    assert (row["n_exposures"], row["exposure_time"], row["modes"]) == (3, 150.0, "prism_clear")
    assert (row["n_slitlets"], row["n_shutters"], row["n_sources"]) == (18, 54, 16)
    assert row["n_sky"] == sum(not s.sources for s in scene.slitlets)
    assert row["pa_v3"] == pytest.approx(312.0)
    assert row["pa_aper"] == pytest.approx(90.57457)


def corners(text):
    numbers = np.array(re.findall(r"[+-]?\d+\.\d+", text), dtype=float)
    return numbers.reshape(-1, 4, 2)


def inside(ra, dec, four):
    """True for a place in a polygon whose corners go anticlockwise in the sky."""
    scale = np.cos(np.radians(four[0, 1]))
    edge = np.roll(four, -1, axis=0) - four
    west, north = -(ra - four[:, 0]) * scale, dec - four[:, 1]
    return bool((-edge[:, 0] * scale * north - edge[:, 1] * west > 0).all())


def test_footprints_hold_the_shutters_of_their_quadrants(tables):
    shutters, (pointing,) = tables
    four = corners(pointing["s_region"])
    assert pointing["s_region"].startswith("UNION ICRS (POLYGON ")
    assert four.shape == (4, 4, 2)
    for row in shutters:
        assert [inside(row["ra"], row["dec"], quadrant) for quadrant in four].index(True) + 1 == row["quadrant"]
        assert inside(row["ra"], row["dec"], corners(row["s_region"])[0])


def test_polygon_across_zero_and_of_an_unknown_place():
    ra, dec = np.array([359.9, 0.1, 0.1, 359.9]), np.array([-0.1, -0.1, 0.1, 0.1])
    four = corners(polygon(ra, dec))[0]
    assert sorted(four[:, 0]) == [0.1, 0.1, 359.9, 359.9]
    for given in ((ra, dec), (ra[::-1], dec[::-1])):
        one = corners(polygon(*given))[0]
        assert inside(0.0, 0.0, np.column_stack([(one[:, 0] + 180) % 360 - 180, one[:, 1]]))
    assert polygon(np.array([np.nan, 0, 0]), np.zeros(3)) == ""


def test_a_dither_point_that_the_metafile_lacks(planned):
    one = planned.exposures[0]
    wrong = Pointed(**(vars(one) | {"dither_point": 9}))
    with pytest.raises(DataError, match="no open shutter at dither point 9"):
        shutter_table("obs", [wrong], {one.name.both: places(planned.made)}, {})


def test_exposures_are_read_once_for_both_detectors(tmp_path):
    place = Workspace(tmp_path, "obs")
    place.exposures.mkdir()
    primary = {"MSAMETFL": "jw01345062001_01_msa.fits", "MSAMETID": 3, "PATT_NUM": 2, "GRATING": "G395M"}
    primary |= {"FILTER": "F290LP", "PROGRAM": "01345", "DATE-OBS": "2022-12-21", "EFFEXPTM": 100.0}
    sci = {"RA_REF": 1.0, "DEC_REF": 2.0, "ROLL_REF": 3.0, "V2_REF": 4.0, "V3_REF": 5.0, "VA_SCALE": 1.0001}
    for name in ("nrs1_rate", "nrs1_rateraw", "nrs2_rate"):
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="SCI")])
        hdus[0].header.update(primary)
        hdus[1].header.update(sci)
        hdus.writeto(place.exposures / f"jw01345062001_03101_00001_{name}.fits")
    (found,) = read_exposures(place)
    assert found.attitude == Attitude(1.0, 2.0, 3.0, 4.0, 5.0, 1.0001)
    assert (found.configuration, found.dither_point, found.exposure_time) == (3, 2, 100.0)
    assert (found.wave, found.mode, found.metafile.name) == (4.07, "g395m_f290lp", "jw01345062001_01_msa.fits")
    assert np.isnan(found.pa_aper)
    with fits.open(found.path, mode="update") as hdus:
        del hdus[1].header["ROLL_REF"]
    with pytest.raises(DataError, match="ROLL_REF is missing"):
        read_exposures(place)
