"""Are the parameters of the stock steps known ones? Asked before a pipeline runs, to name the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from nirfire.errors import DataError


def check_steps(pipeline: Any, stage: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
    """Check step parameters against the specification of a stock pipeline.

    Parameters
    ----------
    pipeline : type
        A class of ``jwst.pipeline``.
    stage : str
        Our name for it, for the key of the setting at fault.
    steps : mapping
        For each step its parameters.

    Raises
    ------
    DataError
        A step or parameter does not exist, or a value cannot be used.
    """
    from configobj import ConfigObj
    from stpipe.config_parser import ValidationError, validate

    for name, parameters in steps.items():
        key = f"{stage}.steps.{name}"
        if name not in pipeline.step_defs:
            message = f"the stock {pipeline.__name__} has no step {name}"
            raise DataError(message, key=key, remedy=_nearest(name, pipeline.step_defs))
        spec = pipeline.step_defs[name].load_spec_file()
        for parameter, value in parameters.items():
            if parameter not in spec:
                message = f"the stock step {name} has no parameter {parameter}"
                raise DataError(message, key=f"{key}.{parameter}", remedy=_nearest(parameter, spec))
            try:
                validate(ConfigObj({parameter: value}), ConfigObj({parameter: spec[parameter]}, _inspec=True))
            except ValidationError as error:
                wanted = f"use {spec[parameter]}, in the stock pipeline's own words"
                raise DataError(
                    f"the stock step {name} cannot use {value!r}: {error}", key=f"{key}.{parameter}", remedy=wanted
                ) from error


def _nearest(name: str, known: Iterable[str]) -> str:
    """Advice that names the nearest valid name, or all."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}"
