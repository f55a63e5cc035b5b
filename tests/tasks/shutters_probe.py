"""The task shutters on simulated count rates; run with the CRDS environment set.

Usage: python -m tests.tasks.shutters_probe FOLDER. Prints, as JSON, what test_shutters.py asks about.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.products.naming import RATE, UNCAL
from nirfire.products.shutters import ShutterTable, read_closed
from nirfire.simulate import seds
from nirfire.simulate.observation import Observation, Options, default_filter
from nirfire.simulate.paint import N_PIX, paint
from nirfire.simulate.scene import Scene, Slitlet, Source
from nirfire.stsci.exposure_files import write_uncal
from nirfire.tasks.settings import ShuttersSettings
from nirfire.tasks.shutters import shutters

PLACES = ((3, 100, 20), (3, 180, 50), (3, 250, 80), (4, 120, 110), (4, 60, 140), (4, 200, 65), (4, 160, 30))
STUCK = {2: (1,), 5: (-1, 0, 1)}
NOISE = 0.012  # DN/s
KEPT = ("V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF", "V3I_YANG", "VPARITY", "VELOSYS")


def scene() -> Scene:
    """Seven slitlets, one blank; two sources share the first."""
    slitlets = []
    for n, place in enumerate(PLACES, 1):
        bright = 3.0 if n % 2 else 0.2
        sources = [Source(10 + n, "point", np.nan, seds.power_law(bright), 0.1, 0.1)]
        if n == 1:
            sources.append(Source(30, "point", np.nan, seds.power_law(1.0), 0.0, 0.0, 1, primary=False))
        slitlets.append(Slitlet(n, *place, () if n == 7 else tuple(sources), STUCK.get(n, ())))
    return Scene(tuple(slitlets))


def make(folder: Path) -> list[Path]:
    """Simulate three nods on NRS1."""
    observation = Observation(scene(), "PRISM", default_filter("PRISM"), 1, Options(n_nods=3))
    observation.write_tables(folder)
    rng, rates = np.random.default_rng(1), []
    for exposure in observation.exposures:
        setup = observation.setup(exposure, "NRS1")
        image = paint(observation.scene, observation.optics, setup, observation.places(exposure))
        raw = folder / f"{exposure.name('NRS1')}{UNCAL}"
        write_uncal(raw, np.zeros((1, 1, 8, N_PIX), np.uint16), observation._header(exposure, setup))
        with fits.open(raw) as hdus:
            top, cards = hdus[0].header.copy(), {k: v for k, v in hdus["SCI"].header.items() if k in KEPT}
        image = image + NOISE * rng.standard_normal(image.shape)
        image[::50, ::40] = np.nan
        planes = {"SCI": image, "VAR_POISSON": np.zeros(image.shape), "VAR_RNOISE": np.full(image.shape, NOISE**2)}
        made = [fits.ImageHDU(v.astype(np.float32), name=n) for n, v in planes.items()]
        made.append(fits.ImageHDU(np.zeros(image.shape, np.uint32), name="DQ"))
        made[0].header.update(cards)
        rates.append(raw.with_name(raw.name.removesuffix(UNCAL) + RATE))
        fits.HDUList([fits.PrimaryHDU(header=top), *made]).writeto(rates[-1])
    return rates


def main(folder: Path) -> None:
    """Simulate, look, and tell."""
    logging.disable(logging.WARNING)
    rates, said = make(folder), {}
    for name, inputs in (("three", rates), ("one", rates[1:2])):
        path = folder / f"{name}_shutters.fits"
        shutters(inputs, path, ShuttersSettings())
        table = ShutterTable.read(path)
        keys = ("source", "slitlet", "ordinal", "quadrant", "shutter_row", "shutter_column", "level", "error", "state")
        said[name] = {
            "closed": {str(k): v for k, v in read_closed(path).items()},
            "verdicts": [
                [row[k].item() if hasattr(row[k], "item") else row[k] for k in keys] for row in table.verdicts
            ],
            "sourced": [
                [str(r["exposure"]), int(r["source"]), int(r["ordinal"])] for r in table.levels if r["sourced"]
            ],
            "n_images": len(table.images),
        }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
