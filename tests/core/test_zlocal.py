"""A spectrum that a person asks about is prepared as for its fit over all redshifts, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core import zlocal, zscan
from nirfire.products.template_store import load_templates

from .test_zscan import OPTIONS, galaxy, prism_grid


@pytest.fixture(scope="module")
def spectra():
    """Three spectra with gaps, the second without enough pixels, on a grid that has two pixels without wavelength."""
    wave = np.concatenate([[np.nan], prism_grid(), [np.nan]])
    draw = np.random.default_rng(4)
    flux = np.array([np.pad(galaxy(wave[1:-1], "PRISM", z), 1) for z in (2.5, 3.0, 5.0)])
    flux += draw.normal(0, 0.02, flux.shape)
    ivar = np.where(draw.random(flux.shape) < 0.05, 0.0, 2500.0)
    ivar[1, 15:] = 0.0
    return wave, flux, ivar


def arrays(given):
    """Every number of a nested tuple, as bytes."""
    if isinstance(given, tuple):
        return [one for part in given for one in arrays(part)]
    return [np.asarray(given).tobytes()]


def test_ready_is_what_the_fit_of_many_makes(spectra, monkeypatch):
    wave, flux, ivar = spectra
    made = []
    monkeypatch.setattr(zscan, "finish", lambda shared, one, curve, settings: made.append(one))
    found = zscan.fit_redshifts(wave, flux[:1], ivar[:1], grating="prism", templates=load_templates(), options=OPTIONS)
    assert found == [None]
    mine = zlocal.ready(wave, flux[0], ivar[0], grating="prism", templates=load_templates(), options=OPTIONS)
    assert arrays(mine.one[:-1]) == arrays(made[0][:-1])
    assert mine.one.correlation is None


def test_near_the_whole_range_it_is_the_fit(spectra):
    wave, flux, ivar = spectra
    given = {"grating": "PRISM", "templates": load_templates(), "options": OPTIONS}
    whole = zscan.fit_redshift(wave, flux[2], ivar[2], **given)
    near = zlocal.fit_near(zlocal.ready(wave, flux[2], ivar[2], **given), 5.0, 10.0)
    assert (near.z_best, near.chi2_min, near.z_err) == (whole.z_best, whole.chi2_min, whole.z_err)
    assert np.array_equal(near.model, whole.model, equal_nan=True)


def test_what_cannot_be_fitted_is_told_alike(spectra):
    wave, flux, ivar = spectra
    given = {"templates": load_templates(), "options": OPTIONS}
    several = zscan.fit_redshifts(wave, flux, ivar, grating="PRISM", **given)
    assert [isinstance(one, ValueError) for one in several] == [False, True, False]
    with pytest.raises(ValueError, match=str(several[1])):
        zlocal.ready(wave, flux[1], ivar[1], grating="PRISM", **given)
    with pytest.raises(ValueError, match="unknown grating 'G900M'"):
        zlocal.ready(wave, flux[0], ivar[0], grating="G900M", **given)
