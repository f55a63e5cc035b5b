"""join: files of several gratings in, one spectrum out that other tools read."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.core.grids import wave_grid
from nirfire.errors import DataError, NoWork
from nirfire.products.joint import JointSpectrum
from nirfire.products.spectrum import Spectrum
from nirfire.tasks.join import join
from nirfire.tasks.settings import JoinSettings

FILTERS = {"PRISM": "CLEAR", "G395M": "F290LP", "G140M": "F100LP"}


@pytest.fixture
def observe(tmp_path):
    """Write a spectrum of 2 uJy times a factor, with a masked gap."""

    def build(grating, factor=1.0, sn=20.0, **cards):
        wave = wave_grid(grating, FILTERS[grating]).wave
        err = np.full(wave.shape, 2.0 / sn)
        flux = 2.0 * factor + np.random.default_rng(len(wave)).normal(0, err)
        gap = (wave > 3.5) & (wave < 3.6)
        flux[gap] = np.nan
        meta = {
            "SOURCEID": (7, ""),
            "GRATING": (grating, ""),
            "FILTER": (FILTERS[grating], ""),
            "CRDS_CTX": ("j.pmap", ""),
        }
        path = tmp_path / f"obs_{grating.lower()}_7_x.fits"
        Spectrum(wave, flux, np.where(gap, np.nan, err), gap, meta=meta | cards).write(path)
        return path

    return build


def test_two_gratings_become_one(observe, tmp_path):
    out = tmp_path / "joint.fits"
    join([observe("G395M", 0.92), observe("PRISM")], out, JoinSettings())
    joint = JointSpectrum.read(out)
    assert list(joint.modes["grating"]) == ["G395M", "PRISM"]
    assert list(joint.modes["reference"]) == [False, True]
    scale, error = joint.modes["scale"][0], joint.modes["scale_err"][0]
    assert abs(scale - 1 / 0.92) < 4 * error < 0.05
    good = ~joint.mask
    assert set(joint.grating[good]) == {1, 8}
    pull = (joint.flux - 2.0)[good] / joint.err[good]
    assert abs(pull.mean()) < 0.3
    assert (joint.mask == ~np.isfinite(joint.flux)).all()
    assert (joint.mask == ~(joint.err > 0)).all()
    assert joint.meta["NFJOIN"][0] == "PRISM CLEAR"
    assert joint.meta["CRDS_CTX"][0] == "j.pmap"


def test_others_read_it_as_a_spectrum(observe, tmp_path):
    out = tmp_path / "joint.fits"
    join([observe("G395M"), observe("PRISM")], out, JoinSettings())
    spectrum = Spectrum.read(out)
    assert spectrum.grating == "JOINT"
    assert (np.diff(spectrum.wave) > 0).all()
    table = Table(fits.open(out)["SPEC1D"].data)
    names = ["wave", "flux", "err", "mask", "grating", "resolution", "scale", "scale_err"]
    assert table.colnames[:8] == names
    header = fits.getheader(out, "SPEC1D")
    assert [header[f"TUNIT{k}"] for k in (1, 2, 3)] == ["um", "uJy", "uJy"]
    assert all(f"TUCD{k}" in header for k in range(1, len(table.colnames) + 1))


def test_the_reference_can_be_chosen(observe, tmp_path):
    out = tmp_path / "joint.fits"
    files = [observe("G395M", 0.92), observe("PRISM")]
    join(files, out, JoinSettings(reference="g395m"))
    joint = JointSpectrum.read(out)
    assert list(joint.modes["reference"]) == [True, False]
    assert joint.modes["scale"][1] == pytest.approx(0.92, abs=0.02)
    with pytest.raises(DataError, match="no spectrum of G235M"):
        join(files, out, JoinSettings(reference="G235M"))


def test_without_overlap_the_scale_is_a_guess_and_says_so(observe, tmp_path):
    out = tmp_path / "joint.fits"
    join([observe("G395M", sn=9.0), observe("G140M")], out, JoinSettings())
    row = JointSpectrum.read(out).modes[0]
    assert (row["n_bins"], row["scale"], row["scale_err"]) == (0, 1.0, 0.1)


def test_one_grating_is_no_work(observe, tmp_path):
    with pytest.raises(NoWork, match="needs two"):
        join([observe("PRISM")], tmp_path / "x.fits", JoinSettings())
    strange = observe("G395M", GRATING=("MIRROR", ""))
    with pytest.raises(DataError, match="MIRROR"):
        join([strange, observe("PRISM")], tmp_path / "x.fits", JoinSettings())
    with pytest.raises(DataError, match="not a joint"):
        JointSpectrum.read(strange)
