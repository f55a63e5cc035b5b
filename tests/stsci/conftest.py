"""A tiny instrument on a stand-in CRDS server, exposures that need it, and an empty cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from astropy.io import fits

from nirfire.simulate.crds_cache import CONTEXT, write_mappings
from nirfire.simulate.selection import DETECTOR, GRATING, Selection, reference_name
from nirfire.stsci.reference_needs import needed_types
from tests.stsci.crds_server import StandIn

WAITS = (0.01, 0.01)
MIRI = "jwst_miri_0001.imap"


@pytest.fixture(autouse=True)
def no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CRDS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Mappings and references of the stand-in: two types by detector, one by grating, one for all, the rest N/A."""
    by_detector = {
        t: Selection((DETECTOR,), {(f"NRS{n}",): reference_name(t, n) for n in (1, 2)}) for t in ("gain", "superbias")
    }
    disperser = Selection((GRATING,), {(g,): reference_name("disperser", n, "asdf") for n, g in ((1, "PRISM"),)})
    pars = Selection.for_all(reference_name("pars-jumpstep", 1, "asdf"))
    selections = {**by_detector, "disperser": disperser, "pars-jumpstep": pars}
    required, optional = needed_types({"detector", "clean", "calibrate", "stack"})
    folder = tmp_path / "made"
    folder.mkdir()
    write_mappings(folder, selections, sorted((required | optional) - {"pars-ipcstep"}))
    _name_another_instrument(folder / CONTEXT)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    names = [name for selection in selections.values() for name in selection.files.values()]
    return found | {name: f"this is {name} ".encode() * 200 for name in names}


def _name_another_instrument(context: Path) -> None:
    """Add MIRI to a context, and mend its checksum; its mappings are not there, and must not be asked for."""
    text = context.read_text().replace("{'NIRSPEC'", f"{{'MIRI': '{MIRI}',\n 'NIRSPEC'")
    assert MIRI in text
    kept = "".join(line for line in text.splitlines(keepends=True) if "sha1sum" not in line)
    old = text.partition("'sha1sum': '")[2][:40]
    context.write_text(text.replace(old, hashlib.sha1(kept.encode()).hexdigest()))


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[StandIn]:
    stand_in = StandIn(files)
    yield stand_in
    stand_in.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def expose(tmp_path: Path) -> Callable[..., Path]:
    """Write an exposure that is nothing but a header."""

    def write(exposure: int, detector: str, grating: str = "PRISM", **cards: object) -> Path:
        header = fits.Header(
            {
                "INSTRUME": "NIRSPEC",
                "DETECTOR": detector,
                "FILTER": "CLEAR",
                "GRATING": grating,
                "OPMODE": "NONE",
                "LAMP": "NONE",
                "EXP_TYPE": "NRS_MSASPEC",
                "READPATT": "NRSRAPID",
                "SUBARRAY": "FULL",
                "TSOVISIT": False,
                "DATE-OBS": f"2026-01-{exposure:02d}",
                "TIME-OBS": "01:02:03.456",
                **cards,
            }
        )
        path = tmp_path / f"jw01234001001_0210{exposure}_00001_{detector.lower()}_uncal.fits"
        fits.PrimaryHDU(header=fits.Header({k: v for k, v in header.items() if v is not None})).writeto(path)
        return path

    return write
