"""clean: raw count rates to count rates with a flat zero background and honest read noise."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from nirfire.core.background import (
    BANDS,
    Background,
    BackgroundOptions,
    Sky,
    block_means,
    robust_width,
    spread_sample,
)
from nirfire.core.iterative import fit_iterative
from nirfire.core.joint import fit_joint
from nirfire.core.sky import DO_NOT_USE, sky_bits
from nirfire.core.variance import output_factors
from nirfire.errors import DataError
from nirfire.products.rate import WHOLE_FACTOR, Cleaning, RateImage, read_exposure_header
from nirfire.products.regions import mask_of_regions
from nirfire.stsci.traces import TraceOptions, picture_frame, trace_masks
from nirfire.tasks.settings import CleanSettings

FITS = {"joint": fit_joint, "iterative": fit_iterative}
DRAWN = 4
"""Components are kept in means of this many pixels squared."""

log = logging.getLogger(__name__)


def clean(rateraw: Path, rate: Path, settings: CleanSettings, regions: str = "") -> None:
    """Subtract the background of one exposure and rescale its read noise.

    Parameters
    ----------
    rateraw : Path
        The ``_rateraw.fits``; a ``_rate.fits`` that was cleaned before is first restored.
    rate : Path
        The ``_rate.fits`` to write, with extensions BKG, BKGMASK, BKGPARTS, BKGBANDS and SLITLETS.
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
    image = RateImage.read_raw(rateraw)
    options = TraceOptions(settings.margin, settings.second_orders, settings.zero_orders)
    traces = trace_masks(rateraw, facts.metafile, options)
    masked = mask_of_regions(regions, image.dq.shape, file=rateraw)
    sky = sky_bits(
        image.sci,
        image.dq,
        traces=traces.planned,
        failed_open=traces.failed_open,
        orders=traces.orders,
        manual=masked & (image.dq & DO_NOT_USE == 0),
    )
    usable = sky == Sky.FITTED
    if not usable.any():
        raise DataError(_why_no_sky(sky), file=rateraw, remedy="look at DQ, the metafile and the masks")
    if not (image.var_rnoise[usable] > 0).any():
        raise DataError("no sky pixel has a readout variance", file=rateraw, key="VAR_RNOISE", remedy="redo detector")
    if robust_width(spread_sample(image.sci, usable))[1] == 0:
        raise DataError("the sky has no noise: its count rates are the same", file=rateraw, remedy="leave it out")
    template = picture_frame(rateraw) if settings.picture_frame else None
    if settings.picture_frame and template is None:
        log.warning("%s: CRDS has no picture-frame reference for this exposure; it is not fitted", rateraw.name)
    finite = np.nan_to_num(image.sci)
    found = FITS[settings.mode](finite, usable, image.var_rnoise, template, _options(settings, facts.grating))
    log.info("background, rms change of each pass [DN/s]: %s", ", ".join(f"{c:.2g}" for c in found.changes))
    background = np.zeros(image.sci.shape) + found.total
    whole, factors = _noise(finite - background, image, usable, found.n_effective, settings)
    cleaning = Cleaning(
        background=background,
        sky=sky,
        parts={name: block_means(part, (DRAWN, DRAWN)) for name, part in found.parts.items()},
        bands=_bands(found),
        slitlets=traces.slitlets,
        noise_factors=factors,
        cards=_cards(settings.mode, found, template is not None)
        | {
            WHOLE_FACTOR: (whole, "factor applied to VAR_RNOISE, whole image"),
            "NFSKYPIX": (float(usable.mean()), "share of pixels the background is fitted to"),
        },
    )
    image.write_cleaned(rate, cleaning)


def _options(settings: CleanSettings, grating: str) -> BackgroundOptions:
    return BackgroundOptions(
        n_iter=settings.n_iter,
        boxes=settings.boxes,
        picture_frame=settings.picture_frame,
        surface=settings.surface,
        columns=settings.columns,
        rows=grating == "PRISM" if settings.rows is None else settings.rows,
    )


def _noise(
    residual: np.ndarray, image: RateImage, usable: np.ndarray, n_effective: float, settings: CleanSettings
) -> tuple[float, np.ndarray]:
    """Factors on VAR_RNOISE, of the whole image and of each output; 1 when switched off."""
    if settings.noise == "off":
        return 1.0, np.ones(BANDS)
    return output_factors(
        residual,
        image.var_rnoise,
        image.var_poisson,
        usable,
        n_effective=n_effective,
        each=settings.noise == "output",
    )


def _bands(found: Background) -> Table:
    columns = {name: getattr(found, name) for name in ("scale", "scale_err", "pedestal", "pedestal_err")}
    return Table({"band": np.arange(1, BANDS + 1, dtype=np.int32), **columns})


def _cards(mode: str, found: Background, has_frame: bool) -> dict[str, tuple[Any, str]]:
    return {
        "NFBKGMOD": (mode, "how the background was fitted"),
        "NFBKGITR": (len(found.changes), "passes"),
        "NFBKGCHG": (float(found.changes[-1]), "[DN/s] rms change in the last background pass"),
        "NFBKGPF": (has_frame, "a picture-frame template was fitted"),
    }


def _why_no_sky(sky: np.ndarray) -> str:
    shares = {str(bit.name): float(np.mean(sky & bit > 0)) for bit in Sky if bit is not Sky.FITTED}
    said = ", ".join(f"{name.lower().replace('_', ' ')} {share:.0%}" for name, share in shares.items() if share > 0)
    return f"no pixel is free of traces and defects ({said})"
