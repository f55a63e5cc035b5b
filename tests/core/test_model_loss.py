"""Loss at the shutters, and errors of flux that come from the shape."""

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.model_extract import extract_model
from nirfire.core.model_fit import Prior, Shape
from nirfire.core.model_loss import shape_error, slit_loss
from tests.core.slitlets import blank, grid, lit, psf

PSF = psf()
WAVE = np.linspace(1.0, 1.5, 12)
N_WAVE = 60


def shape(offset=0.0, size=0.0, errors=(0.01, 0.02)):
    return Shape(offset, size, np.diag(np.square(errors)))


def centred(x=0.0, y=0.0):
    """One nod, the source in the middle one of three shutters."""
    return blank(1, sources=np.array([[[x, 50.0 + y]]]))


def test_a_centred_point_loses_nothing():
    loss, err = slit_loss([centred()], PSF, shape(), WAVE)
    np.testing.assert_allclose(loss, 1.0, rtol=1e-3)
    assert (err >= 0).all()


@pytest.mark.parametrize("x, y, size", [(0.3, 0.0, 0.0), (0.1, 0.4, 0.1), (0.0, -0.2, 0.3)])
def test_the_loss_is_that_of_the_psf(x, y, size):
    found, _ = slit_loss([centred(x)], PSF, shape(y, size), WAVE)
    wanted = PSF.passed(x, y, size, (-1, 0, 1)) / PSF.passed(0, 0, 0, (-1, 0, 1))
    np.testing.assert_allclose(found, np.interp(WAVE, PSF.wave, wanted), rtol=2e-3)


def test_the_loss_is_the_mean_over_the_nods_that_have_the_source():
    one = blank()
    missing = one.sources.copy()
    missing[0, 2] = np.nan
    parts = [slit_loss([blank(1, sources=one.sources[:, k : k + 1])], PSF, shape(), WAVE)[0] for k in (0, 1)]
    found, _ = slit_loss([replace(one, sources=missing)], PSF, shape(), WAVE)
    np.testing.assert_allclose(found, np.mean(parts, axis=0), rtol=1e-9)


def test_the_error_is_the_scatter_of_the_loss():
    one, rng = shape(0.2, 0.2, (0.02, 0.02)), np.random.default_rng(1)
    _, err = slit_loss([centred()], PSF, one, WAVE)
    draws = [
        slit_loss([centred()], PSF, shape(*rng.multivariate_normal((0.2, 0.2), one.covariance)), WAVE)[0]
        for _ in range(60)
    ]
    np.testing.assert_allclose(err, np.std(draws, axis=0), rtol=0.35)


def test_the_flux_error_of_the_shape_is_the_scatter_of_fluxes():
    """Wrong shapes, drawn from the errors of the right one, make fluxes wrong by as much as is said."""
    frames = lit(blank(), PSF, np.full((1, 21, N_WAVE), 1e3), offset=0.05, size=0.15)
    errors = (0.01, 0.01)
    found = extract_model([frames], PSF, grid(), [Prior(0.05, errors[0], 0.15, errors[1])], fit=False)
    said = shape_error([frames], PSF, grid(), found)
    rng, draws = np.random.default_rng(2), []
    for _ in range(40):
        offset, size = rng.normal((0.05, 0.15), errors)
        wrong = extract_model([frames], PSF, grid(), [Prior(offset, *errors[:1], size, errors[1])], fit=False)
        draws.append(wrong.solution.flux[0] / 1e3)
    np.testing.assert_allclose(said, np.std(draws, axis=0), rtol=0.4)
    assert 0.002 < said.mean() < 0.1


def test_no_information_has_no_error_of_the_shape():
    good = np.ones((3, 21, N_WAVE), dtype=bool)
    good[:, :, 5:9] = False
    frames = lit(blank(good=good), PSF, np.full((1, 21, N_WAVE), 1e3))
    found = extract_model([frames], PSF, grid(), [Prior()], fit=False)
    said = shape_error([frames], PSF, grid(), found)
    assert np.isfinite(said).all()
    assert not said[5:9].any()
