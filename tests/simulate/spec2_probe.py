"""Run stock Spec2 on an exposure of constant rate; called in a process of its own with the CRDS environment set.

Usage: python spec2_probe.py FOLDER FILTER GRATING DETECTOR QUADRANT. Leaves FOLDER/probe_cal.fits with two slitlets
of three shutters, slit 1 with a point source off centre, slit 2 with an extended one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.simulate.optics import load_optics

POINT, EXTENDED = (183, 80), (170, 100)  # xcen, ycen
DX, DY = 0.30, -0.15


def write_metafile(path: Path, quadrant: int) -> None:
    """Two slitlets of three shutters, one dither point."""
    rows, names = [], []
    for source, ((xcen, ycen), offset) in enumerate(((POINT, (DX, DY)), (EXTENDED, (0.0, 0.0))), start=1):
        for step in (-1, 0, 1):
            here = step == 0
            x, y = (0.5 + offset[0], 0.5 + offset[1]) if here else (np.nan, np.nan)
            flags = ("N" if here else "Y", "OPEN", x, y, 1, "Y" if here else "N", "NONE")
            rows.append((source, 1, quadrant, xcen, ycen + step, source, *flags))
        names.append((1, source, f"1_{source}", f"{source}", 53.1, -27.8, "None", 1.0 if source == 1 else 0.0))
    shutter_columns = (
        "slitlet_id:i2 msa_metadata_id:i2 shutter_quadrant:i2 shutter_row:i2 shutter_column:i2 source_id:i4 "
        "background:S1 shutter_state:S6 estimated_source_in_shutter_x:f4 estimated_source_in_shutter_y:f4 "
        "dither_point_index:i2 primary_source:S1 fixed_slit:S6"
    )
    source_columns = "program:i4 source_id:i4 source_name:S20 alias:S31 ra:f8 dec:f8 preimage_id:S30 stellarity:f8"
    tables = [
        np.array(data, dtype=[tuple(c.split(":")) for c in columns.split()])
        for data, columns in ((rows, shutter_columns), (names, source_columns))
    ]
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(np.zeros((342, 730), "f4"), name="SHUTTER_IMAGE"),
        fits.BinTableHDU(tables[0], name="SHUTTER_INFO"),
        fits.BinTableHDU(tables[1], name="SOURCE_INFO"),
    ]
    fits.HDUList(hdus).writeto(path, overwrite=True)


def rate_model(optical_filter: str, grating: str, detector: str, metafile: Path):
    """Exposure of 1 DN/s everywhere, with the keywords that Spec2 needs."""
    from stdatamodels.jwst import datamodels

    model = datamodels.ImageModel(np.ones((2048, 2048), "f4"))
    model.dq = np.zeros((2048, 2048), "u4")
    model.var_poisson = np.full((2048, 2048), 1e-4, "f4")
    model.var_rnoise = np.full((2048, 2048), 1e-4, "f4")
    model.err = np.full((2048, 2048), np.sqrt(2e-4), "f4")
    xtilt, ytilt, temperature = load_optics().gwa(grating)
    fast, slow = (2, 1) if detector == "NRS1" else (-2, -1)
    model.update(
        {
            "meta": {
                "telescope": "JWST",
                "instrument": {
                    "name": "NIRSPEC",
                    "detector": detector,
                    "filter": optical_filter,
                    "grating": grating,
                    "msa_metadata_file": str(metafile),
                    "msa_metadata_id": 1,
                    "gwa_xtilt": xtilt,
                    "gwa_ytilt": ytilt,
                    "gwa_tilt": temperature,
                },
                "exposure": {
                    "type": "NRS_MSASPEC",
                    "readpatt": "NRSRAPID",
                    "start_time": 61040.999,
                    "mid_time": 61041.0,
                    "end_time": 61041.001,
                    "exposure_time": 100.0,
                    "effective_exposure_time": 100.0,
                    "measurement_time": 100.0,
                },
                "subarray": {
                    "name": "FULL",
                    "xstart": 1,
                    "ystart": 1,
                    "xsize": 2048,
                    "ysize": 2048,
                    "fastaxis": fast,
                    "slowaxis": slow,
                },
                "observation": {"date": "2026-01-01", "time": "00:00:00", "program_number": "00001"},
                "dither": {"position_number": 1, "total_points": 1},
                "wcsinfo": {
                    "v2_ref": 378.5632,
                    "v3_ref": -428.40283,
                    "v3yangle": 138.57457,
                    "vparity": -1,
                    "ra_ref": 53.1,
                    "dec_ref": -27.8,
                    "roll_ref": 40.0,
                    "velosys": 0.0,
                },
                "filename": "probe_rate.fits",
            }
        }
    )
    return model


def main(folder: Path, optical_filter: str, grating: str, detector: str, quadrant: int) -> None:
    """Run it."""
    from jwst.pipeline import Spec2Pipeline

    metafile = folder / "probe_msa.fits"
    write_metafile(metafile, quadrant)
    with rate_model(optical_filter, grating, detector, metafile) as model:
        Spec2Pipeline.call(
            model,
            output_dir=str(folder),
            save_results=True,
            steps={"bkg_subtract": {"skip": True}, "master_background_mos": {"skip": True}},
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5]))
