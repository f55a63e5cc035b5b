"""Calibration reference files in CRDS form: plain arrays in, a file that stock ``jwst`` accepts out.

Only what a file needs is written: data-quality and error planes that would be zero are left out, for the data
models fill them in when they open the file, in less time than it takes to read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

USE_AFTER = "2014-10-01T00:00:00"
AUTHOR = "nirfire"
PEDIGREE = "SIMULATION"


def write_reference(
    path: Path,
    model_name: str,
    arrays: Mapping[str, NDArray],
    meta: Mapping[str, Any],
    dq_flags: Sequence[str] = (),
) -> Path:
    """Write a reference whose arrays are direct attributes of its data model.

    Parameters
    ----------
    path : Path
        Written in place; the file type follows the suffix.
    model_name : str
        Class in ``stdatamodels.jwst.datamodels``, for example ``DarkNirspecModel``.
    arrays : mapping of str to ndarray
        Attribute name to image or structured array.
    meta : mapping of str to value
        Dotted names below ``meta``, for example ``instrument.detector``, or attributes of the model if they start
        with a dot.
    dq_flags : sequence of str
        Names of the flags in ``dq``; they become the DQ_DEF table.

    Returns
    -------
    Path
        `path`.
    """
    from stdatamodels.jwst import datamodels

    with getattr(datamodels, model_name)() as model:
        _describe(model, path, meta)
        for name, array in arrays.items():
            setattr(model, name, array)
        if dq_flags:
            model.dq_def = _dq_definition(dq_flags)
        model.save(str(path))
    return path


def write_quadrant_flat(
    path: Path, planes: Sequence[NDArray], waves: Sequence[float], curves: Sequence[NDArray], meta: Mapping
) -> Path:
    """Write an F-flat for multi-object spectroscopy.

    Parameters
    ----------
    path : Path
    planes : sequence of 4 ndarrays, shape (n_plane, 171, 365)
        Slow variation over the shutters at `waves`, per quadrant.
    waves : sequence of float, length n_plane [um]
    curves : sequence of 4 structured arrays
        From `flat_table`, per quadrant.
    meta : mapping

    Returns
    -------
    Path
        `path`.
    """
    from stdatamodels.jwst import datamodels

    with datamodels.NirspecQuadFlatModel() as model:
        _describe(model, path, meta)
        for plane, curve in zip(planes, curves, strict=True):
            model.quadrants.append(model.quadrants.item())
            quadrant = model.quadrants[-1]
            quadrant.data = np.asarray(plane, dtype=np.float32)
            quadrant.err = np.zeros_like(quadrant.data)
            quadrant.wavelength = wavelength_table(waves)
            quadrant.flat_table = curve
        model.save(str(path))
    return path


def write_pathloss(path: Path, apertures: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> Path:
    """Write a pathloss reference.

    Parameters
    ----------
    path : Path
    apertures : sequence of mappings
        Each with ``name``, ``shutters``, ``point`` (n_wave, n_y, n_x), ``uniform`` (n_wave), and ``axes``: the
        nodes in x [pitch], y [pitch] and wavelength [m], evenly spaced.
    meta : mapping

    Returns
    -------
    Path
        `path`.
    """
    from stdatamodels.jwst import datamodels

    with datamodels.PathlossModel() as model:
        _describe(model, path, meta)
        for aperture in apertures:
            model.apertures.append(model.apertures.item())
            entry = model.apertures[-1]
            entry.name, entry.shutters = aperture["name"], aperture["shutters"]
            entry.pointsource_data = np.asarray(aperture["point"], dtype=np.float32)
            entry.pointsource_err = np.zeros_like(entry.pointsource_data)
            entry.uniform_data = np.asarray(aperture["uniform"], dtype=np.float32)
            entry.uniform_err = np.zeros_like(entry.uniform_data)
            for number, nodes in enumerate(aperture["axes"], start=1):
                _set_axis(entry.pointsource_wcs, number, nodes)
            _set_axis(entry.uniform_wcs, 1, aperture["axes"][2])
        model.save(str(path))
    return path


def write_wavecorr(
    path: Path, wave: NDArray, offset: NDArray, shift: NDArray, width: float, meta: Mapping[str, Any]
) -> Path:
    """Write the wavelength zero-point correction of the micro-shutters.

    Parameters
    ----------
    path : Path
        Suffix ``.asdf``.
    wave : ndarray, shape (n_wave,) [m]
    offset : ndarray, shape (n_x,) [pitch]
        Position of the source across the shutter.
    shift : ndarray, shape (n_wave, n_x) [px]
        Added, times the dispersion, to the wavelength of the shutter's centre.
    width : float [m]
        Pitch of the shutters.
    meta : mapping

    Returns
    -------
    Path
        `path`.
    """
    from astropy.modeling.models import Tabular2D
    from stdatamodels.jwst import datamodels

    table = Tabular2D(points=(wave, offset), lookup_table=shift, name="zero_point_offset")
    aperture = {
        "aperture_name": "MOS",
        "zero_point_offset": table,
        "variance": np.zeros(shift.shape, dtype=np.float32),
        "width": width,
    }
    with datamodels.WaveCorrModel(apertures=[aperture]) as model:
        _describe(model, path, meta)
        model.save(str(path))
    return path


def wavelength_table(waves: Sequence[float]) -> NDArray:
    """Structured array of the wavelengths [um] of the planes of a flat."""
    return np.array([(wave,) for wave in waves], dtype=[("wavelength", "<f4")])


def flat_table(wave: NDArray, value: NDArray) -> NDArray:
    """Structured array, one row, of the fast variation of a flat: `value` at `wave` [um], shape (n,)."""
    n = len(wave)
    column = ("<f4", (n,))
    dtype = [("slit_name", "S15"), ("nelem", "<i4"), *((name, *column) for name in ("wavelength", "data", "error"))]
    return np.array([("ANY", n, wave, value, np.zeros(n))], dtype=dtype)


def _describe(model: Any, path: Path, meta: Mapping[str, Any]) -> None:
    """Fill in the keywords that every reference has, then `meta`."""
    common = {
        "instrument.name": "NIRSPEC",
        "telescope": "JWST",
        "author": AUTHOR,
        "pedigree": PEDIGREE,
        "useafter": USE_AFTER,
        "filename": path.name,
    }
    for name, value in {**common, **meta}.items():
        *branch, leaf = name.split(".")
        node = model if branch == [""] else model.meta
        for step in branch:
            node = getattr(node, step) if step else node
        setattr(node, leaf, value)


def _set_axis(wcs: Any, number: int, nodes: NDArray) -> None:
    setattr(wcs, f"crpix{number}", 1.0)
    setattr(wcs, f"crval{number}", float(nodes[0]))
    setattr(wcs, f"cdelt{number}", float(nodes[-1] - nodes[0]) / (len(nodes) - 1))


def _dq_definition(names: Sequence[str]) -> NDArray:
    """DQ_DEF table in which each flag keeps its standard bit."""
    from stdatamodels.jwst.datamodels import dqflags

    rows = [(int(dqflags.pixel[name]).bit_length() - 1, dqflags.pixel[name], name, name) for name in names]
    dtype = [("BIT", "<i4"), ("VALUE", "<u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")]
    return np.array(rows, dtype=dtype)
