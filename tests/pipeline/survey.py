"""Headers of exposures without pixels, for real plans; and stand-ins for the real tasks, which write a few bytes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import NoWork
from nirfire.pipeline import combine, environment, stages
from nirfire.pipeline import run as run_module
from nirfire.pipeline.executors import Executor
from nirfire.pipeline.report import RunReport
from nirfire.pipeline.run import Progress, RunOptions, run_observation
from nirfire.pipeline.select import Selection
from nirfire.pipeline.target import Layers, Observation, observations
from nirfire.products.atomic import write_fits
from nirfire.products.naming import UNCAL, Workspace
from nirfire.products.offsets import COLUMNS as OFFSET_COLUMNS
from nirfire.products.offsets import Offsets
from nirfire.products.rate import EXP_TYPE

from .toy import ENDS, Inline, write

HERE = "tests.pipeline.survey"
WILL = "NIRFIRE_TEST_WILL"  # names the file that tells how stand-ins end
METAFILE = "jw01345062001_01_msa.fits"
ROOT = "jw01345062001_03101"
CARDS: dict[str, object] = {
    "INSTRUME": "NIRSPEC",
    "EXP_TYPE": EXP_TYPE,
    "FILTER": "CLEAR",
    "GRATING": "PRISM",
    "PROGRAM": "01345",
    "DATE-OBS": "2026-01-01",
    "TIME-OBS": "00:00:00",
    "MSAMETFL": METAFILE,
    "MSAMETID": 1,
    "PATT_NUM": 1,
    "NGROUPS": 5,
    "NFRAMES": 1,
    "GROUPGAP": 0,
    "TFRAME": 10.7,
    "TITLE": "nirfire simulation",
} | dict.fromkeys(("SUBSTRT1", "SUBSTRT2", "V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF"), 1)


def write_metafile(folder: Path, sources: list[int], shift: float = 0.5) -> None:
    """An MSA metafile with three open shutters for each source."""
    ids = np.repeat(sources, 3).astype(np.int32)
    n = ids.size
    ones = np.ones(n, np.int32)
    shutters = Table({"slitlet_id": ids, "msa_metadata_id": ones, "shutter_quadrant": ones, "shutter_row": ones})
    shutters["shutter_column"] = np.tile([1, 2, 3], n // 3).astype(np.int32)
    shutters["source_id"] = ids
    shutters["background"] = np.full(n, "N")
    shutters["shutter_state"] = np.full(n, "OPEN")
    for axis in "xy":
        shutters[f"estimated_source_in_shutter_{axis}"] = np.full(n, shift)
    shutters["dither_point_index"] = ones
    shutters["primary_source"] = np.full(n, "Y")
    tables = {"SHUTTER_INFO": shutters, "SOURCE_INFO": Table({"source_id": np.array(sources, np.int32)})}
    hdus = [fits.PrimaryHDU(), *(fits.BinTableHDU(table, name=name) for name, table in tables.items())]
    fits.HDUList(hdus).writeto(folder / METAFILE, overwrite=True)


def write_survey(folder: Path, nods: int = 2, sources: Iterable[int] = (101, 103, 105), **cards: object) -> Path:
    """Raw exposures of one visit, on NRS1."""
    folder.mkdir(parents=True, exist_ok=True)
    write_metafile(folder, list(sources))
    for nod in range(1, nods + 1):
        header = fits.Header(CARDS | {"DETECTOR": "NRS1", "PATT_NUM": nod} | cards)
        fits.PrimaryHDU(header=header).writeto(folder / f"{ROOT}_{nod:05d}_nrs1{UNCAL}", overwrite=True)
    return folder


def _will() -> dict:
    named = os.environ.get(WILL)
    return json.loads(Path(named).read_text()) if named and Path(named).exists() else {}


def _end(stage: str, out: Path) -> None:
    """Write a product, or end as the file that the environment names says: ``{"calibrate 103": "failed"}``."""
    will = _will()
    for name, how in will.items():
        if name in ("found", "offset", "sleep"):
            continue
        task, _, rest = name.partition(" ")
        if task == stage and rest in out.name:
            ENDS[how]()
    time.sleep(will.get("sleep", {}).get(stage, 0.0))
    write(out)


def detector(uncal: Path, rateraw: Path, settings: object) -> None:
    _end("detector", rateraw)


def clean(rateraw: Path, rate: Path, settings: object, regions: str = "") -> None:
    _end("clean", rate)


def shutters(inputs: list[Path], table: Path, settings: object) -> None:
    """Find what the file says is ``found``: source -> ordinals."""
    _end("shutters", table)
    found = [(int(s), k) for s, ordinals in _will().get("found", {}).items() for k in ordinals]
    rows = Table(rows=found or None, names=("source", "ordinal"), dtype=(int, int))
    rows["closed"] = np.ones(len(rows), dtype=bool)
    write_fits(table, fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(rows, name="VERDICTS")]))


def calibrate(cal: Path, **_: object) -> None:
    _end("calibrate", cal)


def sky(cals: list[Path], sky: Path, settings: object) -> None:
    _end("sky", sky)


def nodsub(inputs: list[Path], outputs: list[Path], settings: object, **_: object) -> None:
    if not outputs:
        raise NoWork("left out")
    for out in outputs:
        _end("nodsub", out)


def offsets(inputs: list[Path], table: Path, settings: object) -> None:
    """Find what the file says is the ``offset`` [arcsec]."""
    if not inputs:
        raise NoWork("no source")
    _end("offsets", table)
    rows = Table({name: [0.0] for name in OFFSET_COLUMNS})
    Offsets(ROOT, float(_will().get("offset", 0.0)), 0.01, rows).write(table)


def stack(inputs: list[Path], s2d: Path, settings: object) -> None:
    if not inputs:
        raise NoWork("no nod")
    _end("stack", s2d)


def extract(inputs: list[Path], spec: Path, source: int, settings: object, **_: object) -> None:
    if not inputs:
        raise NoWork("no nod")
    _end("extract", spec)


def horne(s2ds: list[Path], spec: Path, **_: object) -> None:
    assert all(path.exists() for path in s2ds)
    _end("extract", spec)


def join(inputs: list[Path], joined: Path, settings: object) -> None:
    _end("join", joined)


def redshift(spec: Path, zfit: Path, settings: object) -> None:
    _end("redshift", zfit)


def write_summary(place: Workspace) -> None:
    """A catalogue of names."""
    table = Table({"file": sorted(p.name for p in place.sources.rglob("*.fits"))}, dtype=[str])
    place.catalogue.mkdir(exist_ok=True)
    table.write(place.summary("ecsv"), overwrite=True)


def use_stand_ins(patch: pytest.MonkeyPatch) -> None:
    """Have plans made of stand-ins, and no references sought."""
    for stage, task in list(stages.TASKS.items()):
        if stage != "adopt":
            patch.setitem(stages.TASKS, stage, replace(task, call=f"{HERE}:{stage}"))
    patch.setattr(combine, "HORNE", replace(stages.HORNE, call=f"{HERE}:horne"))
    patch.setattr(environment, "default_folder", lambda: Path("embedded"))
    patch.setattr(run_module, "reference_environment", lambda *arguments, **keys: {})
    patch.setattr(run_module, "write_summary", write_summary)


class Bench:
    """Real plans over headers, run with stand-ins in this process.

    Parameters
    ----------
    folder : Path
        Exposures go to ``raw``, products to ``ws``.
    patch : pytest.MonkeyPatch
        Puts the stand-ins in.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, **survey: object) -> None:
        self.folder, self.raw = folder, folder / "raw"
        if not self.raw.exists():
            write_survey(self.raw, **survey)  # type: ignore[arg-type]
        self.will_file = folder / "will.json"
        self.executors: list[Inline] = []
        self.items: tuple[str, ...] = ()
        use_stand_ins(patch)
        patch.setenv(WILL, str(self.will_file))
        patch.setattr(run_module, "LocalPool", self._inline)

    def _inline(self, *arguments: object, **keys: object) -> Executor:
        self.executors.append(Inline())
        return self.executors[-1]

    def will(self, **ends: object) -> None:
        """Say how stand-ins end: ``calibrate_103="failed"``."""
        self.will_file.write_text(json.dumps({name.replace("_", " "): how for name, how in ends.items()}))

    @property
    def observation(self) -> Observation:
        return observations(self.raw, workspace=self.folder / "ws", layers=Layers(items=self.items))[0]

    @property
    def place(self) -> Workspace:
        return self.observation.workspace

    def run(self, selection: Selection | None = None, **options: object) -> RunReport:
        """Run as the command does."""
        chosen = RunOptions(selection=selection or Selection(), **options)  # type: ignore[arg-type]
        return run_observation(self.observation, chosen, Progress())

    def products(self) -> dict[str, tuple[int, int]]:
        """Every product with its inode and time, by name."""
        paths = [p for p in self.place.folder.rglob("*.fits") if not p.is_symlink()]
        return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths}
