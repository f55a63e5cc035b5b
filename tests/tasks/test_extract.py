"""The model method on files, against the source that was painted."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.regrid import variance_of_sum
from nirfire.core.slit_psf import PITCH
from nirfire.errors import DataError, NoWork
from nirfire.products.spectrum import Spectrum
from nirfire.products.verify import verify_product
from nirfire.tasks import extract as task
from nirfire.tasks.settings import ExtractSettings
from tests.core.slitlets import psf
from tests.products.cutouts import ROOT, SOURCE, copied, nods, renamed, without_sky, write_cals

FLUX = 30.0


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Three nods of a point."""
    return without_sky(write_cals(tmp_path_factory.mktemp("plain"), nods(FLUX)))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Extract files with the PSF that they were painted with."""
    monkeypatch.setattr(task, "find_psf", lambda path: (psf(), "a_pathloss.fits"))

    def extract(paths, *, settings=None, **more):
        spec = tmp_path / "a_spec.fits"
        task.extract(paths, spec, SOURCE, settings or ExtractSettings(), **more)
        return Spectrum.read(spec)

    return extract


def test_flux_errors_and_boxes(run, tmp_path):
    pulls, means = [], []
    for seed in range(2):
        found = run(without_sky(write_cals(tmp_path, nods(FLUX, seed=seed))))
        good = ~found.mask
        pulls.append((found.flux - FLUX)[good] / found.err[good])
        weight = np.where(good, 1.0 / good.sum(), 0.0)
        sigma = np.hypot(
            np.sqrt(variance_of_sum(found.covariance, weight)), np.mean((found.shape_err * found.flux)[good])
        )
        means.append((found.flux[good].mean() - FLUX) / sigma)
        for flux, err in found.boxes.values():
            assert np.nanmedian(flux) == pytest.approx(FLUX, rel=0.02)
            assert np.nanmedian(err / found.err) > 1.0
    assert np.std(np.concatenate(pulls)) == pytest.approx(1.0, abs=0.2)
    assert np.abs(means).max() < 3.5
    assert verify_product(tmp_path / "a_spec.fits", stamped=False) == []


def test_what_the_product_says(run, tmp_path):
    found = run(without_sky(write_cals(tmp_path, nods(FLUX, size=0.1))))
    good = ~found.mask
    assert found.meta["NFMETHOD"][0] == "model"
    assert found.meta["NFPSF"][0] == "a_pathloss.fits"
    assert found.meta["NFSIZE"][0] == pytest.approx(0.1, abs=0.03)
    assert found.meta["NFOFFSET"][0] == pytest.approx(0.0, abs=0.02)
    assert set(found.n_used[good]) == {3}
    assert not found.n_used[~good].any()
    np.testing.assert_array_equal(np.isfinite(found.flux), good)
    np.testing.assert_array_equal(np.isfinite(found.err), good)
    assert found.sci.shape[1] == len(found.wave)
    assert found.model2d.shape == found.sci.shape
    assert len(found.exposures) == 3
    assert found.single is None
    assert ((found.slitloss > 0) & (found.slitloss < 1)).all()
    for share in found.apertures.values():
        assert (share[good] > 0.3).all()


def test_spectra_of_single_exposures_on_request(run, tmp_path):
    paths = without_sky(write_cals(tmp_path, nods(1e3)))
    found = run(paths[::-1], settings=ExtractSettings(single=True))
    flux, err = found.single
    assert flux.shape == err.shape == (3, len(found.wave))
    assert list(found.exposures["filename"]) == [path.name for path in paths[::-1]]
    np.testing.assert_allclose(np.nanmedian(flux, axis=1), 1e3, rtol=0.02)
    with fits.open(paths[0], mode="update") as hdus:  # only this exposure loses pixels
        hdus["DQ"].data[:, 20:30] |= 1
    flux, _ = run(paths, settings=ExtractSettings(single=True)).single
    lost = np.isnan(flux).sum(axis=1)
    assert lost[0] > lost[1] == lost[2]


def test_both_detectors_and_two_visits(run, plain, tmp_path):
    other = renamed(plain, tmp_path, "nrs1", "nrs2") + renamed(plain, tmp_path, "062001_", "062002_")
    one, all_of_them = run(plain), run(plain + other)
    good = ~one.mask
    np.testing.assert_allclose(all_of_them.err[good], one.err[good] / np.sqrt(3), rtol=0.1)
    np.testing.assert_allclose(all_of_them.flux[good], one.flux[good], rtol=0.05)
    assert set(all_of_them.n_used[good]) == {9}


def test_a_detector_without_a_usable_pixel_changes_nothing(run, plain, tmp_path):
    one = run(plain)
    dark = renamed(plain, tmp_path, "nrs1", "nrs2")
    for path in dark:
        with fits.open(path, mode="update") as hdus:
            hdus["DQ"].data[:] = 1
    both = run(plain + dark)
    np.testing.assert_allclose(both.flux, one.flux, rtol=1e-6)
    np.testing.assert_allclose(both.err, one.err, rtol=1e-6)


def test_the_offset_of_the_visit_is_where_the_source_is_looked_for(run, tmp_path):
    """A faint source, 0.1 arcsec from its plan: it has its flux with the visit's offset, and another without."""
    arcsec = 0.1
    paths = without_sky(write_cals(tmp_path, nods(2.0, noise=0.3, offset=arcsec / PITCH[1], seed=3)))
    known = run(paths, offsets={ROOT: (arcsec, 0.002)})
    blind = run(paths, settings=ExtractSettings(offset_err=0.001))
    good = ~known.mask
    assert np.mean(known.flux[good]) == pytest.approx(2.0, rel=0.05)
    assert abs(np.mean(blind.flux[good]) - 2.0) > 0.2
    assert known.meta["NFOFFSET"][0] == pytest.approx(arcsec, abs=0.01)  # from the plan, as the card says
    assert blind.meta["NFOFFSET"][0] == pytest.approx(0.0, abs=0.01)


