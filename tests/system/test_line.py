"""The line as a user sees it: raw exposures become redshifts, twice, and nothing is done twice."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.demo import RAW
from nirfire.products.naming import BKGSUB, CAL, RATE, RATERAW, SPEC, ZFIT, Workspace
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.simulate.truth import CATALOGUE, FOLDER
from tests.conftest import link_tree, nirfire


def truth(place):
    return {int(row["source_id"]): row for row in Table.read(place.folder / RAW / FOLDER / CATALOGUE)}


def test_the_demo_ends_well(small_demo):
    assert small_demo.code == 0, small_demo.err[-3000:]
    for stage in ("simulate", "detector", "clean", "calibrate", "nodsub", "offsets", "extract", "redshift"):
        assert stage in small_demo.err
    for source in truth(small_demo.place):
        assert str(source) in small_demo.out


def test_every_product_is_there_and_holds_numbers(small_demo):
    place = small_demo.place
    assert len(place.find_exposures(RATERAW)) == len(place.find_exposures(RATE)) == 3
    assert place.find_sources() == sorted(truth(place))
    for source in place.find_sources():
        assert len(place.find_slits(source, CAL)) == len(place.find_slits(source, BKGSUB)) == 3
        for suffix in (SPEC, ZFIT):
            (path,) = place.find_combined(source, suffix)
            with fits.open(path) as hdus:
                images = [h.data for h in hdus if h.data is not None and h.data.dtype.kind == "f"]
                assert all(np.isfinite(image).any() for image in images)
    assert not list(place.folder.rglob(".part-*"))


def test_redshifts_are_the_true_ones(small_demo):
    place = small_demo.place
    for source, row in truth(place).items():
        if np.isfinite(row["z"]):
            fit = RedshiftFit.read(place.find_combined(source, ZFIT)[0])
            assert abs(fit.z - row["z"]) < 0.003 * (1 + row["z"])
            assert fit.confidence > 0.9


def test_metrics_meet_their_goals(small_demo):
    metrics = json.loads((small_demo.place.report / "metrics.json").read_text())
    judged = [m for m in metrics["metrics"] if m["ok"] is not None]
    assert len(judged) >= 5
    slow = ("wall", "memory")  # of this machine, not of the science
    assert all(m["ok"] for m in judged if not any(word in m["name"] for word in slow)), judged


def test_the_report_shows_every_stage_of_every_source(small_demo):
    report = small_demo.place.report
    for page in report.rglob("*.html"):
        text = page.read_text()
        assert "http://" not in text
        assert "https://" not in text
    for source in truth(small_demo.place):
        page = (report / "sources" / f"{source}.html").read_text()
        figures = list((report / "figures").glob(f"source-{source}-*.png"))
        assert {"nods", "extraction", "redshift"} <= {part for f in figures for part in f.stem.split("-")}
        assert all(f.name in page for f in figures)


@pytest.fixture
def own(small_demo, tmp_path):
    """The demo in a folder where it can be run again while other tests look at it."""
    link_tree(small_demo.place.folder, tmp_path / "demo")
    return Workspace(tmp_path / "demo", "demo")


def test_running_again_changes_nothing(own):
    place = own
    products = [p for p in place.folder.rglob("*.fits") if place.catalogue not in p.parents]
    before = {p: p.stat().st_mtime_ns for p in products}
    done = nirfire("demo", "--size", "small", "-w", place.folder, "-j", 2, cwd=place.folder.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "skipped" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in products} == before


def test_another_simulation_is_not_mixed_in(own):
    place = own
    done = nirfire("demo", "--size", "small", "--seed", 2, "-w", place.folder, cwd=place.folder.parent)
    assert done.returncode == 2
    assert "another simulation" in done.stderr
    assert "seed" in done.stderr


def test_spectra_open_as_tables_of_known_units(small_demo):
    place = small_demo.place
    (path,) = place.find_combined(place.find_sources()[0], SPEC)
    table = Table.read(path, hdu="SPEC1D")
    assert table.colnames[:4] == ["wave", "flux", "err", "mask"]
    assert str(table["flux"].unit) == "uJy"
    assert np.nanmedian(Spectrum.read(path).flux) > 0
