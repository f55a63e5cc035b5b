"""Spectrum and RedshiftFit: round trips, and what other tools read."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nirfire.errors import DataError
from nirfire.products.spectrum import SCHEMA, Spectrum, fnu_to_flam
from nirfire.products.verify import verify_product
from nirfire.products.zfit import RedshiftFit


def test_round_trip(spectrum, tmp_path):
    path = tmp_path / "a_spec.fits"
    spectrum.write(path)
    back = Spectrum.read(path)
    np.testing.assert_allclose(back.flux, spectrum.flux)
    np.testing.assert_allclose(back.boxes[5][1], spectrum.boxes[5][1])
    assert (back.mask == spectrum.mask).all()
    assert back.ivar[3] == 0
    assert back.ivar[4] == pytest.approx(100)
    assert back.meta["SOURCEID"][0] == 7
    assert back.profiles["opt"].sum() == pytest.approx(1)
    assert list(back.exposures["filename"]) == ["a.fits"]


def test_layout_is_the_one_other_tools_read(spectrum, tmp_path):
    path = tmp_path / "a_spec.fits"
    spectrum.write(path)
    with fits.open(path, checksum=True) as hdus:
        names = ["PRIMARY", "SPEC1D", "SCI", "ERR", "WAVELENGTH", "WHT", "PROF1D", "EXPOSURES"]
        assert [h.name for h in hdus] == names
        columns = hdus["SPEC1D"].columns
        assert columns.names[:6] == ["wave", "flux", "err", "mask", "flux_box3", "err_box3"]
        assert [columns[n].unit for n in ("wave", "flux", "err")] == ["um", "uJy", "uJy"]
        assert hdus["SCI"].shape[1] == len(hdus["SPEC1D"].data)


@pytest.fixture
def full(spectrum):
    """A spectrum with everything that there may be."""
    rng = np.random.default_rng(1)
    n_spat, n_wave = spectrum.sci.shape
    share = np.linspace(0.8, 0.7, n_wave)
    return replace(
        spectrum,
        apertures={3: share, 5: share + 0.1},
        slitloss=share,
        slitloss_err=np.full(n_wave, 0.01),
        shape_err=np.full(n_wave, 0.02),
        n_used=np.arange(n_wave) % 4,
        correlation=np.array([np.full(n_wave, 0.3), np.full(n_wave, 0.05)]),
        model2d=rng.normal(size=(n_spat, n_wave)),
        dq2d=np.full((n_spat, n_wave), 2**31 + 1, dtype=np.uint32),
        single=(rng.normal(size=(1, n_wave)), np.ones((1, n_wave))),
        scale=np.full(n_wave, 1.1),
        scale_err=np.full(n_wave, 0.03),
    )


def test_all_that_there_may_be_comes_back(full, tmp_path):
    path = tmp_path / "a_spec.fits"
    full.write(path)
    back = Spectrum.read(path)
    for name in ("slitloss", "slitloss_err", "shape_err", "n_used", "correlation", "dq2d", "scale", "scale_err"):
        np.testing.assert_array_equal(getattr(back, name), getattr(full, name), err_msg=name)
    np.testing.assert_allclose(back.model2d, full.model2d, rtol=1e-6)
    np.testing.assert_array_equal(back.apertures[5], full.apertures[5])
    np.testing.assert_array_equal(back.single[0], full.single[0])
    assert back.meta["NFSCHEMA"][0] == SCHEMA


def test_the_whole_layout_is_as_documented(full, tmp_path):
    path = tmp_path / "a_spec.fits"
    full.write(path)
    with fits.open(path) as hdus:
        names = ["SCI", "ERR", "WAVELENGTH", "WHT", "DQ", "MODEL", "PROF1D", "COVAR", "EXPOSURES", "SINGLE"]
        assert [h.name for h in hdus] == ["PRIMARY", "SPEC1D", *names]
        images = [h for h in hdus if isinstance(h, fits.ImageHDU)]
        assert all(h.header["UCD"] for h in images)
        assert [h.header.get("BUNIT") for h in images] == ["uJy", "uJy", "um", None, None, "uJy", None]
        columns = hdus["SPEC1D"].columns
        last = ["slitloss", "slitloss_err", "shape_err", "aper_box3", "aper_box5", "n_used", "scale", "scale_err"]
        assert columns.names[-8:] == last
        assert all(columns[n].format == "D" for n in columns.names if n not in ("mask", "n_used"))
        assert hdus["SINGLE"].columns["flux"].unit == "uJy"
    assert [p for p in verify_product(path, stamped=False) if "CHECKSUM" not in p and "DATASUM" not in p] == []


def test_covariance_is_that_of_a_full_matrix(full):
    bands, n_wave = full.covariance, full.wave.size
    err = np.where(full.mask, 0.0, full.err)
    whole = np.diag(err**2)
    for k, row in enumerate(full.correlation, 1):
        off = np.arange(n_wave - k)
        whole[off, off + k] = row[:-k] * err[:-k] * err[k:]
    for k, band in enumerate(bands):
        np.testing.assert_allclose(band[: n_wave - k], np.diagonal(whole, k))
        assert (band[n_wave - k :] == 0).all() or k == 0


def test_others_read_it_unaided(full, tmp_path):
    path = tmp_path / "a_spec.fits"
    full.write(path)
    table = Table(fits.open(path)["SPEC1D"].data)
    assert table.colnames[:4] == ["wave", "flux", "err", "mask"]
    np.testing.assert_array_equal(table["flux"], full.flux)
    specutils = pytest.importorskip("specutils")
    read = specutils.Spectrum.read(path)
    assert (str(read.flux.unit), str(read.spectral_axis.unit)) == ("uJy", "um")
    np.testing.assert_array_equal(read.mask, full.mask)
    np.testing.assert_array_equal(read.uncertainty.array, full.err)


def test_the_error_of_a_mean_knows_neighbours_and_what_is_common(full):
    weights = np.zeros(full.wave.size)
    weights[10:30] = 1 / 20
    alone = full.err[12] ** 2
    neighbours = (20 + 2 * 19 * 0.3 + 2 * 18 * 0.05) / 20**2
    common = 0.02 * full.flux[10:30].mean()
    assert full.error_of_sum(weights) ** 2 == pytest.approx(alone * neighbours + common**2)
    assert replace(full, shape_err=None).error_of_sum(weights) ** 2 == pytest.approx(alone * neighbours)
    only = np.eye(full.wave.size)
    assert replace(full, shape_err=None).error_of_sum(only[3]) == 0.0  # masked


def test_a_later_format_is_not_read(spectrum, tmp_path):
    path = tmp_path / "a_spec.fits"
    spectrum.write(path)
    fits.setval(path, "NFSCHEMA", value="3.1")
    with pytest.raises(DataError, match=r"format 3\.1"):
        Spectrum.read(path)


ANY = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e-300, 1e300, np.nan, np.inf]))


@settings(max_examples=60, deadline=None)
@given(flux=arrays(float, 6, elements=ANY), err=arrays(float, 6, elements=ANY), mask=arrays(bool, 6))
def test_finite_flux_means_finite_positive_error(tmp_path_factory, flux, err, mask):
    path = tmp_path_factory.mktemp("any") / "a_spec.fits"
    wave = np.linspace(1.0, 2.0, 6)
    Spectrum(wave, flux, err, mask, boxes={3: (flux, err)}, meta={"GRATING": ("PRISM", "")}).write(path)
    table = Table(fits.getdata(path, "SPEC1D"))
    good = ~table["mask"]
    np.testing.assert_array_equal(good, np.isfinite(table["flux"]))
    np.testing.assert_array_equal(good, np.isfinite(table["err"]))
    assert (table["err"][good] > 0).all()
    np.testing.assert_array_equal(np.isfinite(table["flux_box3"]), table["err_box3"] > 0)
    np.testing.assert_array_equal(table["flux"][good], flux[good])


def test_flam_is_fnu_c_over_lambda_squared():
    # 1 uJy at 1 um: 1e-29 erg/s/cm2/Hz * 2.99792458e18 A/s / (1e4 A)^2
    assert fnu_to_flam(np.array([1.0]), np.array([1.0]))[0] == pytest.approx(2.99792458e-19)


def test_a_bare_table_can_be_read(tmp_path):
    path = tmp_path / "bare.fits"
    table = Table({"wave": [1.0, 2.0], "flux": [1.0, np.nan], "err": [0.1, 0.1]})
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="SPEC1D")]).writeto(path)
    assert list(Spectrum.read(path).mask) == [False, True]


def test_missing_column_is_named(tmp_path):
    path = tmp_path / "bad.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(Table({"wave": [1.0]}), name="SPEC1D")]).writeto(path)
    with pytest.raises(DataError, match="flux"):
        Spectrum.read(path)


def test_redshift_fit_round_trip(fit, tmp_path):
    path = tmp_path / "a_zfit.fits"
    fit.write(path)
    back = RedshiftFit.read(path)
    assert (back.z, back.z_err, back.confidence, back.n_pix) == (4.2341, 3e-4, 0.99, 310)
    np.testing.assert_array_equal(back.chi2, fit.chi2)
    assert fits.getheader(path)["ZQUAL"] == 0
    assert back.meta["SOURCEID"][0] == 7


def test_an_unknown_redshift_error_stays_unknown(fit, tmp_path):
    path = tmp_path / "a_zfit.fits"
    replace(fit, z_err=np.inf).write(path)
    assert np.isnan(RedshiftFit.read(path).z_err)
