"""The points of a ``_spec.fits``, read fast: the same as `products.spectrum.Spectrum.read` gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nirfire.errors import DataError
from nirfire.inspect.quickfits import QuickFits
from nirfire.products.spectrum import REMEDY, SCHEMA

NEEDED = ("wave", "flux", "err")


class Points(NamedTuple):
    """A spectrum, shape (n_wave,) each."""

    wave: np.ndarray  # um
    flux: np.ndarray  # uJy; NaN where not known
    err: np.ndarray
    known: np.ndarray  # bool
    table: dict[str, np.ndarray]  # all columns of SPEC1D

    @property
    def ivar(self) -> np.ndarray:
        """Inverse variance, zero where not known [1 / uJy2]."""
        return np.where(self.known, 1.0 / np.where(self.known, self.err, 1.0) ** 2, 0.0)


def points_of(spec: QuickFits) -> Points:
    """The points of a spectrum.

    Raises
    ------
    DataError
        No SPEC1D table, a column is missing, or the file is of a later format.
    """
    schema = str(spec.primary.get("NFSCHEMA", SCHEMA))
    if schema.split(".")[0] != SCHEMA.split(".")[0]:
        text = f"format {schema} of the spectrum, expected {SCHEMA}"
        raise DataError(text, file=spec.path, key="NFSCHEMA", remedy=REMEDY)
    table = spec.table("SPEC1D")
    for column in NEEDED:
        if column not in table:
            raise DataError(f"column {column} is missing", file=spec.path, key=f"SPEC1D.{column}", remedy=REMEDY)
    wave, flux, err = (table[column].astype(float) for column in NEEDED)
    known = np.isfinite(flux) & np.isfinite(err) & (err > 0)
    if "mask" in table:
        known &= ~table["mask"].astype(bool)
    return Points(wave, np.where(known, flux, np.nan), np.where(known, err, np.nan), known, table)
