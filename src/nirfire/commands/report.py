"""`report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nirfire.commands.output import say
from nirfire.demo import truth_folder
from nirfire.errors import DataError
from nirfire.pipeline.report import RunReport
from nirfire.pipeline.run import default_jobs
from nirfire.pipeline.target import observations
from nirfire.products.naming import Workspace
from nirfire.progress import TerminalProgress


def report(target: Path, sources: Sequence[int], jobs: int | None) -> int:
    """Write the report of each workspace that the target stands for; figures that are up to date are kept.

    Parameters
    ----------
    target : Path
        A workspace, or what it was made from.
    sources : sequence of int
        Only these; all where there is none.
    jobs : int or None
        Processes that draw; by default one per core.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    DataError
        There is nothing to report, or no such source.
    """
    from nirfire.qa.report import write_report

    for observation in observations(target):
        place = observation.workspace
        _check(place, sources)
        with TerminalProgress() as progress:
            page = write_report(
                place,
                RunReport(()),
                truth_folder(place),
                progress.hooks,
                processes=jobs or default_jobs(),
                sources=sources,
            )
        say(f"report: {page}")
    return 0


def _check(place: Workspace, sources: Sequence[int]) -> None:
    if not place.folder.is_dir():
        raise DataError("no workspace", file=place.folder, remedy="give one, or make it: nirfire run")
    known = place.find_sources()
    if unknown := sorted(set(sources) - set(known)):
        said = ", ".join(map(str, unknown))
        raise DataError(f"no source {said}", file=place.sources, key="--source", remedy="see nirfire status")
