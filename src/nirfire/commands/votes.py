"""`votes`: what people said in the inspection page, as lists and tables; and the votes of other machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table as Grid
from rich.text import Text

from nirfire.commands.output import say, show_grid
from nirfire.errors import DataError
from nirfire.inspect.exchange import read_votes, write_votes
from nirfire.inspect.index import catalogue_of
from nirfire.inspect.merge import merge
from nirfire.inspect.quality import flags_said
from nirfire.inspect.standing import enough_of, latest_of
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Consensus, Vote, any_bits, is_stale
from nirfire.pipeline.target import observations
from nirfire.products.naming import Workspace

CONSENSUS = ("source", "grade", "z", "voters", "agree", "flags", "tags", "state", "comment")
VOTES = ("source", "user", "grade", "z", "time", "flags", "tags", "state", "comment")


def list_votes(target: Path, *, user: str | None = None, conflicts: bool = False, history: bool = False) -> int:
    """List what people say of each source together, or single votes.

    Parameters
    ----------
    target : Path
        Workspace.
    user : str or None
        The latest votes of this person, in place of what all say together.
    conflicts : bool
        Only sources on which people do not agree, or one gave two grades, with the grades of each.
    history : bool
        All votes, also those that were changed later.

    Returns
    -------
    int
        0.
    """
    place = workspace_of(target)
    with Store.open(place.inspection, read_only=True) as store:
        together, votes = store.consensus(), store.votes()
    quarrels = {source for source, said in together.items() if said.conflict}
    if conflicts or history or user:
        chosen = votes if history else [vote for one in latest_of(votes) for vote in one.rivals or (one,)]
        chosen = [vote for vote in chosen if user in (None, vote.user)]
        chosen = [vote for vote in chosen if vote.source in quarrels or not conflicts]
        show_grid(_grid(place, VOTES, [_vote_cells(vote) for vote in chosen], chosen))
        number = len(chosen)
    else:
        rows = [together[source] for source in sorted(together)]
        show_grid(_grid(place, CONSENSUS, [_consensus_cells(said) for said in rows], rows))
        number = len(rows)
    if number == 0:
        say("no votes" if not votes else "none of the votes")
    if quarrels and not conflicts:
        say(f"{len(quarrels)} in conflict: nirfire votes list {target} --conflicts")
    return 0


def export_votes(target: Path, out: Path, *, latest: bool = False) -> int:
    """Write the votes to an ECSV table.

    Parameters
    ----------
    target : Path
        Workspace.
    out : Path
        The table, .ecsv.
    latest : bool
        Only the latest vote of each person on each source; all where some do not know of each other.
    """
    if out.suffix.lower() != ".ecsv":
        raise DataError("votes are written as ECSV", file=out, key="-o", remedy="end its name with .ecsv")
    place = workspace_of(target)
    with Store.open(place.inspection, read_only=True) as store:
        votes = enough_of(store.votes()) if latest else store.votes()
    number = write_votes(out, votes, observation=place.observation)
    say(f"{number} votes: {out}")
    return 0


def import_votes(target: Path, tables: Sequence[Path], *, user: str = "") -> int:
    """Take the votes of tables in: of `export_votes`, or anybody's own grades.

    Parameters
    ----------
    target : Path
        Workspace.
    tables : sequence of Path
        ECSV or CSV.
    user : str
        Who voted where a table does not say.
    """
    place = workspace_of(target)
    read = [read_votes(table, user=user) for table in tables]  # all of them, before any is taken in
    with Store.open(place.inspection, observation=place.observation) as store:
        for table, votes in zip(tables, read, strict=True):
            say(f"{table}: {len(votes)} votes, {store.add_many(votes)} of them new")
    _tell_unknown(place, {vote.source for votes in read for vote in votes})
    return 0


def merge_votes(target: Path, others: Sequence[Path], *, force: bool = False, damaged: bool = False) -> int:
    """Take the votes of other workspaces of the same observation in.

    Parameters
    ----------
    target : Path
        Workspace.
    others : sequence of Path
        Workspaces, or their ``inspection.sqlite``.
    force : bool
        Also those of an observation of another name.
    damaged : bool
        Take from damaged stores what can still be read.
    """
    place = workspace_of(target)
    with Store.open(place.inspection, observation=place.observation) as store:
        for taken in merge(store, others, force=force, damaged=damaged):
            say(f"{taken.path}: {taken.n_votes} votes, {taken.n_new} of them new")
        quarrels = sum(said.conflict for said in store.consensus().values())
        twice = sum(bool(said.twice) for said in store.consensus().values())
        _tell_unknown(place, set(store.consensus()))
    of_one = f", {twice} of them between votes of one person" if twice else ""
    say(f"{quarrels} sources in conflict{of_one}" + (f": nirfire votes list {target} --conflicts" if quarrels else ""))
    return 0


def workspace_of(target: Path) -> Workspace:
    """The workspace that is meant.

    Raises
    ------
    DataError
        There is none, or there are several.
    """
    found = [one.workspace for one in observations(target)]
    if len(found) != 1:
        names = ", ".join(str(place.folder) for place in found)
        raise DataError(f"{len(found)} observations", file=target, remedy=f"give one workspace: {names}")
    place = found[0]
    if not any(path.exists() for path in (place.inspection, place.sources, place.catalogue)):
        raise DataError("no workspace", file=place.folder, remedy="give one that nirfire run made")
    return place


def _tell_unknown(place: Workspace, sources: set[int]) -> None:
    known = set(catalogue_of(place).index().source.tolist())
    if missing := sorted(sources - known):
        shown = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
        say(f"votes on {len(missing)} sources without products are kept: {shown}")


def _grid(
    place: Workspace, headings: Iterable[str], rows: Sequence[Sequence[str]], said: Sequence[Vote | Consensus]
) -> Grid:
    grid = Grid(*headings, title=f"{place.observation}: votes")
    catalogue = catalogue_of(place)
    catalogue.index()
    for cells, one in zip(rows, said, strict=True):
        marks = ["conflict"] if isinstance(one, Consensus) and one.conflict else []
        marks += [f"two votes of {', '.join(one.twice)}"] if isinstance(one, Consensus) and one.twice else []
        marks += ["stale"] if is_stale(one.seen, catalogue.fingerprints(one.source)) else []
        grid.add_row(*(Text(cell) for cell in (*cells[:-1], " ".join(marks), cells[-1])))
    return grid


def _consensus_cells(said: Consensus) -> list[str]:
    start = [str(said.source), str(said.quality), _z(said.z), str(said.n_voters), str(said.n_agree)]
    return [*start, ", ".join(flags_said(any_bits(said.flags))), ", ".join(said.tags), _line(said.comment)]


def _vote_cells(vote: Vote) -> list[str]:
    start = [str(vote.source), vote.user, str(vote.quality), _z(vote.z), vote.time[:19].replace("T", " ")]
    return [*start, ", ".join(flags_said(vote.bits)), ", ".join(vote.tags), _line(vote.comment)]


def _z(z: float | None) -> str:
    return "" if z is None else f"{z:.5f}"


def _line(text: str) -> str:
    return " ".join(text.split())
