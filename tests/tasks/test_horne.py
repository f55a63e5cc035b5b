"""The horne method on stacks that are known."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.extract import Profile, box_weights
from nirfire.core.grids import wave_grid
from nirfire.core.regrid import variance_of_sum
from nirfire.errors import DataError, NoWork
from nirfire.products.spectrum import Spectrum
from nirfire.products.verify import verify_product
from nirfire.stsci.slits import Rectified
from nirfire.tasks import horne as task
from nirfire.tasks.settings import ExtractSettings

N_SPAT, ROW, NOISE = 20, 9.3, 0.02
GRID = wave_grid("PRISM", "CLEAR")
COLUMNS = np.interp(np.linspace(-2, GRID.wave.size + 2, 430), np.arange(GRID.wave.size), GRID.wave)
COLUMNS = np.concatenate([0.6 - 0.004 * np.arange(3, 0, -1), np.unique(COLUMNS)])


def true_flux(wave):
    return 3.0 + np.sin(wave)


def profile():
    shape = np.exp(-0.5 * ((np.arange(N_SPAT) - ROW) / 1.0) ** 2)
    return shape / shape.sum()


def a_stack(seed=1, factor=1.0, time=100.0, unit="MJy"):
    """A stack whose noise is independent from column to column, with a gap."""
    rng = np.random.default_rng(seed)
    flux = factor * true_flux(COLUMNS) * profile()[:, None] + NOISE * rng.normal(size=(N_SPAT, COLUMNS.size))
    flux[:, 200:210] = np.nan
    header = fits.Header({"GRATING": "PRISM", "FILTER": "CLEAR", "EFFEXPTM": time})
    err = np.full(flux.shape, NOISE * 1e-12)
    return Rectified(flux * 1e-12, err, np.ones(flux.shape), COLUMNS, ROW, unit, header)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two cutouts per group, a function that makes stacks by name, and where the spectrum goes."""
    stacks = {}
    monkeypatch.setattr(task, "read_rectified", lambda path: stacks[path.name])

    def put(name, stack):
        stacks[name] = stack
        path = tmp_path / name
        bits = np.full((1, *stack.sci.shape), 0b11, dtype=np.int32)
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(bits, name="CON")]).writeto(path)
        return path

    def cutouts(groups=1, **cards):
        paths = []
        for k in range(2 * groups):
            path = tmp_path / f"jw00001001001_0{2 + k // 2}101_0000{1 + k % 2}_nrs1_7_cal_bkgsub.fits"
            primary = fits.PrimaryHDU()
            primary.header.update({"GRATING": "PRISM", "FILTER": "CLEAR", "EFFEXPTM": 50.0, "PATT_NUM": k + 1} | cards)
            image = fits.ImageHDU(np.zeros((2, 2)), name="SCI")
            image.header.update({"SRCRA": 10.0, "SRCDEC": -5.0, "SHUTSTA": "1x1", "SRCNAME": "1_7"})
            fits.HDUList([primary, image]).writeto(path)
            paths.append(path)
        return paths

    def run(inputs, s2ds, **more):
        spec = tmp_path / "a_spec.fits"
        task.horne(inputs, s2ds, spec, 7, ExtractSettings(method="horne", **more))
        return spec

    return put, cutouts, run


def test_all_extractions_find_the_flux_and_true_errors(place):
    put, cutouts, run = place
    path = run(cutouts(), [put("all_s2d.fits", a_stack())])
    assert verify_product(path, stamped=False) == []
    found = Spectrum.read(path)
    np.testing.assert_allclose(found.wave, GRID.wave)
    truth = true_flux(found.wave)
    good = ~found.mask
    assert good.mean() > 0.95
    assert not good.all()
    pulls = ((found.flux - truth) / found.err)[good]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean(found.flux[good] / truth[good]) - 1) < 0.005
    for width, (flux, err) in found.boxes.items():
        assert abs(np.mean(flux[good] / truth[good]) - 1) < 0.005, width
        assert np.std(((flux - truth) / err)[good]) == pytest.approx(1.0, abs=0.15)
    inside = {w: float(box_weights(N_SPAT, ROW, w) @ profile()) for w in (3, 4, 5, 6)}
    for width, share in found.apertures.items():
        np.testing.assert_allclose(share[good], inside[width] / inside[6], rtol=0.005)
    assert set(found.n_used[good]) == {2}
    assert found.meta["NFPROFIL"][0] == "measured"
    assert found.meta["NFMETHOD"][0] == "horne"
    assert found.meta["NFGRID0"][0] == GRID.first
    assert found.meta["EXPTIME"][0] == 100.0
    assert found.sci.shape == (N_SPAT, GRID.wave.size)
    np.testing.assert_array_equal(np.isfinite(found.sci).any(axis=0), good)
    np.testing.assert_array_equal(found.dq2d == 0, np.isfinite(found.sci))


