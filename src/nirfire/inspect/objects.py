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
from nirfire.inspect.stamp import Stamp, stamp
from nirfire.products.naming import SPEC, Workspace, zfit_of
from nirfire.products.provenance import FINGERPRINT
from nirfire.products.zfit import warnings_said

REMAKE = "make it again: `nirfire run --rerun stale`"
REFIT = "fit it again: `nirfire run --rerun stale`"
KEPT = 64_000_000  # bytes of arrays that are kept
BOXES = (3, 4, 5)
PLANES = {"SCI": "sci", "ERR": "err2d", "COVAR": "shared"}  # the last: correlation with the next bins
LINES = {
    "name": str, "wave_rest": float, "wave_obs": float, "flux": float, "flux_err": float, "snr": float,
    "ew_rest": float,
}  # fmt: skip
Arrays = dict[str, np.ndarray]
Told = dict[str, Any]
Stamps = tuple[tuple[str, Stamp], ...]
"""Of files, by name."""


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
    _kept: OrderedDict[int, tuple[Stamps, Inspected]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def spectra(self, source: int) -> dict[str, Path]:
        """The ``_spec.fits`` of a source by ``<grating>_<filter>``; empty where there are none."""
        first, last = f"{self.place.observation}_", f"_{source}{SPEC}"
        found = {p.name.removeprefix(first).removesuffix(last): p for p in self.place.find_combined(source, SPEC)}
        return {key: found[key] for key in sorted(found, key=lambda key: (not key.startswith("prism"), key))}

    def _stamps(self, source: int, spectra: dict[str, Path]) -> Stamps:
        """What changes when a product of a source does."""
        found = [_stamp_of(one) for path in spectra.values() for one in (path, zfit_of(path))]
        return (*found, _stamp_of(self.place.joint_zfit(source)))

    def get(self, source: int) -> tuple[Stamps, Inspected] | None:
        """A source with the stamps of its products; None where there is no spectrum of it."""
        spectra = self.spectra(source)
        if not spectra:
            return None
        stamps = self._stamps(source, spectra)
        with self._lock:
            kept = self._kept.get(source)
            if kept is not None and kept[0] == stamps:
                self._kept.move_to_end(source)
                return kept
        made = stamps, read_object(self.place, source, spectra)
        with self._lock:
            self._kept[source] = made
            self._kept.move_to_end(source)
            while len(self._kept) > 1 and sum(one.size for _, one in self._kept.values()) > KEPT:
                self._kept.popitem(last=False)
        return made


def _stamp_of(path: Path) -> tuple[str, Stamp]:
    try:
        return path.name, stamp(path.stat())
    except FileNotFoundError:
        return path.name, (0, 0, 0)


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
            with spec.readable():
                points = points_of(spec)
                arrays |= _spectrum(key, spec, points)
                entry |= {"spec": spec.primary.get(FINGERPRINT), "snr": _snr(points)}
                name, ra, dec = _place_of(spec, (name, ra, dec))
                fits |= _fitted(key, path, entry, arrays)
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


def _fitted(key: str, path: Path, entry: Told, arrays: Arrays) -> dict[str, Redshift]:
    """The redshift of a spectrum by its key, where there is a fit; one that cannot be used is told in the entry."""
    zfit = zfit_of(path)
    if not zfit.exists():
        return {}
    try:
        fit = QuickFits(zfit)
        with fit.readable():
            told, found = _fit(fit, arrays[f"{key}/wave"].size)
            redshift = _redshift(told, fit, key)
    except DataError as error:
        entry["error"] = str(error)
        return {}
    entry |= told
    arrays |= {f"{key}/{name}": values for name, values in found.items()}
    return {key: redshift}


def _spectrum(key: str, spec: QuickFits, points: Points) -> Arrays:
    """Arrays of a ``_spec.fits``."""
    table, found = points.table, {"wave": points.wave, "flux": points.flux, "err": points.err}
    for width in BOXES:
        if f"flux_box{width}" in table:
            found |= {f"box{width}": table[f"flux_box{width}"], f"box{width}_err": table[f"err_box{width}"]}
    if not (np.diff(points.wave) > 0).all() or any(one.shape != points.wave.shape for one in found.values()):
        raise DataError("no wavelengths that increase", file=spec.path, key="SPEC1D", remedy=REMAKE)
    planes = {name: spec.image(hdu) for hdu, name in PLANES.items() if hdu in spec}
    if {plane.shape[1:] for plane in planes.values()} - {points.wave.shape}:
        raise DataError("an image of another number of wavelengths", file=spec.path, key="SCI", remedy=REMAKE)
    found |= planes
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


def _fit(fit: QuickFits, n_wave: int) -> tuple[Told, Arrays]:
    """What a ``_zfit.fits`` says of the redshift, and its arrays; the spectrum has so many pixels."""
    head = fit.primary
    missing = [card for card in ("ZBEST", "ZERR", "ZPROB", "ZWARN", "CHI2MIN", "DOF") if card not in head]
    if missing:
        raise DataError(f"no card {missing[0]}: of an earlier version?", file=fit.path, key=missing[0], remedy=REFIT)
    told: Told = {"fit": head.get(FINGERPRINT), "z": head["ZBEST"], "zconf": head.get("ZCONF")}
    told |= {"class": str(head.get("CLASS", "")).strip(), "chi2": float(head["CHI2MIN"]), "dof": int(head["DOF"])}
    told |= {name: _known(head.get(card)) for name, card in (("z_err", "ZERR"), ("zprob", "ZPROB"))}
    told |= {name: _known(head.get(card)) for name, card in (("z2", "Z2"), ("dchi2", "DCHI2"))}
    told["zwarn"] = warnings_said(_bits(fit))
    told["peaks"] = rows_of(fit.table("PEAKS"), {"z": float, "z_err": float, "dchi2": float})
    if "LINES" in fit:
        told["lines"] = rows_of(fit.table("LINES"), LINES)
    scan, model = fit.table("CHI2"), fit.table("MODEL")["flux"]
    if not (np.isfinite(scan["chi2"]).all() and (np.diff(scan["z"]) > 0).all()):
        raise DataError("a scan that cannot be used", file=fit.path, key="CHI2", remedy=REFIT)
    if model.shape != (n_wave,):
        text = f"a model of {model.size} pixels for a spectrum of {n_wave}"
        raise DataError(text, file=fit.path, key="MODEL", remedy=REFIT)
    return told, curve(scan["z"], scan["chi2"], told["dof"]) | {"model": model.astype(np.float32)}


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
        with fit.readable():
            told, density = _agreed(fit)
            redshift = _redshift(told, fit, "joint")
    except DataError as error:
        return {"file": path.name, "error": str(error)}, None
    arrays |= density
    return told, redshift


def _agreed(fit: QuickFits) -> tuple[Told, Arrays]:
    """What a ``_joint_zfit.fits`` says, and its arrays."""
    head, density = fit.primary, fit.table("PZ")
    told: Told = {
        "file": fit.path.name,
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
    return told, {"joint/z": density["z"], "joint/p": density["pz"].astype(np.float32)}


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
