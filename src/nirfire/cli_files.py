"""Options of the commands that work on single files, outside a run; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

File = Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file, instead of the user's.")]
Items = Annotated[list[str] | None, typer.Option("--set", help="One setting, such as clean.n_iter=3; may be repeated.")]


def one_of(value: str, option: str, *allowed: str) -> str:
    if value not in allowed:
        raise typer.BadParameter(f"{value!r}: use {' or '.join(allowed)}", param_hint=option)
    return value


def redshift(
    spectra: Annotated[list[Path], typer.Argument(help="1D spectra: _spec.fits, x1d, .spec.fits, ECSV, CSV, ...")],
    folder: Annotated[
        Path | None, typer.Option("-o", "--out", "--output", help="Folder; by default beside each spectrum.")
    ] = None,
    grating: Annotated[str | None, typer.Option(help="Disperser of files that do not tell theirs.")] = None,
    templates: Annotated[str | None, typer.Option(help="Template set: default or published.")] = None,
    z_min: Annotated[float | None, typer.Option(help="Lowest redshift tried.")] = None,
    z_max: Annotated[float | None, typer.Option(help="Highest; by default that of the grating.")] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="Processes; by default 1 up to 64 files.")
    ] = None,
    wave_unit: Annotated[str, typer.Option(help="Unit of wavelengths that have none, such as um.")] = "",
    flux_unit: Annotated[str, typer.Option(help="Unit of fluxes that have none, such as uJy.")] = "",
    file: File = None,
    items: Items = None,
) -> None:
    """Fit the redshifts of any 1D spectra, outside a run: _zfit.fits of each, and one redshifts.ecsv."""
    from nirfire.commands.redshift import RedshiftOptions, fit
    from nirfire.pipeline.target import Layers
    from nirfire.products.spectrum_units import Units

    own = {"templates": templates and f'"{templates}"', "z_min": z_min, "z_max": z_max}
    settings = [f"redshift.{key}={value}" for key, value in own.items() if value is not None]
    options = RedshiftOptions(folder, grating, Units(wave_unit, flux_unit), jobs)
    raise typer.Exit(fit(spectra, options, Layers(file, (*(items or ()), *settings))))


def extract(
    files: Annotated[list[Path], typer.Argument(help="Of one slitlet and grating: *_cal_bkgsub.fits, or *_cal.fits.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The _spec.fits to write.")],
    place: Annotated[float | None, typer.Option(help="Along the slitlet, from the planned place in arcsec.")] = None,
    size: Annotated[
        float | None, typer.Option(min=0.0, help="Sigma of a round Gaussian; 0 is a point in arcsec.")
    ] = None,
    like: Annotated[Path | None, typer.Option(help="Spectrum of another source: its place and size are taken.")] = None,
    fit: Annotated[bool, typer.Option("--fit/--no-fit", help="Fit place and size, or take them as they are.")] = True,
    method: Annotated[Literal["model", "horne"] | None, typer.Option(help="By default as configured.")] = None,
    sky: Annotated[Literal["nods", "global", "none"] | None, typer.Option(help="What *_cal.fits lose.")] = None,
    sky_model: Annotated[list[Path] | None, typer.Option(help="_sky.fits of an exposure; may be repeated.")] = None,
    offsets: Annotated[list[Path] | None, typer.Option(help="_offsets.fits of a visit; may be repeated.")] = None,
    file: File = None,
    items: Items = None,
) -> None:
    """Extract any slitlet outside a run: at a given place, with another source's profile, with a sky of your choice."""
    from nirfire.commands.extract import ExtractOptions
    from nirfire.commands.extract import extract as extract_files
    from nirfire.pipeline.target import Layers

    options = ExtractOptions(
        out=out,
        place=place,
        size=size,
        like=like,
        fit=fit,
        method=method,
        sky=sky,
        sky_models=tuple(sky_model or ()),
        offsets=tuple(offsets or ()),
    )
    extract_files(files, options, Layers(file, tuple(items or ())))


def templates_build(
    name: Annotated[Literal["default", "published"], typer.Option("--set", help="Which set.")] = "default",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The file; by default templates_SET.npz here.")
    ] = None,
) -> None:
    """Compute the continua that are shipped with nirfire again, with bagpipes (the extra "templates" of nirfire)."""
    from nirfire.commands.templates import build

    raise typer.Exit(build(name, out))
