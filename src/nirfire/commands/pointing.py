"""`pointing`: where sources lie in their shutters, by one pointing error for each visit or by the user's own table."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table as Grid

from nirfire.commands.aim import Aim
from nirfire.commands.output import say, show_grid
from nirfire.errors import DataError
from nirfire.pipeline.environment import CACHE_REMEDY, context_name, reference_environment, thread_environment
from nirfire.pipeline.executors import belong_to
from nirfire.pipeline.observation import Inputs
from nirfire.pipeline.run import Prospect, default_jobs
from nirfire.products.msa import Metafile
from nirfire.products.naming import CAL, Workspace
from nirfire.products.positions import Position, Positions, planned_positions, read_positions, write_positions

if TYPE_CHECKING:
    from nirfire.core.pointing import Frame, PointingFit, Shifts
    from nirfire.tasks.pointing import Measured, Planned

MAS = 1e3  # in an arcsec
ARCSEC = float(np.rad2deg(3600.0))  # in a radian


@dataclass(frozen=True)
class PointingOptions:
    """What is done with the pointing.

    Attributes
    ----------
    table : Path or None
        Positions that the user has measured, instead of a fit.
    apply : bool
        Write the table that `calibrate` reads.
    least_snr : float
        Of the sources that are measured.
    jobs : int or None
        Processes.
    """

    table: Path | None = None
    apply: bool = False
    least_snr: float = 30.0
    jobs: int | None = None


def pointing(aim: Aim, options: PointingOptions) -> None:
    """Measure the pointing of each visit, or take the user's table; write positions if they are to be applied.

    Raises
    ------
    DataError
        No source is calibrated yet, a file is damaged, or the table cannot be used.
    """
    from nirfire.tasks.pointing import check_used, corrected_positions, frame_of

    for observation in aim.observations():
        place = observation.workspace
        if options.table is not None:
            _take_table(place, options.table, apply=options.apply)
            continue
        planned = _planned(place)
        if not planned:
            remedy = f"nirfire run {aim.target} --to calibrate"
            raise DataError("no source is calibrated yet", file=place.sources, remedy=remedy)
        prospect = aim.look(observation)
        used = _used(prospect.inputs, place)
        check_used(planned, used)
        rows, heads = [], {}
        pinned = observation.resolved.configuration.execution.crds_context
        for visit, sources in _measure_all(prospect, planned, options, pinned).items():
            chosen = [m for m in sources if aim.selection.sources is None or m.source in aim.selection.sources]
            kept = _visit(place, visit, chosen, frame_of(sources, planned[0]))
            if kept is not None:
                mine = [p for p in used.values() if p.exposure.startswith(visit)]
                rows += corrected_positions(kept, sources, mine)
                heads[visit] = _facts(kept)
        _finish(place, rows, heads, apply=options.apply)


def _planned(place: Workspace) -> list[Planned]:
    from nirfire.tasks.pointing import Planned

    found = []
    for source in place.find_sources():
        if source > 0:
            found += [Planned.read(place.slit(n, source, CAL), source) for n in place.find_slits(source, CAL)]
    return [p for p in found if p is not None]


def _used(inputs: Inputs, place: Workspace) -> dict[tuple[str, int], Position]:
    """Where each source is taken to lie in each exposure: by the table that is applied, else as planned."""
    applied, metafiles = _earlier(place), dict[Path, Metafile]()
    found: dict[tuple[str, int], Position] = {}
    for name, e in {e.name.both: e for e in inputs.exposures}.items():
        path, head = e.header.metafile, e.header
        metafiles[path] = metafiles.get(path) or Metafile.read(path)
        for p in planned_positions(metafiles[path], head.metadata_id, head.dither_point, name):
            x, y = applied.get(name, {}).get(p.source, (p.x, p.y))
            found[name, p.source] = replace(p, x=x, y=y)
    return found


def _measure_all(
    prospect: Prospect, planned: Sequence[Planned], options: PointingOptions, pinned: str | None
) -> dict[str, list[Measured]]:
    """Measure every source in each visit, in processes of their own, which have the references' environment."""
    groups: dict[tuple[str, int], list[Planned]] = {}
    for p in planned:
        groups.setdefault((p.name.visit, p.source), []).append(p)
    references = _references(prospect, list(groups.values()), pinned)
    environment = (references or {}) | thread_environment()
    processes = min(options.jobs or default_jobs(), len(groups))
    say(f"measuring {len(groups)} sources in {len(planned)} cutouts")
    spawn = multiprocessing.get_context("spawn")
    done: dict[str, list[Measured]] = {}
    with ProcessPoolExecutor(processes, spawn, _begin, (environment, os.getpid())) as pool:
        settings = ([value] * len(groups) for value in (options.least_snr, references is not None))
        found = pool.map(_measure, groups.values(), *settings)
        for (visit, _), measured in zip(groups, found, strict=True):
            done.setdefault(visit, []).append(measured)
    return done


