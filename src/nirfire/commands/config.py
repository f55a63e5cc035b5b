"""`config show`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table as Grid

from nirfire.commands.aim import Aim
from nirfire.commands.output import show_grid
from nirfire.pipeline.config_doc import rows
from nirfire.pipeline.target import Layers


def show_config(aim: Aim) -> None:
    """Print every setting of an observation with its value and origin."""
    for observation in aim.observations():
        _show(observation.workspace.observation, rows(observation.resolved))


def show_layers(layers: Layers) -> None:
    """Print every setting without an observation."""
    _show("settings", rows(layers.resolve()))


def _show(title: str, found: Iterable[Sequence[str]]) -> None:
    grid = Grid("setting", "value", "origin", "what it is", title=title)
    for row in found:
        grid.add_row(*map(str, row))
    show_grid(grid)
