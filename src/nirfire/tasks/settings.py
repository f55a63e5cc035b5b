"""The configuration models of all tasks; light, so that planning imports no numerics."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

StockSteps = dict[str, dict[str, Any]]


class Settings(BaseModel):
    """Base of the configuration models: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DetectorSettings(Settings):
    """Configuration of `detector`."""

    expand_large_events: bool = Field(True, description="find snowballs in the jump step")
    steps: StockSteps = Field(default_factory=dict, description="parameters passed through to the stock steps")


class CleanSettings(Settings):
    """Configuration of `clean`."""

    n_iter: int = Field(5, ge=1, description="passes over the background components")
    boxes: int = Field(8, ge=2, description="boxes per axis of the smooth surface")
    picture_frame: bool = Field(True, description="fit the CRDS picture-frame template")
    surface: bool = Field(True, description="fit a smooth surface")
    columns: bool = Field(True, description="subtract column medians (1/f noise)")
    rows: bool | None = Field(None, description="subtract row medians; by default for PRISM only")
    margin: int = Field(2, ge=0, description="rows masked above and below each trace")


class CalibrateSettings(Settings):
    """Configuration of `calibrate`."""

    barshadow: bool = Field(False, description="apply the stock bar-shadow correction")
    steps: StockSteps = Field(default_factory=dict, description="parameters passed through to the stock steps")


class NodsubSettings(Settings):
    """Configuration of `nodsub`."""

    least: int = Field(2, ge=2, description="smallest number of nods in a group")


class StackSettings(Settings):
    """Configuration of `stack`."""

    outliers_from: int = Field(4, ge=2, description="exposures per detector from which outlier detection is on")
    steps: StockSteps = Field(default_factory=dict, description="parameters passed through to the stock steps")


class ExtractSettings(Settings):
    """Configuration of `extract`."""

    half_width: float = Field(3.0, gt=0, description="half width of the profile window [pixel]")
    fallback_width: float = Field(3.0, gt=0, description="boxcar used when the profile is unusable [pixel]")


class RedshiftSettings(Settings):
    """Configuration of `redshift`."""

    z_min: float = Field(0.0, ge=0, description="lowest redshift tried")
    z_max: float | None = Field(None, gt=0, description="highest redshift tried; by default that of the grating")
    templates: str = Field("default", description="name of the template set")


class Config(Settings):
    """Configuration of all stages."""

    detector: DetectorSettings = DetectorSettings()
    clean: CleanSettings = CleanSettings()
    calibrate: CalibrateSettings = CalibrateSettings()
    nodsub: NodsubSettings = NodsubSettings()
    stack: StackSettings = StackSettings()
    extract: ExtractSettings = ExtractSettings()
    redshift: RedshiftSettings = RedshiftSettings()
