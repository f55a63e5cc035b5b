"""Tables of photometry: what is read, and what is said of those that cannot be."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.photometry import read_photometry, scaled_to, with_photometry
from nirfire.products.spectrum import Spectrum

TABLE = """source,band,flux,err,wave,width,curve
7,F200W,1.5,0.1,1.99,0.46,
7,F444W,2.5,0.2,,,f444w.txt
9,F200W,0.3,0.1,1.99,0.46,
9,F444W,,,,,f444w.txt
"""
CURVE = "# wave transmission\n3.9 0.0\n4.0 0.5\n4.8 0.5\n4.9 0.0\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "f444w.txt").write_text(CURVE)
    (tmp_path / "phot.csv").write_text(TABLE)
    return tmp_path / "phot.csv"


def test_top_hats_and_curves(table):
    found = read_photometry(table)
    assert sorted(found) == [7, 9]
    hat, curve = found[7]
    assert (hat.name, hat.flux, hat.err) == ("F200W", 1.5, 0.1)
    np.testing.assert_allclose(hat.wave, [1.76, 2.22])
    np.testing.assert_allclose(curve.wave, [3.9, 4.0, 4.8, 4.9])
    np.testing.assert_allclose(curve.transmission, [0, 0.5, 0.5, 0])
    assert [b.name for b in found[9]] == ["F200W"], "no flux, no band"


def test_units_count_where_they_are_given(tmp_path):
    curve = Table({"wave": [49000.0, 39000.0, 44000.0] * u.AA, "t": [0.0, 0.0, 1.0]})
    curve.write(tmp_path / "c.ecsv", format="ascii.ecsv")
    given = Table({"source": [7], "band": ["a"], "flux": [1500.0] * u.nJy, "err": [100.0] * u.nJy, "curve": ["c.ecsv"]})
    given.write(tmp_path / "p.ecsv", format="ascii.ecsv")
    (band,) = read_photometry(tmp_path / "p.ecsv")[7]
    assert (band.flux, band.err) == pytest.approx((1.5, 0.1))
    np.testing.assert_allclose(band.wave, [3.9, 4.4, 4.9])
    np.testing.assert_allclose(band.transmission, [0, 1, 0])
    Table({**given.columns, "flux": [1.0] * u.m}).write(tmp_path / "q.ecsv", format="ascii.ecsv")
    with pytest.raises(DataError, match="flux is in m"):
        read_photometry(tmp_path / "q.ecsv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source,band,flux,err", "source,band,flux,sigma", "columns missing: err"),
        ("wave,width,curve", "a,b,c", "neither columns wave and width, nor curve"),
        ("1.5,0.1", "1.5,0", "row 1: .*must be positive"),
        ("1.5,0.1", "1.5,", "row 1: .*must be positive"),
        ("1.5,0.1", "bright,0.1", "not a number"),
        ("7,F444W", "7,F200W", "row 2: band F200W of source 7 is there twice"),
        ("1.99,0.46", ",", "row 1: band F200W has no curve"),
        ("1.99,0.46", "19900,4600", "row 1: band F200W has no curve, and no wave and width in um"),
        ("f444w.txt", "absent.txt", "no such file"),
    ],
)
def test_what_is_wrong_is_named(table, old, new, message):
    table.write_text(TABLE.replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        read_photometry(table)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("39000 0.1\n49000 0.2\n", "another unit"),
        ("3.9 0.1\n3.9 0.2\n", "not a curve"),
        ("3.9 0.1\n4.9 -0.2\n", "not a curve"),
        ("3.9 a\n4.9 b\n", "not numbers"),
        ("3.9\n4.9\n", "fewer than two columns"),
        ("", "not a table in ECSV or CSV: empty"),
    ],
)
def test_a_curve_that_is_none(table, text, message):
    (table.parent / "f444w.txt").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_photometry(table)
    assert str(caught.value.file).endswith("f444w.txt")


def test_a_spectrum_carries_its_factor(table, tmp_path):
    wave = np.geomspace(0.6, 5.3, 300)
    spectrum = Spectrum(wave, np.ones(300), np.full(300, 0.01), np.zeros(300, bool), meta={"GRATING": ("PRISM", "")})
    scaled_to(spectrum, read_photometry(table)[7], table, max_order=0).write(tmp_path / "a.fits")
    back = Spectrum.read(tmp_path / "a.fits")
    np.testing.assert_allclose(back.flux, 1.0)
    weights = 1 / (np.array([0.1, 0.2]) ** 2 + (0.03 * np.array([1.5, 2.5])) ** 2)
    assert back.scale[0] == pytest.approx(np.average([1.5, 2.5], weights=weights), rel=2e-3)
    assert back.scale_err[0] == pytest.approx(weights.sum() ** -0.5, rel=0.02)
    assert (back.meta["NFSCBAND"][0], back.meta["NFSCORD"][0], back.meta["NFSCFILE"][0]) == (2, 0, "phot.csv")
    blue = Spectrum(wave[:50], *(v[:50] for v in (spectrum.flux, spectrum.err, spectrum.mask)))
    with pytest.raises(DataError, match="no band is covered"):
        scaled_to(blue, read_photometry(table)[7], table)


def test_a_spectrum_is_written_though_no_band_fits_it(table):
    wave = np.geomspace(0.6, 1.2, 50)
    blue = Spectrum(wave, np.ones(50), np.full(50, 0.01), np.zeros(50, bool))
    found = with_photometry(blue, 7, table)
    assert found.scale is None
    assert found.meta["NFSCBAND"][0] == 0
    assert with_photometry(blue, 8, table) is blue


def test_a_bad_row_is_an_error_of_its_source_alone(table):
    table.write_text(TABLE + "11,F200W,1.0,-99,1.99,0.46,\n")
    assert len(read_photometry(table, only=7)[7]) == 2
    with pytest.raises(DataError):
        read_photometry(table, only=11)
