"""Where the stock pipeline finds what the simulator painted; run with the CRDS environment set.

Usage: python stock_probe.py FOLDER GRATING. Prints, as JSON, for each line of each source the difference in wavelength
after and before wavecorr [px] and in row [px].
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np

from nirfire.simulate import psf, seds
from nirfire.simulate.detector import Noise
from nirfire.simulate.observation import Exposure, Observation, Options, default_filter
from nirfire.simulate.optics import MODES
from nirfire.simulate.paint import Placement, paint
from nirfire.simulate.scene import Scene, Sky, Slitlet, Source

PLACES = ((3, 180, 30, 0.0, 0.0), (3, 250, 80, 0.3, 0.0), (4, 100, 60, -0.3, 0.25), (4, 300, 140, 0.15, -0.3))
PLACES += ((1, 150, 50, 0.0, 0.0), (2, 180, 20, -0.25, -0.2))


def scene(waves: np.ndarray) -> Scene:
    """Points with narrow lines and nothing else."""
    slitlets = []
    for number, (quadrant, xcen, ycen, dx, dy) in enumerate(PLACES, start=1):
        lines = tuple(seds.Line("t", float(w), 300.0, 0.0) for w in waves)
        source = Source(number, "point", np.nan, seds.power_law(0.0, 0.0, lines), dx, dy)
        slitlets.append(Slitlet(number, quadrant, xcen, ycen, (source,)))
    return Scene(tuple(slitlets), Sky(level=0.0), failed_open=False)


def stock_slits(observation: Observation, exposure: Exposure, detector: str, folder: Path) -> list:
    """Cut-outs of a noiseless exposure by assign_wcs, extract_2d, srctype, wavecorr."""
    from jwst.assign_wcs import AssignWcsStep
    from jwst.extract_2d import Extract2dStep
    from jwst.srctype import SourceTypeStep
    from jwst.wavecorr import WavecorrStep
    from stdatamodels.jwst import datamodels

    rate = paint(
        observation.scene, observation.optics, observation.setup(exposure, detector), observation.places(exposure)
    )
    path = observation.write_exposure(exposure, detector, folder)
    with datamodels.open(path) as raw:
        model = datamodels.ImageModel(data=rate.astype(np.float32))
        model.update(raw)
    model.meta.instrument.msa_metadata_file = str(folder / model.meta.instrument.msa_metadata_file)
    for name in ("err", "var_rnoise", "var_poisson"):
        setattr(model, name, np.ones_like(model.data))
    model.var_flat = np.zeros_like(model.data)
    model.dq = np.zeros(model.data.shape, np.uint32)
    cut = SourceTypeStep.call(Extract2dStep.call(AssignWcsStep.call(model)))
    return list(WavecorrStep.call(cut).slits)


def compare(slit, place: Placement, ycen: int, wave: float, reach: float) -> list[float] | None:
    """Differences for one line, None when it is off the detector."""
    image, corrected = slit.data.astype(float), slit.wavelength.astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    to_slit = slit.meta.wcs.get_transform("detector", "slit_frame")
    plain = to_slit(x, y)[2] * 1e6
    near = np.isfinite(corrected) & np.isfinite(plain) & (np.abs(corrected - wave) < reach)
    flux = np.where(near, image, 0.0)
    total = flux.sum()
    if total <= 0:
        return None
    column, row = (flux * x).sum() / total, (flux * y).sum() / total
    if not 8 < column < image.shape[1] - 9:
        return None
    pixel = np.abs(np.gradient(corrected[round(row)])[round(column)])
    after = ((flux * np.where(near, corrected, 0)).sum() / total - wave) / pixel
    before = ((flux * np.where(near, plain, 0)).sum() / total - wave) / pixel
    edges = np.arange(image.shape[0] + 1) - 0.5
    slit_y = to_slit(np.full(edges.size, float(round(column))), edges)[1] * psf.OPEN[1]
    lower, upper = np.minimum(slit_y[1:], slit_y[:-1]), np.maximum(slit_y[1:], slit_y[:-1])
    good = np.isfinite(lower) & np.isfinite(upper)
    shutters = tuple(k - (place.shutter - ycen) for k in (-1, 0, 1))
    light = psf.row_fractions(wave, lower[good], upper[good], place.dx, place.dy, shutters)
    expected = (light * np.arange(image.shape[0])[good]).sum() / light.sum()
    return [float(after), float(before), float(row - expected)]


def main(folder: Path, grating: str) -> None:
    """Compare the first two nods on both detectors."""
    logging.disable(logging.WARNING)
    filter_ = default_filter(grating)
    low, high = MODES[(filter_, grating)]
    waves = np.linspace(low * 1.05, high * 0.97, 7)
    options = Options(n_groups=2, noise=Noise.none(), detectors=("NRS1", "NRS2"))
    observation = Observation(scene(waves), grating, filter_, 1, options)
    observation.write_tables(folder)
    exposure = observation.exposures[1]
    places = observation.places(exposure)
    found = []
    for detector in observation.detectors:
        for slit in stock_slits(observation, exposure, detector, folder):
            ycen = PLACES[slit.source_id - 1][2]
            rows = (compare(slit, places[slit.source_id], ycen, w, (high - low) / 20) for w in waves)
            found += [r for r in rows if r is not None]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
