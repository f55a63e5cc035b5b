"""The configuration models of all tasks; light, so that planning imports no numerics."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from nirfire.stsci.stock_steps import STOCK

StockSteps = dict[str, dict[str, Any]]


def _steps_of(stage: str) -> AfterValidator:
    """Refuse names that are no steps of the stock pipeline of a stage."""

    def check(steps: StockSteps) -> StockSteps:
        known = list(STOCK[stage])
        for name in sorted(set(steps) - set(known)):
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"valid names: {', '.join(known)}"
            raise ValueError(f"the stock pipeline has no step {name}; {hint}")
        return steps

    return AfterValidator(check)


SourceType = Literal["point", "extended", "catalogue"]
Background = Literal["nods", "global", "best"]
DetectorSteps = Annotated[StockSteps, _steps_of("detector")]
CalibrateSteps = Annotated[StockSteps, _steps_of("calibrate")]
StackSteps = Annotated[StockSteps, _steps_of("stack")]


def merged_steps(ours: StockSteps, given: StockSteps) -> StockSteps:
    """Parameters of stock steps; of each parameter, what is `given` wins over `ours`."""
    return ours | {name: ours.get(name, {}) | mine for name, mine in given.items()}


class Settings(BaseModel):
    """Base of the configuration models: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DetectorSettings(Settings):
    """Configuration of `detector`."""

    expand_large_events: bool = Field(True, description="find snowballs in the jump step and flag their halos")
    clean_flicker_noise: bool = Field(
        False, description="stock 1/f cleaning of each group: 12 s more, and `clean` alone leaves less correlated noise"
    )
    picture_frame: bool = Field(
        False, description="stock picture-frame removal from each group: 5 s more; `clean` fits the frame anyway"
    )
    steps: DetectorSteps = Field(default_factory=dict, description="parameters passed through to the stock steps")

    def all_steps(self) -> StockSteps:
        """Parameters of the stock steps: those of the switches above, then those of `steps`, which win."""
        ours: StockSteps = {
            "jump": {"expand_large_events": self.expand_large_events},
            "picture_frame": {"skip": not self.picture_frame},
            "clean_flicker_noise": {"skip": not self.clean_flicker_noise, "mask_science_regions": True},
        }
        return merged_steps(ours, self.steps)


class CleanSettings(Settings):
    """Configuration of `clean`."""

    mode: Literal["joint", "iterative"] = Field(
        "joint", description="one robust solution for all components, or passes over them as published"
    )
    n_iter: int = Field(5, ge=1, description="passes over the background components")
    boxes: int = Field(8, ge=2, description="boxes per axis of the smooth surface")
    picture_frame: bool = Field(True, description="fit the CRDS picture-frame template")
    surface: bool = Field(True, description="fit a smooth surface")
    columns: bool = Field(True, description="fit the noise of columns (1/f noise)")
    rows: bool | None = Field(None, description="fit offsets of rows; by default for PRISM only")
    margin: int = Field(2, ge=0, description="rows masked above and below each trace")
    second_orders: bool = Field(True, description="mask where gratings send light of higher orders")
    zero_orders: bool = Field(True, description="mask where gratings send undispersed light")
    noise: Literal["output", "whole", "off"] = Field(
        "output", description="factor on the readout variance: one per detector output, one in all, or none"
    )


class CalibrateSettings(Settings):
    """Configuration of `calibrate`."""

    # excluded from the fingerprint is what does not change a product, or comes into it as an argument or an input

    share: bool = Field(
        True,
        exclude=True,
        description="share among the sources of an exposure what is the same; without it, one stock run per source",
    )
    barshadow: bool = Field(False, description="apply the stock bar-shadow correction")
    source_type: SourceType = Field("point", description="how sources are calibrated; catalogue: by their stellarity")
    source_types: dict[int, SourceType] = Field(
        default_factory=dict, exclude=True, description="the same for single sources, by number"
    )
    long_slit: bool = Field(False, description="each shutter is a slit of its own")
    longest: int = Field(0, ge=0, description="cut longer slitlets to so many shutters (NS-MOS03); 0: leave them")
    pad: int = Field(0, ge=0, description="shutters added at each end of a slitlet (NS-MOS06)")
    empirical_wavecorr: Path | None = Field(
        None, exclude=True, description="table of measured wavelength shifts, added to the CRDS wavecorr table"
    )
    wave_range: tuple[float, float] | None = Field(
        None, description="wavelengths calibrated beyond the nominal range of the mode [um]"
    )
    keep_inputs: bool = Field(
        False, exclude=True, description="keep metafile and association of each source, for runs by hand"
    )
    steps: CalibrateSteps = Field(default_factory=dict, description="parameters passed through to the stock steps")

    @field_validator("empirical_wavecorr")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Workers may have another current directory."""
        return path and path.expanduser().absolute()

    def all_steps(self) -> StockSteps:
        """Parameters of the stock steps: those of the switches above, then those of `steps`, which win."""
        return merged_steps({"barshadow": {"skip": not self.barshadow}}, self.steps)


class ShuttersSettings(Settings):
    """Configuration of `shutters`."""

    detect: bool = Field(True, description="look for stuck-closed shutters; without it only the list by hand counts")
    false_alarms: float = Field(
        1e-3, gt=0, lt=0.5, description="chance that an open shutter is taken for a stuck one, at most"
    )
    open_fraction: float = Field(
        0.5, gt=0, le=0.75, description="share of the sky's light below which a vignetted shutter counts as closed"
    )


class SkySettings(Settings):
    """Configuration of `sky`."""


class NodsubSettings(Settings):
    """Configuration of `nodsub`."""

    least: int = Field(2, ge=2, description="smallest number of nods in a group")
    background: Background = Field(
        "nods", description="sky from the other nods, from all blank shutters (global), or the better of both (best)"
    )
    backgrounds: dict[int, Background] = Field(
        default_factory=dict, exclude=True, description="the same for single sources, by number"
    )
    spikes: float = Field(5.0, ge=0, description="cosmic rays brighter than so many sigma are kept out; 0: off")


class StackSettings(Settings):
    """Configuration of `stack`."""

    outliers_from: int = Field(4, ge=2, description="exposures per detector from which outlier detection is on")
    steps: StackSteps = Field(default_factory=dict, description="parameters passed through to the stock steps")


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
    shutters: ShuttersSettings = ShuttersSettings()
    calibrate: CalibrateSettings = CalibrateSettings()
    sky: SkySettings = SkySettings()
    nodsub: NodsubSettings = NodsubSettings()
    stack: StackSettings = StackSettings()
    extract: ExtractSettings = ExtractSettings()
    redshift: RedshiftSettings = RedshiftSettings()
