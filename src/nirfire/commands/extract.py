"""`extract`: the spectrum of any slitlet, with the sky, place and size that the user chooses, outside a run."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits

from nirfire.commands.output import say, show_rows
from nirfire.errors import DataError, NoWork
from nirfire.pipeline.config import Configuration
from nirfire.pipeline.environment import context_name, reference_environment, thread_environment
from nirfire.pipeline.target import Layers
from nirfire.products.fitsfile import open_fits, require
from nirfire.products.naming import BKGSUB, S2D, SKY, ExposureName
from nirfire.products.offsets import read_offset
from nirfire.products.rate import is_simulated
from nirfire.products.slitcal import BKG, BKG_NODS, VAR_BKG, SlitCal
from nirfire.products.spectrum import Spectrum

Sky = Literal["nods", "global", "none"]
HEADINGS = {
    "source": "source",
    "grating": "grating",
    "method": "method",
    "offset": 'offset along the slitlet ["]',
    "size": 'size (sigma) ["]',
    "snr": "median S/N per bin",
}
MODEL_ONLY = "place and size are those of the model"


@dataclass(frozen=True)
class ExtractOptions:
    """What is asked for.

    Attributes
    ----------
    out : Path
        The ``_spec.fits`` to write.
    place, size : float or None [arcsec]
        Place along the slitlet, from the planned one, and standard deviation of a round Gaussian source.
    like : Path or None
        Spectrum of another source whose place and size are taken as they are.
    fit : bool
        Fit place and size, with those above as what is known of them before.
    method : {"model", "horne"} or None
        None: as configured.
    sky : {"nods", "global", "none"} or None
        Sky that is subtracted from files that still have it. None: as configured.
    sky_models : sequence of Path
        ``_sky.fits`` of the exposures.
    offsets : sequence of Path
        ``_offsets.fits`` of the visits and activities.
    """

    out: Path
    place: float | None = None
    size: float | None = None
    like: Path | None = None
    fit: bool = True
    method: Literal["model", "horne"] | None = None
    sky: Sky | None = None
    sky_models: Sequence[Path] = ()
    offsets: Sequence[Path] = ()

    @property
    def shaped(self) -> bool:
        """True when something is said of place or size."""
        return self.place is not None or self.size is not None or self.like is not None or not self.fit


@dataclass(frozen=True)
class Cutout:
    """What the headers of a cutout say.

    Attributes
    ----------
    path : Path
    source : int
    mode : str
        Grating and filter.
    name : ExposureName
    subtracted : bool
        Its sky is taken out already.
    simulated : bool
        It is of the embedded instrument.
    """

    path: Path
    source: int
    mode: str
    name: ExposureName
    subtracted: bool
    simulated: bool

    @classmethod
    def read(cls, path: Path) -> Cutout:
        """Look at the headers of a ``_cal.fits`` or ``_cal_bkgsub.fits``.

        Raises
        ------
        DataError
            It is another kind of file.
        """
        name = ExposureName.from_path(path)
        if name is None:
            raise DataError("its name does not begin with that of an exposure", file=path, remedy="keep file names")
        with open_fits(path) as hdus:
            if "SCI" not in hdus:
                raise DataError("it is no cutout", file=path, key="SCI", remedy="give _cal.fits or _cal_bkgsub.fits")
            top, header, subtracted = hdus[0].header, hdus["SCI"].header, BKG in hdus
            source = require(header, "SOURCEID", file=path, why="which source")
            mode = " ".join(str(require(top, key, file=path, why="which mode")) for key in ("GRATING", "FILTER"))
            return cls(path, int(str(source)), mode, name, subtracted, is_simulated(top))


def extract(files: Sequence[Path], options: ExtractOptions, layers: Layers) -> None:
    """Extract one spectrum from cutouts of one slitlet and mode.

    Raises
    ------
    DataError
        Files or options cannot be used, or do not go together.
    """
    cutouts = _cutouts(files)
    configuration = layers.resolve().configuration
    method = options.method or configuration.extract.method
    _check(cutouts, options, method)
    shape = _shape(cutouts[0].source, options, configuration)
    offsets = {root: found for path in options.offsets for root, found in read_offset(path).items()}
    _enter(cutouts, configuration)
    with tempfile.TemporaryDirectory(prefix="nirfire-extract-") as folder:
        inputs = _without_sky(cutouts, options, configuration, Path(folder))
        if method == "horne":
            _horne(inputs, cutouts[0].source, options.out, configuration, Path(folder))
        else:
            from nirfire.tasks import extract as task

            settings = configuration.extract
            given: dict[str, Any] = {"shape": shape, "offsets": offsets, "photometry": settings.photometry}
            task.extract(inputs, options.out, cutouts[0].source, settings, **given)
    _tell(options.out)


def _cutouts(files: Sequence[Path]) -> list[Cutout]:
    """Look at all files; they are of one slitlet and one mode."""
    cutouts = sorted((Cutout.read(path) for path in files), key=lambda c: (c.name, c.path))
    first = cutouts[0]
    for other in cutouts[1:]:
        for key, one, two in (("SOURCEID", first.source, other.source), ("GRATING", first.mode, other.mode)):
            if one != two:
                said = f"{two}, but {first.path.name} has {one}"
                raise DataError(said, file=other.path, key=key, remedy="give files of one source and grating")
        if first.subtracted != other.subtracted:
            said = "its sky is subtracted, that of others is not" if other.subtracted else "it still has its sky"
            raise DataError(said, file=other.path, key=BKG, remedy="give _cal.fits only, or _cal_bkgsub.fits only")
    seen: dict[ExposureName, Path] = {}
    for c in cutouts:
        if c.name in seen:
            raise DataError(f"the same exposure as {seen[c.name]}", file=c.path, remedy="give each exposure once")
        seen[c.name] = c.path
    return cutouts


def _check(cutouts: list[Cutout], options: ExtractOptions, method: str) -> None:
    """Refuse options that do nothing."""
    first = cutouts[0]
    if method == "horne" and (options.shaped or options.offsets):
        raise DataError(MODEL_ONLY, key="--method", remedy="leave --method horne out, or --place, --size, --like, ...")
    if first.subtracted and (options.sky or options.sky_models):
        raise DataError("its sky is subtracted", file=first.path, key="--sky", remedy="give the _cal.fits instead")
    if options.sky == "global" and not options.sky_models:
        remedy = "add --sky-model with the _sky.fits of each exposure (nirfire run makes them)"
        raise DataError("a global sky has to come from somewhere", key="--sky", remedy=remedy)
    if options.sky_models and options.sky != "global":
        raise DataError("sky models serve for a global sky", key="--sky-model", remedy="add --sky global")
    for path in options.sky_models:
        if not path.name.endswith(SKY):
            raise DataError("no sky of an exposure", file=path, key="--sky-model", remedy=f"give files *{SKY}")


def _shape(source: int, options: ExtractOptions, configuration: Configuration) -> dict[str, Any]:
    """What is known of the source: by the configuration, by the other spectrum, by the options; later ones win."""
    own = configuration.extract.shapes.get(source)
    shape: dict[str, Any] = own.model_dump(exclude_none=True) if own else {}
    if options.like is not None:
        shape |= _shape_of(options.like) | {"fit": False}
    for name, value in (("offset", options.place), ("size", options.size)):
        if value is not None:
            shape.pop(f"{name}_err", None)
            shape[name] = value
    return shape if options.fit else shape | {"fit": False}


def _shape_of(spec: Path) -> dict[str, float]:
    """Place and size, with their errors, that were found with a spectrum."""
    meta = Spectrum.read(spec).meta
    cards = {"offset": "NFOFFSET", "offset_err": "NFOFFERR", "size": "NFSIZE", "size_err": "NFSIZERR"}
    for key in cards.values():
        if key not in meta:
            raise DataError(
                "it does not say where its source is", file=spec, key=key, remedy="give a spectrum of method model"
            )
    found = {name: float(meta[key][0]) for name, key in cards.items()}
    return {name: value for name, value in found.items() if value > 0 or not name.endswith("_err")}


def _enter(cutouts: list[Cutout], configuration: Configuration) -> None:
    """Take on the environment of the references; the stock pipeline is imported later."""
    embedded = all(c.simulated for c in cutouts) or "CRDS_PATH" not in os.environ  # then real ones get the shipped PSF
    pinned = configuration.execution.crds_context
    context = context_name(embedded=embedded, pinned=pinned, last="", online=True)
    os.environ.update(reference_environment(context, embedded=embedded, say=say) | thread_environment())


def _without_sky(
    cutouts: list[Cutout], options: ExtractOptions, configuration: Configuration, folder: Path
) -> list[Path]:
    """The cutouts without sky; they are made when they have it still."""
    if cutouts[0].subtracted:
        return [c.path for c in cutouts]
    made = {c: folder / f"{c.name}_{c.source}{BKGSUB}" for c in cutouts}
    if options.sky == "none":
        for c, path in made.items():
            _as_it_is(c.path, path)
        return list(made.values())
    from nirfire.tasks.nodsub import nodsub

    groups: dict[tuple[str, str], list[Cutout]] = defaultdict(list)
    for c in cutouts:
        groups[c.name.root, c.name.detector].append(c)
    settings = configuration.nodsub
    wanted = options.sky or settings.backgrounds.get(cutouts[0].source)
    reasons: list[NoWork] = []
    for mine in groups.values():
        try:
            nodsub([*(c.path for c in mine), *options.sky_models], [made[c] for c in mine], settings, wanted)
        except NoWork as reason:
            say(f"note: left out: {reason}")
            reasons.append(reason)
    found = [path for path in made.values() if path.exists()]
    if not found:
        raise reasons[0]
    return found


def _as_it_is(cal: Path, target: Path) -> None:
    """A cutout whose sky stays in, in the form of one without it."""
    slit = SlitCal.read(cal)
    planes: list[Any] = [fits.ImageHDU(np.zeros(slit.shape, np.float32), name=name) for name in (BKG, VAR_BKG)]
    planes.append(fits.ImageHDU(np.zeros(slit.shape, np.int32), name=BKG_NODS))
    cards = {"NFSKY": ("none", "sky is left in"), "NFUSABLE": (int((~slit.bad).sum()), "usable pixels")}
    slit.write(target, cards, planes)


def _horne(inputs: list[Path], source: int, out: Path, configuration: Configuration, folder: Path) -> None:
    from nirfire.tasks.horne import horne
    from nirfire.tasks.stack import stack

    s2d = folder / f"stack{S2D}"
    stack(inputs, s2d, configuration.stack)
    horne(inputs, [s2d], out, source, configuration.extract, configuration.extract.photometry)


def _tell(out: Path) -> None:
    found = Spectrum.read(out)
    card = {key: value for key, (value, _) in found.meta.items()}
    good = ~found.mask
    row = {
        "source": card["SOURCEID"],
        "grating": found.grating,
        "method": card["NFMETHOD"],
        "offset": card.get("NFOFFSET"),
        "size": card.get("NFSIZE"),
        "snr": float(np.median(found.flux[good] / found.err[good])),
    }
    show_rows(HEADINGS, [row])
    say(f"written: {out}")
