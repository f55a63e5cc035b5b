"""Real cutouts: the PSF of the flight reference fits their traces, and the extraction is close to the published one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nirfire.core.model_extract import Extraction, extract_model
from nirfire.core.model_picture import Image, picture
from nirfire.products.naming import BKGSUB, CAL, ExposureName
from nirfire.products.spectrum import Spectrum
from nirfire.qa.compare_spectra import collapsed
from nirfire.tasks import extract as task
from nirfire.tasks.adopt import adopt
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.settings import ExtractSettings, NodsubSettings

OBJECTS = {"ceers_933": 933, "rubies_44597": 44597}
LINES = {"ceers_933": 3.435, "rubies_44597": 2.927}  # um, the brightest that is alone: [O III] and H-alpha
SMOOTH = 41
pytestmark = pytest.mark.realdata
Array = NDArray[np.float64]


@pytest.fixture(params=["rubies_44597", pytest.param("ceers_933", marks=pytest.mark.slow)], scope="module")
def fitted(request, real_data, tmp_path_factory) -> tuple[str, Spectrum, Spectrum, Image]:
    """Name, our spectrum, the published one, and a picture whose sky is that of the fit."""
    from stdatamodels.jwst import datamodels

    from nirfire.stsci.slit_loss import SlitLoss

    folder, name = tmp_path_factory.mktemp(request.param), request.param
    cals = []
    for path in sorted((real_data / "nods" / name).glob("*phot*.fits")):
        cals.append(folder / f"{ExposureName.from_path(path)}_{OBJECTS[name]}{CAL}")
        adopt(path, cals[-1])
    nods = [path.with_name(path.name.replace(CAL, BKGSUB)) for path in cals]
    nodsub(cals, nods, NodsubSettings())
    reference = real_data / "crds" / "jwst_nirspec_pathloss_0002.fits"
    psf = SlitLoss(datamodels.PathlossModel(str(reference))).psf()
    spec = folder / "real_spec.fits"
    caught: list[Image] = []

    def seen(frames, psf, edges, priors, *, fit):
        found = extract_model(frames, psf, edges, priors, fit=fit)
        caught.append(with_the_sky_of_the_fit(found, edges))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "find_psf", lambda exposure: (psf, reference.name))
        patch.setattr(task, "extract_model", seen)
        task.extract(nods, spec, OBJECTS[name], ExtractSettings(single=True))
    (published,) = Path(real_data / "nods" / name).glob("*.spec.fits")
    return name, Spectrum.read(spec), Spectrum.read(published), *caught


@pytest.fixture
def extracted(fitted) -> tuple[str, Spectrum, Spectrum]:
    return fitted[:3]


def with_the_sky_of_the_fit(found: Extraction, edges: Array) -> Image:
    """The picture, but for its sky: that of the spectrum's is each nod's by the others, which no nod's residual is in.

    The fit's own takes a third of the residuals away, with three nods.
    """
    pairs = list(zip(found.frames, found.layers, strict=True))
    frames = [replace(f, flux=f.flux - layer.sky, shared=False) for f, layer in pairs]
    return picture(frames, found.layers, edges)


def running(values: Array) -> Array:
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(values, SMOOTH))


def test_the_place_is_that_of_the_plan_and_the_size_that_of_a_small_galaxy(extracted):
    _, ours, _ = extracted
    assert abs(ours.meta["NFOFFSET"][0]) < 0.05  # arcsec; half a pixel
    assert 0.05 < ours.meta["NFSIZE"][0] < 0.12
    assert ours.meta["NFREJECT"][0] < 0.01


def worst_row(spectrum: Spectrum) -> float:
    """Largest residual of a row near the source, over the peak of the model."""
    place, data, model, _ = collapsed(spectrum)
    return float(np.abs(data - model)[np.abs(place) < 4].max())


def test_the_profile_fits(fitted):
    name, ours, _, image = fitted
    assert worst_row(ours) < {"rubies_44597": 0.04, "ceers_933": 0.15}[name]
    known = image.ivar > 0
    err = np.where(known, 1.0 / np.sqrt(np.where(known, image.ivar, 1.0)), np.nan)
    place = {"ypos": np.arange(len(err)) - image.row}
    of_fit = replace(ours, sci=image.flux, err2d=err, model2d=image.model, profiles=place)
    assert worst_row(of_fit) < {"rubies_44597": 0.03, "ceers_933": 0.1}[name]


def test_it_has_the_light_and_the_noise_of_the_published_one(extracted):
    _, ours, published = extracted
    good = ~ours.mask & (ours.wave > 1.2) & (ours.wave < 5.2)
    wave, flux, err = ours.wave[good], ours.flux[good], ours.err[good]
    theirs = np.interp(wave, published.wave[~published.mask], published.flux[~published.mask])
    ratio = running(flux) / np.maximum(running(theirs), 1e-3)
    pull = (flux - ratio * theirs) / err
    assert np.median(np.abs(pull)) < 1.0  # the data are the same, bins and weights are not
    known = ~published.mask
    here = running(np.interp(wave, published.wave[known], published.flux[known] / published.err[known]))
    share = running(flux / err)[here > 2] / here[here > 2]
    assert np.median(share) > 0.9
    assert share.min() > 0.5  # nowhere is the noise much larger


def test_the_line_is_where_it_was(extracted):
    name, ours, published = extracted
    for spectrum in (ours, published):
        near = ~spectrum.mask & (np.abs(spectrum.wave - LINES[name]) < 0.06)
        above = np.maximum(spectrum.flux[near] - np.median(spectrum.flux[~spectrum.mask]), 0.0)
        assert np.sum(above * spectrum.wave[near]) / above.sum() == pytest.approx(LINES[name], abs=0.012)


def test_single_exposures_agree(extracted):
    _, ours, _ = extracted
    assert ours.single is not None
    flux, err = ours.single
    assert len(flux) == 3
    pull = (flux - ours.flux) / err
    width = 1.4826 * np.nanmedian(np.abs(pull))
    assert 0.5 < width < 1.5
