"""Stock Spec2 for one slit of an exposure after another: what belongs to the exposure is done once.

The steps are those of a stock ``Spec2Pipeline`` object, made and configured as ``Spec2Pipeline.call`` makes it, and
each slit goes through their ``process``. A run of the whole pipeline per slit gives the same arrays, header and WCS (a
test compares them), at several times the cost. What is spared:

- references are opened once, and given to the steps as in-memory overrides, a feature of stpipe;
- pixels behind failed-open shutters are flagged once: that depends on the exposure alone;
- nothing is copied, and no garbage collected, between steps;
- values are not checked against their schema at every assignment (``VALIDATE_ON_ASSIGNMENT``, a setting of stdatamodels
  that turns it off until a file is written), which is three quarters of what then remains.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from nirfire.errors import NoWork
from nirfire.products.naming import CAL
from nirfire.stsci.crds_check import crds_said_plainly
from nirfire.stsci.pipelines import Steps, configured_spec2, run_spec2, spec2_steps
from nirfire.stsci.slit_geometry import append_slit_y

SHARED = ("assign_wcs", "msa_flagging")
AFTER_WAVECORR = ("flat_field", "pathloss", "barshadow", "photom")
PER_SLIT = ("wavecorr", *AFTER_WAVECORR)
OTHERS = ("badpix_selfcal", "clean_flicker_noise", "imprint_subtract", "bkg_subtract", "master_background_mos")
"""Steps before the photometry that are left to the whole pipeline; all are skipped for a lone exposure by default."""
NEED_MEMBERS = ("imprint_subtract", "bkg_subtract")
"""Of these, the ones that do nothing to an exposure that is alone in its association."""
UNSUPPORTED = ("save_results", "pre_hooks", "post_hooks", "output_file", "save_interpolated_flat")
IN_MEMORY = {
    "camera": "CameraModel",
    "collimator": "CollimatorModel",
    "disperser": "DisperserModel",
    "fore": "FOREModel",
    "fpa": "FPAModel",
    "msa": "MSAModel",
    "ote": "OTEModel",
    "wavelengthrange": "WavelengthrangeModel",
    "wavecorr": "WaveCorrModel",
    "fflat": "NirspecQuadFlatModel",
    "sflat": "NirspecFlatModel",
    "dflat": "NirspecFlatModel",
    "pathloss": "PathlossModel",
    "barshadow": "BarshadowModel",
    "photom": "NrsMosPhotomModel",
    "area": "NirspecMosAreaModel",
}
VALIDATION = "VALIDATE_ON_ASSIGNMENT"


def calibrate_slit(
    rate: Path, metafile: Path, folder: Path, product: str, steps: Steps, sourceless_x: float | None = None
) -> Path:
    """Calibrate one slit as `run_spec2` does, sharing with the last call what belongs to the same exposure.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits``; it is not edited.
    metafile : Path
        The per-source MSA metafile.
    folder : Path
        Where the product is left.
    product : str
        Name of the product, without suffix.
    steps : dict of dict
        Step parameters, passed through; those in `SKIP_IN_SPEC2` are skipped unless said otherwise. Where they ask for
        what only a run of the whole pipeline does, it is run.
    sourceless_x : float, optional [pitch]
        As of `run_spec2`.

    Returns
    -------
    Path
        The ``_cal.fits``.

    Raises
    ------
    NoWork
        The slit misses this detector.
    """
    from jwst.assign_wcs.util import NoDataOnDetectorError

    with crds_said_plainly(rate):
        prepared = _prepared(rate, _stamp(rate), json.dumps(steps, sort_keys=True))
        if not prepared.supported:
            return run_spec2(rate, metafile, folder, product, steps, sourceless_x)
        try:
            slits = prepared.calibrate(metafile, product, sourceless_x)
        except NoDataOnDetectorError as error:
            raise NoWork("its slitlet misses this detector") from error
    path = folder / f"{product}{CAL}"
    slits.save(str(path))
    append_slit_y(path, slits)
    return path


class PreparedExposure:
    """An exposure, ready to have its slits calibrated one by one.

    Parameters
    ----------
    rate : Path
        The ``_rate.fits``; it is not edited.
    steps : dict of dict
        Step parameters, passed through; those in `SKIP_IN_SPEC2` are skipped unless said otherwise.

    Attributes
    ----------
    supported : bool
        False when the parameters ask for something that only a run of the whole pipeline does.
    """

    def __init__(self, rate: Path, steps: Steps) -> None:
        from stdatamodels.jwst import datamodels

        self._model = datamodels.open(rate)
        self._pipeline = configured_spec2(self._model, spec2_steps(steps))
        self.supported = _supported(self._pipeline)
        self._whole = Path(self._model.meta.instrument.msa_metadata_file).name
        if self.supported:
            self._share_references()
            self._model = _apply(self._pipeline.msa_flagging, self._model)
            _record(self._pipeline.msa_flagging, self._model)

    def calibrate(self, metafile: Path, product: str, sourceless_x: float | None = None) -> Any:
        """Calibrate the one slit of a per-source metafile.

        Parameters
        ----------
        metafile : Path
            The per-source MSA metafile.
        product : str
            Name of the product, without suffix.
        sourceless_x : float, optional [pitch]
            As of `run_spec2`.

        Returns
        -------
        MultiSlitModel

        Raises
        ------
        NoDataOnDetectorError
            The slit misses the detector.
        """
        pipeline = self._pipeline
        self._model.meta.instrument.msa_metadata_file = str(metafile)
        with _assignments_unchecked(self._model):
            exposure = pipeline.assign_wcs.process(self._model)
            cut = _apply(pipeline.srctype, pipeline.extract_2d.process(exposure))
            slits = _apply(pipeline.wavecorr, _of_shutters(cut))
            if sourceless_x is not None:
                _shift_sourceless(pipeline.wavecorr, slits, sourceless_x)
            for name in AFTER_WAVECORR:
                slits = _apply(getattr(pipeline, name), slits)
            self._sign(slits, product)
        return slits

    def _sign(self, slits: Any, product: str) -> None:
        """Write into the header what the stock pipeline writes at its end."""
        for name in OTHERS:
            setattr(slits.meta.cal_step, getattr(self._pipeline, name).class_alias, "SKIPPED")
        _record(self._pipeline.photom, slits, self._used)
        slits.meta.asn.pool_name = slits.meta.asn.table_name = "singleton"
        slits.meta.instrument.msa_metadata_file = self._whole
        slits.meta.filename = f"{product}{CAL}"

    def _share_references(self) -> None:
        """Open the references of all steps; those of a WCS are also written into the exposure's header."""
        self._used: list[tuple[str, str]] = []
        for name in (*SHARED, *PER_SLIT):
            step = getattr(self._pipeline, name)
            if step.skip:
                continue
            found = {kind: step.get_reference_file(self._model, kind) for kind in step.reference_file_types}
            self._used += step._reference_files_used
            if name == "assign_wcs":
                _record(step, self._model)
            if name != "msa_flagging":
                for kind, path in found.items():
                    setattr(step, f"override_{kind}", _opened(kind, path))
            step._reference_files_used = []


