"""The demo's measures: what came out against what was put in, and what it cost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nirfire import __version__
from nirfire.errors import DataError
from nirfire.pipeline.jobs import SKIPPED
from nirfire.pipeline.report import RunReport, StageReport
from nirfire.products.atomic import write_text
from nirfire.products.fitsfile import open_fits
from nirfire.products.naming import BKGSUB, CAL, METRICS, RATE, RATERAW, S2D, SPEC, ZFIT, Workspace, zfit_of
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.measure import BIN_PIXELS, BIN_SIGNAL_TO_NOISE, line_signal_to_noise, ratio_bins
from nirfire.qa.truth import TrueSource, Truth

POINTS = ("point", "star")
LINE_LIMIT, Z_LIMIT, Z_SHARE = 5.0, 0.003, 0.9
FLUX_LIMIT, SECONDS_LIMIT, MEMORY_LIMIT = 0.10, 600.0, 4.0
SURE = 0.95
COSTS = ("s", "GB")  # units
COLUMNS = ("source_id", "kind", "z_true", "z_fit", "z_deviation", "probability", "line_sn", "flux_error")

DEFINITIONS = {
    "z_deviation": "|z_fit - z_true| / (1 + z_true)",
    "line_sn": "best emission line: true flux x 0.9545 over the root of summed squared errors within 2 sigma of it",
    "flux_error": f"median |flux / truth - 1| over bins of {BIN_PIXELS} pixels whose true mean is at least "
    f"{BIN_SIGNAL_TO_NOISE:g} of its errors",
    "flux_ratio": "median flux / truth over the same bins",
    "truth": "true f_nu blurred to the instrument's resolution for the source's size, averaged over each pixel",
}


def demo_metrics(workspace: Workspace, truth_folder: Path, report: RunReport) -> dict[str, Any]:
    """Measure a demo and write ``report/metrics.json``.

    Parameters
    ----------
    workspace : Workspace
    truth_folder : Path
        The simulator's truth tables.
    report : RunReport
        What the run cost.

    Returns
    -------
    dict
        ``sources`` (one dict per catalogued source), ``metrics`` (dicts of ``name, value, unit, goal, ok``; ok is None
        where there is no goal or no value), ``stages``, ``empty_products``, ``definitions``, ``version``. Values that
        do not exist are None.

    Raises
    ------
    DataError
        A truth table is absent.
    """
    truth = Truth.read(truth_folder)
    measured = [_source_row(workspace, truth, s) for s in truth.sources.values() if s.catalogued]
    rows = [row for row, _ in measured]
    points = [d for row, deviations in measured if row["kind"] in POINTS for d in deviations]
    empty = sorted(empty_products(workspace))
    costs, stages = _costs(workspace, report)
    result = {
        "version": __version__,
        "grating": truth.grating,
        "metrics": [*_result_metrics(rows, points, len(empty)), *costs],
        "sources": rows,
        "stages": stages,
        "empty_products": empty,
        "definitions": DEFINITIONS,
    }
    result = _plain(result)
    write_text(workspace.report / METRICS, json.dumps(result, indent=1) + "\n")
    return result


def read_metrics(workspace: Workspace) -> dict[str, Any]:
    """What ``report/metrics.json`` says; empty where there is none.

    Raises
    ------
    DataError
        The file is damaged.
    """
    path = workspace.report / METRICS
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise DataError(f"damaged: {error}", file=path, remedy="delete it") from error
    return found


def _costs(workspace: Workspace, report: RunReport) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the run cost; where there was none, what the last one did."""
    if report.stages:
        return _cost_metrics(report), [_stage_row(s) for s in report.stages]
    before = read_metrics(workspace)
    kept = [m for m in before.get("metrics", []) if m["unit"] in COSTS]
    return kept, before.get("stages", [])


def _source_row(workspace: Workspace, truth: Truth, source: TrueSource) -> tuple[dict[str, Any], np.ndarray]:
    """Measures of one source, and its flux deviations per bin; a product that cannot be read is named in a note."""
    row: dict[str, Any] = dict.fromkeys((*COLUMNS, "flux_ratio", "line", "z_error", "note"))
    row |= {"source_id": source.source, "kind": source.kind, "z_true": source.z if source.has_redshift else None}
    row |= {"primary": source.primary, "nan_only": False, "file": None}
    spec, spectrum = _spectrum(workspace, source.source, truth.grating.upper(), row)
    if spec is None or spectrum is None:
        return row, np.empty(0)
    row |= {"file": spec.name, "nan_only": bool(spectrum.mask.all())}
    row["line_sn"], row["line"] = line_signal_to_noise(spectrum, source)
    true_flux = truth.on_grid(source.source, spectrum.wave, spectrum.grating)
    deviations = np.empty(0)
    if true_flux is not None:
        bins = ratio_bins(spectrum, true_flux)
        deviations = np.abs(bins.ratio[bins.used] - 1.0)
        row |= {"flux_error": bins.median_deviation, "flux_ratio": bins.median_ratio}
    if (fit := _fit(zfit_of(spec), row)) is not None:
        row |= {"z_fit": fit.z, "z_error": fit.z_err, "probability": fit.probability}
        if source.has_redshift:
            row["z_deviation"] = abs(fit.z - source.z) / (1.0 + source.z)
    return row, deviations


