"""All that is known of one source, for the page: its spectra, fits and how they were made."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nirfire.errors import DataError
from nirfire.inspect.curves import curve
from nirfire.inspect.facts import facts_of
from nirfire.inspect.index import Redshift, best_redshift
from nirfire.inspect.points import Points, points_of
from nirfire.inspect.quickfits import QuickFits
from nirfire.products.naming import SPEC, Workspace, zfit_of
from nirfire.products.provenance import FINGERPRINT
from nirfire.products.zfit import warnings_said

REFIT = "fit it again: `nirfire run --rerun stale`"
KEPT = 64_000_000  # bytes of arrays that are kept
BOXES = (3, 4, 5)
PLANES = {"SCI": "sci", "ERR": "err2d"}
LINES = {
    "name": str, "wave_rest": float, "wave_obs": float, "flux": float, "flux_err": float, "snr": float,
    "ew_rest": float,
}  # fmt: skip
Arrays = dict[str, np.ndarray]
Told = dict[str, Any]
Stamp = tuple[tuple[str, int, int], ...]
"""Name, time and size of files."""


@dataclass(frozen=True)
class Inspected:
    """What the page is told of a source, without the votes.

    Attributes
    ----------
    meta : dict
        See the docs of the server.
    arrays : dict of str to ndarray
        By ``<key>/<name>``.
    """

    meta: Told
    arrays: Arrays

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(one.nbytes for one in self.arrays.values())


@dataclass
class Objects:
    """The sources of a workspace; the last few that were asked for are kept.

    Parameters
    ----------
    place : Workspace
        Where they are.
    """

    place: Workspace
    _kept: OrderedDict[int, tuple[Stamp, Inspected]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def spectra(self, source: int) -> dict[str, Path]:
        """The ``_spec.fits`` of a source by ``<grating>_<filter>``; empty where there are none."""
        first, last = f"{self.place.observation}_", f"_{source}{SPEC}"
        found = {p.name.removeprefix(first).removesuffix(last): p for p in self.place.find_combined(source, SPEC)}
        return {key: found[key] for key in sorted(found, key=lambda key: (not key.startswith("prism"), key))}

    def _stamp(self, source: int, spectra: dict[str, Path]) -> Stamp:
        """What changes when a product of a source does."""
        found = [_stamp_of(one) for path in spectra.values() for one in (path, zfit_of(path))]
        return (*found, _stamp_of(self.place.joint_zfit(source)))

    def get(self, source: int) -> tuple[Stamp, Inspected] | None:
        """A source with its stamp; None where there is no spectrum of it."""
        spectra = self.spectra(source)
        if not spectra:
            return None
        stamp = self._stamp(source, spectra)
        with self._lock:
            kept = self._kept.get(source)
            if kept is not None and kept[0] == stamp:
                self._kept.move_to_end(source)
                return kept
        made = stamp, read_object(self.place, source, spectra)
        with self._lock:
            self._kept[source] = made
            self._kept.move_to_end(source)
            while len(self._kept) > 1 and sum(one.size for _, one in self._kept.values()) > KEPT:
                self._kept.popitem(last=False)
        return made


def _stamp_of(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return path.name, 0, 0
    return path.name, found.st_mtime_ns, found.st_size


def tag_of(*parts: object) -> str:
    """An ETag: the same for the same parts."""
    return f'"{hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()}"'


def read_object(place: Workspace, source: int, spectra: dict[str, Path]) -> Inspected:
    """Read a source; a product that cannot be read is told in `error` of its spectrum, and the others go on."""
    arrays: Arrays = {}
    told: list[Told] = []
    fits: dict[str, Redshift] = {}
    name, ra, dec = str(source), None, None
    for key, path in spectra.items():
        entry = _empty(key, path)
        try:
            spec = QuickFits(path)
            points = points_of(spec)
            entry |= {"spec": spec.primary.get(FINGERPRINT), "snr": _snr(points)}
            arrays |= _spectrum(key, spec, points)
            name, ra, dec = _place_of(spec, (name, ra, dec))
            zfit = zfit_of(path)
            if zfit.exists():
                fit = QuickFits(zfit)
                arrays |= _fit(key, fit, entry)
                fits[key] = _redshift(entry, fit, key)
            entry["facts"] = facts_of(spec, points, entry)
        except DataError as error:
            entry["error"] = str(error)
        told.append(entry)
    joint, agreed = _joint(place.joint_zfit(source), arrays)
    best = best_redshift(fits, agreed)
    meta = {
        "source": source,
        "name": name,
        "ra": ra,
        "dec": dec,
        "z": best and best.z,
        "z_err": best and best.z_err,
        "zprob": best and best.probability,
        "origin": best and best.origin,
        "joint": joint,
        "spectra": told,
    }
    return Inspected(meta, arrays)


def _empty(key: str, path: Path) -> Told:
    """The entry of a spectrum of which nothing is known yet."""
    grating, _, filter_ = key.partition("_")
    unknown = dict.fromkeys(
        ("spec", "fit", "z", "z_err", "zprob", "zconf", "z2", "dchi2", "chi2", "dof", "snr", "error")
    )
    lists: dict[str, Any] = {"zwarn": [], "peaks": [], "lines": [], "facts": []}
    named = {"key": key, "grating": grating.upper(), "filter": filter_.upper(), "file": path.name, "class": ""}
    return named | unknown | lists


def _spectrum(key: str, spec: QuickFits, points: Points) -> Arrays:
    """Arrays of a ``_spec.fits``."""
    table, found = points.table, {"wave": points.wave, "flux": points.flux, "err": points.err}
    for width in BOXES:
        if f"flux_box{width}" in table:
            found |= {f"box{width}": table[f"flux_box{width}"], f"box{width}_err": table[f"err_box{width}"]}
    found |= {name: spec.image(hdu) for hdu, name in PLANES.items() if hdu in spec}
    if "PROF1D" in spec:
        profile = spec.table("PROF1D")
        found |= {f"prof_{name}": profile[column] for name, column in (("y", "ypos"), ("opt", "opt"))}
    return {f"{key}/{name}": np.asarray(values, dtype=np.float32) for name, values in found.items()}


def _snr(points: Points) -> float | None:
    """Median signal to noise of a pixel, as the list and the catalogue have it; None without any."""
    known = points.known
    return float(np.median(points.flux[known] / points.err[known])) if known.any() else None


def _place_of(spec: QuickFits, before: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
    head = spec.primary
    return str(head.get("SRCNAME") or before[0]), head.get("RA", before[1]), head.get("DEC", before[2])


def _fit(key: str, fit: QuickFits, entry: Told) -> Arrays:
    """Arrays of a ``_zfit.fits``; what it says of the redshift goes into the entry."""
    head = fit.primary
    missing = [card for card in ("ZBEST", "ZERR", "ZPROB", "ZWARN", "CHI2MIN", "DOF") if card not in head]
    if missing:
        raise DataError(f"no card {missing[0]}: of an earlier version?", file=fit.path, key=missing[0], remedy=REFIT)
    entry["fit"] = head.get(FINGERPRINT)
    entry |= {"z": head["ZBEST"], "zconf": head.get("ZCONF"), "class": str(head.get("CLASS", "")).strip()}
    entry |= {name: _known(head.get(card)) for name, card in (("z_err", "ZERR"), ("zprob", "ZPROB"))}
    entry |= {name: _known(head.get(card)) for name, card in (("z2", "Z2"), ("dchi2", "DCHI2"))}
    entry |= {"chi2": head["CHI2MIN"], "dof": head["DOF"]}
    entry["zwarn"] = warnings_said(_bits(fit))
    entry["peaks"] = rows_of(fit.table("PEAKS"), {"z": float, "z_err": float, "dchi2": float})
    if "LINES" in fit:
        entry["lines"] = rows_of(fit.table("LINES"), LINES)
    scan = fit.table("CHI2")
    arrays = curve(scan["z"], scan["chi2"], int(head["DOF"])) | {"model": fit.table("MODEL")["flux"].astype(np.float32)}
    return {f"{key}/{name}": values for name, values in arrays.items()}


def rows_of(table: dict[str, np.ndarray], columns: dict[str, Any]) -> list[Told]:
    """Rows of a table with some of its columns, those that it has."""
    here = {name: [kind(one) for one in table[name].tolist()] for name, kind in columns.items() if name in table}
    return [dict(zip(here, row, strict=True)) for row in zip(*here.values(), strict=True)]


def _joint(path: Path, arrays: Arrays) -> tuple[Told | None, Redshift | None]:
    """The redshift of all gratings, where there is one; its p(z) goes into the arrays."""
    if not path.exists():
        return None, None
    try:
        fit = QuickFits(path)
        head, density = fit.primary, fit.table("PZ")
        told: Told = {
            "file": path.name,
            "z": head.get("ZBEST"),
            "z_err": head.get("ZERR"),
            "zprob": head.get("ZPROB"),
            "zwarn": warnings_said(_bits(fit)),
            "consensus": head.get("ZCONS"),
            "said_by": head.get("ZCONSBY"),
            "n_agree": head.get("NAGREE"),
            "gratings": rows_of(
                fit.table("GRATINGS"),
                {"grating": str, "filter": str, "z": float, "offset": float, "offset_err": float, "support": float},
            ),
            "peaks": rows_of(fit.table("PEAKS"), {"z": float, "z_err": float, "probability": float}),
            "error": None,
        }
    except DataError as error:
        return {"file": path.name, "error": str(error)}, None
    arrays |= {"joint/z": density["z"], "joint/p": density["pz"].astype(np.float32)}
    return told, _redshift(told, fit, "joint")


def _redshift(told: Told, fit: QuickFits, origin: str) -> Redshift:
    """What is told of a fit, for the rule that chooses one."""
    return Redshift(_of(told, "z"), _of(told, "z_err"), _of(told, "zprob"), _bits(fit), origin)


def _bits(fit: QuickFits) -> int:
    return int(fit.primary.get("ZWARN") or 0)


def _of(told: Told, name: str) -> float:
    return float("nan") if told[name] is None else float(told[name])


def _known(value: Any) -> Any:
    """None for what a card marks as unknown: -1."""
    return None if value is None or value < 0 else value
