"""Exposures enter at the stage they are at; what cannot be used is named and the rest goes on."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.pipeline.observation import bring_in, discover
from nirfire.products.naming import CAL, RATE, RATERAW, ExposureName, Workspace

NAME = "jw01345062001_03101_0000{}_nrs1"


def put(folder, name, primary=None, sci=None):
    hdus = [fits.PrimaryHDU(header=fits.Header(primary or {}))]
    hdus.append(fits.ImageHDU(np.ones((4, 4), np.float32), name="SCI", header=fits.Header(sci or {})))
    fits.HDUList(hdus).writeto(folder / name)
    return folder / name


@pytest.fixture
def folder(tmp_path):
    """One file for each way in, and some that are none of ours."""
    put(tmp_path, NAME.format(1) + "_uncal.fits", {"MSAMETFL": "jw01345062001_01_msa.fits"})
    put(tmp_path, NAME.format(2) + "_rate.fits")
    put(tmp_path, NAME.format(3) + "_rate.fits", {"NFVSCALE": 1.1})
    put(tmp_path, NAME.format(4) + "_933_cal.fits")
    put(tmp_path, NAME.format(5) + "_phot.138.1345_933.fits", {"DATAMODL": "SlitModel"}, {"SOURCEID": 933})
    put(tmp_path, NAME.format(6) + "_cal.fits", {"DATAMODL": "MultiSlitModel"})
    put(tmp_path, "jw01345062001_01_msa.fits")
    put(tmp_path, NAME.format(7) + "_uncal.fits", {"EXP_TYPE": "NRS_TACONFIRM"})
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def test_each_file_enters_at_its_stage(folder):
    inputs = discover(folder)
    assert [str(n)[:-5][-5:] for n in inputs.uncal] == ["00001"]
    assert list(inputs.rateraw) == [ExposureName(NAME.format(2))]  # stock rates are cleaned
    assert list(inputs.rate) == [ExposureName(NAME.format(3))]  # ours are clean
    assert list(inputs.cals) == [(ExposureName(NAME.format(4)), 933)]
    assert list(inputs.cutouts) == [(ExposureName(NAME.format(5)), 933)]
    assert len(inputs) == 5
    assert inputs.needs_references
    assert not inputs.simulated
    assert not inputs.problems


def test_what_enters_later_is_brought_in_with_the_metafiles(folder, tmp_path_factory):
    place = Workspace(tmp_path_factory.mktemp("work"), "ceers")
    assert bring_in(discover(folder), place) == []
    assert place.find_exposures(RATERAW) == [ExposureName(NAME.format(2))]
    assert place.find_exposures(RATE) == [ExposureName(NAME.format(3))]
    assert place.find_slits(933, CAL) == [ExposureName(NAME.format(4))]
    assert (place.exposures / "jw01345062001_01_msa.fits").is_file()


def test_a_damaged_file_is_a_problem_and_the_rest_goes_on(folder):
    broken = folder / (NAME.format(8) + "_uncal.fits")
    broken.write_bytes(b"not FITS at all")
    inputs = discover(folder)
    assert len(inputs) == 5
    (problem,) = inputs.problems
    assert problem.file == broken


def test_a_folder_of_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="no exposure found"):
        discover(tmp_path)
    with pytest.raises(DataError, match="folder not found"):
        discover(tmp_path / "none")


def test_simulated_exposures_are_known_by_their_title(tmp_path):
    put(tmp_path, NAME.format(1) + "_uncal.fits", {"TITLE": "nirfire simulation"})
    assert discover(tmp_path).simulated
    put(tmp_path, NAME.format(2) + "_uncal.fits", {"TITLE": "The real sky"})
    assert not discover(tmp_path).simulated
