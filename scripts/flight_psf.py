"""Decompose the flight pathloss reference into the PSF that nirfire ships for cutouts without CRDS.

Usage::

    python scripts/flight_psf.py jwst_nirspec_pathloss_0002.fits [OUTPUT.json]

The output holds the weights of `nirfire.core.slit_psf.WIDTHS` at the wavelengths of the reference, and its name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from stdatamodels.jwst import datamodels

from nirfire.core.slit_psf import WIDTHS
from nirfire.stsci.slit_loss import FLIGHT, SlitLoss


def main() -> None:
    """Write the file."""
    reference = Path(sys.argv[1])
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else FLIGHT
    psf = SlitLoss(datamodels.PathlossModel(str(reference))).psf()
    content = {
        "reference": reference.name,
        "widths": np.round(WIDTHS, 6).tolist(),
        "wave": np.round(psf.wave, 6).tolist(),
        "weights": np.round(psf.weights, 6).tolist(),
    }
    output.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
