"""Raw exposures in the form of the archive: the header that the stock pipeline needs, and the datamodel around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nirfire.products.atomic import atomic_path

_FIRST_MJD = 61041.0
_DATE = "2026-01-01T00:00:00.000"
_AXES = {"NRS1": (2, 1), "NRS2": (-2, -1)}  # FASTAXIS, SLOWAXIS


@dataclass(frozen=True)
class ReadPattern:
    """How the full frame is read.

    Attributes
    ----------
    name : str
        READPATT.
    frame_time : float [s]
    n_frames : int
        Frames that the spacecraft averages into a group.
    divisor : int
        What it divides their sum by (FRMDIVSR); stock ``group_scale`` makes up for a divisor other than `n_frames`.
    irs2 : bool
        Reference pixels are read between the others, and the reference output beside them.
    """

    name: str
    frame_time: float
    n_frames: int
    divisor: int
    irs2: bool

    @property
    def group_time(self) -> float:
        """Time from group to group [s]."""
        return self.n_frames * self.frame_time


PATTERNS = {
    p.name: p
    for p in (
        ReadPattern("NRSRAPID", 10.73677, 1, 1, irs2=False),
        ReadPattern("NRS", 10.73677, 4, 4, irs2=False),
        ReadPattern("NRSIRS2RAPID", 14.58889, 1, 1, irs2=True),
        ReadPattern("NRSIRS2", 14.58889, 5, 8, irs2=True),
    )
}
"""Read patterns of the full frame, by name."""
IRS2_NORMAL, IRS2_REFERENCE, IRS2_OUTPUTS = 16, 4, 5
"""IRS2: pixels read before a visit to the reference pixels (NRS_NORM), reference pixels then (NRS_REF), NOUTPUTS."""


@dataclass(frozen=True)
class Readout:
    """How an exposure is read.

    Attributes
    ----------
    n_groups : int
        Groups of each integration.
    n_integrations : int
    pattern : ReadPattern
    """

    n_groups: int
    n_integrations: int = 1
    pattern: ReadPattern = PATTERNS["NRSRAPID"]


@dataclass(frozen=True)
class ExposureHeader:
    """Header of one exposure on one detector.

    Attributes
    ----------
    program, observation, visit, exposure : int
    detector, filter, grating : str
    metafile : str
        Name of the MSA metafile, which lies beside the exposure.
    metadata_id : int
        MSAMETID.
    dither_point, n_dither_points : int
        PATT_NUM and NUMDTHPT.
    pointing : tuple of 3 floats [deg]
        RA_REF, DEC_REF, ROLL_REF.
    aperture : tuple of 3 floats
        V2_REF, V3_REF [arcsec], V3I_YANG [deg].
    gwa : tuple of 3 floats
        GWA_XTIL, GWA_YTIL and GWA_TILT (a temperature [K]).
    readout : Readout
    """

    program: int
    observation: int
    visit: int
    exposure: int
    detector: str
    filter: str
    grating: str
    metafile: str
    metadata_id: int
    dither_point: int
    n_dither_points: int
    pointing: tuple[float, float, float]
    aperture: tuple[float, float, float]
    gwa: tuple[float, float, float]
    readout: Readout


def write_uncal(path: Path, data: NDArray[np.uint16], header: ExposureHeader) -> None:
    """Write an ``_uncal.fits`` (Level1bModel), atomically.

    Parameters
    ----------
    path : Path
        Its name becomes FILENAME.
    data : ndarray of uint16, shape (n_integrations, n_groups, n_y, 2048) [DN]
        n_y is 2048, and 3200 for IRS2.
    header : ExposureHeader
    """
    from stdatamodels.jwst.datamodels import Level1bModel

    class Reproducible(Level1bModel):
        """Level1bModel whose bytes do not depend on the clock or on the temporary name."""

        def on_save(self, init: str) -> None:
            super().on_save(init)
            self.meta.date, self.meta.filename, self.meta.model_type = _DATE, path.name, "Level1bModel"

    with Reproducible(data=data) as model:
        for key, value in _keywords(header).items():
            model[f"meta.{key}"] = value
        with atomic_path(path) as part:
            model.save(str(part), overwrite=True)


def _keywords(h: ExposureHeader) -> dict[str, object]:
    """Datamodel attributes below ``meta``."""
    return {
        "telescope": "JWST",
        "origin": "STSCI",
        "sdp_version": "simulated",
        "bunit_data": "DN",
        **_instrument(h),
        **_exposure(h),
        **_observation(h),
        **_pointing(h),
    }


def _instrument(h: ExposureHeader) -> dict[str, object]:
    fast, slow = _AXES[h.detector]
    return {
        "instrument.name": "NIRSPEC",
        "instrument.detector": h.detector,
        "instrument.filter": h.filter,
        "instrument.grating": h.grating,
        "instrument.lamp_mode": "NONE",
        "instrument.lamp_state": "NONE",
        "instrument.msa_metadata_file": h.metafile,
        "instrument.msa_metadata_id": h.metadata_id,
        "instrument.gwa_xtilt": h.gwa[0],
        "instrument.gwa_ytilt": h.gwa[1],
        "instrument.gwa_tilt": h.gwa[2],
        "subarray.name": "FULL",
        "subarray.xstart": 1,
        "subarray.ystart": 1,
        "subarray.xsize": 2048,
        "subarray.ysize": 2048,
        "subarray.fastaxis": fast,
        "subarray.slowaxis": slow,
    }


def _exposure(h: ExposureHeader) -> dict[str, object]:
    r = h.readout
    p = r.pattern
    duration = r.n_integrations * r.n_groups * p.group_time
    elapsed = duration + r.n_integrations * p.frame_time  # a reset frame before each integration
    start = _FIRST_MJD + 0.1 * h.visit + 0.01 * h.exposure
    irs2 = {"nrs_normal": IRS2_NORMAL, "nrs_reference": IRS2_REFERENCE, "noutputs": IRS2_OUTPUTS} if p.irs2 else {}
    return {
        "exposure.type": "NRS_MSASPEC",
        "exposure.readpatt": p.name,
        "exposure.nints": r.n_integrations,
        "exposure.ngroups": r.n_groups,
        "exposure.nframes": p.n_frames,
        "exposure.groupgap": 0,
        "exposure.frame_divisor": p.divisor,
        "exposure.drop_frames1": 0,
        "exposure.nsamples": 1,
        "exposure.sample_time": 10.0,
        "exposure.nresets_at_start": 1,
        "exposure.nresets_between_ints": 1,
        "exposure.frame_time": p.frame_time,
        "exposure.group_time": p.group_time,
        "exposure.integration_time": r.n_groups * p.group_time,
        "exposure.exposure_time": duration,
        "exposure.effective_exposure_time": duration,
        "exposure.measurement_time": duration,
        "exposure.duration": elapsed,
        "exposure.start_time": start,
        "exposure.mid_time": start + 0.5 * duration / 86400.0,
        "exposure.end_time": start + duration / 86400.0,
        "exposure.zero_frame": False,
        **{f"exposure.{name}": value for name, value in irs2.items()},
    }


def _observation(h: ExposureHeader) -> dict[str, object]:
    visit_id = f"{h.program:05d}{h.observation:03d}{h.visit:03d}"
    return {
        "observation.date": "2026-01-01",
        "observation.time": f"{h.visit:02d}:{h.exposure % 60:02d}:00.000",
        "observation.program_number": f"{h.program:05d}",
        "observation.observation_number": f"{h.observation:03d}",
        "observation.visit_number": f"{h.visit:03d}",
        "observation.visit_id": visit_id,
        "observation.visit_group": "02",
        "observation.sequence_id": "1",
        "observation.activity_id": "01",
        "observation.exposure_number": str(h.exposure),
        "observation.observation_label": "nirfire simulation",
        "program.title": "nirfire simulation",
        "target.proposer_name": "SIMULATION",
        "target.catalog_name": "SIMULATION",
        "target.type": "FIXED",
        "target.ra": h.pointing[0],
        "target.dec": h.pointing[1],
        "dither.position_number": h.dither_point,
        "dither.total_points": h.n_dither_points,
    }


def _pointing(h: ExposureHeader) -> dict[str, object]:
    ra, dec, roll = h.pointing
    return {
        "wcsinfo.ra_ref": ra,
        "wcsinfo.dec_ref": dec,
        "wcsinfo.roll_ref": roll,
        "wcsinfo.v2_ref": h.aperture[0],
        "wcsinfo.v3_ref": h.aperture[1],
        "wcsinfo.v3yangle": h.aperture[2],
        "wcsinfo.vparity": -1,
        "wcsinfo.velosys": 0.0,
        "velocity_aberration.scale_factor": 1.0,
        "pointing.ra_v1": ra,
        "pointing.dec_v1": dec,
        "pointing.pa_v3": roll,
        "aperture.name": "NRS_FULL_MSA",
        "aperture.pps_name": "NRS_FULL_MSA",
        "aperture.position_angle": (roll + h.aperture[2]) % 360.0,
    }
