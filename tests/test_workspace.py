"""`from nirfire import Workspace`: typed access to products, plots, and nothing heavy before it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from astropy.table import Table
from matplotlib import pyplot

import nirfire
from nirfire import Workspace
from nirfire.commands.export import ExportOptions, export
from nirfire.errors import DataError
from nirfire.inspect.quality import Flag
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Vote
from nirfire.products import naming
from nirfire.products.joint_redshift import JointFit
from nirfire.products.naming import SPEC, ZFIT
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.checks import Measured, as_json
from nirfire.tasks.summary import summary

mpl.use("Agg")
WAVE = np.geomspace(0.6, 5.3, 300)
Z = {101: 3.0, 103: 4.5}


def spectrum_of(source, grating, filter_):
    err = np.full(WAVE.shape, 0.1)
    flux = np.random.default_rng(source).normal(1.0, 0.1, WAVE.size)
    meta = {"SOURCEID": (source, ""), "GRATING": (grating, ""), "FILTER": (filter_, "")}
    return Spectrum(wave=WAVE, flux=flux, err=err, mask=WAVE < 0.7, meta=meta)


def fit_of(z, probability):
    grid = np.linspace(0.0, 10.0, 2001)
    chi2 = 300.0 + 200.0 * (1.0 - np.exp(-0.5 * ((grid - z) / 0.02) ** 2))
    peaks = Table({"z": [z, z + 1], "z_err": [0.001, 0.01], "chi2": [300.0, 500.0], "dchi2": [0.0, 200.0]})
    model = np.ones(WAVE.size)
    more = {"probability": probability, "template_class": "galaxy", "dof": 290}
    return RedshiftFit(z, 0.001, 0.99, 300.0, WAVE.size, WAVE, model, grid, chi2, peaks, {}, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A workspace with PRISM spectra of two sources, and a grating of one of them."""
    place = naming.Workspace(tmp_path_factory.mktemp("ws"), "obs")
    place.origin.write_text(json.dumps({"observation": "obs", "folder": "raw", "file": ""}))
    for source, z in Z.items():
        for grating, filter_, probability in (("PRISM", "CLEAR", 0.9), ("G395M", "F290LP", 0.99))[: 1 + (source > 101)]:
            spectrum_of(source, grating, filter_).write(place.combined(source, grating, filter_, SPEC))
            fit_of(z, probability).write(place.combined(source, grating, filter_, ZFIT))
    pairs = [(p, naming.zfit_of(p)) for s in Z for p in place.find_combined(s, SPEC)]
    summary(pairs, [place.summary("ecsv"), place.summary("fits")])
    return place.folder


@pytest.fixture
def w(folder):
    return Workspace(folder)


def test_import_is_light():
    code = "import sys, nirfire; print([m for m in ('numpy', 'astropy', 'scipy', 'typer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'Workspce'"):
        _ = nirfire.Workspce


def test_the_server_and_matplotlib_are_not_needed():
    code = "import sys, nirfire; nirfire.Workspace; print({'fastapi', 'matplotlib', 'jwst'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_there_is(w):
    assert w.observation == "obs"
    assert w.sources == [101, 103]
    assert len(w) == 2
    assert [source.number for source in w] == [101, 103]
    assert [(one.source, one.key) for one in w.spectra] == [
        (101, "prism_clear"),
        (103, "prism_clear"),
        (103, "g395m_f290lp"),
    ]


def test_a_spectrum_is_the_product_and_more(w):
    one = w.source(103).spectrum("g395m")
    assert isinstance(one, Spectrum)
    assert np.array_equal(one.wave, WAVE)
    assert np.isnan(one.flux[one.mask]).all()
    assert one.path.name == "obs_g395m_f290lp_103_spec.fits"
    assert one.fit.z == 4.5
    assert one.snr == pytest.approx(10, rel=0.1)
    assert repr(one).startswith("<source 103, g395m_f290lp: 300 pixels, 0.60 to 5.30 um, S/N ")
    assert repr(one.fit) == "<galaxy, z = 4.50000 ± 0.001, probability 0.990>"
    unknown = replace(one.fit, z_err=np.nan, probability=np.nan, warning=128)
    assert repr(unknown) == "<galaxy, z = 4.50000 ± –, probability unknown, warnings: no error of z>"


def test_which_spectrum(w):
    source = w.source(103)
    assert source.spectrum().key == source.spectrum("PRISM").key == source.spectrum("prism_clear").key == "prism_clear"
    with pytest.raises(DataError, match="no spectrum of source 103 in g140h"):
        source.spectrum("g140h")
    with pytest.raises(DataError, match="no source 999"):
        w.source(999)


def test_the_redshift_that_stands_for_a_source(w, folder):
    source = w.source(103)
    assert source.redshift.origin == "prism_clear", "PRISM first, though a grating is surer"
    gratings = Table({"z": [4.6], "support": [3.0]})
    empty = np.array([0.0, 1.0])
    joint = JointFit(4.6, 0.01, 0.97, 0, 4.6, "PRISM", gratings, Table({"z": [4.6]}), empty, empty, {})
    path = w.place.joint_zfit(103)
    joint.write(path)
    assert (w.source(103).redshift.z, w.source(103).redshift.origin) == (4.6, "joint")
    path.unlink()


