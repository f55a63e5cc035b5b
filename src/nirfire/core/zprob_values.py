"""Calibrations of :mod:`nirfire.core.zprob`, written by ``scripts/calibrate_zprob.py``: not to be edited.

Each: bias; weights of least, beyond, star, lines, negative, rough, misfit; scores and logits of the knots.
"""

from __future__ import annotations

CALIBRATIONS: dict[str, tuple[float, tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "PRISM": (
        -6.5418,
        (0.94651, 0.83277, 0.52344, 0.49684, 0.23301, -1, -1),
        (-6, -4, -2, 0, 2, 4, 6),
        (-5.9183, -3.781, -2.0049, -0.075488, 1.9894, 4.3933, 6),
    ),
    "M": (
        -7.7809,
        (0.88785, 0.3967, 0.96789, 0.53735, 0.72201, -1, -1),
        (-6, -4, -2, 0, 2, 4, 6),
        (-5.8454, -3.6407, -1.9057, -0.27062, 2.0128, 3.9891, 5.9227),
    ),
    "H": (
        -5.0044,
        (0.98762, 0, 0.79358, 0.27248, 1.1576, -3.729, -1),
        (-6, -4, -2, 0, 2, 4, 6),
        (-6, -4.1776, -2.1241, 0.1474, 2.2341, 4.0258, 5.8748),
    ),
}
