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
Method = Literal["model", "horne"]
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


class OffsetsSettings(Settings):
    """Configuration of `offsets`."""

    snr: float = Field(50.0, gt=0, description="sources with less light do not count (signal-to-noise ratio of all)")
    largest: float = Field(0.1, gt=0, description="how far sources may be from their planned places [arcsec]")


class StackSettings(Settings):
    """Configuration of `stack`."""

    outliers_from: int = Field(4, ge=2, description="exposures per detector from which outlier detection is on")
    steps: StackSteps = Field(default_factory=dict, description="parameters passed through to the stock steps")


class SourceShape(Settings):
    """What is known, or decided, of a source's place and size."""

    offset: float | None = Field(None, description="place along the slitlet, from the planned one [arcsec]")
    offset_err: float | None = Field(None, gt=0, description="standard error of it")
    size: float | None = Field(None, ge=0, description="standard deviation of a round Gaussian; 0 is a point [arcsec]")
    size_err: float | None = Field(None, gt=0, description="standard error of it")
    fit: bool = Field(True, description="fit them, with this as prior; without it they are taken as they are")


class ExtractSettings(Settings):
    """Configuration of `extract`."""

    method: Method = Field(
        "model", description="fit of a model to all pixels, or optimal extraction of the stock 2D stack as published"
    )
    size_err: float = Field(0.15, gt=0, description="model: how large sources of unknown size are, about [arcsec]")
    offset_err: float = Field(
        0.025, gt=0, description="model: error of planned places along the slitlet, if no visit tells [arcsec]"
    )
    shapes: dict[int, SourceShape] = Field(
        default_factory=dict, exclude=True, description="model: place and size of single sources, by number"
    )
    single: bool = Field(False, description="keep the spectrum of each exposure as well")
    half_width: float = Field(3.0, gt=0, description="horne: half width of the profile window [pixel]")
    fallback_width: float = Field(3.0, gt=0, description="horne: boxcar used when the profile is unusable [pixel]")
    clip: float = Field(
        0.0, ge=0, description="horne: groups that differ by more from the others are left out, from three on [sigma]"
    )
    photometry: Path | None = Field(
        None, exclude=True, description="table of photometry; a smooth factor to it is kept beside the flux"
    )

    @field_validator("photometry")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Workers may have another current directory."""
        return path and path.expanduser().absolute()


class JoinSettings(Settings):
    """Configuration of `join`."""

    reference: str | None = Field(
        None, description="grating whose flux scale holds; by default PRISM, else the one of highest signal-to-noise"
    )
    level_prior: float = Field(0.10, gt=0, le=1, description="how far levels of gratings differ (standard deviation)")
    slope_prior: float = Field(0.05, gt=0, le=1, description="the same for slope and curvature, from middle to end")
    max_order: int = Field(2, ge=0, le=4, description="highest order of the factor as a polynomial of wavelength")
    least_sn: float = Field(3.0, ge=0, description="signal-to-noise per pixel from which the finer spectrum is taken")
    alike: float = Field(1.2, ge=1, description="spectra whose resolving powers differ by less are averaged")


class RedshiftSettings(Settings):
    """Configuration of `redshift`."""

    z_min: float = Field(0.0, ge=0, description="lowest redshift tried")
    z_max: float | None = Field(None, gt=0, description="highest redshift tried; by default that of the grating")
    templates: Literal["default", "published"] = Field("default", description="template set")


class Config(Settings):
    """Configuration of all stages."""

    detector: DetectorSettings = DetectorSettings()
    clean: CleanSettings = CleanSettings()
    shutters: ShuttersSettings = ShuttersSettings()
    calibrate: CalibrateSettings = CalibrateSettings()
    sky: SkySettings = SkySettings()
    nodsub: NodsubSettings = NodsubSettings()
    offsets: OffsetsSettings = OffsetsSettings()
    stack: StackSettings = StackSettings()
    extract: ExtractSettings = ExtractSettings()
    join: JoinSettings = JoinSettings()
    redshift: RedshiftSettings = RedshiftSettings()
