"""A small synthetic workspace with everything a report reads, made without the stock pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.products.naming import BKGSUB, CAL, RATE, SPEC, ZFIT, ExposureName, Workspace
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.truth import Truth
from nirfire.simulate import truth
from nirfire.simulate.scene import demo_scene

RANGE = (0.6, 5.3)
N_SPAT, N_WAVE = 12, 400
ROOT = "jw09999001001_02101"
FACTORS = {101: 0.95, 103: 0.70, 105: 1.00}
FITTED = {101: 0.5, 103: 3.004, 105: 4.51}  # both galaxies are right within 0.003 (1 + z)


@pytest.fixture(scope="session")
def truth_folder(tmp_path_factory):
    """Truth tables of the small demo scene."""
    folder = tmp_path_factory.mktemp("truth")
    scene = demo_scene("small")
    sky = {s.source_id: (53.0, -27.0) for _, s in scene.sources()}
    detectors = {s.slitlet_id: "NRS1" for s in scene.slitlets}
    truth.write_table(folder / truth.CATALOGUE, truth.catalogue(scene, sky, detectors))
    truth.write_table(folder / truth.LINES, truth.lines(scene))
    truth.write_table(folder / truth.STUCK, truth.stuck(scene, 3))
    truth.write_spectra(folder / truth.SPECTRA, scene, "PRISM", RANGE)
    return folder


@pytest.fixture(scope="session")
def wave():
    return np.geomspace(0.62, 5.2, N_WAVE)


@pytest.fixture(scope="session")
def make_spectrum(truth_folder, wave):
    """Spectrum of a source: its truth times a factor, with errors of 2 % of the median flux."""

    def build(source, factor=1.0, seed=1):
        true = Truth.read(truth_folder).on_grid(source, wave, "PRISM")
        err = np.full(wave.shape, 0.02 * np.median(true))
        flux = factor * true + np.random.default_rng(seed).normal(0, err)
        mask = np.zeros(wave.shape, dtype=bool)
        mask[:3] = True
        flux[mask] = np.nan
        row = np.arange(N_SPAT) - 6.0
        profile = np.exp(-0.5 * (row / 1.2) ** 2)
        return Spectrum(
            wave=wave,
            flux=flux,
            err=np.where(mask, np.nan, err),
            mask=mask,
            boxes={3: (0.9 * flux, err)},
            sci=profile[:, None] / profile.sum() * flux,
            err2d=np.full((N_SPAT, N_WAVE), err[0]),
            wave2d=np.broadcast_to(wave, (N_SPAT, N_WAVE)),
            weight=np.ones((N_SPAT, N_WAVE)),
            profiles={"ypos": row, "opt": profile, "3px": (np.abs(row) < 2).astype(float)},
            exposures=Table({"filename": ["a", "b", "c"]}),
            meta={
                "SOURCEID": (source, ""),
                "GRATING": ("PRISM", ""),
                "FILTER": ("CLEAR", ""),
                "SRCROW": (6.0, ""),
                "EXPTIME": (1000.0, ""),
                "NFPROFIL": ("measured", ""),
            },
        )

    return build


@pytest.fixture(scope="session")
def make_fit(wave):
    def build(z, model):
        grid = np.arange(0.0, 12.0, 0.002)
        chi2 = 400.0 + 900.0 * (1 - np.exp(-0.5 * ((grid - z) / 0.01) ** 2))
        peaks = Table({"z": [z, z + 1], "z_err": [0.001, 0.01], "chi2": [400.0, 900.0], "dchi2": [0.0, 500.0]})
        return RedshiftFit(z, 0.001, 0.99, 400.0, wave.size, wave, model, grid, chi2, peaks, {})

    return build


def write_cal(path, level):
    """A calibrated cutout without WCS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    primary = fits.PrimaryHDU()
    for key, value in (("GRATING", "PRISM"), ("FILTER", "CLEAR"), ("PATT_NUM", 1), ("STKSHTRS", "2")):
        primary.header[key] = value
    shape = (N_SPAT, N_WAVE)
    noise = np.random.default_rng(3).normal(level, 1e-13, shape).astype(np.float32)
    planes = {"SCI": noise, "ERR": np.full(shape, 1e-13, np.float32), "DQ": np.zeros(shape, np.uint32)}
    planes |= {n: np.full(shape, 1e-26, np.float32) for n in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")}
    planes["WAVELENGTH"] = np.broadcast_to(np.geomspace(0.6, 5.3, N_WAVE), shape).astype(np.float32)
    hdus = fits.HDUList([primary, *(fits.ImageHDU(v, name=k) for k, v in planes.items())])
    for key, value in (("BUNIT", "MJy"), ("SLTSTRT1", 100), ("SLTSTRT2", 900), ("SLITID", 7), ("MSAQUAD", 3)):
        hdus["SCI"].header[key] = value
    hdus.writeto(path)


def write_rate(path):
    """A cleaned exposure of 256 x 256 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    shape = (256, 256)
    mask = np.ones(shape, np.uint8)
    mask[100:120] = 0
    primary = fits.PrimaryHDU()
    for key, value in (("DETECTOR", "NRS1"), ("GRATING", "PRISM"), ("NFVSCALE", 1.1), ("NFSKYPIX", 0.9)):
        primary.header[key] = value
    planes = {
        "SCI": rng.normal(0, 0.02, shape).astype(np.float32),
        "ERR": np.full(shape, 0.02, np.float32),
        "BKG": np.tile(np.linspace(0, 0.1, 256, dtype=np.float32), (256, 1)),
        "BKGMASK": mask,
    }
    fits.HDUList([primary, *(fits.ImageHDU(v, name=k) for k, v in planes.items())]).writeto(path)


@pytest.fixture(scope="session")
def fill_workspace(make_spectrum, make_fit, truth_folder, wave):
    """Three sources with spectra, fits and cutouts, and one cleaned exposure."""
    table = Truth.read(truth_folder)

    def fill(folder):
        place = Workspace(folder, "obs")
        name = ExposureName(f"{ROOT}_00001_nrs1")
        write_rate(place.exposure(name, RATE))
        for source, factor in FACTORS.items():
            write_cal(place.slit(name, source, CAL), 2e-12)
            write_cal(place.slit(name, source, BKGSUB), 0.0)
            make_spectrum(source, factor).write(place.combined(source, "PRISM", "CLEAR", SPEC))
            model = factor * table.on_grid(source, wave, "PRISM")
            make_fit(FITTED[source], model).write(place.combined(source, "PRISM", "CLEAR", ZFIT))
        return place

    return fill


@pytest.fixture
def workspace(tmp_path, fill_workspace):
    """A workspace of one's own, to be damaged."""
    return fill_workspace(tmp_path / "ws")
