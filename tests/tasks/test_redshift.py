"""The redshift task: what cannot be fitted is said, what can is written."""

import numpy as np
import pytest

from nirfire.errors import DataError, NoWork
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.tasks.redshift import RedshiftSettings, redshift


def spectrum(wave, flux, *, grating="PRISM", n_bad=0):
    mask = np.zeros(wave.size, dtype=bool)
    mask[:n_bad] = True
    meta = {"SOURCEID": (1, ""), "GRATING": (grating, ""), "FILTER": ("CLEAR", "")}
    return Spectrum(wave=wave, flux=flux, err=np.full(wave.size, 0.05), mask=mask, meta=meta)


def lines(wave, z):
    flux = np.full(wave.size, 1.0)
    for rest, height in ((0.65646, 6.0), (0.50082, 5.0), (0.49603, 1.7), (0.48627, 2.0), (0.37285, 2.0)):
        centre = rest * (1 + z)
        sigma = centre / 150 / 2.355
        flux += height * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)
    return flux


def test_a_galaxy_is_fitted_and_written(tmp_path):
    wave = np.geomspace(0.7, 5.2, 420)
    rng = np.random.default_rng(9)
    spectrum(wave, lines(wave, 3.2) + 0.05 * rng.normal(size=wave.size)).write(tmp_path / "a_spec.fits")
    redshift(tmp_path / "a_spec.fits", tmp_path / "a_zfit.fits", RedshiftSettings())
    fit = RedshiftFit.read(tmp_path / "a_zfit.fits")
    assert fit.z == pytest.approx(3.2, abs=0.01)
    assert fit.model.shape == wave.shape
    assert (np.diff(fit.z_grid) > 0).all()
    assert fit.peaks["dchi2"][0] == pytest.approx(0.0, abs=0.5)


def test_too_few_pixels_are_no_work(tmp_path):
    wave = np.geomspace(0.7, 5.2, 100)
    spectrum(wave, np.ones(100), n_bad=90).write(tmp_path / "a_spec.fits")
    with pytest.raises(NoWork, match="10 valid pixels"):
        redshift(tmp_path / "a_spec.fits", tmp_path / "a_zfit.fits", RedshiftSettings())
    assert not (tmp_path / "a_zfit.fits").exists()


@pytest.mark.parametrize(
    ("wave", "grating"), [(np.geomspace(5.2, 0.7, 100), "PRISM"), (np.geomspace(1, 2, 100), "GRISM")]
)
def test_what_is_wrong_is_named(tmp_path, wave, grating):
    spectrum(wave, np.ones(100), grating=grating).write(tmp_path / "a_spec.fits")
    with pytest.raises(DataError, match=r"a_spec\.fits"):
        redshift(tmp_path / "a_spec.fits", tmp_path / "a_zfit.fits", RedshiftSettings())
