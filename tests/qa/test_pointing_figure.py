"""The figure of a measured pointing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nirfire.core.pointing import Frame, X, fit_pointing
from nirfire.qa.pointing_figure import pointing_figure
from tests.core.test_pointing import PIVOT, survey


@pytest.mark.parametrize("with_x", [True, False])
def test_it_is_drawn(tmp_path: Path, with_x: bool) -> None:
    shifts = survey((0.02, -0.015, 5e-5))
    moved, err = shifts.shift.copy(), shifts.err.copy()
    moved[2] += 0.6
    if not with_x:
        err[:, X] = np.inf
    shifts = replace(shifts, shift=moved, err=err)
    fit = fit_pointing(shifts, Frame.of(shifts.per_pitch, PIVOT))
    png = pointing_figure(shifts, fit, [str(k) for k in range(12)], tmp_path / "p.png", "a visit")
    with Image.open(png) as image:
        assert image.width > 1000
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
