"""The list of all sources with one redshift each, and the fingerprints of their products.

One rule says which redshift stands for a source: that of all its gratings where there is one, else that of PRISM, else
the one of the highest probability. Fits without a redshift do not count.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from nirfire.inspect.index_rows import (
    NO_WARNING_TOLD,
    ROW,
    catalogue_rows,
    is_prism,
    key_of,
    product_rows,
    spectrum_key,
)
from nirfire.inspect.votes import Seen
from nirfire.products.naming import SPEC, ZFIT, Workspace, zfit_of
from nirfire.products.provenance import read_fingerprint

__all__ = [
    "Catalogue",
    "Index",
    "Redshift",
    "best_redshift",
    "catalogue_of",
    "fingerprints",
    "is_prism",
    "spectrum_key",
]

JOINT = "joint"
SAME = 0.01  # a fit within SAME (1 + z) of the redshift of all gratings supports it
SECONDS = 0.25  # for reading products at one call; what is left is read at the next
TICK = 2_000_000_000  # ns; file systems count time in ticks of up to this: two changes within one look like one
MANY, PAUSE = 5000, 1.0  # folders of more sources than MANY, which take their time, are not looked at again for PAUSE s


@dataclass(frozen=True)
class Redshift:
    """A redshift and what it is worth.

    Attributes
    ----------
    z, z_err, probability : float
        NaN where not known.
    warning : int
        Bits of ZWARN.
    origin : str
        Key of the spectrum, or "joint".
    """

    z: float
    z_err: float
    probability: float
    warning: int
    origin: str


def best_redshift(fits: Mapping[str, Redshift], joint: Redshift | None = None) -> Redshift | None:
    """The redshift that stands for a source.

    Parameters
    ----------
    fits : mapping of str to Redshift
        By key of the spectrum.
    joint : Redshift, optional
        That of all gratings.

    Returns
    -------
    Redshift or None
        None where there is none.
    """
    if joint is not None and np.isfinite(joint.z):
        return joint
    known = {key: fit for key, fit in fits.items() if np.isfinite(fit.z)}
    if not known:
        return None
    return known[min(known, key=lambda key: (not is_prism(key), -_or_none(known[key].probability), key))]


@dataclass(frozen=True)
class Index:
    """All sources, by number: arrays of shape (n_source,).

    Attributes
    ----------
    source : ndarray of int32
        Number.
    ra, dec : ndarray of float64 [deg]
        Planned position.
    z, z_err, zprob : ndarray
        The redshift that stands for the source, its error and probability; NaN where there is none.
    zwarn : ndarray of int32
        Bits of ZWARN. Those of the redshift of all gratings are what the fits share that support it.
    snr : ndarray of float32
        Highest of the medians of its spectra.
    n_lines : ndarray of int32
        Highest number of lines above 5 sigma in one of its spectra.
    gratings : ndarray of uint32
        Which spectra it has: bit k for ``spectra[k]``.
    origin : ndarray of int8
        Where z is from: number in `spectra`, -1 of all gratings, -2 none.
    spectra : tuple of str
        Keys of spectra.
    complete : bool
        False while products are still being read.
    revision : str
        Changes with the content, and with the products of any source.
    """

    source: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    z: np.ndarray
    z_err: np.ndarray
    zprob: np.ndarray
    zwarn: np.ndarray
    snr: np.ndarray
    n_lines: np.ndarray
    gratings: np.ndarray
    origin: np.ndarray
    spectra: tuple[str, ...]
    complete: bool = True
    revision: str = ""

    @cached_property
    def places(self) -> dict[int, int]:
        """Place of each source in the arrays."""
        return {source: place for place, source in enumerate(self.source.tolist())}

    def row(self, source: int) -> int | None:
        """Place of a source in the arrays; None where it is not in the list."""
        return self.places.get(source)


def index_of(rows: np.ndarray, spectra: tuple[str, ...], *, complete: bool = True, revision: str = "") -> Index:
    """One entry per source.

    Parameters
    ----------
    rows : ndarray of ROW, shape (n_row,)
        One per spectrum, in any order.
    spectra : tuple of str
        What the numbers in `spectrum` stand for.
    complete : bool
        See `Index`.
    revision : str
        See `Index`.
    """
    prism = np.array([is_prism(key) for key in spectra] or [False])
    probability = np.where(np.isfinite(rows["zprob"]), rows["zprob"], -1.0)
    alphabetical = np.argsort(np.argsort(np.array(spectra or [""])))
    order = np.lexsort(
        (
            alphabetical[rows["spectrum"]],
            -probability,
            ~prism[rows["spectrum"]],
            ~np.isfinite(rows["z"]),
            rows["source"],
        )
    )
    rows = rows[order]
    source, first = np.unique(rows["source"], return_index=True)
    best = rows[first]
    joint = np.isfinite(best["joint_z"])
    snr, n_lines = np.zeros(0), np.zeros(0, dtype=int)
    gratings = np.zeros(0, dtype=np.uint32)
    if first.size:
        snr = np.maximum.reduceat(np.where(np.isfinite(rows["snr"]), rows["snr"], -np.inf), first)
        n_lines = np.maximum.reduceat(rows["n_lines"], first)
        gratings = np.bitwise_or.reduceat(np.uint32(1) << rows["spectrum"].astype(np.uint32), first)
    origin = np.where(joint, -1, np.where(np.isfinite(best["z"]), best["spectrum"], -2))
    return Index(
        source=source.astype(np.int32),
        ra=best["ra"],
        dec=best["dec"],
        z=np.where(joint, best["joint_z"], best["z"]),
        z_err=np.where(joint, best["joint_err"], best["z_err"]).astype(np.float32),
        zprob=np.where(joint, best["joint_prob"], best["zprob"]).astype(np.float32),
        zwarn=np.where(joint, _joint_warnings(rows, first), best["zwarn"]).astype(np.int32),
        snr=np.where(np.isfinite(snr), snr, np.nan).astype(np.float32),
        n_lines=n_lines.astype(np.int32),
        gratings=gratings,
        origin=origin.astype(np.int8),
        spectra=spectra,
        complete=complete,
        revision=revision,
    )


def _joint_warnings(rows: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Warnings of the redshift of all gratings, where the catalogue does not tell: what its supporters share."""
    if not first.size:
        return np.zeros(0, dtype=int)
    with np.errstate(invalid="ignore"):
        supports = np.abs(rows["z"] - rows["joint_z"]) <= SAME * (1 + rows["joint_z"])
    shared = np.bitwise_and.reduceat(np.where(supports, rows["zwarn"], -1), first)
    told = rows["joint_warn"][first]
    return np.where(told != NO_WARNING_TOLD, told, np.where(shared == -1, 0, shared))


