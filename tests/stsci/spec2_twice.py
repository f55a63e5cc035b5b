"""Each source of an exposure calibrated twice, alone by the stock pipeline and as one of many; run with the CRDS
environment set.

Usage: python -m tests.stsci.spec2_twice FOLDER FILTER GRATING DETECTOR SOURCE... The sources are those of `rows`.
Prints, as JSON, for each source how far its arrays and its WCS differ, relative to the stock ones, and what the stock
slit is like.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from jwst.assign_wcs.util import NoDataOnDetectorError
from stdatamodels.jwst import datamodels

from nirfire.errors import NoWork
from nirfire.products.msa import Metafile, SourceOptions
from nirfire.stsci.pipelines import run_spec2
from nirfire.stsci.spec2 import calibrate_slit
from tests.products.msa_tables import row, write
from tests.simulate.spec2_probe import rate_model

ARRAYS = (
    "data",
    "err",
    "dq",
    "var_poisson",
    "var_rnoise",
    "var_flat",
    "wavelength",
    "pathloss_point",
    "pathloss_uniform",
)
IGNORED = {"DATE", "CHECKSUM", "DATASUM", "NAXIS1", "TFORM1"}  # the last two: the size of the log in the ASDF extension
MISSING = 99.0


def slitlet(number: int, columns: list[int], occupants: dict[int, tuple[int, bool]], **other: Any) -> list[tuple]:
    """One slitlet at one dither point; occupants: column -> source, is it the primary."""
    free = (0, False)
    return [
        row(number, c, occupants.get(c, free)[0], primary=occupants.get(c, free)[1], x=places(occupants, c), **other)
        for c in columns
    ]


def places(occupants: dict[int, tuple[int, bool]], column: int) -> float | None:
    """Each source somewhere else across its shutter."""
    return 0.5 + 0.07 * (occupants[column][0] % 9 - 4) if column in occupants else None


def rows(quadrant: int) -> list[tuple]:
    """Slitlets with everything that occurs, in one quadrant."""
    at = {"quadrant": quadrant, "line": 183}
    return [
        *slitlet(1, [20], {20: (11, True)}, **at),
        *slitlet(2, [30, 31], {31: (12, True)}, **at),
        *slitlet(3, [40, 41, 42], {42: (13, True), 40: (14, False)}, **at),
        *slitlet(4, [60, 61, 62, 63, 64], {60: (15, True)}, **at),
        *slitlet(5, [80, 81, 82], {81: (16, False)}, **at),
        *slitlet(6, [1, 2, 3], {1: (17, True)}, **at),
        *slitlet(7, [169, 170, 171], {171: (18, True)}, **at),
        *slitlet(8, [100, 101, 102], {101: (19, True)}, quadrant=quadrant, line=5),
        *slitlet(9, [110, 111, 112], {}, **at),
        *slitlet(9, [110, 111, 112], {110: (20, True)}, dither=2, **at),
        *slitlet(10, [120, 121, 122], {122: (21, True)}, **at),
    ]


def image(model: Any) -> Any:
    """Noise, bad pixels and all."""
    rng = np.random.default_rng(5)
    model.data = rng.normal(1.0, 0.1, model.data.shape).astype(np.float32)
    model.var_poisson = rng.uniform(1e-4, 2e-4, model.data.shape).astype(np.float32)
    model.dq = np.where(rng.random(model.data.shape) < 0.01, 1, 0).astype(np.uint32)
    model.data[model.dq > 0] = np.nan
    return model


def make(folder: Path, mode: tuple[str, str, str]) -> tuple[Path, Metafile]:
    """The exposure and its metafile."""
    path = folder / "jw00001001001_01_msa.fits"
    if not path.exists():
        write(path, rows(3 if mode[2] == "NRS1" else 2))
    rate = folder / "jw00001001001_03101_00001_nrs1_rate.fits"
    if not rate.exists():
        model = image(rate_model(*mode, path))
        model.meta.instrument.msa_metadata_file = path.name
        model.save(str(rate))
    return rate, Metafile.read(path)


def difference(ours: Any, stock: Any) -> float:
    """Largest difference relative to the stock value, and `MISSING` where only one of the two is NaN."""
    a, b = np.asarray(ours, float), np.asarray(stock, float)
    if a.shape != b.shape or (np.isnan(a) != np.isnan(b)).any():
        return MISSING
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nanmax(np.where(a == b, 0.0, np.abs(a - b) / np.abs(b)), initial=0.0))


def compare(ours: Path, stock: Path) -> dict[str, Any]:
    """Differences of arrays, WCS and headers."""
    with datamodels.open(ours) as one, datamodels.open(stock) as other:
        a, b = one.slits[0], other.slits[0]
        found = {name: difference(getattr(a, name), getattr(b, name)) for name in ARRAYS}
        y, x = np.mgrid[: b.data.shape[0], : b.data.shape[1]]
        sky = b.meta.wcs(x, y)
        found["wcs"] = max(difference(u, v) for u, v in zip(a.meta.wcs(x, y), sky, strict=True))
        middle = [float(np.nanmedian(c)) for c in sky]
        back = [w.meta.wcs.invert(*middle, with_bounding_box=False) for w in (a, b)]
        found["inverse"] = max(difference(u, v) for u, v in zip(*back, strict=True))
        slit = {
            "state": b.shutter_state,
            "type": b.source_type,
            "shape": b.data.shape,
            "good": np.isfinite(b.data).sum(),
        }
    cards = []
    with fits.open(ours) as one, fits.open(stock) as other:
        for a, b in zip(one, other, strict=True):
            keys = sorted((set(a.header) | set(b.header)) - IGNORED)
            cards += [f"{a.name} {k}" for k in keys if k and a.header.get(k) != b.header.get(k)]
    return {"differ": found, "cards": cards, "slit": {k: str(v) for k, v in slit.items()}}


def twice(rate: Path, metafile: Metafile, source: int, folder: Path, options: SourceOptions, x: float | None) -> Any:
    """Calibrate in both ways."""
    own = folder / f"{source}_msa.fits"
    metafile.for_source(source, 1, options).write(own)
    made = {}
    for run in (calibrate_slit, run_spec2):
        place = folder / run.__name__
        place.mkdir(exist_ok=True)
        try:
            made[run] = run(rate, own, place, f"jw_{source}", {}, x)
        except (NoWork, NoDataOnDetectorError):
            made[run] = None
    if None in made.values():
        return "no work" if set(made.values()) == {None} else "only one found work"
    return compare(made[calibrate_slit], made[run_spec2])


def main(folder: Path, mode: tuple[str, str, str], sources: list[int]) -> None:
    """All sources, one after another, and the first once more."""
    logging.disable(logging.WARNING)
    rate, metafile = make(folder, mode)
    before = rate.read_bytes()
    found = {}
    for source in sources:
        extended = SourceOptions(source_type="extended" if source == 21 else "point")
        found[str(source)] = twice(rate, metafile, source, folder, extended, 0.2 if source == 20 else None)
    again = calibrate_slit(rate, folder / f"{sources[0]}_msa.fits", folder, "again", {})
    alike = compare(again, folder / run_spec2.__name__ / f"jw_{sources[0]}_cal.fits")["differ"]
    sys.stdout.write(json.dumps({"found": found, "again": alike, "edited": rate.read_bytes() != before}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:5]), [int(s) for s in sys.argv[5:]])
