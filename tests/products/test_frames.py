"""Cutouts without sky, and what the extraction gets of them."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products.frames import gather, make_frames
from nirfire.products.slitcal import SlitCal, planned_hdu
from tests.products.cutouts import LOSS, SOURCE, copied, nods, renamed, without_sky, write_cals


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Three nods."""
    return without_sky(write_cals(tmp_path_factory.mktemp("plain"), nods()))


def read(paths):
    return [SlitCal.read(path) for path in paths]


def rewrite(path, **headers):
    """Change cards of the SCI extension; None takes one out."""
    with fits.open(path, mode="update") as hdus:
        for key, value in headers.items():
            if value is None:
                del hdus["SCI"].header[key]
            else:
                hdus["SCI"].header[key] = value


@pytest.mark.parametrize("n_exp", [2, 3, 5])
def test_the_nods_come_back_as_they_were_before_the_sky_was_taken_off(tmp_path, n_exp):
    true = nods(n_exp=n_exp)
    ((slits, frames),) = gather(read(without_sky(write_cals(tmp_path, true))))
    assert frames.shared
    assert [slit.path.name.split("_")[2] for slit in slits] == [f"{k + 1:05d}" for k in range(n_exp)]
    np.testing.assert_allclose(frames.flux, true.flux, atol=1e-4)
    np.testing.assert_allclose(frames.photon + frames.read, true.photon + true.read, rtol=1e-5)
    np.testing.assert_allclose(frames.wave, true.wave, rtol=1e-6)
    np.testing.assert_allclose(frames.place, true.place, atol=1e-5)
    np.testing.assert_allclose(frames.sources, true.sources, atol=1e-9)
    np.testing.assert_allclose(frames.passed, LOSS)
    np.testing.assert_allclose(frames.backgrounds, true.backgrounds)
    assert frames.shutters == true.shutters
    assert frames.good.all()


