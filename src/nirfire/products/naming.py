"""Every file name of the pipeline, spelled once.

A workspace looks like this::

    WORKSPACE/
      exposures/  <exposure>_uncal.fits _rateraw.fits _rate.fits, MSA metafiles,
                  <visit and activity>_shutters.fits _offsets.fits, <exposure without detector>_sky.fits
      sources/<source>/  <exposure>_<source>_cal.fits _cal_bkgsub.fits,
                         <observation>_<grating>_<filter>_<source>_s2d.fits _spec.fits _zfit.fits,
                         <observation>_<source>_joint.fits _joint_zfit.fits
      catalogue/  <observation>_summary.ecsv ..., <observation>_<table>.ecsv ... (exported)
      inspection.sqlite (votes on redshifts)
      stuck_closed_shutters.toml, nods.toml (what people say of shutters and nods)
      positions.ecsv (places of the sources in their shutters, instead of the planned ones)
      masks/  <exposure>.reg (drawn by hand), <exposure>_suggested.reg
      logs/<stage>/  report/  events/<run>.jsonl  ledger.sqlite  nirfire.json (where its exposures come from)

where ``<exposure>`` is ``jwPPPPPOOOVVV_GGSAA_EEEEE_nrsN`` as STScI spells it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

EXPOSURE_PATTERN = re.compile(r"(?P<exposure>(?P<root>jw\d{11}_\d{5})_(?P<nod>\d{5})_(?P<detector>nrs[12]))")

PART = ".part-"  # begins the name of a file that is not finished
UNCAL, RATERAW, RATE = "_uncal.fits", "_rateraw.fits", "_rate.fits"
CAL, BKGSUB = "_cal.fits", "_cal_bkgsub.fits"
SKY, SHUTTERS, OFFSETS = "_sky.fits", "_shutters.fits", "_offsets.fits"
S2D, SPEC, ZFIT = "_s2d.fits", "_spec.fits", "_zfit.fits"
JOINT, JOINT_ZFIT = "_joint.fits", "_joint_zfit.fits"
SOURCES = "sources"
TRUTH, METRICS, PAGE = "truth", "metrics.json", "index.html"
INSPECTION = "inspection.sqlite"  # what people say of redshifts
LEDGER, EVENTS, LOCK, ORIGIN = "ledger.sqlite", "events", "nirfire.lock", "nirfire.json"
STUCK_LIST = "stuck_closed_shutters.toml"
NOD_LIST = "nods.toml"
EDIT_LOCK = ".edit.lock"  # locked while these lists or the masks are edited
REGIONS, SUGGESTED = ".reg", "_suggested.reg"  # DS9 regions: a mask, and what it might be made from
POSITIONS = "positions.ecsv"
EXPORT = "catalogue"  # stem and folder of the tables of several observations
ASSOCIATION, SPEC2_PARAMETERS = "_asn.json", "_spec2.asdf"  # of a stock run by hand
MANIFEST, DOWNLOAD_LOCK = "manifest.ecsv", ".download.lock"  # of a folder of downloads
METAFILE_PATTERN = re.compile(r"jw\d{11}_\d+_msa\.fits")


def visit_metafile(program: int, observation: int, visit: int) -> str:
    """Name of the first MSA metafile of a visit, as STScI spells it."""
    return f"jw{program:05d}{observation:03d}{visit:03d}_01_msa.fits"


def exported(folder: Path, stem: str, table: str, ending: str) -> Path:
    """Path of an exported table; the stem is the observation, or `EXPORT` for several."""
    return folder / f"{stem}_{table}.{ending}"


def zfit_of(spec: Path) -> Path:
    """Path of the redshift fit that belongs to a spectrum."""
    return spec.with_name(spec.name.removesuffix(SPEC) + ZFIT)


def job_log(stage: str, key: str) -> Path:
    """Path of a job's log, within the workspace."""
    return Path("logs") / stage / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', key)}.log"


@dataclass(frozen=True, order=True)
class ExposureName:
    """The name of one exposure on one detector, for example ``jw01345062001_03101_00001_nrs2``."""

    exposure: str

    def __post_init__(self) -> None:
        if EXPOSURE_PATTERN.fullmatch(self.exposure) is None:
            raise ValueError(f"not an exposure name (jwPPPPPOOOVVV_GGSAA_EEEEE_nrsN): {self.exposure!r}")

    @classmethod
    def from_path(cls, path: Path | str) -> ExposureName | None:
        """Read the exposure from the start of a file's name; None when it has none."""
        match = EXPOSURE_PATTERN.match(Path(path).name)
        return cls(match["exposure"]) if match else None

    @property
    def root(self) -> str:
        """Visit and activity, ``jwPPPPPOOOVVV_GGSAA``: nods of one root may be paired."""
        return "_".join(self.exposure.split("_")[:2])

    @property
    def visit(self) -> str:
        """Visit, ``jwPPPPPOOOVVV``."""
        return self.exposure.split("_")[0]

    @property
    def both(self) -> str:
        """The exposure without its detector, ``jwPPPPPOOOVVV_GGSAA_EEEEE``."""
        return self.exposure.rsplit("_", 1)[0]

    @property
    def nod(self) -> int:
        """The exposure number within its activity."""
        return int(self.exposure.split("_")[2])

    @property
    def detector(self) -> str:
        """``nrs1`` or ``nrs2``."""
        return self.exposure.split("_")[3]

    def __str__(self) -> str:
        return self.exposure


