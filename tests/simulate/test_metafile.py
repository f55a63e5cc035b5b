"""The metafile has the form of flight ones, and says where the sources are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nirfire.products.msa import Metafile
from nirfire.simulate.metafile import shutter_image
from nirfire.simulate.observation import Observation, Options, metafile_name
from nirfire.simulate.scene import NOD_SHUTTERS, demo_scene


def _write(folder: Path, **options: int) -> Metafile:
    observation = Observation(demo_scene(), "PRISM", "CLEAR", 1, Options(**options))
    observation.write_tables(folder)
    return Metafile.read(folder / metafile_name(1))


@pytest.fixture(scope="module")
def metafile(tmp_path_factory: pytest.TempPathFactory) -> Metafile:
    return _write(tmp_path_factory.mktemp("msa"))


@pytest.mark.realdata
def test_columns_are_those_of_flight(metafile: Metafile, real_data: Path) -> None:
    with fits.open(real_data / "msa" / "jw02561002003_01_msa.fits.gz") as flight, fits.open(metafile.path) as ours:
        assert [h.name for h in ours] == [h.name for h in flight]
        for name in ("SHUTTER_INFO", "SOURCE_INFO"):
            assert ours[name].columns.names == flight[name].columns.names
            assert ours[name].columns.formats == flight[name].columns.formats
        assert ours["SHUTTER_IMAGE"].data.shape == flight["SHUTTER_IMAGE"].data.shape
        assert set(ours[0].header) >= set(flight[0].header) - {"COMMENT", "CHECKSUM", "DATASUM"}


@pytest.mark.realdata
def test_shutter_image_places_quadrants_as_flight_does(metafile: Metafile, real_data: Path) -> None:
    with fits.open(real_data / "nods" / "rubies_44597" / "jw04233006001_01_msa.fits") as flight:
        info, image = flight["SHUTTER_INFO"].data, flight["SHUTTER_IMAGE"].data
    np.testing.assert_array_equal(shutter_image(np.array(info)), image)


@pytest.mark.parametrize("n_nods", [2, 3, 5])
def test_one_row_per_shutter_and_dither_and_at_most_one_primary(tmp_path: Path, n_nods: int) -> None:
    rows = _write(tmp_path, n_nods=n_nods).configuration(1)
    keys = [(int(r["slitlet_id"]), int(r["shutter_column"]), int(r["dither_point_index"])) for r in rows]
    assert len(set(keys)) == len(keys) == len(demo_scene().slitlets) * n_nods**2
    for slitlet in np.unique(rows["slitlet_id"]):
        for point in range(1, n_nods + 1):
            here = rows[(rows["slitlet_id"] == slitlet) & (rows["dither_point_index"] == point)]
            primary = here[here["primary_source"] == "Y"]
            blank = slitlet == 5  # the background slitlet
            assert len(primary) == (0 if blank else 1)
            if len(primary):
                x, y = (primary[f"estimated_source_in_shutter_{a}"][0] for a in "xy")
                assert 0 <= x <= 1 and 0 <= y <= 1
                assert primary["background"][0] == "N"


def test_nods_move_the_source_shutter(metafile: Metafile) -> None:
    rows = metafile.configuration(1)
    mine = rows[(rows["source_id"] == 101) & (rows["primary_source"] == "Y")]
    order = np.argsort(mine["dither_point_index"])
    assert list(mine["shutter_column"][order] - 30) == list(NOD_SHUTTERS[3])


def test_special_rows(metafile: Metafile) -> None:
    rows = metafile.configuration(1)
    assert (rows["source_id"] == 913).sum() == 0  # the contaminant is not catalogued
    second = rows[(rows["source_id"] == 208)]
    assert len(second) == 2 and set(second["primary_source"]) == {"N"} and set(second["background"]) == {"N"}
    virtual = rows[rows["source_id"] < 0]
    assert len(virtual) == 18 and (virtual["primary_source"] == "Y").sum() == 6
    assert set(rows["background"][rows["slitlet_id"] == 5]) == {"Y"}
    stuck = rows[rows["slitlet_id"] == 16]
    assert set(stuck["shutter_state"]) == {"OPEN"}  # commanded; the failure is not known
    stars = metafile.sources
    assert np.all(stars["stellarity"][stars["source_id"] < 0] == 0)
    assert stars["stellarity"][stars["source_id"] == 101][0] == 1


def test_per_source_metafiles_work(metafile: Metafile) -> None:
    for source in metafile.source_ids(1):
        assert metafile.for_source(source, 1).n_shutters() == 3
    assert metafile.primaries(1) == set(metafile.source_ids(1)) - {208}


def test_a_second_visit_has_its_own(tmp_path: Path) -> None:
    scene = replace(demo_scene("small"), ra=359.9999)  # across the meridian
    observation = Observation(scene, "PRISM", "CLEAR", 1, Options(n_visits=2, n_dithers=2))
    paths = observation.write_tables(tmp_path)
    assert [p.name for p in paths] == [metafile_name(1), metafile_name(2)]
    first, second = (Metafile.read(p).configuration(1) for p in paths)
    assert set(first["dither_point_index"]) == set(range(1, 7))
    a, b = (r[(r["source_id"] == 101) & (r["primary_source"] == "Y")] for r in (first, second))
    shift = b["estimated_source_in_shutter_x"] - a["estimated_source_in_shutter_x"]
    np.testing.assert_allclose(shift, 0.06, atol=0.005)