def _references(
    prospect: Prospect, groups: Sequence[Sequence[Planned]], pinned: str | None = None
) -> dict[str, str] | None:
    """Environment of the references that x rests on; None where it cannot be measured.

    Whether sources are simulated is asked of their cutouts: `Inputs.embedded` is true of given cutouts of any origin.
    """
    from nirfire.tasks.pointing import is_dithered

    if not any(map(is_dithered, groups)):
        return None
    simulated = all(p.simulated for planned in groups for p in planned)
    if not simulated and "CRDS_PATH" not in os.environ:
        say("note: x is NOT measured: for real exposures that needs the JWST reference files, and CRDS_PATH is not set")
        say(f"  {CACHE_REMEDY}")
        return None
    known = "" if prospect.inputs.embedded else prospect.plan.crds
    context = known or context_name(embedded=simulated, pinned=pinned, last="", online=True)
    return reference_environment(context, embedded=simulated, say=say)


def _begin(environment: Mapping[str, str], parent: int) -> None:
    os.environ.update(environment)
    logging.disable(logging.WARNING)
    belong_to(parent)


def _measure(planned: Sequence[Planned], least_snr: float, across: bool) -> Measured:
    from nirfire.stsci.slit_loss import SlitLoss
    from nirfire.tasks.pointing import is_dithered, measure_source

    loss = SlitLoss.find(planned[0].cal) if across and is_dithered(planned) else None
    return measure_source(planned, loss, least_snr)


def _visit(place: Workspace, visit: str, measured: Sequence[Measured], frame: Frame) -> PointingFit | None:
    """Fit one visit, tell what was found, and draw it; what is significant, None where nothing is."""
    from nirfire.core.pointing import fit_pointing, significant_pointing
    from nirfire.qa.pointing_figure import pointing_figure
    from nirfire.tasks.pointing import shifts_of

    mine = [m for m in measured if m.x or m.y]
    if not mine:
        say(f"{visit}: no source is bright enough")
        return None
    shifts = shifts_of(mine)
    fit, kept = fit_pointing(shifts, frame), significant_pointing(shifts, frame)
    _show_sources(visit, mine, shifts, fit)
    _show_fit(visit, fit, kept)
    labels = [str(m.source) for m in mine]
    say(f"figure: {pointing_figure(shifts, fit, labels, place.pointing_figure(visit), f'{visit}   {_told(fit)}')}")
    return kept


def _show_sources(visit: str, measured: Sequence[Measured], shifts: Shifts, fit: PointingFit) -> None:
    names = ("source", "S/N", "width", "exposures", "x", "error", "residual", "y", "error", "residual", "used")
    grid = Grid(*names, title=f"{visit}: measured place less that of calibrate [mas]")
    moved, err = shifts.shift * shifts.pitch * MAS, shifts.err * shifts.pitch * MAS
    for k, m in enumerate(measured):
        cells = [str(m.source), f"{m.snr:.0f}", f"{m.floor * MAS:.0f}", str(m.n_exposures)]
        for axis in (0, 1):
            values = (moved[k, axis], err[k, axis], fit.residual[k, axis] * MAS)
            known = np.isfinite(err[k, axis])
            cells += [f"{values[0]:+.1f}", f"{values[1]:.1f}", f"{values[2]:+.1f}"] if known else ["", "", ""]
        grid.add_row(*cells, " ".join(n for n, used in zip("xy", fit.used[k], strict=True) if used) or "no")
    show_grid(grid)


