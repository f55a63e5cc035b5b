"""Bad input: a message that names file, key and remedy, a non-zero exit, and no half-written product."""

import os
import shutil

import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.demo import RAW
from nirfire.products.naming import CAL, RATE, UNCAL, ExposureName, Workspace
from nirfire.simulate.cache_place import cache_environment
from nirfire.simulate.crds_cache import ensure_cache
from tests.conftest import nirfire
from tests.forked import run_forked


@pytest.fixture
def uncal(small_demo, tmp_path):
    """A folder with one raw exposure and its metafile; gives the exposure's path."""
    folder = tmp_path / "given"
    folder.mkdir()
    raw = small_demo.place.folder / RAW
    first = sorted(raw.glob(f"*{UNCAL}"))[0]
    for path in (first, *raw.glob("*_msa.fits")):
        shutil.copyfile(path, folder / path.name)
    return folder / first.name


@pytest.fixture
def run(nirfire_here):
    return lambda folder, *arguments: run_with(nirfire_here, folder, *arguments)


def run_with(command, folder, *arguments):
    """Exit code, what was said, in one line, and the products."""
    done = command("run", folder, "-w", "out", "--obs", "bad", "-j", 1, *arguments, cwd=folder.parent)
    said = " ".join((done.stdout + done.stderr).split())
    products = [p for p in (folder.parent / "out").rglob("*.fits") if p.name.startswith("jw") and "_msa" not in p.name]
    return done.returncode, said, products


def edit(path, key, value):
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus:
            if key in hdu.header:
                if value is None:
                    del hdu.header[key]
                else:
                    hdu.header[key] = value


def test_truncated_exposure(uncal):
    with uncal.open("r+b") as f:
        f.truncate(uncal.stat().st_size // 2)
    code, said, products = run_with(nirfire, uncal.parent)  # in a process of its own, as a user does
    assert code == 3
    assert uncal.name in said
    assert "copy or download it again" in said
    assert not products


def test_missing_metafile(uncal, run):
    for path in uncal.parent.glob("*_msa.fits"):
        path.unlink()
    code, said, products = run(uncal.parent)
    assert code == 3
    assert "MSA metafile not found" in said
    assert "MSAMETFL" in said
    assert "beside the exposures" in said
    assert not products


def test_metafile_of_another_configuration(uncal, run):
    edit(uncal, "MSAMETID", 77)
    code, said, products = run(uncal.parent)
    assert code == 3
    assert "no MSAMETID 77" in said
    assert "_msa.fits" in said
    assert not products


@pytest.mark.parametrize("key", ["DEC_REF", "ROLL_REF", "PATT_NUM", "NGROUPS"])
def test_missing_keyword(uncal, key, run):
    edit(uncal, key, None)
    code, said, products = run(uncal.parent)
    assert code == 3
    assert f"keyword {key} is missing" in said
    assert uncal.name in said
    assert f"set {key}" in said
    assert not products


@pytest.mark.slow
def test_one_bad_exposure_does_not_stop_the_others(small_demo, tmp_path, run):
    """Two good count-rate images and one without DEC_REF: the good ones are cleaned."""
    folder = tmp_path / "given"
    folder.mkdir()
    place = small_demo.place
    for path in [*place.exposures.glob("*_rateraw.fits"), *place.exposures.glob("*_msa.fits")]:
        shutil.copyfile(path, folder / path.name)
    bad = sorted(folder.glob("*_rateraw.fits"))[1]
    edit(bad, "DEC_REF", None)
    code, said, _ = run(folder, "--to", "clean")
    assert code == 3
    assert "DEC_REF" in said
    assert bad.name in said
    made = Workspace(folder.parent / "out", "bad").find_exposures(RATE)
    assert len(made) == 2
    assert ExposureName.from_path(bad) not in made


def linked_cache(folder):
    """A copy of the embedded CRDS cache, of links, that can be damaged."""
    whole = ensure_cache()
    shutil.copytree(whole, folder, copy_function=os.link)
    return folder


def test_cache_without_a_reference(uncal, run, monkeypatch):
    caches = uncal.parent.parent / "cache" / "nirfire"
    cache = linked_cache(caches / ensure_cache().name)
    (lost,) = (cache / "references" / "jwst" / "nirspec").glob("*_photom_*")
    lost.unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches.parent))
    code, said, products = run(uncal.parent)
    assert code == 2
    assert lost.name in said
    assert "missing from the CRDS cache" in said
    assert "remedy" in said
    assert not products


