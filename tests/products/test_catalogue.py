"""The exported tables of sources and spectra, and that all formats say the same of them."""

from __future__ import annotations

import ast
import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.io import fits
from astropy.io.votable import parse_single_table, validate
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

import nirfire
import nirfire.errors
from nirfire.products import catalogue_columns, catalogue_formats, spectrum_columns
from nirfire.products.catalogue import join_tables, write_catalogue
from nirfire.products.catalogue_columns import SOURCE_COLUMNS, make_table
from nirfire.products.catalogue_formats import FORMATS
from nirfire.products.catalogue_sources import (
    Inspection,
    line_table,
    same_redshift,
    source_table,
    spectrum_table,
)
from nirfire.products.line_table import FLUX_COLUMNS, LINE_COLUMNS
from nirfire.products.primary_cards import read_cards
from nirfire.products.provenance import COLUMNS as PROVENANCE_COLUMNS

from .catalogue_help import catalogue_results, redshift, results, summary_row

KINDS = ("SOURCE", "SPECTRUM", "LINE_TABLE", "SHUTTER", "POINTING")
ALL_TABLES = {name: getattr(catalogue_columns, f"{name}_COLUMNS") for name in KINDS}
ALL_TABLES["files of SPECTRUM"] = catalogue_columns.SPECTRUM_FILES


def written_ucds():
    """Every UCD that stands in the package as it is, with where."""
    for path in sorted(Path(nirfire.__file__).parent.rglob("*.py")):
        text = path.read_text()
        if "Column(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            known = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Column" and len(node.args) == 3
            if known and isinstance(node.args[1], ast.Constant):
                yield f"{path.name}:{node.lineno}", node.args[1].value


def test_all_ucds_of_the_package_are_words_of_the_ivoa():
    found = dict(written_ucds())
    found |= {f"line {name}": column.ucd for name, column in (FLUX_COLUMNS | LINE_COLUMNS).items()}
    found |= {f"SPEC1D {name}": column.ucd for name, column in spectrum_columns.spectrum_columns([3, 5]).items()}
    found |= {f"image {name}": image.ucd for name, image in spectrum_columns.IMAGES.items()}
    found |= {f"PROVENANCE {name}": ucd for name, (ucd, _) in PROVENANCE_COLUMNS.items()}
    for table, columns in ALL_TABLES.items():
        found |= {f"{table} {name}": column.ucd for name, (_, column) in columns.items()}
    assert len(found) > 250
    wrong = {where: ucd for where, ucd in found.items() if not check_ucd(ucd, check_controlled_vocabulary=True)}
    assert wrong == {}


def test_descriptions_fit_and_units_are_known():
    for columns in ALL_TABLES.values():
        for name, (_, (unit, _, text)) in columns.items():
            assert 0 < len(text) <= 68, name
            units.Unit(unit)


def row_of(table, source):
    return dict(zip(table.colnames, table[table["source_id"] == source][0], strict=True))


def test_a_source_that_people_agree_on():
    row = row_of(source_table(catalogue_results()), 7)
    assert (row["redshift"], row["redshift_from"], row["quality"]) == (3.0, "inspection", 4)
    assert row["redshift_error"] == 9e-5  # of the automatic one, which agrees
    assert (row["redshift_auto"], row["redshift_auto_from"]) == (3.0002, "joint")
    assert (row["n_spectra"], row["spectra"]) == (2, "prism_clear g395m_f290lp")
    assert row["exposure_time"] == 150.0
    assert row["signal_to_noise"] == 5.0
    assert (row["flags"], row["flags_said"]) == (4, "stuck shutter")
    assert row["comment"] == 'Ève: "clear" / bo: z, Hα → sure # 1'
    assert row["tags"] == "LRD AGN"
    assert row["files"].split()[0] == "sources/7/obs_prism_clear_7_spec.fits"
    assert (row["program"], row["name"], row["crds_context"]) == ("01345", "1345_7", "jwst_1.pmap")


def test_a_line_is_of_the_spectrum_that_has_it_alone():
    row = row_of(source_table(catalogue_results()), 7)
    assert (row["flux_ha"], row["flux_ha_err"]) == (1.5e-17, 3e-19)  # smaller error in PRISM, but with [N II]
    assert row["flux_hb"] == 5e-18
    assert (row["lines_from"], row["lines_blended"]) == ("g395m_f290lp", "")
    assert row["n_lines"] == 3


def test_lines_of_several_spectra_say_whose_they_are():
    ha = {"flux_ha": 1.0, "flux_ha_err": 0.1, "lines_blended": "Ha+NII6585"}
    hb = {"flux_hb": 2.0, "flux_hb_err": 0.1}
    rows = [summary_row(1, redshift_auto=2.0, **ha), summary_row(1, "G140M", "F100LP", redshift_auto=2.001, **hb)]
    row = row_of(source_table(results(rows, automatic={1: redshift(2.0)})), 1)
    assert row["lines_from"] == "g140m_f100lp: hb; prism_clear: ha"
    assert row["lines_blended"] == "Ha+NII6585"


