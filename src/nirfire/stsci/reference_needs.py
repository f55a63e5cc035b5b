"""Which CRDS reference types the stages look up, and the header keywords by which CRDS selects the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from nirfire.products.fitsfile import open_fits, require
from nirfire.products.rate import REQUIRED
from nirfire.stsci.pipelines import SKIP_IN_SPEC2, SKIP_IN_SPEC3, Steps
from nirfire.stsci.stock_steps import OFF_BY_DEFAULT, PIPELINES, STOCK

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

OWN = {"offsets": {"pathloss"}, "extract": {"pathloss"}}
"""Reference types that our own stages look up."""
_WE_SKIP = {"calibrate": SKIP_IN_SPEC2, "stack": SKIP_IN_SPEC3}


def needed_types(stages: Iterable[str], steps: Mapping[str, Steps] | None = None) -> tuple[set[str], set[str]]:
    """Reference types that the stock steps of some stages look up.

    Parameters
    ----------
    stages : iterable of str
        Names of stages; those that look up none add nothing.
    steps : mapping, optional
        For each stage, the step parameters it passes through: ``skip`` and ``override_*`` count.

    Returns
    -------
    required : set of str
        The exposure fails without them.
    optional : set of str
        Used if CRDS has them: parameter references, and steps that these may switch on.
    """
    stages = set(stages)
    required = set().union(*(OWN.get(stage, set()) for stage in stages))
    optional: set[str] = set()
    for stage in stages & set(STOCK):
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
