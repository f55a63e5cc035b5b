"""Which CRDS reference types the stages look up, and the header keywords by which CRDS selects the files.

A table, because finding out from the step classes imports ``jwst``, which takes seconds. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from nirfire.products.fitsfile import open_fits, require
from nirfire.products.rate import REQUIRED
from nirfire.stsci.pipelines import SKIP_IN_SPEC2, SKIP_IN_SPEC3, Steps

KEYWORDS = {
    "META.INSTRUMENT.NAME": "INSTRUME",
    "META.INSTRUMENT.DETECTOR": "DETECTOR",
    "META.INSTRUMENT.FILTER": "FILTER",
    "META.INSTRUMENT.GRATING": "GRATING",
    "META.INSTRUMENT.LAMP_MODE": "OPMODE",
    "META.INSTRUMENT.LAMP_STATE": "LAMP",
    "META.INSTRUMENT.FIXED_SLIT": "FXD_SLIT",
    "META.EXPOSURE.TYPE": "EXP_TYPE",
    "META.EXPOSURE.READPATT": "READPATT",
    "META.OBSERVATION.DATE": "DATE-OBS",
    "META.OBSERVATION.TIME": "TIME-OBS",
    "META.SUBARRAY.NAME": "SUBARRAY",
    "META.VISIT.TSOVISIT": "TSOVISIT",
    "META.VISIT.TYPE": "VISITYPE",
}
"""CRDS's selection parameters for NIRSpec, and the keywords that hold them."""
_NEEDED_KEYWORDS = ("INSTRUME", "DETECTOR", "EXP_TYPE", "DATE-OBS", "TIME-OBS")

_WCS = (
    "distortion filteroffset specwcs regions wavelengthrange camera chromcorr collimator disperser fore fpa msa ote "
    "ifupost ifufore ifuslicer"
)
_FLATS = "flat fflat sflat dflat"
_EXTRACT = "extract1d apcorr pastasoss specprofile speckernel psf"
STOCK: dict[str, dict[str, tuple[str, str]]] = {
    "detector": {
        "group_scale": ("GroupScaleStep", ""),
        "dq_init": ("DQInitStep", "mask"),
        "emicorr": ("EmiCorrStep", "emicorr"),
        "saturation": ("SaturationStep", "saturation superbias"),
        "ipc": ("IPCStep", "ipc"),
        "superbias": ("SuperBiasStep", "superbias"),
        "refpix": ("RefPixStep", "refpix sirskernel"),
        "rscd": ("RscdStep", "rscd"),
        "firstframe": ("FirstFrameStep", ""),
        "lastframe": ("LastFrameStep", ""),
        "linearity": ("LinearityStep", "linearity"),
        "dark_current": ("DarkCurrentStep", "dark"),
        "reset": ("ResetStep", "reset"),
        "persistence": ("PersistenceStep", ""),
        "charge_migration": ("ChargeMigrationStep", ""),
        "jump": ("JumpStep", "gain readnoise"),
        "picture_frame": ("PictureFrameStep", "pictureframe"),
        "clean_flicker_noise": ("CleanFlickerNoiseStep", "flat pastasoss"),
        "ramp_fit": ("RampFitStep", "readnoise gain"),
        "gain_scale": ("GainScaleStep", "gain"),
    },
    "clean": {
        "assign_wcs": ("AssignWcsStep", _WCS),
        "msa_flagging": ("MSAFlagOpenStep", "msaoper"),
        "picture_frame": ("PictureFrameStep", "pictureframe"),
    },
    "calibrate": {
        "assign_wcs": ("AssignWcsStep", _WCS),
        "badpix_selfcal": ("BadpixSelfcalStep", ""),
        "msa_flagging": ("MSAFlagOpenStep", "msaoper"),
        "clean_flicker_noise": ("CleanFlickerNoiseStep", "flat pastasoss"),
        "bkg_subtract": ("BackgroundStep", "bkg wavelengthrange"),
        "imprint_subtract": ("ImprintStep", ""),
        "extract_2d": ("Extract2dStep", "wavelengthrange"),
        "master_background_mos": ("MasterBackgroundMosStep", f"{_FLATS} pathloss barshadow photom area {_EXTRACT}"),
        "targ_centroid": ("TargCentroidStep", "filteroffset"),
        "wavecorr": ("WavecorrStep", "wavecorr"),
        "flat_field": ("FlatFieldStep", _FLATS),
        "srctype": ("SourceTypeStep", ""),
        "straylight": ("StraylightStep", "mrsxartcorr regions"),
        "fringe": ("FringeStep", "fringe"),
        "residual_fringe": ("ResidualFringeStep", "fringefreq regions"),
        "pathloss": ("PathLossStep", "pathloss"),
        "barshadow": ("BarShadowStep", "barshadow"),
        "wfss_contam": ("WfssContamStep", "photom wavelengthrange"),
        "photom": ("PhotomStep", "photom area"),
        "adaptive_trace_model": ("AdaptiveTraceModelStep", ""),
        "pixel_replace": ("PixelReplaceStep", ""),
        "resample_spec": ("ResampleSpecStep", ""),
        "cube_build": ("CubeBuildStep", "cubepar"),
        "extract_1d": ("Extract1dStep", _EXTRACT),
    },
    "stack": {
        "assign_mtwcs": ("AssignMTWcsStep", ""),
        "master_background": ("MasterBackgroundStep", ""),
        "outlier_detection": ("OutlierDetectionStep", ""),
        "adaptive_trace_model": ("AdaptiveTraceModelStep", ""),
        "pixel_replace": ("PixelReplaceStep", ""),
        "resample_spec": ("ResampleSpecStep", ""),
        "cube_build": ("CubeBuildStep", "cubepar"),
        "extract_1d": ("Extract1dStep", _EXTRACT),
        "photom": ("PhotomStep", "photom area"),
        "combine_1d": ("Combine1dStep", ""),
        "spectral_leak": ("SpectralLeakStep", "mrsptcorr"),
    },
}
"""Stock steps of each stage: name in the pipeline, class, reference types. A test compares it with the classes."""
PIPELINES = {"detector": "Detector1Pipeline", "calibrate": "Spec2Pipeline", "stack": "Spec3Pipeline"}
OFF_BY_DEFAULT = {
    "detector": {"emicorr", "firstframe", "persistence", "charge_migration", "picture_frame", "clean_flicker_noise"},
    "calibrate": {
        *("badpix_selfcal", "clean_flicker_noise", "targ_centroid", "residual_fringe", "wfss_contam"),
        *("adaptive_trace_model", "pixel_replace", "master_background_mos"),
    },
    "stack": {"adaptive_trace_model", "pixel_replace"},
}
"""Steps that are skipped unless CRDS's parameter references say otherwise, or that look up nothing beforehand."""
_WE_SKIP = {"calibrate": SKIP_IN_SPEC2, "stack": SKIP_IN_SPEC3}


