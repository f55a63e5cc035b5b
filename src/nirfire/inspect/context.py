"""What every request of the inspection page works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from nirfire.pipeline.target import Observation
from nirfire.products.naming import Workspace

if TYPE_CHECKING:
    from nirfire.inspect.store import Store


@dataclass(frozen=True)
class Context:
    """One workspace that is being inspected.

    Attributes
    ----------
    observation : Observation
        The workspace with its configuration.
    store : Store
        The votes.
    user : str
        Who votes where the page does not say.
    blind : bool
        Hide the votes of others on an object until one's own is saved.
    """

    observation: Observation
    store: Store
    user: str
    blind: bool = False

    @property
    def place(self) -> Workspace:
        return self.observation.workspace


def context(request: Request) -> Context:
    """The context of the application that a request has come to; for `fastapi.Depends`."""
    found: Context = request.app.state.context
    return found
