"""Blind fits of real spectra with trusted redshifts; thresholds sit below what was measured, they guard, not tune."""

import csv

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core import zscan
from nirfire.products.template_store import load_templates

pytestmark = pytest.mark.realdata
OPTIONS = zscan.ScanOptions(lines=False)


def spectra(folder, grating):
    with (folder / "spectra" / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["grating"] == grating and not row["flag"]]
    for row in rows:
        table = fits.getdata(folder / "spectra" / row["file"], 1)
        wave, flux, err = (np.asarray(table[name], dtype=float) for name in ("wave", "flux", "err"))
        good = np.isfinite(flux) & np.isfinite(err) & (err > 0)
        ivar = np.where(good, np.where(good, err, 1.0) ** -2.0, 0.0)
        yield float(row["z"]), wave, np.where(good, flux, 0.0), ivar


def offsets(folder, grating, *, noise=1.0, every=1):
    grids = {}
    for seed, (z, wave, flux, ivar) in enumerate(spectra(folder, grating)):
        if seed % every:
            continue
        good = ivar > 0
        extra = np.zeros(flux.size)
        extra[good] = np.sqrt((noise**2 - 1) / ivar[good])
        flux = flux + np.random.default_rng(seed).normal(size=flux.size) * extra
        grids.setdefault(wave.tobytes(), []).append((z, wave, flux, ivar / noise**2))
    out, sure = [], []
    for group in grids.values():
        truth, waves, flux, ivar = (np.array(one) for one in zip(*group, strict=True))
        found = zscan.fit_redshifts(waves[0], flux, ivar, grating=grating, templates=load_templates(), options=OPTIONS)
        out += [(r.z_best - z) / (1 + z) for r, z in zip(found, truth, strict=True)]
        sure += [r.probability for r in found]
    wrong = np.abs(out) > 0.01
    doubt = float(np.mean(np.array(sure)[wrong])) if wrong.any() else 0.0
    return np.abs(out), float(np.median(out)), doubt


def test_prism_sample(real_data):
    offset, median, _ = offsets(real_data, "PRISM")
    assert offset.size >= 70
    assert np.mean(offset < 0.01) >= 0.98
    assert np.mean(offset < 0.003) >= 0.96
    assert abs(median) < 5e-4


def test_prism_sample_with_eight_times_the_noise(real_data):
    offset, _, doubt = offsets(real_data, "PRISM", noise=8.0, every=2)
    assert np.mean(offset < 0.01) >= 0.75
    assert doubt < 0.5


def test_medium_grating_spectra(real_data):
    offset, _, _ = offsets(real_data, "G395M", every=5)
    assert np.all(offset < 0.003)


@pytest.mark.slow
@pytest.mark.parametrize("grating", ["G395M", "G235M"])
def test_all_medium_grating_spectra(real_data, grating):
    offset, median, doubt = offsets(real_data, grating)
    assert np.mean(offset < 0.01) >= 0.9
    assert abs(median) < 2e-3
    assert doubt < 0.5
