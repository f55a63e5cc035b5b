"""`stuck`: shutters that are stuck closed, found by their sky or listed by hand; and figures of the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.table import Table as Grid

from nirfire.commands.aim import Aim
from nirfire.commands.output import say, show_grid
from nirfire.errors import DataError
from nirfire.products.naming import SHUTTERS, Workspace
from nirfire.products.shutters import ShutterTable
from nirfire.tasks.stuck import read_stuck

AUTOMATIC, MANUAL, OVERRULED = "automatic", "manual", "automatic, overruled by hand"
NORMAL = "open"
HEADINGS = ("visit, activity", "source", "shutter", "Q", "row", "column", "state", "from", "level", "chance")
Row = tuple[str, ...]


def stuck(aim: Aim, *, source: int | None, figures: Path | None) -> int:
    """List the stuck shutters of each observation.

    Parameters
    ----------
    aim : Aim
    source : int or None
        Show all shutters of this source, open ones too.
    figures : Path or None
        Folder for figures: of this source, or of all that have a shutter which is not open.

    Returns
    -------
    int
        0.

    Raises
    ------
    DataError
        Nothing was looked at yet and nothing is listed by hand, or a file cannot be used.
    """
    for observation in aim.observations():
        place = observation.workspace
        by_hand = read_stuck(place.stuck_list)
        tables = {p.name.removesuffix(SHUTTERS): p for p in sorted(place.exposures.glob(f"jw*{SHUTTERS}"))}
        if not tables and not by_hand:
            remedy = f"nirfire run {aim.target} --to shutters"
            raise DataError("no shutter was looked at yet", file=place.exposures, remedy=remedy)
        grid = Grid(*HEADINGS, title=f"{place.observation}: stuck shutters")
        number = 0
        for root in sorted(tables.keys() | by_hand.keys()):
            found = ShutterTable.read(tables[root]) if root in tables else None
            chosen = {source} if source is not None else aim.selection.sources
            for row in _rows(root, found, by_hand.get(root, {}), chosen, everything=source is not None):
                grid.add_row(*row)
                number += 1
            if figures is not None and found is not None:
                _draw(found, root, source, figures)
        show_grid(grid)
        _tell(place, number)
    return 0


def _rows(
    root: str,
    found: ShutterTable | None,
    by_hand: dict[int, tuple[int, ...]],
    chosen: Iterable[int] | None,
    *,
    everything: bool,
) -> Iterator[Row]:
    """Rows of the list, by source and shutter."""
    rows: list[tuple[int, int, Row]] = []
    wanted = None if chosen is None else set(chosen)
    measured: dict[tuple[int, int], Row] = {}
    for v in found.verdicts if found is not None else ():
        key = int(v["source"]), int(v["ordinal"])
        place = tuple(str(v[n]) for n in ("quadrant", "shutter_row", "shutter_column"))
        evidence = (f"{v['level']:.2f} ± {v['error']:.2f}", f"{v['chance']:.1e}")
        measured[key] = (*place, *evidence)
        if key[0] > 0 and (everything or str(v["state"]) not in (NORMAL, "unknown")):
            origin = OVERRULED if key[0] in by_hand else AUTOMATIC
            rows.append((*key, (root, *map(str, key), *place, str(v["state"]), origin, *evidence)))
    for source, ordinals in by_hand.items():
        for ordinal in ordinals:
            said = measured.get((source, ordinal), ("", "", "", "", ""))
            row = (root, str(source), str(ordinal), *said[:3], "closed", MANUAL, *said[3:])
            rows.append((source, ordinal, row))
    for number, _, row in sorted(rows):
        if wanted is None or number in wanted:
            yield row


def _draw(found: ShutterTable, root: str, source: int | None, folder: Path) -> None:
    from nirfire.qa.shutter_figure import shutter_figure

    for number in found.odd if source is None else [source] if source in found.sources else []:
        path = folder / f"{root}_{number}_shutters.png"
        shutter_figure(found, number, path)
        say(f"figure: {path}")


def _tell(place: Workspace, number: int) -> None:
    if number == 0:
        say(f"{place.observation}: no shutter is stuck")
    say(f"what is listed by hand for a source wins over what was found: {place.stuck_list}")
