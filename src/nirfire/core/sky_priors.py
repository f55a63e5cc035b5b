"""What is taken for granted of the sky of an exposure before its pixels are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csc_matrix, diags, hstack

from nirfire.core.sky_design import DISTANCES, KINDS, PHASES, Blocks

Array = NDArray[np.float64]

CENTRE = 0.11
"""[pitch] So far from the centre of a shutter bars do nothing: there the profile is one."""
BARS = 0.3  # what bars may add
WING = 0.003  # light per pixel one pitch from a point, roughly; it falls with the square of the distance
ASYMMETRY = 0.01  # by which the bars at both sides of a shutter differ


@dataclass(frozen=True)
class Priors:
    """Gaussian priors.

    Attributes
    ----------
    mean : ndarray, shape (size,)
        Zero, but for the wings.
    weight : sparse matrix, shape (size, size)
        Inverse of their covariance.
    own, slope : float
        Scatter of own factors and slopes among slitlets.
    """

    mean: Array
    weight: csc_matrix
    own: float
    slope: float

    @classmethod
    def of(cls, blocks: Blocks, own: float = 0.05, slope: float = 0.02) -> Priors:
        """Wide ones, but for the scatter among slitlets; the bars of both sides of a shutter are much the same."""
        weight = np.zeros(blocks.size)
        weight[blocks.spectrum] = 1e-8
        weight[blocks.slope_of_calibration] = 0.05**-2
        width = np.where(np.abs(PHASES) < CENTRE, 0.003, BARS)
        weight[blocks.bars] = np.concatenate([np.tile(width, KINDS), np.tile(width / 4, KINDS)]) ** -2
        mean = np.zeros(blocks.size)
        wings = WING * DISTANCES**-2.0
        mean[blocks.wings] = np.concatenate([wings, 0 * wings, 0 * wings])
        weight[blocks.wings] = np.tile(wings, 3) ** -2.0
        weight[blocks.field] = 0.2**-2
        weight[blocks.brightness] = 0.5**-2
        weight[blocks.own], weight[blocks.slope] = own**-2, slope**-2
        n = len(PHASES)
        pair = np.eye(n)[: n // 2] - np.eye(n)[: n // 2 : -1]
        pairs = block_diag([pair / ASYMMETRY] * KINDS + [4 * pair / ASYMMETRY] * KINDS)
        before, after = (csc_matrix((pairs.shape[0], m)) for m in (blocks.bars.start, blocks.size - blocks.bars.stop))
        mirror = hstack([before, pairs, after])
        return cls(mean, (diags(weight) + mirror.T @ mirror).tocsc(), own, slope)

    def updated(self, values: Array, inverse: Array, blocks: Blocks) -> Priors:
        """With the scatter that the slitlets show.

        Notes
        -----
        The sum of squares over the number of values that the data determine (MacKay 1992, Neural Computation 4, 415).
        """
        diagonal = np.diag(inverse)
        found = []
        for part, now, least in ((blocks.own, self.own, 2e-3), (blocks.slope, self.slope, 1e-3)):
            variance = diagonal[part.start - blocks.rest : part.stop - blocks.rest]
            determined = max(float(np.sum(1 - variance / now**2)), 0.1)
            found.append(max(least, float(np.sqrt(np.sum(values[part] ** 2) / determined))))
        return Priors.of(blocks, *found)
