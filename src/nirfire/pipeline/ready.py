"""Jobs that can be started: which is next."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection


class Ready:
    """Jobs that can be started, the earliest in the recipe first; those that share work come group by group.

    A worker keeps what the jobs of a group share, for example an exposure with its WCS and references, from one job to
    the next. So whoever has just ended a job of a group goes on with that group, and others begin another.

    Parameters
    ----------
    group_of : callable
        Gives the group of a job, by its number; empty if it shares nothing.
    """

    def __init__(self, group_of: Callable[[int], str]) -> None:
        self._group_of = group_of
        self._heaps: dict[str, list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._heaps)

    @property
    def shares(self) -> bool:
        """True when jobs are waiting that share work."""
        return any(self._heaps)

    def push(self, k: int) -> None:
        """Add a job."""
        heapq.heappush(self._heaps.setdefault(self._group_of(k), []), k)

    def pop(self, last: str = "", busy: Collection[str] = ()) -> int:
        """Take out the next job.

        Parameters
        ----------
        last : str
            Group of the job after which it is started.
        busy : collection of str
            Groups of running jobs: one of them is begun by a second worker only if there is nothing else to do.
        """
        if not last or last not in self._heaps:
            last = min(self._heaps, key=lambda group: (bool(group) and group in busy, self._heaps[group][0]))
        heap = self._heaps[last]
        k = heapq.heappop(heap)
        if not heap:
            del self._heaps[last]
        return k
