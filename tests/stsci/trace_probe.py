"""The fast trace masks beside the stock WCS evaluated pixel by pixel; run with the CRDS environment set.

Usage: python trace_probe.py FOLDER GRATING FILTER DETECTOR. Prints, as JSON, what test_traces.py asks about.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from jwst.assign_wcs import AssignWcsStep, nirspec
from jwst.msaflagopen import MSAFlagOpenStep
from scipy.ndimage import maximum_filter
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from nirfire.products.msa import Metafile
from nirfire.simulate import seds
from nirfire.simulate.observation import Observation, Options
from nirfire.simulate.optics import MODES, load_optics
from nirfire.simulate.scene import Scene, Slitlet, Source
from nirfire.stsci import traces
from nirfire.stsci.exposure_files import write_uncal
from nirfire.stsci.projection import REFERENCES, Apertures, Projection

PLACES = ((1, 30, 12), (1, 300, 160), (2, 200, 90), (3, 40, 150), (3, 330, 60), (4, 180, 15))
VELOCITY = 25000.0  # [m/s]: a third of a pixel with the high-resolution gratings
TILT = 2e-4  # [arcsec] off the zero readings of the tilt sensors


def write_exposure(observation: Observation, detector: str, folder: Path) -> Path:
    """A rate image that is all zero, with the header of the simulator."""
    exposure = observation.exposures[0]
    path = folder / f"{observation.grating}_{detector.lower()}_rateraw.fits"
    header = observation._header(exposure, observation.setup(exposure, detector))
    write_uncal(path, np.zeros((1, 2, 16, 16), np.uint16), header)
    with datamodels.open(path) as raw:
        model = datamodels.ImageModel(data=np.zeros((2048, 2048), np.float32))
        model.update(raw)
    model.dq = np.zeros(model.data.shape, np.uint32)
    model.meta.wcsinfo.velosys = VELOCITY
    model.meta.instrument.gwa_xtilt += TILT
    model.meta.instrument.gwa_ytilt -= TILT
    model.save(str(path), overwrite=True)
    return path


def stock_masks(rate: Path, metafile: Path) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """The slow reference: planned and failed-open pixels to which the stock WCS gives a wavelength, and slitlets."""
    with datamodels.open(rate) as model:
        model.meta.instrument.msa_metadata_file = str(metafile)
        assigned = AssignWcsStep.call(model)
        failed = np.array(MSAFlagOpenStep.call(assigned).dq & dqflags.pixel["MSA_FAILED_OPEN"] > 0)
        planned = np.zeros(failed.shape, bool)
        slitlets = [int(slit.slit_id) for slit in assigned.meta.wcs.get_transform("gwa", "slit_frame").slits]
        for slitlet in slitlets:
            wcs = nirspec.nrs_wcs_set_input(assigned, slitlet)
            (x0, x1), (y0, y1) = wcs.bounding_box
            columns = np.arange(max(int(np.ceil(x0)), 0), min(int(x1), 2047) + 1)
            rows = np.arange(max(int(np.ceil(y0)), 0), min(int(y1), 2047) + 1)
            if columns.size and rows.size:
                wave = wcs(*np.meshgrid(columns, rows))[2]
                planned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] |= np.isfinite(wave)
    return planned, failed, sorted(slitlets)


def compare(rate: Path, metafile: Path) -> dict[str, Any]:
    """How the fast masks differ from the slow reference, without margin."""
    planned, failed, slitlets = stock_masks(rate, metafile)
    fast = traces.trace_masks(rate, metafile, traces.TraceOptions(margin=0))
    pairs = {"planned": (fast.planned, planned), "failed": (fast.failed_open, failed)}
    return {
        "slitlets": fast.slitlets,
        "stock_slitlets": slitlets,
        "pixels": {k: int(slow.sum()) for k, (_, slow) in pairs.items()},
        "missed": {k: int((slow & ~quick).sum()) for k, (quick, slow) in pairs.items()},
        "beyond": {
            k: int((quick & ~maximum_filter(slow, (3, 9)))[:, 4:-4].sum()) for k, (quick, slow) in pairs.items()
        },
        "orders": int(fast.orders.sum()),
    }


def own_orders(rate: Path, metafile: Path, grating: str, detector: str) -> list[list[int]]:
    """Light of order 2 and 0 of the planned shutters by our own optics: points in the mask, points on the detector."""
    rows = Metafile.read(metafile).configuration(1)
    rows = rows[rows["dither_point_index"] == 1]
    fast = traces.trace_masks(rate, metafile, traces.TraceOptions(margin=0))
    light = {-2: fast.orders | fast.planned, 0: fast.orders}
    end = traces.RED_END.get(grating, traces.RED_END_ELSE)
    waves = {-2: np.linspace(0.5, 0.5e6 * end, 400), 0: np.array([2.0])}
    waves[-2] = waves[-2][waves[-2] > MODES[fits.getval(rate, "FILTER"), grating][0]]
    found = {-2: [0, 0], 0: [0, 0]}
    for row in rows:
        x, y = load_optics().shutter_to_msa(row["shutter_quadrant"], row["shutter_row"], row["shutter_column"])
        for order, counts in found.items():
            col, line, on = own_pixels(x, y, waves[order], grating, detector, order)
            hit = light[order][np.rint(line[on]).astype(int), np.rint(col[on]).astype(int)]
            counts[0] += int(hit.sum())
            counts[1] += int(on.sum())
    return list(found.values())


def own_pixels(x, y, wave, grating, detector, order):
    """Pixels by the simulator's optics, and which of them are on the detector."""
    optics = load_optics()
    x_zero, y_zero, _ = optics.gwa(grating)
    place = {"grating": grating, "detector": detector, "readings": (x_zero + TILT, y_zero - TILT), "order": order}
    col, line = optics.msa_to_detector(x, y, wave / (1 + VELOCITY / 299792458.0), **place)
    return col, line, (np.abs(col - 1023.5) < 1023.5) & (np.abs(line - 1023.5) < 1023.5)


