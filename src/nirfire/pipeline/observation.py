"""What a folder of input files holds, and at which stage each enters the chain."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import CAL, RATE, RATERAW, UNCAL, ExposureName, Workspace
from nirfire.products.rate import EXP_TYPE, is_simulated

CLEANED_KEY = "NFVSCALE"
SOURCE_CAL = re.compile(r"jw\d{11}_\d{5}_\d{5}_nrs[12]_(?P<source>\d+)_cal\.fits")


@dataclass(frozen=True)
class Inputs:
    """Input files by the stage at which they enter.

    Attributes
    ----------
    uncal, rateraw, rate : dict of ExposureName to Path
        Ramps; count rates to be cleaned; count rates that nirfire has cleaned.
    cals : dict of (ExposureName, int) to Path
        Per-source ``_cal.fits`` files of nirfire.
    cutouts : dict of (ExposureName, int) to Path
        Flux-calibrated single-slit cutouts with sky (SlitModel).
    simulated : bool
        True when all exposures come from the embedded instrument.
    problems : tuple of DataError
        Files that cannot be used, with the reason.
    """

    uncal: dict[ExposureName, Path] = field(default_factory=dict)
    rateraw: dict[ExposureName, Path] = field(default_factory=dict)
    rate: dict[ExposureName, Path] = field(default_factory=dict)
    cals: dict[tuple[ExposureName, int], Path] = field(default_factory=dict)
    cutouts: dict[tuple[ExposureName, int], Path] = field(default_factory=dict)
    simulated: bool = True
    problems: tuple[DataError, ...] = ()

    @property
    def needs_references(self) -> bool:
        """True when a stage that reads CRDS references will run."""
        return bool(self.uncal or self.rateraw or self.rate)

    def __len__(self) -> int:
        return sum(len(d) for d in (self.uncal, self.rateraw, self.rate)) + len(self.cals) + len(self.cutouts)


def discover(folder: Path) -> Inputs:
    """Sort the FITS files of a folder by the stage at which they enter.

    Parameters
    ----------
    folder : Path
        Folder with ``jw*.fits`` files; not searched below.

    Returns
    -------
    Inputs

    Raises
    ------
    DataError
        The folder is absent or holds nothing that can enter.
    """
    if not folder.is_dir():
        raise DataError("folder not found", file=folder, remedy="give the folder that holds the exposures")
    found: dict[str, dict] = {name: {} for name in ("uncal", "rateraw", "rate", "cals", "cutouts")}
    simulated, problems = [], []
    for path in sorted(folder.glob("jw*.fits")):
        name = ExposureName.from_path(path)
        if name is None:
            continue
        try:
            stage, source, ours = _stage(path)
        except DataError as error:
            problems.append(error)
            continue
        if stage is None:
            continue
        found[stage][name if source is None else (name, source)] = path
        simulated.append(ours)
    inputs = Inputs(**found, simulated=bool(simulated) and all(simulated), problems=tuple(problems))
    if len(inputs) == 0 and not problems:
        raise DataError(
            "no exposure found (jw*_uncal.fits, jw*_rate.fits, jw*_<source>_cal.fits or single-slit cutouts)",
            file=folder,
            remedy="give the folder that holds the exposures",
        )
    return inputs


def _stage(path: Path) -> tuple[str | None, int | None, bool]:
    """Stage at which a file enters (None: it does not), its source, and whether it is simulated."""
    with open_fits(path) as hdus:
        header = hdus[0].header
        ours = is_simulated(header)
        if header.get("EXP_TYPE", EXP_TYPE) != EXP_TYPE:  # target acquisition, images
            return None, None, ours
        if path.name.endswith(UNCAL):
            return "uncal", None, ours
        if path.name.endswith(RATERAW):
            return "rateraw", None, ours
        if path.name.endswith(RATE):
            return ("rate" if CLEANED_KEY in header else "rateraw"), None, ours
        if match := SOURCE_CAL.fullmatch(path.name):
            return "cals", int(match["source"]), ours
        if header.get("DATAMODL") == "SlitModel" and "SCI" in hdus and "SOURCEID" in hdus["SCI"].header:
            return "cutouts", int(hdus["SCI"].header["SOURCEID"]), ours
    return None, None, ours


def bring_in(inputs: Inputs, workspace: Workspace) -> list[DataError]:
    """Put into the workspace what enters after the first stage, and the MSA metafiles.

    Parameters
    ----------
    inputs : Inputs
        The input files.
    workspace : Workspace
        Where they go.

    Returns
    -------
    list of DataError
        What could not be brought in.
    """
    problems = []
    for suffix, files in ((RATERAW, inputs.rateraw), (RATE, inputs.rate)):
        for name, path in files.items():
            _copy(path, workspace.exposure(name, suffix))
    for (name, source), path in inputs.cals.items():
        _copy(path, workspace.slit(name, source, CAL))
    for path in [*inputs.uncal.values(), *inputs.rateraw.values(), *inputs.rate.values()]:
        try:
            metafile = _metafile(path)
        except DataError as error:
            problems.append(error)
            continue
        if metafile is not None and metafile.is_file():
            _copy(metafile, workspace.exposures / metafile.name)
    return problems


def _metafile(path: Path) -> Path | None:
    with open_fits(path) as hdus:
        name = hdus[0].header.get("MSAMETFL")
    return path.parent / Path(name).name if name else None


def _copy(path: Path, target: Path) -> None:
    if not target.exists():
        with atomic_path(target) as part:
            shutil.copyfile(path, part)
