"""Which figures a report has, and drawing them, in this process or in a few."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nirfire.errors import DataError
from nirfire.pipeline.executors import belong_to
from nirfire.products.naming import BKGSUB, CAL, RATE, SPEC, ExposureName, Workspace, zfit_of
from nirfire.products.shutters import ShutterTable
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.compare import compare_with_published
from nirfire.qa.html import Picture
from nirfire.qa.measure import RatioBins, ratio_bins
from nirfire.qa.truth import TrueSource, Truth

FIGURES = "figures"
UNDRAWABLE = (DataError, LookupError, ValueError, TypeError)  # what reading a damaged product may raise


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
    """

    workspace: Workspace
    exposure: ExposureName | None = None
    source: int = 0
    grating: str = ""
    spec: Path | None = None
    truth: Path | None = None
    published: Path | None = None

    @property
    def key(self) -> str:
        return str(self.exposure) if self.exposure else f"{self.source} {self.grating}"


def plan(workspace: Workspace, truth: Path | None, published: Path | None) -> list[Task]:
    """What there is to draw: every cleaned exposure, every source and grating with cutouts or a spectrum."""
    tasks = [Task(workspace, exposure=name) for name in workspace.find_exposures(RATE)]
    sources = workspace.find_sources()
    for source in sources:
        specs = {_grating(path): path for path in workspace.find_combined(source, SPEC)}
        cals = {_grating(workspace.slit(n, source, CAL)) for n in workspace.find_slits(source, CAL)}
        mine = published if published and is_about(published, source, sources) else None
        for grating in sorted(set(specs) | cals):
            tasks.append(Task(workspace, None, source, grating, specs.get(grating), truth, mine))
    return tasks


def is_about(published: Path, source: int, sources: list[int]) -> bool:
    """True when a file's name has the source's number, or there is no other source."""
    return sources == [source] or re.search(rf"(?<!\d){source}(?!\d)", published.name) is not None


def _grating(path: Path) -> str:
    from nirfire.products.fitsfile import open_fits

    try:
        with open_fits(path) as hdus:
            return str(hdus[0].header.get("GRATING", "")).upper()
    except DataError:
        return "unreadable"


