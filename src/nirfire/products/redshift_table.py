"""The table of the redshifts of any spectra, file ``redshifts.ecsv``, and the names of the fits that it lists."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.atomic import write_text
from nirfire.products.columns import Column, describe
from nirfire.products.naming import SPEC, ZFIT

REDSHIFTS = "redshifts.ecsv"
ENDINGS = (".gz", ".fits", ".fit", ".ecsv", ".csv", ".txt", ".dat", ".ascii", ".spec")
NO_FIT = -1  # zwarn where there is no fit
NAN = float("nan")
COLUMNS = {
    "file": Column("", "meta.id;meta.file", "spectrum"),
    "grating": Column("", "instr.setup", "disperser"),
    "z": Column("", "src.redshift", "best redshift; NaN where there is no fit"),
    "z_err": Column("", "stat.error;src.redshift", "its standard error, from the curvature of chi-squared"),
    "zconf": Column("", "stat.probability;src.redshift", "share of exp(-chi2) within 0.03 of z, the published metric"),
    "zprob": Column("", "stat.probability;src.redshift", "probability that z is right"),
    "zwarn": Column("", "meta.code.qual;src.redshift", "bits that warn of z, 0 is good; -1 where there is no fit"),
    "z2": Column("", "src.redshift", "redshift of the next distinct minimum of chi-squared"),
    "dchi2_12": Column("", "stat.fit.chi2;arith.diff", "chi-squared of z2 above that of z"),
    "snr": Column("", "stat.snr", "median of |signal| / noise of the pixels"),
    "template_class": Column("", "src.class", "class of the best templates"),
    "time_ms": Column("ms", "time.duration", "time of the fit, the mean of those fitted together"),
    "source": Column("", "meta.id;src", "number or name of the source, as its file has it"),
    "product": Column("", "meta.id;meta.file", "file of the fit"),
    "reason": Column("", "meta.note", "why there is no fit"),
}


@dataclass(frozen=True)
class RedshiftRow:
    """One spectrum in the table; `COLUMNS` says what is what."""

    file: str
    grating: str = ""
    z: float = NAN
    z_err: float = NAN
    zconf: float = NAN
    zprob: float = NAN
    zwarn: int = NO_FIT
    z2: float = NAN
    dchi2_12: float = NAN
    snr: float = NAN
    template_class: str = ""
    time_ms: float = NAN
    source: str = ""
    product: str = ""
    reason: str = ""


DIGITS = {"z": 6, "z_err": 8, "zconf": 6, "zprob": 6, "z2": 6, "dchi2_12": 3, "snr": 3, "time_ms": 2}


def write_redshifts(path: Path, rows: Sequence[RedshiftRow], meta: Mapping[str, Any] | None = None) -> None:
    """Write the table as ECSV.

    Parameters
    ----------
    path : Path
    rows : sequence of RedshiftRow
    meta : mapping, optional
        Facts for the head of the file: numbers, text, lists and mappings of them.
    """
    content = [asdict(row) for row in rows]
    kinds = {"float": float, "int": np.int64, "str": str}
    columns = {
        f.name: np.array([row[f.name] for row in content], dtype=kinds[str(f.type)]) for f in fields(RedshiftRow)
    }
    table = Table(columns)
    for name, digits in DIGITS.items():
        table[name] = np.round(table[name], digits)
    describe(table, COLUMNS)
    table.meta.update(meta or {})
    out = io.StringIO()
    table.write(out, format="ascii.ecsv")
    write_text(path, out.getvalue())


def read_redshifts(path: Path) -> Table:
    """Read the table; texts are never masked.

    Raises
    ------
    DataError
        There is no such table, or it cannot be read.
    """
    try:
        table = Table.read(path, format="ascii.ecsv")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"not a table of redshifts: {error}", file=path, remedy="write it anew") from error
    for name in table.colnames:
        if table[name].dtype.kind == "U":
            table[name] = np.ma.filled(table[name], "")
    return table


def zfit_paths(files: Iterable[Path], folder: Path | None = None) -> dict[Path, Path]:
    """Where the fits of spectra go: into a folder, or each beside its spectrum.

    Parameters
    ----------
    files : iterable of Path
        Each once.
    folder : Path, optional

    Returns
    -------
    dict of Path to Path
        ``a_spec.fits`` gets ``a_zfit.fits``, and any ``b.csv`` gets ``b_zfit.fits``. Files that would get the same get
        theirs after their whole names, and where that is not enough, with the names of their folders before them.
    """
    left = dict.fromkeys(files)
    depth = max((len(file.resolve().parts) for file in left), default=0)
    levels = dict.fromkeys(left, 0)
    for _ in range(depth + 1):
        found = {file: (folder or file.parent) / (_stem(file, level) + ZFIT) for file, level in levels.items()}
        often = Counter(found.values())
        twice = {path for path, n in often.items() if n > 1}
        if not twice:
            break
        levels = {file: level + (found[file] in twice) for file, level in levels.items()}
    return found if left else {}


def zfit_of_part(file: Path, label: str, targets: Mapping[Path, Path]) -> Path:
    """Path of the fit of one of the spectra of a file.

    Parameters
    ----------
    file : Path
    label : str
        What tells it from the others of its file; empty where it is the only one.
    targets : mapping of Path to Path
        What `zfit_paths` gave. Where the fit of another file has the path already, it is called after the whole name.
    """
    zfit = targets[file]
    if not label:
        return zfit
    path = zfit.with_name(f"{zfit.name.removesuffix(ZFIT)}_{label}{ZFIT}")
    return zfit.with_name(f"{file.name}_{label}{ZFIT}") if path in targets.values() else path


def _stem(file: Path, level: int) -> str:
    if level == 0:
        name = file.name.removesuffix(SPEC)
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        return name or file.name
    folders = file.resolve().parts[:-1]
    return "-".join([*(folders[len(folders) - level + 1 :] if level > 1 else ()), file.name])