class Catalogue:
    """The sources of a workspace, read again when files have changed.

    What the catalogue of the last run says is taken from there. A source whose products are newer, or which is not in
    it, is read from its products, for a quarter of a second at each call: until all are read the list is not complete.
    Of more than 5000 sources, what has changed within a second of the last look is seen at the next.

    Parameters
    ----------
    place : Workspace
        Whose.
    """

    def __init__(self, place: Workspace) -> None:
        self.place = place
        self._lock = threading.Lock()
        self._summary: tuple[int, int] | None = None  # when it was written, and its size
        self._rows: tuple[np.ndarray, list[str]] = (np.zeros(0, dtype=ROW), [])
        self._folders: dict[int, int] = {}
        self._again = 0.0  # when they are looked at again, if they are many
        self._read: dict[int, tuple[int, np.ndarray | None, list[str]]] = {}
        self._name, self._looks = secrets.token_hex(4), 0  # no two revisions are called the same
        self._index = index_of(np.zeros(0, dtype=ROW), (), complete=False)

    def index(self) -> Index:
        """The sources now.

        Raises
        ------
        DataError
            The catalogue cannot be read.
        """
        with self._lock:
            changed = self._look_at_summary()
            folders = self._look_at_folders()
            if changed or folders != self._folders or not self._index.complete:
                complete = self._read_newer(folders)
                self._folders = folders
                self._looks += 1
                self._index = index_of(*self._joined(), complete=complete, revision=f"{self._name}-{self._looks}")
            return self._index

    def fingerprints(self, source: int) -> Seen:
        """Fingerprints of the products of a source, as of the last call of `index`."""
        changed = self._folders.get(source)
        return {} if changed is None else _fingerprints(self.place, source, changed)

    def _look_at_summary(self) -> bool:
        """Read the catalogue if it is new."""
        path = self.place.summary("fits")
        look = (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else (0, 0)
        if look == self._summary:
            return False
        self._rows = catalogue_rows(path) if look[0] else (np.zeros(0, dtype=ROW), [])
        self._summary, self._read = look, {}
        return True

    def _look_at_folders(self) -> dict[int, int]:
        """When the folder of each source last changed [ns]; of many sources, as it was up to `PAUSE` seconds ago."""
        if len(self._folders) > MANY and time.monotonic() < self._again:
            return self._folders
        folders = _folders(self.place)
        self._again = time.monotonic() + PAUSE
        return folders

    def _read_newer(self, folders: dict[int, int]) -> bool:
        """Read sources that changed after the catalogue was written; False when time ran out."""
        written = self._summary[0] if self._summary else 0
        listed = set(np.unique(self._rows[0]["source"]).tolist())
        newer = {source: when for source, when in folders.items() if when >= written or source not in listed}
        self._read = {source: read for source, read in self._read.items() if newer.get(source) == read[0]}
        end = time.monotonic() + SECONDS
        for source in sorted(newer.keys() - self._read.keys()):
            if source in listed and not _newer_products(self.place, source, written):
                self._read[source] = newer[source], None, []
            else:
                self._read[source] = newer[source], *product_rows(self.place, source)
            if time.monotonic() > end:
                break
        return len(self._read) == len(newer)

    def _joined(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Rows of the catalogue, but for sources that were read from their products."""
        own = {source: (rows, keys) for source, (_, rows, keys) in self._read.items() if rows is not None}
        rows, keys = self._rows
        if not own:
            return rows, tuple(keys)
        spectra = sorted({*keys, *(key for _, mine in own.values() for key in mine)})
        number = {key: k for k, key in enumerate(spectra)}
        pieces = [rows[~np.isin(rows["source"], list(own))].copy(), *(mine.copy() for mine, _ in own.values())]
        for piece, names in zip(pieces, [keys, *(mine for _, mine in own.values())], strict=True):
            piece["spectrum"] = np.array([number[key] for key in names], dtype=int)[piece["spectrum"]]
        return np.concatenate(pieces), tuple(spectra)


@lru_cache(maxsize=8)
def catalogue_of(place: Workspace) -> Catalogue:
    """The list of sources of a workspace, one for all who ask."""
    return Catalogue(place)


def fingerprints(place: Workspace, source: int) -> Seen:
    """Fingerprints of the spectra and fits of a source, now; empty where it has none.

    They are read anew when the folder of the source has changed, as it does when a product is written.
    """
    folder = place.source_folder(source)
    return _fingerprints(place, source, _changed(folder.stat())) if folder.is_dir() else {}


@lru_cache(maxsize=1 << 17)
def _fingerprints(place: Workspace, source: int, _changed: int) -> Seen:
    found: Seen = {}
    for spec in place.find_combined(source, SPEC):
        found[key_of(place, source, spec)] = {"spec": read_fingerprint(spec), "fit": read_fingerprint(zfit_of(spec))}
    return found


def _folders(place: Workspace) -> dict[int, int]:
    """When the folder of each source last changed [ns]."""
    if not place.sources.is_dir():
        return {}
    with os.scandir(place.sources) as entries:
        return {int(e.name): _changed(e.stat()) for e in entries if e.name.isascii() and e.name.isdigit()}


def _changed(folder: os.stat_result) -> int:
    """When a folder last changed [ns]; now, as long as another change may bear the same time."""
    now = time.time_ns()
    return now if abs(now - folder.st_mtime_ns) < TICK else folder.st_mtime_ns


def _newer_products(place: Workspace, source: int, written: int) -> bool:
    """True when a spectrum or fit of the source was written after the catalogue, or in the same tick."""
    files: list[Path] = [*place.find_combined(source, SPEC), *place.find_combined(source, ZFIT)]
    joint = place.joint_zfit(source)
    return any(file.stat().st_mtime_ns >= written for file in [*files, *([joint] if joint.is_file() else [])])


def _or_none(probability: float) -> float:
    """Below all probabilities where it is not known."""
    return probability if np.isfinite(probability) else -1.0