def _spectrum(
    workspace: Workspace, source: int, grating: str, row: dict[str, Any]
) -> tuple[Path | None, Spectrum | None]:
    """The spectrum of a source in a grating and its file; why there is none is noted."""
    row["note"] = "no spectrum"
    for path in workspace.find_combined(source, SPEC):
        try:
            if _grating(path) == grating:
                spectrum = Spectrum.read(path)
                row["note"] = None
                return path, spectrum
        except DataError as error:
            row["note"] = f"{path.name}: {error.message}"
    return None, None


def _fit(path: Path, row: dict[str, Any]) -> RedshiftFit | None:
    """A redshift fit; why there is none is noted."""
    if not path.exists():
        row["note"] = "no redshift fit"
        return None
    try:
        return RedshiftFit.read(path)
    except DataError as error:
        row["note"] = f"{path.name}: {error.message}"
        return None


def _grating(spec: Path) -> str:
    with open_fits(spec) as hdus:
        return str(hdus[0].header.get("GRATING", "")).upper()


def _metric(name: str, value: float | None, unit: str, goal: str = "", ok: bool | None = None) -> dict[str, Any]:
    known = value is not None and math.isfinite(value)
    return {
        "name": name,
        "value": value if known else None,
        "unit": unit,
        "goal": goal or None,
        "ok": ok if known else None,
    }


def _result_metrics(rows: list[dict[str, Any]], points: list[float], n_empty: int) -> list[dict[str, Any]]:
    galaxies = [r for r in rows if r["z_true"] is not None]
    lined = [r for r in galaxies if (r["line_sn"] or 0.0) > LINE_LIMIT]
    good = [r for r in lined if r["z_deviation"] is not None and r["z_deviation"] < Z_LIMIT]
    wrong = [r for r in galaxies if (r["probability"] or 0.0) > SURE and (r["z_deviation"] or 0.0) >= Z_LIMIT]
    others = [r["flux_error"] for r in galaxies if r["flux_error"] is not None and math.isfinite(r["flux_error"])]
    share = len(good) / len(lined) if lined else math.nan
    flux = float(np.median(points)) if points else math.nan
    missing = sum(r["file"] is None for r in rows)
    return [
        _metric("galaxies with a line at S/N > 5", len(lined), "sources"),
        _metric("share of them with |dz|/(1+z) < 0.003", share, "", f">= {Z_SHARE}", share >= Z_SHARE),
        _metric("sure (probability > 0.95) but wrong redshifts", len(wrong), "sources"),
        _metric("median |flux/truth - 1|, point sources", flux, "", f"< {FLUX_LIMIT}", flux < FLUX_LIMIT),
        _metric("median |flux/truth - 1|, galaxies", float(np.median(others)) if others else math.nan, ""),
        _metric("products that are NaN only", n_empty, "files", "= 0", n_empty == 0),
        _metric("catalogued sources without a spectrum", missing, "sources", "= 0", missing == 0),
    ]


def _cost_metrics(report: RunReport) -> list[dict[str, Any]]:
    found = []
    for stage in report.stages:
        found.append(_metric(f"wall time, {stage.stage}", stage.seconds, "s"))
        found.append(_metric(f"memory of a worker, {stage.stage}", stage.peak_memory, "GB"))
    seconds, memory = report.seconds, report.peak_memory
    again = any(o.status == SKIPPED for o in report.outcomes)
    note = " (part was already done)" if again else ""
    found.append(_metric(f"wall time, all stages{note}", seconds, "s", f"< {SECONDS_LIMIT:g}", seconds < SECONDS_LIMIT))
    found.append(_metric("peak memory", memory, "GB", f"< {MEMORY_LIMIT:g}", memory < MEMORY_LIMIT))
    return found


def _stage_row(stage: StageReport) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for outcome in stage.outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    return {"stage": stage.stage, "seconds": stage.seconds, "peak_memory": stage.peak_memory, "outcomes": counts}


def empty_products(workspace: Workspace) -> Iterator[str]:
    """Names of products without a single finite value (or that cannot be read)."""
    for path in product_files(workspace):
        extension = {SPEC: "SPEC1D", ZFIT: "MODEL"}.get(_suffix(path), "SCI")
        try:
            with open_fits(path) as hdus:
                if extension not in hdus:
                    yield path.name
                    continue
                data = hdus[extension].data
                values = np.asarray(data["flux"] if extension != "SCI" else data)
        except DataError:
            yield path.name
            continue
        if not np.isfinite(values).any():
            yield path.name


def product_files(workspace: Workspace) -> list[Path]:
    """Every FITS product of images and spectra in a workspace."""
    files = [workspace.exposure(n, s) for s in (RATERAW, RATE) for n in workspace.find_exposures(s)]
    for source in workspace.find_sources():
        files += [workspace.slit(n, source, s) for s in (CAL, BKGSUB) for n in workspace.find_slits(source, s)]
        files += [p for s in (S2D, SPEC, ZFIT) for p in workspace.find_combined(source, s)]
    return files


def _suffix(path: Path) -> str:
    return next((s for s in (SPEC, ZFIT) if path.name.endswith(s)), "")


def _plain(value: Any) -> Any:
    """The same with plain Python numbers, and None for what JSON has no number for."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
