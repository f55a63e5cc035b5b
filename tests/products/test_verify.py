"""verify_product passes what we write, and says what is wrong with what is broken."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from nirfire.products.fitsbytes import card, read_units, write_units
from nirfire.products.provenance import recording
from nirfire.products.verify import verify_product


@pytest.fixture
def good(spectrum, provenance, tmp_path):
    path = tmp_path / "a_spec.fits"
    with recording(provenance):
        spectrum.write(path)
    return path


def changed(path, change):
    """Change the file through astropy and write it back with checksums."""
    with fits.open(path) as hdus:
        change(hdus)
        hdus.writeto(path, overwrite=True, checksum=True, output_verify="ignore")
    return path


def edited(path, hdu, image):
    """Put one card as it stands into a header, with right checksums."""
    with read_units(path) as units:
        units[hdu].cards.append(image.ljust(80))
        write_units(path, units)
    return path


def test_what_we_write_is_good(good, fit, provenance, tmp_path):
    zfit = tmp_path / "a_zfit.fits"
    with recording(provenance):
        fit.write(zfit)
    assert verify_product(good) == []
    assert verify_product(zfit) == []


def test_a_notebook_product_needs_no_stamp(spectrum, tmp_path):
    path = tmp_path / "a_spec.fits"
    spectrum.write(path)
    assert verify_product(path, stamped=False) == []
    assert "PRIMARY: NFFPRINT is missing" in verify_product(path)


def test_absent_and_truncated(good, tmp_path):
    assert "absent" in verify_product(tmp_path / "none.fits")[0]
    good.write_bytes(good.read_bytes()[:-2880])
    assert "shorter" in verify_product(good)[0]


def test_one_changed_byte(good):
    content = bytearray(good.read_bytes())
    content[-2880] ^= 1
    good.write_bytes(content)
    assert verify_product(good) == ["PROVENANCE: DATASUM is wrong", "PROVENANCE: CHECKSUM is wrong"]


def test_missing_checksums(good):
    with fits.open(good) as hdus:
        hdus.writeto(good, overwrite=True, checksum="remove")
    assert "SPEC1D: CHECKSUM is missing" in verify_product(good)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h["SPEC1D"].data["wave"].__setitem__(5, 1.0), "wave does not increase"),
        (lambda h: h["SPEC1D"].data["err"].__setitem__(5, 0.0), "err is not positive"),
        (lambda h: h["SPEC1D"].data["flux"].__setitem__(5, np.nan), "flux is not finite"),
        (lambda h: h["SPEC1D"].header.remove("TUCD2"), "column flux has unit and UCD"),
        (lambda h: h["SCI"].header.set("BUNIT", "uJansky"), "no FITS unit"),
        (lambda h: h["ERR"].header.set("EXTNAME", "SCI"), "SCI, version 1, stands 2 times"),
        (lambda h: h[0].header.remove("NFLOG"), "NFLOG is missing"),
        (lambda h: h[0].header.remove("TELESCOP"), "TELESCOP is missing"),
        (lambda h: h.pop(-1), "PROVENANCE is missing"),
        (lambda h: h["PROVENANCE"].data["kind"].__setitem__(slice(None), "x"), "references are missing"),
    ],
)
def test_what_is_broken_is_said(good, change, said):
    assert any(said in text for text in verify_product(changed(good, change)))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("NOISE   =                  NaN", "NOISE is not a number"),
        (card("FILTER", "CLEAR"), "FILTER stands 2 times"),
        ("lower   = 1", "no FITS keyword"),
        ("TABBED  = 'a\tb'", "not printable"),
    ],
)
def test_bad_cards_are_said(good, image, said):
    assert any(said in text for text in verify_product(edited(good, 0, image)))


def test_a_cutout_of_two_shapes(tmp_path):
    path = tmp_path / "a_cal.fits"
    images = [fits.ImageHDU(np.ones(shape), name=name) for name, shape in (("SCI", (3, 4)), ("ERR", (3, 5)))]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path, checksum=True)
    assert "SCI: ERR has shape (3, 5), SCI has (3, 4)" in verify_product(path, stamped=False)


def test_a_scan_that_goes_back(fit, tmp_path):
    path = tmp_path / "a_zfit.fits"
    replace(fit, z_grid=fit.z_grid[::-1]).write(path)
    assert "CHI2: z does not increase" in verify_product(path, stamped=False)
