"""Save geometry reference files in the form of the Calibration Reference Data System (CRDS).

Thin: astropy models and arrays in, one ASDF file out. What goes in is decided in :mod:`nirfire.simulate.wcsrefs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.modeling import Model
from stdatamodels.jwst import datamodels

USEAFTER = "2014-10-01T00:00:00"
_TRANSFORMS = {
    "camera": datamodels.CameraModel,
    "collimator": datamodels.CollimatorModel,
    "ote": datamodels.OTEModel,
    "fore": datamodels.FOREModel,
}


def save_transform(path: Path, kind: str, model: Model, filter_name: str | None = None) -> None:
    """Save a ``camera``, ``collimator``, ``ote`` or ``fore`` reference (`filter_name` for the last).

    Parameters
    ----------
    path : Path
    kind : str
    model : astropy Model
        From the detector towards the sky, with its ``inverse`` set.
    filter_name : str, optional
    """
    reference = _TRANSFORMS[kind](model=model)
    if filter_name is not None:
        reference.meta.instrument.filter = filter_name
    if kind == "ote":
        reference.meta.output_units = "arcsec"
    _save(reference, path, kind)


def save_fpa(path: Path, nrs1: Model, nrs2: Model) -> None:
    """Save the focal-plane reference: raw pixels to the focal plane [m], one model for each detector."""
    _save(datamodels.FPAModel(nrs1_model=nrs1, nrs2_model=nrs2), path, "fpa")


def save_disperser(path: Path, grating: str, content: Mapping[str, Any]) -> None:
    """Save the reference of one grating or the prism; `content` holds its top-level keys."""
    reference = datamodels.DisperserModel()
    for key, value in content.items():
        setattr(reference, key, value)
    reference.meta.instrument.grating = grating
    _save(reference, path, "disperser")


def save_msa(path: Path, quadrants: Mapping[str, Model], shutters: Mapping[str, np.ndarray]) -> None:
    """Save the shutter metrology: for Q1..Q5 a model into the MSA plane and a table NO, XC, YC, SIZEX, SIZEY [m]."""
    _save(datamodels.MSAModel(models=dict(quadrants), data=dict(shutters)), path, "msa")


def save_wavelengthrange(path: Path, ranges: Mapping[str, Sequence[float]], order: int) -> None:
    """Save the wavelength ranges [m] of the combinations FILTER_GRATING."""
    reference = datamodels.WavelengthrangeModel(
        wrange_selector=list(ranges),
        wrange=[[float(edge) for edge in pair] for pair in ranges.values()],
        order=[order] * len(ranges),
        wunits=u.m,
    )
    reference.meta.instrument.name = "NIRSPEC"
    reference.meta.instrument.p_detector = "NRS1|NRS2|"
    _save(reference, path, "wavelengthrange")


def _save(reference: datamodels.ReferenceFileModel, path: Path, kind: str) -> None:
    meta = reference.meta
    meta.author = "nirfire"
    meta.description = f"NIRSpec {kind}: nirfire's embedded instrument"
    meta.pedigree = "GROUND"
    meta.useafter = USEAFTER
    meta.reftype = kind
    meta.telescope = "JWST"
    meta.instrument.name = "NIRSPEC"
    if kind != "wavelengthrange":
        meta.exposure.type = "N/A"
    reference.save(str(path))
    reference.close()
