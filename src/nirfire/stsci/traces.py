"""Where light falls on the detector: planned slitlets and failed-open shutters, from the stock WCS."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nirfire.stsci.crds_check import crds_said_plainly


def trace_mask(rate: Path, metafile: Path, *, margin: int = 2) -> tuple[np.ndarray, list[int]]:
    """Pixels that see a slitlet or a failed-open shutter.

    Parameters
    ----------
    rate : Path
        Count-rate image.
    metafile : Path
        Its MSA metafile.
    margin : int
        Rows added above and below each trace.

    Returns
    -------
    mask : ndarray of bool, shape (n_y, n_x)
        True on a trace. Curvature is followed: a pixel counts when the slit's WCS gives it a wavelength.
    slitlets : list of int
        Slitlets that fall on this detector.

    Notes
    -----
    Failed-open shutters are those of the CRDS ``msaoper`` reference, projected by the stock ``msa_flagging`` step.
    """
    from jwst.assign_wcs import AssignWcsStep, nirspec
    from jwst.msaflagopen import MSAFlagOpenStep
    from stdatamodels.jwst import datamodels
    from stdatamodels.jwst.datamodels import dqflags

    with datamodels.open(rate) as model:
        model.meta.instrument.msa_metadata_file = str(metafile)
        model.dq[:] = 0
        with crds_said_plainly(rate):
            assigned = AssignWcsStep.call(model, configure_log=False)
            flagged = MSAFlagOpenStep.call(assigned, configure_log=False)
        mask = np.array(flagged.dq & dqflags.pixel["MSA_FAILED_OPEN"] > 0)
        slitlets = [int(slit.slit_id) for slit in assigned.meta.wcs.get_transform("gwa", "slit_frame").slits]
        for slitlet in slitlets:
            wcs = nirspec.nrs_wcs_set_input(assigned, slitlet)
            (x0, x1), (y0, y1) = wcs.bounding_box
            columns = np.arange(max(int(np.ceil(x0)), 0), min(int(x1), mask.shape[1] - 1) + 1)
            rows = np.arange(max(int(np.ceil(y0)), 0), min(int(y1), mask.shape[0] - 1) + 1)
            if columns.size and rows.size:
                wave = wcs(*np.meshgrid(columns, rows))[2]
                mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] |= np.isfinite(wave)
    grown = mask.copy()
    for k in range(1, margin + 1):
        grown[k:] |= mask[:-k]
        grown[:-k] |= mask[k:]
    return grown, slitlets


def picture_frame(rate: Path) -> np.ndarray | None:
    """The CRDS picture-frame template for an exposure, shape (n_y, n_x); None where CRDS has none."""
    from jwst.picture_frame import PictureFrameStep
    from stdatamodels.jwst import datamodels

    with datamodels.open(rate) as model:
        with crds_said_plainly(rate):
            name = PictureFrameStep().get_reference_file(model, "pictureframe")
        if name == "N/A":
            return None
        with datamodels.PictureFrameModel(name) as reference:
            return np.array(reference.data, dtype=float)
