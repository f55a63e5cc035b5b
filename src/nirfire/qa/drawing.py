"""Which figures a report has, which of them are out of date, and drawing those, in this process or in a few."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from nirfire import __version__
from nirfire.errors import DataError
from nirfire.pipeline.executors import belong_to
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import BKGSUB, CAL, RATE, SPEC, ExposureName, Workspace, zfit_of
from nirfire.qa.html import Picture

FIGURES = "figures"
STYLE = 3
"""Raised whenever the same products would give other figures or measures: all are then drawn anew."""
UNREADABLE = "unreadable"
DIED = "the process that drew it died, most likely for want of memory: use fewer with -j, and try again"


@dataclass(frozen=True)
class Task:
    """The figures of one exposure, or of one source in one grating.

    Attributes
    ----------
    workspace : Workspace
    exposure : ExposureName or None
    source : int
        0 for an exposure.
    grating : str
    spec : Path or None
        The source's spectrum, where there is one.
    truth : Path or None
        Truth folder.
    published : Path or None
        A published spectrum of the source.
    slits : tuple of ExposureName
        Exposures in which the source was calibrated, in the grating.
    first : bool
        True for the one spectrum of a source that also shows what belongs to all its gratings.
    """

    workspace: Workspace
    exposure: ExposureName | None = None
    source: int = 0
    grating: str = ""
    spec: Path | None = None
    truth: Path | None = None
    published: Path | None = None
    slits: tuple[ExposureName, ...] = ()
    first: bool = False

    @property
    def key(self) -> str:
        return str(self.exposure) if self.exposure else f"{self.source} {self.grating}"

    def inputs(self) -> list[Path]:
        """Every file that the figures and measures are made from, whether it is there or not."""
        place = self.workspace
        if self.exposure is not None:
            return [place.exposure(self.exposure, RATE)]
        files = [place.slit(name, self.source, suffix) for name in self.slits for suffix in (CAL, BKGSUB)]
        files += [place.shutters(root) for root in sorted({name.root for name in self.slits})]
        if self.spec is not None:
            files += [self.spec, zfit_of(self.spec), place.joint(self.source), place.joint_zfit(self.source)]
        truth = sorted(self.truth.iterdir()) if self.truth is not None and self.truth.is_dir() else []
        return [*files, *truth, *([self.published] if self.published else [])]

    def state(self) -> str:
        """Hash of what the inputs look like (names, sizes, times), and of what draws them."""
        told = [f"{STYLE} {__version__} {self.key} {self.first}"]
        for path in self.inputs():
            try:
                found = path.stat()
            except FileNotFoundError:
                told.append(f"{path.name} absent")
            else:
                told.append(f"{path.name} {found.st_size} {found.st_mtime_ns}")
        return hashlib.blake2b("\n".join(told).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Drawn:
    """What is known of a task when its figures are there.

    Attributes
    ----------
    pictures : tuple of Picture
    facts : tuple of (str, str)
        Name and value, for the reader.
    values : tuple of (str, float or str)
        What the index lists: ``z, z_err, probability, snr, class, warnings`` of a spectrum.
    measured : tuple of (str, float, float, str)
        Check, value, its error, subject.
    """

    pictures: tuple[Picture, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, float | str], ...] = ()
    measured: tuple[tuple[str, float, float, str], ...] = ()


def plan(workspace: Workspace, truth: Path | None, published: Path | None) -> list[Task]:
    """What there is to draw: every cleaned exposure, every source and grating with cutouts or a spectrum."""
    tasks = [Task(workspace, exposure=name) for name in workspace.find_exposures(RATE)]
    sources = workspace.find_sources()
    disperser = _Dispersers(workspace)
    for source in sources:
        specs = {_grating_of(workspace, path): path for path in workspace.find_combined(source, SPEC)}
        slits: dict[str, list[ExposureName]] = {grating: [] for grating in specs}
        for name in workspace.find_slits(source, CAL):
            slits.setdefault(disperser.of(name, source), []).append(name)
        mine = published if published and is_about(published, source, sources) else None
        for grating in sorted(slits):
            chosen = tuple(slits[grating])
            first = grating == min(specs, default="")
            tasks.append(Task(workspace, None, source, grating, specs.get(grating), truth, mine, chosen, first))
    return tasks


class _Dispersers:
    """The grating of each visit and activity, read once: one activity has one."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, str] = {}

    def of(self, name: ExposureName, source: int) -> str:
        found = self._known.get(name.root)
        if found is None:
            found = _read_grating(self._workspace.slit(name, source, CAL))
            if found == UNREADABLE:
                return found
            self._known[name.root] = found
        return found


def _grating_of(workspace: Workspace, spec: Path) -> str:
    """Grating of a spectrum, as its name says it."""
    return spec.name.removeprefix(f"{workspace.observation}_").split("_")[0].upper()


def is_about(published: Path, source: int, sources: list[int]) -> bool:
    """True when a file's name has the source's number, or there is no other source."""
    return sources == [source] or re.search(rf"(?<!\d){source}(?!\d)", published.name) is not None


def _read_grating(path: Path) -> str:
    try:
        with open_fits(path) as hdus:
            return str(hdus[0].header.get("GRATING", "")).upper()
    except DataError:
        return UNREADABLE


def draw_all(
    tasks: list[Task], processes: int, done: Callable[[Task, Drawn], None] = lambda task, drawn: None
) -> dict[str, Drawn]:
    """Draw everything.

    Parameters
    ----------
    tasks : list of Task
    processes : int
        1 draws in this process.
    done : callable
        Called with each task and what came of it, when its figures are there.

    Returns
    -------
    dict of str to Drawn
        By the task's `key`, in the order of the tasks.
    """
    found: dict[str, Drawn] = {}
    for task, drawn in _drawn(tasks, processes):
        found[task.key] = drawn
        done(task, drawn)
    return {task.key: found[task.key] for task in tasks}


def _drawn(tasks: list[Task], processes: int) -> Iterable[tuple[Task, Drawn]]:
    if processes <= 1 or len(tasks) < 2:
        yield from ((task, draw(task)) for task in tasks)
        return
    waiting = deque(tasks)
    while waiting:
        suspects: list[Task] = []
        yield from _until_one_dies(waiting, min(processes, len(tasks)), suspects)
        yield from ((task, _apart(task)) for task in suspects)


def _until_one_dies(waiting: deque[Task], processes: int, suspects: list[Task]) -> Iterable[tuple[Task, Drawn]]:
    """Draw until nothing is left, or a process has died: of one of the suspects, for only few are begun at a time."""
    with _pool(processes) as pool:
        begun: dict[Future[Drawn], Task] = {}
        try:
            while (waiting or begun) and not suspects:
                while waiting and len(begun) < 2 * processes:
                    begun[pool.submit(draw, waiting[0])] = waiting[0]
                    waiting.popleft()
                for future in wait(begun, return_when=FIRST_COMPLETED).done:
                    yield begun[future], future.result()
                    del begun[future]
        except BrokenProcessPool:
            suspects.extend(begun.values())
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the rest


def _apart(task: Task) -> Drawn:
    """Draw one task in a process of its own, and say so where that dies."""
    with _pool(1) as pool:
        try:
            return pool.submit(draw, task).result()
        except BrokenProcessPool:
            return Drawn((Picture("", "Figures", DIED),))


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), belong_to, (os.getpid(),))


def draw(task: Task) -> Drawn:
    """Draw the figures of one task and measure it; a product that cannot be read becomes a picture that says so."""
    from nirfire.qa.pictures import draw_exposure, draw_source

    return draw_exposure(task) if task.exposure else draw_source(task)
