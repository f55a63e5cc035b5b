"""The redshift product: what is written is read back, what is absent is said."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.core.grids import wave_grid
from nirfire.core.line_fluxes import measure_lines
from nirfire.core.lines import WAVE
from nirfire.errors import DataError
from nirfire.products.line_table import (
    LINE_COLUMNS,
    all_lines,
    catalogue_blends,
    catalogue_fluxes,
    detected,
    line_table,
)
from nirfire.products.provenance import recording
from nirfire.products.verify import verify_product
from nirfire.products.zfit import WARNINGS, RedshiftFit, warnings_said
from nirfire.tasks.summary import summary


@pytest.fixture(scope="module")
def lines():
    """Lines of a PRISM spectrum of a galaxy at z = 4: H-alpha with [N II] in one row, [O III], H-beta."""
    wave = wave_grid("PRISM", "CLEAR").wave
    flux = np.full(wave.size, 0.5)
    for name, height in (("Ha", 3.0), ("OIII5008", 5.0), ("OIII4960", 1.7), ("Hb", 1.0)):
        center = WAVE[name] * 5.0
        flux += height * np.exp(-0.5 * ((wave - center) / 0.009) ** 2)
    noise = 0.03 * np.random.default_rng(5).normal(size=wave.size)
    return line_table(measure_lines(wave, flux + noise, np.full(wave.size, 0.03**-2), 4.0, grating="PRISM"))


@pytest.fixture
def full(fit, lines):
    return replace(
        fit,
        probability=0.97,
        warning=4 + 64,
        lines=lines,
        template_class="galaxy",
        z2=1.2,
        dchi2=33.0,
        snr=4.5,
        dof=300,
    )


def test_everything_comes_back(full, provenance, tmp_path):
    path = tmp_path / "a_zfit.fits"
    with recording(provenance):
        full.write(path)
    assert verify_product(path) == []
    back = RedshiftFit.read(path)
    names = ("probability", "warning", "template_class", "z2", "dchi2", "snr", "dof", "z", "z_err", "chi2_min")
    assert [getattr(back, name) for name in names] == [getattr(full, name) for name in names]
    assert back.lines.colnames == list(LINE_COLUMNS)
    assert back.lines.meta == full.lines.meta
    np.testing.assert_array_equal(back.lines["flux"], full.lines["flux"])
    assert list(back.lines["name"]) == list(full.lines["name"])
    header = fits.getheader(path)
    assert header["Z_ERR"] == header["ZERR"] == 3e-4
    assert header["ZQUAL"] == 0
    assert fits.getheader(path, "LINES")["TUNIT6"] == "erg s-1 cm-2"


def test_what_is_not_known_stays_unknown(fit, tmp_path):
    path = tmp_path / "a_zfit.fits"
    replace(fit, z_err=np.nan).write(path)
    back = RedshiftFit.read(path)
    assert np.isnan([back.z_err, back.probability, back.z2, back.dchi2, back.snr]).all()
    assert back.lines is None
    assert back.warnings == []


@pytest.mark.parametrize("gone", ["ZPROB", "ZWARN", "ZBEST", "PEAKS"])
def test_a_file_of_an_earlier_version_says_what_to_do(full, tmp_path, gone):
    path = tmp_path / "a_zfit.fits"
    full.write(path)
    with fits.open(path, mode="update") as hdus:
        if gone in hdus:
            del hdus[gone]
        else:
            del hdus[0].header[gone]
    with pytest.raises(DataError, match=gone) as caught:
        RedshiftFit.read(path)
    assert "fit it again" in caught.value.remedy
    assert caught.value.file == path


def test_warnings_in_words():
    assert warnings_said(0) == []
    assert warnings_said(1 + 16) == ["few pixels", "no feature: a smooth curve fits as well"]
    assert len(warnings_said(sum(WARNINGS))) == len(WARNINGS)
    assert warnings_said(4096) == ["unknown warning 4096"]


def test_fluxes_of_the_catalogue(lines):
    fluxes = catalogue_fluxes(lines)
    ha = lines[[str(name).startswith("Ha+") for name in lines["name"]]]
    assert fluxes["flux_ha"] == ha["flux"][0]
    assert fluxes["flux_ha"] / fluxes["flux_ha_err"] > 20
    assert np.isnan(fluxes["flux_paa"])
    assert "Ha+NII6550+NII6585" in catalogue_blends(lines).split()
    assert "OII3730+OII3727" not in catalogue_blends(lines)  # all of it is [O II]
    assert np.isnan(list(catalogue_fluxes(None).values())).all()
    assert {"Hb", "OIII5008"} <= set(detected(lines)["line"])


def test_the_catalogue_has_all_lines(spectrum, full, tmp_path):
    spec, zfit = tmp_path / "a_spec.fits", tmp_path / "a_zfit.fits"
    spectrum.write(spec)
    full.write(zfit)
    table = summary([(spec, zfit), (spec, None)], [tmp_path / "a.fits", tmp_path / "a.ecsv"])
    assert list(table["n_lines"]) == [len(detected(full.lines)), 0]
    assert table["redshift_probability"][0] == 0.97
    assert list(table["redshift_warning"]) == [68, 0]
    assert table["flux_oiii"][0] == pytest.approx(catalogue_fluxes(full.lines)["flux_oiii"])
    assert np.isnan(table["flux_oiii"][1])
    kept = Table.read(tmp_path / "a.fits", hdu="LINES")
    assert len(kept) == len(full.lines)
    assert set(kept["source_id"]) == {7}
    assert kept.colnames[4:] == list(LINE_COLUMNS)
    assert verify_product(tmp_path / "a.fits", stamped=False) == []
    assert len(all_lines([], [])) == 0
