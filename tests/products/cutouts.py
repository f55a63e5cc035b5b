"""Files of a slitlet's nods: painted by the model, calibrated as the stock pipeline would, and without their sky."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from nirfire.core.model_frames import Frames
from nirfire.core.slit_psf import SlitPsf
from nirfire.products.slitcal import N_ALONG, planned_hdu
from nirfire.tasks.nodsub import nodsub
from nirfire.tasks.settings import NodsubSettings
from tests.core.slitlets import SHUTTERS, blank, lit, psf

ROOT = "jw01345062001_03101"
SOURCE = 7
N_WAVE = 60
LOSS = 0.8
"""Pathloss correction of the files."""


def nods(
    flux: float | np.ndarray = 30.0,
    n_exp: int = 3,
    *,
    seed: int | None = 1,
    noise: float = 1.0,
    offset: float = 0.0,
    size: float = 0.0,
    sky: float = 5.0,
    seen: SlitPsf | None = None,
) -> Frames:
    """Frames with one source, as they are before the sky is taken off; the pathloss is that of the files."""
    frames = blank(n_exp)
    passed = np.full(frames.flux.shape, LOSS)
    frames = Frames(**{**vars(frames), "passed": passed, "read": np.full(passed.shape, noise**2)})
    light = np.broadcast_to(flux, (1, *frames.flux.shape[1:]))
    return lit(frames, seen or psf(), light, offset=offset, size=size, sky=sky, seed=seed)


def write_cals(
    folder: Path,
    frames: Frames,
    *,
    source: int = SOURCE,
    detector: str = "nrs1",
    root: str = ROOT,
    others: Mapping[int, float] | None = None,
    **cards: object,
) -> list[Path]:
    """Write the ``_cal.fits`` of nods.

    `others` are sources that were planned so far from this one [pitch].
    """
    paths = []
    for k, (x, y) in enumerate(frames.sources[0]):
        own = round(float(y))
        state = "".join("x" if shutter == own else "1" for shutter in SHUTTERS)
        header = {"BUNIT": "MJy", "SLTSTRT1": 1, "SLTSTRT2": 1, "PTHLOSS": "POINT", "SHUTSTA": state}
        header |= {"SHUTTRID": N_ALONG * (own - 1) + 100, "SRCXPOS": x, "SRCYPOS": y - own, "SOURCEID": source}
        header |= {"SRCRA": 10.0, "SRCDEC": -5.0, "SRCNAME": f"1_{source}"}
        primary = {"GRATING": "PRISM", "FILTER": "CLEAR", "EFFEXPTM": 50.0, "PATT_NUM": k + 1, "SRCFLUX": True}
        centre = 0.5 * (frames.place[1:] + frames.place[:-1])
        divided = frames.flux[k] * 1e-12 / LOSS
        parts = {name: getattr(frames, name)[k] * 1e-24 / LOSS**2 for name in ("photon", "read")}
        planes = {
            "SCI": np.where(frames.good[k], divided, np.nan),
            "ERR": np.sqrt(parts["photon"] + parts["read"]),
            "DQ": np.where(frames.good[k], 0, 1).astype(np.uint32),
            "VAR_POISSON": parts["photon"],
            "VAR_RNOISE": parts["read"],
            "VAR_FLAT": np.zeros(divided.shape),
            "WAVELENGTH": frames.centre,
            "PATHLOSS_PS": np.full(divided.shape, LOSS),
            "PATHLOSS_UN": np.full(divided.shape, 2 * LOSS),
            "SLIT_Y": centre,
        }
        top = fits.PrimaryHDU()
        top.header.update({**primary, **cards})
        hdus = [top]
        for name, data in planes.items():
            image = fits.ImageHDU(data, name=name)
            if name == "SCI":
                image.header.update(header)
            hdus.append(image)
        hdus.append(planned_hdu({source: (x, y), **{n: (x, y + far) for n, far in (others or {}).items()}}))
        paths.append(folder / f"{root}_{k + 1:05d}_{detector}_{source}_cal.fits")
        fits.HDUList(hdus).writeto(paths[-1], overwrite=True)
    return paths


def without_sky(cals: Sequence[Path], n_science: int | None = None, **arguments: object) -> list[Path]:
    """Take the sky off, and return the ``_cal_bkgsub.fits``."""
    outputs = [path.with_name(path.name.replace("_cal", "_cal_bkgsub")) for path in cals][:n_science]
    nodsub(list(cals), outputs, NodsubSettings(spikes=0.0), **arguments)
    return outputs


def copied(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The same files in another folder, to be changed."""
    return [Path(shutil.copy(path, folder)) for path in paths]


def renamed(paths: Sequence[Path], folder: Path, old: str, new: str) -> list[Path]:
    """The same files without sky as those of another visit or detector."""
    made = [path.rename(path.with_name(path.name.replace(old, new))) for path in copied(paths, folder)]
    for path in made:
        with fits.open(path, mode="update") as hdus:
            names = hdus["BKG_EXPOSURES"].data
            names["exposure"] = [name.replace(old, new) for name in names["exposure"]]
    return made
