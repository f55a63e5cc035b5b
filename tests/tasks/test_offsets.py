"""The offset of a visit from its sources, against the one they were painted with."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.slit_psf import PITCH
from nirfire.errors import NoWork
from nirfire.products.offsets import Offsets
from nirfire.tasks import offsets as task
from nirfire.tasks.settings import OffsetsSettings
from tests.core.slitlets import psf
from tests.products.cutouts import ROOT, nods, without_sky, write_cals

ARCSEC = 0.03


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three bright sources and a faint one, all off by the same."""
    folder, paths = tmp_path_factory.mktemp("visit"), []
    for source, level in ((11, 60.0), (12, 90.0), (13, 200.0), (14, 0.2)):
        frames = nods(level, offset=ARCSEC / PITCH[1], size=0.02 * (source - 10), seed=source)
        paths += without_sky(write_cals(folder, frames, source=source))
    return paths


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(task, "find_psf", lambda path: (psf(), "a_pathloss.fits"))

    def offsets(paths, **settings):
        table = tmp_path / "a_offsets.fits"
        task.offsets(paths, table, OffsetsSettings(**settings))
        return Offsets.read(table)

    return offsets


def test_the_offset_of_a_visit(run, files):
    found = run(files)
    assert found.root == ROOT
    assert found.offset == pytest.approx(ARCSEC, abs=0.003)
    assert found.scatter < 0.025  # three sources tell it badly
    assert list(found.table["source"]) == [11, 12, 13]  # the faint one does not count
    assert all(found.table["used"])
    pulls = (found.table["offset"] - ARCSEC) / found.table["offset_err"]
    assert np.abs(pulls).max() < 4
    assert (np.diff(found.table["size"]) > 0).all()


def test_too_few_bright_sources(run, files):
    with pytest.raises(NoWork, match="2 sources have a signal-to-noise ratio of 50, it takes 3"):
        run(files[:6])
    with pytest.raises(NoWork, match="it takes 3"):
        run([])


def test_sources_that_are_not_in_their_shutters_do_not_count(run, files, tmp_path):
    copies = []
    for path in files[:9]:
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    for path in copies[:3]:
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["SRCFLUX"] = False
    with pytest.raises(NoWork, match="2 sources"):
        run(copies)


def test_a_cutout_that_lacks_something_is_left_to_its_own_extraction(run, files, tmp_path):
    broken = tmp_path / files[0].name
    broken.write_bytes(files[0].read_bytes())
    with fits.open(broken, mode="update") as hdus:
        del hdus["SLIT_Y"]
    with pytest.raises(NoWork, match="2 sources"):
        run([broken, *files[3:9]])
