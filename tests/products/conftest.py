"""A spectrum, a redshift fit, a stock file, and a provenance to stamp them with."""

import json

import numpy as np
import pytest
from astropy.table import Table

from nirfire.products.provenance import Provenance
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit

FACTS = {
    "task": "clean 1",
    "settings": {"n_iter": 3, "boxes": [1, 2], "steps": {"jump": {"rejection": 4.5}}, "mode": "auto", "rows": None},
    "arguments": {"source": 7, "closed": []},
    "inputs": {"jw01345062001_03101_00001_nrs2_rateraw.fits": "0123456789abcdef"},
    "jwst": "3.0.0",
    "crds": "jwst_1234.pmap",
}


@pytest.fixture
def provenance():
    return Provenance(json.dumps(FACTS), "fedcba9876543210", "logs/clean/x.log")


@pytest.fixture
def spectrum():
    wave = np.linspace(1, 5, 50)
    flux, err = np.sin(wave) + 2, np.full(50, 0.1)
    mask = np.zeros(50, dtype=bool)
    mask[3] = True
    flux[3] = err[3] = np.nan
    return Spectrum(
        wave=wave,
        flux=flux,
        err=err,
        mask=mask,
        boxes={3: (flux * 0.8, err * 1.2), 5: (flux * 0.9, err * 1.4)},
        sci=np.ones((9, 50)),
        err2d=np.ones((9, 50)),
        wave2d=np.broadcast_to(wave, (9, 50)),
        weight=np.ones((9, 50)),
        profiles={"ypos": np.arange(9.0), "opt": np.ones(9) / 9, "3px": np.ones(9) / 9},
        exposures=Table({"filename": ["a.fits"], "exptime": [10.0]}),
        meta={
            "SOURCEID": (7, "number"),
            "SRCNAME": ("1345_7", ""),
            "GRATING": ("PRISM", ""),
            "FILTER": ("CLEAR", ""),
            "RA": (214.9, "[deg]"),
            "DEC": (52.9, "[deg]"),
            "CRDS_CTX": ("jwst_1234.pmap", "CRDS context"),
            "R_SFLAT": ("crds://jwst_nirspec_sflat_0001.fits", "S-flat"),
            "R_AREA": ("N/A", "area"),
        },
    )


@pytest.fixture
def fit():
    return RedshiftFit(
        z=4.2341,
        z_err=3e-4,
        confidence=0.99,
        chi2_min=300.0,
        n_pix=310,
        wave=np.array([1.0, 2.0]),
        model=np.array([1.0, np.nan]),
        z_grid=np.array([0.0, 4.2341, 9.0]),
        chi2=np.array([900.0, 300.0, 800.0]),
        peaks=Table({"z": [4.2341], "z_err": [3e-4], "chi2": [300.0], "dchi2": [0.0]}),
        meta={"SOURCEID": (7, ""), "GRATING": ("PRISM", ""), "FILTER": ("CLEAR", "")},
    )


@pytest.fixture
def stock_file(tmp_path):
    """A rate file as the stock pipeline writes it: unsigned integers, an ASDF tree with arrays, no checksums."""
    from stdatamodels.jwst import datamodels

    path = tmp_path / "jw01345062001_03101_00001_nrs2_rate.fits"
    rng = np.random.default_rng(1)
    with datamodels.ImageModel((40, 50)) as model:
        model.data = rng.normal(size=(40, 50)).astype(np.float32)
        model.dq = rng.integers(0, 2**32, size=(40, 50), dtype=np.uint32)
        model.meta.telescope = "JWST"
        model.meta.instrument.name = "NIRSPEC"
        model.meta.ref_file.flat.name = "crds://jwst_nirspec_flat_0001.fits"
        model.meta.ref_file.area.name = "N/A"
        model.meta.ref_file.crds.context_used = "jwst_1234.pmap"
        model.meta.wcsinfo.s_region = "POLYGON ICRS " + " 214.123456789 52.123456789" * 4
        model.save(str(path))
    return path