def draw_all(
    tasks: list[Task], processes: int, done: Callable[[Task], None] = lambda task: None
) -> dict[str, list[Picture]]:
    """Draw everything.

    Parameters
    ----------
    tasks : list of Task
    processes : int
        1 draws in this process.
    done : callable
        Called with each task when its figures are there.

    Returns
    -------
    dict of str to list of Picture
        By the task's `key`.
    """
    if processes <= 1 or len(tasks) < 2:
        found = {}
        for task in tasks:
            found[task.key] = draw(task)
            done(task)
        return found
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(tasks)), spawn, belong_to, (os.getpid(),)) as pool:
        futures = {pool.submit(draw, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                done(futures[future])
            return {task.key: future.result() for future, task in futures.items()}
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the rest


def draw(task: Task) -> list[Picture]:
    """Draw the figures of one task; a product that cannot be read becomes a picture that says so."""
    return _exposure(task) if task.exposure else _source(task)


def _attempt(task: Task, stem: str, caption: str, function: Callable[[Path], Path | None]) -> list[Picture]:
    address = f"{FIGURES}/{stem}.png"
    try:
        made = function(task.workspace.report / address)
    except UNDRAWABLE as error:
        return [Picture(address, caption, _problem(error))]
    return [Picture(address, caption)] if made else []


def _problem(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"cannot be drawn: {type(error).__name__}: {error}"


def _exposure(task: Task) -> list[Picture]:
    from nirfire.qa.exposure_figures import exposure_figure
    from nirfire.qa.glow_figure import glow_figure

    assert task.exposure is not None
    rate = task.workspace.exposure(task.exposure, RATE)
    caption = "Raw count rate, what was subtracted, and what is left; below, medians before and after, and residuals."
    pictures = _attempt(task, f"exposure-{task.exposure}", caption, lambda png: exposure_figure(rate, png))
    caption = "The sky smoothed, for shorts and glows: suggested masks by number, manual masks by letter."
    return pictures + _attempt(task, f"exposure-{task.exposure}-glow", caption, lambda png: glow_figure(rate, png))


def _source(task: Task) -> list[Picture]:
    from nirfire.qa.extraction_figure import extraction_figure
    from nirfire.qa.redshift_figure import redshift_figure
    from nirfire.qa.spectrum_figures import spectrum_figure

    stem = f"source-{task.source}-{task.grating.lower()}"
    name = f"source {task.source}  {task.grating}"
    names = _exposures_of(task)
    pictures = [*_shutters(task, names), *_nods(task, names, stem)]
    if task.spec is None:
        return pictures
    try:
        spectrum, fit = Spectrum.read(task.spec), _fit(task.spec)
        true, true_flux, bins = _truth(task, spectrum)
    except UNDRAWABLE as error:
        return [*pictures, Picture("", "1D spectrum", _problem(error))]
    kind = f"   {true.kind}" if true else ""
    title = f"{name}{kind}   {_spectrum_facts(spectrum)}"
    z_true = true.z if true and true.has_redshift else None
    spec, published = task.spec, task.published
    pictures += _attempt(
        task,
        f"{stem}-extraction",
        "2D spectrum, model and residual; profile and apertures; 1D extractions, signal-to-noise, and how they differ.",
        lambda png: extraction_figure(spectrum, png, title),
    )
    pictures += _attempt(
        task,
        f"{stem}-spectrum",
        "1D spectrum with the redshift fit; main lines at the fitted redshift." + _against(bins),
        lambda png: spectrum_figure(spectrum, fit, png, title=title, truth=true_flux, bins=bins),
    )
    joint = task.workspace.joint(task.source)
    agreed = task.workspace.joint_zfit(task.source)
    first = spec == min(task.workspace.find_combined(task.source, SPEC))
    if first and joint.exists():
        caption = "All gratings on one flux scale, and the factors that brought them there."
        pictures += _attempt(task, f"{stem}-joint", caption, lambda png: _joint(joint, png, name))
    if first and agreed.exists():
        caption = "Redshift of all gratings: chi-squared of each, and what they say together."
        pictures += _attempt(task, f"{stem}-agree", caption, lambda png: _agreed(agreed, png, name))
    if fit is not None:
        caption = "The redshift fit: model, residual, best lines; chi-squared and p(z) against redshift, next minima."
        draw_redshift = partial(redshift_figure, fit, title=name, spectrum=spectrum, z_true=z_true)
        pictures += _attempt(task, f"{stem}-redshift", caption, draw_redshift)
    if published is not None:
        caption = "Beside a published extraction of the same source."
        pictures += _attempt(
            task, f"{stem}-published", caption, lambda png: compare_with_published(spec, published, png)
        )
    return pictures


def _joint(joint: Path, png: Path, title: str) -> Path:
    from nirfire.products.joint import JointSpectrum
    from nirfire.qa.joint_figure import joint_figure

    return joint_figure(JointSpectrum.read(joint), png, title)


def _agreed(agreed: Path, png: Path, title: str) -> Path:
    from nirfire.products.joint_redshift import JointFit
    from nirfire.qa.agree_figure import agree_figure

    joint = JointFit.read(agreed)
    fits = [RedshiftFit.read(agreed.with_name(str(name))) for name in joint.gratings["filename"]]
    return agree_figure(joint, fits, png, title)


def _nods(task: Task, names: list[ExposureName], stem: str) -> list[Picture]:
    """The nods of each visit, activity and detector, before and after their sky is subtracted."""
    from nirfire.qa.nod_figure import nod_figure

    place = task.workspace
    groups: dict[tuple[str, str], list[ExposureName]] = defaultdict(list)
    for name in names:
        groups[name.root, name.detector].append(name)
    caption = "Calibrated cutouts, and the same without sky; arrows mark the source's planned row."
    pictures = []
    for (root, detector), mine in sorted(groups.items()):
        cals, subs = ([place.slit(n, task.source, suffix) for n in mine] for suffix in (CAL, BKGSUB))
        draw_nods = partial(nod_figure, cals, subs)
        pictures += _attempt(task, f"{stem}-nods-{root}-{detector}", caption, draw_nods)
    return pictures


def _exposures_of(task: Task) -> list[ExposureName]:
    """Exposures in which the source was calibrated, in the grating."""
    place = task.workspace
    names = place.find_slits(task.source, CAL)
    return [name for name in names if _grating(place.slit(name, task.source, CAL)) == task.grating.upper()]


def _shutters(task: Task, names: list[ExposureName]) -> list[Picture]:
    """The evidence for shutters of this source that are not open."""
    from nirfire.qa.shutter_figure import shutter_figure

    pictures = []
    roots = sorted({name.root for name in names})
    for path in (p for p in map(task.workspace.shutters, roots) if p.exists()):
        try:
            table = ShutterTable.read(path)
        except DataError as error:
            pictures.append(Picture("", "Shutters", _problem(error)))
            continue
        if task.source in table.odd:
            caption = "Sky level of each shutter of the slitlet, over that of an open one."
            draw_shutters = partial(shutter_figure, table, task.source)
            pictures += _attempt(task, f"source-{task.source}-shutters-{path.stem}", caption, draw_shutters)
    return pictures


def _against(bins: RatioBins | None) -> str:
    if bins is None or not bins.used.any():
        return ""
    return f" Against the truth: median ratio {bins.median_ratio:.3f}, median deviation {bins.median_deviation:.1%}."


def _fit(spec: Path) -> RedshiftFit | None:
    path = zfit_of(spec)
    return RedshiftFit.read(path) if path.exists() else None


def _truth(task: Task, spectrum: Spectrum) -> tuple[TrueSource | None, np.ndarray | None, RatioBins | None]:
    if task.truth is None:
        return None, None, None
    truth = Truth.read(task.truth)
    true_flux = truth.on_grid(task.source, spectrum.wave, spectrum.grating)
    bins = ratio_bins(spectrum, true_flux) if true_flux is not None else None
    return truth.of(task.source), true_flux, bins if bins is not None and bins.used.any() else None


def _spectrum_facts(spectrum: Spectrum) -> str:
    meta = {k: v[0] for k, v in spectrum.meta.items()}
    facts = [f"{meta['EXPTIME']:.0f} s" if "EXPTIME" in meta else ""]
    facts.append(f"{len(spectrum.exposures)} exposures" if spectrum.exposures is not None else "")
    facts.append(f"profile {meta['NFPROFIL']}" if "NFPROFIL" in meta else "")
    return ",  ".join(f for f in facts if f)
