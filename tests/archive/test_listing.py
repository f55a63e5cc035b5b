"""What is asked of the archive, and what is chosen from its answers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nirfire.archive import mast
from nirfire.archive.options import DownloadOptions
from nirfire.errors import DataError, TransientError
from tests.archive.standin import METAFILE, METAFILE_B, PROGRAM, Fault

FIRST, SECOND, THIRD = (f"jw0134506{name}" for name in ("1001_03101_00001", "1001_03101_00002", "2001_05101_00001"))


def names(report):
    return [f.file for f in report.files]


def uncals(*filesets):
    return [f"{fileset}_{detector}_uncal.fits" for fileset in filesets for detector in ("nrs1", "nrs2")]


def test_spectra_and_their_metafiles_only(archive, fetch):
    report = fetch(observations=(), dry_run=True)
    assert names(report) == [METAFILE, METAFILE_B, *uncals(FIRST, SECOND, THIRD)]
    assert report.exit_code == 0
    assert not report.folder.exists()
    assert not archive.asked()
    last = report.table().splitlines()[-1]
    assert last.startswith("8 files, ") and "to come" in last
    assert all(f.status == "to download" for f in report.files)


def test_observation_grating_and_level(archive, fetch):
    assert names(fetch(dry_run=True)) == [METAFILE, *uncals(FIRST, SECOND)]
    assert names(fetch(dry_run=True, observations=(), gratings=("g395m",))) == [METAFILE_B, *uncals(THIRD)]
    rates = names(fetch(dry_run=True, observations=(62,), level="rate"))
    assert rates == [METAFILE_B, f"{THIRD}_nrs1_rate.fits", f"{THIRD}_nrs2_rate.fits"]
    assert names(fetch(dry_run=True, observations=(62,), level="cal"))[1] == f"{THIRD}_nrs1_cal.fits"


def test_pages_and_batches(archive, fetch, monkeypatch):
    monkeypatch.setattr(mast, "PAGE", 2)
    monkeypatch.setattr(mast, "BATCH", 1)
    assert len(fetch(observations=(), dry_run=True).files) == 8
    assert len(archive.asked("search")) == 2
    assert len(archive.asked("products")) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"observations": (61, 99)},
            "with observation 99\n  key: observation\n  remedy: there are: 61, 62",
        ),
        ({"gratings": ("G140H",)}, "with grating G140H\n  key: grating\n  remedy: there are: PRISM"),
        ({"program": 7}, "program 7 has no NRS_MSASPEC exposures"),
    ],
)
def test_what_is_not_there_is_said(archive, fetch, changes, said):
    with pytest.raises(DataError, match="no ") as error:
        fetch(dry_run=True, **changes)
    assert said in str(error.value)


@pytest.mark.parametrize("wrong", [{"program": 0}, {"program": 123456}, {"level": "x1d"}, {"jobs": 0}])
def test_options_that_cannot_be(wrong):
    with pytest.raises(DataError, match="remedy"):
        DownloadOptions(**({"program": PROGRAM} | wrong))


def test_exposure_without_file_is_noted(archive, fetch):
    for detector in ("nrs1", "nrs2"):
        del archive.files[SECOND][f"{SECOND}_{detector}_uncal.fits"]
    report = fetch(dry_run=True)
    assert names(report) == [METAFILE, *uncals(FIRST)]
    assert SECOND in report.summary()
    assert fetch(dry_run=True, level="rate").notes == ()


def test_names_never_lead_out_of_the_folder(archive, fetch):
    bad = [f"../{FIRST}_nrs1_uncal.fits", f"/tmp/{FIRST}_nrs1_uncal.fits", f"{FIRST}_nrs1_uncal.fits/..", "a_msa.fits"]
    archive.extra_products = [{"filename": name, "uri": name, "size": 10} for name in bad]
    assert names(fetch(dry_run=True)) == [METAFILE, *uncals(FIRST, SECOND)]


@pytest.mark.parametrize("what", ["search", "products", "columns"])
@pytest.mark.parametrize(
    "fault", [Fault("status", status=500), Fault("status", status=503), Fault("page"), Fault("reset")], ids=str
)
def test_queries_are_repeated(archive, fetch, what, fault):
    archive.faults[what] = [fault, fault]
    assert len(fetch(dry_run=True).files) == 5
    assert len(archive.asked(what)) >= 3


def test_query_that_never_succeeds(archive, fetch):
    archive.faults["search"] = Fault("status", status=503)
    with pytest.raises(TransientError, match="given up after 4 attempts") as error:
        fetch(dry_run=True)
    assert archive.url in str(error.value)
    assert len(archive.asked("search")) == 4


@pytest.mark.parametrize("status", [400, 404])
def test_query_that_is_refused(archive, fetch, status):
    archive.faults["products"] = Fault("status", status=status)
    with pytest.raises(DataError, match="remedy: the archive's service may have changed"):
        fetch(dry_run=True)
    assert len(archive.asked("products")) == 1


def test_nobody_at_the_address(fetch):
    with pytest.raises(TransientError, match="given up"):
        fetch(server="http://127.0.0.1:9", dry_run=True)
    with pytest.raises(DataError, match="not an address"):
        fetch(server="mast", dry_run=True)


def test_light_to_import():
    code = (
        "import sys, nirfire.archive.options as o; assert not {'requests', 'astropy', 'astroquery'} & set(sys.modules);"
        "import nirfire.archive.download; assert 'astroquery' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
