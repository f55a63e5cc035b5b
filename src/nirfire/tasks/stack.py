"""stack: the nods of one source and grating to one rectified 2D spectrum (stock Spec3)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from nirfire.errors import NoWork
from nirfire.products.atomic import atomic_path
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import S2D, ExposureName
from nirfire.products.slitcal import shows_source
from nirfire.stsci.pipelines import run_spec3
from nirfire.tasks.settings import StackSettings, merged_steps


def stack(inputs: list[Path], s2d: Path, settings: StackSettings) -> None:
    """Rectify and combine the exposures of one source.

    Parameters
    ----------
    inputs : list of Path
        The ``_cal_bkgsub.fits`` of one source and grating, both detectors.
    s2d : Path
        The ``_s2d.fits`` to write.
    settings : StackSettings
        Configuration.

    Raises
    ------
    NoWork
        The source is in the open shutters of no exposure.
    """
    mine = [path for path in inputs if _shows_source(path)]
    if not mine:
        raise NoWork("the source is in the open shutters of no exposure", key="SRCFLUX")
    detectors = {name.detector for name in map(ExposureName.from_path, mine) if name}
    few = len(mine) / len(detectors) < settings.outliers_from
    steps = merged_steps({"outlier_detection": {"skip": few}}, settings.steps)
    with tempfile.TemporaryDirectory(prefix="nirfire-stack-") as name:
        found = run_spec3(mine, Path(name), s2d.name.removesuffix(S2D), steps)
        with atomic_path(s2d) as part:
            shutil.copyfile(found, part)


def _shows_source(path: Path) -> bool:
    with open_fits(path) as hdus:
        return shows_source(hdus[0].header)
