"""The CRDS cache of the embedded instrument with the references of the IRS2 readout, made on demand (0.4 GB more).

The references of `crds_cache` are linked into it, so that it serves the other read patterns too.
"""

from __future__ import annotations

import ast
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from nirfire.simulate import irs2, response
from nirfire.simulate.cache_place import default_folder
from nirfire.simulate.crds_cache import Progress, ensure_cache, write_mappings
from nirfire.simulate.detector import Noise
from nirfire.simulate.optics import DETECTORS
from nirfire.simulate.references import DARK_GROUPS, MASK_FLAGS, READ_PATTERNS, Files, frame_meta
from nirfire.simulate.selection import DETECTOR, MOS, READPATT, Selection, reference_name
from nirfire.stsci.exposure_files import PATTERNS
from nirfire.stsci.reference_files import write_reference

IRS2_PATTERNS = tuple(p.name for p in PATTERNS.values() if p.irs2)
_SELECTOR = "selector = "
_FIRST_NUMBER = 101
"""Number of the first IRS2 reference of each type; those of the other patterns are below."""


def ensure_irs2_cache(progress: Progress | None = None) -> Path:
    """Return the cache with the IRS2 references in the user's cache folder; build it if absent.

    Parameters
    ----------
    progress : callable, optional
        Called with a line of text as the work goes on.

    Returns
    -------
    Path
        Beside the folder of `ensure_cache`.
    """
    folder = default_folder()
    folder = folder.with_name(f"{folder.name}-irs2")
    if not folder.is_dir():
        _build(ensure_cache(progress), folder)
    os.utime(folder)
    return folder


def _build(base: Path, folder: Path) -> None:
    """Build the cache from the embedded one, all or nothing."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        shutil.copytree(base / "config", work / "config")
        shutil.copytree(base / "references", work / "references", copy_function=_link)
        selections, types = _read_mappings(base / "mappings" / "jwst")
        selections |= _write_references(work / "references" / "jwst" / "nirspec", selections)
        mappings = work / "mappings" / "jwst"
        mappings.mkdir(parents=True)
        write_mappings(mappings, selections, types)
        work.chmod(0o755)
        if not folder.is_dir():
            work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """Link a reference, or copy it where links cannot be made."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _read_mappings(folder: Path) -> tuple[dict[str, Selection], list[str]]:
    """Selections by reference type, and all types, of mappings that `write_mappings` wrote."""
    (imap,) = folder.glob("*.imap")
    entries = ast.literal_eval(imap.read_text().partition(_SELECTOR)[2])
    selections = {}
    for reftype, name in entries.items():
        if name != "N/A":
            header, _, selector = (folder / name).read_text().partition(_SELECTOR)
            keys = ast.literal_eval(header.partition("=")[2].strip())["parkey"][0]
            plain = selector.replace("Match(", "(").replace("UseAfter(", "(")  # nested dictionaries remain
            files = {key: file for key, dated in ast.literal_eval(plain).items() for file in dated.values()}
            selections[reftype] = Selection(keys, files)
    return selections, list(entries)


def _write_references(folder: Path, base: dict[str, Selection]) -> dict[str, Selection]:
    """Write the references that IRS2 has of its own, and select them beside the others."""
    masks: Files = {}
    biases = dict(base["superbias"].files)
    darks: Files = {(d, p): name for (d,), name in base["dark"].files.items() for p in READ_PATTERNS}
    for number, detector in enumerate(DETECTORS, start=_FIRST_NUMBER):
        mask, bias = reference_name("mask", number), reference_name("superbias", number)
        write_reference(
            folder / mask, "MaskModel", {"dq": irs2.raw_mask(detector)}, _meta("mask", detector), MASK_FLAGS
        )
        arrays = {"data": irs2.raw_superbias(detector)}
        write_reference(folder / bias, "SuperBiasModel", arrays, _meta("superbias", detector))
        for pattern in READ_PATTERNS:
            masks[detector, pattern] = base["mask"].files[(detector,)]
        for pattern in IRS2_PATTERNS:
            masks[detector, pattern], biases[detector, pattern] = mask, bias
    dark, refpix = reference_name("dark", _FIRST_NUMBER), reference_name("refpix", _FIRST_NUMBER)
    darks |= {(detector, pattern): dark for detector in DETECTORS for pattern in IRS2_PATTERNS}
    _write_dark(folder / dark)
    _write_filter(folder / refpix)
    keys = (DETECTOR, READPATT)
    found = {"mask": Selection(keys, masks), "superbias": Selection(keys, biases), "dark": Selection(keys, darks)}
    return found | {"refpix": Selection.for_all(refpix)}


def _meta(reftype: str, detector: str) -> dict[str, object]:
    readout = {} if reftype == "mask" else {"exposure.readpatt": IRS2_PATTERNS[0]}
    return {"reftype": reftype.upper(), "description": "IRS2 readout", **frame_meta(detector), **readout}


def _write_dark(path: Path) -> None:
    """Write the dark of every frame; stock averages and extrapolates it for the other pattern and longer ramps."""
    times = PATTERNS[IRS2_PATTERNS[0]].frame_time * np.arange(1, DARK_GROUPS + 1, dtype=np.float32)
    meta = _meta("dark", "ANY") | {
        "exposure.nframes": 1,
        "exposure.groupgap": 0,
        "exposure.ngroups": DARK_GROUPS,
        "exposure.type": MOS,
    }
    ramp = times[:, None, None] * response.dark_rate(DETECTORS[0])
    write_reference(path, "DarkNirspecModel", {"data": ramp.astype(np.float32)}, meta)


def _write_filter(path: Path) -> None:
    """Write the weights of the reference output (alpha) and pixels (beta): real and imaginary parts in turn."""
    noise = Noise()
    read = float(np.mean([np.median(response.read_noise(d)) for d in DETECTORS]))
    alpha, beta = irs2.noise_filter(noise.flicker, noise.shared, read)
    names = [f"{kind}_{k}" for kind in ("alpha", "beta") for k in range(4)]
    table = np.zeros(2 * alpha.size, dtype=[(name, "<f4") for name in names])
    for name in names:
        table[name][::2] = alpha if name.startswith("alpha") else beta
    flags = [(output, parity, 0) for output in range(1, 5) for parity in (1, 2)]
    bad = np.array(flags, dtype=[("OUTPUT", "<u2"), ("ODD_EVEN", "<u2"), ("MASK", "<u4")])
    meta = {"reftype": "REFPIX", "description": "IRS2 readout", "instrument.detector": "ANY"}
    meta["exposure.readpatt"] = IRS2_PATTERNS[0]
    write_reference(path, "IRS2Model", {"irs2_table": table, "dq_table": bad}, meta)
