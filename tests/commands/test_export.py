"""`nirfire export` as a user meets it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.commands.aim import BAD_JOBS
from nirfire.commands.export import ExportOptions, export, listed
from nirfire.core.attitude import separation
from nirfire.errors import DataError
from nirfire.inspect.index import fingerprints
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote
from nirfire.pipeline.run import write_summary
from nirfire.products.catalogue_columns import TABLES
from nirfire.products.catalogue_formats import FORMATS
from nirfire.products.joint_redshift import JointFit
from nirfire.products.naming import CAL, SPEC, ZFIT, Workspace
from nirfire.products.provenance import Provenance, recording
from nirfire.products.slitcal import N_ALONG, SLIT_Y
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit

from ..products.conftest import FACTS, fit, spectrum  # noqa: F401

MEASURED = ExportOptions(formats=("parquet",), tables=("sources", "spectra", "lines"))


def made(facts="x"):
    return recording(Provenance(json.dumps(FACTS), facts.ljust(16, "0"), "logs/x.log"))


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def workspace(tmp_path, templates, spectrum, fit, quick_disk):  # noqa: F811
    """Two sources, one with two gratings, with a summary or without; made once, then copied."""

    def give(name="obs", summarised=True):
        place, template = Workspace(tmp_path / f"{name}-nirfire", name), Workspace(templates / name, name)
        if not template.folder.is_dir():
            build(template, (spectrum, fit), summarised)
        shutil.copytree(template.folder, place.folder)
        return place

    return give


def build(place, made_of, summarised):
    place.folder.mkdir()
    place.origin.write_text(json.dumps({"observation": place.observation, "folder": "", "file": "", "crds": ""}))
    for source, grating, filter_ in ((7, "PRISM", "CLEAR"), (7, "G395M", "F290LP"), (12, "PRISM", "CLEAR")):
        write(place, made_of, (source, grating, filter_), made_of[1].z)
    if summarised:
        write_summary(place)


def write(place, made_of, mode, z, mark="a"):
    spectrum, fit = made_of  # noqa: F811
    source, grating, filter_ = mode
    cards = {"SOURCEID": (source, ""), "GRATING": (grating, ""), "FILTER": (filter_, ""), "PROGRAM": ("01345", "")}
    cards |= {"SRCNAME": (f"1345_{source}", ""), "EXPTIME": (100.0, "")}
    spec, zfit = (place.combined(source, grating, filter_, suffix) for suffix in (SPEC, ZFIT))
    with made(mark):
        replace(spectrum, meta=spectrum.meta | cards).write(spec)
        replace(fit, z=z, meta={k: v for k, v in cards.items() if k in ("SOURCEID", "GRATING", "FILTER")}).write(zfit)
    return spec, zfit


def vote(place, source, z, quality, user="ann", **more):
    facts = {"uuid": f"{user}-{source}-{z}", "flags": {}, "comment": "", "tags": (), "time": ""}
    facts["seen"] = fingerprints(place, source)
    with Store.open(place.inspection) as store:
        store.add(Vote(user=user, source=source, z=z, quality=quality, **(facts | more)))


def read(place, name="sources"):
    return Table.read(place.catalogue / f"{place.observation}_{name}.parquet")


def test_export(workspace, capsys):
    place = workspace()
    vote(place, 7, 4.2341, 4, flags={"g395m_f290lp": 256}, comment="fine", tags=("LRD",))
    assert export([place.folder], replace(MEASURED, formats=tuple(FORMATS))) == 0
    names = {f"obs_{table}.{ending}" for table in MEASURED.tables for ending in ("ecsv", "fits", "parquet", "vot")}
    assert names <= {path.name for path in place.catalogue.iterdir()}
    sources, spectra = read(place), read(place, "spectra")
    assert sources["source_id"].tolist() == [7, 12]
    assert sources["quality"].tolist() == [4, 0]
    assert sources["redshift_from"].tolist() == ["inspection", "prism_clear"]
    assert sources["flags_said"].tolist() == ["grating corrupted", ""]
    assert (sources["comment"][0], sources["tags"][0], sources["inspectors"][0]) == ("ann: fine", "LRD", "ann")
    assert sources["vote_stale"].tolist() == [False, False]
    assert sources["spectra"][0] == "g395m_f290lp prism_clear"
    assert sources["exposure_time"].tolist() == [200.0, 100.0]
    assert spectra["flags"].tolist() == [256, 0, 0]
    assert set(spectra["fingerprint"]) == {"a".ljust(16, "0")}
    assert (place.folder / spectra["path"][0]).is_file()
    said = capsys.readouterr().err
    assert "2 sources" in said and "3 spectra" in said
    assert "read anew" not in said


def test_what_changed_after_the_summary_is_read_anew(workspace, spectrum, fit, capsys):  # noqa: F811
    place = workspace()
    vote(place, 12, 4.2341, 3)
    write(place, (spectrum, fit), (12, "PRISM", "CLEAR"), 1.5, mark="b")
    export([place.folder], MEASURED)
    assert "1 sources changed after the summary" in " ".join(capsys.readouterr().err.split())
    sources = read(place)
    assert sources["redshift_auto"].tolist() == [4.2341, 1.5]
    assert sources["vote_stale"].tolist() == [False, True]
    assert read(place, "spectra")["redshift_auto"].tolist() == [4.2341, 4.2341, 1.5]


def test_a_source_that_is_gone_and_one_without_a_fit(workspace):
    place = workspace()
    place.combined(7, "PRISM", "CLEAR", ZFIT).unlink()
    for path in place.source_folder(12).iterdir():
        path.unlink()
    export([place.folder], MEASURED)
    spectra = read(place, "spectra")
    assert spectra["spectrum"].tolist() == ["g395m_f290lp", "prism_clear"]
    assert np.isfinite(spectra["redshift_auto"]).tolist() == [True, False]
    assert spectra["fit_fingerprint"].tolist() == ["a".ljust(16, "0"), ""]


@pytest.mark.parametrize("summarised", [True, False])
def test_a_source_that_cannot_be_read_is_left_out_and_named(workspace, summarised, capsys):
    place = workspace("obs" if summarised else "bare", summarised)
    bad = place.combined(12, "PRISM", "CLEAR", SPEC)
    bad.write_bytes(b"SIMPLE  =                    T" + bytes(2000))
    assert export([place.folder], MEASURED) == BAD_JOBS
    assert Table.read(place.catalogue / f"{place.observation}_sources.parquet")["source_id"].tolist() == [7]
    told = capsys.readouterr().err
    assert "source 12 is LEFT OUT" in told
    assert str(bad) in told


def test_a_redshift_of_all_gratings_that_is_gone(workspace):
    place = workspace()
    joint = place.joint_zfit(7)
    with made():
        joint_fit(4.5).write(joint)
    export([place.folder], MEASURED)
    assert read(place)["redshift_auto"].tolist() == [4.5, 4.2341]
    assert read(place)["redshift_auto_from"].tolist() == ["joint", "prism_clear"]
    assert read(place)["redshift_auto_warning"].tolist() == [4, 0]
    write_summary(place)
    joint.unlink()
    export([place.folder], MEASURED)
    assert read(place)["redshift_auto_from"].tolist() == ["prism_clear", "prism_clear"]


def test_a_changed_source_is_read_once(workspace, spectrum, fit, monkeypatch):  # noqa: F811
    place = workspace()
    spec, zfit = write(place, (spectrum, fit), (12, "PRISM", "CLEAR"), 1.5, mark="b")
    opened = []
    for kind in (Spectrum, RedshiftFit):
        monkeypatch.setattr(kind, "read", lambda path, read=kind.read: opened.append(path) or read(path))
    export([place.folder], MEASURED)
    assert opened == [spec, zfit]


def test_the_warning_of_all_gratings_is_in_the_summary(workspace):
    place = workspace()
    with made():
        joint_fit(4.5).write(place.joint_zfit(7))
    write_summary(place)
    table = Table.read(place.summary("fits"), hdu="CATALOGUE")
    assert table["redshift_joint_warning"].tolist() == [4, 4, 0]
    export([place.folder], MEASURED)
    assert read(place)["redshift_auto_warning"].tolist() == [4, 0]
    assert read(place, "spectra")["redshift_joint_warning"].tolist() == [4, 4, 0]


def test_a_summary_of_an_earlier_version_is_not_used(workspace, capsys):
    place = workspace()
    path = place.summary("fits")
    with fits.open(path) as hdus:
        kept = [column for column in hdus["CATALOGUE"].columns if column.name != "redshift_joint_warning"]
        old = fits.BinTableHDU.from_columns(fits.ColDefs(kept), name="CATALOGUE")
        others = [unit.copy() for unit in hdus if unit.name != "CATALOGUE"]
    fits.HDUList([others[0], old, *others[1:]]).writeto(path, overwrite=True)
    export([place.folder], MEASURED)
    assert "2 sources have a summary of an earlier version" in " ".join(capsys.readouterr().err.split())
    assert read(place, "spectra")["redshift_joint_warning"].tolist() == [0, 0, 0]
    assert len(read(place, "spectra")) == 3
    path.unlink()
    export([place.folder], MEASURED)
    assert "2 sources have no summary" in " ".join(capsys.readouterr().err.split())


def joint_fit(z):
    gratings = Table({name: [1.0] for name in ("z", "z_err", "probability", "velocity_err", "offset", "offset_err")})
    gratings["support"] = 2.0
    peaks = Table({"z": [z], "z_err": [1e-4], "probability": [0.9]})
    grid = np.array([4.0, 4.5, 5.0])
    return JointFit(z, 1e-4, 0.9, 4, z, "PRISM", gratings, peaks, grid, np.ones(3), {"SOURCEID": (7, "number")})


def test_conflicting_votes(workspace):
    place = workspace()
    vote(place, 7, 4.2341, 4, "ann")
    vote(place, 7, 1.0, 4, "bob")
    export([place.folder], MEASURED)
    row = read(place)[0]
    assert (bool(row["conflict"]), row["quality"], row["n_inspectors"]) == (True, 0, 2)
    assert row["redshift"] == row["redshift_auto"]


def test_several_workspaces_make_one_catalogue(workspace, tmp_path):
    places = [workspace("obs"), workspace("two", summarised=False)]
    options = replace(MEASURED, folder=tmp_path / "out", formats=("fits",))
    assert export([place.folder for place in places], options) == 0
    found = Table.read(tmp_path / "out" / "catalogue_sources.fits")
    assert found["observation"].tolist() == ["obs", "obs", "two", "two"]
    assert found["source_id"].tolist() == [7, 12, 7, 12]
    with pytest.raises(DataError, match="are both of the observation obs"):
        export([places[0].folder, places[0].folder], options)


def test_without_exposures_the_rest_is_exported_and_what_is_missing_is_said(workspace, capsys):
    place = workspace()
    assert export([place.folder], ExportOptions(formats=("parquet",))) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "shutters and pointings are LEFT OUT: no exposure with count rates" in said
    assert len(read(place)) == 2
    assert not (place.catalogue / "obs_shutters.parquet").exists()


def test_exposures_that_need_references_which_are_not_there(workspace, capsys, monkeypatch):
    monkeypatch.delenv("CRDS_PATH", raising=False)
    place = workspace()
    place.exposures.mkdir()
    cards = {"MSAMETFL": "jw01345062001_01_msa.fits", "MSAMETID": 1, "PATT_NUM": 1}
    cards |= dict.fromkeys(("RA_REF", "DEC_REF", "ROLL_REF", "V2_REF", "V3_REF"), 1.0)
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    primary.writeto(place.exposures / "jw01345062001_03101_00001_nrs1_rate.fits")
    assert export([place.folder], ExportOptions(formats=("parquet",))) == BAD_JOBS
    said = " ".join(capsys.readouterr().err.split())
    assert "LEFT OUT: where shutters are in the sky follows from the JWST reference files" in said
    assert "remedy: export CRDS_PATH" in said
    assert len(read(place)) == 2


def test_nothing_to_export(tmp_path):
    place = Workspace(tmp_path, "obs")
    place.origin.write_text(json.dumps({"observation": "obs", "folder": str(tmp_path), "file": "", "crds": ""}))
    with pytest.raises(DataError, match="no spectrum here"):
        export([tmp_path], MEASURED)
    with pytest.raises(DataError, match="not run yet"):
        export([tmp_path / "absent"], MEASURED)


def test_the_command_line(workspace, tmp_path):
    place = workspace()
    line = ["export", str(place.folder), "-o", str(tmp_path / "out"), "--format", "fits", "--table", "sources"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["obs_sources.fits"]


def test_choices():
    assert listed(" votable, fits", ("ecsv", "fits", "votable"), "--format") == ("fits", "votable")
    for text in ("hdf5", ""):
        with pytest.raises(DataError, match="cannot be exported"):
            listed(text, ("ecsv",), "--format")


def test_a_demo_whole(small_demo, tmp_path):
    """Shutters are where the stock WCS of the products has them, and sources where the truth has them."""
    place = small_demo.place
    assert export([place.folder], ExportOptions(folder=tmp_path, formats=("fits",))) == 0
    found = {name: Table.read(tmp_path / f"{place.observation}_{name}.fits") for name in TABLES}
    assert found["sources"]["source_id"].tolist() == place.find_sources()
    assert set(found["sources"]["redshift_auto_from"]) == {"prism_clear"}
    assert len(found["lines"]) > 0
    shutters = found["shutters"]
    checked = 0
    for source in place.find_sources():
        for name in place.find_slits(source, CAL)[1:2]:  # off the planned pointing; a stock WCS takes a second
            here = stock_place(place.slit(name, source, CAL))
            if here is None:
                continue
            mine = (shutters["exposure"] == name.both) & (shutters["source_here"] == source)
            (row,) = shutters[mine]
            assert row["shutter_column"] == here[0]
            assert separation(row["ra"], row["dec"], *here[1:]) < 1e-4
            checked += 1
    assert checked >= 2
    truth = Table.read(place.folder / "raw" / "truth" / "catalogue.ecsv")
    for row in truth[(truth["dx"] == 0) & (truth["dy"] == 0)]:
        first = shutters[(shutters["source_here"] == row["source_id"]) & (shutters["dither_point"] == 1)][0]
        assert separation(first["ra"], first["dec"], row["ra"], row["dec"]) < 1e-3
    (pointing,) = found["pointings"]
    assert pointing["n_exposures"] == len(set(shutters["exposure"]))


def stock_place(cal: Path):
    """Column of the source's shutter, and RA, Dec [deg] of its middle by the whole stock WCS; None without a slit."""
    from stdatamodels.jwst import datamodels

    with fits.open(cal) as hdus:
        if SLIT_Y not in hdus or "x" not in str(hdus["SCI"].header.get("SHUTSTA", "")):
            return None
    with datamodels.open(cal) as model:
        slit = model.slits[0]
        ra, dec, _ = slit.meta.wcs.get_transform("slit_frame", "world")(0.0, 0.0, 2.95e-6)
        return (slit.shutter_id - 1) // N_ALONG + 1, float(ra), float(dec)
