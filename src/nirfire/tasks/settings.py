"""What the configuration models of all tasks share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

StockSteps = dict[str, dict[str, Any]]


class Settings(BaseModel):
    """Base of the configuration models: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
