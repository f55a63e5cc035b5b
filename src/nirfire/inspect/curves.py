"""chi2(z) and p(z) as the page draws them."""

from __future__ import annotations

import numpy as np

from nirfire.core.posterior import cell_widths, tempered_scale


def curve(z: np.ndarray, chi2: np.ndarray, dof: int) -> dict[str, np.ndarray]:
    """A scan for the page.

    Parameters
    ----------
    z, chi2 : ndarray, shape (n_z,)
    dof : int
        Degrees of freedom, for the temper of the likelihood (`core.posterior.tempered_scale`).

    Returns
    -------
    dict
        ``z`` (float64), ``dchi2`` over the lowest and ``p``, the density of p(z) with a flat prior (both float32).
    """
    if z.size == 0:
        return {"z": np.zeros(0), "dchi2": np.zeros(0, np.float32), "p": np.zeros(0, np.float32)}
    lowest = float(np.min(chi2))
    weight = np.exp(-(chi2 - lowest) / tempered_scale(lowest, dof))
    density = weight / np.sum(weight * cell_widths(z))
    return {
        "z": np.asarray(z, dtype=float),
        "dchi2": (chi2 - lowest).astype(np.float32),
        "p": density.astype(np.float32),
    }
