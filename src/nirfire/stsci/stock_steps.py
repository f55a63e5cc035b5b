"""The stock steps of each stage, and the CRDS reference types that they look up; light to import.

A table, because finding out from the step classes imports ``jwst``, which takes seconds. A test compares the two.
"""

from __future__ import annotations

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
    "shutters": {
        "assign_wcs": ("AssignWcsStep", _WCS),
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
