"""Options of the commands for what is finished; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Place = Annotated[Path, typer.Argument(help="A workspace, or what it was made from.")]
votes = typer.Typer(no_args_is_help=True, help="What people said of redshifts on the inspection page.")


def inspect(
    workspace: Place = Path(),
    host: Annotated[str | None, typer.Option(help="Interface; by default only this machine can connect.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="By default the workspace's own, or a free one.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Who votes; by default your login name.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Hide the votes of others until one's own is saved.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in your browser.")] = True,
) -> None:
    """Open the page on which spectra are looked at and redshifts graded; Ctrl-C ends it."""
    from nirfire.commands.inspect import HOME, InspectOptions
    from nirfire.commands.inspect import inspect as serve

    serve(workspace, InspectOptions(host=host or HOME, port=port, user=user, blind=blind, browser=browser))


def export(
    workspaces: Annotated[
        list[Path] | None, typer.Argument(help="Workspaces, or an observations.toml; by default this folder.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("-o", "--out", "--output", help="Folder; by default the workspace's catalogue.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option("--format", help="Of ecsv,fits,parquet,votable; by default all.")
    ] = None,
    tables: Annotated[
        str | None, typer.Option("--table", help="Of sources,spectra,lines,shutters,pointings; by default all.")
    ] = None,
) -> None:
    """Write the catalogue: sources, spectra, lines, shutters and pointings, with redshifts fitted and inspected."""
    from nirfire.commands.export import ExportOptions, listed
    from nirfire.commands.export import export as write
    from nirfire.products.catalogue_columns import TABLES
    from nirfire.products.catalogue_formats import FORMATS

    options = ExportOptions(
        folder,
        tuple(FORMATS) if formats is None else listed(formats, tuple(FORMATS), "--format"),
        tuple(TABLES) if tables is None else listed(tables, tuple(TABLES), "--table"),
    )
    raise typer.Exit(write(workspaces or [Path()], options))


def report(
    workspace: Place = Path(),
    source: Annotated[list[int] | None, typer.Option("--source", help="Only this source; may be repeated.")] = None,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="Processes that draw.")] = None,
) -> None:
    """Write the report: pages with the figures and checks of every stage, which open from disk."""
    from nirfire.commands.report import report as write

    raise typer.Exit(write(workspace, source or (), jobs))


@votes.command("list")
def votes_list(
    workspace: Place = Path(),
    user: Annotated[str | None, typer.Option(help="The latest votes of this person.")] = None,
    conflicts: Annotated[bool, typer.Option("--conflicts", help="Only where people do not agree.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Every vote, also those changed later.")] = False,
) -> None:
    """List what people say of each source together, or single votes."""
    from nirfire.commands.votes import list_votes

    raise typer.Exit(list_votes(workspace, user=user, conflicts=conflicts, history=history))


@votes.command("export")
def votes_export(
    out: Annotated[Path, typer.Option("-o", "--out", "--output", help="The ECSV table to write.")],
    workspace: Place = Path(),
    latest: Annotated[bool, typer.Option("--latest", help="Only the latest vote of each person.")] = False,
) -> None:
    """Write the votes as a table, which `votes import` takes back."""
    from nirfire.commands.votes import export_votes

    raise typer.Exit(export_votes(workspace, out, latest=latest))


@votes.command("import")
def votes_import(
    tables: Annotated[
        list[Path],
        typer.Argument(help="ECSV or CSV tables of votes; at least source and quality, and z where quality is 2 to 4."),
    ],
    workspace: Annotated[Path, typer.Option("-w", "--workspace", help="Whose sources they are of.")] = Path(),
    user: Annotated[str, typer.Option(help="Whose votes they are, where the table does not say.")] = "",
) -> None:
    """Take the votes of tables in; those that are there already are left as they are."""
    from nirfire.commands.votes import import_votes

    raise typer.Exit(import_votes(workspace, tables, user=user))


@votes.command("merge")
def votes_merge(
    stores: Annotated[list[Path], typer.Argument(help="inspection.sqlite of other machines, or their workspaces.")],
    workspace: Annotated[Path, typer.Option("-w", "--workspace", help="That takes the votes in.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Also of an observation of another name.")] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Take what can be read of a damaged store.")] = False,
) -> None:
    """Take in the votes of other stores; merging again changes nothing."""
    from nirfire.commands.votes import merge_votes

    raise typer.Exit(merge_votes(workspace, stores, force=force, damaged=damaged))
