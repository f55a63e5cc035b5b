"""What an observation consists of: exposures and cutouts, and at which stage each enters the chain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from astropy.io import fits

from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.products.msa import Metafile
from nirfire.products.naming import CAL, RATE, RATERAW, UNCAL, ExposureName, Workspace
from nirfire.products.rate import EXP_TYPE, ExposureHeader, read_exposure_header

CLEANED_KEY = "NFVSCALE"
ORDER = (UNCAL, RATERAW, RATE)  # of two files of one exposure the one further along is taken
SOURCE_CAL = re.compile(r"jw\d{11}_\d{5}_\d{5}_nrs[12]_(?P<source>\d+)_cal\.fits")
LOOK_INTO = "give the folder that holds the exposures"


@dataclass(frozen=True)
class Exposure:
    """One exposure on one detector.

    Attributes
    ----------
    name : ExposureName
        Its name.
    path : Path
        The file.
    enters : str
        As what it enters the chain: the suffix ``_uncal.fits``, ``_rateraw.fits`` or ``_rate.fits``. A stock rate file
        enters as ``_rateraw.fits``, a rate file that nirfire cleaned as ``_rate.fits``.
    header : ExposureHeader
        What its headers say.
    sources : tuple of int
        Every source in its slitlets.
    blank : tuple of int
        Its virtual sources, which are pieces of sky.
    """

    name: ExposureName
    path: Path
    enters: str
    header: ExposureHeader
    sources: tuple[int, ...]
    blank: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cutout:
    """One source in one exposure, calibrated already.

    Attributes
    ----------
    name : ExposureName
        The exposure.
    source : int
        The source.
    path : Path
        The file.
    ours : bool
        True for a ``_cal.fits`` of nirfire, False for a single-slit cutout of others.
    grating, filter : str
        Optical elements.
    """

    name: ExposureName
    source: int
    path: Path
    ours: bool
    grating: str
    filter: str


@dataclass(frozen=True)
class Inputs:
    """What there is to process, and what cannot be used.

    Attributes
    ----------
    exposures : list of Exposure
        Sorted by name.
    cutouts : list of Cutout
        Sorted by name.
    problems : list of DataError
        Files that cannot be used, with the reason.
    lost : list of (ExposureName, int or None)
        The exposures of those files, with the source where it is a cutout: what is made without them is not complete.
    """

    exposures: list[Exposure] = field(default_factory=list)
    cutouts: list[Cutout] = field(default_factory=list)
    problems: list[DataError] = field(default_factory=list)
    lost: list[tuple[ExposureName, int | None]] = field(default_factory=list)

    @property
    def embedded(self) -> bool:
        """True when the embedded instrument's references serve: for its own exposures, and where none is read."""
        return all(e.header.simulated for e in self.exposures)


def files_in(folder: Path) -> list[Path]:
    """The ``jw*.fits`` files of a folder, not searched below.

    Raises
    ------
    DataError
        There is no such folder.
    """
    if not folder.is_dir():
        raise DataError("folder not found", file=folder, remedy=LOOK_INTO)
    return sorted(folder.glob("jw*.fits"))


