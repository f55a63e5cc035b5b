"""adopt: a single-slit cutout that others calibrated enters the chain as a ``_cal.fits``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path
from nirfire.products.fitsfile import check_complete, open_fits, require
from nirfire.products.slitcal import SlitCal, shut
from nirfire.stsci.slits import adopt_cutout

NEEDED = {
    "SOURCEID": "which source",
    "SRCRA": "where the source is",
    "SRCDEC": "where the source is",
    "PIXAR_SR": "surface brightness becomes flux by it",
    "SLTSTRT1": "where on the detector the cutout lies",
    "SLTSTRT2": "where on the detector the cutout lies",
}
UNIT = "MJy/sr"


def adopt(cutout: Path, cal: Path, closed: Sequence[int] = ()) -> None:
    """Bring in a flux-calibrated cutout with sky still in it.

    Parameters
    ----------
    cutout : Path
        A SlitModel file in MJy/sr with its WCS inside.
    cal : Path
        The ``_cal.fits`` to write, in MJy.
    closed : sequence of int, optional
        Ordinals of stuck-closed shutters: the cutout was calibrated without knowing of them, so their pixels are
        flagged, and a nod whose source is in one has SRCFLUX false.

    Raises
    ------
    DataError
        The file is damaged, lacks a keyword or is in another unit.
    """
    check_complete(cutout)
    with open_fits(cutout) as hdus:
        header = hdus["SCI"].header
        for key, why in NEEDED.items():
            require(header, key, file=cutout, why=why)
        if header.get("BUNIT") != UNIT:
            raise DataError(f"unit is {header.get('BUNIT')!r}, expected {UNIT!r}", file=cutout, key="BUNIT")
    with tempfile.TemporaryDirectory(prefix="nirfire-adopt-") as name:
        made = Path(name) / cal.name
        adopt_cutout(cutout, made)
        if closed:
            shut(SlitCal.read(made), closed).write(cal)
            return
        with atomic_path(cal) as part:
            shutil.copyfile(made, part)