def test_the_offset_of_the_visit_does_not_change_the_flux_of_a_bright_source(run, tmp_path):
    """Which is where it is, whatever is expected; and its pathloss is that of the planned place."""
    paths = without_sky(write_cals(tmp_path, nods(1e3, offset=0.1, noise=0.3)))
    one, other = run(paths), run(paths, offsets={ROOT: (0.1 * PITCH[1], 0.01)})
    good = ~one.mask
    np.testing.assert_allclose(other.flux[good], one.flux[good], rtol=2e-3)
    np.testing.assert_allclose(np.median(one.flux[good]), 1e3, rtol=5e-3)


def test_place_and_size_that_are_given_are_taken_as_they_are(run, plain):
    found = run(plain, shape={"offset": 0.05, "size": 0.2, "fit": False})
    assert found.meta["NFOFFSET"][0] == pytest.approx(0.05, abs=1e-5)
    assert found.meta["NFSIZE"][0] == pytest.approx(0.2, abs=1e-5)


def test_an_outlier_of_20_sigma_is_left_out(run, plain, tmp_path):
    before, frames = run(plain), nods(FLUX)
    frames.flux[:, 10, 30] += np.array([20.0, 0.0, 0.0])
    after = run(without_sky(write_cals(tmp_path, frames)))
    good = ~before.mask
    assert np.abs((after.flux - before.flux)[good] / before.err[good]).max() < 1.0
    assert after.meta["NFREJECT"][0] > 0


def test_the_source_is_in_no_exposure(run, plain, tmp_path):
    paths = copied(plain, tmp_path)
    for path in paths:
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["SRCFLUX"] = False
    with pytest.raises(NoWork, match="in the open shutters of no exposure"):
        run(paths)


def test_no_usable_pixel_is_said(run, plain, tmp_path):
    paths = copied(plain, tmp_path)
    for path in paths:
        with fits.open(path, mode="update") as hdus:
            hdus["DQ"].data[:] = 1
    with pytest.raises(DataError, match="usable pixel") as caught:
        run(paths)
    assert "DQ" in str(caught.value)


def test_a_mode_without_a_grid_is_said(run, plain, tmp_path):
    paths = copied(plain, tmp_path)
    with fits.open(paths[0], mode="update") as hdus:
        hdus[0].header["GRATING"] = "MIRROR"
    with pytest.raises(DataError, match="MIRROR"):
        run(paths)
