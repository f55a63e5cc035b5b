"""File names go out and come back."""

import pytest

from nirfire.products.naming import BKGSUB, CAL, RATE, SPEC, ZFIT, ExposureName, Workspace

NAME = "jw01345062001_03101_00002_nrs1"


def test_parts_of_an_exposure_name():
    name = ExposureName(NAME)
    assert (name.root, name.nod, name.detector) == ("jw01345062001_03101", 2, "nrs1")
    assert ExposureName.from_path(f"/data/{NAME}_uncal.fits") == name
    assert ExposureName.from_path(f"{NAME}_phot.138.1345_933.fits") == name
    assert ExposureName.from_path("jw01345062001_01_msa.fits") is None


def test_bad_name_is_refused():
    with pytest.raises(ValueError, match="not an exposure name"):
        ExposureName("jw013_nrs1")


def test_what_is_written_is_found(tmp_path):
    place, name = Workspace(tmp_path, "ceers"), ExposureName(NAME)
    paths = [
        place.exposure(name, RATE),
        place.slit(name, 33, CAL),
        place.slit(name, 33, BKGSUB),
        place.slit(name, 1033, CAL),
        place.combined(33, "PRISM", "CLEAR", SPEC),
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert place.find_exposures(RATE) == [name]
    assert place.find_sources() == [33, 1033]
    assert place.find_slits(33, CAL) == [name]
    assert place.find_slits(33, BKGSUB) == [name]
    assert place.find_slits(1033, BKGSUB) == []
    assert place.find_combined(33, SPEC) == [paths[-1]]
    assert paths[-1].name == "ceers_prism_clear_33_spec.fits"


def test_the_redshift_of_all_gratings_is_none_of_a_grating(tmp_path):
    place = Workspace(tmp_path, "egs_deep")
    joint, single = place.joint_zfit(33), place.combined(33, "G395M", "F290LP", ZFIT)
    for path in (joint, single):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert joint.name == "egs_deep_33_joint_zfit.fits"
    assert place.find_combined(33, ZFIT) == [single]


def test_an_empty_workspace_has_nothing(tmp_path):
    place = Workspace(tmp_path / "none", "x")
    assert place.find_sources() == []
    assert place.find_exposures(RATE) == []