def test_means_of_pixels_have_the_error_that_the_correlation_says(place, monkeypatch):
    """With a known profile; the noise of a measured one is common to all wavelengths, and in no error."""
    put, cutouts, run = place
    monkeypatch.setattr(task, "_profile", lambda stack, settings: Profile(profile(), True))
    inputs, pulls, alone = cutouts(), [], []
    truth = true_flux(GRID.wave)
    for seed in range(14):
        name = f"{seed}_s2d.fits"
        found = Spectrum.read(run(inputs, [put(name, a_stack(seed))]))
        covariance = found.covariance
        for start in range(0, found.wave.size - 20, 20):
            weight = np.zeros(found.wave.size)
            weight[start : start + 20] = 1 / 20
            if not found.mask[start : start + 20].any():
                left = np.sum(weight * np.nan_to_num(found.flux - truth))
                pulls.append(left / np.sqrt(variance_of_sum(covariance, weight)))
                alone.append(left / np.sqrt(np.sum(weight**2 * covariance[0])))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    assert np.std(alone) > 1.1


def test_groups_are_weighted_by_time_and_one_that_is_wrong_is_left_out(place):
    put, cutouts, run = place
    times, factors = (100.0, 300.0, 100.0), (1.1, 1.0, 1.0)
    parts = [put(f"{k}_s2d.fits", a_stack(k, f, t)) for k, (f, t) in enumerate(zip(factors, times, strict=True))]
    spike = a_stack(1, 1.0, 300.0)
    spike.sci[8:11, 100] += 2e-12
    parts[1].unlink()
    parts[1] = put("1_s2d.fits", spike)
    whole = put("all_s2d.fits", a_stack(9))
    inputs = cutouts(3)
    found = Spectrum.read(run(inputs, [whole, *parts]))
    ratio = found.flux / true_flux(found.wave)
    assert np.nanmedian(ratio) == pytest.approx(1.02, abs=0.003)
    assert found.meta["NFGROUPS"][0] == 3
    assert found.meta["EXPTIME"][0] == 300.0
    assert len(set(found.exposures["group"])) == 3
    hit = int(np.argmin(np.abs(found.wave - COLUMNS[100])))
    assert ratio[hit] > 1.2
    clipped = Spectrum.read(run(inputs, [whole, *parts], clip=5.0))
    assert clipped.flux[hit] / true_flux(found.wave[hit]) == pytest.approx(1.05, abs=0.03)  # of the other two
    assert clipped.n_used[hit] == 4
    assert found.n_used[hit] == 6
    assert (clipped.n_used[~clipped.mask] < 6).mean() < 0.05


def test_an_unusable_profile_is_said(place):
    put, cutouts, run = place
    path = run(cutouts(), [put("all_s2d.fits", a_stack(factor=-1.0))])
    found = Spectrum.read(path)
    assert found.meta["NFPROFIL"][0] == "boxcar"
    assert np.isfinite(found.flux[~found.mask]).all()


def test_what_cannot_be_used_is_refused(place):
    put, cutouts, run = place
    inputs = cutouts()
    with pytest.raises(DataError, match="MJy"):
        run(inputs, [put("a_s2d.fits", a_stack(unit="MJy/sr"))])
    empty = a_stack()
    empty.sci[:] = np.nan
    with pytest.raises(DataError, match="no valid pixel"):
        run(inputs, [put("b_s2d.fits", empty)])
    unknown = a_stack()
    unknown.header["GRATING"] = "MIRROR"
    with pytest.raises(DataError, match="MIRROR"):
        run(inputs, [put("c_s2d.fits", unknown)])
    for path in inputs:
        fits.setval(path, "SRCFLUX", value=False)
    with pytest.raises(NoWork):
        run(inputs, [put("d_s2d.fits", a_stack())])