def test_the_catalogue_is_what_would_be_exported(w, tmp_path):
    catalogue = w.catalogue()
    assert repr(catalogue) == "<catalogue of obs: .sources, .spectra, .lines, .shutters, .pointings>"
    export([w.place.folder], ExportOptions(tmp_path, ("parquet",), ("sources", "spectra", "lines")))
    for name in ("sources", "spectra", "lines"):
        table, written = getattr(catalogue, name), Table.read(tmp_path / f"obs_{name}.parquet")
        assert table.colnames == written.colnames
        for column in table.colnames:
            assert np.array_equal(table[column], written[column], equal_nan=table[column].dtype.kind == "f"), column
            assert table[column].unit == written[column].unit
            assert table[column].description == written[column].description
    assert str(catalogue.sources["ra"].unit) == "deg"
    assert "0.9" in str(catalogue.sources["redshift_auto_probability"])
    assert len(catalogue.lines) == 0


def test_the_catalogue_has_the_votes_of_now(w):
    before = w.catalogue().sources
    with Store.open(w.place.inspection, observation="obs") as store:
        store.add(Vote("u1", "Ana", 101, 3.01, 4, {}, "nice", (), {}, "2026-01-01T00:00:00.000001Z"))
    after = w.catalogue()
    assert before["quality"].tolist() == [0, 0]
    assert after.sources["quality"].tolist() == [4, 0]
    assert after.sources["redshift"].tolist() == [3.01, 4.5]
    w.place.inspection.unlink()
    assert after.spectra["quality"].tolist() == [4, 0, 0], "all tables are of one moment"


def test_what_cannot_be_in_the_catalogue_is_told(w):
    with pytest.raises(DataError, match=r"no table of shutters: .*no exposure with count rates"):
        _ = w.catalogue().shutters
    path = w.place.combined(103, "PRISM", "CLEAR", SPEC)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.warns(UserWarning, match="source 103 is LEFT OUT"):
        assert w.catalogue().sources["source_id"].tolist() == [101]
    path.write_bytes(whole)


def test_votes(w, folder):
    assert len(w.votes()) == 0
    assert w.source(101).vote is None
    assert {"source", "user", "quality", "z", "flags"} <= set(w.votes().colnames)
    with Store.open(w.place.inspection, observation="obs") as store:
        flags = {"prism_clear": int(Flag.STUCK_SHUTTER | Flag.LOW_SNR)}
        store.add(Vote("u1", "Ana", 101, 3.01, 4, flags, "nice", ("LRD",), {}, "2026-01-01T00:00:00.000001Z"))
        store.add(Vote("u2", "Bo", 103, None, 1, {}, "", (), {}, "2026-01-01T00:00:00.000002Z"))
    table = w.votes()
    assert list(table["user"]) == ["Ana", "Bo"]
    assert list(table["said"]) == ["secure", "impossible"]
    assert table["flags"][0] == "prism_clear: stuck shutter, low S/N"
    assert np.isnan(table["z"][1])
    assert w.source(101).vote.z == 3.01
    w.place.inspection.unlink()


def test_findings(w):
    with pytest.raises(DataError, match="no report"):
        w.findings()
    w.place.report.mkdir()
    (w.place.report / naming.METRICS).write_text(json.dumps(as_json([Measured("probability", 0.5, 0.0, "101 PRISM")])))
    assert [tuple(row) for row in w.findings()] == [("probability", "101 PRISM", 0.5, 0.0, "look")]
    (w.place.report / naming.METRICS).write_text(json.dumps(as_json([])))
    assert len(w.findings()) == 0


def test_plots(w):
    one = w.source(103).spectrum()
    axes = one.plot()
    assert axes.get_title(loc="left") == "source 103   prism_clear"
    assert any("z = 4.5" in line.get_label() for line in axes.lines)
    assert "Jy" in axes.get_ylabel()
    figure, own = pyplot.subplots()
    assert one.plot(own, unit="flam", z=2.0, between=(1.0, 2.0)) is own
    assert own.get_xlim() == (1.0, 2.0)
    assert len(own.texts) > 3, "lines are named"
    own.set_xlim(3.0, 4.0)
    figure.canvas.draw()
    assert one.fit.plot().get_xlabel() == "redshift"
    density = one.fit.plot(what="p").lines[0]
    z, p = density.get_data()
    assert np.trapezoid(p, z) == pytest.approx(1.0, abs=1e-3)
    assert z[np.argmax(p)] == pytest.approx(4.5)
    for wrong in (lambda: one.plot(unit="Jy"), lambda: one.fit.plot(what="z")):
        with pytest.raises(ValueError, match="not"):
            wrong()
    pyplot.close("all")


def test_a_notebook_shows_a_table(w):
    text = w._repr_html_()
    assert text.count("<tr>") == 3
    assert "4.50000" in text
    assert repr(w) == f"<obs: 2 sources, in {w.place.folder.name}>"
    assert repr(w.source(101)) == "<source 101: prism_clear, z = 3.00000 (probability 0.900)>"


def test_what_is_no_workspace(tmp_path):
    with pytest.raises(DataError, match="no workspace"):
        Workspace(tmp_path)
    assert Workspace(tmp_path, "obs").sources == []
