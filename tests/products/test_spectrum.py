"""Spectrum and RedshiftFit: round trips, and what other tools read."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.spectrum import Spectrum, fnu_to_flam
from nirfire.products.zfit import RedshiftFit


@pytest.fixture
def spectrum():
    wave = np.linspace(1, 5, 50)
    flux, err = np.sin(wave) + 2, np.full(50, 0.1)
    mask = np.zeros(50, dtype=bool)
    mask[3] = True
    flux[3] = err[3] = np.nan
    return Spectrum(
        wave=wave,
        flux=flux,
        err=err,
        mask=mask,
        boxes={3: (flux * 0.8, err * 1.2), 5: (flux * 0.9, err * 1.4)},
        sci=np.ones((9, 50)),
        err2d=np.ones((9, 50)),
        wave2d=np.broadcast_to(wave, (9, 50)),
        weight=np.ones((9, 50)),
        profiles={"ypos": np.arange(9.0), "opt": np.ones(9) / 9},
        exposures=Table({"filename": ["a.fits"], "exptime": [10.0]}),
        meta={"SOURCEID": (7, "number"), "GRATING": ("PRISM", ""), "FILTER": ("CLEAR", "")},
    )


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


def test_redshift_fit_round_trip(tmp_path):
    fit = RedshiftFit(
        z=4.2341,
        z_err=3e-4,
        confidence=0.99,
        chi2_min=300.0,
        n_pix=310,
        wave=np.array([1.0, 2.0]),
        model=np.array([1.0, np.nan]),
        z_grid=np.array([0.0, 4.2341, 9.0]),
        chi2=np.array([900.0, 300.0, 800.0]),
        peaks=Table({"z": [4.2341], "chi2": [300.0]}),
        meta={"SOURCEID": (7, ""), "GRATING": ("PRISM", ""), "FILTER": ("CLEAR", "")},
    )
    path = tmp_path / "a_zfit.fits"
    fit.write(path)
    back = RedshiftFit.read(path)
    assert (back.z, back.z_err, back.confidence, back.n_pix) == (4.2341, 3e-4, 0.99, 310)
    np.testing.assert_array_equal(back.chi2, fit.chi2)
    assert fits.getheader(path)["ZQUAL"] == 0
    assert back.meta["SOURCEID"][0] == 7
