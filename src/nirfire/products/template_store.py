"""Loading of the template sets that ship with the package."""

from __future__ import annotations

import functools
import io
from importlib import resources

import numpy as np

from ..core import templates as core_templates
from ..core.lsf import C_KMS
from ..errors import DataError

TEMPLATE_SETS = ("default", "free-lines")
_CONTINUA = "continua.npz"


@functools.lru_cache(maxsize=4)
def load_templates(name: str = "default") -> core_templates.TemplateSet:
    """Template set by name; read once per process.

    Parameters
    ----------
    name : str
        "default" (stellar continua + line-ratio composites) or "free-lines" (the same continua + independent lines).

    Raises
    ------
    DataError
        Unknown name.
    """
    if name not in TEMPLATE_SETS:
        raise DataError(f"no template set named {name!r}", key="templates", remedy=f"one of {', '.join(TEMPLATE_SETS)}")
    return core_templates.build_set(name, _load_continua())


@functools.lru_cache(maxsize=1)
def _load_continua() -> core_templates.Continua:
    raw = (resources.files("nirfire.core") / "data" / _CONTINUA).read_bytes()
    with np.load(io.BytesIO(raw)) as stored:
        return core_templates.build_continua(
            tuple(str(one) for one in stored["names"]),
            stored["flux"].astype(float),
            stored["age"],
            wave_min=float(stored["wave_min"]),
            step=float(stored["step_kms"]) / C_KMS,
        )
