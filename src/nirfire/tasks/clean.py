"""clean: raw count rates to count rates with a flat zero background and honest read noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from nirfire.core.background import FIXED_SLIT_ROWS, BackgroundOptions, fit_background, noise_scale
from nirfire.errors import DataError
from nirfire.products.rate import RateImage, read_exposure_header
from nirfire.products.regions import mask_of_regions
from nirfire.products.slitcal import DO_NOT_USE
from nirfire.stsci.traces import picture_frame, trace_mask
from nirfire.tasks.settings import CleanSettings

REFERENCE_BORDER = 4


def clean(rateraw: Path, rate: Path, settings: CleanSettings, regions: str = "") -> None:
    """Subtract the background of one exposure and rescale its read noise.

    Parameters
    ----------
    rateraw : Path
        The ``_rateraw.fits``.
    rate : Path
        The ``_rate.fits`` to write, with extensions BKG, BKGMASK and SLITLETS.
    settings : CleanSettings
        Configuration.
    regions : str
        DS9 regions in image coordinates; the pixels in them are marked DO_NOT_USE.

    Raises
    ------
    DataError
        The file is damaged or lacks a keyword, the regions cannot be used, or no pixel is free of traces.
    """
    facts = read_exposure_header(rateraw)
    image = RateImage.read(rateraw)
    if regions:
        masked = mask_of_regions(regions, image.dq.shape, file=rateraw)
        image = replace(image, dq=np.where(masked, image.dq | DO_NOT_USE, image.dq))
    traces, slitlets = trace_mask(rateraw, facts.metafile, margin=settings.margin)
    usable = sky_pixels(image, traces)
    if not usable.any():
        raise DataError("no pixel is free of traces and defects", file=rateraw, remedy="look at the metafile and DQ")
    rows = facts.grating == "PRISM" if settings.rows is None else settings.rows
    options = BackgroundOptions(
        n_iter=settings.n_iter,
        boxes=settings.boxes,
        picture_frame=settings.picture_frame,
        surface=settings.surface,
        columns=settings.columns,
        rows=rows,
    )
    finite = np.nan_to_num(image.sci)
    background, changes = fit_background(finite, usable, picture_frame(rateraw), options)
    scale = noise_scale(finite - background, image.var_rnoise, usable)
    cards = {
        "NFBKGCHG": (float(changes[-1]), "[DN/s] rms change in the last background pass"),
        "NFVSCALE": (scale, "factor applied to VAR_RNOISE"),
        "NFSKYPIX": (float(usable.mean()), "share of pixels the background is fitted to"),
    }
    image.write_cleaned(rate, background, usable, slitlets, scale, cards)


def sky_pixels(image: RateImage, traces: np.ndarray) -> np.ndarray:
    """Pixels to fit the background to, shape (n_y, n_x): off traces and fixed slits, usable, not at the border."""
    usable = ~traces & (image.dq & DO_NOT_USE == 0) & np.isfinite(image.sci)
    usable[FIXED_SLIT_ROWS[0] : FIXED_SLIT_ROWS[1]] = False
    inner = np.zeros(usable.shape, dtype=bool)
    inner[REFERENCE_BORDER:-REFERENCE_BORDER, REFERENCE_BORDER:-REFERENCE_BORDER] = True
    return usable & inner