def zero_offset(projection: Projection, grating: str, detector: str) -> float:
    """Largest distance [px] between zero orders by the stock transforms and by our own optics, on the detector."""
    worst = 0.0
    row, column = (a.ravel() for a in np.meshgrid(np.arange(1, 366, 52), np.arange(1, 172, 34)))
    for quadrant in (1, 2):
        boxes = projection.zero_order(Apertures(np.full(row.size, quadrant), row, column, column, 0.5))
        x, y = load_optics().shutter_to_msa(quadrant, row, column)
        col, line, on = own_pixels(x, y, np.array(2.0), grating, detector, 0)
        for k in np.flatnonzero(on):
            centre = boxes[k].x_lower.mean(), (boxes[k].lower.mean() + boxes[k].upper.mean()) / 2
            worst = max(worst, float(np.hypot(centre[0] - col[k], centre[1] - line[k])))
    return worst


def counted_calls(projection: Projection, n: int) -> int:
    """How often the camera's model is called for n apertures."""
    calls, model = [0], projection._to_sca

    def count(*args):
        calls[0] += 1
        return model(*args)

    projection._to_sca = count
    one = np.ones(n, int)
    projection.bands(Apertures(3 * one, 1 + np.arange(n) % 365, 20 * one, 22 * one, 1.05), projection.wave_range)
    projection._to_sca = model
    return calls[0]


def main(folder: Path, grating: str, filter_: str, detector: str) -> None:
    """Compare on one detector."""
    logging.disable(logging.WARNING)
    flat = seds.power_law(1.0, 0.0)
    sources = [Source(n, "point", np.nan, flat, 0.0, 0.0) for n in range(1, len(PLACES) + 1)]
    slitlets = tuple(Slitlet(s.source_id, *place, (s,)) for s, place in zip(sources, PLACES, strict=True))
    observation = Observation(Scene(slitlets), grating, filter_, 1, Options(n_groups=2))
    metafile = observation.write_tables(folder)[0]
    rate = write_exposure(observation, detector, folder)
    found = compare(rate, metafile)
    projection = Projection(rate, traces.find_references(rate, REFERENCES))
    found["calls"] = [counted_calls(projection, n) for n in (1, 300)]
    found["order"] = projection.order
    if grating != "PRISM":
        found["second"], found["zero"] = own_orders(rate, metafile, grating, detector)
        found["zero_offset"] = zero_offset(projection, grating, detector)
    last = Observation(Scene(slitlets[-1:]), grating, filter_, 1, Options(n_groups=2))
    alone = traces.trace_masks(rate, last.write_tables(folder / "alone")[0])
    found["alone"] = [alone.slitlets, int(alone.planned.sum()), int(alone.failed_open.sum())]
    reference = traces.find_references(rate, ["pictureframe"])["pictureframe"]
    with datamodels.PictureFrameModel(reference) as stock:
        found["same_frame"] = bool(np.array_equal(traces.picture_frame(rate), stock.data, equal_nan=True))
    sys.stdout.write("\n" + json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
