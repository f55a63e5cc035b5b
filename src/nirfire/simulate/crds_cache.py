"""A complete CRDS cache of the embedded instrument, for the stock pipeline without a server.

A cache is a folder of references, the mappings that select them (one ``.pmap``, one ``.imap``, an ``.rmap`` for each
type), and a small configuration. CRDS works on it without a server if the environment of `cache_environment` is set
before ``jwst`` is imported.
"""

from __future__ import annotations

import hashlib
import os
import pprint
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from nirfire.simulate.cache_place import CONTEXT, default_folder
from nirfire.simulate.optics import Optics, load_optics
from nirfire.simulate.references import write_detector_references, write_fflats, write_sflats
from nirfire.simulate.selection import FILTER, GRATING, Selection
from nirfire.simulate.slit_references import write_slit_references
from nirfire.simulate.wcsrefs import write_wcs_references
from nirfire.stsci.reference_files import USE_AFTER
from nirfire.stsci.step_types import finish_listing, start_listing

UNUSED_DAYS = 7
"""Caches of other versions of the instrument that nobody used for so long are removed."""
_IMAP = "jwst_nirspec_0001.imap"
_DATE_KEYS = ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")
_WCS_KEYS = {"fore": (FILTER,), "disperser": (GRATING,)}
_EXTRA_TYPES = ("drizpars", "persat", "trapdensity", "trappars", "wfssbkg")
"""Types that older or newer steps ask for, named here so that a look-up never fails."""

Progress = Callable[[str], None]


def ensure_cache(progress: Progress | None = None) -> Path:
    """Return the cache of this version of the instrument in the user's cache folder; build it if absent.

    Parameters
    ----------
    progress : callable, optional
        Called with a line of text as the work goes on.

    Returns
    -------
    Path
    """
    folder = default_folder()
    if not folder.is_dir():
        build_cache(folder, progress)
    os.utime(folder)
    _remove_unused(folder)
    return folder


def _remove_unused(folder: Path) -> None:
    """Remove sibling caches that were not used for `UNUSED_DAYS`; each look-up renews a cache's time."""
    oldest = time.time() - UNUSED_DAYS * 86400.0
    for other in folder.parent.glob("*crds-*"):
        if other != folder and other.is_dir() and other.stat().st_mtime < oldest:
            shutil.rmtree(other, ignore_errors=True)


def build_cache(folder: Path, progress: Progress | None = None) -> Path:
    """Build the cache, all or nothing.

    It is made in a temporary folder beside `folder` and renamed, so `folder` is complete if it exists. If two
    processes build it at once, the first to finish wins and the other's work is dropped.

    Parameters
    ----------
    folder : Path
        Returned as it is if it exists.
    progress : callable, optional
        Called with a line of text as the work goes on.

    Returns
    -------
    Path
        `folder`.
    """
    folder = Path(folder)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _fill(work, progress or _silent)
        work.chmod(0o755)
        try:
            work.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _silent(message: str) -> None:
    """Progress that nobody wants to hear."""


def _fill(root: Path, progress: Progress) -> None:
    """Write references, mappings and configuration below `root`."""
    references, mappings = root / "references" / "jwst" / "nirspec", root / "mappings" / "jwst"
    config = root / "config" / "jwst"
    for folder in (references, mappings, config):
        folder.mkdir(parents=True)
    listing = start_listing()
    try:
        selections: dict[str, Selection] = {}
        for reftype, selection in _write_all(load_optics(), references):
            progress(f"reference {reftype}")
            selections[reftype] = selection
        types = finish_listing(listing)
    finally:
        listing.kill()
    progress("mappings")
    write_mappings(mappings, selections, [*types, *_EXTRA_TYPES])
    _write_config(config)


def _write_all(optics: Optics, folder: Path) -> Iterator[tuple[str, Selection]]:
    yield from write_detector_references(folder)
    yield "sflat", write_sflats(folder)
    yield "fflat", write_fflats(folder)
    yield from write_slit_references(optics, folder)
    for reftype, files in write_wcs_references(optics, folder).items():
        yield reftype, Selection(_WCS_KEYS.get(reftype, ()), files)


def write_mappings(folder: Path, selections: Mapping[str, Selection], types: list[str]) -> None:
    """Write the three levels of CRDS mappings.

    Parameters
    ----------
    folder : Path
    selections : mapping of str to Selection
        By reference type.
    types : list of str
        All types that may be asked for; those without a selection are not applicable.
    """
    entries = dict.fromkeys(types, "N/A")
    for reftype, selection in selections.items():
        name = f"jwst_nirspec_{reftype}_0001.rmap"
        header = {
            **_header(name, "REFERENCE", (selection.keys, _DATE_KEYS)),
            "instrument": "NIRSPEC",
            "filekind": reftype.upper(),
            "filetype": reftype.upper(),
            "suffix": reftype,
            "classes": ("Match", "UseAfter"),
        }
        _write_mapping(folder / name, header, _match(selection.files))
        entries[reftype] = name
    header = {**_header(_IMAP, "INSTRUMENT", ("REFTYPE",)), "instrument": "NIRSPEC"}
    _write_mapping(folder / _IMAP, header, pprint.pformat(entries))
    header = _header(CONTEXT, "PIPELINE", ("META.INSTRUMENT.NAME",))
    _write_mapping(folder / CONTEXT, header, pprint.pformat({"NIRSPEC": _IMAP}))


def _header(name: str, level: str, parkey: tuple) -> dict[str, object]:
    return {"name": name, "mapping": level, "observatory": "JWST", "parkey": parkey, "derived_from": "nirfire"}


def _match(files: Mapping[tuple[str, ...], str]) -> str:
    date = USE_AFTER.replace("T", " ")
    rows = [f"    {key!r} : UseAfter({{{date!r} : {name!r}}}),\n" for key, name in sorted(files.items())]
    return "Match({\n" + "".join(rows) + "})"


def _write_mapping(path: Path, header: dict[str, object], selector: str) -> None:
    """Write a mapping with the checksum that CRDS verifies: SHA-1 of the lines that do not mention it."""

    def text(checksum: str) -> str:
        body = pprint.pformat({**header, "sha1sum": checksum}, width=100)
        return f"header = {body}\n\nselector = {selector}\n"

    blank = text("0" * 40).splitlines(keepends=True)
    kept = "".join(line for line in blank if "sha1sum" not in line)
    path.write_text(text(hashlib.sha1(kept.encode()).hexdigest()))


def _write_config(folder: Path) -> None:
    """Write what CRDS reads instead of asking a server."""
    server = {
        "observatory": "jwst",
        "latest_context": CONTEXT,
        "operational_context": CONTEXT,
        "bad_files": "",
        "bad_files_list": [],
        "crds_version": {"str": version("crds")},
        "force_remote_mode": False,
        "last_synced": "never",
        "status": "cache",
        "connected": False,
        "reference_url": "",
        "mapping_url": "",
        "config_url": "",
        "pickle_url": "",
        "download_metadata": {},
    }
    (folder / "server_config").write_text(repr(server))
    (folder / "ref_cache_subdir_mode").write_text("instrument")
    (folder / "bad_files.txt").write_text("")
