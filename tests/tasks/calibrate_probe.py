"""The task calibrate with its options, on one exposure; run with the CRDS environment set.

Usage: python -m tests.tasks.calibrate_probe FOLDER [strun]. Prints, as JSON, what test_calibrate.py asks about.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from jwst.stpipe import Step

from nirfire.products.naming import calibration_inputs
from nirfire.stsci.spec2 import PreparedExposure
from nirfire.tasks.calibrate import calibrate
from nirfire.tasks.settings import CalibrateSettings
from tests.stsci.spec2_twice import make

MODE = ("F070LP", "G140M", "NRS1")


class Bench:
    """One exposure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rate, _ = make(folder, MODE)

    def __call__(self, name: str, source: int = 13, place: tuple[float, float] | None = None, **settings: Any) -> Path:
        cal = self.folder / f"jw00001001001_03101_00001_nrs1_{source}{name}_cal.fits"
        kind = settings.pop("kind", None)
        places = place and {1: place}
        calibrate(self.rate, cal, source, CalibrateSettings(**settings), positions=places, source_type=kind)
        return cal

    def look(self, name: str, **options: Any) -> dict[str, Any]:
        """Calibrate, and say what came out."""
        with fits.open(self(name, **options)) as hdus:
            header, sci = hdus["SCI"].header, hdus["SCI"].data
            cards = {k: hdus[0].header.get(k) for k in ("SRCFLUX", "STKSHTRS", "MSAMETFL", "S_BARSHA")}
            keys = ("BUNIT", "PTHLOSS", "SRCTYPE", "SRCXPOS", "SRCYPOS", "SHUTSTA", "WAVECOR")
            cards |= {k: header.get(k) for k in keys}
            loss = {"POINT": "PATHLOSS_PS", "UNIFORM": "PATHLOSS_UN"}.get(header.get("PTHLOSS"))
            return cards | {
                "shape": sci.shape,
                "level": float(np.nanmedian(sci * (hdus[loss].data if loss else 1.0))),
                "good": int(np.isfinite(hdus["ERR"].data).sum()),
                "red": float(np.nanmax(np.where(np.isfinite(sci), hdus["WAVELENGTH"].data, np.nan))),
                "reach": float(np.nanmax(hdus["WAVELENGTH"].data)),
                "flagged": int((hdus["DQ"].data >> 30 & 1).sum()),
            }

    def without_flat_errors(self) -> dict[str, Any]:
        """Calibrate with flats whose errors are all NaN (NS-MOS02)."""
        step, overrides = PreparedExposure(self.rate, {})._pipeline.flat_field, {}
        for kind in ("fflat", "sflat", "dflat"):
            flat = getattr(step, f"override_{kind}")
            for part in flat.quadrants if kind == "fflat" else [flat]:
                part.err = np.full_like(part.data, np.nan)
                part.flat_table["error"] = np.nan
            path = overrides[f"override_{kind}"] = str(self.folder / f"bad_{kind}.fits")
            flat.save(path)
        return self.look("flat", steps={"flat_field": overrides})

    def by_hand(self) -> dict[str, bool]:
        """Repeat the run of a source by hand, as ``strun`` does it."""
        cal = self("kept", keep_inputs=True)
        folder = calibration_inputs(cal)
        parameters, association = (next(folder.glob(f"*{end}")).name for end in ("_spec2.asdf", "_asn.json"))
        (self.folder / "hand").mkdir()
        with contextlib.chdir(folder):
            Step.from_cmdline([parameters, association, f"--output_dir={self.folder / 'hand'}"])
        with fits.open(self.folder / "hand" / cal.name) as hand, fits.open(cal) as ours:
            return {n: bool(np.array_equal(hand[n].data, ours[n].data, equal_nan=True)) for n in ("SCI", "ERR", "DQ")}


def main(folder: Path, *, hand: bool) -> None:
    """Run what is asked."""
    logging.disable(logging.WARNING)
    bench = Bench(folder)
    if hand:
        found: dict[str, Any] = bench.by_hand()
    else:
        found = {
            "plain": bench.look(""),
            "sourceless": bench.look("", source=20),
            "extended": bench.look("e", kind="extended"),
            "bar shadow": bench.look("b", barshadow=True),
            "moved": bench.look("m", place=(0.7, 0.2)),
            "long slit": bench.look("l", long_slit=True),
            "wide": bench.look("w", wave_range=(0.7, 1.8)),
            "flat errors": bench.without_flat_errors(),
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), hand="strun" in sys.argv)
