"""Tables written as bytes are those that astropy writes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.products.columns import Column, primary_hdu, table_hdu
from nirfire.products.fits_tables import table_unit, write_tables
from nirfire.products.provenance import read_facts, recording

pytestmark = pytest.mark.usefixtures("quick_disk")
SAID = {
    "wave": Column("um", "em.wl", "vacuum wavelength"),
    "name": Column("", "meta.id", "what it is called"),
    "picture": Column("uJy", "phot.flux", ""),
}


def tables():
    rng = np.random.default_rng(5)
    many = Table({"wave": np.linspace(1, 5, 40), "n": np.arange(40), "short": np.arange(40, dtype=np.int16)})
    many["picture"] = rng.normal(size=(40, 3)).astype(np.float32)
    many["cube"] = rng.integers(0, 9, size=(40, 2, 3)).astype(np.int32)
    many["good"] = many["n"] % 3 == 0
    many["name"] = [f"line {k}" for k in range(40)]
    many["wave"][3] = np.nan
    return {"MANY": many, "NONE": many[:0], "ONE": Table({"own": [2.0]}, units={"own": "Jy"})}


def write_both(folder):
    primary = primary_hdu({"SRCNAME": ("a name", "source"), "GRATING": ("PRISM", "disperser")})
    hdus = [table_hdu(table, name, SAID) for name, table in tables().items()]
    hdus[0].header["LSFSCALE"] = (1.2, "width")
    fits.HDUList([primary, *hdus]).writeto(folder / "a.fits", checksum=True)
    units = [
        table_unit(table, name, SAID, {"LSFSCALE": (1.2, "width")} if name == "MANY" else None)
        for name, table in tables().items()
    ]
    write_tables(folder / "b.fits", primary, units)


def test_they_are_the_same_file(tmp_path):
    write_both(tmp_path)
    keys, texts = ["CHECKSUM", "DATASUM"], ["*"]
    diff = fits.FITSDiff(tmp_path / "a.fits", tmp_path / "b.fits", ignore_keywords=keys, ignore_comments=texts)
    assert diff.identical, diff.report()


def test_checksums_and_format_are_right(tmp_path, recwarn):
    write_both(tmp_path)
    with fits.open(tmp_path / "b.fits", checksum=True) as hdus:
        hdus.verify("exception")
        for hdu in hdus[1:]:
            np.testing.assert_array_equal(hdu.data[hdu.columns.names[0]], tables()[hdu.name].columns[0])
    assert not [w for w in recwarn if "hecksum" in str(w.message)]


def test_long_texts_go_on_over_several_cards(tmp_path):
    text = "so many words that one card cannot hold all of them, by far " * 3
    unit = table_unit(tables()["ONE"], "ONE", {"own": Column("Jy", "phot.flux", text.strip())})
    write_tables(tmp_path / "d.fits", primary_hdu({}), [unit])
    with fits.open(tmp_path / "d.fits") as hdus:
        hdus.verify("exception")
        assert hdus["ONE"].header["TCOMM1"] == text.strip()
        assert hdus["ONE"].columns["own"].unit == "Jy"


def test_provenance_is_stamped(tmp_path, provenance):
    with recording(provenance):
        write_tables(tmp_path / "c.fits", primary_hdu({}), [table_unit(tables()["ONE"], "ONE", {})])
    assert read_facts(tmp_path / "c.fits")["task"] == "clean 1"


def test_other_types_are_refused():
    with pytest.raises(KeyError):
        table_unit(Table({"a": np.array([1j])}), "A", {})
