"""The page of an extraction: its arithmetic, and that it is drawn whatever the product lacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from nirfire.products.joint import JointSpectrum
from nirfire.qa.extraction_figure import difference_in_sigma, extraction_figure, mean_profile
from nirfire.qa.joint_figure import joint_figure
from nirfire.qa.spectrum_figures import spectrum_figure


@pytest.fixture
def whole(make_spectrum, wave):
    """With everything that the model method gives."""
    spectrum = make_spectrum(103)
    share = np.full(wave.shape, 0.9)
    return replace(
        spectrum,
        model2d=np.nan_to_num(spectrum.sci) * 1.01,
        apertures={3: share},
        slitloss=0.95 * share,
        slitloss_err=0.01 * share,
    )


def test_the_profile_is_that_of_the_light(whole):
    mean, err = mean_profile(whole, np.array(whole.sci))
    expected = whole.profiles["opt"] / whole.profiles["opt"].sum() * np.nanmean(whole.flux)
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    np.testing.assert_allclose(err, whole.err2d[0, 0] / np.sqrt((~whole.mask).sum()))
    model, _ = mean_profile(whole, whole.model2d)
    np.testing.assert_allclose(model, 1.01 * mean)


def test_a_boxcar_differs_by_what_its_extra_noise_is(make_spectrum):
    rng = np.random.default_rng(1)
    spectrum = make_spectrum(103)
    good = ~spectrum.mask
    noise = 0.6 * spectrum.err
    box = spectrum.flux + np.where(good, rng.normal(0, np.where(good, noise, 1.0)), np.nan)
    spectrum = replace(spectrum, boxes={5: (box, np.hypot(spectrum.err, noise))})
    pull = difference_in_sigma(spectrum, 5)
    assert np.isnan(pull[~good]).all()
    assert 0.9 < np.std(pull[good]) < 1.1
    same = replace(spectrum, boxes={5: (spectrum.flux, spectrum.err)})
    assert np.nanmax(np.abs(difference_in_sigma(same, 5))) == 0


def test_the_page_is_drawn(whole, tmp_path):
    from PIL import Image

    tall, low = tmp_path / "model.png", tmp_path / "horne.png"
    assert extraction_figure(whole, tall, "103 PRISM") == tall
    extraction_figure(replace(whole, model2d=None, apertures={}, slitloss=None, slitloss_err=None), low, "103 PRISM")
    sizes = [Image.open(path).size for path in (tall, low)]
    assert sizes[0][1] > sizes[1][1] > 700, "a panel less without a model"


def test_it_is_drawn_whatever_is_missing(whole, wave, tmp_path):
    nothing = np.full(wave.shape, np.nan)
    bare = replace(
        whole,
        flux=nothing,
        err=nothing,
        mask=np.ones(wave.shape, bool),
        boxes={3: (nothing, nothing)},
        sci=np.full((12, wave.size), np.nan),
        model2d=None,
        err2d=None,
        profiles={},
        exposures=None,
        meta={"SOURCEID": (103, ""), "GRATING": ("PRISM", "")},
    )
    assert extraction_figure(bare, tmp_path / "a.png", "a").is_file()
    assert extraction_figure(replace(bare, boxes={}, model2d=bare.sci), tmp_path / "b.png", "b").is_file()
    assert extraction_figure(replace(bare, sci=None), tmp_path / "c.png", "c") is None
    scaled = replace(whole, scale=np.full(wave.shape, 1.1), scale_err=np.full(wave.shape, 0.1))
    assert spectrum_figure(scaled, tmp_path / "d.png", title="d").is_file()


def test_a_joint_spectrum_is_drawn(wave, tmp_path):
    flux = 1 + 0.1 * wave
    grating = np.where(wave > 2.9, 9, 1)
    modes = Table(
        {"grating": ["PRISM", "G395M"], "reference": [True, False], "scale": [1, 1.1], "scale_err": [0, 0.02]}
    )
    ones = np.ones(wave.shape)
    joint = JointSpectrum(wave, flux, 0.1 * flux, wave > 5, grating, 100 * ones, ones, 0.1 * ones, modes, {})
    assert joint_figure(joint, tmp_path / "a.png", "7").stat().st_size > 5000
    nothing = replace(joint, mask=np.ones(wave.shape, bool), grating=0 * grating)
    assert joint_figure(nothing, tmp_path / "b.png", "7").is_file()
