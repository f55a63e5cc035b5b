"""The task shutters: on simulated count rates, on real cutouts, and on real cutouts with a shutter that is shut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError, NoWork
from nirfire.products.shutters import ShutterTable, read_closed
from nirfire.simulate.cache_place import cache_environment
from nirfire.simulate.crds_cache import ensure_cache
from nirfire.stsci.shutter_images import SlitPixels, read_cutout
from nirfire.tasks import shutters as task
from nirfire.tasks.settings import ShuttersSettings
from nirfire.tasks.shutters import shutters

REPOSITORY = Path(__file__).parents[2]
OBJECTS = ("ceers_933", "rubies_44597")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the probe says."""
    command = [sys.executable, "-m", "tests.tasks.shutters_probe", str(tmp_path_factory.mktemp("shutters"))]
    environment = {**os.environ, **cache_environment(ensure_cache())}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
class TestRates:
    def test_stuck_shutters_are_closed_for_their_sources(self, found):
        assert found["three"]["closed"] == {"12": [3], "15": [1, 2, 3]}

    def test_one_exposure_is_enough(self, found):
        assert found["one"]["closed"] == {"12": [3], "15": [1, 2, 3]}

    def test_every_source_of_a_slitlet_has_verdicts(self, found):
        rows = {(r[0], r[2]): r for r in found["three"]["verdicts"]}
        assert [rows[30, k][3:] for k in (1, 2, 3)] == [rows[11, k][3:] for k in (1, 2, 3)]
        assert [rows[11, k][3:6] for k in (1, 2, 3)] == [[3, 100, 19], [3, 100, 20], [3, 100, 21]]

    def test_levels(self, found):
        for source, _, ordinal, *_, level, error, state in found["three"]["verdicts"]:
            shut = (source, ordinal) in ((12, 3), (15, 1), (15, 2), (15, 3))
            assert state == ("closed" if shut else "open")
            assert abs(level) < 4 * error if shut else level > 0.8

    def test_where_sources_are(self, found):
        mine = {(exposure[-10:-5], ordinal) for exposure, source, ordinal in found["three"]["sourced"] if source == 13}
        assert mine == {("00001", 2), ("00002", 1), ("00003", 3)}
        assert found["three"]["n_images"] == 3 * 8


class Cutouts:
    """The three real cutouts of a source, some shutters of which let only a little of the light through."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("jw*_phot*.fits"))
        self.pixels = {path: read_cutout(path) for path in self.paths}

    def verdicts(
        self, table: Path, share: float, *ordinals: int, nods: slice = slice(None), open_fraction: float = 0.5
    ) -> Table:
        """What is found in some nods when some shutters pass a share of the light."""

        def read(path: Path) -> SlitPixels:
            pixels = self.pixels[path]
            value, rng = pixels.value.copy(), np.random.default_rng(3)
            for ordinal in ordinals:
                inside = np.abs(pixels.y - pixels.slit.columns[ordinal - 1]) < 0.5
                noise = np.sqrt(pixels.variance[inside] * (1 - share**2)) * rng.standard_normal(inside.sum())
                value[inside] = share * value[inside] + noise
            return pixels._replace(value=value)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(task, "read_cutout", read)
            shutters(self.paths[nods], table, ShuttersSettings(open_fraction=open_fraction))
        found = ShutterTable.read(table).verdicts
        assert read_closed(table) == ({int(found["source"][0]): c} if (c := closed(found)) else {})
        return found


def closed(verdicts: Table) -> tuple[int, ...]:
    return tuple(int(k) for k in verdicts["ordinal"][verdicts["closed"]])


@pytest.fixture(scope="module", params=OBJECTS)
def cutouts(request: pytest.FixtureRequest, real_data: Path) -> Cutouts:
    return Cutouts(real_data / "nods" / request.param)


@pytest.mark.usefixtures("quick_disk")
class TestRealCutouts:
    def test_no_shutter_is_flagged(self, cutouts, tmp_path):
        for nods in (slice(None), slice(0, 2), slice(1, 3), slice(0, 1), slice(1, 2), slice(2, 3)):
            found = cutouts.verdicts(tmp_path / "x_shutters.fits", 1.0, nods=nods)
            assert set(found["state"]) == {"open"}

    @pytest.mark.parametrize("ordinals", [(1,), (2,), (3,), (1, 3)])
    def test_a_shutter_that_is_shut_is_found(self, cutouts, tmp_path, ordinals):
        for share, nods in ((0.05, slice(None)), (0.0, slice(0, 2))):
            assert closed(cutouts.verdicts(tmp_path / "x_shutters.fits", share, *ordinals, nods=nods)) == ordinals

    def test_a_shutter_with_less_than_half_of_the_light(self, cutouts, tmp_path):
        table = tmp_path / "x_shutters.fits"
        found = cutouts.verdicts(table, 0.4, 3, open_fraction=0.3)
        assert list(found["state"]) == ["open", "open", "vignetted"]
        assert found["level"][2] == pytest.approx(0.4, abs=0.05)
        assert closed(found) == ()
        assert closed(cutouts.verdicts(table, 0.4, 3)) == (3,)


def test_without_detection_nothing_is_closed(tmp_path, quick_disk):
    table = tmp_path / "x_shutters.fits"
    shutters([tmp_path / "absent_rate.fits"], table, ShuttersSettings(detect=False))
    assert read_closed(table) == {}
    assert ShutterTable.read(table).sources == []


def test_what_cannot_be_used_is_said(tmp_path):
    with pytest.raises(DataError, match="does not begin with that of an exposure"):
        shutters([tmp_path / "some.fits"], tmp_path / "t.fits", ShuttersSettings())
    path = tmp_path / "jw01345062001_03101_00001_nrs2_phot.fits"
    fits.HDUList([fits.PrimaryHDU()]).writeto(path)
    with pytest.raises(DataError, match="SCI is missing"):
        shutters([path], tmp_path / "t.fits", ShuttersSettings())
    with pytest.raises(NoWork):
        shutters([], tmp_path / "t.fits", ShuttersSettings())
