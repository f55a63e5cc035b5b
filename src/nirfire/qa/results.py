"""Everything that the pages of a report are made from, gathered once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nirfire.errors import DataError
from nirfire.inspect.quality import QUALITY_SAID, Quality
from nirfire.pipeline.jobs import BAD, NO_WORK, Outcome
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.report import RunReport
from nirfire.products.naming import Workspace
from nirfire.qa.checks import CHECKS, FAIL, LOOK, PASS, UNKNOWN, Measured, typical
from nirfire.qa.drawing import Drawn, Task
from nirfire.qa.exposure_checks import check_offsets, check_shutters

if TYPE_CHECKING:
    from nirfire.inspect.votes import Consensus

TONES = {PASS: "good", LOOK: "warn", FAIL: "bad", UNKNOWN: ""}
NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Results:
    """What is known of a workspace when its figures are drawn.

    Attributes
    ----------
    workspace : Workspace
    run : RunReport
        What this run did; without stages where there was none.
    tasks : sequence of Task
    drawn : dict of str to Drawn
        By key; a task that was never drawn has none.
    outcomes : sequence of Outcome
        How each job last ended.
    truth : dict or None
        What `demo_metrics` measured against the truth.
    """

    workspace: Workspace
    run: RunReport
    tasks: Sequence[Task]
    drawn: dict[str, Drawn]
    outcomes: Sequence[Outcome]
    truth: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)

    @cached_property
    def sources(self) -> dict[int, list[Task]]:
        """The tasks of each source, by number."""
        found: dict[int, list[Task]] = defaultdict(list)
        for task in self.tasks:
            if task.exposure is None:
                found[task.source].append(task)
        return dict(sorted(found.items()))

    @cached_property
    def pages(self) -> set[str]:
        """Addresses of the pages that are there, from the first page."""
        report = self.workspace.report
        return {path.relative_to(report).as_posix() for path in report.glob("*/*.html")}

    def link(self, address: str) -> str:
        """The address of a page; empty where it has not been written."""
        return address if address in self.pages else ""

    @cached_property
    def exposures(self) -> list[Task]:
        """The tasks of exposures."""
        return [task for task in self.tasks if task.exposure is not None]

    @cached_property
    def roots(self) -> list[str]:
        """Visits and activities."""
        slits = {name.root for task in self.tasks for name in task.slits}
        return sorted(slits | {task.exposure.root for task in self.exposures if task.exposure})

    @cached_property
    def measured(self) -> list[Measured]:
        """Every value of the checks."""
        found = [Measured(*row) for drawn in self.drawn.values() for row in drawn.measured if row[0] in CHECKS]
        found += self._visits()
        found += [Measured("failed_jobs", float(sum(o.status in BAD for o in self.outcomes)))]
        return found + typical(found)

    def _visits(self) -> Iterable[Measured]:
        """The most closed shutters that a source has in a visit, and the offset of each visit."""
        closed: dict[str, float] = {}
        for root in self.roots:
            try:
                if (path := self.workspace.shutters(root)).exists():
                    for one in check_shutters(path):
                        closed[one.subject] = max(one.value, closed.get(one.subject, 0.0))
                if (path := self.workspace.offsets(root)).exists():
                    yield from check_offsets(path)
            except (DataError, LookupError, ValueError) as error:
                self.problems.append(str(error))
        yield from (Measured("closed_shutters", value, subject=subject) for subject, value in closed.items())

    @cached_property
    def by_source(self) -> dict[int, list[Measured]]:
        """The values of each source: its own, and those of its spectra."""
        found: dict[int, list[Measured]] = defaultdict(list)
        for one in self.measured:
            first = one.subject.split(" ")[0]
            if first.isdigit():
                found[int(first)].append(one)
        return found

    @cached_property
    def by_exposure(self) -> dict[str, list[Measured]]:
        """The values of each exposure."""
        found: dict[str, list[Measured]] = defaultdict(list)
        for one in self.measured:
            found[one.subject].append(one)
        return found

    @cached_property
    def without_result(self) -> dict[int, list[Outcome]]:
        """The jobs of each source that gave nothing."""
        found: dict[int, list[Outcome]] = defaultdict(list)
        known = self.sources
        for outcome in self.outcomes:
            if outcome.status in (NO_WORK, *BAD):
                for number in {int(text) for text in NUMBER.findall(outcome.key)} & set(known):
                    if concerns(outcome, number):
                        found[number].append(outcome)
        return found

    @cached_property
    def votes(self) -> dict[int, Consensus]:
        """What people say of each source."""
        if not self.workspace.inspection.is_file():
            return {}
        from nirfire.inspect.store import Store

        with Store.open(self.workspace.inspection, read_only=True) as store:
            return store.consensus()

    def quality(self, source: int) -> str:
        """The grade of a source in words; empty where nobody gave one."""
        found = self.votes.get(source)
        if found is None or (not found.conflict and found.quality == Quality.NOT_INSPECTED):
            return ""
        return "conflict" if found.conflict else QUALITY_SAID[Quality(found.quality)].split(":")[0]


def latest_outcomes(workspace: Workspace) -> list[Outcome]:
    """How each job of the workspace last ended."""
    return list(Ledger.open(workspace, read_only=True).latest.values())


def concerns(outcome: Outcome, source: int) -> bool:
    """True when a job was about this source."""
    return str(source) in outcome.key.split() or re.search(rf"_{source}$", outcome.key) is not None