def needed_types(stages: Iterable[str], steps: Mapping[str, Steps] | None = None) -> tuple[set[str], set[str]]:
    """Reference types that the stock steps of some stages look up.

    Parameters
    ----------
    stages : iterable of str
        Names of stages; those that run no stock step add nothing.
    steps : mapping, optional
        For each stage, the step parameters it passes through: ``skip`` and ``override_*`` count.

    Returns
    -------
    required : set of str
        The exposure fails without them.
    optional : set of str
        Used if CRDS has them: parameter references, and steps that these may switch on.
    """
    required: set[str] = set()
    optional: set[str] = set()
    for stage in set(stages) & set(STOCK):
        given = {name: {"skip": True} for name in _WE_SKIP.get(stage, ())} | dict((steps or {}).get(stage, {}))
        overridden = {k.removeprefix("override_") for pars in given.values() for k in pars if k.startswith("override_")}
        if stage in PIPELINES:
            optional.add(f"pars-{PIPELINES[stage].lower()}")
        for name, (class_name, types) in STOCK[stage].items():
            optional.add(f"pars-{class_name.lower()}")
            skip = given.get(name, {}).get("skip")
            if skip:
                continue
            off = skip is None and name in OFF_BY_DEFAULT.get(stage, ())
            (optional if off else required).update(set(types.split()) - overridden)
    return required, optional - required


def selection_parameters(exposure: Path) -> dict[str, str | bool]:
    """CRDS's selection parameters of one exposure, from its primary header.

    Raises
    ------
    DataError
        The file cannot be read or lacks a keyword.
    """
    with open_fits(exposure) as hdus:
        header = hdus[0].header
        for key in _NEEDED_KEYWORDS:
            require(header, key, file=exposure, why=REQUIRED[key])
        return {name: header[key] for name, key in KEYWORDS.items() if key in header}