def calibration_inputs(cal: Path) -> Path:
    """Folder beside a ``_cal.fits`` for what its stock run was given."""
    return cal.parent / "spec2" / cal.name.removesuffix(CAL)


@dataclass(frozen=True)
class Workspace:
    """Where the products of one observation lie.

    Parameters
    ----------
    folder : Path
        The workspace.
    observation : str
        Name of the observation; the first token of its source-level products.
    """

    folder: Path
    observation: str

    @property
    def exposures(self) -> Path:
        return self.folder / "exposures"

    @property
    def sources(self) -> Path:
        return self.folder / SOURCES

    @property
    def references(self) -> Path:
        """Override references that are made for this observation."""
        return self.folder / "references"

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def stuck_list(self) -> Path:
        return self.folder / STUCK_LIST

    @property
    def nod_list(self) -> Path:
        return self.folder / NOD_LIST

    @property
    def positions(self) -> Path:
        """Table of the places of sources in their shutters; absent when they are as planned."""
        return self.folder / POSITIONS

    def pointing_figure(self, visit: str) -> Path:
        """Path of the figure of a visit's measured pointing."""
        return self.report / f"pointing_{visit}.png"

    @property
    def masks(self) -> Path:
        return self.folder / "masks"

    def mask(self, name: ExposureName, suffix: str = REGIONS) -> Path:
        """Path of an exposure's mask; with ``suffix=SUGGESTED`` that of what might be masked."""
        return self.masks / f"{name}{suffix}"

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER

    def shard_ledger(self, shard: str) -> Path:
        """Ledger of one shard of a job array, which the next whole run takes in."""
        return self.folder / f"ledger-shard-{shard}.sqlite"

    @property
    def inspection(self) -> Path:
        """Store of the votes on redshifts."""
        return self.folder / INSPECTION

    @property
    def events(self) -> Path:
        return self.folder / EVENTS

    def lock(self, shard: str = "") -> Path:
        """File that is locked while a run (or a shard of one) works here."""
        return self.folder / (f"nirfire-shard-{shard}.lock" if shard else LOCK)

    @property
    def origin(self) -> Path:
        """Where the exposures and the configuration of this workspace come from."""
        return self.folder / ORIGIN

    def exposure(self, name: ExposureName, suffix: str) -> Path:
        """Path of an exposure-level product, for example ``suffix=RATE``."""
        return self.exposures / f"{name}{suffix}"

    def shutters(self, root: str) -> Path:
        """Path of what is known of the shutters of a visit and activity."""
        return self.exposures / f"{root}{SHUTTERS}"

    def offsets(self, root: str) -> Path:
        """Path of how far the sources of a visit and activity are from their planned places."""
        return self.exposures / f"{root}{OFFSETS}"

    def sky(self, both: str) -> Path:
        """Path of the sky of an exposure, both detectors."""
        return self.exposures / f"{both}{SKY}"

    def source_folder(self, source: int) -> Path:
        return self.sources / str(source)

    def slit(self, name: ExposureName, source: int, suffix: str) -> Path:
        """Path of a product of one source in one exposure, for example ``suffix=CAL``."""
        return Path(f"{self.folder}/{SOURCES}/{source}/{name.exposure}_{source}{suffix}")  # twice as fast as joining

    def combined(self, source: int, grating: str, filter_: str, suffix: str) -> Path:
        """Path of a product that combines exposures, for example ``suffix=SPEC``."""
        stem = f"{self.observation}_{grating.lower()}_{filter_.lower()}_{source}"
        return self.source_folder(source) / f"{stem}{suffix}"

    def stack_of_group(self, s2d: Path, group: str) -> Path:
        """Path of the stack of one exposure group, beside that of all."""
        return s2d.with_name(f"{s2d.name.removesuffix(S2D)}_{group}{S2D}")

    def joint(self, source: int) -> Path:
        """Path of the spectrum of all gratings."""
        return self.source_folder(source) / f"{self.observation}_{source}{JOINT}"

    def joint_zfit(self, source: int) -> Path:
        """Path of the redshift from all gratings."""
        return self.source_folder(source) / f"{self.observation}_{source}{JOINT_ZFIT}"

    def summary(self, extension: str) -> Path:
        return self.catalogue / f"{self.observation}_summary.{extension}"

    def find_exposures(self, suffix: str) -> list[ExposureName]:
        """Exposures that have this exposure-level product."""
        found = (ExposureName.from_path(p) for p in self.exposures.glob(f"jw*{suffix}"))
        return sorted(name for name in found if name is not None)

    def find_sources(self) -> list[int]:
        """Sources that have a folder; virtual ones, with negative numbers, are left out."""
        if not self.sources.is_dir():
            return []
        return sorted(int(p.name) for p in self.sources.iterdir() if re.fullmatch(r"\d+", p.name))

    def find_slits(self, source: int, suffix: str) -> list[ExposureName]:
        """Exposures in which this source has this slit-level product."""
        paths = self.source_folder(source).glob(f"jw*_{source}{suffix}")
        return sorted(name for name in map(ExposureName.from_path, paths) if name is not None)

    def find_combined(self, source: int, suffix: str) -> list[Path]:
        """Combined products of a source, all gratings."""
        folder = self.source_folder(source)
        return sorted(folder.glob(f"{self.observation}_*_{source}{suffix}"))