def test_an_impossible_redshift_has_no_redshift_and_no_lines():
    row = row_of(source_table(catalogue_results()), 8)
    assert np.isnan(row["redshift"])
    assert np.isnan(row["flux_ha"])
    assert (row["redshift_auto"], row["quality"], row["redshift_from"]) == (0.5, 1, "inspection")
    assert row["vote_stale"]
    assert row["flags_said"] == "contamination, stuck shutter"


def test_lines_measured_at_another_redshift_are_no_lines_of_the_source():
    rows = [summary_row(1, redshift_auto=2.0, redshift_error=0.1, flux_ha=1.0, flux_ha_err=0.1, n_lines=4)]
    people = {1: Inspection(quality=3, z=5.0, n_voters=1, n_agree=1)}
    row = row_of(source_table(results(rows, people, {1: redshift(2.0)})), 1)
    assert row["redshift"] == 5.0
    assert np.isnan([row["redshift_error"], row["flux_ha"], row["flux_ha_err"]]).all()
    assert (row["lines_from"], row["n_lines"]) == ("", 0)


def test_a_conflict_leaves_the_automatic_redshift():
    rows = [summary_row(1, redshift_auto=2.0)]
    people = {1: Inspection(quality=0, conflict=True, n_voters=2, n_agree=1)}
    row = row_of(source_table(results(rows, people, {1: redshift(2.0)})), 1)
    assert (row["redshift"], row["redshift_from"], row["quality"]) == (2.0, "prism_clear", 0)
    assert row["conflict"]


def test_without_a_fit_nothing_is_made_up():
    row = row_of(source_table(catalogue_results()), 9)
    assert np.isnan([row["redshift"], row["redshift_auto"], row["exposure_time"], row["signal_to_noise"]]).all()
    assert (row["redshift_from"], row["redshift_auto_from"], row["lines_from"]) == ("", "", "")


def test_one_redshift():
    assert same_redshift(3.0, 3.019)
    assert not same_redshift(3.0, 3.03)
    assert not same_redshift(3.0, float("nan"))


def test_spectra_have_the_columns_of_the_summary_and_what_people_say():
    table = spectrum_table(catalogue_results())
    assert table["spectrum"].tolist() == ["prism_clear", "g395m_f290lp", "prism_clear", "prism_clear"]
    assert table["flags"].tolist() == [4, 0, 6, 0]
    assert table["quality"].tolist() == [4, 4, 1, 0]
    assert table["redshift"][:2].tolist() == [3.0, 3.0]
    assert table["redshift_auto"][:2].tolist() == [3.001, 3.0]
    assert table["path"][1] == "sources/7/obs_g395m_f290lp_7_spec.fits"
    assert (table["fingerprint"][1], table["fit_fingerprint"][1]) == ("f1", "z1")
    assert table["flux_ha"].unit == units.Unit("erg s-1 cm-2")