CALIBRATE = """
import sys
from pathlib import Path
from nirfire.errors import NirfireError
from nirfire.tasks.calibrate import CalibrateSettings, calibrate
try:
    calibrate(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), CalibrateSettings())
except NirfireError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def calibrate(rate, cal, source, cache):
    done = run_forked("-c", CALIBRATE, rate, cal, source, env={**os.environ, **cache_environment(cache)})
    return done.returncode, done.stderr


@pytest.fixture
def rate(small_demo, tmp_path):
    """A count-rate image beside its metafile."""
    place = small_demo.place
    name = place.find_exposures(RATE)[0]
    for path in (place.exposure(name, RATE), *place.exposures.glob("*_msa.fits")):
        shutil.copyfile(path, tmp_path / path.name)
    return tmp_path / place.exposure(name, RATE).name


def test_all_nan_calibration(small_demo, rate, tmp_path, monkeypatch):
    """Without flats the stock flat-field step says COMPLETE and gives nothing but NaN."""
    cache = linked_cache(tmp_path / "cache")
    (imap,) = (cache / "mappings" / "jwst").glob("*.imap")
    text = imap.read_text()
    for kind in ("dflat", "sflat", "fflat"):
        (rmap,) = (cache / "mappings" / "jwst").glob(f"*_{kind}_*.rmap")
        text = text.replace(repr(rmap.name), "'N/A'")
    imap.unlink()
    imap.write_text(text)
    monkeypatch.setenv("CRDS_IGNORE_MAPPING_CHECKSUM", "1")
    source = small_demo.place.find_sources()[0]
    cal = tmp_path / f"{ExposureName.from_path(rate)}_{source}{CAL}"
    code, said = calibrate(rate, cal, source, cache)
    assert code == 1
    assert "DataError: the calibration left no finite pixel" in said
    assert cal.name in said
    assert "flat fields" in said
    assert not cal.exists()


def test_source_off_the_detector_is_no_work(small_demo, rate, tmp_path):
    """The small scene lies on NRS1; read as an NRS2 exposure, no slit falls on the detector."""
    edit(rate, "DETECTOR", "NRS2")
    edit(rate, "FASTAXIS", -2)
    edit(rate, "SLOWAXIS", -1)
    source = small_demo.place.find_sources()[0]
    cal = tmp_path / f"x_{source}{CAL}"
    code, said = calibrate(rate, cal, source, ensure_cache())
    assert code == 1
    assert "NoWork: its slitlet misses this detector" in said
    assert not cal.exists()


def test_nothing_to_run(nirfire_here, tmp_path):
    done = nirfire_here("run", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "no exposure found" in done.stderr
    done = nirfire_here("run", tmp_path / "none", cwd=tmp_path)
    assert done.returncode == 2
    assert "folder not found" in done.stderr


def test_real_exposures_need_real_references(uncal, run, monkeypatch):
    edit(uncal, "TITLE", "A real programme")
    for key in [key for key in os.environ if key.startswith("CRDS_")]:
        monkeypatch.delenv(key)
    code, said, products = run(uncal.parent)
    assert code == 2
    assert "CRDS_PATH" in said
    assert not products


def test_unknown_stage_is_named(uncal, run):
    code, said, _ = run(uncal.parent, "--to", "polish")
    assert code == 2
    assert "no such stage: polish" in said


def test_summary_of_failed_runs_is_empty_not_broken(uncal, run):
    uncal.write_bytes(b"")
    run(uncal.parent)
    assert len(Table.read(Workspace(uncal.parent.parent / "out", "bad").summary("ecsv"))) == 0


@pytest.mark.parametrize(("option", "value"), [("--grating", "G999M"), ("--nods", 7), ("--size", "vast")])
def test_a_demo_that_cannot_be_leaves_nothing(nirfire_here, tmp_path, option, value):
    done = nirfire_here("demo", option, value, "-w", "demo", cwd=tmp_path)
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "remedy" in done.stderr
    assert not (tmp_path / "demo").exists()
