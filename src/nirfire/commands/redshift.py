"""`redshift`: any 1D spectra to redshifts, outside a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from nirfire import __version__
from nirfire.commands.aim import BAD_JOBS
from nirfire.commands.output import say, show_rows
from nirfire.commands.redshift_fits import BATCH, Item, Rows, batches, fitter
from nirfire.errors import DataError
from nirfire.pipeline.jobs import DATA_ERROR, DONE, Outcome
from nirfire.pipeline.run import default_jobs
from nirfire.pipeline.target import Layers
from nirfire.products.any_spectrum import GRATINGS, read_each
from nirfire.products.redshift_table import (
    NO_FIT,
    REDSHIFTS,
    RedshiftRow,
    write_redshifts,
    zfit_of_part,
    zfit_paths,
)
from nirfire.products.spectrum_units import Units, is_flux, is_wavelength, read_unit
from nirfire.products.template_store import load_templates
from nirfire.products.zfit import warnings_said
from nirfire.progress import TerminalProgress
from nirfire.tasks.settings import RedshiftSettings

HEADINGS = {
    "file": "spectrum",
    "source": "source",
    "grating": "grating",
    "z": "z",
    "z_err": "z error",
    "zprob": "probability",
    "zwarn": "warnings",
    "z2": "next z",
    "template_class": "class",
    "reason": "reason",
}
SHOWN = 60  # rows on the terminal
AT_ONCE = 1024  # files in memory
STAGE = "redshift"


@dataclass(frozen=True)
class RedshiftOptions:
    """What is asked for.

    Attributes
    ----------
    folder : Path or None
        Where fits and table go. None: fits beside their spectra, the table in the current folder.
    grating : str or None
        Disperser of files that do not tell theirs.
    units : Units
        Units of columns that have none.
    jobs : int or None
        Processes. None: one, but one per core for more than 64 files.
    """

    folder: Path | None = None
    grating: str | None = None
    units: Units = field(default_factory=Units)
    jobs: int | None = None


def fit(files: Sequence[Path], options: RedshiftOptions, layers: Layers) -> int:
    """Fit spectra and write the table of their redshifts; one that cannot be fitted does not stop the others.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    DataError
        An option or setting cannot be used.
    """
    settings = layers.resolve().configuration.redshift
    _check(options, settings)
    given = list(dict.fromkeys(files))
    table = (options.folder or Path()) / REDSHIFTS
    processes = min(options.jobs or (default_jobs() if len(given) > BATCH else 1), max(len(given), 1))
    found: Rows = {}
    try:
        with TerminalProgress() as progress:
            progress.hooks.begin({STAGE: len(given)}, {}, processes)
            for file, rows in _fit_all(given, options, settings, processes):
                found |= rows
                progress.hooks.tick(_outcome(file, [rows[place] for place in sorted(rows)]))
    finally:  # an interrupt keeps what is finished
        ordered = [found[place] for place in sorted(found)]
        if ordered:
            write_redshifts(table, ordered, _facts(settings))
    _show(ordered, table)
    return BAD_JOBS if any(row.reason for row in ordered) else 0


def _check(options: RedshiftOptions, settings: RedshiftSettings) -> None:
    """Refuse what cannot be used for any spectrum, before the first is read."""
    load_templates(settings.templates)
    if options.grating is not None and options.grating.upper() not in GRATINGS:
        text = f"unknown grating {options.grating!r}"
        raise DataError(text, key="--grating", remedy=f"one of {', '.join(GRATINGS)}")
    for value, key, known, example in (
        (options.units.wave, "--wave-unit", is_wavelength, "um"),
        (options.units.flux, "--flux-unit", is_flux, "uJy or 'erg/s/cm2/Angstrom'"),
    ):
        unit = read_unit(value) if value else None
        if value and (unit is None or not known(unit)):
            raise DataError(f"{value!r} is not such a unit", key=key, remedy=f"for example {example}")
    z_max = settings.z_max
    if z_max is not None and z_max <= settings.z_min:
        raise DataError(f"no redshift between {settings.z_min:g} and {z_max:g}", key="--z-max", remedy="raise it")
    if options.folder is not None:
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"no folder can be made: {error.strerror}"
            raise DataError(text, file=options.folder, key="--out", remedy="name another") from error


def _fit_all(
    files: Sequence[Path], options: RedshiftOptions, settings: RedshiftSettings, processes: int
) -> Iterator[tuple[Path, Rows]]:
    """The rows of each file, as soon as all of its spectra are done."""
    targets = zfit_paths(files, options.folder)
    with fitter(processes, settings) as fit_groups:
        for first in range(0, len(files), AT_ONCE):
            rows: dict[int, Rows] = {}
            items: list[Item] = []
            for k in range(first, min(first + AT_ONCE, len(files))):
                here, rows[k] = _read((k, files[k]), targets, options)
                items += here
            left = {k: {item.place for item in items if item.place[0] == k} for k in rows}
            yield from ((files[k], rows[k]) for k in rows if not left[k])
            size = min(BATCH, ceil(len(items) / processes)) or 1
            for done in fit_groups(batches(items, size)):
                for place, row in done.items():
                    k = place[0]
                    rows[k][place] = row
                    left[k].discard(place)
                    if not left[k]:
                        yield files[k], rows[k]


def _read(which: tuple[int, Path], targets: Mapping[Path, Path], options: RedshiftOptions) -> tuple[list[Item], Rows]:
    """The spectra of a file, and the rows of those that cannot be used."""
    number, file = which
    items: list[Item] = []
    try:
        spectra = read_each(file, options.grating, options.units)
    except DataError as error:
        return [], {(number, 0): RedshiftRow(str(file), reason=_reason(error))}
    rows: Rows = {}
    for k, (label, source, grating, spectrum) in enumerate(spectra):
        if isinstance(spectrum, DataError):
            rows[number, k] = RedshiftRow(str(file), grating, source=source or label, reason=_reason(spectrum))
        else:
            items.append(Item((number, k), str(file), zfit_of_part(file, label, targets), spectrum))
    return items, rows


def _reason(error: DataError) -> str:
    """What is wrong, where, and what can be done, in one line."""
    parts = [error.message, f"key: {error.key}" if error.key else "", f"remedy: {error.remedy}" if error.remedy else ""]
    return "; ".join(" ".join(part.split()) for part in parts if part)


def _outcome(file: Path, rows: Sequence[RedshiftRow]) -> Outcome:
    reasons = [f"{row.source}: {row.reason}" if len(rows) > 1 else row.reason for row in rows if row.reason]
    seconds = sum(row.time_ms for row in rows if not row.reason) / 1e3
    return Outcome(STAGE, str(file), DATA_ERROR if reasons else DONE, "\n  ".join(reasons), seconds)


def _facts(settings: RedshiftSettings) -> dict[str, Any]:
    """What the head of the table says."""
    return {"made_by": "nirfire redshift", "nirfire": __version__, "settings": settings.model_dump()}


def _told(row: RedshiftRow) -> dict[str, Any]:
    """A row for the terminal: warnings in words, reasons without remedies, which are told already."""
    words = "" if row.zwarn == NO_FIT else ", ".join(warnings_said(row.zwarn))
    return asdict(row) | {"file": Path(row.file).name, "zwarn": words, "reason": row.reason.partition(";")[0]}


def _show(rows: Sequence[RedshiftRow], table: Path) -> None:
    show_rows(HEADINGS, map(_told, rows[:SHOWN]))
    if len(rows) > SHOWN:
        say(f"... and {len(rows) - SHOWN} more")
    failed = sum(bool(row.reason) for row in rows)
    say(f"{len(rows) - failed} fitted, {failed} not: {table}")