def _stamp(path: Path) -> tuple[int, int, str]:
    """What changes when the exposure or the references do."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size, os.environ.get("CRDS_CONTEXT", "")


@lru_cache(maxsize=1)
def _prepared(rate: Path, stamp: tuple[int, int, str], steps: str) -> PreparedExposure:
    """The exposure of the last call; jobs come exposure by exposure, and one takes some hundred MB.

    Its million objects are put out of the garbage collector's sight, which would look at them again and again.
    """
    gc.unfreeze()  # with the exposure before, which may go now
    prepared = PreparedExposure(rate, json.loads(steps))
    gc.collect()
    gc.freeze()
    return prepared


def _supported(pipeline: Any) -> bool:
    """True when no parameter asks for more than `PreparedExposure` does."""
    steps = [getattr(pipeline, name) for name in (*SHARED, "extract_2d", "srctype", *PER_SLIT)]
    special = any(getattr(step, parameter, None) for step in steps for parameter in UNSUPPORTED)
    needed = not (pipeline.assign_wcs.skip or pipeline.extract_2d.skip)
    return needed and not special and all(getattr(pipeline, name).skip for name in set(OTHERS) - set(NEED_MEMBERS))


def _opened(kind: str, path: str) -> Any:
    """An open reference; "N/A" and types that multi-object spectroscopy does not read stay what they are."""
    from stdatamodels.jwst import datamodels

    return getattr(datamodels, IN_MEMORY[kind])(path) if kind in IN_MEMORY and path != "N/A" else path


def _apply(step: Any, model: Any) -> Any:
    if step.skip:
        setattr(model.meta.cal_step, step.class_alias, "SKIPPED")
        return model
    return step.process(model)


def _shift_sourceless(wavecorr: Any, slits: Any, x: float) -> None:
    from nirfire.stsci.sourceless import shift_sourceless

    if not wavecorr.skip:
        shift_sourceless(slits, x, wavecorr.override_wavecorr)


def _record(step: Any, model: Any, used: list[tuple[str, str]] | None = None) -> None:
    """Write the versions and references that were used into the header, as stock steps do at their end."""
    step.finalize_result(model, step._reference_files_used if used is None else used)


def _of_shutters(cut: Any) -> Any:
    """The slits, in the model that Spec2 takes them to for the rest of its steps."""
    from stdatamodels.jwst import datamodels

    slits = datamodels.MultiSlitModel()
    for slit in cut.slits:
        slits.slits.append(slit)
    slits.update(cut)
    return slits


@contextmanager
def _assignments_unchecked(model: Any) -> Iterator[None]:
    """Do not check assignments to `model`, and to the models made meanwhile, against their schemas."""
    before = os.environ.get(VALIDATION)
    os.environ[VALIDATION] = "false"
    model._validate_on_assignment = False
    try:
        yield
    finally:
        model._validate_on_assignment = True
        if before is None:
            del os.environ[VALIDATION]
        else:
            os.environ[VALIDATION] = before
