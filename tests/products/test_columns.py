"""Units, UCDs and descriptions, and what other tools make of them."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

from nirfire.products import joint_redshift
from nirfire.products.exposures import EXPOSURE_COLUMNS
from nirfire.products.line_table import LINE_COLUMNS
from nirfire.products.provenance import COLUMNS as PROVENANCE_COLUMNS
from nirfire.products.provenance import read_facts, read_provenance, recording
from nirfire.products.spectrum_columns import SINGLE_COLUMNS, profile_columns, spectrum_columns
from nirfire.products.verify import verify_product
from nirfire.products.zfit import MODEL_COLUMNS, PEAK_COLUMNS, SCAN_COLUMNS
from nirfire.tasks.summary import DESCRIPTIONS, summary

from .conftest import FACTS

ALL = (
    DESCRIPTIONS,
    EXPOSURE_COLUMNS,
    spectrum_columns([3]),
    profile_columns([3]),
    SINGLE_COLUMNS,
    MODEL_COLUMNS,
    SCAN_COLUMNS,
    PEAK_COLUMNS,
    LINE_COLUMNS,
    joint_redshift.GRATING_COLUMNS,
    joint_redshift.PEAK_COLUMNS,
    joint_redshift.PZ_COLUMNS,
)


@pytest.fixture
def catalogue(spectrum, fit, provenance, tmp_path):
    """The catalogue of one spectrum, as FITS and as ECSV."""
    spec, zfit = tmp_path / "a_spec.fits", tmp_path / "a_zfit.fits"
    made = [tmp_path / "a_summary.fits", tmp_path / "a_summary.ecsv"]
    with recording(provenance):
        spectrum.write(spec)
        fit.write(zfit)
        summary([(spec, zfit), (spec, None)], made)
    return made


def test_ucds_are_words_of_the_ivoa():
    ucds = [column.ucd for columns in ALL for column in columns.values()]
    for ucd in ucds + [ucd for ucd, _ in PROVENANCE_COLUMNS.values()]:
        assert check_ucd(ucd, check_controlled_vocabulary=True), ucd


def test_descriptions_fit_into_cards():
    assert all(0 < len(column.text) <= 68 for columns in ALL for column in columns.values())


def test_every_column_of_a_spectrum_says_what_it_is(spectrum, tmp_path):
    path = tmp_path / "a_spec.fits"
    spectrum.write(path)
    with fits.open(path) as hdus:
        for name in ("SPEC1D", "PROF1D", "EXPOSURES"):
            header = hdus[name].header
            for k in range(1, header["TFIELDS"] + 1):
                assert header[f"TUCD{k}"]
                assert header[f"TCOMM{k}"]
        assert hdus["SPEC1D"].columns["flam"].unit == "erg Angstrom-1 s-1 cm-2"
        assert hdus[0].header["OBJECT"] == "1345_7"
        assert hdus[0].header["RADESYS"] == "ICRS"


def test_specutils_reads_a_spectrum_without_being_told_the_format(spectrum, provenance, tmp_path):
    specutils = pytest.importorskip("specutils")
    path = tmp_path / "a_spec.fits"
    with recording(provenance):
        spectrum.write(path)
    read = specutils.Spectrum.read(path)
    assert str(read.flux.unit) == "uJy"
    assert str(read.spectral_axis.unit) == "um"
    np.testing.assert_allclose(read.spectral_axis.value, spectrum.wave)
    np.testing.assert_array_equal(read.mask, spectrum.mask)
    np.testing.assert_allclose(read.flux.value[~spectrum.mask], spectrum.flux[~spectrum.mask])
    np.testing.assert_allclose(read.uncertainty.array[~spectrum.mask], spectrum.err[~spectrum.mask])
    assert read.uncertainty.uncertainty_type == "std"


def test_catalogue_as_fits(catalogue):
    path, _ = catalogue
    assert verify_product(path) == []
    table = Table.read(path, hdu="CATALOGUE")
    assert table["redshift_auto"][0] == pytest.approx(4.2341)
    assert np.ma.is_masked(table["redshift_auto"][1]) or np.isnan(table["redshift_auto"][1])
    assert str(table["ra"].unit) == "deg"
    assert read_facts(path) == FACTS
    rows = read_provenance(path)
    assert list(rows["value"][rows["kind"] == "reference"]) == ["crds://jwst_nirspec_sflat_0001.fits"]
    assert fits.getheader(path)["CRDS_CTX"] == "jwst_1234.pmap"


def test_catalogue_as_ecsv(catalogue):
    table = Table.read(catalogue[1])
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert table["ra"].description
    assert table.meta["NFFPRINT"] == "fedcba9876543210"
    assert ["reference", "R_SFLAT", "crds://jwst_nirspec_sflat_0001.fits"] in table.meta["PROVENANCE"]


def test_catalogue_becomes_a_votable(catalogue, tmp_path):
    path = tmp_path / "a.vot"
    Table.read(catalogue[1]).write(path, format="votable")
    fields = {field.name: field for field in parse_single_table(path).fields}
    assert fields["source_id"].ucd == "meta.id;meta.main"
    assert str(fields["dec"].unit) == "deg"


def test_an_empty_catalogue_has_all_columns(tmp_path):
    paths = [tmp_path / "a.fits", tmp_path / "a.ecsv"]
    summary([], paths)
    for path in paths:
        table = Table.read(path)
        assert len(table) == 0
        assert table.colnames == list(DESCRIPTIONS)
    assert verify_product(paths[0], stamped=False) == []


def test_the_pages_of_products_name_every_column():
    folder = Path(__file__).parents[2] / "docs"
    page = "".join((folder / name).read_text() for name in ("products.md", "spectrum.md"))
    columns = {name for known in ALL for name in known} | set(PROVENANCE_COLUMNS)
    assert [name for name in sorted(columns) if f"`{name}`" not in page and "flam_" not in name] == []