def discover(files: Iterable[Path], *, folder: Path, gratings: frozenset[str] | None = None) -> Inputs:
    """Find out what files hold and at which stage they enter.

    Parameters
    ----------
    files : iterable of Path
        FITS files; those that are no MOS exposure or cutout are passed over.
    folder : Path
        Where they lie, for messages.
    gratings : frozenset of str, optional
        Only these dispersers.

    Returns
    -------
    Inputs

    Raises
    ------
    DataError
        Nothing can enter.
    """
    inputs = Inputs()
    entering: dict[ExposureName, tuple[str, Path]] = {}
    for path in sorted(files):
        name = ExposureName.from_path(path)
        if name is None:
            continue
        try:
            enters = _look_at(path, name, inputs)
        except DataError as error:
            cutout = SOURCE_CAL.fullmatch(path.name)
            inputs.problems.append(error)
            inputs.lost.append((name, int(cutout["source"]) if cutout else None))
            continue
        if enters and (name not in entering or ORDER.index(enters) > ORDER.index(entering[name][0])):
            entering[name] = (enters, path)
    metafiles: dict[Path, Metafile] = {}
    for name, (enters, path) in sorted(entering.items()):
        try:
            inputs.exposures.append(_exposure(name, path, enters, metafiles))
        except DataError as error:
            inputs.problems.append(error)
            inputs.lost.append((name, None))
    if not (inputs.exposures or inputs.cutouts or inputs.problems):
        raise DataError(
            "no exposure found (jw*_uncal.fits, jw*_rate.fits, jw*_<source>_cal.fits or single-slit cutouts)",
            file=folder,
            remedy=LOOK_INTO,
        )
    if gratings is not None:
        inputs.exposures[:] = [e for e in inputs.exposures if e.header.grating in gratings]
        inputs.cutouts[:] = [c for c in inputs.cutouts if c.grating in gratings]
    return inputs


def _look_at(path: Path, name: ExposureName, inputs: Inputs) -> str:
    """Note a cutout, or tell as what an exposure enters; empty for other files."""
    with open_fits(path) as hdus:
        header = hdus[0].header
        if header.get("EXP_TYPE", EXP_TYPE) != EXP_TYPE:  # target acquisition, images
            return ""
        for suffix in (UNCAL, RATERAW):
            if path.name.endswith(suffix):
                return suffix
        if path.name.endswith(RATE):
            return RATE if CLEANED_KEY in header else RATERAW
        if match := SOURCE_CAL.fullmatch(path.name):
            source = int(match["source"])
        elif header.get("DATAMODL") == "SlitModel" and "SCI" in hdus and "SOURCEID" in hdus["SCI"].header:
            source = int(hdus["SCI"].header["SOURCEID"])
        else:
            return ""
        inputs.cutouts.append(_cutout(path, name, source, match is not None, header))
    return ""


def _cutout(path: Path, name: ExposureName, source: int, ours: bool, header: fits.Header) -> Cutout:
    grating, filter_ = (str(header.get(key, "")) for key in ("GRATING", "FILTER"))
    return Cutout(name, source, path, ours, grating, filter_)


def _exposure(name: ExposureName, path: Path, enters: str, metafiles: dict[Path, Metafile]) -> Exposure:
    header = read_exposure_header(path)
    if header.metafile not in metafiles:
        metafiles[header.metafile] = Metafile.read(header.metafile)
    metafile, number = metafiles[header.metafile], header.metadata_id
    sources, blank = metafile.source_ids(number), metafile.virtual_ids(number)
    return Exposure(name, path, enters, header, tuple(sources), tuple(blank))


def link_in(inputs: Inputs, workspace: Workspace) -> None:
    """Put links to the given files into the workspace, where its products have their names.

    Parameters
    ----------
    inputs : Inputs
        The given files: they are read where they lie, and never changed.
    workspace : Workspace
        Where the links go. MSA metafiles must lie beside the products that name them.

    Raises
    ------
    DataError
        The workspace holds a product of its own in the place of a given file.
    """
    for exposure in inputs.exposures:
        _link(exposure.header.metafile, workspace.exposures / exposure.header.metafile.name)
        if exposure.enters != UNCAL:
            _link(exposure.path, workspace.exposure(exposure.name, exposure.enters))
    for cutout in inputs.cutouts:
        if cutout.ours:
            _link(cutout.path, workspace.slit(cutout.name, cutout.source, CAL))


def _link(given: Path, link: Path) -> None:
    if link.is_symlink():
        if link.readlink() == given:
            return
        link.unlink(missing_ok=True)
    if link.exists():
        if link.samefile(given):
            return
        raise DataError(
            f"the workspace has its own file in the place of the given {given}",
            file=link,
            remedy="use another workspace (-w), or leave the given file out",
        )
    link.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # another shard was faster
        link.symlink_to(given)
