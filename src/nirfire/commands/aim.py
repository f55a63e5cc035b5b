"""What a command is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.run import Prospect, look_at
from nirfire.pipeline.select import Selection
from nirfire.pipeline.target import Layers, Observation, observations

BUG, UNUSABLE, BAD_JOBS, INTERRUPTED = 1, 2, 3, 130  # exit codes; 0 when all is well


@dataclass(frozen=True)
class Aim:
    """The target, and the options that choose from it.

    Attributes
    ----------
    target : Path
        A folder of exposures, an ``observations.toml``, or a workspace.
    workspace : Path or None
        Where the products go.
    names : sequence of str
        Observations.
    layers : Layers
        Configuration from the command line.
    selection : Selection
        Which jobs.
    """

    target: Path
    workspace: Path | None = None
    names: Sequence[str] = ()
    layers: Layers = field(default_factory=Layers)
    selection: Selection = field(default_factory=Selection)

    def observations(self) -> list[Observation]:
        """The observations that are meant."""
        return observations(self.target, workspace=self.workspace, names=self.names, layers=self.layers)

    def look(self, observation: Observation) -> Prospect:
        """Plan an observation without changing anything."""
        return look_at(observation, Ledger.open(observation.workspace, read_only=True), self.selection)
