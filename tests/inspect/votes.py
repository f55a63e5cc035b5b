"""Votes and workspaces for the tests of the store and the list."""

from __future__ import annotations

import os
import time
from itertools import count
from pathlib import Path
from uuid import UUID

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.inspect.votes import Vote
from nirfire.products.columns import primary_hdu, table_hdu
from nirfire.products.naming import SPEC, Workspace, zfit_of

_numbers = count(1)
SEEN = {"prism_clear": {"spec": "s1", "fit": "f1"}}


def vote(source: int = 101, user: str = "ada", z: float | None = 2.5, quality: int = 3, **more) -> Vote:
    """A vote with a uuid of its own; without a time it is of now."""
    fields = {"flags": {}, "comment": "", "tags": (), "seen": {}, "time": ""} | more
    fields.setdefault("uuid", str(UUID(int=next(_numbers))))
    return Vote(user=user, source=source, z=None if quality == 1 else z, quality=quality, **fields)


def at(second: int) -> str:
    """A time."""
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000000Z"


def write_catalogue(place: Workspace, rows: list[dict]) -> None:
    """A summary with just the columns that the list needs."""
    blank = {
        "source_id": 1, "grating": "PRISM", "filter": "CLEAR", "ra": 53.1, "dec": -27.8, "redshift_auto": np.nan,
        "redshift_error": np.nan, "redshift_probability": np.nan, "redshift_warning": 0, "redshift_joint": np.nan,
        "redshift_joint_error": np.nan, "redshift_joint_probability": np.nan, "signal_to_noise": np.nan, "n_lines": 0,
    }  # fmt: skip
    table = Table({name: np.array([(blank | row)[name] for row in rows]) for name in blank | rows[0]})
    place.catalogue.mkdir(parents=True, exist_ok=True)
    hdus = fits.HDUList([primary_hdu({}), table_hdu(table, "CATALOGUE", {})])
    hdus.writeto(place.summary("fits"), overwrite=True)


def big_catalogue(place: Workspace, number: int) -> None:
    """A catalogue of many sources, two in three with PRISM alone, the others with a grating too."""
    rng = np.random.default_rng(1)
    source = np.sort(np.concatenate([np.arange(1, number - number // 3 + 1), np.arange(1, number // 3 + 1)]))
    prism = np.concatenate([[True], source[1:] != source[:-1]])
    n = source.size
    table = Table({
        "source_id": source, "grating": np.where(prism, "PRISM", "G395M"), "filter": np.where(prism, "CLEAR", "F290LP"),
        "ra": rng.uniform(53, 54, n), "dec": rng.uniform(-28, -27, n), "redshift_auto": rng.uniform(0, 12, n),
        "redshift_error": rng.uniform(1e-4, 1e-2, n), "redshift_probability": rng.uniform(0, 1, n),
        "redshift_warning": rng.integers(0, 64, n), "redshift_joint": np.full(n, np.nan),
        "redshift_joint_error": np.full(n, np.nan), "redshift_joint_probability": np.full(n, np.nan),
        "signal_to_noise": rng.uniform(0, 30, n), "n_lines": rng.integers(0, 12, n),
        **{f"flux_{k}": rng.uniform(0, 1, n) for k in range(40)},
    })  # fmt: skip
    place.catalogue.mkdir(parents=True, exist_ok=True)
    hdus = fits.HDUList([primary_hdu({}), table_hdu(table, "CATALOGUE", {})])
    hdus.writeto(place.summary("fits"), overwrite=True)


def write_product(path: Path, fingerprint: str, cards: dict | None = None) -> None:
    """A product that has a fingerprint and some cards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu = fits.PrimaryHDU()
    hdu.header.update((cards or {}) | {"NFFPRINT": fingerprint})
    part = path.with_name("part")
    hdu.writeto(part, overwrite=True)
    part.replace(path)


def write_source(place: Workspace, source: int, spec: str = "s1", fit: str = "f1", z: float = 2.5) -> None:
    """PRISM products of a source."""
    path = place.combined(source, "PRISM", "CLEAR", SPEC)
    write_product(path, spec, {"RA": 53.1, "DEC": -27.8})
    cards = {"ZBEST": z, "ZERR": 0.001, "ZPROB": 0.9, "ZWARN": 4}
    write_product(zfit_of(path), fit, cards)


def grows_old(folder: Path, seconds: float = 60.0) -> None:
    """Set the times of a folder and its files back: what has just changed is looked at again."""
    then = time.time() - seconds
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))
