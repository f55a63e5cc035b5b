"""Lines and tables for the user."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table as Grid

WIDE = 240  # characters of a line where the output is no terminal


def say(text: str) -> None:
    """Print a line for the user on standard error."""
    Console(stderr=True).print(text, soft_wrap=True, markup=False, highlight=False)


def show_grid(grid: Grid) -> None:
    """Print a table on standard output; where that is no terminal, as wide as it needs to be."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(grid)


def show_rows(headings: Mapping[str, str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print some columns of a table; `headings` gives the heading of each."""
    grid = Grid(*headings.values())
    for row in rows:
        grid.add_row(*(_cell(row[name]) for name in headings))
    show_grid(grid)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.4f}"
    return str(value)


def first_line(text: str) -> str:
    """The message of an error without the lines that name file, key and remedy."""
    return text.partition("\n")[0]
