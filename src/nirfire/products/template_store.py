"""Loading of the template sets that ship with the package."""

from __future__ import annotations

import functools
import hashlib
import io
from importlib import resources

import numpy as np

from ..core import templates as core_templates
from ..core.lsf import C_KMS
from ..errors import DataError

TEMPLATE_SETS = ("default", "published")
REMEDY = "install the package again"


@functools.lru_cache(maxsize=4)
def load_templates(name: str = "default") -> core_templates.TemplateSet:
    """Template set by name; read once per process.

    Parameters
    ----------
    name : str
        "default" (stellar continua + line-ratio composites) or "published" (CAMPFIRE, see core.published).

    Raises
    ------
    DataError
        Unknown name, or a file that is not what was computed.
    """
    if name not in TEMPLATE_SETS:
        raise DataError(f"no template set named {name!r}", key="templates", remedy=f"one of {', '.join(TEMPLATE_SETS)}")
    folder = resources.files("nirfire.core") / "data"
    stellar = read_continua((folder / f"templates_{name}.npz").read_bytes(), name)
    stars = read_continua((folder / "templates_stars.npz").read_bytes(), "stars")
    return core_templates.build_set(name, stellar, stars)


def read_continua(raw: bytes, name: str) -> core_templates.Continua:
    """Continua of a file written by `nirfire templates build`.

    Parameters
    ----------
    raw : bytes
        The file: flux (n_bins, n_templates, n_knots) float16 at the cells `knots` (linear between them), each template
        divided by `scale`; names, classes, z_nodes, z_min, z_max, wave_min [um], step_kms, provenance, sha256.
    name : str
        For the message.

    Raises
    ------
    DataError
        The hash does not match.
    """
    with np.load(io.BytesIO(raw)) as stored:
        flux, knots = stored["flux"], stored["knots"]
        if hashlib.sha256(flux.tobytes() + knots.tobytes()).hexdigest() != str(stored["sha256"]):
            raise DataError(f"the templates {name!r} are damaged", key="sha256", remedy=REMEDY)
        cells = np.arange(knots[-1] + 1)
        full = np.array([[np.interp(cells, knots, row) for row in one.astype(float)] for one in flux])
        return core_templates.Continua(
            tuple(str(one) for one in stored["names"]),
            tuple(str(one) for one in stored["classes"]),
            full,
            stored["z_nodes"].astype(float),
            float(stored["wave_min"]),
            float(stored["step_kms"]) / C_KMS,
            stored["z_min"].astype(float),
            stored["z_max"].astype(float),
        )
