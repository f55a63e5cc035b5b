"""Exposures enter at the stage they are at; what cannot be used is named and the rest goes on."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.pipeline.observation import discover, files_in, link_in
from nirfire.products.naming import CAL, RATE, RATERAW, UNCAL, ExposureName, Workspace

from .survey import CARDS, METAFILE, write_metafile

NAME = "jw01345062001_03101_0000{}_nrs1"


def put(folder, name, primary=None, sci=None):
    hdus = [fits.PrimaryHDU(header=fits.Header(primary or {}))]
    hdus.append(fits.ImageHDU(np.ones((4, 4), np.float32), name="SCI", header=fits.Header(sci or {})))
    fits.HDUList(hdus).writeto(folder / name)
    return folder / name


def exposure(folder, number, suffix, **cards):
    return put(folder, NAME.format(number) + suffix, CARDS | {"DETECTOR": "NRS1"} | cards)


def look(folder, **keys):
    return discover(files_in(folder), folder=folder, **keys)


@pytest.fixture
def folder(tmp_path):
    """One file for each way in, and some that are none of ours."""
    write_metafile(tmp_path, [933, 55])
    exposure(tmp_path, 1, UNCAL)
    exposure(tmp_path, 2, RATE)
    exposure(tmp_path, 3, RATE, NFVSCALE=1.1)
    put(tmp_path, NAME.format(4) + "_933_cal.fits", {"GRATING": "PRISM", "FILTER": "CLEAR"})
    put(tmp_path, NAME.format(5) + "_phot.138.1345_933.fits", {"DATAMODL": "SlitModel"}, {"SOURCEID": 933})
    put(tmp_path, NAME.format(6) + "_cal.fits", {"DATAMODL": "MultiSlitModel"})
    put(tmp_path, NAME.format(7) + "_uncal.fits", {"EXP_TYPE": "NRS_TACONFIRM"})
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def test_each_file_enters_at_its_stage(folder):
    inputs = look(folder)
    entered = {e.name.nod: e.enters for e in inputs.exposures}
    assert entered == {1: UNCAL, 2: RATERAW, 3: RATE}, "a stock rate file is cleaned, ours is clean"
    assert [(c.name.nod, c.source, c.ours) for c in inputs.cutouts] == [(4, 933, True), (5, 933, False)]
    assert all(e.sources == (55, 933) for e in inputs.exposures)
    assert not inputs.problems


def test_of_two_files_of_one_exposure_the_further_one_enters(folder):
    exposure(folder, 1, RATERAW)
    exposure(folder, 3, UNCAL)
    assert {e.name.nod: e.enters for e in look(folder).exposures} == {1: RATERAW, 2: RATERAW, 3: RATE}


def test_gratings_narrow_what_enters(folder):
    exposure(folder, 8, UNCAL, GRATING="G395M", FILTER="F290LP")
    found = look(folder, gratings=frozenset({"G395M"}))
    assert [e.name.nod for e in found.exposures] == [8]
    assert not found.cutouts


def test_what_enters_later_is_linked_in_with_the_metafiles(folder, tmp_path_factory):
    place = Workspace(tmp_path_factory.mktemp("work"), "ceers")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for _ in range(2):  # the second time changes nothing
        link_in(look(folder), place)
        assert place.find_exposures(RATERAW) == [ExposureName(NAME.format(2))]
        assert place.find_exposures(RATE) == [ExposureName(NAME.format(3))]
        assert place.find_slits(933, CAL) == [ExposureName(NAME.format(4))]
        assert (place.exposures / METAFILE).readlink() == folder / METAFILE
        assert all(path.is_symlink() for path in place.folder.rglob("*.fits"))
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_link_follows_exposures_that_moved(folder, tmp_path):
    place = Workspace(tmp_path / "work", "ceers")
    link_in(look(folder), place)
    moved = folder / "moved"
    moved.mkdir()
    for path in folder.glob("jw*.fits"):
        path.rename(moved / path.name)
    link_in(look(moved), place)
    assert (place.exposures / METAFILE).readlink() == moved / METAFILE


def test_a_product_in_the_place_of_a_given_file_is_not_overwritten(folder, tmp_path):
    place = Workspace(tmp_path / "work", "ceers")
    made = place.exposure(ExposureName(NAME.format(2)), RATERAW)
    made.parent.mkdir(parents=True)
    made.write_text("a product")
    with pytest.raises(DataError, match="has its own file in the place of the given"):
        link_in(look(folder), place)
    assert made.read_text() == "a product"


def test_a_link_that_another_shard_made_meanwhile_is_fine(folder, tmp_path, monkeypatch):
    place, inputs = Workspace(tmp_path / "work", "ceers"), look(folder)
    link_in(inputs, place)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.is_symlink", lambda self: False)  # as it was a moment ago
        patch.setattr("pathlib.Path.exists", lambda self: False)
        link_in(inputs, place)


def test_a_damaged_file_is_a_problem_and_the_rest_goes_on(folder):
    broken = folder / (NAME.format(8) + "_uncal.fits")
    broken.write_bytes(b"not FITS at all")
    inputs = look(folder)
    assert len(inputs.exposures) == 3
    (problem,) = inputs.problems
    assert problem.file == broken


def test_a_missing_metafile_or_keyword_is_a_problem_of_each_exposure(folder):
    exposure(folder, 8, UNCAL, MSAMETID=77)
    exposure(folder, 9, UNCAL, MSAMETFL="jw01345062001_09_msa.fits")
    problems = look(folder).problems
    assert len(problems) == 2
    said = " ".join(map(str, problems))
    assert "no MSAMETID 77" in said
    assert "MSA metafile not found" in said


def test_a_folder_of_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="no exposure found"):
        look(tmp_path)
    with pytest.raises(DataError, match="folder not found"):
        look(tmp_path / "none")


def test_simulated_exposures_are_known_by_their_title(tmp_path):
    write_metafile(tmp_path, [1])
    exposure(tmp_path, 1, UNCAL)
    assert look(tmp_path).embedded
    exposure(tmp_path, 2, UNCAL, TITLE="The real sky")
    assert not look(tmp_path).embedded