def tables():
    two = [catalogue_results("one"), catalogue_results("two")]
    return join_tables(
        [{"sources": source_table(r), "spectra": spectrum_table(r), "lines": line_table(r)} for r in two]
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("catalogue"), tables()
    return folder, made, write_catalogue(made, folder, "both")


def read_back(path, form):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        return Table.read(path, format="ascii.ecsv") if form == "ecsv" else Table.read(path)


def plain(column, kind):
    if kind == "f":
        return np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
    if kind == "U":
        texts = np.ma.filled(np.ma.asarray(column).astype(str), "")
        return np.array([text.encode().decode("unicode_escape") if "\\" in text else text for text in texts.tolist()])
    return np.asarray(column)


@pytest.mark.parametrize("form", FORMATS)
def test_astropy_reads_equal_content_from_every_format(written, form):
    folder, made, _ = written
    for name, table in made.items():
        found = read_back(folder / f"both_{name}.{FORMATS[form][0]}", form)
        assert found.colnames == table.colnames
        assert len(found) == len(table)
        for column in table.colnames:
            kind = table[column].dtype.kind
            np.testing.assert_array_equal(plain(found[column], kind), np.asarray(table[column]), err_msg=column)
            if form != "fits" and len(table):  # astropy keeps no descriptions of FITS columns
                assert found[column].description == table[column].description
                assert found[column].meta["ucd"] == table[column].meta["ucd"]
            assert (found[column].unit or "") == (table[column].unit or "")


def test_several_observations_are_kept_apart(written):
    table = written[1]["sources"]
    assert table["observation"].tolist() == ["one"] * 3 + ["two"] * 3
    assert table["source_id"].tolist() == [7, 8, 9] * 2


def test_pandas_reads_parquet_and_ecsv(written):
    folder, made, _ = written
    table = made["sources"]
    frame = pd.read_parquet(folder / "both_sources.parquet")
    text = pd.read_csv(
        folder / "both_sources.ecsv", comment="#", keep_default_na=False, na_values=["nan"], dtype={"program": str}
    )
    for found in (frame, text):
        assert list(found.columns) == table.colnames
        for column in table.colnames:
            values = found[column].to_numpy()
            if table[column].dtype.kind == "U":
                assert values.tolist() == table[column].tolist(), column
            else:
                np.testing.assert_array_equal(values.astype(table[column].dtype), table[column], err_msg=column)
    assert {str(kind) for kind in frame.dtypes} == {"int64", "float64", "bool", "str"}


def test_parquet_tells_the_virtual_observatory_what_its_columns_are(written):
    folder, made, _ = written
    found = Table.read(folder / "both_sources.parquet", format="parquet.votable")
    assert found["ra"].unit == units.deg
    assert found["redshift"].meta["ucd"] == "src.redshift;meta.main"
    assert found["comment"].tolist() == made["sources"]["comment"].tolist()


def test_votables_are_valid_and_say_in_which_frame_they_are(written):
    folder, made, _ = written
    for name in made:
        out = io.StringIO()
        assert validate(str(folder / f"both_{name}.vot"), output=out), out.getvalue()
        assert "no violations" in out.getvalue()
    table = parse_single_table(folder / "both_sources.vot")
    assert table.get_field_by_id("ra").ref == "icrs"
    assert table.get_field_by_id("flux_ha").unit == units.Unit("erg s-1 cm-2")
    assert table.get_field_by_id("vote_stale").datatype == "boolean"
    assert "system='ICRS'" in (folder / "both_sources.vot").read_text().replace('"', "'")


def test_fits_says_what_topcat_reads(written):
    folder, _, _ = written
    with fits.open(folder / "both_sources.fits", checksum=True) as hdus:
        header = hdus["SOURCES"].header
        for k in range(1, header["TFIELDS"] + 1):
            name = header[f"TTYPE{k}"]
            _, (unit, ucd, text) = SOURCE_COLUMNS[name]
            assert (header[f"TUCD{k}"], header[f"TCOMM{k}"]) == (ucd, text)
            assert units.Unit(header.get(f"TUNIT{k}", "")) == units.Unit(unit)
        assert header["RADESYS"] == "ICRS"
        assert hdus[0].header["NFVERS"] == nirfire.__version__
        assert "H\\u03b1" in hdus["SOURCES"].data["comment"][0]


def test_an_empty_table_keeps_its_columns(tmp_path):
    empty = make_table([], SOURCE_COLUMNS)
    for form, (ending, _) in FORMATS.items():
        write_catalogue({"sources": empty}, tmp_path, "none", [form])
        found = read_back(tmp_path / f"none_sources.{ending}", form)
        assert (found.colnames, len(found)) == (list(SOURCE_COLUMNS), 0)


def test_long_tables_are_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue_formats, "ROWS", 57)
    rows = [summary_row(k, redshift_auto=k / 7, file=f"é{k}") for k in range(150)]
    table = spectrum_table(results(rows))
    write_catalogue({"spectra": table}, tmp_path, "x", ["ecsv", "votable"])
    for form in ("ecsv", "votable"):
        found = read_back(tmp_path / f"x_spectra.{FORMATS[form][0]}", form)
        assert found["redshift_auto"].tolist() == table["redshift_auto"].tolist()
        assert found["path"].tolist() == table["path"].tolist()


def test_text_beyond_the_basic_plane_and_of_one_letter(tmp_path):
    values = {name: {int: 0, float: 0.0, str: "", bool: False}[kind] for name, (kind, _) in SOURCE_COLUMNS.items()}
    table = make_table([values | {"comment": "z 🚀", "tags": "A"}], SOURCE_COLUMNS)
    write_catalogue({"sources": table}, tmp_path, "x")
    for form in ("ecsv", "parquet", "votable"):
        found = read_back(tmp_path / f"x_sources.{FORMATS[form][0]}", form)
        assert (str(found["comment"][0]), str(found["tags"][0])) == ("z 🚀", "A")


def test_cards_of_a_primary_header(tmp_path):
    path = tmp_path / "a.fits"
    primary = fits.PrimaryHDU()
    cards = {"PROGRAM": "01345", "SRCNAME": "O'Neil / b", "ZWARN": 4, "BLANKED": "", "LAST": True}
    primary.header.update({f"PAD{k}": k for k in range(60)} | cards)
    primary.writeto(path)
    found = read_cards(path, [*cards, "ABSENT"])
    assert found == {"PROGRAM": "01345", "SRCNAME": "O'Neil / b", "ZWARN": "4", "LAST": "T"}
    path.write_bytes(path.read_bytes()[:2880])
    with pytest.raises(nirfire.errors.DataError, match="ends within"):
        read_cards(path, ["PROGRAM"])
    with pytest.raises(nirfire.errors.DataError, match="cannot be read"):
        read_cards(tmp_path / "absent.fits", ["PROGRAM"])


def test_the_page_of_the_docs_names_every_column():
    page = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text()
    for table in ("SOURCE", "SPECTRUM", "SHUTTER", "POINTING", "files of SPECTRUM"):
        names = [name for name in ALL_TABLES[table] if not name.startswith("flux_")]
        assert [name for name in names if f"| `{name}` |" not in page] == []
        assert all(ALL_TABLES[table][name][1].text in page for name in names)
    assert all(f"`{name[5:-4]}`" in page for name in FLUX_COLUMNS if name.endswith("_err"))