def _told(fit: PointingFit) -> str:
    """The fit in one line."""
    parts = []
    for k, (name, unit, scale) in enumerate((("x", "mas", MAS), ("y", "mas", MAS), ("turn", "arcsec", ARCSEC))):
        said = f"{fit.value[k] * scale:+.1f} ± {fit.error[k] * scale:.1f} {unit}" if fit.fitted[k] else "not known"
        parts.append(f"{name} {said}")
    return ", ".join(parts)


def _show_fit(visit: str, fit: PointingFit, kept: PointingFit | None) -> None:
    sky = fit.frame.axes @ fit.value[:2] * MAS
    say(f"{visit}: {_told(fit)}")
    said = [
        f"{n} {fit.n_used[k]} sources, rms {fit.rms[k] * MAS:.1f}, scatter {fit.scatter[k] * MAS:.1f} mas"
        for k, n in enumerate("xy")
        if fit.n_used[k]
    ]
    say("  " + "; ".join(said))
    if fit.fitted[:2].all():
        say(f"  sources lie off by {sky[0]:+.1f} mas in V2, {sky[1]:+.1f} mas in V3")
    if not fit.fitted[1]:
        say("  y needs at least 3 bright sources")
    if not fit.fitted[0]:
        say("  x needs dithers along the dispersion: see docs/positions.md")
    say("  not significant: positions stay as they are" if kept is None else f"  significant: {_told(kept)}")


def _facts(fit: PointingFit) -> dict[str, Any]:
    """What the head of the table says of a visit."""
    scale = np.array([1.0, 1.0, ARCSEC])
    error = np.where(fit.fitted, fit.error, 0.0) * scale
    return {
        "fitted": [n for n, f in zip(("x", "y", "turn"), fit.fitted, strict=True) if f],
        "x_y_turn_arcsec": [round(float(v), 6) for v in fit.value * scale],
        "errors_arcsec": [round(float(v), 6) for v in error],
        "sources_x_y": [int(n) for n in fit.n_used],
        "scatter_x_y_arcsec": [round(float(v), 6) for v in fit.scatter],
    }


def _finish(place: Workspace, rows: Sequence[Position], heads: Mapping[str, Any], *, apply: bool) -> None:
    """Write the table, or say how to; places of the earlier table that are not among `rows` stay in it."""
    if not rows:
        say("nothing to apply")
        return
    if not apply:
        say("nothing is changed; --apply makes these positions those of calibrate")
        return
    new = {(row.exposure, row.source) for row in rows}
    kept = [
        Position(exposure, source, *xy)
        for exposure, places in _earlier(place).items()
        for source, xy in places.items()
        if (exposure, source) not in new
    ]
    here = sorted({row.source for row in kept if row.exposure.split("_")[0] in heads})
    if here:
        say(f"note: sources not measured, which keep the places of the earlier table: {', '.join(map(str, here))}")
    _write(place, [*kept, *rows], {"made_by": "nirfire pointing", "visits": {v: heads[v] for v in sorted(heads)}})


def _earlier(place: Workspace) -> Positions:
    return read_positions(place.positions) if place.positions.is_file() else {}


def _take_table(place: Workspace, table: Path, *, apply: bool) -> None:
    """Check the user's table against what there is, and make it that of the workspace."""
    found = read_positions(table)
    number = sum(map(len, found.values()))
    say(f"{table}: {number} positions in {len(found)} exposures")
    exposures = {p.name.both for p in _planned(place)}
    if exposures and (strange := sorted(set(found) - exposures)):
        say(f"note: no source is calibrated in {', '.join(strange[:4])}{' ...' if len(strange) > 4 else ''}")
    if not apply:
        say("nothing is changed; --apply makes these positions those of calibrate")
        return
    rows = [Position(exposure, source, *xy) for exposure, places in found.items() for source, xy in places.items()]
    _write(place, rows, {"made_by": f"nirfire pointing --table {table.name}"})


def _write(place: Workspace, rows: Sequence[Position], meta: Mapping[str, Any]) -> None:
    write_positions(place.positions, rows, meta)
    say(f"{len(rows)} positions: {place.positions}")
    say(f"what was calibrated with others is redone by: nirfire run {place.folder} --rerun stale")
