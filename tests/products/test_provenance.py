"""Stamps: what they say, and that they leave alone what the stock pipeline wrote."""

import json
import platform
import time
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path, write_fits, write_text
from nirfire.products.fitsbytes import read_units
from nirfire.products.provenance import (
    EXTENSION,
    read_facts,
    read_fingerprint,
    read_provenance,
    recording,
    reference_cards,
    stamp,
)
from nirfire.products.verify import verify_product

from .conftest import FACTS


def raw_data(path):
    """Bytes of the data of every HDU."""
    with read_units(path) as units:
        return {unit.name: unit.data.tobytes() for unit in units}


def stamped(path, provenance):
    with recording(provenance):
        stamp(path)
    return path


def pairs(path, kind):
    return {row["name"]: row["value"] for row in read_provenance(path) if row["kind"] == kind}


def test_a_stock_file_keeps_its_data_to_the_byte(stock_file, provenance):
    before = raw_data(stock_file)
    after = raw_data(stamped(stock_file, provenance))
    assert set(after) - set(before) == {EXTENSION}
    assert before == {name: data for name, data in after.items() if name != EXTENSION}
    assert verify_product(stock_file) == []


def test_the_stock_models_read_a_stamped_file_and_pass_the_table_on_once(stock_file, provenance, tmp_path):
    from stdatamodels.jwst import datamodels

    with datamodels.open(stock_file) as model:
        data, dq = model.data.copy(), model.dq.copy()
    stamped(stock_file, provenance)
    again = tmp_path / "again_rate.fits"
    with datamodels.open(stock_file) as model:
        np.testing.assert_array_equal(model.data, data)
        np.testing.assert_array_equal(model.dq, dq)
        assert model.meta.ref_file.flat.name == "crds://jwst_nirspec_flat_0001.fits"
        model.save(str(again))
    stamped(again, replace(provenance, fingerprint="0" * 16))
    with fits.open(again) as hdus:
        assert [hdu.name for hdu in hdus].count(EXTENSION) == 1
    assert read_fingerprint(again) == "0" * 16
    assert verify_product(again) == []


def test_cards_and_table(stock_file, provenance):
    stamped(stock_file, provenance)
    header = fits.getheader(stock_file)
    assert (header["NFTASK"], header["NFFPRINT"], header["NFLOG"]) == ("clean 1", "fedcba9876543210", provenance.log)
    assert read_fingerprint(stock_file) == provenance.fingerprint
    assert pairs(stock_file, "version")["python"] == platform.python_version()
    assert pairs(stock_file, "version")["nirfire"] == header["NFVERS"]
    assert pairs(stock_file, "input") == FACTS["inputs"]
    assert pairs(stock_file, "setting")["steps"] == json.dumps(FACTS["settings"]["steps"])
    assert pairs(stock_file, "reference") == {"R_FLAT": "crds://jwst_nirspec_flat_0001.fits"}
    assert pairs(stock_file, "crds") == {"CRDS_CTX": "jwst_1234.pmap"}


def test_the_facts_come_back_as_they_were(stock_file, provenance):
    assert read_facts(stamped(stock_file, provenance)) == FACTS


def test_stamping_twice_gives_the_same_bytes(stock_file, provenance):
    once = stamped(stock_file, provenance).read_bytes()
    assert stamped(stock_file, provenance).read_bytes() == once


def test_nothing_is_stamped_outside_a_recording(stock_file, tmp_path):
    before = stock_file.read_bytes()
    with recording(None):
        stamp(stock_file)
    assert stock_file.read_bytes() == before
    assert read_fingerprint(stock_file) is None
    assert read_provenance(stock_file) is None
    assert read_facts(stock_file) is None
    assert read_fingerprint(tmp_path / "absent.fits") is None


def test_atomic_writes_are_stamped_fits_only(tmp_path, provenance):
    image, text = tmp_path / "a.fits", tmp_path / "a.txt"
    with recording(provenance):
        write_fits(image, fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((3, 4)), name="SCI")]))
        write_text(text, "plain")
    assert read_fingerprint(image) == provenance.fingerprint
    assert text.read_text() == "plain"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.fits", "a.txt"]


def test_what_is_no_fits_is_refused_and_leaves_nothing(tmp_path, provenance):
    with (
        pytest.raises(DataError, match="not a FITS file"),
        recording(provenance),
        atomic_path(tmp_path / "a.fits") as p,
    ):
        p.write_text("x" * 5000)
    assert list(tmp_path.iterdir()) == []


def test_a_product_does_not_carry_the_stamp_of_another(stock_file, provenance, tmp_path):
    stamped(stock_file, provenance)
    copy = tmp_path / "copy.fits"
    with fits.open(stock_file) as hdus:
        write_fits(copy, hdus)
    assert read_fingerprint(copy) is None
    assert read_provenance(copy) is None
    assert read_fingerprint(stock_file) == provenance.fingerprint


def test_stale_table_in_the_middle_is_replaced(stock_file, provenance, tmp_path):
    stamped(stock_file, replace(provenance, log="old.log"))
    later = tmp_path / "later.fits"
    with fits.open(stock_file) as hdus, recording(provenance):
        hdus.append(fits.ImageHDU(np.ones((2, 2)), name="BKG"))
        write_fits(later, hdus)
    with fits.open(later) as hdus:
        assert [hdu.name for hdu in hdus][-2:] == ["BKG", EXTENSION]
    assert pairs(later, "log") == {"log": provenance.log}


def test_references_are_passed_on_as_cards(stock_file):
    cards = reference_cards(fits.getheader(stock_file))
    assert cards["R_FLAT"][0] == "crds://jwst_nirspec_flat_0001.fits"
    assert cards["CRDS_CTX"][0] == "jwst_1234.pmap"


def test_long_and_foreign_text(stock_file, provenance):
    facts = FACTS | {"arguments": {"note": "z\u00fcrich " * 30}}
    stamped(stock_file, replace(provenance, facts=json.dumps(facts), log="logs/" + "a" * 200 + ".log"))
    assert verify_product(stock_file) == []
    assert read_facts(stock_file) == facts
    assert pairs(stock_file, "log")["log"].endswith("a.log")


def test_a_fingerprint_is_read_fast(stock_file, provenance):
    stamped(stock_file, provenance)
    start = time.process_time()  # a busy machine is no slower
    for _ in range(100):
        read_fingerprint(stock_file)
    assert time.process_time() - start < 0.1  # a millisecond each


def test_versions_are_found_without_importing_the_stock_pipeline():
    import subprocess
    import sys

    code = "import sys; from nirfire.products.provenance import versions; versions(); print('jwst' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
