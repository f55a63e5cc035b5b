"""Where the plan puts a source in its cutouts, through the WCS that the product carries."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from nirfire.products.fitsfile import open_fits

N_POINTS = 12


def source_rows(cals: list[Path]) -> list[np.ndarray | None]:
    """Row of the source in single-slit cutouts.

    Parameters
    ----------
    cals : list of Path
        ``_cal.fits`` or ``_cal_bkgsub.fits``.

    Returns
    -------
    list of (ndarray, shape (n_wave,) [pixel from 0] or None)
        Row of the planned position at each column; None for a product without WCS or source position.

    Notes
    -----
    The WCS is inverted at a few wavelengths, and the row drawn between them by a straight line in column.
    """
    import asdf

    with asdf.config_context() as options:
        options.validate_on_read = False  # our own files: validation takes longer than all the rest
        return [_rows(path) for path in cals]


def _rows(cal: Path) -> np.ndarray | None:
    import asdf

    with open_fits(cal) as hdus:
        if "ASDF" not in hdus or "WAVELENGTH" not in hdus:
            return None
        raw = hdus["ASDF"].data["ASDF_METADATA"][0].tobytes()
        header, wave = hdus["SCI"].header, hdus["WAVELENGTH"].data
        sky = header.get("SRCRA"), header.get("SRCDEC")
        n_wave = wave.shape[1]
        finite = wave[np.isfinite(wave) & (wave > 0)]
    if None in sky or finite.size == 0:
        return None
    at = np.geomspace(finite.min(), finite.max(), N_POINTS + 2)[1:-1]
    ra, dec = (np.full(at.shape, value) for value in sky)
    with asdf.open(io.BytesIO(raw), lazy_tree=True) as tree:
        slits = tree["slits"] if "slits" in tree.tree else None
        wcs = slits[0].get("meta", {}).get("wcs") if slits else None
        if wcs is None:
            return None
        with np.errstate(over="ignore"):  # far outside the slit; not drawn
            column, row = wcs.invert(ra, dec, at, with_bounding_box=False)[:2]
    good = np.isfinite(column) & np.isfinite(row)
    if good.sum() < 2:
        return None
    order = np.argsort(column[good])
    return np.interp(np.arange(n_wave), column[good][order], row[good][order])
