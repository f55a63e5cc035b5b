"""Blind fits of real spectra with trusted redshifts; thresholds sit below what was measured, they guard, not tune."""

import csv

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core import zscan
from nirfire.products.template_store import load_templates

pytestmark = pytest.mark.realdata


def spectra(folder, grating):
    with (folder / "spectra" / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["grating"] == grating and not row["flag"]]
    for row in rows:
        table = fits.getdata(folder / "spectra" / row["file"], 1)
        wave, flux, err = (np.asarray(table[name], dtype=float) for name in ("wave", "flux", "err"))
        good = np.isfinite(flux) & np.isfinite(err) & (err > 0)
        ivar = np.where(good, np.where(good, err, 1.0) ** -2.0, 0.0)
        yield float(row["z"]), wave, flux, ivar


def offsets(folder, grating, *, noise=1.0, every=1):
    out = []
    for seed, (z, wave, flux, ivar) in enumerate(spectra(folder, grating)):
        if seed % every:
            continue
        if noise > 1:
            good = ivar > 0
            extra = np.zeros(flux.size)
            extra[good] = np.sqrt((noise**2 - 1) / ivar[good])
            flux = flux + np.random.default_rng(seed).normal(size=flux.size) * extra
            ivar = ivar / noise**2
        result = zscan.fit_redshift(wave, flux, ivar, grating=grating, templates=load_templates())
        out.append((result.z_best - z) / (1 + z))
    return np.abs(out), float(np.median(out))


def test_prism_sample(real_data):
    offset, median = offsets(real_data, "PRISM")
    assert offset.size >= 70
    assert np.mean(offset < 0.01) >= 0.98
    assert np.mean(offset < 0.003) >= 0.96
    assert abs(median) < 5e-4


def test_prism_sample_with_eight_times_the_noise(real_data):
    offset, _ = offsets(real_data, "PRISM", noise=8.0, every=2)
    assert np.mean(offset < 0.01) >= 0.75


def test_medium_grating_spectra(real_data):
    offset, _ = offsets(real_data, "G395M", every=5)
    assert np.all(offset < 0.003)


@pytest.mark.slow
@pytest.mark.parametrize("grating", ["G395M", "G235M"])
def test_all_medium_grating_spectra(real_data, grating):
    offset, median = offsets(real_data, grating)
    assert np.mean(offset < 0.01) >= 0.9
    assert abs(median) < 2e-3