def test_the_sky_and_its_variance_are_those_that_were_taken_off(plain):
    true = nods()
    ((_, frames),) = gather(read(plain))
    for k in range(3):
        others = np.delete(true.flux, k, axis=0)
        np.testing.assert_allclose(frames.sky[k], others.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(frames.sky_variance, 0.5, rtol=1e-5)


def test_photons_and_read_noise_stay_apart(tmp_path):
    true = nods(seed=None)
    photon = np.full(true.flux.shape, 3.0)
    paths = write_cals(tmp_path, type(true)(**{**vars(true), "photon": photon}))
    ((_, frames),) = gather(read(without_sky(paths)))
    np.testing.assert_allclose(frames.photon, 3.0, rtol=0.02)
    np.testing.assert_allclose(frames.photon + frames.read, 4.0, rtol=1e-4)


def test_a_flagged_pixel_is_not_good_and_has_no_numbers(tmp_path):
    true = nods()
    true.good[1, 5, 7] = False
    ((_, frames),) = gather(read(without_sky(write_cals(tmp_path, true))))
    assert frames.shared
    np.testing.assert_array_equal(frames.good, true.good)
    for values in (frames.flux, frames.photon, frames.read, frames.sky, frames.sky_variance):
        assert values[1, 5, 7] == 0.0
        assert np.isfinite(values).all()
    np.testing.assert_allclose(frames.flux[true.good], true.flux[true.good], atol=1e-4)
    assert frames.backgrounds[0, 1, 5, 7] == 0.0
    assert frames.backgrounds[0, 2, 5, 7] == 1.0


def test_a_pixel_of_wild_noise_does_not_count_and_its_neighbours_do(tmp_path):
    """As real unflagged ones have it: all its variances are wild, the read noise the most."""
    true = nods()
    true.photon[1, 5, 7], true.read[1, 5, 7] = 3e6, 3e7
    ((_, frames),) = gather(read(without_sky(write_cals(tmp_path, true))))
    assert not frames.good[1, 5, 7]
    away = np.ones(true.flux.shape, dtype=bool)
    away[:, 5, 7] = False  # in the other nods it is in their sky
    assert frames.good[away].all()


def test_detectors_and_visits_are_apart(plain, tmp_path):
    other = renamed(plain, tmp_path, "nrs1", "nrs2") + renamed(plain, tmp_path, "062001_", "062002_")
    found = gather(read(plain + other))
    assert len(found) == 3
    assert all(frames.shared and len(slits) == 3 for slits, frames in found)


def test_a_nod_that_only_serves_as_background_leaves_the_others_a_common_sky(tmp_path):
    """Its own pixels are not here; what was subtracted is put back all the same, and the sky is that of the others."""
    true = nods()
    paths = without_sky(write_cals(tmp_path, true), n_science=2)
    ((slits, frames),) = gather(read(paths))
    assert len(slits) == 2
    assert frames.shared
    np.testing.assert_allclose(frames.flux, true.flux[:2], atol=1e-4)
    np.testing.assert_allclose(frames.photon + frames.read, 1.0, rtol=1e-4)
    assert frames.backgrounds.shape == (2, 2, 21, 60)
    np.testing.assert_allclose(frames.backgrounds[0, 1], 0.5)  # half of it is from the other nod here


def test_lists_of_nods_make_them_stand_alone(tmp_path):
    paths = write_cals(tmp_path, nods())
    names = [path.name.removesuffix("_7_cal.fits") for path in paths]
    allowed = {names[0]: [names[1]], names[1]: [names[0]], names[2]: [names[0]]}
    ((_, frames),) = gather(read(without_sky(paths, allowed=allowed)))
    assert not frames.shared
    np.testing.assert_allclose(frames.backgrounds[:, :, 3, 3], [[0, 1, 0], [1, 0, 0], [1, 0, 0]])


def test_a_place_that_was_measured_counts_more_than_the_planned_one(plain, tmp_path):
    paths = copied(plain, tmp_path)
    rewrite(paths[0], SRCXPOS=-0.2, SRCYPOS=0.3)
    ((_, frames),) = gather(read(paths))
    np.testing.assert_allclose(frames.sources[0, 0], [-0.2, 50.3])
    np.testing.assert_allclose(frames.sources[0, 1], [0.05, 49.1])


def test_other_sources_of_the_slitlet(tmp_path):
    paths = without_sky(write_cals(tmp_path, nods(), others={9: 0.4, 3: -0.3}))
    ((_, frames),) = gather(read(paths))
    assert frames.sources.shape == (3, 3, 2)
    np.testing.assert_allclose(frames.sources[1, :, 1], frames.sources[0, :, 1] - 0.3)
    np.testing.assert_allclose(frames.sources[2, :, 1], frames.sources[0, :, 1] + 0.4)


def test_all_groups_have_the_same_sources_in_the_same_order(plain, tmp_path):
    """A neighbour that is in the slitlet of one visit only."""
    paths = []
    for visit, planned in enumerate(({SOURCE: (0.0, 50.0), 9: (0.0, 50.4)}, {3: (0.0, 49.7)}, {}), start=2):
        mine = renamed(plain, tmp_path, "062001_", f"06200{visit}_")
        for path in mine:
            with fits.open(path, mode="update") as hdus:
                hdus["PLANNED"] = planned_hdu(planned)
        paths += mine
    found = [frames.sources for _, frames in gather(read(paths))]
    assert [s.shape for s in found] == [(3, 3, 2)] * 3
    there = [np.isfinite(s).all(axis=(1, 2)).tolist() for s in found]
    assert there == [[True, False, True], [True, True, False], [True, False, False]]


def test_cutouts_of_different_extent(plain, tmp_path):
    true, paths = nods(), copied(plain, tmp_path)
    with fits.open(paths[2], mode="update") as hdus:
        for hdu in hdus[1:]:
            if hdu.is_image and hdu.data is not None:
                hdu.data = hdu.data[2:, 5:]
        hdus["SCI"].header.update({"SLTSTRT1": 6, "SLTSTRT2": 3})
    ((_, frames),) = gather(read(paths))
    assert frames.flux.shape == true.flux.shape
    assert not frames.good[2, :2].any()
    assert not frames.good[2, :, :5].any()
    np.testing.assert_allclose(frames.flux[2, 2:, 5:], true.flux[2, 2:, 5:], atol=1e-4)


def test_unknown_places_leave_their_neighbours_alone(plain, tmp_path):
    paths = copied(plain, tmp_path)
    for path in paths:
        with fits.open(path, mode="update") as hdus:
            hdus["SLIT_Y"].data[0] = np.nan
            hdus["WAVELENGTH"].data[:, -1] = np.nan
    ((_, frames),) = gather(read(paths))
    assert not frames.good[:, 0].any()
    assert not frames.good[:, :, -1].any()
    inner = np.isfinite(frames.place[:-1]) & np.isfinite(frames.place[1:])
    assert inner[1:, :-1].all()
    assert np.isfinite(frames.wave[:, :-1]).all()


@pytest.mark.parametrize("missing", ["SLIT_Y", "BKG", "SHUTSTA"])
def test_what_is_missing_is_said(plain, tmp_path, missing):
    paths = copied(plain, tmp_path)
    if missing == "SHUTSTA":
        rewrite(paths[1], SHUTSTA=None)
    else:
        with fits.open(paths[1], mode="update") as hdus:
            del hdus[missing]
    with pytest.raises(DataError, match="lacks") as caught:
        make_frames(read(paths))
    assert missing in str(caught.value)
    assert f"_{SOURCE}_" in str(caught.value)
