"""Which background suits a source: the other nods, or the sky of the whole exposure."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Choice(NamedTuple):
    """The better background.

    Attributes
    ----------
    name : {"nods", "global"}
    nods, everywhere : float
        Predicted mean square error of each.
    """

    name: Literal["nods", "global"]
    nods: float
    everywhere: float


def choose(
    nod_variance: float,
    global_variance: float,
    overlap: float,
    overlap_error: float,
    flux: float,
    systematic: float,
) -> Choice:
    """Choose the background with the smaller predicted mean square error.

    Parameters
    ----------
    nod_variance, global_variance : float
        Variance of the source's flux after either subtraction, the noise of the background in it: of one column of the
        aperture, or of any sum over pixels.
    overlap, overlap_error : float
        Share of the source's light that subtracting nods removes, and its standard error (`nod_overlap`).
    flux : float
        Flux of the source in the same sum.
    systematic : float
        Standard error of the global sky that all pixels of the sum have in common.

    Returns
    -------
    Choice
        Nods where both are equal: they also remove what no model knows of.

    Notes
    -----
    The mean square error is variance plus bias squared. The square of the overlap is estimated without the bias that
    its error gives it: overlap^2 - overlap_error^2, at least 0.
    """
    nods = nod_variance + max(overlap**2 - overlap_error**2, 0.0) * flux**2
    everywhere = global_variance + systematic**2
    return Choice("nods" if nods <= everywhere else "global", nods, everywhere)
