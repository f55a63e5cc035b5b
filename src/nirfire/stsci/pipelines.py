"""The stock pipelines, run unmodified: Detector1, Spec2, Spec3."""

from __future__ import annotations

import gc
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from nirfire.errors import DataError, NoWork
from nirfire.products.naming import ASSOCIATION, CAL, RATE, S2D
from nirfire.stsci.crds_check import crds_said_plainly
from nirfire.stsci.slit_geometry import append_slit_y
from nirfire.stsci.step_check import check_steps

SKIP_IN_SPEC2 = ("bkg_subtract", "master_background_mos", "barshadow", "resample_spec", "extract_1d")
SKIP_IN_SPEC3 = ("extract_1d", "combine_1d")

RULES = {"spec2": "Asn_Lv2SpecNIRSpecMSA", "spec3": "Asn_Lv3SpectralSource"}

SEE_LOG = "see the job's log for the step that stopped"

Steps = dict[str, dict[str, Any]]


@cache
def load_stock() -> ModuleType:
    """Import the stock pipeline, once, and put all that is alive by then out of the garbage collector's sight.

    Notes
    -----
    Every stock step ends with ``gc.collect()``. On a heap full of modules that takes 0.15 s, some 20 times per run;
    after ``gc.freeze()`` it looks only at what the run itself made.
    """
    import jwst.pipeline

    gc.collect()
    gc.freeze()
    return jwst.pipeline


def run_detector1(uncal: Path, folder: Path, steps: Steps) -> Path:
    """Run the stock Detector1 pipeline.

    Parameters
    ----------
    uncal : Path
        The ``_uncal.fits``.
    folder : Path
        Where the products are left; empty.
    steps : dict of dict
        Step parameters, passed through.

    Returns
    -------
    Path
        The rate file: all integrations averaged.

    Raises
    ------
    DataError
        A step or parameter does not exist, or no ramp of the exposure can be fitted.
    """
    pipeline = load_stock().Detector1Pipeline
    check_steps(pipeline, "detector", steps)
    with crds_said_plainly(uncal):
        found = pipeline.call(str(uncal), output_dir=str(folder), save_results=True, steps=steps, configure_log=False)
    if found is None:  # what stock ramp_fit gives when every group of every ramp is flagged
        raise DataError(
            "no ramp can be fitted: every group of every pixel is saturated or flagged",
            file=uncal,
            remedy="look at the exposure, and leave it out",
        )
    return _only(folder, f"*{RATE}", uncal)


def run_spec2(
    rate: Path, metafile: Path, folder: Path, product: str, steps: Steps, sourceless_x: float | None = None
) -> Path:
    """Run the stock Spec2 pipeline on one exposure with a per-source metafile.

    The rate file is not edited: a copy in memory names the per-source metafile.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits``.
    metafile : Path
        The per-source MSA metafile.
    folder : Path
        Where the product is left.
    product : str
        Name of the product, without suffix.
    steps : dict of dict
        Step parameters, passed through; those in `SKIP_IN_SPEC2` are skipped unless said otherwise.
    sourceless_x : float, optional [pitch]
        Where the point source lies across its shutter at the nods that have it: a slit without a source then gets the
        wavelengths that it has there, see `nirfire.stsci.sourceless`.

    Returns
    -------
    Path
        The ``_cal.fits``.

    Raises
    ------
    NoWork
        The source's slit misses this detector.
    """
    from jwst.assign_wcs.util import NoDataOnDetectorError
    from stdatamodels.jwst import datamodels

    merged = spec2_steps(steps)
    with datamodels.open(rate) as model:
        whole = Path(model.meta.instrument.msa_metadata_file).name
        model.meta.instrument.msa_metadata_file = str(metafile)
        model.meta.filename = f"{product}{RATE}"
        try:
            with crds_said_plainly(rate):
                if sourceless_x is not None:
                    merged["wavecorr"] = _hooked(model, merged, sourceless_x)
                found = load_stock().Spec2Pipeline.call(model, steps=merged, configure_log=False)
        except NoDataOnDetectorError as error:
            raise NoWork("its slitlet misses this detector") from error
    if len(found) != 1:
        raise DataError(f"the stock pipeline gave {len(found)} products, expected one", file=rate, remedy=SEE_LOG)
    with found[0] as cal:
        cal.meta.instrument.msa_metadata_file = whole  # the per-source one is gone when the product is read
        path = folder / f"{product}{CAL}"
        cal.save(str(path))
        append_slit_y(path, cal)
    return path


def configured_spec2(model: Any, steps: Steps) -> Any:
    """A Spec2 pipeline object, made as its ``call`` does: CRDS's parameters for this exposure, then the given ones.

    Parameters
    ----------
    model : ImageModel
        The exposure.
    steps : dict of dict
        As of `spec2_steps`.
    """
    pipeline = load_stock().Spec2Pipeline
    config, config_file = pipeline.build_config(model, steps=steps)
    return pipeline.from_config_section(config, config_file=config_file)


def _hooked(model: Any, steps: Steps, x: float) -> dict[str, Any]:
    """Parameters of the wavecorr step, with the step for slits without a source after it."""
    from nirfire.stsci.sourceless import SourcelessWavelengths

    given, wavecorr = steps.get("wavecorr", {}), configured_spec2(model, steps).wavecorr
    if wavecorr.skip:
        return given
    after = SourcelessWavelengths(x=x, override_wavecorr=wavecorr.get_reference_file(model, "wavecorr"))
    return given | {"post_hooks": [*wavecorr.post_hooks, after]}


def spec2_steps(steps: Steps) -> Steps:
    """Parameters of the stock Spec2 steps; those in `SKIP_IN_SPEC2` are skipped unless said otherwise.

    Raises
    ------
    DataError
        A step or parameter does not exist.
    """
    merged = {name: {"skip": True} for name in SKIP_IN_SPEC2} | steps
    check_steps(load_stock().Spec2Pipeline, "calibrate", merged)
    return merged


def run_spec3(cals: list[Path], folder: Path, product: str, steps: Steps) -> Path:
    """Run the stock Spec3 pipeline on the cutouts of one source.

    Parameters
    ----------
    cals : list of Path
        Background-subtracted ``_cal`` files.
    folder : Path
        Where the association is written and the products are left.
    product : str
        Name of the product, without suffix.
    steps : dict of dict
        Step parameters, passed through.

    Returns
    -------
    Path
        The ``_s2d.fits``.
    """
    association = write_association(folder, product, "spec3", cals)
    merged = {name: {"skip": True} for name in SKIP_IN_SPEC3} | steps
    check_steps(load_stock().Spec3Pipeline, "stack", merged)
    with crds_said_plainly(cals[0]):
        load_stock().Spec3Pipeline.call(
            str(association), output_dir=str(folder), save_results=True, steps=merged, configure_log=False
        )
    return _only(folder, f"*{S2D}", cals[0])


def write_association(folder: Path, product: str, level: str, members: list[Path]) -> Path:
    """Write the association of one product, of level ``spec2`` or ``spec3``, and give its path."""
    content = {
        "asn_type": level,
        "asn_rule": RULES[level],
        "asn_pool": "none",
        "program": product[2:7],
        "asn_id": "a3001",
        "products": [{"name": product, "members": [{"expname": str(m), "exptype": "science"} for m in members]}],
    }
    path = folder / f"{product}{ASSOCIATION}"
    path.write_text(json.dumps(content, indent=1))
    return path


def _only(folder: Path, pattern: str, given: Path) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise DataError(
            f"the stock pipeline left {len(found)} files like {pattern}, expected one",
            file=given,
            remedy=SEE_LOG,
        )
    return found[0]
