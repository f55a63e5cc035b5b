"""Spectrum and RedshiftFit: round trips, and what other tools read."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.spectrum import Spectrum, fnu_to_flam
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
