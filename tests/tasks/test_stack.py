"""What the stock Spec3 is asked to do."""

import pytest
from astropy.io import fits

from nirfire.errors import NoWork
from nirfire.tasks import stack as task
from nirfire.tasks.settings import StackSettings


@pytest.fixture
def asked(monkeypatch):
    """The cutouts and step parameters that the stock pipeline gets; it gives a file of a few bytes."""
    calls = []

    def run(cals, folder, product, steps):
        calls.append((cals, product, steps))
        path = folder / f"{product}_s2d.fits"
        path.write_bytes(b"stack")
        return path

    monkeypatch.setattr(task, "run_spec3", run)
    return calls


def cutouts(folder, n, detectors=("nrs1", "nrs2"), **cards):
    paths = [
        folder / f"jw00001001001_02101_0000{k}_{detector}_7_cal_bkgsub.fits"
        for k in range(1, n + 1)
        for detector in detectors
    ]
    for path in paths:
        fits.PrimaryHDU(header=fits.Header(cards)).writeto(path)
    return paths


@pytest.mark.parametrize(("n", "skipped"), [(2, True), (3, True), (4, False), (5, False)])
def test_outliers_are_looked_for_where_there_are_enough_exposures(asked, tmp_path, n, skipped):
    inputs, s2d = cutouts(tmp_path, n), tmp_path / "obs_prism_clear_7_s2d.fits"
    task.stack(inputs, s2d, StackSettings())
    ((cals, product, steps),) = asked
    assert (cals, product) == (inputs, "obs_prism_clear_7")
    assert steps == {"outlier_detection": {"skip": skipped}}
    assert s2d.read_bytes() == b"stack"


def test_what_is_set_wins_and_weights_can_be_chosen(asked, tmp_path):
    given = {"outlier_detection": {"skip": False, "snr": "6.0 5.0"}, "resample_spec": {"weight_type": "exptime"}}
    task.stack(cutouts(tmp_path, 3, ("nrs1",)), tmp_path / "a_s2d.fits", StackSettings(steps=given))
    assert asked[0][2] == given


def test_cutouts_without_the_source_are_left_out(asked, tmp_path):
    with pytest.raises(NoWork):
        task.stack(cutouts(tmp_path, 3, SRCFLUX=False), tmp_path / "a_s2d.fits", StackSettings())
    assert asked == []
