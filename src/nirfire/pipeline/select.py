"""Which jobs of a plan a command is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nirfire.errors import DataError
from nirfire.pipeline.jobs import Job
from nirfire.pipeline.stages import EXPOSURE_STAGES, STAGES, WHOLE_STAGES

OFFSETS_STAGE = WHOLE_STAGES[2]
SKY_STAGE = WHOLE_STAGES[1]

SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Shard:
    """One part of a job array, counted from 1.

    Attributes
    ----------
    index, count : int
        Which part of how many.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``.

        Raises
        ------
        DataError
            Not of that form, or not 1 <= i <= n.
        """
        match = SHARD.fullmatch(text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= index <= count:
            raise DataError(f"{text!r} is no shard", key="--shard", remedy="give i/n with i from 1 to n, such as 1/8")
        return cls(index, count)

    @property
    def name(self) -> str:
        return f"{self.index}-of-{self.count}"

    def has(self, position: int) -> bool:
        """True when the item at this position of a list belongs to this part."""
        return position % self.count == self.index - 1


@dataclass(frozen=True)
class Selection:
    """Which jobs a command is about.

    Attributes
    ----------
    first, last : str
        First and last stage.
    sources : frozenset of int or None
        Only these sources; stages that are about whole exposures are not narrowed.
    gratings : frozenset of str or None
        Only these dispersers.
    shard : Shard or None
        Only this part.
    """

    first: str = STAGES[0]
    last: str = STAGES[-1]
    sources: frozenset[int] | None = None
    gratings: frozenset[str] | None = None
    shard: Shard | None = None

    def __post_init__(self) -> None:
        for name in (self.first, self.last):
            if name not in STAGES:
                raise DataError(f"no such stage: {name}", key="--from/--to", remedy=f"use one of {', '.join(STAGES)}")
        if not self.stages:
            raise DataError(f"{self.first} comes after {self.last}", key="--from/--to", remedy="exchange them")
        if self.shard and WHOLE_STAGES[0] in self.stages:
            raise DataError(
                f"{WHOLE_STAGES[0]} looks at all exposures of an activity, a shard has only some",
                key="--shard",
                remedy=f"run an array with --to {EXPOSURE_STAGES[-1]}, then {WHOLE_STAGES[0]} without --shard "
                f"(--from and --to {WHOLE_STAGES[0]}), then an array with --from calibrate",
            )

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages, in order."""
        return STAGES[STAGES.index(self.first) : STAGES.index(self.last) + 1]

    def choose(self, jobs: Sequence[Job]) -> list[int]:
        """Numbers of the chosen jobs.

        Raises
        ------
        DataError
            A source or grating that was asked for is in no job.
        """
        self._check_known(jobs)
        exposures = {name: k for k, name in enumerate(sorted({j.exposure for j in jobs}))}
        sources = {number: k for k, number in enumerate(sorted({j.source for j in jobs if j.source is not None}))}
        chosen = []
        for k, job in enumerate(jobs):
            if job.stage not in self.stages:
                continue
            if self.sources is not None and job.source is not None and job.source not in self.sources:
                continue
            if self.gratings is not None and job.grating not in self.gratings:
                continue
            if self.shard:
                place = exposures[job.exposure] if job.source is None else sources[job.source]
                if not self.shard.has(place):
                    continue
            chosen.append(k)
        return self._with_skies(jobs, self._without_offsets(jobs, chosen))

    def _without_offsets(self, jobs: Sequence[Job], chosen: list[int]) -> list[int]:
        """Offsets of a visit are from all its sources: a run of some goes without, and a whole one does these again."""
        part = self.sources is not None or (self.shard is not None and self.first != self.last)
        return [k for k in chosen if jobs[k].stage != OFFSETS_STAGE] if part else chosen

    def _with_skies(self, jobs: Sequence[Job], chosen: list[int]) -> list[int]:
        """Of the skies those that a chosen job uses, with the calibration of all that they are made from.

        Raises
        ------
        DataError
            A shard would make one.
        """
        if self.sources is None and self.shard is None and self.gratings is None:
            return chosen
        used = {path for k in chosen for path in jobs[k].gathered}
        skies = [k for k in chosen if jobs[k].stage == SKY_STAGE]
        wanted = [k for k in skies if used & set(jobs[k].outputs)]
        if wanted and self.shard:
            raise DataError(
                f"{SKY_STAGE} ({jobs[wanted[0]].key}) looks at all sources of an exposure, a shard has only some",
                key="--shard",
                remedy=f"run an array with --to calibrate, then {SKY_STAGE} without --shard "
                f"(--from and --to {SKY_STAGE}), then an array with --from nodsub",
            )
        members = {path for k in wanted for path in jobs[k].gathered}
        makers = {k for k, job in enumerate(jobs) if job.stage in self.stages and members & set(job.outputs)}
        return sorted((set(chosen) - set(skies)) | set(wanted) | makers)

    def _check_known(self, jobs: Sequence[Job]) -> None:
        chosen: tuple[tuple[frozenset[Any] | None, set[Any], str], ...] = (
            (self.sources, {j.source for j in jobs if j.source is not None and j.source > 0}, "--source"),
            (self.gratings, {j.grating for j in jobs}, "--grating"),
        )
        for wanted, known, key in chosen:
            unknown = set(wanted or ()) - known
            if unknown:
                have = ", ".join(map(str, sorted(known)[:20])) + (" ..." if len(known) > 20 else "")
                missing = ", ".join(map(str, sorted(unknown)))
                raise DataError(f"not in this observation: {missing}", key=key, remedy=f"it has {have}")
