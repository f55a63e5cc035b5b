"""The figures and measures of one exposure, and of one source in one grating."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from nirfire.errors import DataError
from nirfire.products.joint_redshift import JointFit
from nirfire.products.naming import BKGSUB, CAL, RATE, ExposureName, zfit_of
from nirfire.products.shutters import ShutterTable
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.checks import Measured
from nirfire.qa.compare import compare_with_published
from nirfire.qa.drawing import FIGURES, Drawn, Task
from nirfire.qa.exposure_checks import check_exposure
from nirfire.qa.exposure_figures import exposure_figure
from nirfire.qa.extraction_figure import extraction_figure
from nirfire.qa.glow_figure import glow_figure
from nirfire.qa.html import Picture
from nirfire.qa.measure import RatioBins, ratio_bins
from nirfire.qa.redshift_figure import Known, redshift_figure
from nirfire.qa.spectrum_checks import check_joint, check_spectrum
from nirfire.qa.spectrum_figures import spectrum_figure
from nirfire.qa.truth import TrueSource, Truth

UNDRAWABLE = (DataError, LookupError, ValueError, TypeError, ArithmeticError)  # what a damaged product may raise


def draw_exposure(task: Task) -> Drawn:
    """Draw and measure a cleaned exposure."""
    assert task.exposure is not None
    rate = task.workspace.exposure(task.exposure, RATE)
    caption = "Raw count rate, what was subtracted, and what is left; below, medians before and after, and residuals."
    pictures = _attempt(task, f"exposure-{task.exposure}", caption, lambda png: exposure_figure(rate, png))
    caption = "The sky smoothed, for shorts and glows: suggested masks by number, manual masks by letter."
    pictures += _attempt(task, f"exposure-{task.exposure}-glow", caption, lambda png: glow_figure(rate, png))
    problems, measured = _measured(lambda: check_exposure(rate))
    return Drawn((*pictures, *problems), measured=measured)


def draw_source(task: Task) -> Drawn:
    """Draw and measure a source in one grating."""
    pictures = [*_shutters(task, task.slits), *_nods(task)]
    if task.spec is None:
        return Drawn(tuple(pictures))
    try:
        spectrum, fit = Spectrum.read(task.spec), _fit(task.spec)
        true, true_flux, bins = _truth(task, spectrum)
    except UNDRAWABLE as error:
        return Drawn((*pictures, Picture("", "1D spectrum", _problem(error))))
    known = Known(true.z if true and true.has_redshift else None, true_flux, bins)
    pictures += _spectrum(task, spectrum, fit, known)
    problems, measured = _measured(lambda: _checks(task, spectrum, fit))
    shown = (*pictures, *_all_gratings(task), *_published(task), *problems)
    return Drawn(shown, tuple(_facts(spectrum, true)), tuple(_values(spectrum, fit)), measured)


def _stem(task: Task) -> str:
    return f"source-{task.source}-{task.grating.lower()}"


def _name(task: Task) -> str:
    return f"source {task.source}  {task.grating}"


def _attempt(task: Task, stem: str, caption: str, function: Callable[[Path], Path | None]) -> list[Picture]:
    address = f"{FIGURES}/{stem}.png"
    try:
        made = function(task.workspace.report / address)
    except UNDRAWABLE as error:
        return [Picture(address, caption, _problem(error))]
    return [Picture(address, caption)] if made else []


def _problem(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"cannot be drawn: {type(error).__name__}: {error}"


def _measured(
    measure: Callable[[], list[Measured]],
) -> tuple[list[Picture], tuple[tuple[str, float, float, str], ...]]:
    """The values for the checks; where a product cannot be read, what is wrong instead."""
    try:
        return [], tuple((m.check, m.value, m.error, m.subject) for m in measure())
    except UNDRAWABLE as error:
        return [Picture("", "Checks", _problem(error))], ()


def _checks(task: Task, spectrum: Spectrum, fit: RedshiftFit | None) -> list[Measured]:
    cals = [task.workspace.slit(name, task.source, CAL) for name in task.slits]
    found = check_spectrum(spectrum, fit, cals, task.key)
    agreed = task.workspace.joint_zfit(task.source)
    if task.first and agreed.exists():
        found += check_joint(JointFit.read(agreed), str(task.source))
    return found


def _facts(spectrum: Spectrum, true: TrueSource | None) -> Iterable[tuple[str, str]]:
    meta = {key: value for key, (value, _) in spectrum.meta.items()}
    if "RA" in meta and "DEC" in meta:
        yield "planned at", f"{float(meta['RA']):.6f}, {float(meta['DEC']):.6f} deg"
    yield "exposure time", f"{float(meta['EXPTIME']):.0f} s" if "EXPTIME" in meta else "not known"
    if spectrum.exposures is not None:
        yield "exposures", str(len(spectrum.exposures))
    if "NFSIZE" in meta:
        yield "size", f"{float(meta['NFSIZE']):.3f} ± {float(meta.get('NFSIZERR', math.nan)):.3f} arcsec (sigma)"
    if true is not None:
        yield "in truth", true.kind + (f", z = {true.z:.5g}" if true.has_redshift else "")


def _values(spectrum: Spectrum, fit: RedshiftFit | None) -> Iterable[tuple[str, float | str]]:
    good = ~spectrum.mask & np.isfinite(spectrum.flux) & (spectrum.err > 0)
    yield "snr", float(np.median(spectrum.flux[good] / spectrum.err[good])) if good.any() else math.nan
    if fit is not None:
        yield from (("z", float(fit.z)), ("z_err", float(fit.z_err)), ("probability", float(fit.probability)))
        yield from (("class", str(fit.template_class)), ("warnings", "; ".join(fit.warnings)))


def _spectrum(task: Task, spectrum: Spectrum, fit: RedshiftFit | None, true: Known) -> list[Picture]:
    title = f"{_name(task)}   {_title_facts(spectrum)}"
    text = (
        "2D spectrum, model and residual; profile and apertures; 1D extractions, signal-to-noise, and how they differ."
    )
    pictures = _attempt(task, f"{_stem(task)}-extraction", text, lambda png: extraction_figure(spectrum, png, title))
    if fit is None:
        draw_spectrum = partial(spectrum_figure, spectrum, title=title, truth=true.flux, bins=true.bins)
        return pictures + _attempt(task, f"{_stem(task)}-spectrum", "1D spectrum." + _against(true.bins), draw_spectrum)
    text = (
        "1D spectrum and redshift fit: model, residual, best lines; chi-squared and p(z) against redshift, next minima."
    )
    draw_redshift = partial(redshift_figure, fit, title=title, spectrum=spectrum, true=true)
    return pictures + _attempt(task, f"{_stem(task)}-redshift", text + _against(true.bins), draw_redshift)


def _all_gratings(task: Task) -> list[Picture]:
    pictures: list[Picture] = []
    joint, agreed = task.workspace.joint(task.source), task.workspace.joint_zfit(task.source)
    if task.first and joint.exists():
        caption = "All gratings on one flux scale, and the factors that brought them there."
        pictures += _attempt(task, f"{_stem(task)}-joint", caption, lambda png: _joint(joint, png, _name(task)))
    if task.first and agreed.exists():
        caption = "Redshift of all gratings: chi-squared of each, and what they say together."
        pictures += _attempt(task, f"{_stem(task)}-agree", caption, lambda png: _agreed(agreed, png, _name(task)))
    return pictures


def _published(task: Task) -> list[Picture]:
    spec, published = task.spec, task.published
    if spec is None or published is None:
        return []
    caption = "Beside a published extraction of the same source."
    draw_published = partial(compare_with_published, spec, published)
    return _attempt(task, f"{_stem(task)}-published", caption, draw_published)


def _joint(joint: Path, png: Path, title: str) -> Path:
    from nirfire.products.joint import JointSpectrum
    from nirfire.qa.joint_figure import joint_figure

    return joint_figure(JointSpectrum.read(joint), png, title)


def _agreed(agreed: Path, png: Path, title: str) -> Path:
    from nirfire.qa.agree_figure import agree_figure

    joint = JointFit.read(agreed)
    fits = [RedshiftFit.read(agreed.with_name(str(name))) for name in joint.gratings["filename"]]
    return agree_figure(joint, fits, png, title)


def _nods(task: Task) -> list[Picture]:
    """The nods of each visit, activity and detector, before and after their sky is subtracted."""
    from nirfire.qa.nod_figure import nod_figure

    place = task.workspace
    groups: dict[tuple[str, str], list[ExposureName]] = defaultdict(list)
    for name in task.slits:
        groups[name.root, name.detector].append(name)
    caption = "Calibrated cutouts, and the same without sky; arrows mark the source's planned row."
    pictures = []
    for (root, detector), mine in sorted(groups.items()):
        cals, subs = ([place.slit(n, task.source, suffix) for n in mine] for suffix in (CAL, BKGSUB))
        draw_nods = partial(nod_figure, cals, subs)
        pictures += _attempt(task, f"{_stem(task)}-nods-{root}-{detector}", caption, draw_nods)
    return pictures


def _shutters(task: Task, names: Sequence[ExposureName]) -> list[Picture]:
    """The evidence for shutters of this source that are not open."""
    from nirfire.qa.shutter_figure import shutter_figure

    pictures = []
    roots = sorted({name.root for name in names})
    for path in (p for p in map(task.workspace.shutters, roots) if p.exists()):
        try:
            table = _shutter_table(path, path.stat().st_mtime_ns)
        except DataError as error:
            pictures.append(Picture("", "Shutters", _problem(error)))
            continue
        if task.source in table.odd:
            caption = "Sky level of each shutter of the slitlet, over that of an open one."
            draw_shutters = partial(shutter_figure, table, task.source)
            pictures += _attempt(task, f"source-{task.source}-shutters-{path.stem}", caption, draw_shutters)
    return pictures


@lru_cache(maxsize=4)
def _shutter_table(path: Path, mtime_ns: int) -> ShutterTable:
    """The table of a visit, which its sources share."""
    return ShutterTable.read(path)


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
    truth = _truth_tables(task.truth, tuple(path.stat().st_mtime_ns for path in sorted(task.truth.iterdir())))
    true_flux = truth.on_grid(task.source, spectrum.wave, spectrum.grating)
    bins = ratio_bins(spectrum, true_flux) if true_flux is not None else None
    return truth.of(task.source), true_flux, bins if bins is not None and bins.used.any() else None


@lru_cache(maxsize=1)
def _truth_tables(folder: Path, mtimes_ns: tuple[int, ...]) -> Truth:
    """The truth of an observation, which its sources share."""
    return Truth.read(folder)


def _title_facts(spectrum: Spectrum) -> str:
    meta = {k: v[0] for k, v in spectrum.meta.items()}
    facts = [f"{meta['EXPTIME']:.0f} s" if "EXPTIME" in meta else ""]
    facts.append(f"{len(spectrum.exposures)} exposures" if spectrum.exposures is not None else "")
    facts.append(f"profile {meta['NFPROFIL']}" if "NFPROFIL" in meta else "")
    return ",  ".join(f for f in facts if f)
